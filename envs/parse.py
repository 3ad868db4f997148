"""Placements from text."""

import math
import re

from envs.placements import At, Behind, Both, End, Ground, Mix, Nowhere, Placement, Section
from rl_slt import InputError

ALLOWED = (
    "end, section, ground, behind, behind=MIN-MAX, none, at=X,Y, both, mix:P:A:B "
    "(each but behind and mix also with @mid)"
)
SIMPLE: dict[str, type[Placement]] = {
    "end": End,
    "section": Section,
    "ground": Ground,
    "none": Nowhere,
    "both": Both,
}
WORLD = 64  # columns and rows of the largest world


def parse_placement(text: "str | Placement") -> Placement:
    """The placement that a text names; `str` of it gives the text back.

    Raises InputError naming the wrong part and what is allowed.
    """
    if isinstance(text, Placement):
        return text
    if not isinstance(text, str):
        raise InputError(f"placement {text!r} is not a text; allowed: {ALLOWED}")
    placement, rest = _parse(text.strip(), text)
    if rest:
        raise InputError(f"placement {text!r} goes on with {rest!r} after its end")
    return placement


def _parse(text: str, whole: str) -> tuple[Placement, str]:
    """One placement from the start of the text, and what follows it."""
    if text.startswith("mix:"):
        return _parse_mix(text[4:], whole)
    word, colon, rest = text.partition(":")
    return _parse_simple(word, whole), colon + rest


def _parse_mix(text: str, whole: str) -> tuple[Placement, str]:
    number, _, rest = text.partition(":")
    try:
        p = float(number)
    except ValueError:
        p = math.nan
    if not 0 <= p <= 1:
        raise InputError(f"placement {whole!r}: {number!r} is not a probability from 0 to 1")
    a, rest = _parse(rest, whole)
    if not rest.startswith(":"):
        raise InputError(f"placement {whole!r}: a mixture needs two parts, mix:P:A:B")
    b, rest = _parse(rest[1:], whole)
    return Mix(p=p, a=a, b=b), rest


def _parse_simple(word: str, whole: str) -> Placement:
    body, at, start = word.partition("@")
    if at and start not in ("mid", "spawn"):
        raise InputError(f"placement {whole!r}: start {start!r} is not one of @mid, @spawn")
    mid = start == "mid"
    if body in SIMPLE:
        return SIMPLE[body](mid=mid)
    if match := re.fullmatch(r"at=(\d+),(\d+)", body):
        return _at(int(match[1]), int(match[2]), mid, whole)
    if match := re.fullmatch(r"behind(?:=(\d+)-(\d+))?", body):
        if start == "spawn":
            raise InputError(f"placement {whole!r}: behind starts in mid-level, not at @spawn")
        return _behind(match[1], match[2], whole) if match[1] else Behind()
    raise InputError(f"placement {whole!r} is unknown at {word!r}; allowed: {ALLOWED}")


def _at(x: int, y: int, mid: bool, whole: str) -> Placement:
    if max(x, y) >= WORLD:
        raise InputError(f"placement {whole!r}: cells go from 0,0 to {WORLD - 1},{WORLD - 1}")
    return At(x=x, y=y, mid=mid)


def _behind(low: str, high: str, whole: str) -> Placement:
    if not 1 <= int(low) <= int(high) < WORLD:
        raise InputError(f"placement {whole!r}: distances are 1 <= MIN <= MAX < {WORLD} columns")
    return Behind(low=int(low), high=int(high))
