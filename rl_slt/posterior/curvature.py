"""The curvature H of a loss at w*, per state: its trace, and temperatures relative to it.

H is the mean over samples of `sum_r g_r g_r'`, g_r the gradients of the loss's score rows
(`Loss.score_rows`): the Hessian where w* is the loss's minimum (for a self-KL the Fisher matrix),
else the Gauss-Newton matrix. Where a loss knows no rows it is the Hessian itself.

Under the localizer alone, w ~ N(w*, I / gamma), `nbeta L` rises to second order by

    K = nbeta tr(H) / (2 gamma),

the relative temperature. At a given K the posterior's ridge `gamma / nbeta` is the same share,
`1 / (2 K)`, of the trace, whatever the unit of the loss, gamma, and the sharpness of the policy.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import torch
from torch import Generator, Tensor
from torch.func import grad, vmap

from rl_slt.data.clusters import cluster_stderr
from rl_slt.data.policy_data import PolicyData
from rl_slt.gradients.patches import patches_as_rows
from rl_slt.gradients.traced import TRACE_ERRORS
from rl_slt.posterior.target import Target, Trace

PROBES = 32  # random directions of a Hessian's trace
LEAST_SAMPLES, MOST_PRODUCTS = 64, 1 << 27  # of it, so that many weights cost no more
MOST_ROWS = 4096
CHUNK, ELEMENTS = 16, 1 << 21  # per-sample gradients at once, at least; numbers in them


def trace_of(target: Target, generator: Generator) -> Trace:
    """The trace of H at w* over all samples.

    One gradient a sample: with random signs e_r, `E |sum_r e_r g_r|^2 = sum_r |g_r|^2`
    (Hutchinson 1989).

    Args:
        target: whose loss, data and free parameters.
        generator: of the signs, on the target's device.

    Returns:
        The trace; without an error where every row of all levels was looked at (`knows_all`).
    """
    width = count_rows(target)
    if width is None:
        return _hessian_trace(target, generator)
    if knows_all(target, width):
        squares = squared_norms(row_gradients(target, *every_row(target, width)))
        squares = squares.view(target.n, width).sum(1)
        return Trace(float(squares.mean()), 0.0, squares)
    signs = random_signs(target.flat.w_star.new_empty(target.n, width), generator)
    index = torch.arange(target.n, device=target.device)
    squares = squared_norms(row_gradients(target, index, signs))
    stderr = cluster_stderr(squares, target.samples.clusters)
    return Trace(float(squares.mean()), stderr, squares)


def squared_norms(parts: Iterable[Tensor]) -> Tensor:
    """Of rows in parts `[b, d]`, in double precision without copies of the rows in it."""
    norms = [torch.linalg.vector_norm(part, dim=1, dtype=torch.float64) for part in parts]
    return torch.cat(norms).square()


def count_rows(target: Target) -> int | None:
    """How many score rows the loss has of each sample; None where it knows none."""
    few = target.samples.take(torch.zeros(1, dtype=torch.int64, device=target.device))
    with torch.no_grad():
        rows = target.loss.score_rows(target.flat.load(target.flat.w_star), few)
    return None if rows is None else rows.shape[1]


def knows_all(target: Target, width: int) -> bool:
    """Whether every score row can be looked at, of a loss whose samples are all there are.

    Their weights may differ by orders of magnitude, so that few rows would say little.
    """
    return target.loss.population and max(target.n * width, target.dim) <= MOST_ROWS


def every_row(target: Target, width: int) -> tuple[Tensor, Tensor]:
    """Sample `[n R]` and signs `[n R, R]` that make `row_gradients` give each score row itself."""
    owner = torch.arange(target.n, device=target.device).repeat_interleave(width)
    signs = torch.eye(width, out=target.flat.w_star.new_empty(width, width))
    return owner, signs.repeat(target.n, 1)


def random_signs(out: Tensor, generator: Generator) -> Tensor:
    """The tensor, filled with independent random signs."""
    return out.bernoulli_(generator=generator).mul_(2).sub_(1)


def row_gradients(
    target: Target, index: Tensor, signs: Tensor, at: Tensor | None = None
) -> Iterator[Tensor]:
    """Gradients of `signs . rows`, in parts `[b, d]`.

    Args:
        target: whose loss, data and free parameters.
        index: sample of each row `[M]`.
        signs: what the sample's score rows count for in it `[M, R]`.
        at: weights `[d]`; None is w*.
    """
    loss, flat = target.loss, target.flat
    weights = flat.w_star if at is None else at
    module = flat.load(weights)

    def combined(w: Tensor, fields: dict[str, Tensor], sign: Tensor) -> Tensor:
        batch = PolicyData.trusted({name: value[None] for name, value in fields.items()})
        with patches_as_rows():
            rows = loss.weighted_rows(flat.as_function(w), batch)
        assert rows is not None
        return (rows[0] * sign).sum()

    together = loss.sample_unit != "episode" and loss.batched
    each = vmap(grad(combined), in_dims=(None, 0, 0), randomness="different")
    size = max(CHUNK, min(512, ELEMENTS // target.dim))
    for i, sign in zip(index.split(size), signs.split(size), strict=True):
        if together:
            try:
                yield each(weights, target.samples.take(i).tensors(), sign)
                continue
            except torch.OutOfMemoryError:
                raise
            except TRACE_ERRORS:
                together = False
        part = flat.w_star.new_empty(len(i), target.dim)
        for k in range(len(i)):
            rows = loss.weighted_rows(module, target.samples.take(i[k : k + 1]))
            assert rows is not None
            flat.row_grads((rows @ sign[k]), part[k : k + 1])
        yield part


def _hessian_trace(target: Target, generator: Generator) -> Trace:
    """Trace of the mean loss's Hessian, along each weight or, where they are many, random signs."""
    few = target.dim <= PROBES
    weights = target.flat.w_star
    if few:
        probes = torch.eye(target.dim, device=target.device).to(weights)
    else:
        probes = random_signs(weights.new_empty(PROBES, target.dim), generator)
    products = hessian_products(target, probes, generator)
    if products is None:
        return Trace(math.nan, math.nan)
    each = (products * probes).sum(1)
    if few:
        return Trace(float(each.sum()), 0.0)
    return Trace(float(each.mean()), float(each.std() / math.sqrt(PROBES)))


def hessian_products(target: Target, probes: Tensor, generator: Generator) -> Tensor | None:
    """The mean loss's Hessian at w* times each of `probes` `[P, d]`, in double precision.

    Over all samples, or evenly spaced ones where weights and samples are many. None where the
    loss has no second derivative.
    """
    module = target.flat.load(target.flat.w_star)
    params = [p for p in module.parameters() if p.requires_grad]
    most = max(LEAST_SAMPLES, MOST_PRODUCTS // (len(probes) * target.dim))
    index = torch.linspace(0, target.n - 1, min(target.n, most), device=target.device).long()
    products = torch.zeros_like(probes, dtype=torch.float64)
    try:
        for chunk in index.split(512):
            batch = target.loss.refresh(target.samples.take(chunk), generator, module)
            loss = target.loss.weighted(module, batch).sum() / len(index)
            slopes = torch.autograd.grad(loss, params, create_graph=True)
            slope = torch.cat([s.reshape(-1) for s in slopes])
            for k, probe in enumerate(probes if slope.requires_grad else ()):
                seconds = torch.autograd.grad(
                    slope @ probe, params, retain_graph=True, materialize_grads=True
                )
                products[k] += torch.cat([s.reshape(-1) for s in seconds])
    except torch.OutOfMemoryError:
        raise
    except TRACE_ERRORS:  # some operation has no second derivative
        return None
    return products
