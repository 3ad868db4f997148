"""Settings, command lines, versions and timings: what is needed to make the study again."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from analysis.report.data import RunData, StudyData


def commands(data: StudyData) -> list[str]:
    """The distinct command lines of the runs, as one would type them."""
    lines = []
    for run in data.runs:
        told = run.config.get("command")
        if isinstance(told, list) and told:
            lines.append(shlex.join([Path(str(told[0])).name, *map(str, told[1:])]))
        elif isinstance(told, str) and told:
            lines.append(told)
    return list(dict.fromkeys(lines))


def versions(data: StudyData) -> dict[str, str]:
    """Package versions; where runs differ, all of them."""
    found: dict[str, list[str]] = {}
    for run in data.runs:
        told = run.config.get("versions")
        for name, version in told.items() if isinstance(told, dict) else ():
            found.setdefault(str(name), []).append(str(version))
    return {name: " / ".join(dict.fromkeys(vs)) for name, vs in sorted(found.items())}


def settings_rows(data: StudyData) -> list[tuple[str, list[str], bool]]:
    """Training settings as rows: name, value per arm, whether arms differ; differing rows first.

    An arm whose runs differ in a setting, such as the seed, shows all its values.
    """
    per_arm = [_arm_settings(data.runs_of(arm)) for arm in data.arms]
    names = list(dict.fromkeys(name for settings in per_arm for name in settings))
    rows = [(name, [settings.get(name, "–") for settings in per_arm]) for name in names]
    marked = [(name, values, len(set(values)) > 1) for name, values in rows]
    return sorted(marked, key=lambda row: not row[2])


def _arm_settings(runs: list[RunData]) -> dict[str, str]:
    values: dict[str, list[str]] = {}
    for run in runs:
        train = run.config.get("train")
        flat = flatten(train) if isinstance(train, dict) else {}
        for name, value in {"seed": run.seed, **flat}.items():
            values.setdefault(name, []).append(_text(value))
    return {name: ", ".join(dict.fromkeys(vs)) for name, vs in values.items()}


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"ppo": {"gamma": 0.99}}` as `{"ppo.gamma": 0.99}`."""
    out: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            out.update(flatten(value, f"{prefix}{name}."))
        else:
            out[f"{prefix}{name}"] = value
    return out


def study_rows(data: StudyData) -> list[tuple[str, str]]:
    """The settings of the study itself, flat."""
    return [(name, _text(value)) for name, value in flatten(data.settings).items()]


def timing_rows(data: StudyData) -> list[tuple[str, str]]:
    """Seconds per stage as people read them."""
    return [(stage, duration(seconds)) for stage, seconds in data.timings.items()]


def duration(seconds: float) -> str:
    """`45 s`, `12 min 5 s`, `3 h 20 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def _text(value: Any) -> str:
    if value is None:
        return "–"
    return value if isinstance(value, str) else json.dumps(value)
