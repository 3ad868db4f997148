"""Two agents side by side: what a stored comparison shows, with its pictures embedded."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.report.data import StudyData
from analysis.report.labels import number, probe_title

_MOST = 2  # comparisons on a page
_BUDGET = 2_500_000  # bytes of their pictures


@dataclass(frozen=True)
class Side:
    """Pictures of one agent on the level of a place, as base64, and what it would do there."""

    name: str
    moves: str
    caption: str
    strip: str
    film: str


@dataclass(frozen=True)
class Place:
    """A state of large difference."""

    title: str
    picture: str
    sides: list[Side]


@dataclass(frozen=True)
class Comparison:
    """One comparison: sentences, a table over kinds of states, places with pictures."""

    a: str
    b: str
    lines: list[str]
    kinds: list[dict[str, str]]
    places: list[Place]
    slices: list[dict[str, Any]]
    notes: list[str]


def comparisons(data: StudyData, missing: list[str]) -> list[Comparison]:
    """The latest comparisons of the runs; one that does not read is noted and left out."""
    out: list[Comparison] = []
    left = _BUDGET
    for run in data.runs:
        for told in run.comparisons:
            if len(out) == _MOST:
                return out
            try:
                one = _comparison(told, left)
            except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
                missing.append(
                    f"A comparison of {run.name} cannot be read ({type(error).__name__})."
                )
                continue
            left -= sum(_size(place) for place in one.places)
            out.append(one)
    return out


def _comparison(told: dict[str, Any], left: int) -> Comparison:
    a, b = (f"{told[k]['run']} at step {int(told[k]['step']):,}" for k in "ab")
    folder = Path(told["folder"])
    places = []
    for place in told["places"]:
        places.append(_place(folder, place, (a, b), left))
        left -= _size(places[-1])
    kinds = [
        {
            "states": str(row["kind"]),
            "mean distance": number(row["value"]),
            "95 % interval": _span(row["low"], row["high"]),
            "largest": number(row["largest"]),
            "number": str(row["states"]),
            "levels": str(row["groups"]),
        }
        for row in told["kinds"]
    ]
    notes = [str(note) for note in told.get("notes", [])]
    return Comparison(a, b, _lines(told), kinds, places, list(told["slices"]), notes)


def _lines(told: dict[str, Any]) -> list[str]:
    most, mean = told["largest"], told["mean"]
    return [
        f"In the states that both visit, their action probabilities are {mean['tv']:.2f} apart on "
        f"average (total variation: 0 for equal policies, 1 for disjoint ones), and their most "
        f"probable action is the same in {told['same_action']:.0%} of states.",
        f"The largest distance seen is {most['largest']:.2f}. On levels like these, at most "
        f"{most['share_beyond']:.1%} hold a larger one ({most['confidence']:.0%} confidence, from "
        f"{int(most['groups'])} levels, for these two agents and states that they visit).",
    ]


def _place(folder: Path, told: dict[str, Any], names: tuple[str, str], left: int) -> Place:
    sides = []
    for name, moves, clip in zip(names, told["moves"], told["clips"], strict=True):
        strip = _picture(folder, clip["strip"], left)
        film = _picture(folder, clip["file"], left - len(strip))
        left -= len(strip) + len(film)
        does = f"left {moves['left']:.0%}, right {moves['right']:.0%}"
        sides.append(Side(name, does, str(clip["caption"]), strip, film))
    title = (
        f"{probe_title(str(told['placement'])).capitalize()}, level {int(told['level_seed'])}: "
        f"{told['kind']}; distance {float(told['tv']):.2f}"
    )
    return Place(title, _picture(folder, told["picture"], left), sides)


def _picture(folder: Path, name: str, left: int) -> str:
    """A picture of the comparison's own folder as base64; empty where there is none to show."""
    path = (folder / str(name)).resolve()
    if path.parent != folder.resolve() or not path.is_file():
        return ""
    content = path.read_bytes()
    if not content.startswith((b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a")):
        return ""
    text = base64.b64encode(content).decode("ascii")
    return text if len(text) <= left else ""


def _size(place: Place) -> int:
    return len(place.picture) + sum(len(s.strip) + len(s.film) for s in place.sides)


def _span(low: Any, high: Any) -> str:
    return "–" if low is None or high is None else f"{number(max(low, 0.0))} to {number(high)}"
