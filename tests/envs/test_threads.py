"""Environments in several threads, and in a process that forks."""

import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import envs

KINDS: list[dict[str, Any]] = [
    {"coin": "ground", "track": True, "time_limit": 20},
    {"coin": "mix:0.5:behind:both", "track": "sparse", "time_limit": 30},
    {"coin": "section", "track": False, "time_limit": 40},
]


def play(seed: int, options: dict[str, Any], steps: int) -> str:
    """A hash of all that an environment gives while it is played."""
    vector = envs.make_vec(8, seed=seed, **options)
    rng, seen = np.random.default_rng(seed), hashlib.blake2b()
    for _ in range(steps):
        actions = np.where(rng.random(8) < 0.3, rng.integers(0, 15, 8), 8)
        obs, rewards, *_, infos = vector.step(actions)
        for part in (obs, rewards, infos["level_seed"], infos["coin_xy"], infos.get("agent_xy")):
            seen.update(b"" if part is None else part.tobytes())
        seen.update(str([*infos.get("final_info", {}).get("death_cause", [])]).encode())
    vector.close()
    return seen.hexdigest()


@pytest.mark.parametrize("steps", [250, pytest.param(2000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("options", KINDS)
def test_threads_with_environments_of_their_own_do_not_mix_them_up(
    options: dict[str, Any], steps: int
) -> None:
    seeds = range(2)
    with ThreadPoolExecutor(2) as pool:
        together = [*pool.map(lambda seed: play(seed, options, steps), seeds)]
    assert together == [play(seed, options, steps) for seed in seeds]


FORKS = """
import os, signal, sys
import envs
from rl_slt import InputError
signal.alarm(60)
opened, alone = envs.make_vec(32, threads=2, seed=3), envs.make_vec(2, seed=3)
envs.make_vec(32, threads=2).close()
for vector in (opened, alone):
    vector.step([8] * vector.num_envs)
child = os.fork()
if child:
    assert not os.waitpid(child, 0)[1]
else:
    signal.alarm(60)
    try:
        opened.step([8] * 32)
    except InputError as error:
        print(error)
    opened.close()
    opened = envs.make_vec(32, threads=2, seed=3)
    opened.step([8] * 32)
for _ in range(3):
    print([int(v.step([8] * v.num_envs)[0].sum()) for v in (opened, alone)], flush=True)
opened.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_process_plays_or_says_why_not() -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORKS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    refused, *sums = done.stdout.splitlines()
    assert "threads stayed behind" in refused
    assert sums[:3] == sums[3:] and len({*sums}) == 3  # the child's, then its parent's
