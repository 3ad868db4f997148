"""Convolutions in bfloat16, where that is faster, everything else in float32.

What is rounded is what goes into a convolution, to 8 bits; its sums are made in float32, and the
logits come from float32 products. A KL of two policies computed so differs by some 1e-6 nats from
that of float32, at w* as elsewhere: `posterior.target.Target` takes the loss at w* in the same
precision, so that the excess carries the difference of two such errors alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from rl_slt.losses.base import Policy


def wants_bfloat16(precision: str) -> bool:
    """Whether convolutions are made in bfloat16; `auto`: where the processor has units for it.

    Without them (Intel calls its AMX), or where torch is held to AVX2, bfloat16 takes twice as long
    as float32; with AVX-512's pairs 1.1 to 1.3 times as long.
    """
    if precision == "auto":
        held = torch.backends.cpu.get_cpu_capability() != "AVX512"
        return bool(torch.cpu._is_amx_tile_supported()) and not held
    return precision == "bfloat16"


@contextmanager
def full_float32(policy: nn.Module) -> Iterator[None]:
    """Products of all 24 bits on a GPU, and the same each time; torch's settings come back after.

    Left to itself torch may round them to 11 bits (TF32) and sum them in any order there. cuDNN's
    recurrent layers have no gradient in evaluation mode; without it torch's own are taken.
    """
    if all(parameter.device.type == "cpu" for parameter in policy.parameters()):
        yield
        return
    cudnn: Any = torch.backends.cudnn
    recurrent = any(isinstance(module, nn.RNNBase) for module in policy.modules())
    wanted: list[tuple[Any, str, Any]] = [
        (cudnn.conv, "fp32_precision", "ieee"),
        (torch.backends.cuda.matmul, "fp32_precision", "ieee"),
        (cudnn, "deterministic", True),
        (cudnn, "benchmark", False),
        (cudnn, "enabled", cudnn.enabled and not recurrent),
    ]
    before = [getattr(owner, name) for owner, name, _ in wanted]
    try:
        for owner, name, value in wanted:
            setattr(owner, name, value)
        yield
    finally:
        for (owner, name, _), value in zip(wanted, before, strict=True):
            setattr(owner, name, value)


class _Linear(TorchFunctionMode):
    """Linear layers in float32 whatever comes in."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if func is not functional.linear:
            return func(*args, **(kwargs or {}))
        with torch.autocast("cpu", enabled=False):
            return func(args[0].float(), *args[1:], **(kwargs or {}))


def in_bfloat16(policy: Policy) -> Policy:
    """The policy with its convolutions in bfloat16; outputs are float32."""

    def rounded(states: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        with torch.autocast("cpu", torch.bfloat16), _Linear():
            out = policy(states)
        return (out[0].float(), out[1].float()) if isinstance(out, tuple) else out.float()

    return rounded
