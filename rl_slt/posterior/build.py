"""From a policy and states to the posterior that is sampled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Generator, Tensor, nn

from rl_slt.data.actions import Classes, check_classes, merge_data, merge_policy
from rl_slt.data.policies import cannot_take, readable_policy
from rl_slt.data.policy_data import PolicyData
from rl_slt.data.samples import Samples
from rl_slt.errors import InputError
from rl_slt.gradients.flat import FlatPolicy, match_parameters
from rl_slt.gradients.precision import wants_bfloat16
from rl_slt.losses.base import Loss, logits_of
from rl_slt.posterior.curvature import trace_of
from rl_slt.posterior.gauge import in_gauge
from rl_slt.posterior.sharpness import at_entropy
from rl_slt.posterior.target import Target
from rl_slt.settings import relative_part

DEVICES = ("cpu", "cuda")
PREPARE_STREAM, GRADIENT_STREAM = 1_000_003, 1_000_033
TRACE_STREAM, SPECTRUM_STREAM = 1_000_037, 1_000_039
STATES_STREAM, BOUND_STREAM, TRACES_STREAM = 2_000_003, 3_000_017, 4_000_037


def generator_for(seed: int, stream: int, device: torch.device | str = "cpu") -> Generator:
    """A generator of its own for each seed and stream (chains are streams 0, 1, ...)."""
    state = np.random.SeedSequence([seed, stream]).generate_state(1, np.uint64)[0]
    return Generator(device).manual_seed(int(state) >> 1)


def build_target(
    policy: nn.Module,
    states: Tensor | PolicyData,
    loss: Loss,
    nbeta: float | str | None,
    localization: float | str,
    params: str | Sequence[str] | None,
    seed: int,
    precision: str = "float32",
    gauge: str = "none",
    distinct_actions: Classes | None = None,
    match_entropy: float | None = None,
) -> Target:
    """The localized posterior of a policy, on a private copy of it, on the policy's own device.

    With `gauge` "balanced", or "auto" where the policy has hidden units that can be scaled, w* is
    the equal policy whose hidden units are balanced (`rl_slt.posterior.gauge`). Actions of one
    class in `distinct_actions` count as one (`rl_slt.data.actions`). With `match_entropy` the
    policy is first brought to that mean entropy (`rl_slt.posterior.sharpness`).

    Raises:
        InputError: weights, states or parameter patterns are wrong, the loss is not per sample, or
            the device cannot do what was asked.
    """
    device = device_of(policy)
    if precision == "bfloat16" and device.type != "cpu":
        raise InputError.of("precision", precision, f"auto or float32 on device {device.type!r}")
    bfloat16 = device.type == "cpu" and wants_bfloat16(precision)
    given = (states if isinstance(states, PolicyData) else PolicyData(states)).to(device)
    policy, given = readable_policy(policy, given)
    data, seen = _prepared(policy, given, loss, seed)
    few = given.states[:4]
    if distinct_actions is not None:
        with torch.no_grad():
            logits = logits_of(policy(few))
        check_classes(distinct_actions, logits.shape[-1])
    if match_entropy is not None:
        if loss.needs:
            allowed = f"none with loss {loss.name}, whose data are of the policy as it is"
            raise InputError.of("match_entropy", match_entropy, allowed)
        policy = at_entropy(policy, given, distinct_actions, match_entropy)
    balanced = in_gauge(policy, few, seen, gauge)
    policy = policy if balanced is None else balanced
    if distinct_actions is not None:
        policy, given, loss = _merged(policy, given, loss, distinct_actions)
    if balanced is not None or distinct_actions is not None or match_entropy is not None:
        # From its own outputs, so that a self-KL is 0 at w* to the last bit.
        data, seen = _prepared(policy, given, loss, seed)
    names = [name for name in match_parameters(policy, params) if name in seen]
    if not names:
        raise InputError(f"the loss depends on none of the parameters {params or 'of the policy'}")
    flat = FlatPolicy(policy, names)
    target = Target(flat, data, loss, 0.0, _localization(flat, localization), bfloat16)
    target.gauge = "none" if balanced is None else "balanced"
    if target.n < 2 and nbeta is None:
        raise InputError(f"{target.n} sample; nbeta=None (N / log N) needs at least 2")
    if loss.population and nbeta is None:
        why = f"the number of levels of loss {loss.name} is no sample size that it could come from"
        raise InputError.of("nbeta", None, "a number, or relative:K", why)
    target.trace = trace_of(target, generator_for(seed, TRACE_STREAM, device))
    target.nbeta = nbeta_of(target, nbeta)
    return target


def _localization(flat: FlatPolicy, given: float | str) -> float:
    """Gamma; for `relative:C` that of a localizer of the radius `sqrt(d / gamma) = C |w*|`."""
    share = relative_part(given)
    if share is None:
        return float(given)
    norm = float(flat.w_star.double().norm())
    if norm == 0:
        hint = "it is a share of the weights' norm, which is 0"
        raise InputError.of("localization", given, "a number for this policy", hint)
    return len(flat.w_star) / (share * norm) ** 2


def nbeta_of(target: Target, given: float | str | None) -> float:
    """The inverse temperature; for `relative:K` that of the relative temperature K.

    Raises:
        InputError: it is relative, and there is no localizer or no curvature.
    """
    if given is None:
        return target.n / math.log(target.n)
    relative = relative_part(given)
    if relative is None:
        return float(given)
    if not target.localization:
        hint = "it is relative to the localizer"
        raise InputError.of("nbeta", given, "a number where localization=0", hint)
    if not target.trace.value > 0:
        hint = f"the curvature of loss {target.loss.name} at w* has trace {target.trace.value:.3g}"
        raise InputError.of("nbeta", given, "a number for this policy and loss", hint)
    return target.trace.nbeta_at(relative, target.localization)


def _merged(
    policy: nn.Module, data: PolicyData, loss: Loss, classes: Classes
) -> tuple[nn.Module, PolicyData, Loss]:
    """Policy, data and loss on classes of actions instead of actions."""
    if loss.reference is not None:
        reference = merge_policy(loss.reference, classes)
        loss = replace(loss, reference=reference)  # type: ignore[type-var]
    return merge_policy(policy, classes), merge_data(data, classes), loss


def _prepared(
    policy: nn.Module, data: PolicyData, loss: Loss, seed: int
) -> tuple[PolicyData, set[str]]:
    """The data with what the loss reads of the policy, and the parameters that it depends on."""
    module = FlatPolicy(policy, match_parameters(policy, None)).module
    try:
        generator = generator_for(seed, PREPARE_STREAM, device_of(policy))
        data = loss.prepare(module, _of_mean_one(data, loss, module), generator)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, TypeError, IndexError) as error:
        raise cannot_take(data, error) from error
    return data, _reached(loss, module, data)


def _of_mean_one(data: PolicyData, loss: Loss, policy: nn.Module) -> PolicyData:
    """The data with weights of mean 1 over samples, in the precision of the policy's own."""
    if data.weights is None:
        return data
    data = data.with_fields(weights=data.weights.to(next(policy.parameters()).dtype))
    samples = Samples(data, loss.sample_unit)
    ordered = samples.take(torch.arange(samples.n, device=samples.device))
    assert data.weights is not None
    each = loss.weigh(data.weights.new_ones(samples.n), ordered)
    return data.with_fields(weights=data.weights / each.mean())


def device_of(policy: nn.Module) -> torch.device:
    """Where the policy is: chains, their noise and all data are there, too.

    Raises:
        InputError: on several devices, or on one that has no doubles or holds no numbers.
    """
    tensors = (*policy.parameters(), *policy.buffers())
    places = {tensor.device for tensor in tensors} or {torch.device("cpu")}
    names = ", ".join(sorted(map(str, places)))
    if len(places) > 1:
        raise InputError(f"policy on {names}; it must be on one device")
    if next(iter(places)).type not in DEVICES:
        raise InputError(f"policy on {names}; estimates are made on {' or '.join(DEVICES)}")
    return next(iter(places))


def _reached(loss: Loss, module: nn.Module, data: PolicyData) -> set[str]:
    """The parameters that the loss depends on (under `kl`, no value head).

    Seen on one episode or four states, where the loss must be finite and one per sample.
    """
    few = data.take(slice(0, 4))
    if loss.sample_unit == "episode" and data.episode is not None:
        few = data.subset(data.episode == data.episode[0])
    wanted = [1] if loss.sample_unit == "episode" else [len(few)]
    value = loss(module, few)
    if not isinstance(value, Tensor) or list(value.shape) != wanted:
        shape = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise InputError(f"loss {loss.name} returned {shape}; it must be one per sample, {wanted}")
    if not bool(torch.isfinite(value).all()):
        raise InputError(f"loss {loss.name} is not finite at the policy's own weights")
    if not value.requires_grad:
        return set()
    params = dict(module.named_parameters())
    grads = torch.autograd.grad(value.mean(), [*params.values()], allow_unused=True)
    return {name for name, grad in zip(params, grads, strict=True) if grad is not None}
