"""Kind `dose`: a trend over arms that carry a number, or a link that follows it."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from analysis.hypotheses.design import Design, Untestable, join_notes
from analysis.hypotheses.hypothesis import Hypothesis, need_metric
from analysis.hypotheses.linear import LinearTest
from analysis.hypotheses.measures import Measures, apart
from analysis.hypotheses.trend import trend_test
from rl_slt import InputError


class Dose:
    """Trend of a series or metric, linear in the rank of the dose; seeds permuted over doses.

    With `statistic = "link"`: the correlation of the series with the metric over all runs, runs
    permuted over all doses. What the dose moves in both is a link there; kind `seeds` is about what
    is left within the arms.
    """

    one_sided = False
    no_controls = ""

    def check(self, hypothesis: Hypothesis) -> None:
        """A link needs a metric."""
        if hypothesis.statistic == "link":
            need_metric(hypothesis)

    def test(self, hypothesis: Hypothesis, data: Measures) -> LinearTest:
        """The test of the trend, or of the link."""
        doses = hypothesis.doses or data.dose
        if hypothesis.arms is not None:
            absent = [arm for arm in hypothesis.arms if arm not in doses]
            doses = {arm: doses[arm] for arm in hypothesis.arms if arm in doses}
            if absent:
                raise InputError.of("doses", absent[0], "an arm with a number", _HINT)
        if len(set(doses.values())) < 2:
            raise InputError.of("doses", doses or None, "two different numbers of arms", _HINT)
        if unknown := [arm for arm in doses if arm not in data.arms]:
            raise InputError.of("doses", unknown[0], f"an arm: {', '.join(data.arms)}")
        if hypothesis.statistic == "link":
            return _link(hypothesis, data, list(doses))
        scores = dict(zip(doses, rankdata(list(doses.values())), strict=True))
        return trend_test(hypothesis, data, scores, "trend over doses")


_HINT = "give `doses = {ARM = NUMBER}`, or each arm of the study `dose = NUMBER`"


def _link(hypothesis: Hypothesis, data: Measures, arms: list[str]) -> LinearTest:
    step, courses = hypothesis.step, (data.series(hypothesis), data.metric(hypothesis))
    series, metric = (course.at(step) for course in courses)
    rows = data.complete(hypothesis, series=series, metric=metric)
    rows = rows.of(np.isin(rows.arms, arms))
    if len(set(rows.arms)) < 2:
        raise Untestable("needs runs of two doses with both values")
    x, y = rankdata(rows.values, axis=1)
    nuisance = np.hstack([np.ones((len(x), 1)), rankdata(rows.controls, axis=0)])
    design = Design(tuple(rows.runs), (0,) * len(x))
    unsure = data.suspects(hypothesis, rows.runs)
    note = join_notes(rows.note, apart(*courses, step), unsure)
    return LinearTest(design, "rank correlation over doses", x, y, nuisance, None, note)
