"""The linear probe: the coin's side, read linearly from what a network computes.

A third measure next to behavior and counterfactuals: can the coin's side be read linearly from the
activations of a layer, better than from the observation itself and than from the same architecture
before any training? Trained and tested on different levels (Alain & Bengio 2017, arXiv 1610.01644;
the controls follow Hewitt & Liang 2019, arXiv 1909.03368). What can be read need not be used: set
it next to the counterfactual probe.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.random_projection import SparseRandomProjection
from threadpoolctl import threadpool_limits

from analysis.probes.fixed_states import FixedStates
from analysis.probes.intervals import mean_interval
from analysis.probes.records import LINEAR_PROBE
from analysis.schema import conform
from rl_slt import InputError

Array = NDArray[np.float32]
Folds = NDArray[np.float64]
Key = tuple[str, str]  # source, layer
_KNOWN: dict[bytes, Folds] = {}  # accuracies, by a hash of what they are of
MAX_FEATURES = 512
MIN_LEVELS = 20  # under which four fifths of the levels are too few to learn a readout from


def run_linear_probe(
    policy: torch.nn.Module,
    states: FixedStates,
    *,
    layers: tuple[str, ...] | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Accuracy of a linear readout of the coin's side, left or right, from each layer of a network.

    Frames: one state per level, the coin once on every column in view where it can lie. Levels
    are never shared between training and test of the readout.

    Args:
        policy: a network over uint8 frames; left unchanged.
        states: from `collect_fixed_states`.
        layers: names of modules; default all without parts of their own.
        seed: of random projections and of the untrained network.

    Returns:
        As `read_direction`.
    """
    moved = (states.table["condition"] == "moved").to_numpy()
    side = np.sign(states.table["dx"][moved]).to_numpy(dtype=np.int64)
    levels = states.table["level_seed"][moved].to_numpy(dtype=np.int64)
    return read_direction(policy, states.frames[moved], side, levels, layers=layers, seed=seed)


def linear_probe_rows(
    table: pd.DataFrame, *, run: str = "", step: int | None = None
) -> pd.DataFrame:
    """`run_linear_probe` in the columns of the table `probes`.

    Metrics `accuracy:trained:LAYER`, `accuracy:untrained:LAYER`,
    `accuracy:observation:observation` and `gain:LAYER`.
    """
    source, layer = table["source"], table["layer"]
    gain = source == "gain"
    rows = pd.DataFrame({
        "probe": LINEAR_PROBE,
        "metric": ("gain:" + layer).where(gain, "accuracy:" + source + ":" + layer),
        "value": table["accuracy"], "ci_low": table["ci_low"], "ci_high": table["ci_high"],
        "n": table["n"], "run": run, "note": "",
    })  # fmt: skip
    return conform("probes", rows.assign(step=pd.array([step] * len(rows), dtype="Int64")))


def read_direction(
    policy: torch.nn.Module,
    obs: NDArray[np.uint8],
    direction: NDArray[np.int64],
    levels: NDArray[np.int64],
    *,
    layers: tuple[str, ...] | None = None,
    folds: int = 5,
    seed: int = 0,
) -> pd.DataFrame:
    """Held-out balanced accuracy of a linear readout of the coin's direction, layer by layer.

    Args:
        policy: a network over uint8 frames; left unchanged.
        obs: `[N, 64, 64, 3]` frames with the coin in view.
        direction: `[N]`, the class to read, such as -1 left and 1 right.
        levels: `[N]`, level of each frame; no level is in both training and test of a fold.
        layers: names of modules; default every module without parts of its own that returns
            a tensor.
        folds: of the cross-validation over levels.
        seed: of random projections and of the untrained network.

    Returns:
        Columns source (`observation`, `trained`, `untrained`, `gain`), layer, features, accuracy,
        ci_low, ci_high, chance, n. Layers wider than 512 features, and the observation, are
        projected at random to 512 first. `gain` is a layer's accuracy above that of the same
        layer untrained, paired by folds.

    Raises:
        InputError: for an unknown layer, fewer levels than folds, or one class alone.
    """
    known = [name for name, _ in policy.named_modules() if name]
    for name in layers or ():
        if name not in known:
            raise InputError.of("layers", name, f"one of {', '.join(known)}")
    if (n_levels := len(np.unique(levels))) < folds:
        raise InputError.of("levels", n_levels, f"at least {folds}, one per fold")
    if len(np.unique(direction)) < 2:
        raise InputError.of("direction", int(direction[0]), "two classes or more")
    flat = _narrow(obs.reshape(len(obs), -1).astype(np.float32) / 255, seed)
    features: dict[Key, Array] = {("observation", "observation"): flat}
    for source, network in (("trained", policy), ("untrained", untrained_copy(policy, seed))):
        for name, x in activations(network, obs, layers, seed=seed).items():
            features[source, name] = x
    with threadpool_limits(1):  # small problems: more threads only wait for each other
        folded = {k: _accuracies(x, direction, levels, folds) for k, x in features.items()}
    layers = tuple(layer for source, layer in folded if source == "trained")
    folded |= {("gain", x): folded["trained", x] - folded["untrained", x] for x in layers}
    rows = []
    for (source, layer), accuracies in folded.items():
        ends = np.array(mean_interval(accuracies))
        low, high = ends if source == "gain" else ends.clip(0, 1)
        rows.append({
            "source": source, "layer": layer,
            "features": features["untrained" if source == "gain" else source, layer].shape[1],
            "accuracy": float(accuracies.mean()), "ci_low": float(low), "ci_high": float(high),
            "chance": 1 / len(np.unique(direction)), "n": len(obs),
        })  # fmt: skip
    return pd.DataFrame(rows)


def activations(
    policy: torch.nn.Module,
    obs: NDArray[np.uint8],
    layers: tuple[str, ...] | None = None,
    batch: int = 256,
    seed: int = 0,
) -> dict[str, Array]:
    """Outputs of the named modules, `[N, features]` each, in the order they are computed.

    Those with more than 512 features are projected at random to 512, batch by batch.
    """
    kept: dict[str, list[Array]] = {}

    def keeper(name: str) -> Callable[..., None]:
        def keep(_module: torch.nn.Module, _inputs: object, output: object) -> None:
            if isinstance(output, torch.Tensor):
                x = output.detach().flatten(1).float().cpu().numpy()
                kept.setdefault(name, []).append(_narrow(x, seed))

        return keep

    handles = [
        module.register_forward_hook(keeper(name))
        for name, module in policy.named_modules()
        if (name in layers if layers is not None else name and not [*module.children()])
    ]
    try:
        with torch.inference_mode():
            for frames in torch.from_numpy(obs).split(batch):
                policy(frames)
    finally:
        for handle in handles:
            handle.remove()
    return {name: np.concatenate(parts) for name, parts in kept.items()}


def _narrow(x: Array, seed: int) -> Array:
    """The features `[N, F]` themselves, or 512 random combinations of more."""
    if x.shape[1] <= MAX_FEATURES:
        return x
    return np.asarray(_projection(x.shape[1], seed).transform(x), np.float32)


@lru_cache(maxsize=32)
def _projection(features: int, seed: int) -> SparseRandomProjection:
    """A random projection to 512 features (Li, Hastie & Church 2006), the same for every batch."""
    made = SparseRandomProjection(MAX_FEATURES, dense_output=True, random_state=seed)
    return made.fit(np.zeros((1, features), np.float32))


def untrained_copy(policy: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """The same architecture with newly drawn parameters; global random state is kept."""
    fresh = copy.deepcopy(policy)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in fresh.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
    return fresh


def _accuracies(x: Array, y: NDArray[np.int64], levels: NDArray[np.int64], folds: int) -> Folds:
    """Balanced accuracy per fold; remembered, as every checkpoint asks for the same controls."""
    parts = (x, y, levels, np.array(folds))
    key = b"".join(blake2b(np.ascontiguousarray(part).data).digest() for part in parts)
    if key not in _KNOWN:
        _KNOWN[key] = _fitted(x, y, levels, folds)
    return _KNOWN[key]


def _fitted(x: Array, y: NDArray[np.int64], levels: NDArray[np.int64], folds: int) -> Folds:
    scores = []
    for train, test in GroupKFold(folds).split(x, y, levels):
        line = LogisticRegression(C=0.01, class_weight="balanced", max_iter=1000)
        model = make_pipeline(StandardScaler(), line)
        model.fit(x[train], y[train])
        scores.append(balanced_accuracy_score(y[test], model.predict(x[test])))
    return np.asarray(scores, dtype=np.float64)
