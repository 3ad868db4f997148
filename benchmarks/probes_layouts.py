"""How many probe levels are held out by seed alone: the share whose layout recurs in training.

    python benchmarks/probes_layouts.py

Writes benchmarks/results/probes_layouts.md, in about two minutes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import envs
from analysis.probes import wilson
from envs.simulator import shared_simulator

RESULTS = Path(__file__).parent / "results"
SETTINGS = {
    "plain flat": envs.PLAIN_FLAT,
    "stock easy": envs.LevelSettings(),
    "stock hard": envs.LevelSettings(distribution_mode="hard"),
}


def hashes(settings: envs.LevelSettings, seeds: range) -> list[tuple[int, int]]:
    """Of each level the layout's hash, and one of the layout with its crates, saws and enemies."""
    level = shared_simulator("coinrun", settings).level
    found = []
    for seed in seeds:
        state = level(seed)
        objects = tuple(sorted((round(x, 3), round(y, 3), kind) for x, y, kind in state.objects()))
        found.append((layout := envs.layout_hash(state), hash((layout, objects))))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--levels", type=int, default=2000, help="probe levels")
    parser.add_argument("--training", type=int, nargs="+", default=[500, 2000, 8000, 100_000])
    parser.add_argument("--out", type=Path, default=RESULTS / "probes_layouts.md")
    args = parser.parse_args()
    rows = []
    for name, settings in SETTINGS.items():
        low = envs.PROBE_LEVELS[0]
        probes = hashes(settings, range(low, low + args.levels))
        training = hashes(settings, range(max(args.training)))
        for place, what in enumerate(("grid, start and coin", "crates, saws, enemies too")):
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
        + "\n"
    )


if __name__ == "__main__":
    main()
