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

import torch
from torch import Generator, Tensor
from torch.func import functional_call, grad, vmap

from rl_slt.data.policy_data import PolicyData
from rl_slt.gradients.traced import TRACE_ERRORS
from rl_slt.posterior.target import Target, Trace

PROBES = 32  # random directions of a Hessian's trace
LEAST_SAMPLES, MOST_PRODUCTS = 64, 1 << 27  # of it, so that many weights cost no more
MOST_ELEMENTS = 1 << 23  # of per-sample gradients held at once


def trace_of(target: Target, generator: Generator) -> Trace:
    """The trace of H at w* over all samples.

    One gradient a sample: with random signs e_r, `E |sum_r e_r g_r|^2 = sum_r |g_r|^2`
    (Hutchinson 1989).

    Args:
        target: whose loss, data and free parameters.
        generator: of the signs, on the target's device.
    """
    signs = _row_signs(target, generator)
    if signs is None:
        return _hessian_trace(target, generator)
    squares = _squared_norms(target, signs).double()
    stderr = float(squares.std() / math.sqrt(len(squares))) if len(squares) > 1 else math.nan
    return Trace(float(squares.mean()), stderr)


def _row_signs(target: Target, generator: Generator) -> Tensor | None:
    """Signs `[n, R]` for the rows of every sample; None where the loss knows no rows."""
    few = target.samples.take(torch.zeros(1, dtype=torch.int64, device=target.device))
    module = target.flat.load(target.flat.w_star)
    with torch.no_grad():
        rows = target.loss.score_rows(module, few)
    if rows is None:
        return None
    signs = torch.empty(target.n, rows.shape[1], device=target.device, dtype=rows.dtype)
    return signs.bernoulli_(generator=generator).mul_(2).sub_(1)


def _squared_norms(target: Target, signs: Tensor) -> Tensor:
    """Squared norms `[n]` of every sample's gradient of its rows times its signs `[n, R]`."""
    loss, flat = target.loss, target.flat
    module = flat.load(flat.w_star)
    free = {name: p.detach() for name, p in module.named_parameters() if name in flat.names}

    def combined(params: dict[str, Tensor], fields: dict[str, Tensor], sign: Tensor) -> Tensor:
        batch = PolicyData.trusted({name: value[None] for name, value in fields.items()})
        rows = loss.score_rows(lambda states: functional_call(module, params, (states,)), batch)
        assert rows is not None
        return (rows[0] * sign).sum()

    if loss.sample_unit == "state" and loss.batched:
        each = vmap(grad(combined), in_dims=(None, 0, 0), randomness="different")
        size = max(1, min(512, MOST_ELEMENTS // target.dim))
        index = torch.arange(target.n, device=target.device)
        try:
            parts = [
                torch.stack([
                    g.flatten(1).square().sum(1)
                    for g in each(free, target.samples.take(i).tensors(), signs[i]).values()
                ]).sum(0)
                for i in index.split(size)
            ]  # fmt: skip
            return torch.cat(parts)
        except torch.OutOfMemoryError:
            raise
        except TRACE_ERRORS:
            pass
    params = [p for p in module.parameters() if p.requires_grad]
    squares = signs.new_empty(target.n)
    for i, sign in enumerate(signs):
        batch = target.samples.take(torch.tensor([i], device=target.device))
        rows = loss.score_rows(module, batch)
        assert rows is not None
        grads = torch.autograd.grad((rows[0] * sign).sum(), params)
        squares[i] = sum(g.square().sum() for g in grads)
    return squares


def _hessian_trace(target: Target, generator: Generator) -> Trace:
    """Trace of the mean loss's Hessian, along each weight or, where they are many, random signs."""
    module = target.flat.load(target.flat.w_star)
    params = [p for p in module.parameters() if p.requires_grad]
    few = target.dim <= PROBES
    probes = torch.eye(target.dim, device=target.device)
    if not few:
        probes = torch.empty(PROBES, target.dim, device=target.device)
        probes.bernoulli_(generator=generator).mul_(2).sub_(1)
    most = max(LEAST_SAMPLES, MOST_PRODUCTS // (len(probes) * target.dim))
    index = torch.linspace(0, target.n - 1, min(target.n, most), device=target.device).long()
    products = torch.zeros(len(probes), dtype=torch.float64)
    try:
        for chunk in index.split(512):
            batch = target.loss.refresh(target.samples.take(chunk), generator)
            loss = target.loss(module, batch).sum() / len(index)
            slopes = torch.autograd.grad(loss, params, create_graph=True)
            slope = torch.cat([s.reshape(-1) for s in slopes])
            for k, probe in enumerate(probes.to(slope) if slope.requires_grad else ()):
                seconds = torch.autograd.grad(
                    slope @ probe, params, retain_graph=True, materialize_grads=True
                )
                products[k] += float(torch.cat([s.reshape(-1) for s in seconds]) @ probe)
    except torch.OutOfMemoryError:
        raise
    except TRACE_ERRORS:  # some operation has no second derivative
        return Trace(math.nan, math.nan)
    if few:
        return Trace(float(products.sum()), 0.0)
    return Trace(float(products.mean()), float(products.std() / math.sqrt(PROBES)))
