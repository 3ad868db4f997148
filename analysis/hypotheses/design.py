"""Which runs a test is over, and which of them may change places."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from analysis.permutations import Orders, arrangements

MOST = 15_000  # arrangements; all 5! x 5! of two arms of five seeds are 14,400


def join_notes(*notes: str) -> str:
    """Those that are not empty, as one text of the table's column `message`."""
    return "; ".join(filter(None, notes))


class Untestable(Exception):
    """The runs at hand allow no test; the message is the reason, for the table."""


@dataclass(frozen=True)
class Design:
    """Which runs a test is over, and which of them may change places.

    Tests of equal designs share their arrangements.

    Attributes:
        runs: names.
        strata: of each run.
        labels: of each run, where only the assignment of labels counts.
    """

    runs: tuple[str, ...]
    strata: tuple[Hashable, ...]
    labels: tuple[Hashable, ...] | None = None

    @property
    def orders(self) -> Orders:
        """Arrangements of the runs, `[b, runs]`, the observed one first."""
        return arrangements(self.strata, self.labels, MOST)
