"""Where the coin lies and where the agent starts, as frozen values, and their texts.

`place(layout)` gives the `Spot` of one level. It draws from generators seeded by the level
alone, so a level has the same coin and start whatever else is asked for (matched pairs).
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import TypeVar

import numpy as np

from envs.game import Cell, Cells, Layout, shuffled
from rl_slt import InputError

VIEW_ROWS = 5  # the agent sees 6 rows up and down, the outermost only in part
DEFAULT_BEHIND = (2, 6)
GROUND_SHARES = "ground=LOW-HIGH"


@dataclass(frozen=True)
class Spot:
    """Coins of one level, the displaced one first, and the agent's cell (None: the spawn)."""

    coins: tuple[Cell, ...]
    agent: Cell | None = None


@dataclass(frozen=True, kw_only=True)
class Placement:
    """A rule for the coin; `mid` starts the agent in mid-level.

    Attributes:
        mid: whether the agent starts in mid-level.
    """

    mid: bool = False

    name = ""

    def place(self, layout: Layout) -> Spot:
        """Coins and start for this level; InputError when the level does not allow it."""
        if self.form not in layout.supports:
            raise _unsupported(self, layout)
        agent = mid_start(layout) if self.mid else None
        return Spot(self.coins(layout, agent), agent)

    def coins(self, layout: Layout, agent: Cell | None) -> tuple[Cell, ...]:
        """Cells of the coins when the agent starts at `agent` (None: the spawn)."""
        raise NotImplementedError

    @property
    def form(self) -> str:
        """The name as a layout's `supports` has it, with what it must bear."""
        return self.name

    def choose(self, generator: np.random.Generator) -> "Placement":
        """The placement of one episode: itself, or a part when this is a mixture."""
        return self

    def __str__(self) -> str:
        return self.name + ("@mid" if self.mid else "")


@dataclass(frozen=True, kw_only=True)
class End(Placement):
    """Stock CoinRun: the coin at the right end."""

    name = "end"

    def coins(self, layout: Layout, agent: Cell | None) -> tuple[Cell, ...]:
        """The end cell."""
        return (layout.end,)


@dataclass(frozen=True, kw_only=True)
class Nowhere(Placement):
    """No coin."""

    name = "none"

    def coins(self, layout: Layout, agent: Cell | None) -> tuple[Cell, ...]:
        """No cell."""
        return ()


@dataclass(frozen=True, kw_only=True)
class Ground(Placement):
    """Uniform over the standable columns between spawn and end, from `low` to `high` of the way.

    The way is counted in columns: column x has the share (x - spawn) / (end - spawn).
    """

    low: float = 0.0
    high: float = 1.0

    name = "ground"

    @property
    def form(self) -> str:
        """Shares of the way are only for games that go from the left to the right."""
        return self.name if (self.low, self.high) == (0, 1) else GROUND_SHARES

    def coins(self, layout: Layout, agent: Cell | None) -> tuple[Cell, ...]:
        """The first cell of the level's order within the shares, or the one nearest to them."""
        cells = ground_cells(layout, agent)
        if self.form != GROUND_SHARES:
            return (cells[0],)
        spawn, way = layout.spawn[0], layout.end[0] - layout.spawn[0]

        def miss(cell: Cell) -> float:
            share = (cell[0] - spawn) / way
            return max(self.low - share, share - self.high, 0)

        return (min(cells, key=miss),)

    def __str__(self) -> str:
        shares = "" if self.form == self.name else f"={self.low!r}-{self.high!r}"
        return self.name + shares + ("@mid" if self.mid else "")


@dataclass(frozen=True, kw_only=True)
class Section(Placement):
    """First column of a uniformly drawn section, on the ground (Langosco et al. 2022's fork)."""

    name = "section"

    def coins(self, layout: Layout, agent: Cell | None) -> tuple[Cell, ...]:
        """One of the section starts; beside it where the agent starts on the only one."""
        cells = shuffled(layout, layout.section_cells, "section")
        others = [cell for cell in cells if cell != agent]
        return (others[0] if others else _beside(layout, cells[0]),)


@dataclass(frozen=True, kw_only=True)
class Both(Placement):
    """One coin on the ground, at least 3 columns from the end, and one at the end."""

    name = "both"

    def coins(self, layout: Layout, agent: Cell | None) -> tuple[Cell, ...]:
        """The ground coin first."""
        end = layout.end
        cells = ground_cells(layout, agent, end)
        return (min(cells, key=lambda cell: abs(cell[0] - end[0]) < 3), end)


@dataclass(frozen=True, kw_only=True)
class At(Placement):
    """A given cell."""

    x: int
    y: int

    name = "at"

    def coins(self, layout: Layout, agent: Cell | None) -> tuple[Cell, ...]:
        """The cell, checked against the level."""
        cell = (self.x, self.y)
        if cell == agent or not layout.is_free(cell):
            level = f"level {layout.level_seed}, which ends at column {layout.end[0]}"
            raise InputError.of("coin", str(self), f"a free cell of {level}")
        return (cell,)

    def __str__(self) -> str:
        return f"at={self.x},{self.y}" + ("@mid" if self.mid else "")


@dataclass(frozen=True, kw_only=True)
class Behind(Placement):
    """The agent starts mid-level, the coin lies `low` to `high` columns to its left, in view."""

    low: int = DEFAULT_BEHIND[0]
    high: int = DEFAULT_BEHIND[1]
    mid: bool = True

    name = "behind"

    def place(self, layout: Layout) -> Spot:
        """The first start of the level's order that has such a coin, and one such coin."""
        if self.name not in layout.supports:
            raise _unsupported(self, layout)
        start, coins = start_with_coins(layout, self.low, self.high)
        return Spot((shuffled(layout, coins, f"behind{start}")[0],), start)

    def __str__(self) -> str:
        default = (self.low, self.high) == DEFAULT_BEHIND
        return "behind" if default else f"behind={self.low}-{self.high}"


@dataclass(frozen=True, kw_only=True)
class Mix(Placement):
    """Placement `a` with probability `p`, else `b`, drawn again for every episode."""

    p: float
    a: Placement
    b: Placement

    name = "mix"

    def choose(self, generator: np.random.Generator) -> Placement:
        """One of the two parts, or a part of theirs."""
        part = self.a if generator.random() < self.p else self.b
        return part.choose(generator)

    def __str__(self) -> str:
        return f"mix:{self.p!r}:{self.a}:{self.b}"


def ground_cells(layout: Layout, *taken: Cell | None) -> Cells:
    """The coin cells that are not taken, in the level's order."""
    cells = [c for c in shuffled(layout, layout.coin_cells, "ground") if c not in taken]
    if not cells:
        raise InputError.of("level", layout.level_seed, "one with a free cell for a ground coin")
    return cells


def _unsupported(placement: Placement, layout: Layout) -> InputError:
    known = ", ".join(sorted(layout.supports))
    return InputError.of("coin", str(placement), f"one of {known} in this game")


def _beside(layout: Layout, cell: Cell) -> Cell:
    """The coin cell next to a cell."""
    others = [other for other in layout.coin_cells if other != cell] or layout.coin_cells
    return min(others, key=lambda other: abs(other[0] - cell[0]) + abs(other[1] - cell[1]))


def mid_start(layout: Layout) -> Cell:
    """The start of this level in mid-level: one that `behind` can use, so that both agree."""
    if "behind" in layout.supports:
        return start_with_coins(layout, *DEFAULT_BEHIND)[0]
    return shuffled(layout, layout.start_cells, "start")[0]


def start_with_coins(layout: Layout, low: int, high: int) -> tuple[Cell, Cells]:
    """First start in the level's order with coin cells `low` to `high` columns to its left.

    Where a level has none (crowded or very short), the pair of standable cells that comes
    nearest to what was asked for.
    """
    for start in shuffled(layout, layout.start_cells, "start"):
        seen = [
            (x, y)
            for x, y in layout.coin_cells
            if low <= start[0] - x <= high and abs(y - start[1]) <= VIEW_ROWS
        ]
        if seen:
            return start, seen
    return _nearest_pair(layout, low, high)


def _nearest_pair(layout: Layout, low: int, high: int) -> tuple[Cell, Cells]:
    """The pair of a start and a coin to its left that misses the range by least."""

    def miss(pair: tuple[Cell, Cell]) -> int:
        left = pair[0][0] - pair[1][0]
        return max(low - left, left - high) + 100 * (left < 1)

    pairs = product(layout.start_cells or layout.coin_cells, layout.coin_cells)
    start, coin = min(pairs, key=miss)
    return start, [coin]


# ---- From text -------------------------------------------------------------------------------

ALLOWED = (
    "end, section, ground, ground=LOW-HIGH, behind, behind=MIN-MAX, none, at=X,Y, both, mix:P:A:B "
    "(each but behind and mix also with @mid)"
)
_NUMBER = r"\d*\.?\d+(?:e-\d+)?"
WORLD = 64  # columns and rows of the largest world
P = TypeVar("P")  # what a text is read as
_SIMPLE = {kind.name: kind for kind in (End, Section, Ground, Nowhere, Both)}


def parse_placement(text: "str | Placement") -> Placement:
    """The placement that a text names; `str` of it gives the text back.

    Args:
        text: as a user types it, `mix:0.5:behind:end`; a placement is given back as it is.

    Raises:
        InputError: naming the wrong part and what is allowed.

    Example:
        >>> parse_placement("mix:0.05:ground:end@mid")
        Mix(mid=False, p=0.05, a=Ground(mid=False), b=End(mid=True))
    """
    if isinstance(text, Placement):
        return text
    if not isinstance(text, str):
        raise InputError.of("coin", text, ALLOWED)
    return parse_mix(text, _parse_simple, lambda p, a, b: Mix(p=p, a=a, b=b))


def parse_mix(text: str, simple: Callable[[str, str], P], mix: Callable[[float, P, P], P]) -> P:
    """What a text names: a simple part, or `mix:P:A:B`, each of A and B again such a text.

    Args:
        text: as it was typed.
        simple: reads a part that is no mixture; its second argument is the whole text.
        mix: makes the mixture of A with probability P, else B.

    Raises:
        InputError: naming the wrong part and what is allowed.
    """
    found, rest = _parse(text.strip(), text, simple, mix)
    if rest:
        raise InputError.of("coin", text, f"one placement; it goes on with {rest!r}")
    return found


def _parse(
    text: str, whole: str, simple: Callable[[str, str], P], mix: Callable[[float, P, P], P]
) -> tuple[P, str]:
    """One placement from the start of the text, and what follows it."""
    if not text.startswith("mix:"):
        word, colon, rest = text.partition(":")
        return simple(word, whole), colon + rest
    number, _, rest = text[4:].partition(":")
    try:
        p = float(number)
    except ValueError:
        p = math.nan
    if not 0 <= p <= 1:
        raise InputError.of("coin", whole, f"mix:P:A:B with P from 0 to 1, not {number!r}")
    a, rest = _parse(rest, whole, simple, mix)
    if not rest.startswith(":"):
        raise InputError.of("coin", whole, "mix:P:A:B, with two parts A and B")
    b, rest = _parse(rest[1:], whole, simple, mix)
    return mix(p, a, b), rest


def _parse_simple(word: str, whole: str) -> Placement:
    body, at, start = word.partition("@")
    if at and start not in ("mid", "spawn"):
        raise InputError.of("coin", whole, f"with @mid or @spawn, not @{start}")
    mid = start == "mid"
    if body in _SIMPLE:
        return _SIMPLE[body](mid=mid)
    if match := re.fullmatch(r"at=(\d+),(\d+)", body):
        x, y = int(match[1]), int(match[2])
        if max(x, y) >= WORLD:
            raise InputError.of("coin", whole, f"at=X,Y from 0,0 to {WORLD - 1},{WORLD - 1}")
        return At(x=x, y=y, mid=mid)
    if match := re.fullmatch(rf"ground=({_NUMBER})-({_NUMBER})", body):
        shares = float(match[1]), float(match[2])
        if not 0 <= shares[0] <= shares[1] <= 1:
            raise InputError.of("coin", whole, f"{GROUND_SHARES}, 0 <= LOW <= HIGH <= 1")
        return Ground(low=shares[0], high=shares[1], mid=mid)
    if match := re.fullmatch(r"behind(?:=(\d+)-(\d+))?", body):
        if start == "spawn":
            raise InputError.of("coin", whole, "without @spawn: behind starts in mid-level")
        low, high = (int(match[1]), int(match[2])) if match[1] else DEFAULT_BEHIND
        if not 1 <= low <= high < WORLD:
            raise InputError.of("coin", whole, f"behind=MIN-MAX, 1 <= MIN <= MAX < {WORLD}")
        return Behind(low=low, high=high)
    where = "" if word == whole else f"; wrong at {word!r}"
    raise InputError.of("coin", whole, ALLOWED + where)
