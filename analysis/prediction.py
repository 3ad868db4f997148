"""Does the LLC predict the goal, beyond what is cheaper to know?

Out of sample by training seed: a ridge regression learns from all runs but one and predicts the
probe of the run left out, from what was known `horizon` checkpoints before. The baseline knows the
step, as a smooth function, and the arm: any clock would predict otherwise. Whether the LLC adds
something is judged by permuting the LLCs of whole runs within arms.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.permutations import (
    MIN_RUNS,
    Orders,
    arrangements,
    corrected,
    levels,
    p_value,
    q_values,
)
from analysis.power import POWER
from analysis.schema import own_columns
from analysis.series import arms_of_runs, llc_series, probe_series
from rl_slt import InputError

Array = npt.NDArray[np.float64]
BASELINE = ("entropy", "weight_norm", "return", "step_kl")
MIN_ROWS = 8  # to fit a model on
PENALTIES = (0.1, 1.0, 10.0, 100.0)
KNOWN_SHARE = 0.8  # of rows in which a covariate must be known to be used; the other rows go
KNOTS = 4  # of the cubic spline over log step, at quantiles
MOST = 1000  # arrangements of runs
_SIMULATED = 48  # studies with a planted effect of each size
_COMPARED = (100, 1000)  # permutations of each, fewest and most
_SHARES = (2.0**-8, 1.0, 33)  # of the LLC's standard deviation: a quarter octave apart
_CHUNK = 4096  # runs left out over arrangements at a time: bounds the memory


def predict_goal(
    llc: pd.DataFrame,
    probes: pd.DataFrame,
    covariates: pd.DataFrame,
    *,
    horizon: int = 1,
    pairs: Sequence[tuple[str, str]] | None = None,
    goal: tuple[str, str] | None = None,
) -> pd.DataFrame:
    """Prediction of every probe metric, `horizon` checkpoints ahead, with and without the LLC.

    Models: `baseline` (the probe's present value, a cubic spline of log step, the arm, and the
    columns of `BASELINE` that are there), `baseline + llc` (and the LLC and its change), `llc`
    (these alone), `mean` (of other runs at that checkpoint). The probe's value ahead is predicted
    for all runs in turn, at the checkpoints that all of them have.

    Args:
        llc: table `llc`; its column `arm` (or that of `probes`) says which runs repeat one
            condition.
        probes: table `probes`.
        covariates: columns run and step, and any of `BASELINE` (entropy of the policy, norm of the
            weights, training return, KL from one checkpoint to the next), one row per checkpoint.
        horizon: checkpoints ahead, at least 1.
        pairs: (probe, metric) to predict; all by default.
        goal: the pair whose power is told; none by default, since it is simulated (about a second).

    Returns:
        One row per LLC series, probe, metric and model: rmse and r2 (against `mean`) over runs
        left out; for `baseline + llc` the gain (squared error that the LLC saves over `baseline`,
        mean over runs, as a share of the baseline's), its 95 % interval over runs and, from 5 runs
        on, its one-sided p-value: the share of permutations of whole runs' LLCs within arms that
        gain as much. `p_adjusted` is corrected for all pairs by the step-down max-T over the same
        permutations, `q_value` is the exploratory one of Benjamini & Hochberg; `smallest_effect` is
        the gain that is found with 80 % so corrected, of `goal` with the first LLC series. `note`
        says what is missing.

    Raises:
        InputError: for a horizon below 1 or covariates without run and step.
    """
    if horizon < 1:
        raise InputError.of("horizon", horizon, "at least 1 checkpoint")
    for name in ("run", "step"):
        if name not in covariates:
            raise InputError(f"covariates: must have a column {name!r}")
    known = [c for c in BASELINE if c in covariates]
    x, y, at = llc_series(llc), probe_series(probes), ["run", "step"]
    arms = arms_of_runs(llc, probes)
    wanted = sorted(set(zip(y["probe"], y["metric"], strict=True)) if pairs is None else set(pairs))
    rows: list[dict[str, object]] = []
    tasks: dict[int, Task] = {}
    nulls: dict[tuple[str, ...], dict[int, Array]] = {}  # by runs, then by row of the table
    for series, (probe, metric) in itertools.product(sorted(x["series"].unique()), wanted):
        one = x[x["series"] == series].set_index(at)["value"].rename("llc")
        two = y[(y["probe"] == probe) & (y["metric"] == metric)].set_index(at)["value"]
        found = prediction_task(one, two.rename("probe"), covariates[[*at, *known]], arms, horizon)
        named = {"llc_series": series, "probe": probe, "metric": metric, "horizon": horizon}
        for row in _models(found):
            if np.isfinite(row.get("p_value", np.nan)):
                nulls.setdefault(found.runs, {})[len(rows)] = found.gains
                if goal == (probe, metric):
                    tasks[len(rows)] = found
            rows.append(named | row)
    frame = pd.DataFrame(rows, columns=own_columns("predictions"))
    adjusted = pd.Series(corrected(nulls, "greater"), dtype="float64").reindex(frame.index)
    power = dict.fromkeys(range(len(frame)), np.nan)
    for place, task in list(tasks.items())[:1]:
        orders = arrangements(task.arms, most=MOST)
        power[place] = task.smallest_gain(orders, levels(nulls, "greater")[place])
    q = q_values(frame["p_value"])
    return frame.assign(
        p_adjusted=adjusted, q_value=q, smallest_effect=pd.Series(power, dtype="float64")
    )


@dataclass(frozen=True)
class Task:
    """One outcome to predict, at the checkpoints that all runs have.

    Attributes:
        runs: names.
        arms: of each run.
        steps: of the checkpoints.
        baseline: standardized features with a constant first, `[runs, checkpoints, p]`.
        own: of the LLC, standardized, `[runs, checkpoints, 2]`.
        target: the probe's value ahead, `[runs, checkpoints]`.
        features: names of the baseline's.
        note: why numbers are missing, or what the baseline lacks.
    """

    runs: tuple[str, ...]
    arms: tuple[str, ...]
    steps: tuple[int, ...]
    baseline: Array
    own: Array
    target: Array
    features: tuple[str, ...]
    note: str

    @property
    def enough(self) -> bool:
        """Whether there is a run to leave out and enough to learn from."""
        runs, steps = self.target.shape
        return runs >= 2 and (runs - 1) * steps >= MIN_ROWS

    @cached_property
    def penalty(self) -> float:
        """Of the ridge, by generalized cross-validation of the baseline; the LLC has no part."""
        from sklearn.linear_model import RidgeCV  # half a second that most commands do not need

        rows = self.baseline[:, :, 1:].reshape(self.target.size, -1)
        return float(RidgeCV(PENALTIES).fit(rows, self.target.ravel()).alpha_)

    def errors(self, baseline: Array, own: Array, orders: Orders) -> Array:
        """Mean squared error of each run left out, with the LLC of the run that `orders` gives it.

        Args:
            baseline: `[runs, checkpoints, p]`.
            own: `[runs, checkpoints, q]`.
            orders: `[b, runs]`.

        Returns:
            `[b, runs]`. Rows enter by the cross products of pairs of runs alone, so that an
            arrangement costs one small system of equations for each run.
        """
        (count, steps, p), q = baseline.shape, own.shape[2]
        every = np.arange(count)
        zz, zy = _cross(baseline, baseline), _cross(baseline, self.target[..., None])[..., 0]
        zx = np.einsum("rtp,stq->rspq", baseline, own)
        xx, xy = _cross(own, own), np.einsum("stq,rt->srq", own, self.target)
        yy = np.sum(self.target**2, axis=1)
        penalty = self.penalty * np.diag([0.0] + [1.0] * (p + q - 1))
        out = np.empty(orders.shape)
        size = max(1, _CHUNK // count)
        for begin in range(0, len(orders), size):
            order = orders[begin : begin + size]
            gram = np.empty((*order.shape, p + q, p + q))
            gram[..., :p, :p], gram[..., p:, p:] = zz, xx[order]
            gram[..., :p, p:] = zx[every, order]
            gram[..., p:, :p] = np.swapaxes(gram[..., :p, p:], -1, -2)
            right = np.empty((*order.shape, p + q))
            right[..., :p], right[..., p:] = zy, xy[order, every]
            others = gram.sum(axis=1, keepdims=True) - gram + penalty
            known = right.sum(axis=1, keepdims=True) - right
            beta = np.linalg.solve(others, known[..., None])[..., 0]
            fit = np.einsum("brp,brpq,brq->br", beta, gram, beta)
            out[begin : begin + size] = yy - 2.0 * np.sum(beta * right, axis=-1) + fit
        return np.maximum(out, 0.0) / steps

    @cached_property
    def baseline_errors(self) -> Array:
        """Of each run, `[runs]`."""
        none = self.own[:, :, :0]
        return self.errors(self.baseline, none, np.arange(len(self.runs))[None])[0]

    @cached_property
    def residuals(self) -> Array:
        """What the baseline leaves of the target in each run, left out, `[runs, checkpoints]`."""
        penalty = self.penalty * np.diag([0.0] + [1.0] * (self.baseline.shape[2] - 1))
        gram = _cross(self.baseline, self.baseline)
        right = _cross(self.baseline, self.target[..., None])
        beta = np.linalg.solve(gram.sum(axis=0) - gram + penalty, right.sum(axis=0) - right)
        return np.asarray(self.target - (self.baseline @ beta)[..., 0])

    @cached_property
    def gains(self) -> Array:
        """Share of the baseline's error that the LLC saves, for each arrangement, `[b]`.

        The first is the observed one; NaN where none can be had.
        """
        if not self.enough or not np.mean(self.baseline_errors) > 0.0:
            return np.array([np.nan])
        tested = len(self.runs) >= MIN_RUNS
        return self.gains_of(self.own, arrangements(self.arms, most=MOST if tested else 1))

    def gains_of(self, own: Array, orders: Orders) -> Array:
        """The share that LLCs `own`, `[runs, checkpoints, 2]`, save for each arrangement, `[b]`."""
        saved = self.baseline_errors - self.errors(self.baseline, own, orders)
        return np.asarray(saved.mean(axis=1) / np.mean(self.baseline_errors))

    def smallest_gain(self, every: Orders, level: float) -> float:
        """The gain of LLCs that show a share of what the baseline leaves of the goal ahead.

        With e what the baseline leaves and x the LLCs of permuted runs, which know nothing of it,
        both of unit variance, `a e + sqrt(1 - a^2) x` is simulated for these runs, goals and
        checkpoints. The mean gain counts at the least a of which 80 % are found, each compared with
        its own permutations: a gain that is there makes those vary, so no shift of `gains` tells.

        Args:
            every: arrangements of the runs, `[b, runs]`.
            level: share of arrangements in which a gain counts as found.

        Returns:
            NaN where none would be found.
        """
        if level == 0.0 or not np.std(self.residuals) > 0.0:
            return np.nan
        rng = np.random.default_rng(0)
        drawn = every[rng.integers(0, len(every), _SIMULATED)]
        others = every[rng.integers(0, len(every), int(np.clip(5 / level, *_COMPARED)))]
        orders = np.concatenate([[np.arange(len(self.runs))], others])

        def found(share: float) -> tuple[float, float]:
            gains = [self.gains_of(self._planted(share, one), orders) for one in drawn]
            limits = np.quantile(gains, 1.0 - level, axis=1)
            own = np.array(gains)[:, 0]
            return float(np.mean(own >= limits)), float(np.mean(own))

        shares = np.geomspace(*_SHARES)
        least = bisect_left(shares, POWER, key=lambda share: found(float(share))[0])
        return found(float(shares[least]))[1] if least < len(shares) else np.nan

    def _planted(self, share: float, order: npt.NDArray[np.int_]) -> Array:
        """The LLC and its change with that share of what the baseline leaves, `[runs, t, 2]`."""
        level, change = np.moveaxis(self.own[order], 2, 0)
        rest = self.residuals / np.std(self.residuals)
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

    def gain_interval(self) -> tuple[float, float]:
        """95 % interval of the observed gain, by resampling runs."""
        same = np.arange(len(self.runs))[None]
        saved = self.baseline_errors - self.errors(self.baseline, self.own, same)[0]
        saved = saved / np.mean(self.baseline_errors)
        draws = np.random.default_rng(0).integers(0, len(saved), (2000, len(saved)))
        low, high = np.quantile(saved[draws].mean(axis=1), [0.025, 0.975])
        return float(low), float(high)


def prediction_task(
    llc: pd.Series,
    probe: pd.Series,
    covariates: pd.DataFrame,
    arms: Mapping[str, str],
    horizon: int,
) -> Task:
    """What is to be predicted of a probe, and from what.

    Args:
        llc: values by run and step.
        probe: values by run and step.
        covariates: columns run, step and covariates.
        arms: of each run.
        horizon: checkpoints ahead.
    """
    at = ["run", "step"]
    both = pd.concat([llc.rename("llc"), probe.rename("probe")], axis=1, join="inner")
    data = both.reset_index().merge(covariates, on=at, how="left").sort_values(at)
    by_run = data.groupby("run")
    data = data.assign(
        target=by_run["probe"].shift(-horizon),
        ahead=by_run["step"].shift(-horizon),
        behind=by_run["step"].shift().fillna(-1),
        llc_change=by_run["llc"].diff().mask(by_run.cumcount() == 0, 0.0),
    ).dropna(subset=["target", "probe", "llc", "llc_change"])
    known = [c for c in covariates if c not in at]
    usable = [c for c in known if len(data) and data[c].notna().mean() >= KNOWN_SHARE]
    data = data.dropna(subset=usable)  # the first checkpoint has no step behind it
    names = [str(run) for run in data["run"].unique()]
    # where a run lacks a checkpoint, the one before and the one ahead are not those of the others
    shared = data.groupby(["behind", "step", "ahead"])["run"].transform("size") == len(names)
    left, data = int((~shared).sum()), data[shared]
    runs, steps = len(names), len(data) // max(len(names), 1)
    missing = [c for c in BASELINE if c not in usable]
    notes = {
        f"too few checkpoints: {max(runs - 1, 0) * steps} to learn from":
            runs >= 2 and (runs - 1) * steps < MIN_ROWS,
        f"too few runs to show a prediction: needs 2 with values, has {runs}": runs < 2,
        f"no p-value below {MIN_RUNS} seeds": 2 <= runs < MIN_RUNS,
        "no arm has two runs: nothing to permute":
            runs >= MIN_RUNS and len({arms[run] for run in names}) == runs,
        f"without {left} checkpoints that not all runs have": left > 0,
        f"baseline without {', '.join(missing)}": bool(missing),
    }  # fmt: skip
    from sklearn.preprocessing import SplineTransformer

    of = tuple(arms[run] for run in names)
    step = np.log1p(data[["step"]].to_numpy(float))
    spline = (
        SplineTransformer(KNOTS, knots="quantile", include_bias=False).fit_transform(step)
        if steps >= KNOTS
        else step
    )
    arm = pd.get_dummies(data["run"].map(dict(arms)), dtype=float).to_numpy()[:, 1:]
    baseline = np.hstack([data[["probe", *usable]].to_numpy(float), spline, arm])
    features = [*map(str, usable), "spline of log step", *(["arm"] if len(set(of)) > 1 else [])]
    return Task(
        runs=tuple(names),
        arms=of,
        steps=tuple(map(int, data["step"].unique())),
        baseline=np.hstack([np.ones((len(data), 1)), standardized(baseline)]).reshape(
            runs, steps, baseline.shape[1] + 1
        ),
        own=standardized(data[["llc", "llc_change"]].to_numpy(float)).reshape(runs, steps, 2),
        target=data["target"].to_numpy(float).reshape(runs, steps),
        features=("probe", *features),
        note="; ".join(note for note, holds in notes.items() if holds),
    )


def _models(task: Task) -> list[dict[str, Any]]:
    """A row for each model of the probe's value ahead."""
    own = ("llc", "llc_change")
    features = {"baseline": task.features, "baseline + llc": (*task.features, *own), "llc": own,
                "mean": ()}  # fmt: skip
    shared = {"seeds": len(task.runs), "n": task.target.size, "note": task.note}
    rows: dict[str, dict[str, Any]] = {
        name: {"model": name, "features": ", ".join(of)} | shared for name, of in features.items()
    }
    if not task.enough:
        return list(rows.values())
    same = np.arange(len(task.runs))[None]
    errors = {
        "baseline": task.baseline_errors,
        "baseline + llc": task.errors(task.baseline, task.own, same)[0],
        "llc": task.errors(task.baseline[:, :, :1], task.own, same)[0],
    }
    total = task.target.sum(axis=0, keepdims=True)
    others = (total - task.target) / (len(task.runs) - 1)
    spread = float(np.mean((task.target - others) ** 2))
    for name, error in errors.items():
        mse = float(np.mean(error))
        rows[name] |= {"rmse": np.sqrt(mse), "r2": 1.0 - mse / spread if spread > 0 else np.nan}
    rows["mean"] |= {"rmse": np.sqrt(spread), "r2": 0.0}
    if not np.isnan(task.gains[0]):
        rows["baseline + llc"]["gain"] = float(task.gains[0])
        if len(task.runs) >= MIN_RUNS:
            low, high = task.gain_interval()
            rows["baseline + llc"] |= {"gain_low": low, "gain_high": high,
                                       "p_value": p_value(task.gains, "greater")}  # fmt: skip
    return list(rows.values())


def _cross(a: Array, b: Array) -> Array:
    """Products of the features of each run, `[runs, p, q]`."""
    return np.asarray(np.swapaxes(a, 1, 2) @ b)


def standardized(columns: Array) -> Array:
    """Columns of mean 0 and variance 1; zeros where one does not vary."""
    if not len(columns):
        return columns
    spread = columns.std(axis=0)
    return np.asarray((columns - columns.mean(axis=0)) / np.where(spread > 1e-12, spread, np.inf))
