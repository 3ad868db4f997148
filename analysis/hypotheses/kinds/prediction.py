"""Kind `prediction`: does the LLC predict the goal beyond the step, the arm and cheaper signs?"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.hypotheses.design import Design, Untestable, join_notes
from analysis.hypotheses.hypothesis import Hypothesis, need_metric
from analysis.hypotheses.measures import Course, Measures
from analysis.permutations import MIN_RUNS, TOLERANCE, Orders
from analysis.power import POWER
from analysis.prediction import BASELINE, Task, prediction_task, standardized
from rl_slt import InputError

Array = npt.NDArray[np.float64]
_SIMULATED = 48  # studies with a planted effect of each size
_COMPARED = (100, 1000)  # permutations of each, fewest and most
_SHARES = (2.0**-8, 1.0, 33)  # of the LLC's standard deviation: a quarter octave apart


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
        return self._gains(self.task.own, orders)

    def _gains(self, own: Array, orders: Orders) -> Array:
        error = self.task.baseline_errors
        saved = error - self.task.errors(self.task.baseline, own, orders)
        return np.asarray(saved.mean(axis=1) / error.mean())

    def interval(self, null: Array) -> tuple[float, float]:
        """95 % interval, by resampling runs."""
        return self.task.gain_interval()

    def smallest_effect(self, null: Array, critical: float) -> float:
        """The gain of LLCs that show a share of what the baseline leaves of the goal ahead.

        With e what the baseline leaves and x the LLCs of permuted runs, which know nothing of it,
        both of unit variance, `a e + sqrt(1 - a^2) x` is simulated for these runs, goals and
        checkpoints. The mean gain counts at the least a of which 80 % are found, each compared with
        its own permutations: a gain that is there makes those vary, so no shift of `null` tells.
        """
        level = float(np.mean(null >= critical - TOLERANCE)) if np.isfinite(critical) else 0.0
        if level == 0.0 or not np.std(self.task.residuals) > 0.0:
            return np.nan
        rng, every = np.random.default_rng(0), self.design.orders
        drawn = every[rng.integers(0, len(every), _SIMULATED)]
        others = every[rng.integers(0, len(every), int(np.clip(5 / level, *_COMPARED)))]
        orders = np.concatenate([[np.arange(len(self.task.runs))], others])

        def found(share: float) -> tuple[float, float]:
            gains = [self._gains(self._planted(share, one), orders) for one in drawn]
            limits = np.quantile(gains, 1.0 - level, axis=1)
            own = np.array(gains)[:, 0]
            return float(np.mean(own >= limits)), float(np.mean(own))

        shares = np.geomspace(*_SHARES)
        least = bisect_left(shares, POWER, key=lambda share: found(float(share))[0])
        return found(float(shares[least]))[1] if least < len(shares) else np.nan

    def _planted(self, share: float, order: npt.NDArray[np.int_]) -> Array:
        """The LLC and its change with that share of what the baseline leaves, `[runs, t, 2]`."""
        level, change = np.moveaxis(self.task.own[order], 2, 0)
        rest = self.task.residuals / np.std(self.task.residuals)
        # the change in the unit of the level: both are standardized on their own
        moved, later = np.diff(level, axis=1), change[:, 1:]
        unit = np.sum(moved * later) / max(float(np.sum(later**2)), 1e-12)
        parts = [
            share * seen + np.sqrt(1.0 - share**2) * unlinked
            for seen, unlinked in (
                (rest, level), (np.diff(rest, axis=1, prepend=rest[:, :1]), unit * change)
            )
        ]  # fmt: skip
        own = np.stack(parts, axis=-1)
        return standardized(own.reshape(-1, 2)).reshape(own.shape)


def _long(course: Course, runs: npt.NDArray[np.str_]) -> pd.Series:
    """Values by run and step, those that are known."""
    table = pd.DataFrame(course.table, list(course.runs), course.steps.astype(float))
    table = table[table.index.isin(runs)].rename_axis(index="run", columns="step")
    return pd.Series(table.stack()).dropna()
