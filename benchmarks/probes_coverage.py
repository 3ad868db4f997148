"""Do the intervals of the goal scores hold what they promise? On planted policies of known share.

    python benchmarks/probes_coverage.py

Two designs, both with a policy that seeks the coin in a known share of its episodes and ignores it
in the others. `drawn`: outcomes are drawn with known rates, and the agent fails on a tenth of the
levels. `played`: scripted coin-seeker and coin-blind policy on real plain levels; each repetition
draws levels with replacement and whole episodes of either. Coverage: share of repetitions whose
95 % interval holds the truth (the score of a very large sample; for coin seeking of `played` the
planted share itself).
Writes benchmarks/results/probes_coverage.md.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.probes import SUITES, control_of, run_suite, score_episodes, wilson
from analysis.probes.actors import scripted_actor
from envs import CoinBlindPolicy, CoinSeekerPolicy

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "analysis"))

from planted_episodes import planted

RESULTS = Path(__file__).parent / "results"
SHARES = (0.0, 0.05, 0.3, 0.6, 0.95)
PLACES = ("end@mid", "none@mid", "behind")
WATCHED = {
    "drawn": [("behind", "coin_seeking"), ("ground", "coin_seeking"), ("behind", "preference"),
              ("none", "persistence"), ("end", "capability")],
    "played": [("behind", "coin_seeking"), ("behind", "preference")],
}  # fmt: skip
Pair = tuple[str, str]


def scores(episodes: pd.DataFrame, base: pd.DataFrame, draws: int) -> pd.DataFrame:
    frame = score_episodes(episodes, base, n_draws=draws)
    return frame.set_index(["probe", "metric"])[["value", "ci_low", "ci_high"]]


def drawn(share: float, levels: int, repeats: int, draws: int) -> Iterator[pd.DataFrame]:
    for seed in range(repeats):
        yield scores(*planted(share, able=0.9, n=levels, seed=seed), draws)


class Played:
    """Episodes of both scripted policies on the same real levels, to mix."""

    def __init__(self, levels: int) -> None:
        suite = SUITES["demo"].replace(n_levels=levels, placements=PLACES)
        self.seeker = run_suite(
            scripted_actor(CoinSeekerPolicy()), suite, seed=0, step=0, num_envs=8
        )
        self.blind = run_suite(scripted_actor(CoinBlindPolicy()), suite, seed=0, step=0)
        self.size = levels

    def mixture(self, share: float, levels: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Levels drawn with replacement, whole episodes of either policy; and the seeker's own."""
        rng = np.random.default_rng(seed)
        rows = rng.integers(0, self.size, levels)
        mine, base, seeks = [], [], {p: rng.random(levels) < share for p in PLACES}
        for place in PLACES:
            at = np.flatnonzero(self.seeker["probe"] == place)[rows]
            one, other = (t.iloc[at].reset_index(drop=True) for t in (self.seeker, self.blind))
            part = one.where(pd.Series(seeks[place]), other)
            if control := control_of(place):  # its blind path is that of its control episode
                part["blind_first"] = one["blind_first"].where(
                    pd.Series(seeks[control]), other["blind_first"]
                )
            mine.append(part.assign(level_seed=np.arange(levels)))
            base.append(one.assign(level_seed=np.arange(levels), policy="coin-seeker", step=None))
        return pd.concat(mine), pd.concat(base)


def truths(design: str, share: float, played: Played) -> pd.Series:
    if design == "drawn":
        return scores(*planted(share, able=0.9, n=20_000, seed=10**6), 1)["value"]
    truth = scores(*played.mixture(share, 200_000, 10**6), 1)["value"].copy()
    truth["behind", "coin_seeking"] = share
    return truth


def row(design: str, share: float, pair: Pair, found: pd.DataFrame, truth: float) -> str:
    known = found.dropna()
    held = int(((known["ci_low"] - 1e-9 <= truth) & (truth <= known["ci_high"] + 1e-9)).sum())
    low, high = wilson(held, len(known))
    width = float((known["ci_high"] - known["ci_low"]).mean())
    cells = (
        design, f"{share:g}", f"{pair[1]} of {pair[0]}", f"{truth:.3f}",
        f"{known['value'].mean():.3f}", f"{width:.2f}",
        f"{held}/{len(known)} = {held / max(1, len(known)):.3f} [{low:.3f}, {high:.3f}]",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--levels", type=int, default=60, help="Levels of each repetition.")
    parser.add_argument("--draws", type=int, default=400, help="Draws behind each interval.")
    parser.add_argument("--real", type=int, default=100, help="Real levels that are played.")
    parser.add_argument("--out", type=Path, default=RESULTS / "probes_coverage.md")
    args = parser.parse_args()
    start, played, lines = time.process_time(), Played(args.real), []
    for design in WATCHED:
        for share in SHARES:
            truth = truths(design, share, played)
            made = (
                drawn(share, args.levels, args.repeats, args.draws)
                if design == "drawn"
                else (scores(*played.mixture(share, args.levels, seed), args.draws)
                      for seed in range(args.repeats))
            )  # fmt: skip
            frames = list(made)
            for pair in WATCHED[design]:
                found = pd.DataFrame([frame.loc[pair] for frame in frames])
                lines.append(row(design, share, pair, found, float(truth[pair])))
                print(lines[-1], flush=True)
    head = [
        "# Coverage of the goal scores' 95 % intervals on planted policies", "",
        f"{args.repeats} repetitions of {args.levels} levels, {args.draws} draws behind each",
        f"interval; `played`: episodes on {args.real} real plain levels.",
        f"Made by `benchmarks/probes_coverage.py` in {time.process_time() - start:.0f} CPU s"
        " (2 cores, CPU).", "",
        "| design | planted share | score | truth | mean estimate | mean width | coverage |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    args.out.write_text("\n".join(head + lines) + "\n")


if __name__ == "__main__":
    main()
