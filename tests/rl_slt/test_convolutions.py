"""Convolutions in traced graphs are rewritten, and give the plain gradients."""

import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from rl_slt import PolicyData, PolicyKL
from rl_slt.gradients.convolutions import (
    fold_scale,
    fold_strides,
    folded,
    match_layout,
    seen_pixels,
)
from rl_slt.posterior.build import build_target
from rl_slt.posterior.target import Target


def steps(graph: GraphModule) -> list[str]:
    return [str(node.target) for node in graph.graph.nodes if node.op == "call_function"]


class Atari(nn.Module):
    """The usual kernels, on frames as they come; what lies between them as asked."""

    def __init__(self, kind: str = "plain", size: int = 36) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv1 = nn.Conv2d(3, 4, 8, 4, padding=1 if kind == "padded" else 0)
        self.conv2 = nn.Conv2d(4, 6, 4, 2)
        self.kind = kind
        out = ((size + 2 * (kind == "padded") - 8) // 4 + 1 - 4) // 2 + 1
        self.head = nn.Linear(6 * out * out, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.kind == "channels first" else x.permute(0, 3, 1, 2)
        x = x.float() / 127.5 - 1
        h = self.conv1(x).relu()
        logits: Tensor = self.head(self.conv2(h).relu().flatten(1))
        return logits + h.mean() if self.kind == "read twice" else logits


def frames(size: int = 36, n: int = 24, first: bool = False) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = (n, 3, size, size) if first else (n, size, size, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def graph_of(target: Target, states: Tensor) -> GraphModule:
    fields = {"states": states, "reference_logits": torch.zeros(len(states), 5)}
    assert target.traced is not None
    return target.traced._made(target.flat.w_star, fields, False)


@pytest.mark.parametrize(
    ("kind", "size", "seen"),
    [
        ("plain", 36, None),  # 8 of 8 rows of the first layer are read
        ("plain", 40, (slice(None), slice(0, 36), slice(0, 36), slice(None))),
        ("plain", 38, (slice(None), slice(0, 36), slice(0, 36), slice(None))),
        ("channels first", 40, (slice(None), slice(None), slice(0, 36), slice(0, 36))),
        ("read twice", 40, None),
        ("padded", 40, None),
    ],
)
def test_pixels_that_no_kernel_reaches_are_found(
    kind: str, size: int, seen: tuple[slice, ...] | None
) -> None:
    states = frames(size, first=kind == "channels first")
    target = build_target(Atari(kind, size), states, PolicyKL(), 10.0, 1.0, None, 0)
    assert seen_pixels(graph_of(target, states[:2]), 1) == seen
    if seen is not None:  # not one pixel more is cut off
        policy = Atari(kind, size)
        states[:, -5:] = 0
        inner = states.clone()
        where = (0, 35, 35, 0) if kind == "plain" else (0, 0, 35, 35)
        inner[where] = 255 - inner[where]
        assert not torch.equal(policy(inner), policy(states))


@pytest.mark.parametrize("kind", ["plain", "channels first", "read twice", "padded"])
@pytest.mark.parametrize("size", [36, 38, 40])
def test_gradients_are_the_plain_ones(kind: str, size: int) -> None:
    data = PolicyData(frames(size, first=kind == "channels first"))
    target = build_target(Atari(kind, size), data, PolicyKL(), 10.0, 1.0, None, 0)
    assert target.traced is not None
    w = target.flat.w_star + 0.1 * torch.randn(target.dim)
    batch = target.samples.take(torch.arange(16))
    plain = torch.empty_like(w)
    value = target.flat.value_and_grad(lambda p: target.loss(p, batch), w, plain)
    found = target.traced(w, batch.tensors())
    torch.testing.assert_close(found[0], value, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found[1], plain, rtol=1e-4, atol=1e-4 * float(plain.abs().max()))


class OneSize(Atari):
    """Insists on its frames' size, as many do."""

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] != 40:
            raise ValueError("frames must have 40 rows")
        return super().forward(x)


def test_policies_that_insist_on_the_frames_size_get_whole_frames() -> None:
    target = build_target(OneSize("plain", 40), frames(40), PolicyKL(), 10.0, 1.0, None, 0)
    assert target.traced is not None


def gradient(x: Tensor, w: Tensor, b: Tensor) -> tuple[Tensor, ...]:
    leaves = [t.detach().requires_grad_() for t in (x, w, b)]
    y = torch.conv2d(leaves[0], leaves[1], leaves[2], (3, 2))
    return y.detach(), *torch.autograd.grad(y.tanh().sum(), leaves)


@pytest.mark.parametrize(
    ("columns", "channels_last", "folds"), [(10, True, True), (11, True, False), (10, False, False)]
)
def test_strides_are_folded_where_no_byte_is_moved(
    columns: int, channels_last: bool, folds: bool
) -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 5, 9, columns)
    x = x.to(memory_format=torch.channels_last) if channels_last else x
    w, b = torch.randn(7, 5, 3, 4), torch.randn(7)
    graph = fold_strides(make_fx(gradient)(x, w, b))
    assert sum("folded" in step for step in steps(graph)) == 2 * folds
    for found, wanted in zip(graph(x, w, b), gradient(x, w, b), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    if folds:
        torch.testing.assert_close(folded(x, w, None, [3, 2]) + b[:, None, None],
                                   torch.conv2d(x, w, b, (3, 2)))  # fmt: skip


def test_gradients_come_in_the_layout_of_what_they_are_for() -> None:
    def net(x: Tensor, w: Tensor, v: Tensor) -> Tensor:
        w = w.detach().requires_grad_()
        h = torch.conv2d(x, w).relu().flatten(1)
        return torch.autograd.grad((h @ v).tanh().sum(), w)[0]

    torch.manual_seed(0)
    x = torch.randn(2, 3, 5, 5).to(memory_format=torch.channels_last)
    w, v = torch.randn(4, 3, 2, 2), torch.randn(64, 3)
    before = make_fx(net)(x, w, v)
    copies = steps(before).count("aten.clone.default")
    after = match_layout(before)
    assert steps(after).count("aten.clone.default") == copies + 1
    torch.testing.assert_close(after(x, w, v), net(x, w, v))


def test_a_scale_moves_to_the_weights_only_where_convolutions_alone_read_it() -> None:
    def conv(x: Tensor, w: Tensor) -> Tensor:
        return torch.conv2d(x / 255, w)

    def also(x: Tensor, w: Tensor) -> Tensor:
        y = x / 255
        return torch.conv2d(y, w) + y.sum()

    def itself(x: Tensor, w: Tensor) -> Tensor:
        return torch.conv2d(x, w / 255)

    x, w = torch.rand(2, 3, 6, 6) * 255, torch.randn(4, 3, 3, 3)
    for function, of_weights in ((conv, True), (also, False), (itself, True)):
        graph = fold_scale(make_fx(function)(x, w))
        divided = [n.args[0] for n in graph.graph.nodes if n.target is torch.ops.aten.div.Tensor]
        weights = list(graph.graph.nodes)[1]
        assert (divided == [weights]) == of_weights
        torch.testing.assert_close(graph(x, w), function(x, w), rtol=1e-5, atol=1e-4)
