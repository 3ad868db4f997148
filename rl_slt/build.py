"""From a policy and states to the posterior that is sampled."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Generator, Tensor, nn

from rl_slt.errors import InputError
from rl_slt.flat import FlatPolicy, match_parameters, reached
from rl_slt.losses.base import Loss
from rl_slt.policy_data import PolicyData
from rl_slt.precision import wants_bfloat16
from rl_slt.target import Target

PREPARE_STREAM, GRADIENT_STREAM = 1_000_003, 1_000_033


def generator_for(seed: int, stream: int) -> Generator:
    """A generator of its own for each seed and stream (chains are streams 0, 1, ...)."""
    state = np.random.SeedSequence([seed, stream]).generate_state(1, np.uint64)[0]
    return Generator().manual_seed(int(state) >> 1)


def build_target(
    policy: nn.Module,
    states: Tensor | PolicyData,
    loss: Loss,
    nbeta: float | None,
    localization: float,
    params: str | Sequence[str] | None,
    seed: int,
    precision: str = "float32",
) -> Target:
    """The localised posterior of a policy, on a private copy of it.

    Raises:
        InputError: weights, states or parameter patterns are wrong, or the loss is not per sample.
    """
    data = states if isinstance(states, PolicyData) else PolicyData(states)
    _check_device(policy, data)
    whole = FlatPolicy(policy, match_parameters(policy, None))
    try:
        data = loss.prepare(whole.module, data, generator_for(seed, PREPARE_STREAM))
    except (RuntimeError, TypeError, IndexError) as error:
        shape = list(data.states.shape)
        text = str(error).splitlines()[0]
        raise InputError(f"the policy cannot take states {shape}: {text}") from error
    few = _first_samples(data, loss)
    _check_loss(loss, whole.module, few)
    names = reached(policy, match_parameters(policy, params), lambda p: loss(p, few))
    if not names:
        raise InputError(f"the loss depends on none of the parameters {params or 'of the policy'}")
    flat = FlatPolicy(policy, names)
    target = Target(flat, data, loss, 0.0, localization, wants_bfloat16(precision))
    if target.n < 2 and nbeta is None:
        raise InputError(f"{target.n} sample; nbeta=None (N / log N) needs at least 2")
    target.nbeta = target.n / math.log(target.n) if nbeta is None else float(nbeta)
    return target


def _check_device(policy: nn.Module, data: PolicyData) -> None:
    """Chains, their noise and their batches are on the CPU: say so before torch does at length."""
    for who, tensors in (("policy", policy.parameters()), ("states", data.tensors().values())):
        for tensor in tensors:
            if tensor.device.type != "cpu":
                raise InputError(
                    f"{who} on {tensor.device}; estimates are made on the CPU: hand in .cpu()"
                )


def start_gradient(target: Target, seed: int) -> Tensor:
    """Gradient `[d]` of the loss at w* over all data; exactly 0 for a self-KL."""
    if target.loss.zero_at_start:
        return torch.zeros_like(target.flat.start)
    return target.start_gradient(generator_for(seed, GRADIENT_STREAM))


def _first_samples(data: PolicyData, loss: Loss) -> PolicyData:
    if loss.unit == "episode" and data.episode is not None:
        return data.subset(data.episode == data.episode[0])
    return data.take(slice(0, 4))


def _check_loss(loss: Loss, module: nn.Module, batch: PolicyData) -> None:
    value = loss(module, batch)
    wanted = [1] if loss.unit == "episode" else [len(batch)]
    if not isinstance(value, Tensor) or list(value.shape) != wanted:
        shape = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise InputError(f"loss {loss.name} returned {shape}; it must be one per sample, {wanted}")
    if not bool(torch.isfinite(value).all()):
        raise InputError(f"loss {loss.name} is not finite at the policy's own weights")
