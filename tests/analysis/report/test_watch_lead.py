"""How early the warnings of a watch came, as the page tells it."""

import json
from pathlib import Path

from analysis.report.load import load_study
from analysis.report.test_tables import watch_leads


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
