"""Traced graphs with the same answers in less time: quicker calls, and results written in place.

In a small network most of the time goes into calling; in a large one into memory, where a result
that takes the place of an argument is neither fetched nor evicts what comes next.
"""

from __future__ import annotations

from operator import getitem
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.fx import Graph, GraphModule, Node

aten = torch.ops.aten
# Views that no schema tells.
VIEWS = {
    aten._unsafe_view.default, aten.unsafe_split.Tensor, aten.unsafe_split_with_sizes.default,
}  # fmt: skip
# Operations of one meaning, whose functions for Python take half as long as their overloads.
QUICK = (
    *("_log_softmax", "add", "addmm", "bmm", "cat", "clone", "constant_pad_nd", "div", "exp"),
    *("expand", "logsumexp", "mean", "mm", "mul", "neg", "permute", "relu", "sub", "sum", "tanh"),
    *("transpose", "unsqueeze", "view"),
)
# Operations on each number by itself, and those that write into what they take.
_OUT = "grad_input"  # where there is no method, the result's place is an argument of this name
IN_PLACE: dict[Any, Any] = {
    aten.add.Tensor: Tensor.add_,
    aten.relu.default: Tensor.relu_,
    aten.tanh.default: Tensor.tanh_,
    aten.tanh_backward.default: aten.tanh_backward.grad_input,
    aten.threshold_backward.default: aten.threshold_backward.grad_input,
}
COMMUTES = {aten.add.Tensor}


def lowered(graph: GraphModule) -> GraphModule:
    """A copy of a graph, whose nodes tell their forms (`form_of`)."""
    part, copies = Graph(), dict[Node, Node]()
    part.output(part.graph_copy(graph.graph, copies))
    written = _written(graph.graph)
    for node, new in copies.items():
        if node in written:
            place, others = copies[written[node]], [*new.args]
            others.remove(place)
            new.target, new.args = IN_PLACE[node.target], (place, *others)
            if isinstance(new.target, OpOverload):
                new.kwargs = {_OUT: place}
        elif node.op == "call_function":
            new.target = _quick(node.target)
    return GraphModule(graph, part)


def is_view(node: Node) -> bool:
    """Whether a node's tensor is a part of its first argument's memory."""
    return node.target in VIEWS or getattr(node.target, "is_view", False)


def mutates(node: Node) -> bool:
    """Whether a node writes into what it takes."""
    schema = getattr(node.target, "_schema", None)
    return schema is not None and schema.is_mutable


def _quick(target: Any) -> Any:
    """The function of an overload for Python, where both mean the same."""
    if isinstance(target, OpOverload) and target.namespace == "aten":
        name = target._schema.name.removeprefix("aten::")
        if name in QUICK:
            return getattr(torch, name, None) or getattr(Tensor, name)
    return target


def _written(graph: Graph) -> dict[Node, Node]:
    """Nodes that may be written in place, and the argument whose place they take.

    The argument's memory is then its own, of the same form, and nothing reads it later.
    """
    if any(map(mutates, graph.nodes)):
        return {}
    order = {node: i for i, node in enumerate(graph.nodes)}
    owner: dict[Node, Node] = {}  # the node that made the memory
    read: dict[Node, int] = {}  # when the memory is read last
    for node in graph.nodes:
        shared = is_view(node) or node.target is getitem  # of several results, or of several views
        owner[node] = owner[node.args[0]] if shared else node
        latest = max((order[user] for user in node.users), default=order[node])
        read[owner[node]] = max(read.get(owner[node], 0), latest)
    found: dict[Node, Node] = {}
    for node in graph.nodes:
        if node.target not in IN_PLACE or node.kwargs:
            continue
        for place in node.args[: 2 if node.target in COMMUTES else 1]:
            others = [owner[a] for a in node.all_input_nodes if a is not place]
            if (
                isinstance(place, Node) and form_of(place) == form_of(node) is not None
                and _fresh(owner[place]) and owner[place] not in others
                and read[owner[place]] == order[node]
            ):  # fmt: skip
                found[node] = place
                mine, new = owner[place], owner[node]
                read[mine] = read[new]
                owner = {n: mine if o is new else o for n, o in owner.items()}
                break
    return found


def _fresh(node: Node) -> bool:
    """Whether a node's tensor has memory of its own, which nobody else has."""
    schema = getattr(node.target, "_schema", None)
    return schema is not None and all(r.alias_info is None for r in schema.returns)


def form_of(node: Node) -> tuple[Any, ...] | None:
    """Type, shape, strides and device of a traced node's tensor; None where it is none."""
    value = node.meta.get("val")
    if isinstance(value, Tensor):
        return value.dtype, value.shape, value.stride(), value.device
    return node.meta.get("form")


def keep_forms(graph: GraphModule) -> None:
    """Let the nodes of a traced graph tell their forms, and no more of the tensors there were."""
    for node in graph.graph.nodes:
        node.meta = {"form": form_of(node)}
