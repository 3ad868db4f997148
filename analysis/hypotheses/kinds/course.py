"""Kind `course`: do LLC and goal run alike along training, more than those of other seeds?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import t

from analysis.associations.across import less_arm_mean, unit_rows
from analysis.hypotheses.design import Design, Untestable, join_notes
from analysis.hypotheses.hypothesis import Hypothesis, need_metric
from analysis.hypotheses.measures import Measures
from analysis.permutations import MIN_RUNS, Orders, mean_of_table
from analysis.power import detectable_course

Array = npt.NDArray[np.float64]


class Course:
    """Mean over runs of the correlation along training, less the arm's mean curve."""

    one_sided = False
    no_controls = "its courses are compared as they are"

    def check(self, hypothesis: Hypothesis) -> None:
        """It needs a metric."""
        need_metric(hypothesis)

    def test(self, hypothesis: Hypothesis, data: Measures) -> CourseTest:
        """The test over runs, at the checkpoints where all have both."""
        series, metric = data.series(hypothesis), data.metric(hypothesis)
        steps = np.intersect1d(series.steps, metric.steps)
        x, y = (part.table[:, np.isin(part.steps, steps)] for part in (series, metric))
        most = {name: np.where(np.isfinite(part).mean(axis=1) >= 0.5, 0.0, np.nan)
                for name, part in (("series", x), ("metric", y))} if len(steps) else {}  # fmt: skip
        rows = data.complete(hypothesis, **most)
        kept = np.isin(data.runs, rows.runs)
        shared = np.isfinite(x[kept]).all(axis=0) & np.isfinite(y[kept]).all(axis=0)
        if len(rows.runs) < MIN_RUNS or shared.sum() < 3:
            raise Untestable(f"needs {MIN_RUNS} runs with 3 shared checkpoints, has "
                             f"{len(rows.runs)} with {shared.sum()}")  # fmt: skip
        note = join_notes(rows.note, data.suspects(hypothesis, rows.runs, True))
        arms = tuple(map(str, rows.arms))
        x, y = (unit_rows(less_arm_mean(part[kept][:, shared], arms)) for part in (x, y))
        if not np.isfinite(np.sum(x) + np.sum(y)):
            raise Untestable("no difference between runs of an arm, or no change along training")
        return CourseTest(Design(tuple(rows.runs), arms), x @ y.T, y @ y.T, note)


@dataclass(frozen=True)
class CourseTest:
    """See `Course`; `table[i, j]` is the correlation of the LLC of run i and the goal of run j.

    `goals[i, j]` is that of two goals.
    """

    design: Design
    table: Array
    goals: Array
    note: str
    center: float | None = None
    statistic: str = "correlation along training"

    @property
    def value(self) -> float:
        """Mean over runs of their own correlation."""
        return float(np.mean(np.diag(self.table)))

    def null(self, orders: Orders) -> Array:
        """The mean correlation of LLCs with the goals of permuted runs."""
        return mean_of_table(self.table)(orders)

    def interval(self, null: Array) -> tuple[float, float]:
        """95 % interval of the mean, by Student's t over runs."""
        own = pd.Series(np.diag(self.table))
        half = float(own.sem() * t.ppf(0.975, len(own) - 1))
        return max(-1.0, self.value - half), min(1.0, self.value + half)

    def smallest_effect(self, null: Array, critical: float) -> float:
        """Of LLCs that are the goal's course by a share (see `detectable_course`)."""
        return detectable_course(null, mean_of_table(self.goals)(self.design.orders), critical)
