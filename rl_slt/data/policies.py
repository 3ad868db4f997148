"""Policies as they come, made into what losses read: finite logits `[B, A]` in float32."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Categorical
from torch.utils._pytree import tree_leaves

from rl_slt.data.policy_data import PolicyData
from rl_slt.errors import InputError

MASKED = -1e9  # a logit that stands for -inf, probability 0, and gives no NaN in 0 log 0
LOW = (torch.float16, torch.bfloat16)
SAME = 1e-4  # relative difference of outputs that is put down to rounding
SEEN, FEW = 64, 8  # states that are looked at for masked actions, and for all else


def copy_policy(policy: nn.Module) -> nn.Module:
    """A copy, also of a module that keeps results of its last call, which torch would not copy."""
    memo: dict[int, Any] = {}
    for module in policy.modules():
        for value in tree_leaves([v for k, v in vars(module).items() if k != "_modules"]):
            if isinstance(value, Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach()
    return copy.deepcopy(policy, memo)


def readable_policy(policy: nn.Module, data: PolicyData) -> tuple[nn.Module, PolicyData]:
    """A copy of a policy in evaluation mode whose outputs every loss can read, and its data.

    Parameters and states of half precision become float32. An output in a list or as a
    `Categorical` becomes logits, a logit of -inf becomes `MASKED`; a policy of stable-baselines3
    gives logits and values in place of actions. Global random state is left as it is.

    Args:
        policy: left as it is.
        data: states `[N, ...]`, and records.

    Raises:
        InputError: it cannot take the states, its output is in another form, it is random, or its
            output for a state depends on the others in the batch.
    """
    module = copy_policy(policy).eval()
    if any(tensor.dtype in LOW for tensor in (*module.parameters(), *module.buffers())):
        module = module.float()
        if data.states.dtype in LOW:
            data = data.with_fields(states=data.states.float())
    if hasattr(module, "action_net") and hasattr(module, "mlp_extractor"):
        module.forward = MethodType(_sb3_outputs, module)
    places = [data.states.device] if data.states.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=places), torch.no_grad():
            spaced = torch.linspace(0, len(data) - 1, min(SEEN, len(data))).long()
            convert = _converter(module(data.states[spaced.to(data.states.device)]))
            _check_function(module, data.states[:FEW])
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, TypeError, IndexError) as error:
        raise cannot_take(data, error) from error
    if convert is not None:
        module.register_forward_hook(convert)
    return module, data


def cannot_take(data: PolicyData, error: Exception) -> InputError:
    """The error of a policy that fails on states."""
    text = str(error).partition("\n")[0]
    return InputError(f"the policy cannot take states {list(data.states.shape)}: {text}")


def _first(output: Any) -> Any:
    """What stands for the logits in an output."""
    output = output[0] if isinstance(output, tuple | list) and output else output
    return output.logits if isinstance(output, Categorical) else output


def _converter(output: Any) -> Callable[[nn.Module, Any, Any], Any] | None:
    """What makes outputs of this form readable; None for those that are.

    Raises:
        InputError: it holds no logits, or not first.
    """
    logits, wanted = _first(output), "it must return logits [B, A], or (logits, value)"
    if not isinstance(logits, Tensor):
        raise InputError(f"the policy returned a {type(logits).__name__}; {wanted}")
    if not logits.is_floating_point():
        raise InputError(f"the policy returned {logits.dtype} first, as of actions; {wanted}")
    second = output[1] if isinstance(output, tuple | list) and len(output) > 1 else None
    narrow = logits.ndim == 1 or logits.shape[-1] == 1
    if narrow and isinstance(second, Tensor) and second.ndim == 2 and second.shape[1] > 1:
        shapes = f"{list(logits.shape)} and then {list(second.shape)}"
        raise InputError(f"the policy returned {shapes}; {wanted}, in this order")
    if bool((logits == -torch.inf).any()):
        return _masked_outputs
    held = output[0] if isinstance(output, tuple) else output
    return None if held is logits else _plain_outputs


def _check_function(module: nn.Module, states: Tensor) -> None:
    """Raise InputError unless a state's output is the same twice, and in another batch."""
    once = _first(module(states))
    if not _same(once, _first(module(states))):
        raise InputError(
            "the policy is random: two calls on the same states differ; it must be a function of "
            "the state (in evaluation mode, which functional dropout ignores)"
        )
    half = len(states) // 2
    if not half:
        return
    try:
        parts = [_first(module(part)) for part in (states[:half], states[half:])]
    except ValueError:  # batch normalization of a single state
        parts = []
    if not parts or not _same(once, torch.cat(parts)):
        raise InputError(
            "the policy depends on the batch: outputs differ where fewer states are given with a "
            "state; it must be a function of one (BatchNorm needs running statistics)"
        )


def _same(one: Tensor, other: Tensor) -> bool:
    one, other = one.double(), other.double()
    scale = 1 + float(one.nan_to_num(0, 0, 0).abs().max())
    return torch.allclose(one, other, rtol=SAME, atol=SAME * scale, equal_nan=True)


def _plain_outputs(module: nn.Module, inputs: Any, output: Any) -> Any:
    if isinstance(output, tuple | list):
        return _first(output), *output[1:]
    return _first(output)


def _masked_outputs(module: nn.Module, inputs: Any, output: Any) -> Any:
    output = _plain_outputs(module, inputs, output)
    if isinstance(output, tuple):
        return output[0].clamp_min(MASKED), *output[1:]
    return output.clamp_min(MASKED)


def _sb3_outputs(self: Any, obs: Tensor) -> tuple[Tensor, Tensor]:
    """Logits `[B, A]` and values `[B]` of an `ActorCriticPolicy`, in place of its actions.

    Frames may come as it saw them, `[B, C, H, W]`, or as the environment gives them.
    """
    if not hasattr(self.action_space, "n"):
        raise InputError(f"the policy acts in {self.action_space}; actions must be discrete")
    shape = tuple(self.observation_space.shape)
    if len(shape) == 3 and tuple(obs.shape[1:]) == (*shape[1:], shape[0]) != shape:
        obs = obs.permute(0, 3, 1, 2)
    features = self.extract_features(obs)
    if self.share_features_extractor:
        policy, value = self.mlp_extractor(features)
    else:
        policy = self.mlp_extractor.forward_actor(features[0])
        value = self.mlp_extractor.forward_critic(features[1])
    return self.action_net(policy), self.value_net(value).flatten()
