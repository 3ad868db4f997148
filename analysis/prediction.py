"""Does the LLC foretell the goal, beyond what is cheaper to know?

Out of sample by training seed: a ridge regression learns from all seeds but one and predicts the
probe of the seed left out, from what was known `horizon` checkpoints before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from analysis.associations.permutations import q_values, sign_flip_p
from analysis.series import llc_series, probe_series
from rl_slt import InputError

Array = npt.NDArray[np.float64]
BASELINE = ("entropy", "weight_norm", "return", "step_kl")
MIN_SEEDS = 5
MIN_ROWS = 8  # to fit a model on
PENALTIES = (0.1, 1.0, 10.0, 100.0)
KNOWN_SHARE = 0.8  # of rows in which a covariate must be known to be used; the other rows go
COLUMNS = ["llc_series", "probe", "metric", "horizon", "model", "features", "rmse", "r2",
           "gain", "gain_low", "gain_high", "p_value", "q_value", "seeds", "n", "note"]  # fmt: skip


def predict_goal(
    llc: pd.DataFrame,
    probes: pd.DataFrame,
    covariates: pd.DataFrame,
    *,
    horizon: int = 1,
    pairs: Sequence[tuple[str, str]] | None = None,
    progress: Callable[[int, int], None] | None = None,
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
        progress: called with (targets done, targets in all).

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
        raise InputError(f"horizon is {horizon}; allowed: at least 1 checkpoint")
    lacking = [c for c in ("run", "step") if c not in covariates]
    if lacking:
        raise InputError(f"covariates lack the column {lacking[0]!r}")
    known = [c for c in BASELINE if c in covariates]
    x, y = llc_series(llc), probe_series(probes)
    wanted = sorted(set(zip(y["probe"], y["metric"], strict=True)) if pairs is None else set(pairs))
    targets = [(s, *pair) for s in sorted(x["series"].unique()) for pair in wanted]
    rows: list[dict[str, object]] = []
    for done, (series, probe, metric) in enumerate(targets):
        one = x[x["series"] == series][["run", "step", "value"]]
        two = y[(y["probe"] == probe) & (y["metric"] == metric)][["run", "step", "value"]]
        data = one.rename(columns={"value": "llc"}).merge(
            two.rename(columns={"value": "probe"}), on=["run", "step"]
        )
        data = data.merge(covariates[["run", "step", *known]], on=["run", "step"], how="left")
        named = {"llc_series": series, "probe": probe, "metric": metric, "horizon": horizon}
        rows += [named | row for row in _models(_ahead(data, horizon), known)]
        if progress is not None:
            progress(done + 1, len(targets))
    frame = pd.DataFrame(rows, columns=COLUMNS).astype({"p_value": "float64"})
    return frame.assign(q_value=q_values(frame["p_value"]))


def _ahead(data: pd.DataFrame, horizon: int) -> pd.DataFrame:
    """Rows of known features, with the probe's value ahead as `target`."""
    data = data.sort_values(["run", "step"])
    by_run = data.groupby("run")
    return data.assign(
        target=by_run["probe"].shift(-horizon), llc_change=by_run["llc"].diff().fillna(0.0)
    ).dropna(subset=["target", "probe", "llc"])


def _models(data: pd.DataFrame, known: list[str]) -> list[dict[str, object]]:
    usable = [c for c in known if len(data) and data[c].notna().mean() >= KNOWN_SHARE]
    data = data.dropna(subset=usable)  # the first checkpoint has no step behind it
    base = ["probe", *usable]
    of = {"baseline": base, "baseline + llc": [*base, "llc", "llc_change"],
          "llc": ["llc", "llc_change"]}  # fmt: skip
    seeds = data["run"].nunique()
    note = _note(seeds, [c for c in BASELINE if c not in usable])
    fewest = len(data) - int(data["run"].value_counts().max()) if len(data) else 0
    if seeds >= 2 and fewest < MIN_ROWS:
        note = "; ".join(filter(None, [f"too few checkpoints: {fewest} to learn from", note]))
    if seeds < 2 or fewest < MIN_ROWS:
        return [_row(name, features, seeds, len(data), note) for name, features in of.items()]
    runs = data["run"].to_numpy()
    target = data["target"].to_numpy(dtype=float)
    mean = _mean_of_others(data)
    errors = {name: _left_out(data[f].to_numpy(float), target, runs) for name, f in of.items()}
    total = float(np.mean((target - mean) ** 2))
    rows = []
    for name, features in of.items():
        mse = float(np.mean(errors[name]))
        row = _row(name, features, seeds, len(data), note)
        row |= {"rmse": np.sqrt(mse), "r2": 1.0 - mse / total if total > 0 else np.nan}
        if name == "baseline + llc":
            row |= _gain(errors["baseline"], errors[name], runs)
        rows.append(row)
    return [*rows, _row("mean", [], seeds, len(data), note) | {"rmse": np.sqrt(total), "r2": 0.0}]


def _left_out(features: Array, target: Array, runs: npt.NDArray[np.object_]) -> Array:
    """Squared error of each row, predicted from the other runs, `[n]`."""
    out = np.empty(len(target))
    for run in np.unique(runs):
        test = runs == run
        model = make_pipeline(StandardScaler(), RidgeCV(alphas=PENALTIES))
        model.fit(features[~test], target[~test])
        out[test] = (model.predict(features[test]) - target[test]) ** 2
    return out


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
    seeds = np.unique(runs)
    saved = np.array([np.mean((without - with_llc)[runs == r]) for r in seeds])
    scale = float(np.mean(without))
    if scale == 0.0:
        return {}
    saved = saved / scale
    if len(seeds) < MIN_SEEDS:
        return {"gain": float(saved.mean())}
    rng = np.random.default_rng(0)
    means = saved[rng.integers(0, len(saved), (2000, len(saved)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return {"gain": float(saved.mean()), "gain_low": float(low), "gain_high": float(high),
            "p_value": sign_flip_p(saved)}  # fmt: skip


def _note(seeds: int, missing: list[str]) -> str:
    notes = []
    if seeds < 2:
        notes.append("one run cannot show a prediction: no seed to leave out")
    elif seeds < MIN_SEEDS:
        notes.append(f"no p-value below {MIN_SEEDS} seeds")
    if missing:
        notes.append(f"baseline without {', '.join(missing)}")
    return "; ".join(notes)


def _row(name: str, features: list[str], seeds: int, n: int, note: str) -> dict[str, object]:
    return {"model": name, "features": ", ".join(features), "seeds": seeds, "n": n, "note": note}
