"""Losses, samplers and their settings by the names that people type."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from rl_slt.errors import InputError
from rl_slt.losses import LOSSES
from rl_slt.pipeline.states import parse_states
from rl_slt.policy_data import PolicyData
from rl_slt.samplers import SAMPLERS
from rl_slt.settings import Settings
from rl_slt.units import Units

if TYPE_CHECKING:
    from rl_slt.pipeline.study import LLCPlan

FROM_STATES = ("kl", "nll")  # read states alone; the others need whole on-policy episodes


def check_loss(name: str, source: str, reference: str) -> None:
    """Raise InputError for an unknown loss, or states or a reference that it cannot use."""
    if name not in LOSSES:
        raise InputError(f"unknown loss {name!r}; allowed: {', '.join(LOSSES)}")
    if name in FROM_STATES:
        return
    spec = parse_states(source)
    if spec.source != "on-policy":
        raise InputError(f"loss {name!r} needs episodes: states {source!r} is not on-policy")
    if spec.keep:
        raise InputError(f"loss {name!r} needs whole episodes, so not {source!r}")
    if reference != "self":
        raise InputError(f"loss {name!r} has no reference policy, so not {reference!r}")


def build_loss(name: str, reference: nn.Module | None) -> Any:
    """The loss of that name, to a reference policy or (None) to the checkpoint itself."""
    if name in FROM_STATES:
        return LOSSES[name](reference=reference)  # type: ignore[call-arg]
    return LOSSES[name]()


def fit_batch(settings: Settings, name: str, data: Tensor | PolicyData) -> Settings:
    """Batches of at most as many episodes as there are: only who collected them knows how many."""
    unit = LOSSES[name].unit
    if unit == "state" or settings.batch_size is None or not isinstance(data, PolicyData):
        return settings
    return replace(settings, batch_size=min(settings.batch_size, Units(data, unit).n))


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
    return SAMPLERS[name](step_size=step_size)  # type: ignore[call-arg]


def settings_of(plan: LLCPlan) -> Settings:
    """The estimator's settings of a plan."""
    return Settings(
        sampler=build_sampler(plan.sampler, plan.step_size),
        nbeta=plan.nbeta,
        localization=plan.localization,
        chains=plan.chains,
        draws=plan.draws,
        burn_in=plan.burn_in,
        batch_size=plan.batch_size,
        params=None if plan.params == "all" else tuple(plan.params.split(",")),
        whitening=plan.whitening,
    )
