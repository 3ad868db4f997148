"""Rewriting a traced graph into fewer steps that move less memory; same results to rounding."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch.fx import GraphModule, Node

aten = torch.ops.aten

# What gives its first argument back where the form stays.
FORMS = {
    aten.view.default,
    aten._unsafe_view.default,
    aten.expand.default,
    aten.detach.default,
    aten.alias.default,
}
# What takes the memory of its first argument when nobody else reads that any more.
IN_PLACE: dict[Any, Any] = {
    aten.add.Tensor: aten.add_.Tensor,
    aten.sub.Tensor: aten.sub_.Tensor,
    aten.mul.Tensor: aten.mul_.Tensor,
    aten.div.Tensor: aten.div_.Tensor,
    aten.relu.default: aten.relu_.default,
    aten.tanh.default: aten.tanh_.default,
    aten.sigmoid.default: aten.sigmoid_.default,
    aten.threshold_backward.default: None,  # has an out form only
}
# What returns new memory always. (A copy to the type a tensor has already is not traced.)
FRESH = {
    aten._to_copy.default,
    aten.convolution.default,
    aten.clone.default,
    aten.addmm.default,
    aten.mm.default,
    aten.bmm.default,
    aten.baddbmm.default,
    *IN_PLACE,
    *(target for target in IN_PLACE.values() if target is not None),
    aten.threshold_backward.grad_input,
}


def drop_idle(graph: GraphModule) -> GraphModule:
    """Leave out steps that change nothing, half of what is traced of batched chains.

    In a small network each costs about as much as a step that computes.
    """
    for node in list(graph.graph.nodes):
        if (source := _same_as(node)) is not None:
            node.replace_all_uses_with(source)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


def _same_as(node: Node) -> Node | None:
    """The node whose very value this one has, if there is one."""
    source = node.args[0] if node.args else None
    if not isinstance(source, Node):
        return None
    if node.target in FORMS or _by_one(node):
        return source if form(source) == form(node) is not None else None
    if node.target is aten.transpose.int and source.target is node.target:
        first = source.args[0]
        return first if source.args[1:] == node.args[1:] and isinstance(first, Node) else None
    return None


def _by_one(node: Node) -> bool:
    if node.target not in (aten.mul.Scalar, aten.mul.Tensor):
        return False
    return isinstance(node.args[1], int | float) and node.args[1] == 1


def fuse_bias(graph: GraphModule) -> GraphModule:
    """Add the chains' biases `[C, 1, k]` while their products are made, in one step."""
    for node in list(graph.graph.nodes):
        if node.target is not aten.add.Tensor or node.kwargs or len(node.args) != 2:
            continue
        for bias, product in (node.args, node.args[::-1]):
            if isinstance(product, Node) and _is_bias(bias, product):
                node.target = aten.baddbmm.default
                node.args = (bias, *product.args)
                break
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


def _is_bias(bias: Any, product: Node) -> bool:
    if product.target is not aten.bmm.default or len(product.users) > 1:
        return False
    added, made = form(bias) if isinstance(bias, Node) else None, form(product)
    if added is None or made is None:
        return False
    (chains, _, width), dtype = made[1], made[0]
    return added[0] == dtype and tuple(added[1]) == (chains, 1, width)


def reuse_memory(graph: GraphModule) -> GraphModule:
    """Let elementwise steps write over an argument that nothing else reads.

    Frames that were just made floats are divided where they are, ReLUs and their gradients too:
    a third of the memory traffic of a small convolutional network on frames.
    """
    for node in graph.graph.nodes:
        if node.target in IN_PLACE and _is_last_reader(node):
            _write_over(node)
    graph.recompile()
    return graph


def _is_last_reader(node: Node) -> bool:
    """Whether the node alone reads its first argument, which owns memory of the result's form."""
    first = node.args[0]
    if not isinstance(first, Node) or not _owns_memory(first) or len(first.users) > 1:
        return False
    return form(first) == form(node) is not None and first not in node.args[1:]


def _owns_memory(node: Node) -> bool:
    if node.target is operator.getitem:  # one of several results
        source = node.args[0]
        return isinstance(source, Node) and source.target is aten.convolution_backward.default
    return node.target in FRESH


def form(node: Node) -> tuple[Any, ...] | None:
    """Type, shape and strides of the tensor that a traced node gives; None of what is none."""
    value = node.meta.get("val")
    if not isinstance(value, torch.Tensor):
        return None
    return value.dtype, value.shape, value.stride()


def _write_over(node: Node) -> None:
    target = IN_PLACE[node.target]
    if target is not None:
        node.target = target
        return
    node.target = aten.threshold_backward.grad_input
    node.kwargs = {"grad_input": node.args[0]}
