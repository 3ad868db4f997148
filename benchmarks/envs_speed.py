"""Speed of the environments as a share of raw procgen, all in one run with the same actions.

    python benchmarks/envs_speed.py --out benchmarks/results/envs_speed.md

The variants take turns in short rounds, so that other load on the machine falls on all alike; times
are CPU seconds of this process, everything on one thread. A second table, for idle machines, has
wall seconds with procgen's own four threads for both. A ratio is that of all the seconds:
levels differ in what they cost to draw, and by chance a variant's more than another's in one round.
The quartiles are those of the rounds.
"""

import argparse
import itertools
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
from envs.library import make_games, procgen_package
from envs.native import acquire
from envs.simulator import shared_simulator

NUM = 64
RIGHT = "raw procgen, played towards the right"
RESET = "raw procgen, new levels every 60 steps"
SAME = "raw procgen on the same episodes"
# Plays these actions; how many episodes ended, and the seconds that count where not all do.
Round = Callable[[np.ndarray], int | tuple[int, float]]

NOTE = """All variants play the same actions, those "towards the right" a second set (30 % right and
jump, else random). Raw procgen is `ProcgenGym3Env.act` and `observe`, which copies frames, rewards
and ends at each step just as ours does; what a step returns is kept until the next has returned, as
a policy's loop keeps it. Raw episodes end by death, coin or procgen's own limit of
1000 steps. Steps per episode are measured in the rounds that are timed.

Levels and places differ by a third in what they take to draw, and raw procgen's own episodes are
others than those of a displaced coin or start. So such variants are compared with raw procgen on
the same episodes: its games are put into our first states where an episode begins, which is not
timed, and after each round they show our frames to the byte. It makes a level where ours does: by
itself where an agent dies or gets a coin, by action -1 where our limit truncates. The last rows
compare the same with raw procgen on its own episodes, there with new levels every 60 steps where
ours are truncated. Where a limit truncates, ours also keeps the true last frame of the old episode,
and the next level is made in a simulator and handed over, unless it is remembered (ranges up to
1,024). Where an episode begins, ours reads the level's first state for its places, and procgen is
given the seed of the level that follows. Both sides have an allocator that keeps freed memory.
"""


def raw_round(threads: int, limit: int = 0) -> Round:
    """Raw procgen; with a limit, it begins a new level where an episode has that many steps."""
    env = make_games(
        NUM, "coinrun", distribution_mode="easy", rand_seed=0, num_threads=threads
    ).owner
    age = np.zeros(NUM, np.int32)

    def play(actions: np.ndarray) -> int:
        ended = 0
        for action in actions:
            if limit:
                action = np.where(age >= limit - 1, np.int32(-1), action)
            env.act(action)
            _, frames, first = env.observe()
            ended += np.count_nonzero(first)
            if limit:
                np.add(age, 1, out=age)
                age[first] = 0
        del frames
        return ended

    return play


def handover_round(every: int) -> Round:
    """What levels made in a simulator and handed over take by themselves.

    No placement, no edit: the least that a time limit of our own can cost.
    """
    settings = envs.LevelSettings()
    games, levels = acquire(NUM, "coinrun", settings), shared_simulator("coinrun", settings)
    seeds = itertools.count(10**6)
    for index in range(NUM):
        games.set_state(index, levels.level(index).data)

    def play(actions: np.ndarray) -> int:
        for step, action in enumerate(actions, 1):
            games.step(action)
            kept = games.obs.copy(), games.rew.copy(), games.first.copy()
            if step % every == 0:
                for index in range(NUM):
                    games.set_state(index, levels.level(next(seeds)).without_generators())
        del kept
        return NUM * len(actions) // every

    return play


def raw_copy_round() -> Round:
    """Raw procgen whose frames are copied once more than it does itself."""
    env = make_games(NUM, "coinrun", distribution_mode="easy", rand_seed=0, num_threads=0).owner

    def play(actions: np.ndarray) -> int:
        ended = 0
        for action in actions:
            env.act(action)
            _, frames, first = env.observe()
            kept = frames["rgb"].copy()
            ended += np.count_nonzero(first)
        del kept
        return ended

    return play


def our_round(**options: Any) -> Round:
    vector = envs.make_vec(NUM, **({"threads": 1} | options))
    vector.reset()

    def play(actions: np.ndarray) -> int:
        ended = 0
        for action in actions:
            *_, terminated, truncated, _ = vector.step(action)
            ended += np.count_nonzero(terminated) + np.count_nonzero(truncated)
        return ended

    return play


def same_round(**options: Any) -> Round:
    """Raw procgen on the very episodes that ours has with these options."""
    vector = envs.make_vec(NUM, **({"threads": 1} | options))
    vector.reset()
    env = make_games(NUM, "coinrun", distribution_mode="easy", rand_seed=0, num_threads=0).owner

    def begin(index: int, state: bytes) -> None:
        env._c_lib.set_state(env._c_env, index, env._ffi.from_buffer(state), len(state))

    for index in range(NUM):
        begin(index, vector.game_state(index))

    def play(actions: np.ndarray) -> tuple[int, float]:
        given, begun, frames = [], [], vector.now()[0]
        for action in actions:
            frames, _, over, cut, _ = vector.step(action)
            given.append(np.where(cut, np.int32(-1), action))
            begun.append([(i, vector.game_state(i)) for i in np.flatnonzero(over | cut).tolist()])
        spent = 0.0
        for action, states in zip(given, begun, strict=True):
            start = time.process_time()
            env.act(action)
            _, held, first = env.observe()
            spent += time.process_time() - start
            assert np.flatnonzero(first).tolist() == [index for index, _ in states]
            for index, state in states:
                begin(index, state)
        del held
        assert np.array_equal(env.observe()[1]["rgb"], frames)
        return sum(map(len, begun)), spent

    return play


def sb3_round() -> Round:
    venv = envs.to_sb3(envs.make_vec(NUM, threads=1))
    venv.reset()

    def play(actions: np.ndarray) -> int:
        return sum(np.count_nonzero(venv.step(action)[2]) for action in actions)

    return play


Variants = dict[str, tuple[Callable[[], Round], str, float | None]]
# Compared with raw procgen on the same episodes: their options, and with what raw procgen in the
# last rows.
DISPLACED: dict[str, tuple[dict[str, Any], str]] = {
    "`end@mid`, played towards the right": ({"coin": "end@mid"}, RIGHT),
    "`both`, played towards the right": ({"coin": "both"}, RIGHT),
    "`ground`, truncated at 70 steps": ({"coin": "ground", "time_limit": 70}, RESET),
    "`ground`, truncated at 70 steps, 100 levels": (
        {"coin": "ground", "time_limit": 70, "levels": (0, 100)},
        RESET,
    ),
    "`behind`, truncated at 70 steps, 100 levels": (
        {"coin": "behind", "time_limit": 70, "levels": (0, 100)},
        RESET,
    ),
}


def displaced() -> Variants:
    """Each displaced variant after raw procgen on the same episodes."""
    found: Variants = {}
    for name, (options, base) in DISPLACED.items():
        raw = f"{SAME}: {name}"
        found[raw] = (lambda options=options: same_round(**options), base, None)  # type: ignore[misc]
        found[name] = (lambda options=options: our_round(**options), raw, 0.85)  # type: ignore[misc]
    return found


VARIANTS: Variants = {
    "raw procgen": (lambda: raw_round(0), "", None),
    "raw procgen, frames copied twice": (raw_copy_round, "raw procgen", None),
    RESET: (lambda: raw_round(0, 60), "raw procgen", None),
    "`end`": (our_round, "raw procgen", 0.97),
    "`ground`, natural ends": (lambda: our_round(coin="ground"), "raw procgen", None),
    RIGHT: (lambda: raw_round(0), "", None),
    "`end`, played towards the right": (our_round, RIGHT, None),
    "`ground`, played towards the right": (lambda: our_round(coin="ground"), RIGHT, None),
    "`ground@mid`, played towards the right": (lambda: our_round(coin="ground@mid"), RIGHT, None),
    "levels handed over every 60 steps, nothing else": (
        lambda: handover_round(60),
        RESET,
        None,
    ),
    "`end`, tracked": (lambda: our_round(track=True), "raw procgen", 0.25),
    "SB3 adapter over `end`": (sb3_round, "`end`", 0.95),
    **displaced(),
}

THREADS, FOUR = 4, "raw procgen, 4 threads"
ON_THREADS: Variants = {
    FOUR: (lambda: raw_round(THREADS), "", None),
    "`end`": (lambda: our_round(threads=THREADS), FOUR, None),
    "`end@mid`, played towards the right": (
        lambda: our_round(coin="end@mid", threads=THREADS),
        FOUR,
        None,
    ),
}


def measure(
    variants: Variants, rounds: int, steps: int, clock: Callable[[], float] = time.process_time
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Seconds of each round by `clock`, and steps per episode, by variant."""
    players = {name: make() for name, (make, _, _) in variants.items()}
    rng = np.random.default_rng(0)
    shape = (rounds + 4, steps, NUM)
    actions = rng.integers(0, 15, shape).astype(np.int32)
    right = np.where(rng.random(shape) < 0.3, 8, actions).astype(np.int32)  # 8: right and jump
    times: dict[str, list[float]] = {name: [] for name in players}
    ends = dict.fromkeys(players, 0)
    for number in range(len(actions)):
        for name, play in players.items():
            chunk = (right if "towards the right" in name else actions)[number]
            start = clock()
            done = play(chunk)
            ended, spent = done if isinstance(done, tuple) else (done, clock() - start)
            if number >= 4:  # the first rounds fill caches and draw assets
                times[name].append(spent)
                ends[name] += ended
    lengths = {name: rounds * steps * NUM / max(ended, 1) for name, ended in ends.items()}
    return {name: np.array(values) for name, values in times.items()}, lengths


def table(
    variants: Variants, times: dict[str, np.ndarray], lengths: dict[str, float], steps: int
) -> str:
    """The ratios, their quartiles over rounds, and what was asked for."""
    lines = [
        "| variant | steps an episode | steps/s | of | ratio | quartiles | wanted |",
        "| --- " * 7 + "|",
    ]
    rows = [(name, base, wanted) for name, (_, base, wanted) in variants.items()]
    rows += [(name, DISPLACED[name][1], None) for name, base, _ in rows if SAME in base]
    for name, base, wanted in rows:
        speed = f"{steps * NUM / np.mean(times[name]):,.0f}"
        if not base:
            lines.append(f"| {name} | {lengths[name]:.0f} | {speed} | | | | |")
            continue
        ratios = times[base] / times[name]
        low, high = np.quantile(ratios, [0.25, 0.75])
        ratio = times[base].sum() / times[name].sum()
        goal = f"{wanted}" if wanted else ""
        shown = SAME if SAME in base else base
        lines.append(
            f"| {name} | {lengths[name]:.0f} | {speed} | {shown} | {ratio:.3f} "
            f"| {low:.3f} to {high:.3f} | {goal} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--steps", type=int, default=60, help="vector steps in a round")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    one = measure(VARIANTS, args.rounds, args.steps)
    several = measure(ON_THREADS, args.rounds, args.steps, time.perf_counter)
    head = (
        "# Speed of the environments\n\n"
        f"{NUM} environments, easy levels, {args.rounds} rounds of {args.steps} "
        "vector steps; CPU seconds of one thread. "
        f"{os.cpu_count()} cores, CPU, Python {platform.python_version()}, "
        f"{' '.join(procgen_package())}, "
        f"gymnasium {gymnasium.__version__}, numpy {np.__version__}, "
        f"stable-baselines3 {stable_baselines3.__version__}; load average at the end "
        f"{os.getloadavg()[0]:.1f}.\n\n"
    )
    text = (
        head + table(VARIANTS, *one, args.steps) + "\n\n" + NOTE
        + f"\nWall seconds on {os.cpu_count()} cores, games stepped by {THREADS} threads:\n\n"
        + table(ON_THREADS, *several, args.steps) + "\n"
    )  # fmt: skip
    print(text)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(text)


if __name__ == "__main__":
    main()
