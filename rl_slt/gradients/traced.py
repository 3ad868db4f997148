"""Losses and gradients as traced graphs of tensor operations."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch._guards import TracingContext, tracing
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import grad_and_value, vmap
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx

from rl_slt.data.policy_data import PolicyData
from rl_slt.gradients.flat import FlatPolicy
from rl_slt.gradients.hoisted import Hoisted, Kept, folded, hoist
from rl_slt.gradients.lowered import form_of
from rl_slt.gradients.patches import patches_as_rows
from rl_slt.gradients.precision import in_bfloat16
from rl_slt.losses.base import Loss

Fields = dict[str, Tensor]
aten = torch.ops.aten
# What gives its first argument back where the form stays.
FORMS = {
    aten.view.default, aten._unsafe_view.default, aten.expand.default, aten.detach.default,
    aten.alias.default,
}  # fmt: skip
COUNTS = "counts"  # not a field of the data
ROUGHLY = 0.1  # relative difference of gradients in bfloat16 that is put down to rounding
TRACE_ERRORS = (RuntimeError, TypeError, ValueError, NotImplementedError, AttributeError)


class TracedGradient:
    """Mean loss and its gradient, of all chains at once or of one.

    The gradient is traced once per shape into a plain graph of tensor operations, all chains'
    together into batched matrix products, and without needless steps and copies. A traced graph
    fixes Python control flow, so it is used only after it agreed with the plain path on other
    weights and another batch.

    Graphs read every tensor of the policy as an input. Those of one policy serve another of the
    same modules and settings (`structure_of`), as the next checkpoint of a run, once they agreed
    with its plain path, too.

    What they make of the data alone is made once of each sample (`of_rows`).

    Args:
        flat: the policy.
        loss: of it.
        data: that rows are of; None where whole batches are given.
        anew: whether graphs made of another policy are left alone.

    Attributes:
        reads: fields of the batch that the graphs traced so far look at.
        rounded: whether convolutions are made in bfloat16.
    """

    def __init__(
        self, flat: FlatPolicy, loss: Loss, data: PolicyData | None = None, anew: bool = False
    ) -> None:
        self.flat, self.loss = flat, loss
        structure = None if anew else structure_of(flat, loss)
        self._graphs: dict[Any, Hoisted] = {} if structure is None else _graphs_of(structure)
        self._kept = None if data is None else Kept(data)
        # of all data: a graph without what follows from them alone, and what it reads
        self._whole: dict[Any, tuple[Callable[..., tuple[Tensor, Tensor]], Sequence[Any]]] = {}
        self.reads: frozenset[str] = frozenset()
        self.rounded = False

    def __call__(
        self, w: Tensor, batch: Fields, shared: bool = False, weights: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Losses and gradients of C chains at `w` `[C, d]`, or of one at `[d]`.

        Args:
            w: positions.
            batch: fields `[C, B, ...]`, or `[B, ...]` for one chain or when all share them.
            shared: whether C chains share the batch.
            weights: what each sample of a shared batch counts for `[B]`; None is `1 / B`.
        """
        if weights is not None:
            batch = batch | {COUNTS: weights}
        forms = {name: (t.shape, t.dtype) for name, t in batch.items()}
        graph = self._graph(self._key(w, forms, shared), w, lambda: batch, shared)
        fixed, tensors = self.flat.fixed.values(), batch.values()
        kept = graph.prepare(None, *fixed, *tensors) if graph.prepare else ()
        grads, values = graph.finish(w, *fixed, *tensors, *kept)
        return values, grads

    def of_rows(
        self,
        w: Tensor,
        where: Tensor,
        shared: bool = False,
        weights: Tensor | None = None,
        whole: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """The same of samples of the data, of which only what is not known yet is computed.

        Args:
            w: positions `[C, d]` or `[d]`.
            where: the samples, `[C, B]`, or `[B]` for one chain or when all share them.
            shared: whether C chains share the batch.
            weights: as above.
            whole: whether these are all samples, the same at every call: nothing is gathered twice.
        """
        kept = self._kept
        assert kept is not None
        forms = {n: ((*where.shape, *t.shape[1:]), t.dtype) for n, t in kept.fields.items()}
        if weights is not None:
            forms[COUNTS] = (weights.shape, weights.dtype)
        key = self._key(w, forms, shared)

        def batch() -> Fields:
            fields = {name: kept.take(name, where) for name in kept.fields}
            return fields if weights is None else fields | {COUNTS: weights}

        if whole and key in self._whole:
            finish, tensors = self._whole[key]
            grads, values = finish(w, *tensors)
            return values, grads
        graph = self._graph(key, w, batch, shared)
        fixed = self.flat.fixed.values()
        given = [*fixed, *kept.fields, *(() if weights is None else (weights,))]
        made = kept.prepared(key, graph, given, where)
        if made is None:
            return self(w, batch(), shared)
        fields = [kept.take(n, where) if n in graph.late else None for n in kept.fields]
        tensors = [*fixed, *fields, *(() if weights is None else (weights,)), *made]
        if whole:
            self._whole[key] = folded(graph.graph, tensors)
        grads, values = graph.finish(w, *tensors)
        return values, grads

    def _key(self, w: Tensor, forms: dict[str, Any], shared: bool) -> Any:
        return self.rounded, shared, w.shape, tuple(forms.items())

    def _graph(self, key: Any, w: Tensor, batch: Callable[[], Fields], shared: bool) -> Hoisted:
        """The graph of such weights and batches, traced with these where there is none."""
        if key not in self._graphs:
            self._graphs[key] = self._trace(w, batch(), shared)
        self.reads |= self._graphs[key].reads
        return self._graphs[key]

    def agrees(self, w: Tensor, batch: Fields, together: bool) -> bool:
        """Whether the graph can be made and gives the plain path's answer at `w` and elsewhere.

        Args:
            w: `[C, d]`, different chains.
            batch: fields `[C, B, ...]`.
            together: whether all chains are traced at once.
        """
        try:
            self._all(w, batch, together)
            w, batch = w.flip(0), {k: v.flip(1) for k, v in batch.items()}
            losses, grads = self._all(w, batch, together)
            if together and w.device.type != "cpu":  # whether a batch can be shared there, too
                self(w, {k: v[0] for k, v in batch.items()}, shared=True)
        except torch.OutOfMemoryError:
            raise
        except TRACE_ERRORS:
            return False
        plain = torch.empty_like(grads)
        for c in range(len(w)):
            fields = PolicyData.trusted({k: v[c] for k, v in batch.items()})
            value = self.flat.value_and_grad(self.loss, fields, w[c], plain[c])
            if not torch.allclose(value, losses[c], rtol=1e-3, atol=1e-5):
                return False
        return torch.allclose(plain, grads, rtol=1e-2, atol=1e-4 * float(1 + plain.abs().max()))

    def round(self, w: Tensor, batch: Fields) -> None:
        """Go over to bfloat16 where it gives about the same gradients at `w` `[C, d]`."""
        _, exact = self._all(w, batch, False)
        self.rounded = True
        try:
            _, grads = self._all(w, batch, False)
            self.rounded = bool((grads - exact).norm() < ROUGHLY * exact.norm())
        except TRACE_ERRORS:
            self.rounded = False

    def _all(self, w: Tensor, batch: Fields, together: bool) -> tuple[Tensor, Tensor]:
        if together:
            return self(w, batch)
        parts = [self(w[c], {k: v[c] for k, v in batch.items()}) for c in range(len(w))]
        losses, grads = zip(*parts, strict=True)
        return torch.stack(losses), torch.stack(grads)

    def _trace(self, w: Tensor, batch: Fields, shared: bool) -> Hoisted:
        names, fixed = tuple(batch), self.flat.fixed

        def one(w: Tensor, *tensors: Tensor) -> Tensor:
            others = dict(zip(fixed, tensors, strict=False))
            fields = dict(zip(names, tensors[len(fixed) :], strict=True))
            weights = fields.pop(COUNTS, None)
            policy = self.flat.as_function(w, others)
            policy = in_bfloat16(policy) if self.rounded else policy
            with nullcontext() if self.rounded else patches_as_rows():
                losses = self.loss.weighted(policy, PolicyData.trusted(fields))
            return losses.mean() if weights is None else (losses * weights).sum()

        function = grad_and_value(one)
        if w.ndim == 2:
            over = [None] * len(fixed) + [None if shared else 0] * len(names)
            function = vmap(function, in_dims=(0, *over))
        graph = drop_idle(graph_of(function, w, *fixed.values(), *batch.values()))
        given: list[str | None] = [*([None] * len(fixed)), *names]
        samples = batch["states"].shape[: 1 if shared or w.ndim == 1 else 2].numel()
        return hoist(graph, given, set(names) - {COUNTS}, samples)


def graph_of(function: Callable[..., Any], *args: Tensor) -> GraphModule:
    """The operations of a function of tensors, as a graph of those alone."""
    # One fake mode for all operations: otherwise each makes its own, half of the time.
    one_mode = tracing(TracingContext(FakeTensorMode(allow_fallback_kernels=True)))
    with warnings.catch_warnings(), one_mode:
        warnings.simplefilter("ignore")  # torch.fx warns of its own internals
        return make_fx(function)(*args)


_GRAPHS: OrderedDict[Any, dict[Any, Hoisted]] = OrderedDict()
MOST_STRUCTURES = 8  # whose graphs are kept


def _graphs_of(structure: Any) -> dict[Any, Hoisted]:
    """The graphs made so far of policies and losses of one structure, by shapes."""
    graphs = _GRAPHS.setdefault(structure, {})
    _GRAPHS.move_to_end(structure)
    while len(_GRAPHS) > MOST_STRUCTURES:
        _GRAPHS.popitem(last=False)
    return graphs


def structure_of(flat: FlatPolicy, loss: Loss) -> Any:
    """What graphs of a policy and a loss depend on besides tensors; None where that is not known.

    Modules with their types, settings and hooks, free parameters, and the loss with its settings.
    What is neither a number, a text, an array nor a list of such counts by its identity.
    """
    weights = flat.w_star
    parts = [_settings_of(loss), weights.dtype, weights.device, tuple(flat.names)]
    parts.append(tuple((n, t.shape, t.dtype) for n, t in flat.fixed.items()))
    for name, module in flat.module.named_modules():
        hooks = (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
        parts.append((name, _settings_of(module), hooks))
    try:
        hash(found := tuple(parts))
    except TypeError:
        return None
    return found


def _settings_of(owner: object) -> tuple[Any, ...]:
    """The type of an object and its attributes, but those that every module of torch has."""
    if not hasattr(owner, "__dict__"):  # but slots: by itself
        return (owner,)
    given = sorted(vars(owner).items())
    return type(owner), *((k, _setting(v)) for k, v in given if k not in vars(_BARE))


def _setting(value: object) -> object:
    """A setting as what can be compared."""
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype.str, value.tobytes()
    return tuple(map(_setting, value)) if isinstance(value, list | tuple) else value


_BARE = nn.Module()


def drop_idle(graph: GraphModule) -> GraphModule:
    """Leave out steps that change nothing, half of what is traced of batched chains.

    In a small network each costs about as much as a step that computes.
    """
    for node in list(graph.graph.nodes):
        source = _same_as(node)
        if node.target is aten.ones_like.default and (form := form_of(node)) is not None:
            with graph.graph.inserting_before(node):  # of no tensor, whose value has no part
                options = {"dtype": form[0], "device": node.meta["val"].device}
                source = graph.graph.call_function(aten.ones.default, (list(form[1]),), options)
            source.meta = dict(node.meta)
        if source is not None:
            node.replace_all_uses_with(source)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


def _same_as(node: Node) -> Node | None:
    """The node whose very value this one has, if there is one."""
    source = node.args[0] if node.args else None
    if not isinstance(source, Node):
        return None
    by_one = node.target in (aten.mul.Scalar, aten.mul.Tensor) and node.args[1:] in ((1,), (1.0,))
    if node.target in FORMS or by_one:
        old, new = form_of(source), form_of(node)
        if old is None or new is None or old[0] != new[0]:
            return None
        return source if old == new or (by_one and all(map(_adds_row, node.users))) else None
    if node.target is aten.transpose.int and source.target is node.target:
        first = source.args[0]
        return first if source.args[1:] == node.args[1:] and isinstance(first, Node) else None
    return None


def _adds_row(node: Node) -> bool:
    """Whether a node is a row `[C, d]` of each chain, to be added to all rows of its `[C, B, d]`.

    Of a bias, which layers multiply by 1: that it lies among all weights then does not matter.
    """
    source, sums = node.all_input_nodes[0], {user.target for user in node.users}
    if node.target is not aten.view.default or sums != {aten.add.Tensor}:
        return False
    shape: list[Any] = [*source.meta["val"].shape]
    return len(shape) == 2 and node.args[1] == [shape[0], 1, shape[1]]


def has_conv(module: nn.Module) -> bool:
    """Whether weights are used at many places."""
    return any(isinstance(m, nn.modules.conv._ConvNd) for m in module.modules())
