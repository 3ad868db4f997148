"""Convolutions in bfloat16: what is rounded, what is not, and that estimates stay the same."""

from itertools import product

import pytest
import torch
from torch import Tensor, nn

from rl_slt import SGLD, PolicyKL, estimate_llc
from rl_slt.gradients.precision import in_bfloat16, wants_bfloat16
from rl_slt.posterior.build import build_target, generator_for
from rl_slt.posterior.target import Target
from rl_slt.samplers.chains import Chains


class Frames(nn.Module):
    """A convolutional policy on frames, whose layers say in what type they computed."""

    def __init__(self, both: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 8, 4), nn.Conv2d(8, 8, 4, 2)
        self.hidden, self.head = nn.Linear(72, 16), nn.Linear(16, 5)
        self.both = both
        self.seen: dict[str, torch.dtype] = {}

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        h = self.conv1(x.permute(0, 3, 1, 2).to(self.head.weight.dtype) / 255).relu()
        self.seen["conv"] = h.dtype
        h = self.hidden(self.conv2(h).relu().flatten(1)).relu()
        self.seen["linear"] = h.dtype
        logits = 4 * self.head(h)
        return (logits, logits[:, 0]) if self.both else logits


def frames(n: int = 96) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (n, 40, 40, 3), dtype=torch.uint8, generator=generator)


def target_of(policy: nn.Module, precision: str = "bfloat16") -> Target:
    return build_target(policy, frames(), PolicyKL(), 40.0, 100.0, None, 0, precision)


@pytest.mark.parametrize("both", [False, True])
def test_only_convolutions_are_rounded(both: bool) -> None:
    policy = Frames(both)
    out = in_bfloat16(policy)(frames())
    assert policy.seen == {"conv": torch.bfloat16, "linear": torch.float32}
    plain = policy(frames())
    for found, exact in zip(
        out if isinstance(out, tuple) else (out,),
        plain if isinstance(plain, tuple) else (plain,),
        strict=True,
    ):
        assert found.dtype == torch.float32
        assert 0 < (found - exact).abs().max() < 0.02 * exact.abs().max()


@pytest.mark.parametrize("both", [False, True])
def test_losses_and_gradients_are_those_of_float32_to_rounding(both: bool) -> None:
    exact, rounded = target_of(Frames(both), "float32"), target_of(Frames(both))
    torch.manual_seed(2)
    w = exact.flat.w_star + 0.02 * torch.randn(exact.dim)
    batch = exact.samples.take(torch.arange(64))
    assert exact.traced is not None and rounded.traced is not None
    (value, grad), (found, near) = (t.traced(w, batch.tensors()) for t in (exact, rounded))  # type: ignore[misc]
    torch.testing.assert_close(found, value, rtol=0.02, atol=0)
    assert not torch.equal(near, grad)
    assert (near - grad).norm() < 0.03 * grad.norm()
    # The graph and the module by itself round alike: the loss at w* is taken with the module.
    module = rounded.flat.load(w)
    torch.testing.assert_close(rounded.losses(module, batch).mean(), found, rtol=1e-2, atol=0)


def test_the_loss_at_the_checkpoint_has_the_same_rounding() -> None:
    exact, rounded = target_of(Frames(), "float32"), target_of(Frames())
    assert not exact.center_losses.any()
    assert 0 < rounded.center_losses.mean() < 1e-4


def test_networks_without_convolutions_and_doubles_stay_as_they_are() -> None:
    states, dense = torch.randn(64, 4), nn.Linear(4, 3)
    target = build_target(dense, states, PolicyKL(), 40.0, 1.0, None, 0, "bfloat16")
    assert not target.rounded and not target.center_losses.any()
    double = target_of(Frames().double())
    assert not double.rounded and double.center_losses.dtype == torch.float64


def test_estimates_agree_and_say_how_they_were_made() -> None:
    settings = {"localization": 100.0, "draws": 150, "burn_in": 60, "batch_size": 32}
    made = {
        kind: estimate_llc(Frames(), frames(), precision=kind, **settings)  # type: ignore[arg-type]
        for kind in ("float32", "bfloat16")
    }
    exact, rounded = made["float32"], made["bfloat16"]
    assert abs(exact.llc - rounded.llc) < 4 * (exact.stderr**2 + rounded.stderr**2) ** 0.5
    assert rounded.info["bfloat16"] == 1 and exact.info["bfloat16"] == 0
    assert "in bfloat16" in rounded._repr_html_() and "bfloat16" not in exact._repr_html_()


def test_step_sizes_are_not_those_of_rounding() -> None:
    """Curvature comes from differences of gradients; of rounded ones it would be too large."""
    step = {}
    for kind in ("float32", "bfloat16"):
        target = target_of(Frames(), kind)
        chains = Chains(target, SGLD(), [generator_for(0, c) for c in range(2)], 32, rank=8)
        chains.burn_in(0, lambda: None)
        step[kind] = chains.step_size
        assert target.rounded is (kind == "bfloat16")
    assert step["bfloat16"] == pytest.approx(step["float32"], rel=1e-3)


def test_auto_asks_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    for has, capability in product((True, False), ("AVX512", "AVX2")):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda has=has: has)
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda held=capability: held)
        assert wants_bfloat16("auto") is (has and capability == "AVX512")
    assert wants_bfloat16("bfloat16") and not wants_bfloat16("float32")
