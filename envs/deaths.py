"""What killed the agent, told from where it was one step before."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from envs.layout import Cell, Layout

UNKNOWN = "unknown"
HALF = np.array([0.5, 0.5787])  # half the agent's box
STEP = np.array([0.5, 1.5])  # farthest that it moves in one step


def _none() -> NDArray[np.int64]:
    return np.zeros((0, 2), np.int64)


@dataclass(frozen=True, eq=False)
class Hazards:
    """The deadly cells [k, 2] of a level at its start, by cause, and its end cell."""

    end: Cell = (0, 0)
    saw: NDArray[np.int64] = field(default_factory=_none)
    lava: NDArray[np.int64] = field(default_factory=_none)
    enemy: NDArray[np.int64] = field(default_factory=_none)

    @classmethod
    def of(cls, layout: Layout) -> "Hazards":
        """The hazards that a layout lists."""
        return cls(layout.end, **layout.hazards)

    def cause(self, xy: NDArray[np.float32]) -> str:
        """`saw`, `lava` or `enemy`: what the box around xy [2] could reach in one step.

        Saws and lava stay where they are, so the nearer of those within reach is the cause;
        enemies walk, so they are the cause when neither is within reach.
        """
        gaps = {name: self._gap(xy, name) for name in ("saw", "lava")}
        name = min(gaps, key=lambda key: gaps[key])
        if gaps[name] <= 0 or not len(self.enemy):
            return name if np.isfinite(gaps[name]) else UNKNOWN
        return "enemy"

    def _gap(self, xy: NDArray[np.float32], name: str) -> float:
        """How far the nearest such cell is beyond reach, the worse of columns and rows."""
        cells = getattr(self, name)
        if not len(cells):
            return np.inf
        return float((np.abs(cells + 0.5 - xy) - HALF - 0.5 - STEP).max(axis=1).min())
