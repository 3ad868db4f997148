"""Traced gradients: equal to the plain ones, and without idle steps."""

from unittest import mock

import pytest
import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx

from rl_slt import PolicyData, PolicyKL, PolicyNLL
from rl_slt.data.samples import Batches, Samples
from rl_slt.gradients import traced
from rl_slt.gradients.flat import FlatPolicy
from rl_slt.gradients.traced import TracedGradient, drop_idle
from rl_slt.posterior.build import build_target
from rl_slt.posterior.target import Target


class Frames(nn.Module):
    """Logits of uint8 frames `[B, 12, 12, 3]`, scaled and shifted as asked."""

    def __init__(self, scale: str = "divided") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.more = nn.Conv2d(3, 4, 4, 2), nn.Conv2d(4, 6, 3, padding=1)
        self.head, self.scale = nn.Linear(150, 5), scale

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 3, 1, 2).float()
        if self.scale == "divided":
            x = x / 255
        elif self.scale == "shifted":
            x = x / 127.5 - 1
        elif self.scale == "used-twice":
            x = x / 255
            mean = x.mean((1, 2, 3))[:, None]
            return self.head(self.more(self.conv(x).relu()).relu().flatten(1)) + mean
        h = self.conv(x).relu()
        return self.head((self.more(h).relu() * 0.5).tanh().flatten(1))


def frames(n: int = 40) -> PolicyData:
    generator = torch.Generator().manual_seed(1)
    return PolicyData(torch.randint(0, 256, (n, 12, 12, 3), dtype=torch.uint8, generator=generator))


def both(target: Target, at: float) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Loss and gradient of one batch, traced and plain."""
    assert target.traced is not None and not target.batched
    w = target.flat.w_star + at * torch.randn(
        target.dim, generator=torch.Generator().manual_seed(2)
    )
    batch = target.samples.take(torch.arange(16))
    plain = torch.empty_like(w)
    value = target.flat.value_and_grad(target.loss, batch, w, plain)
    target.traced(w, batch.tensors())
    return target.traced(w, batch.tensors()), (value, plain)


@pytest.mark.parametrize("scale", ["divided", "shifted", "used-twice", "none"])
@pytest.mark.parametrize("loss", [PolicyKL(), PolicyNLL()], ids=lambda loss: loss.name)
def test_traced_gradients_of_convolutional_policies_are_the_plain_ones(
    scale: str, loss: PolicyKL | PolicyNLL
) -> None:
    target = build_target(Frames(scale), frames(), loss, 10.0, 1.0, None, 0)
    traced, plain = both(target, 0.0 if scale == "none" else 0.1)
    for found, wanted in zip(traced, plain, strict=True):
        assert float((found - wanted).abs().max()) < 1e-5 * float(1 + wanted.abs().max())
    assert float(plain[1].abs().max()) > 0


def test_frozen_parameters_and_the_data_keep_their_values() -> None:
    data = frames()
    before = data.states.clone()
    target = build_target(Frames(), data, PolicyKL(), 10.0, 1.0, ["more.*", "head.*"], 0)
    weight = target.flat.module.get_parameter("conv.weight")
    frozen = weight.clone()
    traced, plain = both(target, 0.1)
    assert torch.allclose(traced[1], plain[1], atol=1e-6)
    assert torch.equal(weight, frozen)
    assert torch.equal(data.states, before)


class Branching(Frames):
    """Takes another way on bright frames: a graph would fix it."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if x.float().mean() > 127 else x // 2)


def test_control_flow_on_the_data_is_left_to_the_plain_path() -> None:
    data = frames()
    data.states[20:] //= 4
    target = build_target(Branching(), data, PolicyKL(), 10.0, 1.0, None, 0)
    assert target.traced is None
    plain = torch.empty(target.dim)
    value = target.flat.value_and_grad(target.loss, target.data, target.flat.w_star, plain)
    assert float(value) == pytest.approx(0, abs=1e-7)


def steps(graph: torch.fx.GraphModule) -> list[str]:
    return [str(node.target) for node in graph.graph.nodes if node.op == "call_function"]


def test_steps_that_change_nothing_are_left_out() -> None:
    def idle(x: Tensor) -> Tensor:
        y = x.view(3, 4).expand(3, 4).transpose(0, 1).detach() * 1
        return (y.transpose(0, 1) * 1.0).exp()

    x = torch.randn(3, 4)
    graph = drop_idle(make_fx(idle)(x))
    assert torch.equal(graph(x), idle(x))
    assert steps(graph) == ["aten.exp.default"]


def test_biases_are_added_as_they_lie() -> None:
    def biased(x: Tensor, products: Tensor) -> Tensor:
        part = x[:, 1:3] * 1
        return products + part.view(3, 1, 2)

    x, products = torch.arange(12, dtype=torch.uint8).view(3, 4) + 200, torch.rand(3, 5, 2)
    for given in (x.float(), x.float() / 7):
        graph = drop_idle(make_fx(biased)(given, products))
        assert torch.equal(graph(given, products), biased(given, products))
        assert not [step for step in steps(graph) if "mul" in step]


def test_a_product_of_another_type_stays() -> None:
    def widened(x: Tensor, y: Tensor) -> Tensor:
        return y + (x * 1.0).view(3, 1, 4)

    x = torch.arange(12, dtype=torch.uint8).view(3, 4) + 200
    y = x.view(3, 1, 4).expand(3, 5, 4)
    graph = drop_idle(make_fx(widened)(x, y))
    assert torch.equal(graph(x, y), widened(x, y)) and graph(x, y).max() > 255


def test_steps_that_change_the_form_stay() -> None:
    def other(x: Tensor) -> Tensor:
        return x.view(2, 6).expand(4, 2, 6).transpose(0, 1).transpose(1, 2) * 2

    x = torch.randn(12)
    graph = drop_idle(make_fx(other)(x))
    assert torch.equal(graph(x), other(x))
    assert len(steps(graph)) == 5


@pytest.mark.parametrize("bias", [True, False])
def test_batched_gradients_are_the_plain_ones_in_few_steps(bias: bool) -> None:
    """Chains at different weights on different batches."""
    torch.manual_seed(0)
    policy = nn.Sequential(
        nn.Linear(6, 8, bias), nn.ReLU(), nn.Linear(8, 8, bias), nn.Tanh(), nn.Linear(8, 4, bias)
    )
    data = PolicyData(torch.randn(60, 6))
    target = build_target(policy, data, PolicyKL(), 10.0, 1.0, None, 0)
    assert target.traced is not None and target.batched
    w = target.flat.w_star + 0.2 * torch.randn(3, target.dim)
    rows = torch.randint(60, (3, 20))
    for _ in range(2):  # the graph is used again
        loss, grad, _ = target._loss_grad(w, [*rows], [])
    for c in range(3):
        batch, plain = target.samples.take(rows[c]), torch.empty(target.dim)
        value = target.flat.value_and_grad(target.loss, batch, w[c], plain)
        assert float(loss[c]) == pytest.approx(float(value), rel=1e-5)
        assert torch.allclose(grad[c], plain, atol=1e-6 + 1e-5 * float(plain.abs().max()))
    assert torch.equal(
        target.flat.w_star, torch.cat([p.detach().flatten() for p in policy.parameters()])
    )


def test_batches_hold_each_sample_once_a_pass_in_ever_new_order() -> None:
    units = Samples(PolicyData(torch.arange(22.0)[:, None]), "state")
    one, other = (Batches(units, 5, torch.Generator().manual_seed(s)) for s in (0, 1))
    passes = [[one.next() for _ in range(4)] for _ in range(200)]  # 2 of 22 are left over
    for batches in passes:
        assert len(torch.cat(batches).unique()) == 20  # type: ignore[arg-type]
    assert not torch.equal(passes[0][0], passes[1][0])  # type: ignore[arg-type]
    assert not torch.equal(passes[0][0], other.next())  # type: ignore[arg-type]
    counts = torch.bincount(torch.cat([b for p in passes for b in p]), minlength=22)  # type: ignore[misc]
    assert (counts - 200 * 20 / 22).abs().max() < 25  # each equally often
    assert Batches(units, 22, torch.Generator()).next() is None


TRACE = TracedGradient._trace


class Scaled(nn.Module):
    """Logits times a setting, plus what a frozen layer gives, as a global switch says."""

    switch = 1.0

    def __init__(self, seed: int, scale: float = 2.0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.trunk, self.head, self.scale = nn.Linear(6, 8), nn.Linear(8, 4), scale

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.scale * type(self).switch * self.head(self.trunk(x).relu())
        return h


def traced_twice(one: nn.Module, other: nn.Module) -> tuple[Target, list[bool]]:
    """The second policy's target, and whether each took the graphs of one before."""
    data, new = PolicyData(torch.randn(60, 6)), []
    for policy in (one, other):
        with mock.patch.object(TracedGradient, "_trace", autospec=True) as trace:
            trace.side_effect = TRACE
            target = build_target(policy, data, PolicyKL(), 10.0, 1.0, "head.*", 0)
        new.append(bool(trace.call_count))
    return target, new


@pytest.mark.parametrize("kind", ["alike", "another setting", "unseen"])
def test_graphs_serve_the_next_policy_where_they_are_right(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own weights count, frozen ones too, and what no setting tells is found by the check."""
    traced._GRAPHS.clear()
    one, other = Scaled(0), Scaled(1, 3.0 if kind == "another setting" else 2.0)
    if kind == "unseen":
        monkeypatch.setattr(Scaled, "switch", 1.0)
        traced_twice(one, one)
        monkeypatch.setattr(Scaled, "switch", 1.5)
        target, new = traced_twice(other, other)
        assert new == [True, True]  # the graphs kept are of the old switch
    else:
        target, new = traced_twice(one, other)
        assert new == [True, kind != "alike"]
    assert target.traced is not None
    w = target.flat.w_star + 0.2 * torch.randn(2, target.dim)
    rows = torch.randint(60, (2, 20))
    loss, grad, _ = target._loss_grad(w, [*rows], [])
    for c in range(2):
        plain = torch.empty(target.dim)
        batch = target.samples.take(rows[c])
        value = target.flat.value_and_grad(target.loss, batch, w[c], plain)
        assert float(loss[c]) == pytest.approx(float(value), rel=1e-5)
        assert torch.allclose(grad[c], plain, atol=1e-6 + 1e-5 * float(plain.abs().max()))


def test_graphs_of_few_structures_are_kept() -> None:
    traced._GRAPHS.clear()
    data = PolicyData(torch.randn(9, 6))
    for k in range(traced.MOST_STRUCTURES + 2):
        build_target(Scaled(0, float(k + 1)), data, PolicyKL(), 10.0, 1.0, None, 0)
    assert len(traced._GRAPHS) == traced.MOST_STRUCTURES


class Slotted:
    """A loss whose setting is in no dictionary."""

    __slots__ = ("scale",)

    def __init__(self, scale: float) -> None:
        self.scale = scale


def test_settings_in_slots_tell_losses_apart() -> None:
    flat = FlatPolicy(nn.Linear(2, 2), ["weight"])
    one, other = Slotted(1.0), Slotted(2.0)
    assert traced.structure_of(flat, one) == traced.structure_of(flat, one)  # type: ignore[arg-type]
    assert traced.structure_of(flat, one) != traced.structure_of(flat, other)  # type: ignore[arg-type]
