"""Policies of one's own: modules that a function of the user's makes of a file of weights.

The function is named as `package.module:function`, or is an entry point of the group
`rl_slt.policies`. It gets the path of the file and returns a module from frames uint8
`[B, 64, 64, 3]` to logits `[B, K]` or `(logits, value)`, as for `rl_slt.estimate_llc`.

A run that names such a function can come from anyone, and to call it is to run code. So later
commands call only entry points, which their package's author declared for this, and functions that
the environment variable `RL_SLT_TRUST` names (with commas between them).
"""

import math
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import torch

from agents.networks import spread_logits
from rl_slt import InputError

GROUP, TRUST = "rl_slt.policies", "RL_SLT_TRUST"


class OwnPolicy(torch.nn.Module):
    """A user's module with outputs in the form of ours: logits `[B, A]` and values `[B]`.

    Args:
        policy: from frames to logits `[B, K]`, or `(logits, value)`; without a value it is NaN.
        actions: the actions that its logits are of; None is all.
        n_actions: number of actions A.
    """

    def __init__(
        self, policy: torch.nn.Module, actions: Sequence[int] | None, n_actions: int
    ) -> None:
        super().__init__()
        self.policy, self.actions, self.n_actions = policy, actions, n_actions

    def forward(self, obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Frames uint8 `[B, H, W, C]` to logits `[B, A]` and values `[B]`."""
        out = self.policy(obs)
        logits, value = out if isinstance(out, tuple) else (out, None)
        if self.actions is not None:
            logits = spread_logits(logits, self.actions, self.n_actions)
        if value is None:
            value = logits.new_full((len(logits),), math.nan)
        return logits, value.reshape(-1)


def loader_name(text: str) -> str | None:
    """The `package.module:function` that a text names, itself or as an entry point; else None."""
    for point in entry_points(group=GROUP):
        if point.name == text:
            return point.value
    package, colon, function = text.partition(":")
    parts = [*package.split("."), *function.split(".")]
    return text if colon and all(part.isidentifier() for part in parts) else None


def is_loader(text: str) -> bool:
    """Whether a text names a function that makes policies, and no file.

    Args:
        text: as `rl-slt import` takes it: `package.module:function`, the name of an entry point, or
            a file.
    """
    return not Path(text).exists() and loader_name(text) is not None


def build_own(
    name: str,
    folder: Path,
    n_actions: int,
    *,
    file: str,
    actions: Sequence[int] | None = None,
    **_: Any,
) -> OwnPolicy:
    """The policy of a checkpoint that a function of the user's makes.

    Args:
        name: `package.module:function`.
        folder: of the checkpoint.
        n_actions: number of logits A.
        file: name of the file in it that the function reads.
        actions: the actions that the module's logits are of; None is all.

    Raises:
        InputError: the function is not trusted, cannot be loaded, or returns no module.
    """
    trusted = {point.value for point in entry_points(group=GROUP)}
    if name not in trusted | set(os.environ.get(TRUST, "").split(",")):
        raise InputError(
            f"{folder} is read by {name}, which is code that is not trusted here; if you know it, "
            f"set {TRUST}={name}, or declare it as an entry point of the group {GROUP}"
        )
    return OwnPolicy(call_loader(name, folder / Path(file).name), actions, n_actions)


def call_loader(name: str, path: Path) -> torch.nn.Module:
    """The module that a function makes of a file.

    Args:
        name: `package.module:function`; found in the working folder, too.
        path: of the file.

    Raises:
        InputError: the function cannot be loaded, or returns no module.
    """
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # last: nothing there may shadow what is installed
    try:
        loader: Callable[[Path], Any] = resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError.of("loader", name, "a function that can be imported", str(error)) from None
    module = loader(path)
    if not isinstance(module, torch.nn.Module):
        hint = f"it returned a {type(module).__name__}"
        raise InputError.of("loader", name, "a function that returns a torch.nn.Module", hint)
    return module.float().eval()
