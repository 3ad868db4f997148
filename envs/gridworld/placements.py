"""Where the cheese lies, as distributions over cells, and their texts."""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.gridworld.layouts import Layout
from envs.placements import parse_mix
from rl_slt import InputError

ALLOWED = "corner, anywhere, at=X,Y, mix:P:A:B"


@dataclass(frozen=True)
class CheesePlacement:
    """A rule for the cell of the cheese."""

    def probabilities(self, layout: Layout) -> NDArray[np.float64]:
        """Of each state to hold the cheese, `[S]`."""
        raise NotImplementedError


@dataclass(frozen=True)
class Corner(CheesePlacement):
    """The top right corner."""

    def probabilities(self, layout: Layout) -> NDArray[np.float64]:
        """All in the corner."""
        return _only(layout, layout.corner)

    def __str__(self) -> str:
        return "corner"


@dataclass(frozen=True)
class Anywhere(CheesePlacement):
    """Uniform over the free cells, the corner among them."""

    def probabilities(self, layout: Layout) -> NDArray[np.float64]:
        """The same for every free cell."""
        free = layout.free.ravel()
        return np.asarray(free / free.sum())

    def __str__(self) -> str:
        return "anywhere"


@dataclass(frozen=True)
class At(CheesePlacement):
    """A given cell: column from the left, row from the bottom."""

    x: int
    y: int

    def probabilities(self, layout: Layout) -> NDArray[np.float64]:
        """All in the cell; InputError where it is none or a wall."""
        inside = max(self.x, self.y) < layout.size
        if not inside or not layout.free[self.y, self.x]:
            raise InputError.of("coin", str(self), f"a free cell of a grid of size {layout.size}")
        return _only(layout, self.y * layout.size + self.x)

    def __str__(self) -> str:
        return f"at={self.x},{self.y}"


@dataclass(frozen=True)
class Mixture(CheesePlacement):
    """Placement `a` with probability `p`, else `b`."""

    p: float
    a: CheesePlacement
    b: CheesePlacement

    def probabilities(self, layout: Layout) -> NDArray[np.float64]:
        """The mixture of both."""
        return self.p * self.a.probabilities(layout) + (1 - self.p) * self.b.probabilities(layout)

    def __str__(self) -> str:
        return f"mix:{self.p!r}:{self.a}:{self.b}"


def _only(layout: Layout, state: int) -> NDArray[np.float64]:
    return np.asarray(np.arange(layout.size**2) == state, np.float64)


def parse_cheese(text: str | CheesePlacement) -> CheesePlacement:
    """The placement of the cheese that a text names; `str` of it gives the text back.

    Args:
        text: `corner`, `anywhere`, `at=X,Y`, or `mix:P:A:B` for A with probability P, else B.

    Raises:
        InputError: naming the wrong part and what is allowed.

    Example:
        >>> parse_cheese("mix:0.1:anywhere:corner")
        Mixture(p=0.1, a=Anywhere(), b=Corner())
    """
    if isinstance(text, CheesePlacement):
        return text
    if not isinstance(text, str):
        raise InputError.of("coin", text, ALLOWED)
    return parse_mix(text, _parse_simple, Mixture)


_SIMPLE = {"corner": Corner(), "anywhere": Anywhere()}


def _parse_simple(word: str, whole: str) -> CheesePlacement:
    if word in _SIMPLE:
        return _SIMPLE[word]
    if match := re.fullmatch(r"at=(\d+),(\d+)", word):
        return At(int(match[1]), int(match[2]))
    where = "" if word == whole else f"; wrong at {word!r}"
    raise InputError.of("coin", whole, ALLOWED + where)
