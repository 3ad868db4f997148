"""State sets: named, collected the same every time, cached, filtered."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import envs
from agents import build_network
from rl_slt.errors import InputError
from rl_slt.pipeline.states import StateSetName, StateSetSpec, collect, parse_states


def spec_of(name: str = "frozen", **changes: object) -> StateSetSpec:
    values: dict[str, Any] = dict(
        name=name, placements=("end@mid", "behind"), settings=envs.PLAIN_FLAT, levels=(5, 500),
        n=48, time_limit=50, seed=0,
    )  # fmt: skip
    return StateSetSpec(**(values | changes))


@pytest.mark.parametrize(
    "text",
    ["frozen", "on-policy", "frozen:behind/coin-in-view", "on-policy/past-coin", "probe:none@mid"],
)
def test_names_are_parsed_and_printed_without_loss(text: str) -> None:
    assert str(parse_states(text)) == text


def test_a_placement_may_itself_have_colons() -> None:
    spec = parse_states("frozen:mix:0.5:behind=2-4:end/coin-absent")
    assert spec == StateSetName("frozen", "mix:0.5:behind=2-4:end", "coin-absent")


@pytest.mark.parametrize("text", ["moon", "frozen/moon", "frozen:moon", "", "frozen:", "probe"])
def test_unknown_names(text: str) -> None:
    with pytest.raises(ValueError):
        parse_states(text)


def test_the_same_settings_give_the_same_states_and_is_cached(tmp_path: Path) -> None:
    data, again = (collect(spec_of(), None, tmp_path / place) for place in "ab")
    states = data.states
    assert states.shape == (48, 64, 64, 3) and states.dtype == torch.uint8
    assert torch.equal(states, again.states)
    assert data.episode is not None and again.episode is not None
    assert torch.equal(data.episode, again.episode)
    kept = collect(spec_of(), None, tmp_path / "a").episode
    assert kept is not None and torch.equal(data.episode, kept)
    (cached,) = (tmp_path / "a").glob("*.npz")
    np.savez_compressed(cached, states=np.zeros((1, 64, 64, 3), np.uint8))
    assert len(collect(spec_of(), None, tmp_path / "a")) == 1  # read, not collected again


def test_another_setting_or_policy_is_another_key() -> None:
    keys = {
        spec_of().key(""),
        spec_of(seed=1).key(""),
        spec_of(n=47).key(""),
        spec_of().key("w"),
    }
    assert len(keys) == 4


def test_on_policy_states_depend_on_the_policy(tmp_path: Path) -> None:
    torch.manual_seed(0)
    policy = build_network("small").eval()
    with torch.no_grad():
        policy.policy_head.bias[7] = 50.0  # always right
    right = collect(spec_of("on-policy", placements=("end@mid",)), policy, tmp_path, "right")
    with torch.no_grad():
        policy.policy_head.bias[7] = 0.0
        policy.policy_head.bias[1] = 50.0  # always left
    left = collect(spec_of("on-policy", placements=("end@mid",)), policy, tmp_path, "left")
    assert not torch.equal(right.states, left.states)


@pytest.mark.parametrize(("limit", "episodes"), [(10, 3 * 96), (50, 96)])
def test_states_tell_their_episodes(tmp_path: Path, limit: int, episodes: int) -> None:
    """The states after 6, 13 and 20 steps of 32 environments; without a coin few end early."""
    spec = spec_of(placements=("none",), n=3 * 96, time_limit=limit)
    number = collect(spec, None, tmp_path).episode
    assert number is not None
    count = number.bincount()
    assert episodes <= len(count) < 1.05 * episodes and count.max() == 3 * 96 // episodes


def test_the_parts_of_a_frozen_set_share_no_level(tmp_path: Path) -> None:
    """Else episodes of a level that all behaviors play would count as independent."""
    spec = spec_of(placements=("end@mid", "end@mid"), n=2 * 96)
    first, second = collect(spec, None, tmp_path).states.split(96)
    same = (first == second).flatten(1).all(1)
    assert same.double().mean() < 0.1  # 0.45 where levels are shared


def test_filters_keep_what_they_say(tmp_path: Path) -> None:
    near = collect(spec_of("frozen:behind/coin-in-view", placements=("behind",)), None, tmp_path)
    past = collect(spec_of("frozen:behind/past-coin", placements=("behind",)), None, tmp_path)
    assert len(near) == len(past) == 48
    with pytest.raises(InputError, match=r"found only 0 of 16 states under 'none'"):
        collect(spec_of("frozen:none/coin-in-view", placements=("none",), n=48), None, tmp_path)
