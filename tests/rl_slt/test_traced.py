"""Traced gradients: equal to the plain ones, and careful about whose memory they write over."""

import pytest
import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx

from rl_slt import PolicyData, PolicyKL, PolicyNLL
from rl_slt.build import build_target
from rl_slt.reuse import fold_scale, reuse_memory
from rl_slt.target import Target


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
            return self.head(self.more(self.conv(x).relu()).relu().flatten(1)) + x.mean()
        h = self.conv(x).relu()
        return self.head((self.more(h).relu() * 0.5).tanh().flatten(1))


def frames(n: int = 40) -> PolicyData:
    generator = torch.Generator().manual_seed(1)
    return PolicyData(torch.randint(0, 256, (n, 12, 12, 3), dtype=torch.uint8, generator=generator))


def both(target: Target, at: float) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Loss and gradient of one batch, traced and plain."""
    assert target.traced is not None and not target.batched
    w = target.flat.start + at * torch.randn(target.dim, generator=torch.Generator().manual_seed(2))
    batch = target.units.take(torch.arange(16))
    plain = torch.empty_like(w)
    value = target.flat.value_and_grad(lambda p: target.loss(p, batch), w, plain)
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
    frozen = target.flat.module.conv.weight.clone()  # type: ignore[union-attr]
    traced, plain = both(target, 0.1)
    assert torch.allclose(traced[1], plain[1], atol=1e-6)
    assert torch.equal(target.flat.module.conv.weight, frozen)  # type: ignore[union-attr]
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
    value = target.flat.value_and_grad(
        lambda p: target.loss(p, target.data), target.flat.start, plain
    )
    assert float(value) == pytest.approx(0, abs=1e-7)


def steps(graph: torch.fx.GraphModule) -> list[str]:
    return [str(node.target) for node in graph.graph.nodes if node.op == "call_function"]


def test_memory_is_written_over_only_where_nobody_else_reads() -> None:
    def chain(x: Tensor) -> Tensor:
        y = x.double() / 3  # the copy is read once
        z = y * 2  # y is read twice
        return (z + y).tanh()

    x = torch.randn(7)
    graph = reuse_memory(make_fx(chain)(x))
    kept = x.clone()
    assert torch.equal(graph(x), chain(x)) and torch.equal(x, kept)
    assert steps(graph) == [
        "aten._to_copy.default",
        "aten.div_.Tensor",
        "aten.mul.Tensor",
        "aten.add_.Tensor",
        "aten.tanh_.default",
    ]


def test_results_of_another_form_are_not_written_over() -> None:
    def wider(x: Tensor, y: Tensor) -> Tensor:
        return x.double() + y + x.int() / 2  # [1] + [5], and integers become floats

    x, y = torch.tensor([3.0]), torch.randn(5, dtype=torch.float64)
    graph = reuse_memory(make_fx(wider)(x, y))
    assert torch.equal(graph(x, y), wider(x, y))
    assert steps(graph).count("aten.add.Tensor") == 1 and "aten.div_.Tensor" not in steps(graph)


def test_a_scale_moves_to_the_weights_only_where_convolutions_alone_read_it() -> None:
    def conv(x: Tensor, w: Tensor) -> Tensor:
        return torch.conv2d(x / 255, w)

    def also(x: Tensor, w: Tensor) -> Tensor:
        y = x / 255
        return torch.conv2d(y, w) + y.sum()

    def itself(x: Tensor, w: Tensor) -> Tensor:
        return torch.conv2d(x, w / 255)

    x, w = torch.rand(2, 3, 6, 6) * 255, torch.randn(4, 3, 3, 3)
    for function, moved in ((conv, True), (also, False), (itself, False)):
        graph = fold_scale(make_fx(function)(x, w))
        divided = [n.meta for n in graph.graph.nodes if n.target is torch.ops.aten.div.Tensor]
        assert (len(divided) == 1 and not divided[0]) == moved  # a new step has no record
        torch.testing.assert_close(graph(x, w), function(x, w), rtol=1e-5, atol=1e-4)
