"""Where two policies differ: per state, per kind of state, and at most."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pandas as pd
import torch
from scipy.stats import t as student

from envs import kl, logits_of, merge_actions
from rl_slt import InputError

MEASURES = ("kl_ab", "kl_ba", "tv", "value_gap")
_LEVEL = 0.95


def compare_policies(
    a: torch.nn.Module,
    b: torch.nn.Module,
    states: torch.Tensor,
    *,
    groups: Sequence[object] | None = None,
    classes: Sequence[Sequence[int]] | None = None,
    batch_size: int = 1024,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """What two policies do in the same states, a row per state.

    Args:
        a: policy from states `[B, ...]` to logits `[B, A]`, or to (logits, values `[B]`).
        b: another one over the same actions.
        states: `[N, ...]`.
        groups: of each state, what it shares with others (its episode or level), `[N]`; without,
            every state is a group of its own.
        classes: of actions that do the same (`distinct_actions` of a game) and count as one here,
            named by their first; None keeps all apart.
        batch_size: states at a time.
        progress: called with (states done, states in all).

    Returns:
        Columns state (index), group, kl_ab = `KL(a || b)` and kl_ba (nats), tv (total variation,
        0 to 1), action_a, action_b (most probable), p_a (probability under a of its own favorite),
        p_b (of a's favorite under b), value_a, value_b and value_gap = `b - a` (NaN without).

    Raises:
        InputError: for no states, or policies of different numbers of actions.
    """
    if len(states) == 0:
        raise InputError("no states to compare the policies on: at least one is needed")
    names = range(len(states)) if groups is None else groups
    if len(names) != len(states):
        raise InputError(f"{len(names)} groups for {len(states)} states: one per state is needed")
    batches: list[pd.DataFrame] = []
    for done, batch in enumerate(states.split(batch_size)):
        batches.append(_compare_batch(a, b, batch, classes))
        if progress is not None:
            progress(done * batch_size + len(batch), len(states))
    frame = pd.concat(batches, ignore_index=True)
    return pd.DataFrame({"state": range(len(states)), "group": list(names)}).join(frame)


@torch.no_grad()
def _compare_batch(
    a: torch.nn.Module,
    b: torch.nn.Module,
    batch: torch.Tensor,
    classes: Sequence[Sequence[int]] | None,
) -> pd.DataFrame:
    (log_a, value_a), (log_b, value_b) = _act(a, batch), _act(b, batch)
    if log_a.shape != log_b.shape:
        raise InputError(
            f"policies of {log_a.shape[1]} and {log_b.shape[1]} actions: the same is needed"
        )
    names = torch.arange(log_a.shape[1])
    if classes is not None:
        log_a, log_b = (merge_actions(log_p, classes) for log_p in (log_a, log_b))
        names = torch.tensor([members[0] for members in classes])
    p_a, p_b = log_a.exp(), log_b.exp()
    best = p_a.argmax(dim=1, keepdim=True)
    columns = {
        "kl_ab": kl(log_a, log_b).clamp(min=0),  # rounding makes some equal policies negative
        "kl_ba": kl(log_b, log_a).clamp(min=0),
        "tv": (p_a - p_b).abs().sum(dim=1) / 2,
        "action_a": names[best[:, 0].cpu()], "action_b": names[p_b.argmax(dim=1).cpu()],
        "p_a": p_a.gather(1, best)[:, 0], "p_b": p_b.gather(1, best)[:, 0],
        "value_a": value_a, "value_b": value_b, "value_gap": value_b - value_a,
    }  # fmt: skip
    return pd.DataFrame({name: column.cpu().numpy() for name, column in columns.items()})


def _act(policy: torch.nn.Module, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities `[B, A]` and values `[B]` in double precision, NaN without a value head."""
    training = policy.training
    policy.eval()
    try:
        out = policy(batch)
    finally:
        policy.train(training)
    value = out[1] if isinstance(out, tuple) and out[1] is not None else None
    values = torch.full((len(batch),), math.nan) if value is None else value
    return logits_of(out).double().log_softmax(-1), values.double()


def where_differ(
    frame: pd.DataFrame, kinds: Sequence[object], measure: str = "kl_ab"
) -> pd.DataFrame:
    """Mean difference over the states of each kind, largest first.

    Args:
        frame: from `compare_policies`.
        kinds: kind of each state, `[N]`, such as whether the coin is in view.
        measure: one of `MEASURES`.

    Returns:
        Columns kind, value, low, high (95 % Student interval over group means; NaN for a single
        group), largest, states, groups.
    """
    _check_measure(measure)
    if len(kinds) != len(frame):
        raise InputError(f"{len(kinds)} kinds for {len(frame)} states: one per state is needed")
    rows = []
    for kind, part in frame.assign(kind=pd.Series(kinds, index=frame.index)).groupby("kind"):
        means = part.groupby("group")[measure].mean()
        n, value = len(means), float(means.mean())
        half = float(student.ppf((1 + _LEVEL) / 2, n - 1) * means.sem()) if n > 1 else math.nan
        rows.append((kind, value, value - half, value + half, part[measure].max(), len(part), n))
    names = ["kind", "value", "low", "high", "largest", "states", "groups"]
    table = pd.DataFrame(rows, columns=names)
    return table.sort_values("value", ascending=False, ignore_index=True)


def largest_deviation(
    frame: pd.DataFrame, measure: str = "tv", confidence: float = _LEVEL
) -> dict[str, float]:
    """The largest difference seen, and how often a larger one can still occur.

    Of G independent groups (episodes) the largest was seen; with the given confidence at most a
    share `1 - (1 - confidence)^(1/G)` of such groups holds a larger one: the distribution-free
    tolerance bound (Wilks 1941, Ann. Math. Stat. 12, 91). It holds for states drawn as these were,
    and for the two policies as they are, whatever the distribution.

    Args:
        frame: from `compare_policies`.
        measure: one of `MEASURES`.
        confidence: of the bound, above 0 and below 1.

    Returns:
        largest, state (its index), share_beyond (upper bound), groups, confidence.
    """
    _check_measure(measure)
    if not 0 < confidence < 1:
        raise InputError.of("confidence", confidence, "above 0 and below 1")
    sizes = frame[measure].abs()
    groups = int(frame["group"].nunique())
    worst = frame.iloc[int(sizes.to_numpy().argmax())]
    return {
        "largest": float(sizes.max()),
        "state": int(worst["state"]),
        "share_beyond": 1 - (1 - confidence) ** (1 / groups),
        "groups": groups,
        "confidence": confidence,
    }


def most_different(frame: pd.DataFrame, n: int = 8, measure: str = "kl_ab") -> pd.DataFrame:
    """The n states of largest difference, at most one of a group, so that clips show n levels.

    Args:
        frame: from `compare_policies`.
        n: states at most.
        measure: one of `MEASURES`.

    Returns:
        Those rows, the largest difference first.
    """
    _check_measure(measure)
    order = frame[measure].abs().sort_values(ascending=False, kind="stable").index
    return frame.loc[order].drop_duplicates("group").head(n).reset_index(drop=True)


def _check_measure(measure: str) -> None:
    if measure not in MEASURES:
        raise InputError.of("measure", measure, f"one of {', '.join(MEASURES)}")
