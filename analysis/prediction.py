"""Does the LLC predict the goal, beyond what is cheaper to know?

Out of sample by training seed: a ridge regression learns from all seeds but one and predicts the
probe of the seed left out, from what was known `horizon` checkpoints before.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from analysis.associations.permutations import q_values, sign_flip_p
from analysis.schema import own_columns
from analysis.series import llc_series, probe_series
from rl_slt import InputError

Array = npt.NDArray[np.float64]
BASELINE = ("entropy", "weight_norm", "return", "step_kl")
MIN_SEEDS = 5
MIN_ROWS = 8  # to fit a model on
PENALTIES = (0.1, 1.0, 10.0, 100.0)
KNOWN_SHARE = 0.8  # of rows in which a covariate must be known to be used; the other rows go


def predict_goal(
    llc: pd.DataFrame,
    probes: pd.DataFrame,
    covariates: pd.DataFrame,
    *,
    horizon: int = 1,
    pairs: Sequence[tuple[str, str]] | None = None,
) -> pd.DataFrame:
    """Prediction of every probe metric, `horizon` checkpoints ahead, with and without the LLC.

    Models: `baseline` (the probe's present value and the columns of `BASELINE` that are there),
    `baseline + llc` (and the LLC and its change), `llc` (these alone), `mean` (of other seeds at
    that checkpoint). The probe's value ahead is predicted for all seeds in turn.

    Args:
        llc: table `llc`.
        probes: table `probes`.
        covariates: columns run and step, and any of `BASELINE` (entropy of the policy, norm of the
            weights, training return, KL from one checkpoint to the next), one row per checkpoint.
        horizon: checkpoints ahead, at least 1.
        pairs: (probe, metric) to predict; all by default.

    Returns:
        One row per LLC series, probe, metric and model: rmse and r2 (against `mean`) over seeds
        left out; for `baseline + llc` the gain (squared error that the LLC saves over `baseline`,
        mean over seeds, as a share of the baseline's), its 95 % interval over seeds and p-value
        (sign flips of seeds, one-sided), from 5 seeds on, with its q-value (Benjamini & Yekutieli)
        over the table. `note` says what is missing.

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
    wanted = sorted(set(zip(y["probe"], y["metric"], strict=True)) if pairs is None else set(pairs))
    rows: list[dict[str, object]] = []
    for series, (probe, metric) in itertools.product(sorted(x["series"].unique()), wanted):
        one = x[x["series"] == series].set_index(at)["value"].rename("llc")
        two = y[(y["probe"] == probe) & (y["metric"] == metric)].set_index(at)["value"]
        data = pd.concat([one, two.rename("probe")], axis=1, join="inner").reset_index()
        data = data.merge(covariates[[*at, *known]], on=at, how="left").sort_values(at)
        by_run = data.groupby("run")
        ahead = data.assign(
            target=by_run["probe"].shift(-horizon),
            llc_change=by_run["llc"].diff().mask(by_run.cumcount() == 0, 0.0),
        ).dropna(subset=["target", "probe", "llc", "llc_change"])
        named = {"llc_series": series, "probe": probe, "metric": metric, "horizon": horizon}
        rows += [named | row for row in _models(ahead, known)]
    frame = pd.DataFrame(rows, columns=own_columns("predictions")).astype({"p_value": "float64"})
    return frame.assign(q_value=q_values(frame["p_value"]))


def _models(data: pd.DataFrame, known: list[str]) -> list[dict[str, object]]:
    """A row for each model of `target`, which is the probe's value ahead."""
    usable = [c for c in known if len(data) and data[c].notna().mean() >= KNOWN_SHARE]
    data = data.dropna(subset=usable)  # the first checkpoint has no step behind it
    base, own = ["probe", *usable], ["llc", "llc_change"]
    features = {"baseline": base, "baseline + llc": [*base, *own], "llc": own}
    counts = data["run"].value_counts()
    seeds, fewest = len(counts), len(data) - int(counts.max()) if len(data) else 0
    missing = [c for c in BASELINE if c not in usable]
    notes = {
        f"too few checkpoints: {fewest} to learn from": seeds >= 2 and fewest < MIN_ROWS,
        "one run cannot show a prediction: no seed to leave out": seeds < 2,
        f"no p-value below {MIN_SEEDS} seeds": 2 <= seeds < MIN_SEEDS,
        f"baseline without {', '.join(missing)}": bool(missing),
    }
    shared = {"seeds": seeds, "n": len(data),
              "note": "; ".join(note for note, holds in notes.items() if holds)}  # fmt: skip
    rows = {
        name: {"model": name, "features": ", ".join(of)} | shared
        for name, of in (features | {"mean": []}).items()
    }
    if seeds < 2 or fewest < MIN_ROWS:
        return [rows[name] for name in features]
    runs = data["run"].to_numpy()
    target = data["target"].to_numpy(dtype=float)
    model = make_pipeline(StandardScaler(), RidgeCV(alphas=PENALTIES))
    errors = {}  # squared, of each row predicted from the other runs, [n]
    for name, of in features.items():
        predicted = cross_val_predict(
            model, data[of].to_numpy(float), target, groups=runs, cv=LeaveOneGroupOut()
        )
        errors[name] = np.asarray((predicted - target) ** 2)
    total = float(np.mean((target - _mean_of_others(data)) ** 2))
    for name, error in errors.items():
        mse = float(np.mean(error))
        rows[name] |= {"rmse": np.sqrt(mse), "r2": 1.0 - mse / total if total > 0 else np.nan}
    rows["baseline + llc"] |= _gain(errors["baseline"], errors["baseline + llc"], runs)
    rows["mean"] |= {"rmse": np.sqrt(total), "r2": 0.0}
    return list(rows.values())


def _mean_of_others(data: pd.DataFrame) -> Array:
    """Mean target of the other runs at that step; of all their rows where none has the step."""
    out = np.empty(len(data))
    for k, (run, step) in enumerate(zip(data["run"], data["step"], strict=True)):
        others = data[data["run"] != run]
        same = others[others["step"] == step]
        out[k] = (same if len(same) else others)["target"].mean()
    return out


def _gain(without: Array, with_llc: Array, runs: npt.NDArray[np.object_]) -> dict[str, object]:
    """Share of the baseline's squared error saved, over seeds: mean, interval, p-value."""
    scale = float(np.mean(without))
    if scale == 0.0:
        return {}
    saved = pd.Series(without - with_llc).groupby(runs).mean().to_numpy() / scale
    if len(saved) < MIN_SEEDS:
        return {"gain": float(saved.mean())}
    rng = np.random.default_rng(0)
    means = saved[rng.integers(0, len(saved), (2000, len(saved)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return {"gain": float(saved.mean()), "gain_low": float(low), "gain_high": float(high),
            "p_value": sign_flip_p(saved)}  # fmt: skip
