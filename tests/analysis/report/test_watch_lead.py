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


def warning(seen: int, **more: object) -> dict[str, object]:
    return {"seen": seen, "step_low": 10, "step_high": 20, "kind": "rise", "status": ""} | more


FIRST = "the first warning of the watch (of a rise from step 10 to 20) "


@pytest.mark.parametrize(
    ("settled", "first", "words"),
    [
        (40.0, warning(30), f"settled at step 40; {FIRST}came 10 steps earlier"),
        (40.0, warning(50), f"settled at step 40; {FIRST}came 10 steps later: it came late"),
        (40.0, warning(40), f"settled at step 40; {FIRST}came at that step"),
        (40.0, None, "settled at step 40; the watch never warned"),
        (
            10.0,
            warning(30),
            "did not change beyond errors; a warning of the watch (of a rise from step 10 to 20) "
            "came at step 30",
        ),
        (10.0, None, "did not change beyond errors; nor did the watch warn"),
        (60.0, warning(30), f"had not settled before the last checkpoint; {FIRST}came at step 30"),
        (
            60.0,
            None,
            "had not settled before the last checkpoint; the first warning of the watch did not "
            "come",
        ),
    ],
)
def test_what_is_said_of_goals_that_settle_late_or_never(
    settled: float, first: dict[str, object] | None, words: str
) -> None:
    assert _lead(settled, np.arange(10.0, 70.0, 10.0), first) == words


def test_a_warning_is_as_late_as_the_training_was_far() -> None:
    """A watch that had fallen behind warns of checkpoint 20 when training is at 60."""
    first = warning(20, trained=60, status="at the edge, unconfirmed")
    assert _lead(40.0, np.arange(10.0, 70.0, 10.0), first).endswith(
        "watch (of a rise from step 10 to 20, at the edge, unconfirmed) came 20 steps later: it "
        "came late"
    )
