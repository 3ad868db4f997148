"""Losses and samplers by the names that people type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

import rl_slt
from rl_slt.errors import InputError

LOSSES: dict[str, Callable[..., Any]] = {"kl": rl_slt.PolicyKL, "nll": rl_slt.PolicyNLL}
SAMPLERS: dict[str, Callable[..., Any]] = {
    "sgld": rl_slt.SGLD,
    "baoab": rl_slt.BAOAB,
    "mala": rl_slt.MALA,
    "hmc": rl_slt.HMC,
}


def check_loss(name: str) -> None:
    """Raise InputError for an unknown loss."""
    if name not in LOSSES:
        raise InputError(f"unknown loss {name!r}; allowed: {', '.join(LOSSES)}")


def build_loss(name: str, reference: nn.Module | None) -> Any:
    """The loss of that name, to a reference policy or (None) to the checkpoint itself."""
    check_loss(name)
    return LOSSES[name](reference=reference)


def build_sampler(name: str, step_size: float | None) -> Any:
    """The sampler of that name; None for `auto`, which lets the estimator choose.

    Raises:
        InputError: for an unknown sampler, or a step size without a sampler.
    """
    if name == "auto":
        if step_size is not None:
            raise InputError(
                f"step size {step_size} needs a sampler; allowed: {', '.join(SAMPLERS)}"
            )
        return None
    if name not in SAMPLERS:
        raise InputError(f"unknown sampler {name!r}; allowed: auto, {', '.join(SAMPLERS)}")
    return SAMPLERS[name](step_size=step_size)
