"""Whole suites on real levels, with planted policies."""

import numpy as np
import pandas as pd
import pytest
import torch

import envs
from analysis.probes import SUITES, ProbeSuite, blind, run_suite
from analysis.probes.actors import Actor, BatchStep, network_actor, scripted_actor
from analysis.probes.rollout import rollout, shared_noise
from envs import CoinBlindPolicy, RandomPolicy
from envs.state import State
from envs.tasks import Task
from rl_slt import InputError

STOCK = SUITES["standard"].replace(n_levels=12, time_limit=60)
PLAIN = SUITES["demo"].replace(n_levels=12, time_limit=60)


class Rightish(torch.nn.Module):
    """Fixed distribution: mostly right and jump, whatever the frame; some use of the frame."""

    def __init__(self, use: float = 0.0) -> None:
        super().__init__()
        self.use = use

    def forward(self, obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = torch.zeros(len(obs), 15)
        logits[:, 8] = 4.0
        logits[:, 2] += self.use * obs[:, :, :32].float().mean(dim=(1, 2, 3))
        return logits, logits.mean(dim=1)


@pytest.mark.parametrize("suite", [STOCK, PLAIN], ids=["stock", "plain"])
@pytest.mark.parametrize(
    "actor",
    [scripted_actor(CoinBlindPolicy()), scripted_actor(RandomPolicy())],
    ids=["blind", "random"],
)
def test_looking_rarely_misses_nothing(suite: ProbeSuite, actor: Actor) -> None:
    places = ("none", "both", "behind", "none@mid")
    tasks = [Task(p, level, suite.time_limit) for p in places for level in suite.seeds]
    noise = np.tile(shared_noise(suite.seeds, suite.time_limit, 0), (len(places), 1))
    every, rarely = (
        rollout(actor, tasks, suite.settings, noise, every_step=all_steps).table
        for all_steps in (True, False)
    )
    pd.testing.assert_frame_equal(every, rarely)
    assert every["outcome"].nunique() > 1


def test_same_episodes_as_the_plain_environment() -> None:
    """The same actions in `envs.make_vec` end at the same steps in the same way."""
    tasks = [Task("ground", level, 60) for level in PLAIN.seeds]
    noise = shared_noise(PLAIN.seeds, PLAIN.time_limit, 0)
    blind = scripted_actor(CoinBlindPolicy())
    mine = rollout(blind, tasks, PLAIN.settings, noise, num_envs=5).table
    n, first = PLAIN.n_levels, PLAIN.levels[0]
    vector = envs.make_vec(
        n, "ground", (first, first + n), settings=PLAIN.settings, time_limit=60, track=True,
        order="sequential", stop_at_end=True,
    )  # fmt: skip
    vector.reset()
    seen: dict[int, tuple[str, int, bool]] = {}
    while len(seen) < n:
        *_, infos = vector.step(np.full(n, 8))
        for i in np.flatnonzero(infos.get("_final_info", np.zeros(n, bool))):
            final = infos["final_info"]
            row = (final["outcome"][i], final["length"][i], final["coin_collected"][i])
            seen.setdefault(int(final["level_seed"][i]), row)
    vector.close()
    rows = zip(mine["outcome"], mine["length"], mine["coin_collected"], strict=True)
    assert dict(zip(mine["level_seed"], rows, strict=True)) == seen


def test_every_level_is_played_once_whatever_the_batch() -> None:
    few, many = (run_suite(Rightish(0.01), PLAIN, seed=3, num_envs=n) for n in (5, 12))
    pd.testing.assert_frame_equal(few, many)
    counts = few.groupby(["probe", "level_seed"]).size()
    assert (counts == 1).all()
    assert len(counts) == len(PLAIN.placements) * PLAIN.n_levels


def test_a_probe_comes_out_the_same_alone() -> None:
    whole = run_suite(Rightish(0.01), PLAIN, seed=3)
    alone = run_suite(Rightish(0.01), PLAIN.replace(placements=("ground",)), seed=3)
    columns = [c for c in whole if c != "blind_first"]
    part = whole.loc[whole["probe"] == "ground", columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(part, alone[columns])


def test_other_seed_other_actions() -> None:
    one, other = (run_suite(Rightish(), PLAIN, seed=seed) for seed in (0, 1))
    assert not one["length"].equals(other["length"])


def test_a_policy_blind_to_the_coin_does_what_its_blind_path_says() -> None:
    """The identity behind coin seeking: coin ignored, so nothing changes when it is there."""
    table = run_suite(Rightish(), PLAIN, seed=0)
    placed = table[table["blind_first"].notna()]
    assert set(placed["probe"]) == {"ground", "behind", "both"}
    assert (placed["first"] == placed["blind_first"]).all()
    assert 0 < (placed["first"] == "coin").mean() < 1


@pytest.mark.parametrize("settings", [envs.PLAIN_FLAT, envs.LevelSettings()], ids=["flat", "stock"])
def test_what_need_not_be_replayed_is_not(
    monkeypatch: pytest.MonkeyPatch, settings: envs.LevelSettings
) -> None:
    """Replaying every control path to its end says the same, whether frames are drawn or not."""
    places = ("none", "ground", "section", "none@mid", "behind", "end", "both")
    suite = PLAIN.replace(placements=places, settings=settings)
    table = run_suite(Fickle(), suite, seed=1)
    placed = table[table["blind_first"].notna()]
    assert (placed["first"] != placed["blind_first"]).any()  # the agent does use its frames
    assert (placed["blind_first"] == "coin").any()
    monkeypatch.setattr(blind, "_same", lambda *_: False)
    monkeypatch.setattr(blind, "fewest_steps", lambda _: 0)
    monkeypatch.setattr(State, "hide", lambda _: None)
    pd.testing.assert_frame_equal(run_suite(Fickle(), suite, seed=1), table)


@pytest.mark.parametrize("num_envs", [1, 200])
def test_the_order_of_play_changes_no_episode(num_envs: int) -> None:
    """One after the other or all at once, with replays of control paths in between."""
    suite = PLAIN.replace(n_levels=4)
    table = run_suite(Fickle(), suite, seed=1)
    assert (table["first"] != table["blind_first"])[table["blind_first"].notna()].any()
    other = run_suite(Fickle(), suite, seed=1, num_envs=num_envs)
    pd.testing.assert_frame_equal(other, table)
    turned = suite.replace(placements=suite.placements[::-1])
    again = run_suite(Fickle(), turned, seed=1).sort_values(["probe", "level_seed"])
    same = table.sort_values(["probe", "level_seed"])
    pd.testing.assert_frame_equal(again.reset_index(drop=True), same.reset_index(drop=True))


class Fickle(torch.nn.Module):
    """Goes right; whether it jumps hangs on every pixel."""

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(len(obs), 15)
        odd = obs.long().sum(dim=(1, 2, 3)) % 2
        logits[torch.arange(len(obs)), 7 + odd] = 5.0
        return logits


def test_greedy_takes_the_most_likely_action() -> None:
    greedy = run_suite(Rightish(), PLAIN.replace(mode="greedy"), seed=0)
    blind = run_suite(scripted_actor(CoinBlindPolicy()), PLAIN, seed=9, policy_name="agent")
    columns = ["probe", "level_seed", "length", "outcome", "first", "blind_first"]
    pd.testing.assert_frame_equal(greedy[columns], blind[columns])
    assert set(greedy["mode"]) == {"greedy"}


def test_sampling_follows_the_distribution() -> None:
    logits = torch.randn(1, 15, generator=torch.Generator().manual_seed(0))
    actor = network_actor(lambda obs: logits.expand(len(obs), -1))  # type: ignore[arg-type]
    n = 20_000
    turn = _turn(np.random.default_rng(0).random(n))
    counts = np.bincount(actor(turn), minlength=15) / n
    np.testing.assert_allclose(counts, torch.softmax(logits, 1)[0].numpy(), atol=0.012)
    assert actor(_turn(np.array([0.0])))[0] == 0
    assert actor(_turn(np.array([np.nextafter(1, 0)])))[0] == 14


def _turn(noise: np.ndarray) -> BatchStep:
    n = len(noise)
    nothing = np.zeros(n, np.int64)
    return BatchStep(np.zeros((n, 1), np.uint8), nothing, nothing, noise, {}, nothing == 0, None)  # type: ignore[arg-type]


def test_policy_and_random_state_are_left_alone() -> None:
    policy = torch.nn.Sequential(torch.nn.Flatten(), Scale(), torch.nn.Linear(12288, 15))
    policy.train()
    before = {k: v.clone() for k, v in policy.state_dict().items()}
    torch_state = torch.random.get_rng_state()
    numpy_state = np.random.get_state(legacy=False)["state"]["key"].copy()  # noqa: NPY002
    run_suite(policy, PLAIN.replace(n_levels=3, placements=("end",)), seed=0)
    assert all(torch.equal(before[k], v) for k, v in policy.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state(legacy=False)["state"]["key"], numpy_state)  # noqa: NPY002
    assert policy.training


class Scale(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.float() / 255


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"placements": ("nowhere",)}, "nowhere"),
        ({"placements": ()}, r"placements=.*: must be a list of at least 1"),
        ({"mode": "wild"}, "mode='?wild'?: must be sampled or greedy"),
        ({"n_levels": 0}, "n_levels=0: must be an integer at least 1"),
        ({"time_limit": 0}, "time_limit=0: must be an integer at least 1"),
        ({"levels": (5, 5)}, "levels"),
    ],
)
def test_wrong_suites_are_named(change: dict, word: str) -> None:
    with pytest.raises(InputError, match=word):
        SUITES["demo"].replace(**change)


def test_settings_of_the_suites() -> None:
    assert SUITES["demo"].settings == envs.PLAIN_FLAT
    assert SUITES["standard"].settings == envs.LevelSettings()
