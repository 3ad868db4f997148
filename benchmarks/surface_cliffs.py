"""Cliffs of the exact return where the goal of a gridworld changes, and elsewhere.

    python benchmarks/surface_cliffs.py --out benchmarks/results/surface_cliffs.md

Runs ascend the exact return of the open 4 x 4 grid (SGD). Through each of their checkpoints goes
the line of `rl-slt surface` along the policy gradient; cliffs are counted on it by the same rule,
and the largest fall within two steps is a share of the range of the run's returns. Dates of the
goal's change are permuted between runs of an arm for the null distribution.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from gridworld_transitions import date_of
from markdown_report import publish, table
from torch import Tensor, nn

from agents import list_checkpoints, load_policy, ppo_preset, train_together
from analysis import along, find_cliffs, line
from analysis.probes import grid_shares
from analysis.surface import FINE
from envs import CheeseGrid

Array = npt.NDArray[np.float64]
STEPS, REACH, PERMUTATIONS = 2000, 1.0, 10_000
ARMS = {
    "corner": "corner", "a0.05": "mix:0.05:anywhere:corner", "a0.10": "mix:0.1:anywhere:corner",
    "a0.30": "mix:0.3:anywhere:corner", "anywhere": "anywhere",
}  # fmt: skip


HEAD = """# Cliffs of the exact return, and the change of the goal

Made by `benchmarks/surface_cliffs.py`: open 4 x 4 grid, SGD on the exact return, 2,000 steps, 24
checkpoints, {seeds} seeds an arm; a0.10 is `mix:0.1:anywhere:corner`. Cliffs by the rule of
`rl-slt surface`, on lines of one norm of the weights along the policy gradient. A fall is the
largest within two steps of a line, as a share of the range of the run's returns.

"""


def lines_of(out: Path, grid: CheeseGrid, coin: str) -> pd.DataFrame:
    """A row for each checkpoint: corner first, number of cliffs, and the largest fall."""
    shares = torch.from_numpy(grid.probabilities(coin))
    states = torch.from_numpy(grid.observations).double()
    offsets = line(REACH)

    def expected(policy: nn.Module) -> Tensor:
        return grid.mdp.returns(policy(states)) @ shares

    rows, returns = [], []
    for checkpoint in list_checkpoints(out):
        policy = load_policy(checkpoint).double()
        grads = torch.autograd.grad(expected(policy), list(policy.parameters()))
        up = torch.cat([g.flatten() for g in grads])
        found = along(policy, [up], offsets[:, None], lambda w: {"ret": float(expected(w))})
        returns.append(found["ret"].to_numpy())
        rows.append({"step": checkpoint.step, "corner": grid_shares(policy, grid)[0]})
    spread = float(np.ptp(np.concatenate(returns)))
    for row, one in zip(rows, returns, strict=True):
        row["cliffs"] = len(find_cliffs(offsets, one, spread))
        z = np.append(one[0], one[FINE:])
        falls = max((z[:-k] - z[k:]).max() for k in (1, 2))
        row["fall"] = max(falls, 0.0) / spread
    return pd.DataFrame(rows)


def near(values: Array, after: npt.NDArray[np.intp]) -> float:
    """Mean of values `[runs, checkpoints]` at the checkpoints before and `after` the date."""
    rows = np.arange(len(values))
    return float((values[rows, after] + values[rows, after - 1]).mean() / 2)


def main() -> None:
    """Train, draw lines, count, and test."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", type=Path, help="Markdown to write")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        runs = [
            (ppo_preset("gridworld", seed=seed, checkpoints="log:24", coin=coin, steps=STEPS,
                        grid={"size": 4}), Path(folder) / f"{arm}-s{seed}", arm)
            for arm, coin in ARMS.items() for seed in range(args.seeds)
        ]  # fmt: skip
        train_together(runs)
        grid = CheeseGrid.of(runs[0][0].grid, runs[0][0].gamma)
        frame = pd.concat([
            lines_of(out, grid, config.coin).assign(run=out.name, arm=arm)
            for config, out, arm in runs
        ])  # fmt: skip
    dates = pd.Series({
        run: date_of(one["step"].to_numpy(float), one["corner"].to_numpy())
        for run, one in frame.groupby("run")
    }).dropna()  # fmt: skip
    rows = [
        {"arm": arm, "runs": part["run"].nunique(), "lines": len(part),
         "cliffs": part["cliffs"].sum(), "at steps": ", ".join(
             f"{s:,}" for s in sorted(part.loc[part["cliffs"] > 0, "step"].unique())),
         "goal changes": int(dates.index.isin(part["run"]).sum())}
        for arm, part in frame.groupby("arm")
    ]  # fmt: skip
    arms = frame.groupby("run")["arm"].first()[dates.index].to_numpy()
    after = np.searchsorted(frame["step"].unique(), dates)
    rng, text = np.random.default_rng(0), []
    for column in ("cliffs", "fall"):
        values = frame.pivot(index="run", columns="step", values=column).loc[dates.index].to_numpy()
        seen, null = near(values, after), np.empty(PERMUTATIONS)
        for k in range(PERMUTATIONS):
            moved = after.copy()
            for arm in set(arms):
                moved[arms == arm] = rng.permutation(after[arms == arm])
            null[k] = near(values, moved)
        p = (1 + np.sum(null >= seen - 1e-12)) / (1 + PERMUTATIONS)
        text.append(
            f"{column}: {seen:.3g} at the change, {values.mean():.3g} at all checkpoints of these "
            f"{len(dates)} runs, {null.mean():.3g} with dates of other seeds of the arm "
            f"(p = {p:.3g})"
        )
    spans = [f"{arm}: {sorted(set(after[arms == arm].tolist()))}" for arm in sorted(set(arms))]
    text.append("checkpoint after the change, by number: " + ", ".join(spans))
    publish(HEAD.format(seeds=args.seeds) + "\n\n".join([table(rows), *text]) + "\n", args.out)


if __name__ == "__main__":
    main()
