"""The same state with the coin here, there, at the end and nowhere: what does it change?

No rollout, so no noise: the policy's outputs on frames that differ in the coin alone. The
states are first frames of held-out levels with the agent in mid-level, the same ones for every
policy and checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

import envs
from analysis.probes.actors import logits_and_values
from analysis.probes.intervals import mean_interval
from analysis.probes.sensitivity import drift, kl, log_softmax, total_variation
from analysis.probes.suite import ProbeSuite
from analysis.probes.tracking import Task, TaskEnv
from analysis.schema import conform
from envs.edit import agent_of, coins_of
from envs.scratch import scratch

NEAR, VIEW_COLUMNS, VIEW_ROWS = 2, 6, 5
PROBE = "counterfactual"


@dataclass(frozen=True, eq=False)
class CounterfactualStates:
    """Frames of the same states with the coin in different places.

    Attributes:
        frames: `[N, 64, 64, 3]`.
        table: `[N]` rows: level_seed, condition (`none`, `moved`, `end`), dx and dy, the coin's
            place relative to the agent in cells (NaN where there is no coin).
    """

    frames: NDArray[np.uint8]
    table: pd.DataFrame


@lru_cache(maxsize=4)
def counterfactual_states(suite: ProbeSuite) -> CounterfactualStates:
    """First frames of the suite's `none@mid` levels under every placement of the coin in view.

    Conditions: no coin; the coin on each column within 6 columns and 5 rows of the agent where
    one can lie, other than the agent's own and its neighbours; the coin at the end, if in view.
    """
    states, rows = [], []
    vector = TaskEnv(
        [Task("none@mid", level, 1) for level in suite.seeds], suite.settings, suite.n_levels
    )
    for index, level in enumerate(suite.seeds):
        state = vector.game_state(index)
        layout = scratch("coinrun", suite.settings).layout(level)
        x, y = (int(value) for value in agent_of(state))
        places = [("moved", cell) for cell in map(tuple, layout.coin_cells.tolist())]
        for condition, cell in [("none", None), *places, ("end", layout.end)]:
            dx, dy = (cell[0] - x, cell[1] - y) if cell else (np.nan, np.nan)
            if cell and not (NEAR <= abs(dx) <= VIEW_COLUMNS and abs(dy) <= VIEW_ROWS):
                continue
            states.append(envs.move_coin(state, cell))
            rows.append({"level_seed": level, "condition": condition, "dx": dx, "dy": dy})
    vector.close()
    assert not coins_of(states[0])
    return CounterfactualStates(envs.render_states(states, suite.settings), pd.DataFrame(rows))


def run_counterfactual(
    policy: torch.nn.Module, suite: ProbeSuite, *, run: str = "", step: int | None = None,
    n_levels: int = 50, batch: int = 256,
) -> pd.DataFrame:  # fmt: skip
    """What the coin's presence and place change in a policy's output, state by state.

    Args:
        policy: from uint8 frames to logits or (logits, values).
        suite: held-out levels and their look.
        run: for the column run.
        step: environment steps of training behind this policy.
        n_levels: states, one per level, the first ones of the suite.
        batch: frames per forward pass.

    Returns:
        A row per state and place of the coin: run, step, level_seed, condition (`moved`, `end`),
        dx, dy; kl, the Kullback-Leibler divergence KL(coin there || no coin) in nats; tv, the
        total variation between the two action distributions; toward, the change of
        P(move towards the coin) - P(move away from it), -2 to 2; value_change (NaN for a policy
        without values).
    """
    states = counterfactual_states(replace(suite, n_levels=min(n_levels, suite.n_levels)))
    parts = [
        logits_and_values(policy, states.frames[start : start + batch])
        for start in range(0, len(states.frames), batch)
    ]
    log_p = log_softmax(np.concatenate([logits for logits, _ in parts]))
    values = np.concatenate([np.full(len(p), np.nan) if v is None else v for p, v in parts])
    table = states.table
    absent = table["condition"] == "none"
    base = table["level_seed"].map(dict(zip(table["level_seed"][absent], np.flatnonzero(absent),
                                            strict=True))).to_numpy()  # fmt: skip
    out = table.assign(
        run=run, step=pd.array([step] * len(table), dtype="Int64"),
        kl=kl(log_p, log_p[base]), tv=total_variation(log_p, log_p[base]),
        toward=np.sign(table["dx"]) * (drift(log_p) - drift(log_p[base])),
        value_change=values - values[base],
    )  # fmt: skip
    return out[~absent].reset_index(drop=True)


def counterfactual_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Means of `run_counterfactual` in the columns of the table `probes`.

    Probe `counterfactual`; metrics such as `tv:left`, `toward:right`, `kl:end`,
    `toward:left:2-3`: the quantity, then where the coin is, then its distance in columns.
    Intervals are Student's over levels (each level's mean counts once).
    """
    left, moved = table["dx"] < 0, table["condition"] == "moved"
    far = table["dx"].abs() > 3
    groups = {
        "left": moved & left, "right": moved & ~left, "end": table["condition"] == "end",
        "left:2-3": moved & left & ~far, "left:4-6": moved & left & far,
        "right:2-3": moved & ~left & ~far, "right:4-6": moved & ~left & far,
    }  # fmt: skip
    rows = []
    for where, mask in groups.items():
        for metric in ("kl", "tv", "toward", "value_change"):
            part = table[mask & table[metric].notna()]
            means = part.groupby("level_seed")[metric].mean().to_numpy(dtype=np.float64)
            if not len(means):
                continue
            low, high = mean_interval(means)
            rows.append({
                "run": table["run"].iloc[0], "step": table["step"].iloc[0], "probe": PROBE,
                "metric": f"{metric}:{where}", "value": float(means.mean()), "ci_low": low,
                "ci_high": high, "n": len(means), "mode": "", "note": "",
            })  # fmt: skip
    return conform("probes", pd.DataFrame(rows))
