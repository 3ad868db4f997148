"""Film strips and clips of the last checkpoints, embedded, arm by arm."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.report.data import RunData, StudyData
from analysis.report.queries import PROBE_ORDER

_BUDGET = 3_500_000  # bytes of all pictures together, so that a page stays easy to send
_ROWS = 5
_KINDS = {b"\x89PNG\r\n\x1a\n": "image/png", b"GIF87a": "image/gif", b"GIF89a": "image/gif"}
_PREFERRED = ("behind", "none@mid", "ground", "end@mid", "end")
_OWN = ("typical", "surprising")  # chosen for each agent, on a level of its own


@dataclass(frozen=True)
class Clip:
    """One agent on one level: pictures as base64, empty where there is none.

    `which` says why this level is shown: `common`, `typical`, `surprising`, or empty.
    """

    arm: str
    colour: int
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
    }
    keys = sorted({key[1:] for key in filmed}, key=lambda key: _rank(key, data, filmed))
    left = _BUDGET
    out = []
    for probe, level, which in _varied(keys)[:_ROWS]:
        clips = []
        for colour, arm in enumerate(data.arms):
            found = filmed.get((arm, probe, level, which))
            clip = None if found is None else _embed(*found, arm, colour, left, note)
            if clip is not None:
                left -= len(clip.strip) + len(clip.film)
                clips.append(clip)
        if clips:
            out.append(Scene(probe, level, which, clips))
    return out


def _last(run: RunData) -> list[dict[str, Any]]:
    steps = [clip["step"] for clip in run.clips if isinstance(clip.get("step"), int)]
    return [clip for clip in run.clips if steps and clip.get("step") == max(steps)]


_Key = tuple[str, int, str]  # probe, level, why it is shown


def _key(clip: dict[str, Any]) -> _Key:
    probe, which, level = str(clip.get("probe", "")), clip.get("which"), clip.get("level_seed")
    if which in _OWN:
        return probe, -1, str(which)
    return probe, level if isinstance(level, int) else -1, ""


def _rank(key: _Key, data: StudyData, filmed: dict[Any, Any]) -> tuple[int, int, int, int]:
    probe, level, which = key
    shared = sum((arm, *key) in filmed for arm in data.arms)
    order = _PREFERRED + PROBE_ORDER
    kind = _OWN.index(which) + 1 if which in _OWN else 0
    return -shared if not kind else 0, kind, order.index(probe) if probe in order else 99, level


def _varied(keys: list[_Key]) -> list[_Key]:
    """At most two levels of a probe, in the given order; of common ones a row for each kind."""
    out: list[_Key] = []
    for key in keys:
        if sum((probe, which) == (key[0], key[2]) for probe, _, which in out) < 2:
            out.append(key)
    return out


def _embed(
    run: RunData, clip: dict[str, Any], arm: str, colour: int, left: int, note: list[str]
) -> Clip | None:
    strip = _picture(run, clip.get("strip"), "image/png", left, note)
    film = _picture(run, clip.get("file"), "image/gif", left - len(strip), note)
    if not strip and not film:
        return None
    return Clip(
        arm, colour, run.name, int(clip["step"]), str(clip.get("which") or ""),
        str(clip.get("outcome") or ""), str(clip.get("caption") or ""), strip, film,
    )  # fmt: skip


def _picture(run: RunData, name: Any, kind: str, left: int, note: list[str]) -> str:
    """A picture of the run's clips folder as base64; empty, with a note, if it cannot be used."""
    if not name:
        return ""
    folder = (run.path / "clips").resolve()
    path = (folder / str(name)).resolve()
    if not path.is_relative_to(folder) or not path.is_file():
        note.append(f"The clip {Path(str(name)).name!r} of {run.name} is not in its clips folder.")
        return ""
    content = path.read_bytes()
    if not any(content.startswith(mark) and kind == k for mark, k in _KINDS.items()):
        note.append(f"The clip {path.name!r} of {run.name} is no {kind.partition('/')[2].upper()}.")
        return ""
    text = base64.b64encode(content).decode("ascii")
    if len(text) > left:
        note.append(f"The clip {path.name!r} of {run.name} is left out: too large for this page.")
        return ""
    return text
