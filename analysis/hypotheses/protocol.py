"""What a kind of hypothesis must know: how it is checked, and the test that runs make of it."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from analysis.hypotheses.design import Design
from analysis.hypotheses.hypothesis import Hypothesis
from analysis.hypotheses.measures import Measures
from analysis.permutations import Orders

Array = npt.NDArray[np.float64]


class Test(Protocol):
    """A hypothesis over the runs at hand."""

    @property
    def design(self) -> Design:
        """Over which runs."""

    @property
    def statistic(self) -> str:
        """What `value` is."""

    @property
    def note(self) -> str:
        """What a reader must know of it, such as runs left out."""

    @property
    def value(self) -> float:
        """Of the statistic."""

    @property
    def center(self) -> float | None:
        """Of what is compared: two-sided tests measure from it; None is the permutations' mean."""

    def null(self, orders: Orders) -> Array:
        """What is compared, for each arrangement, `[b]`; the observed one first."""

    def interval(self, null: Array) -> tuple[float, float]:
        """95 % interval of `value`."""

    def smallest_effect(self, null: Array, critical: float) -> float:
        """Smallest true value that is found in 80 % of studies of this design.

        Args:
            null: what `null` gave.
            critical: value of the compared statistic from which on it counts as found.
        """


class Kind(Protocol):
    """A kind of hypothesis."""

    @property
    def one_sided(self) -> bool:
        """Whether only a large value speaks for it, even where no direction is given."""

    @property
    def no_controls(self) -> str:
        """Why it takes no controls (`given`); empty where it does."""

    def check(self, hypothesis: Hypothesis) -> None:
        """Raise InputError where the hypothesis lacks what this kind needs."""

    def test(self, hypothesis: Hypothesis, data: Measures) -> Test:
        """The test of a hypothesis.

        Raises:
            Untestable: these runs allow none.
            InputError: the tables lack what it names.
        """
