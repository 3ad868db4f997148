"""What a traced gradient makes of the data alone, without weights, apart from the rest.

Every draw would make it again: frames scaled, cut into patches and stored anew, a reference's
probabilities, all layers below the free ones. Compilers call it loop-invariant code motion.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from operator import mul
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Node
from torch.fx.node import map_arg

from rl_slt.data.policy_data import PolicyData
from rl_slt.gradients.lowered import is_view, keep_forms, lowered, mutates

# Bytes kept of a sample, at most: so many times its fields', and as much as is never worth saving.
MOST_TIMES, SMALL_BYTES = 2, 4096
MOST_BYTES = 1 << 28  # kept of all samples


class Layout(NamedTuple):
    """How a tensor of some samples lies in memory, sample after sample."""

    shape: tuple[int, ...]  # in the order of memory
    order: tuple[int, ...]  # of its dimensions that gives that shape

    def rows(self, value: Tensor, samples: int) -> Tensor:
        """A value as rows, one of each sample."""
        return value.permute(self.order).reshape(samples, -1)

    def value(self, rows: Tensor, where: Tensor) -> Tensor:
        """The value of such rows at `where` `[M]`, as it would lie in memory."""
        every, value = range(len(self.order)), rows.index_select(0, where).view(self.shape)
        back = sorted(every, key=self.order.__getitem__)
        return value if back == [*every] else value.permute(back)


class Hoisted(NamedTuple):
    """A traced function of weights, frozen tensors and fields of the data, in two parts.

    Attributes:
        prepare: what depends on weights and on counts in nothing, of the same arguments; None
            where there is nothing to keep.
        finish: the function, of the same arguments and of what `prepare` gave.
        graph: of `finish`.
        layouts: of what `prepare` gives.
        reads: fields that the function looks at.
        late: those of them that `finish` looks at.
    """

    prepare: Callable[..., Sequence[Tensor]] | None
    finish: Callable[..., tuple[Tensor, Tensor]]
    graph: GraphModule
    layouts: tuple[Layout, ...]
    reads: frozenset[str]
    late: frozenset[str]


def hoist(graph: GraphModule, given: Sequence[str | None], own: set[str], samples: int) -> Hoisted:
    """Divide a traced function, whose nodes still tell their values.

    A tensor too large to keep is made in `finish`, of smaller ones that come before it; so are
    views, which cost nothing.

    Args:
        graph: takes the weights first.
        given: names of its other arguments; None is a frozen tensor.
        own: the names that are fields of the data.
        samples: in the batch that it was traced with.
    """
    nodes = list(graph.graph.nodes)
    weights, *others = (node for node in nodes if node.op == "placeholder")
    fields = {node: n for node, n in zip(others, given, strict=True) if n is not None}
    late = {weights} | {node for node, name in fields.items() if name not in own}
    of_data = set(fields) - late
    for node in nodes:
        if node.op == "output" or late.intersection(node.all_input_nodes):
            late.add(node)
        elif of_data.intersection(node.all_input_nodes):
            of_data.add(node)
    early = {node for node in of_data if node.op == "call_function"}
    if any(mutates(node) and node.args[0] in of_data for node in late):
        early.clear()
    reads = frozenset(name for node, name in fields.items() if name in own and node.users)
    own_bytes = sum(_bytes(node) for node, name in fields.items() if name in reads)
    edges = _edges(nodes, early, MOST_TIMES * own_bytes + SMALL_BYTES * samples, samples)
    layouts = tuple(_layout(node) for node in edges)
    prepare = _upto(graph, edges) if edges else None
    for node in edges:
        with graph.graph.inserting_after(others[-1]):
            others.append(graph.graph.placeholder(f"kept_{len(others)}"))
        node.replace_all_uses_with(others[-1])
    graph.graph.eliminate_dead_code()
    graph.recompile()
    still = frozenset(name for node, name in fields.items() if name in reads and node.users)
    first = _plain(prepare) if prepare else None
    return Hoisted(first, _plain(graph), graph, layouts, reads, still)


def folded(
    graph: GraphModule, given: Sequence[Tensor | None]
) -> tuple[Callable[..., tuple[Tensor, Tensor]], list[Tensor | None]]:
    """A graph for arguments that stay but for the first: what follows from them is computed once.

    Args:
        graph: takes the weights first.
        given: its other arguments, None where it does not look at one.

    Returns:
        The function of weights and kept tensors, and these; the graph and what was given where all
        kept would be too large, or where the graph writes into a tensor or draws numbers.
    """
    weights, *others = (node for node in graph.graph.nodes if node.op == "placeholder")
    known: dict[Node, Any] = dict(zip(others, given, strict=True))
    part, copies, kept = Graph(), dict[Node, Node](), dict[Node, Node]()
    copies[weights] = part.node_copy(weights)
    inputs = part.placeholder("kept_0")  # before which others come
    for node in graph.graph.nodes:
        if node in known or node is weights:
            continue
        if mutates(node) or _draws(node):
            return _plain(graph), [*given]
        if node.op == "call_function" and known.keys() >= {*node.all_input_nodes}:
            args, options = map_arg((node.args, node.kwargs), known.__getitem__)
            known[node] = node.target(*args, **options)
            continue
        for source in node.all_input_nodes:
            if source in known and source not in kept:
                with part.inserting_before(inputs):
                    kept[source] = copies[source] = part.placeholder(f"kept_{len(kept) + 1}")
        copies[node] = part.node_copy(node, copies.__getitem__)
    part.erase_node(inputs)
    tensors = [known[node] for node in kept]
    old = {x.untyped_storage().data_ptr(): x.nbytes for x in given if x is not None}
    new = sum(x.nbytes for x in tensors if x.untyped_storage().data_ptr() not in old)
    if new > MOST_TIMES * sum(old.values()) + SMALL_BYTES:
        return _plain(graph), [*given]
    return _plain(GraphModule(graph, part)), tensors


def _edges(nodes: list[Node], early: set[Node], most: int, samples: int) -> list[Node]:
    """Early nodes that others need, together of at most so many bytes. `early` is narrowed."""
    while True:
        edges: list[Node] = []
        for node in reversed(nodes):
            if node in early and not early.issuperset(node.users):
                if is_view(node) or not _by_sample(node, samples):
                    early.remove(node)
                else:
                    edges.append(node)
        if sum(map(_bytes, edges)) <= most:
            return edges[::-1]
        early.remove(max(edges, key=_bytes))


def _upto(graph: GraphModule, edges: list[Node]) -> GraphModule:
    """The part of a graph that gives these nodes."""
    needed = set(edges)
    for node in reversed(graph.graph.nodes):
        if node in needed:
            needed.update(node.all_input_nodes)
    part, copies = Graph(), dict[Node, Node]()
    for node in graph.graph.nodes:
        if node in needed or node.op == "placeholder":
            copies[node] = part.node_copy(node, copies.__getitem__)
    part.output(tuple(copies[node] for node in edges))
    return GraphModule(graph, part)


def _plain(graph: GraphModule) -> Callable[..., Any]:
    """A graph as a function without gradients, and without the tensors it was traced with."""
    keep_forms(graph)
    forward: Callable[..., Any] = torch.no_grad()(lowered(graph).forward)
    return forward


def _draws(node: Node) -> bool:
    return torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())


def _bytes(node: Node) -> int:
    value = node.meta["val"]
    return value.numel() * value.element_size()


def _layout(node: Node) -> Layout:
    value = node.meta["val"]
    order = sorted(range(value.ndim), key=lambda i: (-value.stride(i), i))
    return Layout(tuple(value.shape[i] for i in order), tuple(order))


def _by_sample(node: Node, samples: int) -> bool:
    """Whether a node's tensor may be one of rows, each of a sample, without gaps in memory."""
    value = node.meta.get("val")
    if not isinstance(value, Tensor):
        return False
    shape, order = _layout(node)
    rising = list(accumulate(reversed(shape), mul, initial=1))
    whole = all(
        n == 1 or value.stride(i) == step
        for i, n, step in zip(order, shape, rising[-2::-1], strict=True)
    )
    return whole and samples in accumulate(shape, mul)


Ask = Callable[[Tensor], Sequence[Tensor]]
"""Samples to what a graph prepares of them."""


class Kept:
    """What graphs of one policy prepare of each sample of some data, made once.

    Args:
        data: the samples.

    Attributes:
        fields: of the data.
    """

    def __init__(self, data: PolicyData) -> None:
        self.fields = data.tensors()
        self._size, self._device = len(data), data.states.device
        # `[N, *]` each, by their place in what a graph prepares and the length of that
        self._rows: dict[tuple[int, int], list[Tensor]] = {}
        self._of: dict[Any, list[Tensor] | None] = {}  # those of each graph

    def take(self, name: str, where: Tensor) -> Tensor:
        """A field of the samples `where` `[...]`, `[..., *]`."""
        return _at(self.fields[name], where)

    def prepared(
        self, key: Any, graph: Hoisted, given: Sequence[Tensor | str | None], where: Tensor
    ) -> list[Tensor] | None:
        """What `graph.prepare` gives of the samples `where`; None where it must be asked itself.

        A network may mix the samples of a batch, or take another path in a batch of other size,
        and a mean's weights are of that size. So each graph is asked once, and what was kept
        serves it only if that is the same.

        Args:
            key: of the graph.
            graph: prepares something or not.
            given: its arguments but the weights; a text is a field.
            where: as the graph's batches are.
        """
        if graph.prepare is None:
            return []

        def ask(rows: Tensor) -> Sequence[Tensor]:
            tensors = (self.take(x, rows) if isinstance(x, str) else x for x in given)
            return graph.prepare(None, *tensors)  # type: ignore[misc]

        if key not in self._of:
            self._of[key] = self._rows_of(graph, ask, where)
        kept, where = self._of[key], where.reshape(-1)
        if kept is None:
            return None
        each = zip(graph.layouts, kept, strict=True)
        return [layout.value(rows, where) for layout, rows in each]

    def _rows_of(self, graph: Hoisted, ask: Ask, where: Tensor) -> list[Tensor] | None:
        """What is kept of all samples for a graph, made where that of no other graph serves it."""
        wanted = ask(where)
        places = [(k, len(wanted)) for k in range(len(wanted))]

        def right(k: int, rows: Tensor) -> bool:
            return _gives(graph.layouts[k], wanted[k], where, rows)

        found: list[Tensor | None] = [None] * len(wanted)
        for k, place in enumerate(places):
            if wanted[k].any():  # zeros tell nothing of other samples
                found[k] = next((r for r in self._rows.get(place, ()) if right(k, r)), None)
        lacking = [k for k, rows in enumerate(found) if rows is None]
        made = self._make(graph, ask, where.shape, lacking) if lacking else []
        if len(made) < len(lacking) or not all(map(right, lacking, made)):
            return None
        for k, rows in zip(lacking, made, strict=True):
            self._rows.setdefault(places[k], []).append(rows)
            found[k] = rows
        return [rows for rows in found if rows is not None]

    def _make(self, graph: Hoisted, ask: Ask, shape: torch.Size, which: list[int]) -> list[Tensor]:
        """Rows of all samples, in other company than that of any batch; none if that is too much.

        Args:
            graph: that prepares them.
            ask: gives what it prepares of samples.
            shape: of the samples that it takes.
            which: of the tensors that it prepares.
        """
        size = shape.numel()
        order = torch.randperm(self._size, generator=torch.Generator().manual_seed(0))
        order = order.repeat(-(-size // self._size)).to(self._device)
        most = MOST_BYTES - sum(rows.nbytes for each in self._rows.values() for rows in each)
        made: list[Tensor] = []
        for end in range(size, self._size + size, size):
            mine = order[min(end, len(order)) - size :][:size]
            values = ask(mine.view(shape))
            parts = [graph.layouts[k].rows(values[k], size) for k in which]
            if not made:
                if sum(part.nbytes for part in parts) / size * self._size > most:
                    break
                made = [part.new_empty(self._size, part.shape[1]) for part in parts]
            for kept, part in zip(made, parts, strict=True):
                kept[mine] = part
        return made


def _gives(layout: Layout, wanted: Tensor, where: Tensor, rows: Tensor) -> bool:
    """Whether kept rows give what a graph wants of the samples `where`."""
    index = where.reshape(-1)
    if rows.dtype != wanted.dtype or rows.shape[1] * len(index) != wanted.numel():
        return False
    value = layout.value(rows, index)
    size = float(wanted.double().nan_to_num(0, 0, 0).abs().max()) if wanted.numel() else 0.0
    return torch.allclose(value, wanted, rtol=1e-4, atol=1e-5 * size, equal_nan=True)


def _at(rows: Tensor, where: Tensor) -> Tensor:
    """Rows at `where` of any shape."""
    found = rows.index_select(0, where.reshape(-1))
    return found.view(*where.shape, *rows.shape[1:])
