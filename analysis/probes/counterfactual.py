"""The counterfactual probe: the same state with the coin here, there, at the end and nowhere.

No rollout, so no noise: the policy's outputs on frames that differ in the coin alone, on the
same states for every policy and checkpoint (`analysis.probes.fixed_states`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from analysis.probes.fixed_states import FixedStates
from analysis.probes.intervals import mean_interval
from analysis.probes.records import COUNTERFACTUAL
from analysis.schema import conform
from envs import DIRECTION, find_game, kl, logits_of, merge_actions

METRICS = ("kl", "tv", "toward", "value_change")


def run_counterfactual(
    policy: torch.nn.Module, states: FixedStates, *, run: str = "",
    step: int | None = None, batch: int = 256,
) -> pd.DataFrame:  # fmt: skip
    """What the coin's presence and place change in a policy's output, state by state.

    Args:
        policy: from uint8 frames to logits or (logits, values).
        states: from `collect_fixed_states`.
        run: for the column run.
        step: environment steps of training behind this policy.
        batch: frames per forward pass.

    Returns:
        A row per state and place of the coin: run, step, level_seed, condition (`moved`, `end`),
        dx, dy; kl, the Kullback-Leibler divergence KL(coin there || no coin) in nats; tv, the
        total variation between the two action distributions, both over distinct actions; toward,
        the change of P(move towards the coin) - P(move away from it), -2 to 2; value_change (NaN
        for a policy without values).
    """
    log_p, values = _outputs(policy, states, batch)
    table = states.table
    absent = table["condition"] == "none"
    plain = dict(zip(table["level_seed"][absent], np.flatnonzero(absent), strict=True))
    base = [plain[level] for level in table["level_seed"]]
    merged = merge_actions(log_p, find_game("coinrun").distinct_actions)
    p, distinct = log_p.exp(), merged.exp()
    drift = (p @ torch.from_numpy(DIRECTION).double()).numpy()
    out = table.assign(
        run=run, step=pd.array([step] * len(table), dtype="Int64"),
        kl=kl(merged, merged[base]).numpy(),
        tv=0.5 * (distinct - distinct[base]).abs().sum(1).numpy(),
        toward=np.sign(table["dx"]) * (drift - drift[base]),
        value_change=(values - values[base]).numpy(),
    )  # fmt: skip
    return out[~absent].reset_index(drop=True)


def coin_preference(
    states: FixedStates, classes: Sequence[Sequence[int]] | None
) -> Callable[[torch.nn.Module], float]:
    """`toward:left` of a policy, as a function of it: how a coin to the left draws it there.

    The mean over states of the change of P(move left) - P(move right) that the coin makes.

    Args:
        states: from `collect_fixed_states`.
        classes: of actions that the policy's logits are of; None is each by itself.
    """
    table = states.table
    left = np.flatnonzero((table["condition"] == "moved") & (table["dx"] < 0))
    absent = np.flatnonzero(table["condition"] == "none")
    plain = dict(zip(table["level_seed"].iloc[absent], range(len(absent)), strict=True))
    base = torch.tensor([plain[level] for level in table["level_seed"].iloc[left]])
    away = DIRECTION if classes is None else DIRECTION[[members[0] for members in classes]]
    push = torch.from_numpy(-away).double()
    frames = torch.from_numpy(states.frames[np.concatenate([left, absent])])

    def preference(policy: torch.nn.Module) -> float:
        with torch.no_grad():
            logits = torch.cat([logits_of(policy(part)) for part in frames.split(512)])
        drift = logits.double().softmax(1) @ push
        return float((drift[: len(left)] - drift[len(left) :][base]).mean())

    return preference


def _outputs(
    policy: torch.nn.Module, states: FixedStates, batch: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities `[N, A]` and values `[N]` (NaN for a policy without them), double."""
    log_p, values = [], []
    with torch.inference_mode():
        for frames in torch.from_numpy(states.frames).split(batch):
            out = policy(frames)
            log_p.append(logits_of(out).double().cpu().log_softmax(1))
            value = out[1] if isinstance(out, tuple) else torch.full((len(frames),), torch.nan)
            values.append(value.double().cpu().flatten())
    return torch.cat(log_p), torch.cat(values)


def counterfactual_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Means of `run_counterfactual` in the columns of the table `probes`.

    Probe `counterfactual`; metrics such as `tv:left`, `toward:right`, `kl:end`: the quantity,
    then the side on which the coin lies, or `end` for the coin at the end of the level.
    Intervals are Student's over levels (each level's mean counts once).
    """
    rows = [
        row | {"probe": COUNTERFACTUAL, "metric": f"{row['metric']}:{where}"}
        for where, part in _by_side(table)
        for row in _means(_by_level(part, []))
    ]
    frame = pd.DataFrame(rows, columns=["probe", "metric", "value", "ci_low", "ci_high", "n"])
    return conform("probes", frame.assign(note="", **_origin(table)))


def distance_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Means of `run_counterfactual` by side and distance, in the columns of `counterfactual`."""
    rows = [
        row | {"side": side, "distance": distance}
        for side, part in _by_side(table)
        for distance, some in _by_level(part, [part["dx"].abs()]).groupby("dx")
        for row in _means(some)
    ]
    columns = ["side", "distance", "metric", "value", "ci_low", "ci_high", "n"]
    return conform("counterfactual", pd.DataFrame(rows, columns=columns).assign(**_origin(table)))


def _by_side(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    moved = table["condition"] == "moved"
    yield "left", table[moved & (table["dx"] < 0)]
    yield "right", table[moved & (table["dx"] > 0)]
    yield "end", table[table["condition"] == "end"]


def _by_level(part: pd.DataFrame, first: list[pd.Series]) -> pd.DataFrame:
    """Each level's mean of each quantity, apart for each value of what comes first."""
    return part.groupby([*first, "level_seed"])[list(METRICS)].mean()


def _means(levels: pd.DataFrame) -> Iterator[dict[str, object]]:
    """Mean over levels of each quantity; none for one that no state has."""
    for metric in METRICS:
        means = levels[metric].dropna().to_numpy(dtype=np.float64)
        if len(means):
            low, high = mean_interval(means)
            yield {
                "metric": metric, "value": float(means.mean()), "ci_low": low, "ci_high": high,
                "n": len(means),
            }  # fmt: skip


def _origin(table: pd.DataFrame) -> dict[str, Any]:
    """Run and step of a table of one policy."""
    if table.empty:
        return {"run": "", "step": pd.NA}
    return {"run": table["run"].iloc[0], "step": table["step"].iloc[0]}
