"""Linear readouts find what is there, and nothing else."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from analysis.probes import (
    SUITES,
    collect_fixed_states,
    linear_probe,
    linear_probe_rows,
    run_linear_probe,
)
from analysis.probes.linear_probe import activations, read_direction, untrained_copy
from rl_slt import InputError


class Sees(torch.nn.Module):
    """First layer: brightness of the left and right half; second layer: only their sum."""

    def __init__(self) -> None:
        super().__init__()
        self.halves = torch.nn.AvgPool2d((64, 32))
        self.total = torch.nn.Linear(2, 1)
        with torch.no_grad():
            self.total.weight.fill_(1.0)

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        red = obs[..., 0].float() / 255
        return self.total(self.halves(red[:, None]).flatten(1)).expand(-1, 15)


def frames(n: int = 240) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    obs = np.full((n, 64, 64, 3), 100, np.uint8)
    side = rng.choice([-1, 1], n)
    for i, s in enumerate(side):
        column = rng.integers(0, 32) + (32 if s > 0 else 0)
        obs[i, rng.integers(0, 64), column] = 255
    return obs, side.astype(np.int64), np.arange(n) // 8


def test_reads_what_a_layer_keeps_and_not_what_it_drops() -> None:
    table = read_direction(Sees(), *frames())
    accuracy = table.set_index(["source", "layer"])["accuracy"]
    assert accuracy["trained", "halves"] > 0.95
    assert accuracy["trained", "total"] < 0.65
    assert (table["chance"] == 0.5).all()
    assert set(table["source"]) == {"observation", "trained", "untrained", "gain"}
    assert accuracy["gain", "halves"] == pytest.approx(0)  # without weights nothing was learned


def test_gain_is_over_the_untrained_layer() -> None:
    accuracy = read_direction(Sees(), *frames()).set_index(["source", "layer"])["accuracy"]
    assert accuracy["untrained", "total"] > 0.9  # random weights compare the halves, ones do not
    gain = accuracy["trained", "total"] - accuracy["untrained", "total"]
    assert accuracy["gain", "total"] == pytest.approx(gain)
    assert gain < -0.2


def test_wide_layers_are_projected_alike_in_every_batch() -> None:
    obs = frames(10)[0]
    whole, parts = (activations(Wide(), obs, batch=size)["wide"] for size in (10, 3))
    assert whole.shape == (10, 512)
    np.testing.assert_allclose(whole, parts, rtol=1e-5)


class Wide(torch.nn.Module):
    """One layer with every brightness of the frame, 12288 of them."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = torch.nn.Flatten()

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        return self.wide(obs.float())[:, :15]


def test_frames_of_a_test_level_are_never_trained_on() -> None:
    """Frames that show only their level, and a direction that is a fact of the level."""
    rng = np.random.default_rng(1)
    levels = np.repeat(np.arange(40), 6)
    pictures = rng.integers(0, 255, (40, 64, 64, 3), dtype=np.uint8)
    side = np.where(rng.permutation(40) < 20, -1, 1)[levels]
    table = read_direction(Sees(), pictures[levels], side, levels)
    assert table.set_index("source")["accuracy"]["observation"] < 0.75


def test_activations_are_those_of_the_forward_pass() -> None:
    obs = frames(10)[0]
    network = Sees()
    out = activations(network, obs, ("total",), batch=4)["total"]
    with torch.no_grad():
        np.testing.assert_allclose(out[:, 0], network(torch.from_numpy(obs))[:, 0], rtol=1e-6)
    assert not network.total._forward_hooks


def test_untrained_copy_leaves_policy_and_random_state() -> None:
    network = Sees()
    before = torch.random.get_rng_state()
    fresh, again = (untrained_copy(network, 3).get_parameter("total.weight") for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(network.total.weight, torch.ones(1, 2))
    assert not torch.equal(fresh, network.total.weight)
    assert torch.equal(fresh, again)


def test_wrong_input_is_named() -> None:
    obs, side, levels = frames(24)
    with pytest.raises(InputError, match="nolayer"):
        read_direction(Sees(), obs, side, levels, layers=("nolayer",))
    with pytest.raises(InputError, match="levels=3: must be at least 5"):
        read_direction(Sees(), obs, side, levels)
    with pytest.raises(InputError, match="direction=1: must be two classes or more"):
        read_direction(Sees(), *frames()[:1], np.ones(240, np.int64), np.arange(240))


def test_readout_of_the_coins_side_on_real_levels() -> None:
    states = collect_fixed_states(SUITES["demo"].replace(n_levels=24))
    table = run_linear_probe(Sees(), states, layers=("halves",))
    assert (table["n"] > 60).all()
    observed = table.set_index("source")
    assert observed["accuracy"]["observation"] > 0.6
    rows = linear_probe_rows(table, run="r", step=4)
    assert rows["metric"].tolist()[1:] == [
        "accuracy:trained:halves", "accuracy:untrained:halves", "gain:halves",
    ]  # fmt: skip
    assert rows["value"].tolist() == table["accuracy"].tolist()


class Columns(torch.nn.Module):
    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        return obs.float().mean(dim=(1, 3)) / 255


def test_controls_are_fitted_once_for_all_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """The observation and the untrained network are the same for each; the trained one is not."""
    rng = np.random.default_rng(5)
    obs = rng.integers(0, 256, (60, 64, 64, 3), dtype=np.uint8)
    side, levels = rng.choice([-1, 1], 60), np.arange(60) // 2
    fits: list[int] = []
    fitted = linear_probe._fitted

    def counted(x: np.ndarray, *of: Any) -> np.ndarray:
        fits.append(x.shape[1])
        return fitted(x, *of)

    monkeypatch.setattr(linear_probe, "_fitted", counted)

    def head(seed: int) -> torch.nn.Module:
        torch.manual_seed(seed)
        return torch.nn.Sequential(Columns(), torch.nn.Linear(64, 7))

    first, second = (read_direction(head(s), obs, side, levels, layers=("1",)) for s in (1, 2))
    assert fits == [512, 7, 7, 7]  # observation, trained, untrained; then trained alone
    controls = first["source"].isin(["observation", "untrained"])
    pd.testing.assert_frame_equal(first[controls], second[controls])
    assert not first["accuracy"].equals(second["accuracy"])
