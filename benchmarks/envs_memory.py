"""Growth of memory over millions of steps and over environments made and closed.

python benchmarks/envs_memory.py --steps 5000000 --objects 1000
"""

import argparse
import os
from pathlib import Path

import numpy as np

import envs

NUM = 64
PAGE = os.sysconf("SC_PAGE_SIZE")


def resident() -> float:
    """Resident memory of this process in MiB (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 2**20


def steps_growth(steps: int, warm_up: int, time_limit: int) -> tuple[float, int]:
    """MiB gained over `steps` environment steps after a warm-up, and the episodes in them."""
    vector = envs.make_vec(NUM, "mix:0.5:ground:end@mid", time_limit=time_limit)
    vector.reset()
    rng = np.random.default_rng(0)
    start, episodes = 0.0, 0
    for step in range((warm_up + steps) // NUM):
        *_, terminated, truncated, _ = vector.step(rng.integers(0, 15, NUM))
        if step == warm_up // NUM:
            start = resident()
        episodes += int((terminated | truncated).sum())
    return resident() - start, episodes


def objects_growth(objects: int, num: int) -> float:
    """MiB gained over environments made, used and closed, after the first."""
    start = 0.0
    for number in range(objects + 1):
        vector = envs.make_vec(num, "ground", seed=number)
        vector.reset()
        vector.step(np.full(num, 8))
        vector.close()
        if number == 0:
            start = resident()
    return resident() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=5_000_000)
    parser.add_argument("--time-limit", type=int, default=45, help="more than 100,000 episodes")
    parser.add_argument("--objects", type=int, default=1000)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    gained, episodes = steps_growth(args.steps, max(args.steps // 5, 200_000), args.time_limit)
    made = objects_growth(args.objects, 4)
    text = (
        "# Memory of the environments\n\n"
        "| what | growth of resident memory |\n| --- | --- |\n"
        f"| {args.steps:,} steps ({episodes:,} episodes with the warm-up) | {gained:.1f} MiB |\n"
        f"| {args.objects:,} environments made, used and closed | {made:.1f} MiB |\n"
    )
    print(text)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(text)


if __name__ == "__main__":
    main()
