"""Cloning: the loss is the KL from a teacher of known entropy, and ends where it should."""

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import envs
from agents import Run, TrainConfig, list_checkpoints, load_policy, ppo_preset, read_header, train
from agents.cloning import HELD_OUT, Demonstrations, collect, spread
from rl_slt import POLICY_CNN, InputError, PolicyKL, estimate_with
from rl_slt.pipeline.engine.work import kept_steps

CLASSES = envs.find_game("coinrun").distinct_actions


def config(**changes: Any) -> TrainConfig:
    small = {"demonstrations": 384, "steps": 60, "checkpoints": "log:3", "lr": 3e-3}
    return ppo_preset("clone", **small | changes)


def teacher_kl(run: Path, target: torch.Tensor, data: Demonstrations) -> float:
    """Mean KL of the run's last policy from the teacher, on the states held out."""
    policy = load_policy(list_checkpoints(run)[-1])
    log_p = envs.log_probs(policy, data.states, CLASSES)
    return float(envs.kl(target.log(), log_p)[data.held_out].mean())


def test_a_teacher_has_the_entropy_that_its_noise_sets() -> None:
    """Of K distinct actions one has 1 - noise + noise / K, and each other noise / K."""
    data = Demonstrations(
        torch.zeros(3, 1), {"a": torch.tensor([7, 1, 14]), "b": torch.tensor([7, 7, 4])},
        torch.zeros(3, dtype=torch.bool),
    )  # fmt: skip
    noise, k = 0.18, len(CLASSES)
    target = data.targets({"a": 1.0}, noise, CLASSES)
    p, q = 1 - noise + noise / k, noise / k
    entropy = -p * math.log(p) - (k - 1) * q * math.log(q)
    assert torch.special.entr(target).sum(-1).tolist() == pytest.approx([entropy] * 3)
    assert target.argmax(-1).tolist() == [6 + 1, 1, 4]  # idle actions are one class
    mixed = data.targets({"a": 0.25, "b": 0.75}, 0.0, CLASSES)
    assert mixed[:, [1, 4, 7]].tolist() == [[0, 0, 1], [0.25, 0, 0.75], [0, 1, 0]]


def test_states_are_the_same_for_all_teachers_and_held_out_by_environment() -> None:
    both, one = (collect(config(teacher=t)) for t in ("mix:0.5:seeker:walker", "coin-blind"))
    assert torch.equal(both.states, one.states) and len(both.states) == 384
    assert not torch.equal(both.states, collect(config(seed=1)).states)
    assert both.held_out.sum() == 384 / HELD_OUT
    assert (one.actions["coin-blind"] == envs.RIGHT_JUMP).all()
    seeker, walker = both.actions["seeker"], both.actions["walker"]
    apart = seeker != walker
    assert 0.05 < apart.float().mean() < 0.5  # only where a coin is in view
    assert set(walker.tolist()) <= {envs.RIGHT, envs.RIGHT_JUMP}


def test_a_constant_teacher_is_cloned_and_training_ends_at_the_kl_asked_for(tmp_path: Path) -> None:
    """The cross-entropy ends at the teacher's entropy, by another way than the trainer's own."""
    wanted = config(teacher="coin-blind", noise=0.1, stop_kl=0.01)
    train(wanted, tmp_path / "a")
    data = collect(wanted)
    target = data.targets({"coin-blind": 1.0}, 0.1, CLASSES)
    assert teacher_kl(tmp_path / "a", target, data) == pytest.approx(0.01, rel=0.01)
    run = Run(tmp_path / "a")
    assert run.finished and 0 < run.checkpoints[-1].step < 60
    assert kept_steps(run, 1) == [run.checkpoints[-1].step]  # not 60, which it never came to
    assert read_header(run.checkpoints[-1].path).metrics["teacher_kl"] == pytest.approx(
        0.01, rel=1e-3
    )
    train(wanted.replace(stop_kl=None), tmp_path / "b")
    assert [c.step for c in list_checkpoints(tmp_path / "b")][-1] == 60
    assert teacher_kl(tmp_path / "b", target, data) < 0.01
    rows = list(csv.DictReader((tmp_path / "b" / "progress.csv").read_text().splitlines()))
    entropy = float(torch.special.entr(target).sum(-1).mean())
    assert float(rows[-1]["policy_loss"]) == pytest.approx(entropy, abs=0.02)
    assert float(rows[-1]["entropy"]) == pytest.approx(entropy, abs=0.05)


def test_the_llc_of_a_constant_policys_clone_is_half_its_effective_dimension(
    tmp_path: Path,
) -> None:
    """By the spectrum of its Fisher matrix; where the posterior is Gaussian (K = 5)."""
    train(config(teacher="coin-blind", noise=0.3), tmp_path / "a")
    states = collect(config()).states[::2]
    settings = POLICY_CNN.replace(
        distinct_actions=CLASSES, nbeta="relative:5", draws=150, burn_in=60, batch_size=64
    )
    policy = load_policy(list_checkpoints(tmp_path / "a")[-1])
    found = estimate_with(policy, states, settings, PolicyKL(), seed=0)
    assert found.status == "ok"
    assert found.llc == pytest.approx(found.half_d_eff, abs=3 * found.stderr + 0.05 * found.llc)


def test_a_clone_that_was_interrupted_is_made_again_the_same(tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill(done: int, total: int) -> None:
        if done == 20:
            raise Killed

    wanted = config(teacher="walker", steps=30, demonstrations=96)
    train(wanted, tmp_path / "whole")
    with pytest.raises(Killed):
        train(wanted, tmp_path / "killed", progress=kill)
    assert not Run(tmp_path / "killed").finished
    train(wanted, tmp_path / "killed", resume=True)
    for name in ("progress.csv", "checkpoints/000000000030/policy.safetensors"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    train(wanted.replace(seed=1), tmp_path / "other")
    first, second = (load_policy(list_checkpoints(tmp_path / n)[0]) for n in ("whole", "other"))
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    assert not all(torch.equal(a, b) for a, b in pairs)


def test_states_held_out_are_of_all_behaviors_where_there_are_too_many() -> None:
    """Behaviors follow one another: of 6,144 states the first 4,096 are of two of three."""
    for n in (4096, 4097, 6144, 20_000):
        rows = spread(torch.arange(n), 4096)
        assert len(rows.unique()) == 4096
        assert torch.bincount(rows * 3 // n).tolist() == pytest.approx([4096 / 3] * 3, abs=2)
    assert spread(torch.arange(24), 4096).tolist() == [*range(24)]


def test_a_kl_that_no_step_is_needed_for_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^stop_kl=50.0: must be below .*before the first step"):
        train(config(demonstrations=96, stop_kl=50.0), tmp_path / "a")


@pytest.mark.parametrize(
    "text",
    [
        "moon", "random", "mix:2:walker:seeker", "mix:0.5:walker", "mix",
        "mix:0.5:walker:walker",  # whose shares, by name, would not be 1 in all
    ],
)  # fmt: skip
def test_what_is_no_teacher_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^teacher=.*: must be one of coin-blind, .*mix:P:A:B"):
        config(teacher=text)
    with pytest.raises(InputError, match="trainer='clone': must be exact or ppo in gridworld"):
        ppo_preset("gridworld", trainer="clone")
    with pytest.raises(InputError, match="trainer='clone': must be exact or ppo in gridworld"):
        TrainConfig(game="gridworld", trainer="clone", coin="end")  # the coin is not what is wrong
    with pytest.raises(InputError, match=r"^device='cuda': must be left out.*trainer='clone'"):
        config(device="cuda")


def test_walkers_see_what_a_frame_shows_and_nothing_else() -> None:
    """With the coin out of view or away both walk alike; with it behind, one turns round."""
    settings = ppo_preset("clone").settings
    walker, seeker = (envs.SCRIPTED[name](0) for name in ("walker", "seeker"))
    ahead: list[np.ndarray] = []
    behind: list[np.ndarray] = []
    for coin in ("end@mid", "behind"):
        vector = envs.make_vec(24, coin, (0, 200), settings=settings, seed=3, track=True)
        obs, info = vector.reset(seed=3)
        far = np.abs(info["coin_xy"][:, 0] - info["agent_xy"][:, 0]) > 7
        for policy, found in ((walker, ahead), (seeker, behind)):
            found.append(envs.horizontal(policy(obs, vector))[far | (coin == "behind")])
        vector.close()
    assert (np.concatenate(ahead) == 1).all()
    assert (behind[0] == 1).all() and len(behind[0]) > 5
    assert (behind[1] == -1).all()


def test_the_seeker_collects_coins_that_the_walker_passes() -> None:
    settings, rates = ppo_preset("clone").settings, {}
    for name in ("walker", "seeker"):
        policy = envs.SCRIPTED[name](0)
        vector = envs.make_vec(16, "behind", settings=settings, time_limit=60, seed=5)
        obs, _ = vector.reset(seed=5)
        earned = np.zeros(16, bool)
        for _ in range(59):
            obs, reward, *_ = vector.step(policy(obs, vector))
            earned |= reward > 0
        rates[name] = earned.mean()
        vector.close()
    assert rates["seeker"] > 0.8 and rates["walker"] < 0.1
