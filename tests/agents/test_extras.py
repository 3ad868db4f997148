"""TensorBoard, optimiser state in checkpoints, presets."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import agents
from agents.branch import branch_config
from agents.config import PPO_PRESETS, TrainConfig, ppo_preset
from rl_slt import InputError

CONFIG = TrainConfig(
    network="small",
    num_envs=4,
    n_steps=16,
    batch_size=32,
    steps=128,
    checkpoints="all",
    tensorboard=False,
)


@pytest.mark.usefixtures("fake_envs")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_has_the_numbers_of_progress(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    agents.train(CONFIG.replace(tensorboard=True), tmp_path)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert {"mean_return", "entropy", "steps_per_second"} <= set(events.Tags()["scalars"])
    header, *rows = (tmp_path / "progress.csv").read_text().splitlines()
    at = header.split(",").index("entropy")
    written = [float(row.split(",")[at]) for row in rows]
    assert [e.value for e in events.Scalars("entropy")] == pytest.approx(written)
    assert [e.step for e in events.Scalars("entropy")] == [64, 128]


@pytest.mark.usefixtures("fake_envs")
def test_a_branch_takes_over_the_optimizer_and_the_reward_scale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agents.train(CONFIG.replace(save_optimizer=True), tmp_path / "a")
    origin = agents.find_checkpoint(tmp_path / "a", 64)
    moments = load_file(origin.path / "optimizer.safetensors")
    assert len(moments) == 3 * len(agents.load_policy(origin).state_dict())

    seen = {}
    from agents import training

    original = training.load_origin

    def spy(*args: Any) -> None:
        original(*args)
        seen["moment"] = args[1].policy.optimizer.state_dict()["state"][0]["exp_avg"].clone()
        seen["var"] = args[2].ret_rms.var

    monkeypatch.setattr(training, "load_origin", spy)
    agents.train(branch_config(tmp_path / "a", 64, seed=1, steps=64), tmp_path / "b")
    assert torch.equal(seen["moment"], moments["optimizer/0/exp_avg"])
    assert 0 < seen["var"] != 1.0


@pytest.mark.usefixtures("fake_envs")
def test_a_branch_from_step_0_is_a_fresh_run(tmp_path: Path) -> None:
    """Under the trunk's seed the trunk itself, byte for byte; under another one it is not."""
    agents.train(CONFIG.replace(anneal_lr=True), tmp_path / "a")
    for seed in (0, 1):
        agents.train(agents.rest_config(tmp_path / "a", 0, seed=seed), tmp_path / str(seed))
    ends = [(agents.list_checkpoints(tmp_path / name)[-1].path / "policy.safetensors").read_bytes()
            for name in ("a", "0", "1")]  # fmt: skip
    assert ends[0] == ends[1] != ends[2]


def test_presets_are_whole_settings() -> None:
    paper = ppo_preset("paper")
    assert (paper.network, paper.gamma, paper.num_envs, paper.n_steps) == ("impala", 0.999, 64, 256)
    for name in PPO_PRESETS:
        config = ppo_preset(name, seed=3)
        assert TrainConfig(**config.as_dict()) == config
        assert len(config.checkpoint_steps) >= 12
        assert config.seed == 3
    with pytest.raises(
        InputError,
        match="preset='fast': must be one of clone, demo, gridworld, gridworld-ppo, paper",
    ):
        ppo_preset("fast")


def test_a_configuration_survives_json() -> None:
    import json

    config = ppo_preset("demo", levels="3:9", network_kwargs={"width": 32})
    assert TrainConfig(**json.loads(json.dumps(config.as_dict()))) == config
    assert set(TrainConfig.model_fields) == set(config.as_dict())
