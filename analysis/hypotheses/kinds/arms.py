"""Kind `arms`: a series or metric over the seeds of arms, in the order of the claimed rise."""

from __future__ import annotations

from analysis.hypotheses.hypothesis import Hypothesis
from analysis.hypotheses.linear import LinearTest
from analysis.hypotheses.measures import Measures
from analysis.hypotheses.trend import trend_test
from rl_slt import InputError


class Arms:
    """Difference between arms; with more than two the trend over their order."""

    one_sided = False
    no_controls = ""

    def check(self, hypothesis: Hypothesis) -> None:
        """It needs at least two arms."""
        if hypothesis.arms is None or len(hypothesis.arms) < 2:
            raise InputError.of("arms", hypothesis.arms and list(hypothesis.arms),
                                "at least two arms, in the order of the claimed rise")  # fmt: skip

    def test(self, hypothesis: Hypothesis, data: Measures) -> LinearTest:
        """See `trend_test`; the scores are the places in `arms`."""
        arms = hypothesis.arms or ()
        scores = {arm: float(k) for k, arm in enumerate(arms)}
        return trend_test(hypothesis, data, scores, "difference" if len(arms) == 2 else "trend")
