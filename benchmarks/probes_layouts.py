"""How many probe levels are held out by seed alone: the share whose layout recurs in training.

    python benchmarks/probes_layouts.py

Writes benchmarks/results/probes_layouts.md, in about three minutes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import envs
from analysis.probes import wilson
from envs.coinrun import COIN
from envs.simulator import shared_simulator

RESULTS = Path(__file__).parent / "results"
SETTINGS = {
    "plain flat": envs.PLAIN_FLAT,
    "stock easy": envs.LevelSettings(),
    "stock hard": envs.LevelSettings(distribution_mode="hard"),
}


COUNTED = ("grid, start and coin", "crates, saws, enemies too", "looks: the first frame alone")
SHORT = 9  # columns up to which the coin of a level of one short section lies


def hashes(settings: envs.LevelSettings, seeds: range) -> list[tuple[int, ...]]:
    """Of each level the hashes of `COUNTED`, and the column of its coin."""
    simulator = shared_simulator("coinrun", settings)
    found: list[tuple[int, ...]] = []
    for seed in seeds:
        state = simulator.level(seed)
        frame = simulator.render(bytes(state.data))
        objects = tuple(sorted((round(x, 3), round(y, 3), kind) for x, y, kind in state.objects()))
        layout, coin = envs.layout_hash(state), int(np.argwhere(state.grid == COIN)[0][1])
        found.append((layout, hash((layout, objects)), hash(frame.tobytes()), coin))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--levels", type=int, default=2000, help="probe levels")
    parser.add_argument("--training", type=int, nargs="+", default=[500, 2000, 8000, 100_000])
    parser.add_argument("--out", type=Path, default=RESULTS / "probes_layouts.md")
    args = parser.parse_args()
    rows, kinds = [], []
    for name, settings in SETTINGS.items():
        low = envs.PROBE_LEVELS[0]
        probes = hashes(settings, range(low, low + args.levels))
        training = hashes(settings, range(max(args.training)))
        short = [one for one in training if one[-1] <= SHORT]
        kinds.append(f"{name}: {len(short) / len(training):.0%} of levels, "
                     f"{len({one[0] for one in short})} layouts")  # fmt: skip
        for place, what in enumerate(COUNTED):
            shares = []
            for n in args.training:
                seen = {one[place] for one in training[:n]}
                hits = sum(one[place] in seen for one in probes)
                ends = wilson(hits, len(probes))
                shares.append(f"{hits / len(probes):.3f} [{ends[0]:.3f}, {ends[1]:.3f}]")
            rows.append(f"| {name} | {what} | {' | '.join(shares)} |")
            print(rows[-1], flush=True)
    columns = " | ".join(f"{n:,}" for n in args.training)
    args.out.write_text(
        f"""# Layouts of probe levels that training meets under another seed

Share of {args.levels:,} probe levels whose layout occurs among the first N training levels, with
95 % Wilson intervals. By `benchmarks/probes_layouts.py`.

| levels | what counts as the layout | {columns} |
| --- | --- |{" --- |" * len(args.training)}
"""
        + "\n".join(rows)
        + f"""

Levels whose coin lies in column {SHORT} or before, among the first {max(args.training):,}:
{"; ".join(kinds)}.
"""
    )


if __name__ == "__main__":
    main()
