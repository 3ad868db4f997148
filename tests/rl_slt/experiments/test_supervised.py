"""The supervised trainer: runs that go on where they were stopped, checkpoints that run no code."""

from pathlib import Path

import pytest
import torch

from rl_slt import CrossEntropy, InputError
from rl_slt.experiments.addition import AdditionNet, addition_data
from rl_slt.experiments.supervised import (
    Optimization,
    is_complete,
    load_model,
    model_checkpoints,
    train_supervised,
)

CONFIG = Optimization(steps=60, batch_size=16, weight_decay=2e-4, checkpoints="list:0,20,40,60")


class Stopped(Exception):
    """What ends a training midway."""


def train(out: Path, stop: int | None = None) -> None:
    def progress(done: int, total: int) -> None:
        if done == stop:
            raise Stopped

    data, test = addition_data(7)
    train_supervised(
        out, AdditionNet, {"p": 7}, CrossEntropy(), data, CONFIG, test=test, progress=progress
    )


def test_an_interrupted_training_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    train(tmp_path / "whole")
    with pytest.raises(Stopped):
        train(tmp_path / "parts", stop=20)
    assert not is_complete(tmp_path / "parts")
    train(tmp_path / "parts")
    assert is_complete(tmp_path / "parts")
    assert [step for step, _ in model_checkpoints(tmp_path / "parts")] == [0, 20, 40, 60]
    for name in ("progress.csv", "checkpoints/000000000060/model.safetensors"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    with pytest.raises(InputError, match="another training"):
        train_supervised(
            tmp_path / "parts", AdditionNet, {"p": 5}, CrossEntropy(), addition_data(5)[0], CONFIG
        )


def test_a_checkpoint_is_the_model_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    train(tmp_path)
    step, folder = model_checkpoints(tmp_path)[-1]
    data, _ = addition_data(7)
    loss = CrossEntropy()(load_model(folder, AdditionNet), data).mean()
    last = (tmp_path / "progress.csv").read_text().splitlines()[-1].split(",")
    assert step == 60 and float(last[1]) == pytest.approx(float(loss.detach()), rel=1e-5)
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(InputError, match="SHA-256"):
        load_model(folder, AdditionNet)


def test_pairs_are_divided_and_their_sums_right() -> None:
    train, test = addition_data(11, share=0.4, seed=3)
    assert len(train) == 48 and len(train) + len(test) == 121
    pairs = torch.cat([train.states, test.states])
    assert len(torch.unique(pairs, dim=0)) == 121
    assert train.targets is not None
    assert torch.equal((train.states[:, 0] + train.states[:, 1]) % 11, train.targets)
