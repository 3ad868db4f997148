"""Losses, samplers and their settings by the names that people type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from rl_slt.data.policy_data import PolicyData
from rl_slt.data.samples import Units
from rl_slt.errors import InputError
from rl_slt.losses import LOSSES
from rl_slt.pipeline.states.state_sets import parse_states
from rl_slt.samplers import SAMPLERS
from rl_slt.settings import Settings

if TYPE_CHECKING:
    from rl_slt.pipeline.plan.study import LLCPlan

FROM_STATES = ("kl", "nll")  # read states alone; the others need whole on-policy episodes


# Settings that a loss takes after its name, as in `regret:clip=10,self-normalized`.
OPTIONS: dict[str, tuple[str, ...]] = {
    "regret": ("clip=NUMBER", "self-normalized"),
    "surrogate": ("clip=NUMBER",),
}


def parse_loss(text: str) -> tuple[str, dict[str, Any]]:
    """The name and the settings in the text form of a loss.

    Raises:
        InputError: an unknown loss or setting.
    """
    name, colon, rest = text.partition(":")
    if name not in LOSSES:
        raise InputError(f"unknown loss {name!r}; allowed: {', '.join(LOSSES)}")
    settings: dict[str, Any] = {}
    for part in rest.split(",") if colon else ():
        key, equals, value = part.partition("=")
        known = [option.partition("=")[:2] for option in OPTIONS.get(name, ())]
        if (key, equals) not in known:
            allowed = ", ".join(OPTIONS.get(name, ())) or "none"
            raise InputError(f"loss {text!r} has no setting {part!r}; allowed: {allowed}")
        settings[key.replace("-", "_")] = _number(text, value) if equals else True
    return name, settings


def _number(text: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise InputError(f"loss {text!r}: {value!r} is not a number") from None


def check_loss(text: str, source: str, reference: str) -> None:
    """Raise InputError for an unknown loss, or states or a reference that it cannot use."""
    name = build_loss(text, None).name
    if name in FROM_STATES:
        return
    spec = parse_states(source)
    if spec.source != "on-policy":
        raise InputError(f"loss {name!r} needs episodes: states {source!r} is not on-policy")
    if spec.keep:
        raise InputError(f"loss {name!r} needs whole episodes, so not {source!r}")
    if reference != "self":
        raise InputError(f"loss {name!r} has no reference policy, so not {reference!r}")


def build_loss(text: str, reference: nn.Module | None, discount: float | None = None) -> Any:
    """The loss of that text.

    Args:
        text: its name, and settings after a colon.
        reference: the policy to measure from, where it has one; None is the checkpoint itself.
        discount: gamma of the run, where the loss discounts; None is the loss's own default.

    Raises:
        InputError: an unknown loss or setting, or one out of its range.
    """
    name, settings = parse_loss(text)
    if name in FROM_STATES:
        settings["reference"] = reference
    if name == "regret" and discount is not None:
        settings["discount"] = discount
    return LOSSES[name](**settings)


def fit_batch(settings: Settings, text: str, data: Tensor | PolicyData) -> Settings:
    """Batches of at most as many episodes as there are: only who collected them knows how many."""
    unit = LOSSES[parse_loss(text)[0]].unit
    if unit == "state" or settings.batch_size is None or not isinstance(data, PolicyData):
        return settings
    return settings.replace(batch_size=min(settings.batch_size, Units(data, unit).n))


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
        preconditioner_rank=plan.whitening,
        precision=plan.precision,  # type: ignore[arg-type]
    )
