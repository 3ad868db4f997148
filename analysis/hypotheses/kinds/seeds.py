"""Kind `seeds`: the link of a series and a metric across the seeds of each arm."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from analysis.hypotheses.design import Design, Untestable, join_notes
from analysis.hypotheses.hypothesis import Hypothesis, need_metric
from analysis.hypotheses.linear import LinearTest
from analysis.hypotheses.measures import Measures, Rows, apart
from analysis.hypotheses.trend import means_of
from analysis.permutations import MIN_RUNS


class Seeds:
    """Pooled within-arm correlation, partial where controls are given; permuted within arms.

    An arm in which the series or the metric is the same in all runs tells nothing of a link: its
    runs count neither in the correlation nor in n and power.
    """

    one_sided = False
    no_controls = ""

    def check(self, hypothesis: Hypothesis) -> None:
        """It needs a metric."""
        need_metric(hypothesis)

    def test(self, hypothesis: Hypothesis, data: Measures) -> LinearTest:
        """The test over runs that have both values and all controls."""
        step, courses = hypothesis.step, (data.series(hypothesis), data.metric(hypothesis))
        series, metric = (course.at(step) for course in courses)
        rows, of = data.complete(hypothesis, series=series, metric=metric), "with both values"
        if len(rows.runs) >= MIN_RUNS:
            rows, of = telling(rows), "of arms that differ in both values"
        if len(rows.runs) < MIN_RUNS:
            raise Untestable(
                join_notes(f"needs {MIN_RUNS} runs {of}, has {len(rows.runs)}", rows.note)
            )
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


def telling(rows: Rows) -> Rows:
    """The runs of arms in which both values differ, with a note of the others."""
    flat = []
    for arm in dict.fromkeys(rows.arms):
        values = rows.values[:, rows.arms == arm]
        if np.any(np.ptp(values, axis=1) <= 1e-9 * np.abs(values).max(axis=1)):
            flat.append(arm)
    names = ", ".join(f"{arm} ({np.sum(rows.arms == arm)} runs)" for arm in flat)
    note = f"not counted, a value is the same in all their runs: {names}" if flat else ""
    return rows.of(~np.isin(rows.arms, flat), note)
