"""Kind `seeds`: the link of a series and a metric across the seeds of each arm."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from analysis.hypotheses.design import Design, Untestable, join_notes
from analysis.hypotheses.hypothesis import Hypothesis, need_metric
from analysis.hypotheses.linear import LinearTest
from analysis.hypotheses.measures import Measures, apart
from analysis.hypotheses.trend import means_of
from analysis.permutations import MIN_RUNS


class Seeds:
    """Pooled within-arm correlation, partial where controls are given; permuted within arms."""

    one_sided = False
    no_controls = ""

    def check(self, hypothesis: Hypothesis) -> None:
        """It needs a metric."""
        need_metric(hypothesis)

    def test(self, hypothesis: Hypothesis, data: Measures) -> LinearTest:
        """The test over runs that have both values and all controls."""
        step, courses = hypothesis.step, (data.series(hypothesis), data.metric(hypothesis))
        series, metric = (course.at(step) for course in courses)
        rows = data.complete(hypothesis, series=series, metric=metric)
        if len(rows.runs) < MIN_RUNS:
            few = f"needs {MIN_RUNS} runs with both values, has {len(rows.runs)}"
            raise Untestable(join_notes(few, rows.note))
        numbers, name = np.vstack([rows.values, rows.controls.T]), "correlation"
        if hypothesis.statistic == "rank":
            name = "rank correlation"
            for arm in set(rows.arms):
                numbers[:, rows.arms == arm] = rankdata(numbers[:, rows.arms == arm], axis=1)
        name += " within arms" if len(set(rows.arms)) > 1 else " over seeds"
        if hypothesis.given:
            name += f" given {', '.join(hypothesis.given)}"
        nuisance = np.hstack([means_of(rows.arms), numbers[2:].T])
        design = Design(tuple(rows.runs), tuple(map(str, rows.arms)))
        unsure = data.suspects(hypothesis, rows.runs)
        note = join_notes(rows.note, apart(*courses, step), unsure)
        return LinearTest(design, name, numbers[0], numbers[1], nuisance, None, note)
