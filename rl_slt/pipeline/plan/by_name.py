"""Losses, samplers and their settings by the names that people type."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from rl_slt.data.policy_data import PolicyData
from rl_slt.data.samples import Samples
from rl_slt.errors import InputError
from rl_slt.losses import LOSSES
from rl_slt.pipeline.states.state_sets import parse_states
from rl_slt.samplers import SAMPLERS
from rl_slt.settings import Settings

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
        raise InputError.of("loss", name, f"one of {', '.join(LOSSES)}")
    settings: dict[str, Any] = {}
    for part in rest.split(",") if colon else ():
        key, equals, value = part.partition("=")
        known = [option.partition("=")[:2] for option in OPTIONS.get(name, ())]
        if (key, equals) not in known:
            allowed = f":{','.join(OPTIONS[name])}" if name in OPTIONS else ", without settings"
            raise InputError.of("loss", text, f"{name}{allowed}")
        settings[key.replace("-", "_")] = _number(text, value) if equals else True
    return name, settings


def _number(text: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise InputError.of("loss", text, f"a number after `=`, not {value!r}") from None


def needs_episodes(text: str) -> bool:
    """Whether the loss is of whole episodes, as on-policy states alone are."""
    return parse_loss(text)[0] not in FROM_STATES


def check_loss(text: str, source: str, reference: str) -> None:
    """Raise InputError for an unknown loss, or states or a reference that it cannot use."""
    spec = parse_states(source)
    name = build_loss(text, None).name
    if name in FROM_STATES:
        return
    if spec.source != "on-policy" or spec.keep:
        raise InputError.of(
            "states", source, f"on-policy, without a filter: loss {name!r} needs whole episodes"
        )
    if reference != "self":
        raise InputError.of("reference", reference, f"self: loss {name!r} has no other policy")


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
    unit = LOSSES[parse_loss(text)[0]].sample_unit
    if unit == "state" or settings.batch_size is None or not isinstance(data, PolicyData):
        return settings
    return settings.replace(batch_size=min(settings.batch_size, Samples(data, unit).n))


def build_sampler(name: str, step_size: float | None) -> Any:
    """The sampler of that name; None for `auto`, which lets the estimator choose.

    Raises:
        InputError: for an unknown sampler, or a step size without a sampler.
    """
    if name == "auto":
        if step_size is not None:
            hint = f"or name the sampler that it is for: {', '.join(SAMPLERS)}"
            raise InputError.of("step_size", step_size, "left out for sampler auto", hint)
        return None
    if name not in SAMPLERS:
        raise InputError.of("sampler", name, f"one of auto, {', '.join(SAMPLERS)}")
    return SAMPLERS[name](step_size=step_size)
