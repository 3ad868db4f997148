"""Estimates on a device other than the CPU, simulated: the same numbers, nothing left behind."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from agents import NETWORKS, build_network
from agents.networks import strided
from rl_slt import (
    InputError,
    LLCEstimate,
    PolicyData,
    PolicyKL,
    PolicyNLL,
    Regret,
    Surrogate,
    Value,
    estimate_llc,
)
from rl_slt.calibration.calibrate import Cell, estimate_cell
from rl_slt.gradients.precision import full_float32
from rl_slt.losses.base import LossFunction, Policy, logits_of
from rl_slt.posterior.build import build_target, generator_for
from rl_slt.samplers import SAMPLERS
from rl_slt.settings import Settings
from tests.rl_slt.other_device import moved, other_device
from tests.rl_slt.small_policy import TwoHeads, data

# A simulated tensor whose memory is exchanged keeps its strides.
pytestmark = [
    pytest.mark.filterwarnings("ignore:grad and param do not obey"),
    pytest.mark.filterwarnings("ignore::rl_slt.errors.ConvergenceWarning"),
]


class Conv(nn.Module):
    """Logits `[B, 3]` of frames uint8 `[B, 12, 12, 3]`."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.net = nn.Sequential(
            nn.Conv2d(3, 4, 4, 2), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(),
            nn.Linear(36, 3),
        )  # fmt: skip
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(0.3 * torch.randn(p.shape, generator=generator))

    def forward(self, states: Tensor) -> Tensor:
        return self.net(states.permute(0, 3, 1, 2).float() / 255)


def frames(n: int) -> Tensor:
    shape = (n, 12, 12, 3)
    return torch.randint(256, shape, generator=torch.Generator().manual_seed(2)).to(torch.uint8)


def squared(policy: Policy, batch: PolicyData) -> Tensor:
    return logits_of(policy(batch.states)).square().sum(-1)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    with other_device(monkeypatch) as device:
        yield device


def short(policy: nn.Module, loss: LossFunction, sampler: str | None = None) -> LLCEstimate:
    chosen = None if sampler is None else SAMPLERS[sampler]()
    return estimate_llc(
        policy, data(), loss=loss, sampler=chosen, chains=3, draws=12, burn_in=8, batch_size=16,
        localization=10.0, preconditioner_rank=4, seed=5,
    )  # fmt: skip


def assert_same(one: LLCEstimate, two: LLCEstimate) -> None:
    for column in ("loss_value", "loss_at_center"):
        np.testing.assert_array_equal(one.draws[column], two.draws[column])
    assert (one.status, one.message, one.llc) == (two.status, two.message, two.llc)
    np.testing.assert_equal(one.stderr_data, two.stderr_data)
    assert one.info == pytest.approx(two.info, rel=1e-6, nan_ok=True)


def test_the_simulated_device_does_not_mix_with_the_cpu(device: torch.device) -> None:
    there = torch.ones(2, device=device)
    assert there.device == device and there.cpu().device.type == "cpu"
    with pytest.raises(RuntimeError, match="expected all tensors on one device"):
        there + torch.ones(2)
    with pytest.raises(RuntimeError, match="expected all tensors on one device"):
        there[torch.tensor([0, 1])]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_gives_the_same_draws_there(
    sampler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = short(TwoHeads(), PolicyKL(), sampler)
    with other_device(monkeypatch):
        there = short(moved(TwoHeads()), PolicyKL(), sampler)
    assert there.sampler == sampler
    assert_same(there, here)


@pytest.mark.parametrize(
    "loss",
    [
        PolicyNLL(), Regret(clip=2.0), squared,
        *(pytest.param(loss, marks=pytest.mark.slow)
          for loss in (PolicyNLL(redraw=False), Surrogate(0.2), Value())),
    ],
    ids=["nll", "regret", "function", "nll-fixed", "surrogate", "value"],
)  # fmt: skip
def test_every_loss_gives_the_same_draws_there(
    loss: LossFunction, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = short(TwoHeads(), loss)
    with other_device(monkeypatch):
        there = short(moved(TwoHeads()), loss)
    assert there.loss == here.loss
    assert_same(there, here)


def test_states_are_brought_to_the_policy_and_repeats_found_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few = torch.eye(4).repeat(20, 1)
    here = estimate_llc(TwoHeads(), few, chains=2, draws=20, burn_in=10)
    with other_device(monkeypatch) as device:
        policy = moved(TwoHeads())
        there = estimate_llc(policy, few.to(device), chains=2, draws=20, burn_in=10)
        assert_same(there, estimate_llc(policy, few, chains=2, draws=20, burn_in=10))
        assert all(p.device == device and p.grad is None for p in policy.parameters())
    assert_same(there, here)


def test_chains_of_a_convolutional_policy_are_computed_together_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = (PolicyKL(), 50.0, 10.0, None, 0)
    apart = build_target(Conv(), frames(40), *settings)
    assert apart.traced is not None and not apart.batched
    noise = torch.randn(3, apart.dim, generator=torch.Generator().manual_seed(1))
    rows = [torch.arange(c, c + 10) for c in range(3)]
    generators = [generator_for(0, c) for c in range(3)]
    one = apart.evaluate(0.1 * noise, rows, generators)
    everything = apart.evaluate(0.1 * noise, [None] * 3, generators)
    with other_device(monkeypatch) as device:
        together = build_target(moved(Conv()), frames(40), *settings)
        assert together.traced is not None and together.batched
        z = 0.1 * noise.to(device)
        two = together.evaluate(z, [r.to(device) for r in rows], generators)
        whole = together.evaluate(z, [None] * 3, generators)
        for ours, theirs in ((two, one), (whole, everything)):
            for name in ("loss", "energy", "grad", "prior", "virial"):
                torch.testing.assert_close(
                    getattr(ours, name).cpu(), getattr(theirs, name), rtol=1e-4, atol=1e-4
                )
        assert estimate_llc(moved(Conv()), frames(40), draws=10, burn_in=4).chains == 4


class Recurrent(nn.Module):
    """Logits `[B, 3]` of states `[B, 4]`, read as sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(1, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, states: Tensor) -> Tensor:
        return self.head(self.gru(states.unsqueeze(-1))[0][:, -1])


def test_torchs_settings_are_a_gpus_for_an_estimate_alone(device: torch.device) -> None:
    cudnn: Any = torch.backends.cudnn

    def settings() -> list[object]:
        own = torch.backends.cuda.matmul.fp32_precision
        return [own, cudnn.conv.fp32_precision, cudnn.deterministic, cudnn.benchmark, cudnn.enabled]

    before = settings()
    with full_float32(moved(TwoHeads())):
        assert settings() == ["ieee", "ieee", True, False, True]
    assert settings() == before
    with full_float32(moved(Recurrent())):
        assert not cudnn.enabled
    with full_float32(TwoHeads()):
        assert settings() == before
    seen = []

    def loss(policy: Policy, batch: PolicyData) -> Tensor:
        seen.append(settings()[:2])
        return squared(policy, batch)

    estimate_llc(moved(TwoHeads()), data(), loss=loss, draws=8, burn_in=2)
    assert seen and all(one == ["ieee", "ieee"] for one in seen) and settings() == before


def test_a_calibration_and_a_reference_from_elsewhere_work_there(device: torch.device) -> None:
    policy, states = moved(TwoHeads()), data().to(device)
    cell = Cell("p", "exact", Settings(draws=8, burn_in=2, batch_size=8), states=20)
    assert estimate_cell(cell, policy, states, None, 0).n_states == 20
    other = PolicyKL(TwoHeads(1))
    assert estimate_llc(policy, states, loss=other, draws=8, burn_in=2).loss_init > 0
    assert other.reference is not None
    assert all(p.device.type == "cpu" for p in other.reference.parameters())


def test_memory_that_does_not_suffice_is_told_in_one_line(device: torch.device) -> None:
    class Large(TwoHeads):
        def forward(self, states: Tensor) -> tuple[Tensor, Tensor]:
            if len(states) > 4:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
            return super().forward(states)

    with pytest.raises(InputError, match=r"out of memory on meta with chains=4, batch_size=None"):
        estimate_llc(moved(Large()), data())


def test_what_a_device_cannot_do_is_said_in_one_line(device: torch.device) -> None:
    with pytest.raises(InputError, match="precision='bfloat16': must be auto or float32 on device"):
        estimate_llc(moved(Conv()), frames(40), precision="bfloat16")
    policy = TwoHeads()
    policy.body.to(device)
    with pytest.raises(InputError, match="policy on cpu, meta; it must be on one device"):
        estimate_llc(policy, data())


@pytest.mark.parametrize("name", [name for name, body in NETWORKS.items() if body.frames])
def test_chains_of_our_own_networks_are_computed_together_there(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strided, "compute_dtype", lambda x: torch.float32)  # no autocast there
    with other_device(monkeypatch):
        states = torch.zeros(8, 64, 64, 3, dtype=torch.uint8)
        target = build_target(moved(build_network(name)), states, PolicyKL(), 1.0, 1.0, None, 0)
        assert target.traced is not None and target.batched
