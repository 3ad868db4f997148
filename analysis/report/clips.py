"""Pictures in the page: film strips, clips and fields of the last checkpoints, arm by arm."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.probes import FILMED, PROBES
from analysis.report.data import RunData, StudyData

_KINDS = {b"\x89PNG\r\n\x1a\n": "png", b"GIF87a": "gif", b"GIF89a": "gif"}
_BUDGET = 3_500_000  # bytes of all pictures together, so that a page stays easy to send
_ROWS = 5
_OWN = ("typical", "surprising")  # chosen for each agent, on a level of its own
_FIELD = "field"
_Key = tuple[str, int, str]  # probe, level, why it is shown


@dataclass(frozen=True)
class Clip:
    """One agent on one level: pictures as base64, empty where there is none.

    `which` says why this level is shown: `common`, `typical`, `surprising`, or empty.
    """

    arm: str
    color: int
    run: str
    step: int
    which: str
    outcome: str
    caption: str
    strip: str
    film: str


@dataclass(frozen=True)
class Scene:
    """A clip per arm of one probe, on one level (-1: each on a level of its own)."""

    probe: str
    level_seed: int
    which: str
    clips: list[Clip]


def scenes(data: StudyData, note: list[str]) -> list[Scene]:
    """Levels that most arms were filmed on, displaced coins first, then each agent's own ones.

    What is left out is noted.
    """
    filmed = {
        (arm, *_key(clip)): (run, clip)
        for arm in data.arms
        for run in reversed(data.runs_of(arm))
        for clip in _last(run)
        if clip.get("which") != _FIELD
    }
    keys = {key[1:] for key in filmed}
    shared = {key: sum((arm, *key) in filmed for arm in data.arms) for key in keys}
    room = _BUDGET
    out: list[Scene] = []
    for probe, level, which in _varied(sorted(keys, key=lambda key: _rank(key, shared[key]))):
        clips = []
        for color, arm in enumerate(data.arms):
            if (arm, probe, level, which) not in filmed:
                continue
            run, clip = filmed[arm, probe, level, which]
            strip = _picture(run, clip.get("strip"), "png", room, note)
            film = _picture(run, clip.get("file"), "gif", room - len(strip), note)
            room -= len(strip) + len(film)
            texts = {name: str(clip.get(name) or "") for name in ("which", "outcome", "caption")}
            pictures = {"strip": strip, "film": film}
            if strip or film:
                clips.append(Clip(arm, color, run.name, int(clip["step"]), **texts, **pictures))
        out += [Scene(probe, level, which, clips)] if clips else []
    return out


def fields(data: StudyData, note: list[str]) -> list[Clip]:
    """The field of one agent of each arm (`analysis.policy_field`); what is left out is noted."""
    out, room = [], _BUDGET
    for color, arm in enumerate(data.arms):
        for run in data.runs_of(arm):
            drawn = [clip for clip in _last(run) if clip.get("which") == _FIELD]
            picture = _picture(run, drawn[0].get("strip"), "png", room, note) if drawn else ""
            if picture:
                step, room = int(drawn[0]["step"]), room - len(picture)
                out.append(Clip(arm, color, run.name, step, _FIELD, "", "", picture, ""))
                break
    return out


def _last(run: RunData) -> list[dict[str, Any]]:
    steps = [clip["step"] for clip in run.clips if isinstance(clip.get("step"), int)]
    return [clip for clip in run.clips if steps and clip.get("step") == max(steps)]


def _key(clip: dict[str, Any]) -> _Key:
    probe, which, level = str(clip.get("probe", "")), clip.get("which"), clip.get("level_seed")
    if which in _OWN:
        return probe, -1, str(which)
    return probe, level if isinstance(level, int) else -1, ""


def _rank(key: _Key, shared: int) -> tuple[int, int, int, int]:
    probe, level, which = key
    place = [*FILMED, *PROBES, probe].index(probe)
    if which in _OWN:
        return 0, _OWN.index(which) + 1, place, level
    return -shared, 0, place, level


def _varied(keys: list[_Key]) -> list[_Key]:
    """The first rows to show: at most two levels of a probe, for each reason to show it."""
    out: list[_Key] = []
    for key in keys:
        if sum((probe, which) == (key[0], key[2]) for probe, _, which in out) < 2:
            out.append(key)
    return out[:_ROWS]


def _picture(run: RunData, name: Any, kind: str, room: int, note: list[str]) -> str:
    """A picture of the run's clips folder as base64; empty, with a note, if it cannot be used."""
    try:
        return embed(run.path / "clips", str(name or ""), kind, room)
    except ValueError as error:
        note.append(f"The clip {Path(str(name)).name!r} of {run.name} {error}.")
        return ""


def embed(folder: Path, name: str, kind: str, room: int) -> str:
    """A picture of a folder, as base64; empty for no name.

    Args:
        folder: where the picture must lie, at any depth.
        name: its path in that folder, from a file that others may have written.
        kind: `png` or `gif`, judged by its content.
        room: characters that it may take.

    Raises:
        ValueError: the rest of a sentence on why the picture cannot be shown.
    """
    if not name:
        return ""
    folder = folder.resolve()
    path = (folder / name).resolve()
    if not path.is_relative_to(folder) or not path.is_file():
        raise ValueError(f"is not in its {folder.name} folder")
    content = path.read_bytes()
    if not any(content.startswith(mark) and kind == k for mark, k in _KINDS.items()):
        raise ValueError(f"is no {kind.upper()}")
    text = base64.b64encode(content).decode("ascii")
    if len(text) > room:
        raise ValueError("is left out: too large for this page")
    return text
