"""Two agents side by side: what a stored comparison shows, with its pictures embedded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.report.clips import embed
from analysis.report.data import StudyData
from analysis.report.labels import capital, interval, number, probe_title
from analysis.report.queries import once

_MOST = 2  # comparisons on a page
_BUDGET = 2_500_000  # bytes of their pictures


@dataclass(frozen=True)
class AgentView:
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
    agents: list[AgentView]

    @property
    def size(self) -> int:
        """Bytes of its pictures."""
        return len(self.picture) + sum(len(one.strip) + len(one.film) for one in self.agents)


@dataclass(frozen=True)
class Comparison:
    """One comparison: sentences, tables of kinds of states and of bounds, places with pictures."""

    a: str
    b: str
    lines: list[str]
    kinds: list[dict[str, str]]
    bounds: list[dict[str, str]]
    places: list[Place]
    slices: list[dict[str, Any]]
    notes: list[str]


@once
def comparisons(data: StudyData) -> tuple[list[Comparison], list[str]]:
    """The latest comparisons of the runs, and a note on each that cannot be read."""
    shown: list[Comparison] = []
    notes: list[str] = []
    room = _BUDGET
    for run, record in [(r.name, record) for r in data.runs for record in r.comparisons]:
        if len(shown) < _MOST:
            try:
                one = _comparison(record, room)
            except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
                reason = type(error).__name__
                notes.append(f"A comparison of {run} cannot be read ({reason}).")
            else:
                room -= sum(place.size for place in one.places)
                shown.append(one)
    return shown, notes


def _comparison(record: dict[str, Any], room: int) -> Comparison:
    a, b = (f"{record[k]['run']} at step {int(record[k]['step']):,}" for k in "ab")
    most, mean = record["largest"], record["mean"]
    lines = [
        f"In the states that both visit, their action probabilities are {mean['tv']:.2f} apart on "
        f"average (total variation: 0 for equal policies, 1 for disjoint ones), and their most "
        f"probable action is the same in {record['same_action']:.0%} of states.",
        f"The largest distance seen is {most['largest']:.2f}. On levels like these, at most "
        f"{most['share_beyond']:.1%} hold a larger one ({most['confidence']:.0%} confidence, from "
        f"{int(most['groups'])} levels, for these two agents and states that they visit).",
    ]
    places: list[Place] = []
    for place in record["places"]:
        places.append(_place(Path(record["folder"]), place, (a, b), room))
        room -= places[-1].size
    kinds = [
        {
            "states": str(row["kind"]),
            "mean distance": number(row["value"]),
            "95 % interval": interval(row["low"], row["high"], lambda end: number(max(end, 0.0))),
            "largest": number(row["largest"]),
            "number": str(row["states"]),
            "levels": str(row["groups"]),
        }
        for row in record["kinds"]
    ]
    notes = [str(note) for note in record.get("notes", [])]
    bounds = [_bound(group) for group in _by_question(record.get("bounds", []))]
    if bounds:
        lines.append(_bound_line(record["bounds"], float(record["confidence"])))
    return Comparison(a, b, lines, kinds, bounds, places, list(record["slices"]), notes)


_ASKED = {"ret": "return", "coin_collected": "gets the coin", "end_reached": "reaches the end"}


def _by_question(rows: list[dict[str, Any]]) -> list[dict[str, dict[str, Any]]]:
    """The bounds by method, for each placement and observable in their order."""
    questions: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for row in rows:
        questions.setdefault((row["placement"], row["observable"]), {})[row["method"]] = row
    return list(questions.values())


def _bound(methods: dict[str, dict[str, Any]]) -> dict[str, str]:
    """A row of the table of bounds."""
    one = next(iter(methods.values()))
    return {
        "levels": probe_title(str(one["placement"])),
        "of an episode": _ASKED[one["observable"]],
        "a": number(one["a"]),
        "b": number(one["b"]),
        **{name: "vacuous" if row["vacuous"] else number(row["bound"])
           for name, row in methods.items()},
    }  # fmt: skip


def _bound_line(rows: list[dict[str, Any]], confidence: float) -> str:
    """What is shown of one agent in the other's place, and what is not."""
    couplings = {row["placement"]: row for row in rows if row["method"] == "coupling"}
    shown = {place: row["bound"] / row["range"] for place, row in couplings.items()
             if not row["vacuous"]}  # fmt: skip
    parts = [f"{probe_title(place)}: by {share:.0%} of its range" for place, share in shown.items()]
    nothing = [probe_title(place) for place in couplings if place not in shown]
    if parts:
        parts = [
            "Whatever is asked of an episode, the mean of its answers differs between the two by "
            f"at most a known share of what it can be ({'; '.join(parts)})."
        ]
    if nothing:
        parts.append(
            f"For all questions at once nothing can be said on {', '.join(nothing)}: there the two "
            "do not stay together to the end of an episode often enough."
        )
    levels = next(iter(couplings.values()))["levels"]
    parts.append(
        f"Each bound of the table holds with {confidence:.0%} confidence by itself, for means over "
        f"levels drawn as the {levels} of each placement, and for these two agents as they act; "
        "nothing is shown for other levels, for single episodes, or for agents trained once more."
    )
    return " ".join(parts)


def _place(folder: Path, record: dict[str, Any], names: tuple[str, str], room: int) -> Place:
    agents = []
    for name, moves, clip in zip(names, record["moves"], record["clips"], strict=True):
        strip = _picture(folder, clip["strip"], "png", room)
        film = _picture(folder, clip["file"], "gif", room - len(strip))
        room -= len(strip) + len(film)
        does = f"left {moves['left']:.0%}, right {moves['right']:.0%}"
        agents.append(AgentView(name, does, str(clip["caption"]), strip, film))
    title = (
        f"{capital(probe_title(str(record['placement'])))}, level {int(record['level_seed'])}: "
        f"{record['kind']}; distance {float(record['tv']):.2f}"
    )
    return Place(title, _picture(folder, record["picture"], "png", room), agents)


def _picture(folder: Path, name: str, kind: str, room: int) -> str:
    """A picture of the comparison's own folder as base64; empty where there is none to show."""
    try:
        return embed(folder, str(name), kind, room)
    except ValueError:
        return ""
