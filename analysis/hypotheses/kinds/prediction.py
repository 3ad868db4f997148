"""Kind `prediction`: does the LLC predict the goal beyond the step, the arm and cheaper signs?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.hypotheses.design import Design, Untestable, join_notes
from analysis.hypotheses.hypothesis import Hypothesis, need_metric
from analysis.hypotheses.measures import Course, Measures
from analysis.permutations import MIN_RUNS, TOLERANCE, Orders
from analysis.prediction import BASELINE, Task, prediction_task
from rl_slt import InputError

Array = npt.NDArray[np.float64]


class Prediction:
    """Gain of the prediction `horizon` checkpoints ahead; LLCs of runs permuted within arms."""

    one_sided = True
    no_controls = f"its baseline holds {', '.join(BASELINE)}"

    def check(self, hypothesis: Hypothesis) -> None:
        """It needs a metric, and a gain is its only direction."""
        need_metric(hypothesis)
        if hypothesis.direction == "less":
            raise InputError.of("direction", "less", "greater for kind prediction")

    def test(self, hypothesis: Hypothesis, data: Measures) -> PredictionTest:
        """The test over all runs of the arms."""
        series, metric = data.series(hypothesis), data.metric(hypothesis)
        runs = data.complete(hypothesis, any=np.zeros(len(data.runs))).runs
        known = [c for c in BASELINE if c in data.covariates]
        controls = data.covariates.reindex(columns=["run", "step", *known])
        controls = controls.astype({"run": str, "step": "float64"})
        one, two = (_long(part, runs) for part in (series, metric))
        task = prediction_task(one, two, controls, data.arm, hypothesis.horizon)
        if len(task.runs) < MIN_RUNS or np.isnan(task.gains[0]) or len(task.gains) < 2:
            raise Untestable(task.note or "the baseline makes no error")
        unsure = data.suspects(hypothesis, task.runs, along=True)
        note = join_notes(task.note, unsure)
        return PredictionTest(Design(task.runs, task.arms), task, note)


@dataclass(frozen=True)
class PredictionTest:
    """See `Prediction`."""

    design: Design
    task: Task
    note: str
    center: float | None = None
    statistic: str = "share of the baseline's error saved"

    @property
    def value(self) -> float:
        """Share of the baseline's squared error, runs left out, that the LLC saves."""
        return float(self.task.gains[0])

    def null(self, orders: Orders) -> Array:
        """The gain with the LLCs of permuted runs."""
        return self.task.gains_of(self.task.own, orders)

    def interval(self, null: Array) -> tuple[float, float]:
        """95 % interval, by resampling runs."""
        return self.task.gain_interval()

    def smallest_effect(self, null: Array, critical: float) -> float:
        """Gain that is found with 80 % (see `Task.smallest_gain`)."""
        level = float(np.mean(null >= critical - TOLERANCE)) if np.isfinite(critical) else 0.0
        return self.task.smallest_gain(self.design.orders, level)


def _long(course: Course, runs: npt.NDArray[np.str_]) -> pd.Series:
    """Values by run and step, those that are known."""
    table = pd.DataFrame(course.table, list(course.runs), course.steps.astype(float))
    table = table[table.index.isin(runs)].rename_axis(index="run", columns="step")
    return pd.Series(table.stack()).dropna()
