"""Baselines, sheets and clips."""

import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import envs
from envs.clips import GAP, evenly_spaced, record_clip
from envs.pictures import CELL, COIN_MARK, END_MARK, level_sheet, render_frame, whole_level
from envs.policies import NetworkPolicy, ScriptedPolicy
from envs.scripted import CoinBlindPolicy, CoinSeekerPolicy, RandomPolicy
from rl_slt import InputError


def outcomes(policy: ScriptedPolicy, coin: str, episodes: int) -> list[str]:
    vector = envs.make_vec(
        5,
        coin,
        (300, 300 + episodes),
        order="sequential",
        settings=envs.PLAIN_FLAT,
        track=True,
        stop_at_end=True,
        time_limit=120,
    )
    obs, _ = vector.reset()
    reported: dict[int, str] = {}
    while len(reported) < episodes:
        obs, _, terminated, truncated, infos = vector.step(policy(obs, vector))
        for index in np.flatnonzero(terminated | truncated):
            final = infos["final_info"]
            reported.setdefault(int(final["level_seed"][index]), final["outcome"][index])
    vector.close()
    return list(reported.values())


def test_the_seeker_gets_coins_that_the_blind_policy_never_gets() -> None:
    assert outcomes(CoinSeekerPolicy(), "behind", 10).count("coin") >= 9
    assert outcomes(CoinBlindPolicy(), "behind", 10).count("coin") == 0


def test_without_a_coin_the_seeker_goes_to_the_end() -> None:
    assert outcomes(CoinSeekerPolicy(), "none", 5).count("end") >= 4


def test_random_play_uses_all_actions_and_its_seed() -> None:
    vector, one, two = envs.make_vec(8), RandomPolicy(3), RandomPolicy(3)
    obs, _ = vector.reset()
    actions, again = (np.array([policy(obs, vector) for _ in range(25)]) for policy in (one, two))
    vector.close()
    assert {*actions.flat} == set(range(15))
    np.testing.assert_array_equal(actions, again)


class Jumper(torch.nn.Module):
    """Logits that allow right-and-jump alone, and a value."""

    def forward(self, obs: torch.Tensor) -> Any:
        logits = torch.full((len(obs), 15), -50.0)
        logits[:, 8] = 0.0
        return logits, obs.float().mean((1, 2, 3))


@pytest.mark.parametrize("mode", ["sampled", "greedy"])
def test_networks_play_like_scripted_policies(mode: str) -> None:
    clip = record_clip(NetworkPolicy(Jumper(), mode), "end", 4, time_limit=60)
    twin = record_clip(CoinBlindPolicy(), "end", 4, time_limit=60)
    assert (clip.outcome, clip.length) == (twin.outcome, twin.length)


def test_sampled_actions_follow_the_logits() -> None:
    logits = torch.log(torch.tensor([0.7, 0.2, 0.1])).expand(4000, 3)
    policy = NetworkPolicy(lambda obs: logits)
    actions = policy(np.zeros((4000, 1), np.uint8), None)  # type: ignore[arg-type]
    assert np.abs(np.bincount(actions) / 4000 - [0.7, 0.2, 0.1]).max() < 0.03


def test_a_clip_tells_what_happened() -> None:
    clip = record_clip(CoinSeekerPolicy(), "behind", 3, time_limit=60)
    assert (clip.outcome, clip.first, clip.ret) == ("coin", "coin", 10.0)
    assert len(clip.frames) == clip.length + 1 and "level 3" in clip.caption
    gif = Image.open(io.BytesIO(clip.gif()))
    assert gif.size == clip.frames[0].size
    assert getattr(gif, "n_frames", 1) > 1
    assert clip.strip(4).width == 4 * 256 + 5 * GAP
    blind = record_clip(CoinBlindPolicy(), "behind", 3, envs.PLAIN_FLAT, time_limit=60)
    assert (blind.outcome, blind.first) == ("end", "end")


def test_coin_and_end_are_marked_where_they_are() -> None:
    def marked(coin: tuple[int, int] | None, end_x: int, color: tuple[int, int, int]) -> np.ndarray:
        picture = render_frame(np.zeros((64, 64, 3), np.uint8), (10.5, 5.5), coin, end_x)
        return np.argwhere((np.asarray(picture) == color).all(axis=2))

    cell = 256 / 13
    box = marked((13, 5), 99, COIN_MARK)
    middle = (box.min(axis=0) + box.max(axis=0)) / 2
    assert middle == pytest.approx([128, 128 + 3 * cell], abs=2)
    assert marked((2, 5), 99, COIN_MARK)[:, 1].max() < 30  # an arrow at the left edge
    assert marked(None, 12, END_MARK)[:, 1].mean() == pytest.approx(128 + 2 * cell, abs=2)


def test_pictures_of_a_strip_are_spread_evenly_spaced() -> None:
    assert evenly_spaced(3, 11) == [0, 5, 10]
    assert evenly_spaced(8, 1) == [0] and evenly_spaced(8, 2) == [0, 1]


def test_a_whole_level_shows_every_cell_where_it_is() -> None:
    vector = envs.make_vec(1, "ground", (11, 12), settings=envs.PLAIN_FLAT)
    vector.reset()
    state = vector.game_state(0)
    picture = np.asarray(whole_level(state, envs.PLAIN_FLAT))
    end_x = vector._simulator.layout(11).end[0]
    assert picture.shape[1] == (end_x + 2) * CELL
    ((x, y),) = envs.edit.coins_of(state)
    gone = np.asarray(whole_level(envs.move_coin(state, None), envs.PLAIN_FLAT))
    rows, columns = np.nonzero((picture != gone).any(axis=2))
    bottom = picture.shape[0]
    assert (columns.min() // CELL, columns.max() // CELL) == (x, x)
    assert {(bottom - 1 - row) // CELL for row in (rows.min(), rows.max())} == {y}


def test_a_sheet_has_a_row_for_each_level() -> None:
    one, three = (level_sheet("both", (0, n), envs.PLAIN_FLAT) for n in (1, 3))
    assert three.height > 2.5 * one.height - 60
    assert np.asarray(three).std() > 10
    with pytest.raises(InputError, match="at most"):
        level_sheet("end", "0:1000")


SWITCHES = {
    "pits": lambda layout: not layout.lava,
    "crates": lambda layout: not len(layout.crates),
    "steps": lambda layout: {layout.surface(x) for x in range(1, layout.end[0])} == {1},
    "monsters": lambda layout: not len(layout.enemies),
}


@pytest.mark.parametrize("name", SWITCHES)
def test_parts_of_levels_are_switched_off_by_name(name: str) -> None:
    def without(off: bool) -> bool:
        settings = envs.LevelSettings(distribution_mode="hard", **{name: not off})
        found = []
        for first in range(0, 40, 8):
            levels = (first, first + 8)
            vector = envs.make_vec(8, "end", levels, order="sequential", settings=settings)
            vector.reset()
            for index in range(8):
                state = envs.state.State(vector.game_state(index))
                layout = vector.config.game_object.layout(state)
                layout.lava = bool(np.isin(state.grid, (17, 18)).any())  # type: ignore[attr-defined]
                found.append(SWITCHES[name](layout))
            vector.close()
        return all(found)

    assert without(True) and not without(False)


def test_looks_are_switched_by_name() -> None:
    frames = {}
    for name in ("stock", "backgrounds", "monochrome"):
        options: dict[str, Any] = {} if name == "stock" else {name: name == "monochrome"}
        vector = envs.make_vec(1, "end", (5, 6), settings=envs.LevelSettings(**options))
        frames[name] = vector.reset()[0][0]
        vector.close()
    assert len(np.unique(frames["monochrome"].reshape(-1, 3), axis=0)) < 100
    assert (frames["backgrounds"] == 0).all(axis=2).mean() > 0.05
    assert not (frames["stock"] == 0).all(axis=2).mean() > 0.05


def test_scripted_policies_are_in_one_registry_and_play_on_given_noise() -> None:
    vector = envs.make_vec(3, "end", (0, 20), settings=envs.PLAIN_FLAT)
    vector.reset()
    noise = np.array([0.0, 0.5, 0.999])
    found = {name: make(0) for name, make in envs.SCRIPTED.items()}
    assert all(policy.name == name for name, policy in found.items())
    asked = (noise, vector, range(3), range(3))
    assert found["random"].choose(*asked).tolist() == [0, 7, 14]
    assert found["coin-blind"].choose(*asked).tolist() == [envs.RIGHT_JUMP] * 3
    obs = np.zeros((3, 64, 64, 3), np.uint8)
    seeker = found["coin-seeker"].choose(*asked)
    np.testing.assert_array_equal(seeker, envs.SCRIPTED["coin-seeker"](0)(obs, vector))
