"""Losses and samplers by the names that people type; what each takes is said by its class."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import Tensor, nn

from rl_slt.data.policy_data import PolicyData
from rl_slt.data.samples import Samples
from rl_slt.data.simulate import Simulator
from rl_slt.data.tabular import TabularMDP
from rl_slt.errors import InputError
from rl_slt.losses import LOSSES, Loss
from rl_slt.pipeline.states import parse_states
from rl_slt.samplers import SAMPLERS, Sampler
from rl_slt.settings import Settings


def build_loss(
    text: str,
    reference: nn.Module | None = None,
    discount: float | None = None,
    mdp: TabularMDP | None = None,
    simulator: Simulator | None = None,
) -> Loss:
    """The loss of that text.

    Args:
        text: its name, and settings after a colon, as in `regret:clip=10,self-normalized`.
        reference: the policy to measure from, where it has one; None is the checkpoint itself.
        discount: gamma of the run, where the loss discounts; None is the loss's own default.
        mdp: the process that the data are of, for a loss of exact returns.
        simulator: plays episodes on the levels of the data, for a loss of fresh ones.

    Raises:
        InputError: an unknown loss or setting, or one out of its range.
    """
    name, colon, rest = text.partition(":")
    if name not in LOSSES:
        raise InputError.of("loss", name, f"one of {', '.join(LOSSES)}")
    kind = LOSSES[name]
    forms = kind.option_forms()
    settings: dict[str, Any] = {}
    for part in rest.split(",") if colon else ():
        key, equals, value = part.partition("=")
        if key not in forms or bool(equals) == (forms[key] is bool):
            words = [key if form is bool else f"{key}=NUMBER" for key, form in forms.items()]
            allowed = f":{','.join(words)}" if words else ", without settings"
            raise InputError.of("loss", text, f"{name}{allowed}")
        try:
            settings[key.replace("-", "_")] = float(value) if equals else True
        except ValueError:
            raise InputError.of("loss", text, f"a number after `=`, not {value!r}") from None
    if kind.has_reference:
        settings["reference"] = reference
    fields = {f.name for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    known_ones = (("discount", discount), ("mdp", mdp), ("simulator", simulator))
    for key, known in known_ones:
        if known is not None and key in fields:
            settings[key] = known
    return kind(**settings)


def check_loss(text: str, states: str, reference: str) -> None:
    """Raise InputError for an unknown loss, or states or a reference that it cannot use."""
    spec, loss = parse_states(states), build_loss(text)
    whole = bool(loss.needs) or loss.plays
    if whole and (spec.source != "on-policy" or spec.keep):
        allowed = f"on-policy, without a filter: loss {loss.name!r} needs whole episodes"
        raise InputError.of("states", states, allowed)
    if reference != "self" and not loss.has_reference:
        raise InputError.of("reference", reference, f"self: loss {loss.name!r} has no other policy")


def fit_batch(settings: Settings, loss: Loss, data: Tensor | PolicyData) -> Settings:
    """Batches of at most as many episodes as there are: only who collected them knows how many.

    Samples that are all there is, as the levels of a known process, are taken whole.
    """
    if loss.population:
        return settings.replace(batch_size=None)
    if loss.sample_unit != "episode" or settings.batch_size is None or isinstance(data, Tensor):
        return settings
    n = Samples(data, loss.sample_unit).n
    return settings.replace(batch_size=min(settings.batch_size, n))


def build_sampler(name: str, step_size: float | None) -> Sampler | None:
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
