"""Settings, command lines, versions and timings: what is needed to make the study again."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from analysis.report.data import StudyData


def commands(data: StudyData) -> list[str]:
    """The distinct command lines of the runs, as one would type them."""
    known = [run.config.get("command") for run in data.runs]
    lines = [[Path(str(c[0])).name, *map(str, c[1:])] for c in known if isinstance(c, list) and c]
    return list(dict.fromkeys(map(shlex.join, lines)))


def versions(data: StudyData) -> dict[str, str]:
    """Package versions; where runs differ, all of them."""
    known = [run.config.get("versions") for run in data.runs]
    values = _distinct([one for one in known if isinstance(one, dict)])
    return {name: " / ".join(own) for name, own in sorted(values.items())}


def settings_rows(data: StudyData) -> list[tuple[str, list[str], bool]]:
    """Training settings as rows: name, value per arm, whether arms differ; differing rows first.

    An arm whose runs differ in a setting, such as the seed, shows all its values.
    """
    per_arm = []
    for arm in data.arms:
        settings = [{"seed": run.seed, **flatten(run.train)} for run in data.runs_of(arm)]
        per_arm.append({k: ", ".join(own) for k, own in _distinct(settings).items()})
    names = dict.fromkeys(name for settings in per_arm for name in settings)
    rows = [(name, [settings.get(name, "–") for settings in per_arm]) for name in names]
    marked = [(name, values, len(set(values)) > 1) for name, values in rows]
    return sorted(marked, key=lambda row: not row[2])


def unequal_arms(data: StudyData) -> list[str]:
    """A sentence for each arm whose runs were trained with different settings; seeds may differ."""
    out = []
    for arm in data.arms:
        values = _distinct([flatten(run.train) for run in data.runs_of(arm)])
        differ = [
            f"{name} ({' / '.join(own)})"
            for name, own in values.items()
            if len(own) > 1 and name != "seed"
        ]
        if differ:
            out.append(f"Runs of arm {arm} differ in training settings: {', '.join(differ)}.")
    return out


def _distinct(settings: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Each setting's distinct values over runs, as text."""
    values: dict[str, dict[str, None]] = {}
    for name, value in (item for one in settings for item in one.items()):
        values.setdefault(str(name), {})[as_text(value)] = None
    return {name: list(own) for name, own in values.items()}


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"ppo": {"gamma": 0.99}}` as `{"ppo.gamma": 0.99}`."""
    out: dict[str, Any] = {}
    for name, value in tree.items():
        inner = isinstance(value, dict)
        out |= flatten(value, f"{prefix}{name}.") if inner else {f"{prefix}{name}": value}
    return out


def as_text(value: Any) -> str:
    """A setting's value as people read it."""
    if value is None:
        return "–"
    return value if isinstance(value, str) else json.dumps(value)


def duration(seconds: float) -> str:
    """`45 s`, `12 min 5 s`, `3 h 20 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"
