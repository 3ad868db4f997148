"""How often the goal's change of a gridworld is dated, where there is one and where there is none.

    python benchmarks/gridworld_transitions.py --out benchmarks/results/gridworld_transitions.md

Runs ascend the exact return of the open grid of 5 x 5 (SGD). Where the cheese is anywhere in a
share alpha = .1 to .5 of levels, the mouse first runs for the corner and gives it up at some step;
with alpha = 0 to .01 it never does, and with alpha = 1 it never ran for it.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from markdown_report import publish, table

from agents import list_checkpoints, load_policy, ppo_preset, train_together
from analysis import detect_transitions
from analysis.probes import probe_gridworld
from envs import CheeseGrid
from rl_slt.pipeline.engine.work import evenly

Array = npt.NDArray[np.float64]
CHANGE, NONE = (0.1, 0.2, 0.3, 0.5), (0.0, 0.001, 0.01, 1.0)


def courses(alphas: Sequence[float], seeds: int, **changes: object) -> pd.DataFrame:
    """Probability to reach the corner first: a row per alpha and seed, a column per checkpoint."""
    names = {0.0: "corner", 1.0: "anywhere"}
    with tempfile.TemporaryDirectory() as folder:
        runs = [
            (ppo_preset("gridworld", seed=seed, checkpoints="log:40",
                        coin=names.get(alpha, f"mix:{alpha}:anywhere:corner"), **changes),
             Path(folder) / f"a{alpha}-s{seed}", f"a{alpha}")
            for alpha in alphas for seed in range(seeds)
        ]  # fmt: skip
        train_together(runs)
        grid = CheeseGrid.of(runs[0][0].grid, runs[0][0].gamma)
        rows = {
            (alpha, config.seed): {
                c.step: probe_gridworld(load_policy(c), grid, run=out.name, step=c.step)
                .set_index("metric").loc["corner_first", "value"]
                for c in list_checkpoints(out)
            }
            for (config, out, _), alpha in zip(runs, np.repeat(alphas, seeds), strict=True)
        }  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index")


def date_of(steps: Array, course: Array) -> float:
    """The step at which a goal that was held falls below one half; NaN where none does."""
    held = int(np.argmax(course))
    below = np.flatnonzero((np.arange(len(course)) > held) & (course < 0.5))
    if course[held] < 0.9 or not len(below):
        return np.nan
    pair = [below[0], below[0] - 1]
    return float(np.interp(0.5, course[pair], steps[pair]))


def goal_changes(steps: Array, values: Array, stderr: Array) -> pd.DataFrame:
    """The falls by more than one half from where the corner was the goal."""
    found = detect_transitions(steps, values, stderr)
    before = np.interp(found["step_low"].to_numpy(float), steps, values)
    return found[(found["kind"] == "fall") & (found["change"] < -0.5) & (before > 0.75)]


def rates(
    frame: pd.DataFrame, sizes: Sequence[int], errors: Sequence[float], draws: int
) -> Iterator[dict[str, object]]:
    """A row per number of checkpoints and known error: what is dated, and what is there falsely."""
    steps, rng = frame.columns.to_numpy(float), np.random.default_rng(0)
    for n in sizes:
        kept = np.searchsorted(steps, evenly(list(steps), n))
        for error in errors:
            said: dict[str, list[float]] = {}
            for _, course in frame.iterrows():
                date = date_of(steps, course.to_numpy())
                for _ in range(draws if error else 1):
                    noisy = course.to_numpy()[kept] + error * rng.normal(size=len(kept))
                    rows = goal_changes(steps[kept], noisy, np.full(len(kept), error))
                    within = rows[(rows["step_low"] <= date) & (date <= rows["step_high"])]
                    if np.isnan(date):
                        said.setdefault("false", []).append(len(rows) > 0)
                        continue
                    said.setdefault("dated", []).append(len(within) > 0)
                    if len(within):
                        low, high = within[["step_low", "step_high"]].to_numpy(float)[0]
                        inside = np.sum((steps[kept] > low) & (steps[kept] < high))
                        said.setdefault("inside", []).append(float(inside))
            yield {
                "checkpoints": n, "error": f"{error:g}" if error else "exact",
                "runs with a change": int(frame.apply(
                    lambda row: not np.isnan(date_of(steps, row.to_numpy())), axis=1).sum()),
                "dated": np.mean(said["dated"]),
                "falsely, of those without": np.mean(said["false"]),
                "checkpoints within the interval": np.mean(said.get("inside", [np.nan])),
            }  # fmt: skip


def main() -> None:
    """Write the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=8, help="runs of each alpha")
    parser.add_argument("--draws", type=int, default=4, help="of the noise for each run")
    parser.add_argument("--out", type=Path, help="Markdown file; left out, the screen")
    options = parser.parse_args()
    frame = courses((*CHANGE, *NONE), options.seeds)
    whole = list(rates(frame, (12, 24, 40), (0.0, 0.02, 0.05, 0.1), options.draws))
    each = [
        {"alpha": alpha} | next(rates(
            pd.concat([frame.loc[[alpha]], frame.loc[[0.0]]]), (12,), (0.0,), 1))
        for alpha in CHANGE
    ]  # fmt: skip
    text = f"""# The goal's change in the gridworld, dated

Made by `benchmarks/gridworld_transitions.py`: {options.seeds} runs for each alpha of
{", ".join(f"{a:g}" for a in CHANGE)} (the corner is given up) and of
{", ".join(f"{a:g}" for a in NONE)} (it is not), 3,000 steps of exact gradient ascent, of 40
log-spaced checkpoints as many as said. The series is the probability to reach the corner first,
exact or with known Gaussian error ({options.draws} draws a run). A change of the goal is a fall by
more than one half from where the corner is reached first in three of four; it is dated where its
interval holds the step at which the exact course falls below one half.

## Runs of all alphas (wanted: 0.9 dated, at most 0.05 falsely)

{table(whole)}

## Exact, at 12 checkpoints, by alpha

{table([{name: row[name] for name in ("alpha", "checkpoints", "error", "dated")} for row in each])}
"""
    publish(text, options.out)


if __name__ == "__main__":
    main()
