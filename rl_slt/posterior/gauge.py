"""The scale of hidden units, which leaves a policy as it is, fixed by balance.

A ReLU unit may be scaled in and out: incoming weights and bias times c, outgoing ones over c, and
the policy is equal. The localizer `(gamma / 2) |w - w*|^2` is not, and an estimate moves with c.
In the balanced gauge every hidden unit's incoming norm, bias included, equals its outgoing norm: of
all equal policies of this form the one with the least `|w*|^2`.

Which weights write and which read a unit is found by following each unit through the graph of the
network's tensor operations, whatever the module that made them. Operations that are homogeneous
of degree 1 (ReLU, leaky ReLU, pooling, sums, anything that moves elements) carry a unit's scale; at
all others (tanh, the input side of a normalization layer, products of activations) it stays as
it is. The gain and bias of a layer or batch normalization write units like any weight.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call
from torch.fx import GraphModule, Node

from rl_slt.data.policies import MASKED, copy_policy
from rl_slt.errors import InputError
from rl_slt.gradients.traced import TRACE_ERRORS, graph_of

Ids = NDArray[np.int64]
aten = torch.ops.aten

FIXED, LOGITS = 0, 1  # units whose scale is given: inputs and values; the action logits
ANY = -1  # of an element that is always 0: it has every scale
TOLERANCE = 1e-5  # relative change of the outputs that rounding may cause
NEWTON_STEPS, BALANCED = 100, 1e-9

# Operations that only move elements, keep some, or change their type: done to the ids themselves.
MOVES = {
    aten.view.default, aten._unsafe_view.default, aten.reshape.default, aten.permute.default,
    aten.t.default, aten.transpose.int, aten.slice.Tensor, aten.select.int, aten.expand.default,
    aten.squeeze.default, aten.squeeze.dim, aten.squeeze.dims, aten.unsqueeze.default,
    aten.flip.default, aten.as_strided.default, aten.constant_pad_nd.default,
    aten.pixel_shuffle.default, aten.pixel_unshuffle.default, aten.unfold.default,
}  # fmt: skip
# Elementwise, homogeneous of degree 1 in the first argument, which alone is an activation.
ELEMENTWISE = {
    aten.relu.default, aten.relu_.default, aten.leaky_relu.default, aten.leaky_relu_.default,
    aten.detach.default, aten.alias.default, aten.clone.default, aten._to_copy.default,
    aten.lift_fresh_copy.default, aten.contiguous.default, aten.neg.default,
}  # fmt: skip
SCALINGS = {
    aten.mul.Tensor, aten.mul.Scalar, aten.mul_.Tensor, aten.mul_.Scalar, aten.div.Tensor,
    aten.div.Scalar, aten.div_.Tensor, aten.div_.Scalar,
}  # fmt: skip
SUMS = {aten.add.Tensor, aten.add_.Tensor, aten.sub.Tensor, aten.sub_.Tensor}
POOLS = {
    aten.max_pool2d_with_indices.default, aten.max_pool2d.default, aten.avg_pool2d.default,
    aten._adaptive_avg_pool2d.default,
}  # fmt: skip


@dataclass(frozen=True)
class Activation:
    """The unit of every element of an activation, in its shape."""

    ids: Ids


@dataclass(frozen=True)
class Weight:
    """Which element of the flat parameter vector every element of a tensor is; ANY for zeros."""

    index: Ids


class Units:
    """Which unit each weight reads and which it writes, for one network.

    Attributes:
        reads: unit that each parameter element multiplies, `[P]`; FIXED for biases, ANY where the
            element was met in no operation that is understood.
        writes: unit that it adds to, `[P]`; ANY likewise.
    """

    def __init__(self, graph: GraphModule, sizes: Sequence[int], shapes: Sequence[Any]) -> None:
        self.parent = [FIXED, LOGITS]
        total = sum(sizes)
        self.reads = np.full(total, ANY)
        self.writes = np.full(total, ANY)
        index = np.split(np.arange(total), np.cumsum(sizes)[:-1])
        weights = [Weight(i.reshape(s)) for i, s in zip(index, shapes, strict=True)]
        self._follow(graph, weights)
        root = np.array([self._root(unit) for unit in range(len(self.parent))])
        self.reads, self.writes = (
            np.where(of == ANY, ANY, root[of]) for of in (self.reads, self.writes)
        )

    def _follow(self, graph: GraphModule, weights: Sequence[Weight]) -> None:
        known: dict[Node, Any] = {}
        given = iter(weights)
        for node in graph.graph.nodes:
            if node.op == "placeholder":
                frames = len(known) == len(weights)  # the states come last
                shape = tuple(node.meta["val"].shape)
                known[node] = Activation(np.full(shape, FIXED)) if frames else next(given)
            elif node.op == "call_function":
                known[node] = self._apply(node, known)
            elif node.op == "output":
                logits, *others = torch.utils._pytree.tree_leaves(list(node.args))
                self._join(self._ids(known.get(logits)), LOGITS)
                for other in others:
                    self._join(self._ids(known.get(other)), FIXED)

    def _apply(self, node: Node, known: dict[Node, Any]) -> Any:
        """The value of a node: an `Activation`, a `Weight`, or None for what has no part in it."""
        values: list[Any] = [known.get(a) if isinstance(a, Node) else a for a in node.args]
        target = node.target
        first = values[0] if values else None
        if getattr(target, "__name__", "") == "getitem":
            return first if values[1] == 0 else None
        if target is aten.convolution.default:
            return self._convolution(node, values)
        if target is aten.addmm.default:
            return self._linear(node, values[1], values[2], values[0])
        if target is aten.mm.default:
            return self._linear(node, values[0], values[1], None)
        if target is aten.native_layer_norm.default:
            return self._normalized(node, first, values[2], values[3])
        if target in (
            aten._native_batch_norm_legit_no_training.default, aten.native_batch_norm.default,
            aten.cudnn_batch_norm.default,
        ):  # fmt: skip
            return self._normalized(node, first, values[1], values[2], channels=1)
        if target is aten.cat.default:
            return self._cat(node, known)
        if target is aten.clamp_min.default and values[1] == MASKED:
            return first  # logits of masked actions stand for -inf, which has every scale
        if target in MOVES and isinstance(first, Activation | Weight):
            return self._moved(target, first, values[1:], node.kwargs)
        if target in ELEMENTWISE and isinstance(first, Activation | Weight):
            return first
        if target in POOLS and isinstance(first, Activation):
            return self._pooled(node, first)
        if target in (aten.mean.dim, aten.sum.dim_IntList) and isinstance(first, Activation):
            return self._reduced(first, values[1], len(values) > 2 and bool(values[2]))
        if target in SCALINGS and isinstance(first, Activation | Weight):
            other = values[1]
            if not isinstance(other, Activation | Weight):
                return first if _is_plain(node.args[1]) else self._unknown(node, values)
            product = target in (aten.mul.Tensor, aten.mul_.Tensor)
            if product and isinstance(first, Activation) and isinstance(other, Weight):
                return self._gain(first, other)
        if target in SUMS:
            return self._sum(node, values)
        return self._unknown(node, values)

    def _convolution(self, node: Node, values: list[Any]) -> Any:
        x, weight, bias, *_, transposed, _, groups = values
        if not (isinstance(x, Activation) and isinstance(weight, Weight)) or transposed:
            return self._unknown(node, values)
        shape = node.meta["val"].shape
        into = self._channels(x.ids, 1).reshape(groups, -1)  # [groups, in / groups]
        out = self._new(shape[1]).reshape(groups, -1)
        index = weight.index.reshape(groups, out.shape[1], into.shape[1], -1)
        self._register(index, into[:, None, :, None], out[:, :, None, None])
        units = out.reshape(-1)
        self._add_bias(bias, units)
        return Activation(_broadcast(units, shape, 1))

    def _linear(self, node: Node, a: Any, b: Any, bias: Any) -> Any:
        """`a @ b + bias`, one of them the weights."""
        if isinstance(a, Weight) and isinstance(b, Activation) and bias is None:
            turned = self._linear(node, Activation(b.ids.T), Weight(a.index.T), None)
            return Activation(turned.ids.T)
        if not (isinstance(a, Activation) and isinstance(b, Weight)):
            return self._unknown(node, [a, b, bias])
        into, out = self._channels(a.ids, 1), self._new(b.index.shape[1])
        self._register(b.index, into[:, None], out[None, :])
        self._add_bias(bias, out)
        return Activation(np.broadcast_to(out, (len(a.ids), len(out))))

    def _normalized(
        self, node: Node, x: Any, weight: Any, bias: Any, channels: int | None = None
    ) -> Any:
        """A normalization: what goes in keeps its scale, gain and bias write units of their own."""
        self._join(self._ids(x), FIXED)
        value = node.meta["val"]
        shape = (value[0] if isinstance(value, tuple | list) else value).shape
        if not isinstance(weight, Weight):
            return self._unknown(node, [weight, bias, x])
        out = self._new(weight.index.size).reshape(weight.index.shape)
        self._register(weight.index, np.asarray(FIXED), out)
        self._add_bias(bias, out)
        if channels is not None:
            return Activation(_broadcast(out, shape, channels))
        return Activation(np.broadcast_to(out, shape))

    def _cat(self, node: Node, known: dict[Node, Any]) -> Any:
        parts: list[Any] = [known.get(n) for n in node.args[0]]  # type: ignore
        dim = int(node.args[1]) if len(node.args) > 1 else 0  # type: ignore[arg-type]
        if all(isinstance(p, Activation) for p in parts):
            return Activation(np.concatenate([p.ids for p in parts], axis=dim))
        if all(isinstance(p, Weight) for p in parts):
            return Weight(np.concatenate([p.index for p in parts], axis=dim))
        return self._unknown(node, parts)

    def _moved(self, target: Any, value: Any, rest: list[Any], kwargs: dict[str, Any]) -> Any:
        held = value.ids if isinstance(value, Activation) else value.index
        if target is aten.constant_pad_nd.default:
            # What padding puts in: 0 and infinity are ANY, another number is FIXED.
            number = rest[1] if len(rest) > 1 else 0.0
            rest = [rest[0], ANY + 1 if number == 0 or math.isinf(number) else FIXED + 1]
        moved = target(torch.from_numpy(np.ascontiguousarray(held)) + 1, *rest, **kwargs) - 1
        return type(value)(moved.numpy())

    def _pooled(self, node: Node, x: Activation) -> Any:
        value = node.meta["val"]
        shape = (value[0] if isinstance(value, tuple | list) else value).shape
        return Activation(_broadcast(self._channels(x.ids, 1), shape, 1))

    def _reduced(self, x: Activation, dims: Any, keep: bool) -> Any:
        dims = tuple(d % x.ids.ndim for d in (dims if isinstance(dims, list | tuple) else [dims]))
        for dim in dims:
            self._join(x.ids, np.take(x.ids, [0], axis=dim))
        first = x.ids[tuple(slice(0, 1) if d in dims else slice(None) for d in range(x.ids.ndim))]
        return Activation(first if keep else first.squeeze(dims))

    def _gain(self, x: Activation, gain: Weight) -> Any:
        """Elementwise product with parameters: each pair of unit and parameter is a new unit."""
        into, index = np.broadcast_arrays(x.ids, gain.index)
        pairs, where = np.unique(
            np.stack([into.reshape(-1), index.reshape(-1)]), axis=1, return_inverse=True
        )
        out = self._new(pairs.shape[1])
        self._register(pairs[1], pairs[0], out)
        return Activation(out[where.reshape(-1)].reshape(into.shape))

    def _sum(self, node: Node, values: list[Any]) -> Any:
        a, b = values[:2]
        if isinstance(a, Weight) and isinstance(b, Activation):
            a, b = b, a
        if isinstance(a, Activation) and isinstance(b, Weight):
            ids, index = np.broadcast_arrays(a.ids, b.index)
            self._register(index, np.asarray(FIXED), ids)
            return Activation(ids)
        if isinstance(a, Activation) and isinstance(b, Activation):
            one, other = np.broadcast_arrays(a.ids, b.ids)
            self._join(one, other)
            return Activation(np.where(one == ANY, other, one))
        return self._unknown(node, values)

    def _unknown(self, node: Node, values: Sequence[Any]) -> Any:
        """An operation that carries no scale: everything in it keeps its own."""
        flat = torch.utils._pytree.tree_leaves(list(values))
        for v in flat:
            if isinstance(v, Activation):
                self._join(v.ids, FIXED)
            elif isinstance(v, Weight):
                self._register(v.index, np.asarray(FIXED), np.asarray(FIXED))
        if not any(isinstance(v, Activation) for v in flat):
            return None  # made of weights alone: it scales with none of them
        value = node.meta.get("val")
        value = value[0] if isinstance(value, tuple | list) else value
        return Activation(np.full(tuple(value.shape), FIXED)) if value is not None else None

    def _add_bias(self, bias: Any, units: Ids) -> None:
        if isinstance(bias, Weight):
            self._register(bias.index, np.asarray(FIXED), units)
        elif bias is not None:
            self._join(units, FIXED)

    def _register(self, index: Ids, reads: Ids, writes: Ids) -> None:
        """Note that parameters read and write these units; equal wherever one is used twice."""
        index, reads, writes = (a.reshape(-1) for a in np.broadcast_arrays(index, reads, writes))
        used = (index != ANY) & (reads != ANY)  # what multiplies a constant 0 has no part
        index, reads, writes = index[used], reads[used], writes[used]
        for of, units in ((self.reads, reads), (self.writes, writes)):
            old = of[index]
            self._join(old[old != ANY], units[old != ANY])
            of[index] = units
            self._join(of[index], units)

    def _channels(self, ids: Ids, axis: int) -> Ids:
        """The one unit of each index along an axis."""
        flat = np.moveaxis(ids, axis, 0).reshape(ids.shape[axis], -1)
        first = flat.max(axis=1)  # not ANY, where some element is not
        self._join(flat, first[:, None])
        return first

    def _new(self, count: int) -> Ids:
        start = len(self.parent)
        self.parent.extend(range(start, start + count))
        return np.arange(start, start + count)

    def _root(self, unit: int) -> int:
        while self.parent[unit] != unit:
            self.parent[unit] = self.parent[self.parent[unit]]
            unit = self.parent[unit]
        return unit

    def _join(self, a: Any, b: Any) -> None:
        """Make units one, pair by pair; the smaller number stays, so that FIXED wins."""
        one, other = np.broadcast_arrays(np.asarray(a, np.int64), np.asarray(b, np.int64))
        pairs = np.stack([one.reshape(-1), other.reshape(-1)])
        pairs = np.unique(pairs[:, (pairs[0] != pairs[1]) & (pairs.min(axis=0) != ANY)], axis=1)
        for x, y in pairs.T.tolist():
            low, high = sorted((self._root(x), self._root(y)))
            self.parent[high] = low

    @staticmethod
    def _ids(value: Any) -> Ids:
        return value.ids.reshape(-1) if isinstance(value, Activation) else np.empty(0, np.int64)


def _is_plain(argument: Any) -> bool:
    """Whether an argument is a number in the graph itself."""
    return isinstance(argument, int | float)


def _broadcast(units: Ids, shape: Sequence[int], axis: int) -> Ids:
    """Units along one axis of an array of that shape."""
    view = [1] * len(shape)
    view[axis] = len(units)
    return np.broadcast_to(units.reshape(view), tuple(shape))


class Gauge:
    """The scalings of a policy's weights that leave it equal, or scale its logits.

    Args:
        policy: in evaluation mode, from states to logits `[B, A]` or (logits, value).
        states: a few of them, `[B, ...]`; what the graph is made with.
        names: parameters whose norms are balanced (those that the loss depends on); the others
            are scaled with their units, and do not count.

    Attributes:
        hidden: how many units have a scale of their own.
    """

    def __init__(self, policy: nn.Module, states: Tensor, names: Collection[str]) -> None:
        params = dict(policy.named_parameters())
        self.names, self.sizes = list(params), [p.numel() for p in params.values()]
        units = Units(_trace(policy, states), self.sizes, [tuple(p.shape) for p in params.values()])
        self._reads, self._writes = units.reads, units.writes
        self._known = (self._reads != ANY) & (self._writes != ANY)
        counted = np.repeat([name in names for name in self.names], self.sizes)
        self._counted = self._known & counted
        ids = np.union1d(self._reads[self._known], self._writes[self._known])
        self.hidden = int((ids > LOGITS).sum())

    @property
    def scales_logits(self) -> bool:
        """Whether all logits can be multiplied by a factor through the last layer's weights."""
        return bool((self._writes == LOGITS).any())

    def balance(self, policy: nn.Module) -> nn.Module:
        """An equal policy whose hidden units are balanced; the one given is not touched."""
        weights = _flat(policy)
        logs = balanced(weights, self._reads, self._writes, self._counted)
        return self._scaled(policy, logs)

    def with_logits(self, policy: nn.Module, factor: float) -> nn.Module:
        """A policy whose logits are `factor` times as large, by the weights that write them."""
        logs = np.zeros(int(max(self._reads.max(), self._writes.max(), LOGITS)) + 1)
        logs[LOGITS] = np.log(factor)
        return self._scaled(policy, logs)

    def _scaled(self, policy: nn.Module, logs: NDArray[np.float64]) -> nn.Module:
        factor = np.ones(len(self._reads))
        known = self._known
        factor[known] = np.exp(logs[self._writes[known]] - logs[self._reads[known]])
        scaled = copy_policy(policy)
        with torch.no_grad():
            for param, part in zip(
                scaled.parameters(), np.split(factor, np.cumsum(self.sizes)[:-1]), strict=True
            ):
                value = param.double() * torch.from_numpy(part).view(param.shape).to(param.device)
                param.copy_(value)
        return scaled


def balanced(
    weights: NDArray[np.float64], reads: Ids, writes: Ids, counted: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Logarithms of the scales of all units at which incoming and outgoing norms are equal.

    They minimize `sum_p w_p^2 exp(2 (s_writes(p) - s_reads(p)))`, which is convex in s (the
    balancing of a matrix in the Frobenius norm: Osborne 1960), by Newton's method. The scales of
    FIXED and LOGITS are 1, and so are those of units that nothing counted reads or writes (dead
    ones): for them there is no balance.

    Args:
        weights: `[P]`.
        reads: unit that each reads, `[P]`.
        writes: unit that each writes, `[P]`.
        counted: which of them have a part in the norms, `[P]`.

    Returns:
        By unit, `[U]`.
    """
    size = int(max(reads.max(), writes.max(), LOGITS)) + 1
    keys, where = np.unique(reads[counted] * size + writes[counted], return_inverse=True)
    mass: NDArray[Any] = np.bincount(where, weights[counted] ** 2, len(keys))
    a, b = keys // size, keys % size
    kept = (mass > 0) & (a != b)
    mass, a, b = mass[kept], a[kept], b[kept]
    logs = np.zeros(size)
    into, out = np.bincount(b, mass, size), np.bincount(a, mass, size)
    free = np.flatnonzero((into > 0) & (out > 0) & (np.arange(size) > LOGITS))
    if not len(free):
        return logs
    place = np.full(size, -1)
    place[free] = np.arange(len(free))

    def flows(s: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(mass * np.exp(2 * (s[b] - s[a])))

    flow = flows(logs)
    for _ in range(NEWTON_STEPS):
        into, out = np.bincount(b, flow, size)[free], np.bincount(a, flow, size)[free]
        if (np.abs(into - out) <= BALANCED * (into + out)).all():
            break
        hessian = np.zeros((len(free), len(free)))
        both = (place[a] >= 0) & (place[b] >= 0)
        np.add.at(hessian, (place[a][both], place[b][both]), -flow[both])
        hessian += hessian.T
        hessian[np.diag_indices(len(free))] += into + out
        step = np.zeros(size)
        step[free] = -np.linalg.solve(2 * hessian, into - out)
        step *= min(1.0, 1.0 / np.abs(step).max())  # no unit by more than e at once
        while (flows(logs + step)).sum() > flow.sum() * (1 + 1e-12):
            step /= 2
        logs, flow = logs + step, flows(logs + step)
    return logs


def _flat(policy: nn.Module) -> NDArray[np.float64]:
    parts = [p.detach().double().reshape(-1).cpu().numpy() for p in policy.parameters()]
    return np.concatenate(parts)


def _trace(policy: nn.Module, states: Tensor) -> GraphModule:
    params = {name: p.detach() for name, p in policy.named_parameters()}

    def forward(*tensors: Tensor) -> Any:
        *values, states = tensors
        return functional_call(policy, dict(zip(params, values, strict=True)), (states,))

    with torch.no_grad():
        return graph_of(forward, *params.values(), states)


def same_policy(a: nn.Module, b: nn.Module, states: Tensor) -> bool:
    """Whether two policies give the same outputs on states `[B, ...]`, to rounding."""
    with torch.no_grad():
        one, other = (torch.utils._pytree.tree_leaves(m(states)) for m in (a, b))
    return all(
        torch.allclose(x, y, TOLERANCE, TOLERANCE * (1 + _largest(x)), equal_nan=True)
        for x, y in zip(one, other, strict=True)
    )


def _largest(x: Tensor) -> float:
    """The largest absolute value that stands for a number, and not for a masked action."""
    return float(x.where(x > MASKED / 2, 0).nan_to_num(0, 0, 0).abs().max())


def in_gauge(
    policy: nn.Module, states: Tensor, names: Collection[str], gauge: str
) -> nn.Module | None:
    """The equal policy in the gauge asked for; None where the one given stays.

    Args:
        policy: left as it is.
        states: a few, `[B, ...]`.
        names: parameters that the loss depends on.
        gauge: `none`; `balanced`; or `auto`, balanced where hidden units can be scaled.

    Raises:
        InputError: `balanced` is asked for, and no unit of the policy can be scaled.
    """
    if gauge == "none":
        return None
    module, why = copy_policy(policy).eval(), "has no hidden units whose scale is free"
    try:
        found = Gauge(module, states, names)
        result = found.balance(module) if found.hidden else None
        if result is not None and not same_policy(module, result, states):
            result, why = None, "changes when its units are scaled"
    except torch.OutOfMemoryError:
        raise
    except TRACE_ERRORS as error:
        text = str(error).partition("\n")[0]
        result, why = None, f"cannot be traced ({type(error).__name__}: {text})"
    if result is None and gauge == "balanced":
        raise InputError.of("gauge", gauge, "auto or none", f"this policy {why}")
    return result
