"""Graphs that write in place where nobody looks again give what they gave before."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from rl_slt.gradients.lowered import IN_PLACE, QUICK, lowered

Function = Callable[..., tuple[Tensor, ...]]
aten = torch.ops.aten


def layer(x: Tensor, y: Tensor, b: Tensor) -> tuple[Tensor, ...]:
    return (torch.relu(x @ y + b),)  # of the product's memory, twice


def with_bias_first(x: Tensor, y: Tensor, b: Tensor) -> tuple[Tensor, ...]:
    return (b + x @ y,)  # the sum's second part has its form


def read_again(x: Tensor, y: Tensor, b: Tensor) -> tuple[Tensor, ...]:
    before = x @ y
    after = torch.relu(before)
    return before * after, after


def seen_through_a_view(x: Tensor, y: Tensor, b: Tensor) -> tuple[Tensor, ...]:
    before = x @ y
    part = before.transpose(0, 1)
    return torch.relu(before), part.exp()


def seen_in_parts(x: Tensor, y: Tensor, b: Tensor) -> tuple[Tensor, ...]:
    before = x @ y
    left, right = before.split(2)
    return torch.relu(before), left.exp(), right.neg()


def seen_in_parts_of_an_argument(x: Tensor, y: Tensor, b: Tensor) -> tuple[Tensor, ...]:
    upper, _ = torch.unsafe_chunk(x, 2)
    return torch.relu(upper), x.exp()


def of_several_results(x: Tensor, y: Tensor, b: Tensor) -> tuple[Tensor, ...]:
    values, where = (x @ y).max(1)
    return torch.relu(values), where


def twice_itself(x: Tensor, y: Tensor, b: Tensor) -> tuple[Tensor, ...]:
    product = x @ y
    return (product + product,)


def given_back(x: Tensor, y: Tensor, b: Tensor) -> tuple[Tensor, ...]:
    before = x @ y
    return before, torch.tanh(before)


def of_an_argument(x: Tensor, y: Tensor, b: Tensor) -> tuple[Tensor, ...]:
    return (torch.relu(x.view(4, 4)),)


def broadcast(x: Tensor, y: Tensor, b: Tensor) -> tuple[Tensor, ...]:
    row = b.exp()
    return torch.relu(row.expand(4, 4)), (row + row.expand(4, 4))


def with_itself(x: Tensor, y: Tensor, b: Tensor) -> tuple[Tensor, ...]:
    product = x @ y
    return (product + product.transpose(0, 1),)  # would read what is written


def backwards(x: Tensor, y: Tensor, b: Tensor) -> tuple[Tensor, ...]:
    out, grad = torch.relu(x @ y), y @ x
    return aten.threshold_backward(grad, out, 0), out.neg()


def backwards_of_what_stays(x: Tensor, y: Tensor, b: Tensor) -> tuple[Tensor, ...]:
    out, grad = torch.tanh(x @ y), y @ x
    return aten.tanh_backward(grad, out), grad.neg()


@pytest.mark.parametrize(
    ("function", "written"),
    [
        (layer, 2), (with_bias_first, 1), (read_again, 0), (seen_through_a_view, 0),
        (seen_in_parts, 0), (seen_in_parts_of_an_argument, 0), (of_several_results, 0),
        (twice_itself, 1), (given_back, 0),
        (of_an_argument, 0), (broadcast, 0), (with_itself, 0), (backwards, 2),
        (backwards_of_what_stays, 1),
    ],
)  # fmt: skip
def test_answers_and_arguments_stay(function: Function, written: int) -> None:
    generator = torch.Generator().manual_seed(0)
    given = [torch.randn(shape, generator=generator) for shape in ((4, 4), (4, 4), (4,))]
    kept = [tensor.clone() for tensor in given]
    graph = make_fx(function)(*given)
    quick = lowered(graph)
    places = {*IN_PLACE.values()}
    assert sum(node.target in places for node in quick.graph.nodes) == written
    for _ in range(2):  # what is written is made anew each time
        for wanted, found in zip(function(*given), quick(*given), strict=True):
            assert torch.equal(wanted, found)
    for wanted, found in zip(kept, given, strict=True):
        assert torch.equal(wanted, found)
    assert not any(node.target in places for node in graph.graph.nodes)  # it is a copy


def test_every_quick_operation_has_a_function_for_python() -> None:
    for name in QUICK:
        assert callable(getattr(torch, name, None) or getattr(Tensor, name))
        assert hasattr(aten, name)
