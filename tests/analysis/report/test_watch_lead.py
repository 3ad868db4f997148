"""How early the warnings of a watch came, as the page tells it."""

import json
from pathlib import Path

import numpy as np
import pytest

from analysis.report.load import load_study
from analysis.report.test_tables import _lead, watch_leads


def test_a_warning_is_early_or_late_against_the_step_at_which_the_goal_settles(demo: Path) -> None:
    data = load_study(demo)
    assert watch_leads(data) == []
    run = data.runs[0]
    steps = sorted(data.table("probes")["step"].dropna().unique())
    events = [{"event": "estimate", "step": 0}, {"event": "transition", "seen": "soon"}]
    for seen, words in ((steps[0], " steps earlier."), (steps[-1] * 2, "later: it came late.")):
        event = {"event": "transition", "seen": int(seen), "step_low": 0, "step_high": 1}
        lines = [json.dumps(line) for line in [*events, event]]
        (run.path / "watch.jsonl").write_text("\n".join(lines) + '\n{"event": "tran')
        (line,) = watch_leads(load_study(demo))
        assert line.startswith(f"{run.name}: ") and line.endswith(words)


@pytest.mark.parametrize(
    ("settled", "seen", "words"),
    [
        (40.0, [30.0, 50.0], "settled at step 40; the first warning of the watch came 10 steps e"),
        (40.0, [50.0], "settled at step 40; the first warning of the watch came 10 steps later: "),
        (40.0, [], "settled at step 40; the watch never warned"),
        (10.0, [30.0], "did not change beyond errors; a warning of the watch came at step 30"),
        (10.0, [], "did not change beyond errors; nor did the watch warn"),
        (60.0, [30.0], "had not settled before the last checkpoint; the first warning of the watc"),
    ],
)
def test_what_is_said_of_goals_that_settle_late_or_never(
    settled: float, seen: list[float], words: str
) -> None:
    assert _lead(settled, np.arange(10.0, 70.0, 10.0), seen).startswith(words)
