"""Speed of the environments as a share of raw procgen, all in one run with the same actions.

    python benchmarks/envs_speed.py --out benchmarks/results/envs_speed.md

The variants take turns in short rounds and each round is compared with its own raw round, so that
other load on the machine falls on all alike; times are CPU seconds of this process (everything
runs on one thread), the median over rounds.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import stable_baselines3

import envs
from envs.native import _import_procgen

NUM = 64
RIGHT = "raw procgen, played towards the right"  # ends episodes after about 100 steps
RESET = "raw procgen, new levels every 60 steps"
Round = Callable[[np.ndarray], None]


def raw_round(threads: int) -> Round:
    env = _import_procgen().ProcgenGym3Env(
        num=NUM, env_name="coinrun", distribution_mode="easy", rand_seed=0, num_threads=threads
    )

    def play(actions: np.ndarray) -> None:
        for action in actions:
            env.act(action)
            env.observe()

    return play


def raw_reset_round(every: int) -> Round:
    """Raw procgen told to begin new levels (action -1) every so many steps."""
    env = _import_procgen().ProcgenGym3Env(
        num=NUM, env_name="coinrun", distribution_mode="easy", rand_seed=0, num_threads=0
    )
    reset = np.full(NUM, -1, np.int32)

    def play(actions: np.ndarray) -> None:
        for step, action in enumerate(actions, 1):
            env.act(reset if step % every == 0 else action)
            env.observe()

    return play


def raw_copy_round() -> Round:
    """Raw procgen whose frames are copied, as anybody must who keeps them beyond a step."""
    env = _import_procgen().ProcgenGym3Env(
        num=NUM, env_name="coinrun", distribution_mode="easy", rand_seed=0, num_threads=0
    )

    def play(actions: np.ndarray) -> None:
        for action in actions:
            env.act(action)
            kept = env.observe()[1]["rgb"].copy()
        del kept

    return play


def our_round(read: bool = False, **options: Any) -> Round:
    vector = envs.make_vec(NUM, **options)
    vector.reset()

    def play(actions: np.ndarray) -> None:
        for action in actions:
            infos = vector.step(action)[4]
            if read:
                infos["coin_xy"]

    return play


def sb3_round() -> Round:
    venv = envs.to_sb3(envs.make_vec(NUM))
    venv.reset()

    def play(actions: np.ndarray) -> None:
        for action in actions:
            venv.step(action)

    return play


VARIANTS: dict[str, tuple[Callable[[], Round], str, float | None]] = {
    "raw procgen": (lambda: raw_round(0), "", None),
    "raw procgen, frames copied": (raw_copy_round, "raw procgen", None),
    RESET: (
        lambda: raw_reset_round(60),
        "raw procgen",
        None,
    ),
    "`end`": (our_round, "raw procgen", 0.97),
    "`end`, coin read at every step": (lambda: our_round(read=True), "raw procgen", None),
    "`ground`, natural ends": (lambda: our_round(coin="ground"), "raw procgen", None),
    RIGHT: (lambda: raw_round(0), "", None),
    "`ground`, played towards the right": (lambda: our_round(coin="ground"), RIGHT, None),
    "`end@mid`, played towards the right (ends after about 60 steps)": (
        lambda: our_round(coin="end@mid"),
        RIGHT,
        0.85,
    ),
    "`ground`, cut at 60 steps": (
        lambda: our_round(coin="ground", time_limit=60),
        RESET,
        0.85,
    ),
    "`ground`, cut at 60 steps, 100 levels": (
        lambda: our_round(coin="ground", time_limit=60, levels=(0, 100)),
        RESET,
        0.85,
    ),
    "`behind`, cut at 60 steps, 100 levels": (
        lambda: our_round(coin="behind", time_limit=60, levels=(0, 100)),
        RESET,
        0.85,
    ),
    "`end`, tracked": (lambda: our_round(track=True), "raw procgen", 0.25),
    "SB3 adapter over `end`": (sb3_round, "`end`", 0.95),
}


def measure(rounds: int, steps: int) -> dict[str, np.ndarray]:
    """CPU seconds of each round, by variant."""
    players = {name: make() for name, (make, _, _) in VARIANTS.items()}
    rng = np.random.default_rng(0)
    shape = (rounds + 4, steps, NUM)
    actions = rng.integers(0, 15, shape).astype(np.int32)
    right = np.where(rng.random(shape) < 0.3, 8, actions).astype(np.int32)  # 8: right and jump
    times: dict[str, list[float]] = {name: [] for name in players}
    for number in range(len(actions)):
        for name, play in players.items():
            chunk = (right if "towards the right" in name else actions)[number]
            start = time.process_time()
            play(chunk)
            if number >= 4:  # the first rounds fill caches and draw assets
                times[name].append(time.process_time() - start)
    return {name: np.array(values) for name, values in times.items()}


def table(times: dict[str, np.ndarray], steps: int) -> str:
    """The ratios, their quartiles over rounds, and what was asked for."""
    lines = ["| variant | steps/s | of | ratio | quartiles | wanted |", "| --- " * 6 + "|"]
    for name, (_, base, wanted) in VARIANTS.items():
        speed = f"{steps * NUM / np.median(times[name]):,.0f}"
        if not base:
            lines.append(f"| {name} | {speed} | | | | |")
            continue
        ratios = times[base] / times[name]
        low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
        goal = f"{wanted}" if wanted else ""
        lines.append(
            f"| {name} | {speed} | {base} | {middle:.3f} | {low:.3f} to {high:.3f} | {goal} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--steps", type=int, default=60, help="vector steps in a round")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    times = measure(args.rounds, args.steps)
    head = (
        "# Speed of the environments\n\n"
        f"{NUM} environments, easy levels, random actions, {args.rounds} rounds of {args.steps} "
        "vector steps; CPU seconds of one thread, paired by round. "
        f"{os.cpu_count()} cores, CPU, Python {platform.python_version()}, procgen-mirror 0.10.7, "
        f"gymnasium {gymnasium.__version__}, numpy {np.__version__}, "
        f"stable-baselines3 {stable_baselines3.__version__}; load average at the end "
        f"{os.getloadavg()[0]:.1f}.\n\n"
    )
    text = head + table(times, args.steps) + "\n"
    print(text)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(text)


if __name__ == "__main__":
    main()
