"""The same state with the coin here, there, at the end and nowhere: what does it change?

No rollout, so no noise: the policy's outputs on frames that differ in the coin alone, on the
same states for every policy and checkpoint (`analysis.probes.visits`).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

import envs
from analysis.probes.actors import logits_and_values
from analysis.probes.intervals import mean_interval
from analysis.probes.sensitivity import drift, kl, log_softmax, total_variation
from analysis.probes.suite import ProbeSuite
from analysis.probes.visits import visited_states
from analysis.schema import conform
from envs import agent_of, shared_simulator

NEAR, VIEW_COLUMNS, VIEW_ROWS = 2, 6, 5
PROBE = "counterfactual"
METRICS = ("kl", "tv", "toward", "value_change")


@dataclass(frozen=True, eq=False)
class CounterfactualStates:
    """Frames of the same states with the coin in different places.

    Attributes:
        frames: `[N, 64, 64, 3]`.
        table: `[N]` rows: level_seed, condition (`none`, `moved`, `end`), dx and dy, the coin's
            place relative to the agent's cell (NaN where there is no coin).
    """

    frames: NDArray[np.uint8]
    table: pd.DataFrame

    def part(self, mask: pd.Series) -> CounterfactualStates:
        """The rows of a mask alone."""
        return CounterfactualStates(self.frames[mask.to_numpy()], self.table[mask])

    def to_bytes(self) -> bytes:
        """A compressed NumPy archive of frames and table; see `from_bytes`."""
        columns = {name: self.table[name].to_numpy() for name in ("level_seed", "dx", "dy")}
        condition = self.table["condition"].to_numpy().astype("U")
        buffer = io.BytesIO()
        np.savez_compressed(buffer, frames=self.frames, condition=condition, **columns)
        return buffer.getvalue()

    @staticmethod
    def from_bytes(data: bytes) -> CounterfactualStates:
        """The states of `to_bytes`."""
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            names = ("level_seed", "condition", "dx", "dy")
            table = pd.DataFrame({name: stored[name] for name in names})
            return CounterfactualStates(stored["frames"], table)


def counterfactual_states(suite: ProbeSuite, seed: int = 0) -> CounterfactualStates:
    """Visited states under every placement of the coin in view.

    Conditions: no coin; the coin on each column within 6 columns and 5 rows of the agent where
    one can lie, other than the agent's own and its neighbours; the coin at the end, if in view.

    Args:
        suite: held-out levels, one state on each, and their look; its probes and its limit do
            not matter.
        seed: of the visits.
    """
    states, rows = [], []
    for level, state in visited_states(suite, seed).items():
        for condition, cell, away in _places(suite, level, state):
            states.append(envs.move_coin(state, cell))
            rows.append((level, condition, *away))
    table = pd.DataFrame(rows, columns=["level_seed", "condition", "dx", "dy"])
    return CounterfactualStates(envs.render_states(states, suite.settings), table)


def _places(
    suite: ProbeSuite, level: int, state: bytes
) -> Iterator[tuple[str, tuple[int, int] | None, tuple[float, float]]]:
    """Condition, cell of the coin, and how far that is from the agent."""
    layout = shared_simulator("coinrun", suite.settings).layout(level)
    x, y = (int(value) for value in agent_of(state))
    yield "none", None, (np.nan, np.nan)
    cells = [("moved", cell) for cell in layout.coin_cells]
    for condition, cell in [*cells, ("end", layout.end)]:
        dx, dy = cell[0] - x, cell[1] - y
        if NEAR <= abs(dx) <= VIEW_COLUMNS and abs(dy) <= VIEW_ROWS:
            yield condition, cell, (dx, dy)


def run_counterfactual(
    policy: torch.nn.Module, states: CounterfactualStates, *, run: str = "",
    step: int | None = None, batch: int = 256,
) -> pd.DataFrame:  # fmt: skip
    """What the coin's presence and place change in a policy's output, state by state.

    Args:
        policy: from uint8 frames to logits or (logits, values).
        states: from `counterfactual_states`.
        run: for the column run.
        step: environment steps of training behind this policy.
        batch: frames per forward pass.

    Returns:
        A row per state and place of the coin: run, step, level_seed, condition (`moved`, `end`),
        dx, dy; kl, the Kullback-Leibler divergence KL(coin there || no coin) in nats; tv, the
        total variation between the two action distributions; toward, the change of
        P(move towards the coin) - P(move away from it), -2 to 2; value_change (NaN for a policy
        without values).
    """
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

    Probe `counterfactual`; metrics such as `tv:left`, `toward:right`, `kl:end`: the quantity,
    then the side on which the coin lies, or `end` for the coin at the end of the level.
    Intervals are Student's over levels (each level's mean counts once).
    """
    rows = [
        row | {"probe": PROBE, "metric": f"{row['metric']}:{where}"}
        for where, part in _by_side(table)
        for row in _means(part)
    ]
    frame = pd.DataFrame(rows, columns=["probe", "metric", "value", "ci_low", "ci_high", "n"])
    return conform("probes", frame.assign(note="", **_origin(table)))


def distance_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Means of `run_counterfactual` by side and distance, in the columns of `counterfactual`."""
    rows = [
        row | {"side": side, "distance": int(distance)}
        for side, part in _by_side(table)
        for distance, some in part.groupby(part["dx"].abs())
        for row in _means(some)
    ]
    columns = ["side", "distance", "metric", "value", "ci_low", "ci_high", "n"]
    return conform("counterfactual", pd.DataFrame(rows, columns=columns).assign(**_origin(table)))


def _by_side(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    moved = table["condition"] == "moved"
    yield "left", table[moved & (table["dx"] < 0)]
    yield "right", table[moved & (table["dx"] > 0)]
    yield "end", table[table["condition"] == "end"]


def _means(part: pd.DataFrame) -> Iterator[dict[str, object]]:
    """Mean over levels of each quantity; none for one that no state has."""
    for metric in METRICS:
        known = part[part[metric].notna()]
        means = known.groupby("level_seed")[metric].mean().to_numpy(dtype=np.float64)
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
