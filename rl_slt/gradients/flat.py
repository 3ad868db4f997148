"""A policy as a function of one flat parameter vector."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from rl_slt.data.policies import copy_policy
from rl_slt.data.policy_data import PolicyData
from rl_slt.errors import InputError
from rl_slt.losses.base import Loss, Policy


def match_parameters(policy: nn.Module, patterns: str | Sequence[str] | None) -> list[str]:
    """Names of the parameters that `patterns` (shell style, e.g. `"policy_head.*"`) select.

    Raises:
        InputError: a pattern matches no parameter, or there is none.
    """
    names = [name for name, _ in policy.named_parameters()]
    if not names:
        raise InputError("the policy has no parameters; it needs at least one")
    if patterns is None:
        return names
    wanted = [patterns] if isinstance(patterns, str) else list(patterns)
    for pattern in wanted:
        if not fnmatch.filter(names, pattern):
            allowed = f"a pattern that matches one of {', '.join(names)}"
            raise InputError.of("params", pattern, allowed)
    return [n for n in names if any(fnmatch.fnmatchcase(n, p) for p in wanted)]


class FlatPolicy:
    """A private copy of a policy whose free parameters are views into one flat vector.

    The policy handed in is never touched. The copy is in evaluation mode; parameters that are not
    free keep their values, take no gradient and get no noise.

    Attributes:
        w_star: `[d]`, the free parameters of the policy as handed in.
        fixed: the other parameters, and the buffers, by name.
        names: names of the free parameters, in the order of the flat vector.
    """

    def __init__(self, policy: nn.Module, names: Sequence[str]) -> None:
        self.module = copy_policy(policy).eval()
        params = dict(self.module.named_parameters())
        for name, param in params.items():
            param.requires_grad_(name in names)
            param.grad = None
        self.names = [n for n in params if n in names]
        free = [params[n] for n in self.names]
        dtypes = {p.dtype for p in free}
        if len(dtypes) != 1 or not free[0].is_floating_point():
            raise InputError(
                f"free parameters have dtypes {dtypes}; they must share one float type"
            )
        self.fixed = {n: p.detach() for n, p in params.items() if n not in names}
        self.fixed |= dict(self.module.named_buffers())
        self.shapes = [p.shape for p in free]
        self.sizes = [p.numel() for p in free]
        self._values = torch.cat([p.detach().reshape(-1) for p in free])
        if not bool(torch.isfinite(self._values).all()):
            raise InputError("the policy's weights hold NaN or infinite values; all must be finite")
        self._grads = torch.zeros_like(self._values)
        for param, value, grad in zip(
            free, self._values.split(self.sizes), self._grads.split(self.sizes), strict=True
        ):
            param.data = value.view(param.shape)
            param.grad = grad.view(param.shape)
        self.w_star = self._values.clone()

    def load(self, w: Tensor) -> nn.Module:
        """The module at parameters `w` `[d]` (valid until the next load)."""
        self._values.copy_(w)
        return self.module

    def value_and_grad(self, loss: Loss, batch: PolicyData, w: Tensor, out: Tensor) -> Tensor:
        """Mean loss (scalar) over a batch at `w` `[d]`; its gradient is written to `out` `[d]`."""
        self._values.copy_(w)
        self._grads.zero_()
        value = loss.weighted(self.module, batch).mean()
        value.backward()
        out.copy_(self._grads)
        return value.detach()

    def row_grads(self, values: Tensor, out: Tensor) -> None:
        """Gradient of each of `values` `[B]` into the rows of `out` `[B, d]`."""
        for i, value in enumerate(values):
            self._grads.zero_()
            value.backward(retain_graph=i + 1 < len(values))
            out[i].copy_(self._grads)

    def as_function(self, w: Tensor, fixed: dict[str, Tensor] | None = None) -> Policy:
        """The policy at `w` `[d]` as a pure function, for `torch.func` transforms.

        Args:
            w: the free parameters.
            fixed: what takes the place of `self.fixed`.
        """
        parts = w.split(self.sizes)
        params = {n: p.view(s) for n, p, s in zip(self.names, parts, self.shapes, strict=True)}
        return lambda states: functional_call(self.module, params | (fixed or {}), (states,))
