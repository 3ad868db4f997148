"""Which goal mice of the gridworld learn, and when it changes, by alpha.

Writes benchmarks/results/gridworld_goals.md. All numbers are exact for a run; their spread is that
over seeds. Two CPU minutes for five seeds of one objective.

    python benchmarks/gridworld_goals.py --seeds 5
"""

import argparse
import tempfile
import time
from pathlib import Path

import pandas as pd
import torch

from agents import Run, load_policy, ppo_preset, train_together
from analysis.probes import probe_gridworld
from envs import CheeseGrid

ALPHAS = (0.0, 0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
OUT = Path(__file__).parent / "results" / "gridworld_goals.md"


def measure(temperature: float, seeds: int) -> tuple[pd.DataFrame, float]:
    """Corner first and return of every run at 40 checkpoints, and CPU seconds of the training."""
    grid, rows = CheeseGrid(), []
    with tempfile.TemporaryDirectory() as folder:
        runs = [(alpha, seed, Path(folder) / f"{alpha}-{seed}")
                for alpha in ALPHAS for seed in range(seeds)]  # fmt: skip
        start = time.process_time()
        train_together([
            (ppo_preset("gridworld", temperature=temperature, seed=seed, checkpoints="log:40",
                        coin=f"mix:{alpha}:anywhere:corner"), path, None)
            for alpha, seed, path in runs
        ])  # fmt: skip
        spent = time.process_time() - start
        for alpha, seed, path in runs:
            for checkpoint in Run(path).checkpoints:
                table = probe_gridworld(
                    load_policy(checkpoint), grid, run=path.name, step=checkpoint.step
                )
                value = {(p, m): v for p, m, v in zip(
                    table["probe"], table["metric"], table["value"], strict=True)}  # fmt: skip
                rows.append({
                    "alpha": alpha, "seed": seed, "step": checkpoint.step,
                    "corner": value["apart", "corner_first"],
                    "return": value["anywhere", "mean_return"],
                })  # fmt: skip
    return pd.DataFrame(rows), spent


def change_of(run: pd.DataFrame) -> float:
    """The step at which the corner no longer comes first in half of the pairs; NaN: never."""
    run = run.sort_values("step")
    after = run.iloc[int(run["corner"].argmax()) :]
    below = after[after["corner"] < 0.5]
    learned = float(after["corner"].iloc[0]) > 0.5
    return float(below["step"].iloc[0]) if learned and len(below) else float("nan")


def table_of(frame: pd.DataFrame) -> list[str]:
    """A column for each alpha: peak and end of corner first, return, steps of the change."""
    last = frame[frame["step"] == frame["step"].max()]
    peak = frame.groupby(["alpha", "seed"])["corner"].max()
    change = pd.Series({key: change_of(run) for key, run in frame.groupby(["alpha", "seed"])})
    rows: dict[str, list[str]] = {}
    for alpha, mine in last.groupby("alpha"):
        steps = change[alpha]
        found = steps.dropna()
        cells = {
            "corner first, peak": spread(peak[alpha]),
            "corner first, last": spread(mine["corner"]),
            "return, cheese anywhere, last": spread(mine["return"]),
            "seeds that changed": f"{len(found)} of {len(steps)}",
            "step of the change, median [least, greatest]":
                f"{found.median():,.0f} [{found.min():,.0f}, {found.max():,.0f}]" if len(found)
                else "–",
        }  # fmt: skip
        for name, cell in cells.items():
            rows.setdefault(name, []).append(cell)
    names = [f"{alpha:g}" for alpha in sorted(frame["alpha"].unique())]
    return [
        "| alpha | " + " | ".join(names) + " |",
        "| --- |" + " --- |" * len(names),
        *("| " + " | ".join([name, *cells]) + " |" for name, cells in rows.items()),
    ]


def spread(values: pd.Series) -> str:
    """Mean over seeds, with the least and greatest in brackets."""
    return f"{values.mean():.3f} [{values.min():.3f}, {values.max():.3f}]"


def main() -> None:
    """Train, probe and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    seeds = parser.parse_args().seeds
    torch.set_num_threads(1)
    best = float(CheeseGrid().mdp.optimal_returns().mean())
    lines = [
        "# Goals of mice in the gridworld",
        "",
        f"Open 5 x 5 grid, discount 0.9, one layer of 32 tanh (1,764 weights), SGD on the exact "
        f"return, learning rate 2, 3,000 steps, {seeds} seeds. The cheese lies anywhere with "
        f"probability alpha, else in the corner. Corner first: over the 344 pairs of start and "
        f"cheese whose ways come apart. Best return with the cheese anywhere: {best:.3f}. Mean "
        f"over seeds [least, greatest]; changes are found among 40 log-spaced checkpoints.",
    ]
    for temperature in (0.0, 0.01):
        frame, spent = measure(temperature, seeds)
        name = f"Soft return at temperature {temperature:g}" if temperature else "Return"
        each = spent / len(ALPHAS) / seeds
        lines += ["", f"## {name}", "", *table_of(frame), "",
                  f"{each:.1f} CPU s a run of {len(ALPHAS) * seeds} trained together."]  # fmt: skip
        OUT.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
