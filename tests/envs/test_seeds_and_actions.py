"""The map of level seeds, and what procgen's actions do."""

import sys
from itertools import combinations

import numpy as np

import envs
from envs.library import procgen_package


def test_no_two_uses_share_levels() -> None:
    ranges = (envs.EVALUATION_LEVELS, envs.PROBE_LEVELS, envs.FROZEN_LEVELS)
    for a, b in combinations(ranges, 2):
        envs.check_held_out(a, b)
    assert all(envs.parse_levels(levels) == levels for levels in ranges)
    assert envs.PROBE_LEVELS[0] <= envs.CLIP_LEVEL < envs.PROBE_LEVELS[1]


def test_actions_are_named_as_procgen_combines_keys() -> None:
    envs.make_vec(1)  # imports procgen, quietly
    if procgen_package()[0] == "procgen-gym":
        keys = sys.modules["procgen_gym.env"].KEY_COMBOS
    else:
        keys = sys.modules["procgen.env"].BaseProcgenEnv.get_combos(None)
    assert [len(keys), len(envs.ACTION_NAMES)] == [envs.N_ACTIONS] * 2
    for name, combination in zip(envs.ACTION_NAMES, keys, strict=True):
        assert name == ("+".join(combination).lower() or "none")


def test_directions() -> None:
    named = [("right" in name) - ("left" in name) for name in envs.ACTION_NAMES]
    assert envs.horizontal(np.arange(envs.N_ACTIONS)).tolist() == named
    for move, sign in (("left", -1), ("right", 1)):
        assert [i for i, way in enumerate(named) if way == sign] == list(envs.MOVES[move])


def test_idle_actions_leave_an_agent_where_it_is() -> None:
    ends = []
    for action in envs.IDLE:
        vector = envs.make_vec(1, levels=(5, 6), track=True)
        vector.reset()
        for _ in range(10):
            infos = vector.step([envs.RIGHT])[-1]
        for _ in range(20):
            infos = vector.step([action])[-1]
        ends.append(tuple(infos["agent_xy"][0].tolist()))
        vector.close()
    assert len(set(ends)) == 1
