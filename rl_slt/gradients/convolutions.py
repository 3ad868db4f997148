"""Rewriting the convolutions of a traced graph; same results to rounding.

Like `graph_passes`, for what convolutional policies on frames have: a scale of bytes, strides,
pixels that no kernel reaches, gradients that come in another layout.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Node

from rl_slt.gradients.graph_passes import form

aten = torch.ops.aten

CONV, CONV_BACK = aten.convolution.default, aten.convolution_backward.default
# What leaves each pixel where it is and reads no other.
PIXELWISE = {
    aten._to_copy.default, aten.div.Tensor, aten.mul.Tensor, aten.sub.Tensor, aten.add.Tensor,
    aten.relu.default, aten.tanh.default, aten.sigmoid.default, aten.detach.default,
}  # fmt: skip
BACKWARD = {
    CONV_BACK, aten.threshold_backward.default, aten.tanh_backward.default,
    aten.sigmoid_backward.default,
}  # fmt: skip
TO_CHANNELS_FIRST = [0, 3, 1, 2]


def seen_pixels(graph: GraphModule, states: int) -> tuple[slice, ...] | None:
    """The part of the frames that the first two convolutions look at, as an index into a batch.

    Where strides do not divide, the second leaves out the last rows of the first, and so does all
    that follows: of frames 64 x 64 the usual kernels (8, stride 4, then 4, stride 2) see 60 x 60.

    Args:
        graph: traced for one chain.
        states: which of its inputs are the frames.

    Returns:
        Slices of the frames' dimensions; None where all is seen or the graph is another one.
    """
    node = [n for n in graph.graph.nodes if n.op == "placeholder"][states]
    first, moved = _convolution_after(node)
    second, moved_again = _convolution_after(first) if first is not None else (None, False)
    if first is None or second is None or moved_again:
        return None
    needed = list(second.meta["val"].shape[2:])
    for conv in (second, first):
        kernel, strides = conv.args[1].meta["val"].shape[2:], conv.args[3]  # type: ignore[union-attr]
        needed = [(n - 1) * s + k for n, k, s in zip(needed, kernel, strides, strict=True)]  # type: ignore[arg-type]
    if needed == list(first.args[0].meta["val"].shape[2:]):  # type: ignore[union-attr]
        return None
    rows, columns = (slice(0, n) for n in needed)
    whole = slice(None)
    return (whole, rows, columns, whole) if moved else (whole, whole, rows, columns)


def _convolution_after(node: Node) -> tuple[Node | None, bool]:
    """The convolution that alone reads a node, pixel by pixel, and whether channels were moved."""
    moved = False
    while True:
        readers = [user for user in node.users if user.target not in BACKWARD]
        if len(readers) != 1:
            return None, moved
        (reader,) = readers
        if reader.target is CONV:
            fine = reader.args[0] is node and _is_plain(reader)
            return (reader if fine else None), moved
        if reader.target is aten.permute.default and reader.args[1] == TO_CHANNELS_FIRST:
            moved = True
        elif reader.target not in PIXELWISE or len(reader.all_input_nodes) != 1:
            return None, moved
        node = reader


def _is_plain(conv: Node) -> bool:
    """Two dimensions, no padding, no dilation, one group."""
    x, _, _, stride, *others = conv.args
    plain = others == [[0, 0], [1, 1], False, [0, 0], 1]
    return plain and len(stride) == 2 and x.meta["val"].ndim == 4  # type: ignore[arg-type, union-attr]


def fold_strides(graph: GraphModule) -> GraphModule:
    """Let strided convolutions read the pixels of one stride as channels of one.

    In channels_last, S neighbours of C channels are one pixel of S C channels with no byte moved,
    and a kernel M strides wide is M pixels wide with stride 1: the gradient of the input then takes
    two thirds of the time.
    """
    for node in list(graph.graph.nodes):
        if node.target is CONV and _folds(node, node.args[0], node.args[1], node.args[3]):
            node.target, node.args = folded, (*node.args[:3], list(node.args[3]))
        elif node.target is CONV_BACK:
            grad, x, weight, bias, stride, *others, wanted = node.args
            if others == [[0, 0], [1, 1], False, [0, 0], 1] and _folds(node, x, weight, stride):
                node.target = folded_backward
                node.args = (grad, x, weight, list(bias), list(stride), list(wanted))
    graph.recompile()
    return graph


def _folds(node: Node, x: Any, weight: Any, stride: Any) -> bool:
    if len(stride) != 2 or stride[1] == 1 or (node.target is CONV and not _is_plain(node)):
        return False
    (_, channels, _, columns), size = x.meta["val"].shape, weight.meta["val"].shape[3]
    _, to_channel, _, to_column = x.meta["val"].stride()
    dense = to_channel == 1 and to_column == channels
    return dense and size % stride[1] == 0 and columns % stride[1] == 0


def folded(x: Tensor, weight: Tensor, bias: Tensor | None, stride: list[int]) -> Tensor:
    """The convolution of `x` `[B, C, H, W]`, W a whole number of strides."""
    pixels, kernel = _folded(x, weight, stride[1])
    return aten.convolution.default(
        pixels, kernel, bias, [stride[0], 1], [0, 0], [1, 1], False, [0, 0], 1
    )


def folded_backward(
    grad: Tensor, x: Tensor, weight: Tensor, bias: list[int], stride: list[int], wanted: list[bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of input, weight and bias of `folded`, where wanted."""
    pixels, kernel = _folded(x, weight, stride[1])
    of_x, of_weight, of_bias = aten.convolution_backward.default(
        grad, pixels, kernel, bias, [stride[0], 1], [0, 0], [1, 1], False, [0, 0], 1, wanted
    )
    if of_x is not None:
        rows = of_x.permute(0, 2, 3, 1).contiguous()
        of_x = rows.unflatten(3, (stride[1], -1)).flatten(2, 3).permute(0, 3, 1, 2)
    if of_weight is not None:
        phases = of_weight.unflatten(1, (stride[1], -1))
        of_weight = phases.permute(0, 2, 3, 4, 1).flatten(3)
    return of_x, of_weight, of_bias


def _folded(x: Tensor, weight: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    pixels = x.permute(0, 2, 3, 1).unflatten(2, (-1, stride)).flatten(3).permute(0, 3, 1, 2)
    kernel = weight.unflatten(3, (-1, stride)).permute(0, 4, 1, 2, 3).flatten(1, 2)
    return pixels, kernel.contiguous(memory_format=torch.channels_last)


def match_layout(graph: GraphModule) -> GraphModule:
    """Copy the gradients of ReLUs into the ReLUs' layout first: read across, they take longer."""
    for node in list(graph.graph.nodes):
        if node.target is not aten.threshold_backward.default:
            continue
        grad, result = node.args[:2]
        known = form(result)
        if known is None or form(grad) is None or form(grad)[2] == known[2]:  # type: ignore[index]
            continue
        if result.meta["val"].is_contiguous(memory_format=torch.channels_last):
            with graph.graph.inserting_before(node):
                copy = graph.graph.call_function(
                    aten.clone.default, (grad,), {"memory_format": torch.channels_last}
                )
            copy.meta["val"] = result.meta["val"]
            node.update_arg(0, copy)
    graph.recompile()
    return graph


def fold_scale(graph: GraphModule) -> GraphModule:
    """Divide a convolution's weights instead of its input, where that has fewer numbers.

    `conv(x / s, w) = conv(x, w / s)`, and the gradient in w is `conv_grad(x) / s`: frames of 12,288
    numbers each need not be read and written again for their scale. Where they are rounded to
    bfloat16 after it, bytes then become bfloat16 at once, and exactly.
    """
    for node in list(graph.graph.nodes):
        if node.target is aten.div.Tensor and isinstance(node.args[1], int | float):
            cast = _only_cast(node)
            read = node if cast is None else cast
            readers = list(read.users)
            if all(_reads_as_input(user, read) for user in readers):
                source = node.args[0] if cast is None else cast
                for user in readers:
                    _scale_weights(graph.graph, user, source, node.args[1])
                if cast is not None:
                    cast.update_arg(0, _whole_numbers(node.args[0]))
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


def _only_cast(node: Node) -> Node | None:
    """The step that alone reads a node and rounds it."""
    (reader,) = node.users if len(node.users) == 1 else (None,)
    return reader if reader is not None and reader.target is aten._to_copy.default else None


def _whole_numbers(node: Any) -> Any:
    """The bytes that a node has made floats, else the node."""
    if node.target is not aten._to_copy.default:
        return node
    return node.args[0] if node.args[0].meta["val"].dtype == torch.uint8 else node


def _reads_as_input(user: Node, node: Node) -> bool:
    """Whether a convolution takes the node as its input alone, and no gradient of it is asked."""
    if user.target is aten.convolution.default:
        return user.args[0] is node and user.args[1] is not node
    if user.target is aten.convolution_backward.default:
        wanted = user.args[-1]
        others = (user.args[0], user.args[2])
        return user.args[1] is node and node not in others and not wanted[0]  # type: ignore[index]
    return False


def _scale_weights(graph: Graph, user: Node, source: Any, scale: Any) -> None:
    if user.target is aten.convolution.default:
        weight: Any = user.args[1]
        rounded = weight.target is aten._to_copy.default
        whole = weight.args[0] if rounded else weight
        with graph.inserting_before(user):
            scaled = graph.call_function(aten.div.Tensor, (whole, scale))
            scaled.meta = dict(whole.meta)
            if rounded:  # after it is scaled, not before and after
                scaled = graph.call_function(weight.target, (scaled,), weight.kwargs)
                scaled.meta = dict(weight.meta)
        user.update_arg(0, source)
        user.update_arg(1, scaled)
        return
    user.update_arg(1, source)
    for part in list(user.users):
        if part.args[1] == 1:
            with graph.inserting_after(part):
                scaled = graph.call_function(aten.div.Tensor, (part, scale))
            part.replace_all_uses_with(scaled, lambda n, keep=scaled: n is not keep)  # type: ignore[misc]
