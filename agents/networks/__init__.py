"""Networks by name: one registry, one function that builds."""

import inspect
from typing import Any

from agents.networks.base import ActorCritic, Body
from agents.networks.cnn import NatureBody, PatchBody, SmallBody
from agents.networks.impala import ImpalaBody
from rl_slt import InputError

__all__ = ["NETWORKS", "ActorCritic", "Body", "build_network"]

NETWORKS: dict[str, type[Body]] = {
    "patch": PatchBody,
    "small": SmallBody,
    "nature": NatureBody,
    "impala": ImpalaBody,
}

_WIDEST = 4096  # no layer is wider: a damaged file must not ask for all memory


def build_network(name: str, n_actions: int = 15, *, shared: bool = True, **kw: Any) -> ActorCritic:
    """A new network, initialized from torch's global generator.

    Args:
        name: a key of `NETWORKS`.
        n_actions: number of logits A.
        shared: one body for policy and value, or one each.
        kw: settings of the body (`width`, `obs_shape`, `multiplier`).

    Returns:
        A module from frames uint8 `[B, H, W, C]` to (logits `[B, A]`, value `[B]`).

    Raises:
        InputError: unknown name or setting.
    """
    check_network(name, kw)
    body = NETWORKS[name]
    try:
        return ActorCritic(lambda: body(**kw), n_actions, shared=shared)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"network {name!r} cannot be built with {kw}: {error}") from error


def check_network(name: str, kw: dict[str, Any]) -> None:
    """Raise InputError unless `name` is known and takes the settings `kw`."""
    if name not in NETWORKS:
        raise InputError.of("network", name, f"one of {', '.join(sorted(NETWORKS))}")
    allowed = set(inspect.signature(NETWORKS[name]).parameters) | {"shared"}
    if wrong := sorted(set(kw) - allowed):
        raise InputError(
            f"{wrong[0]}: unknown setting of network {name!r}; "
            f"allowed: {', '.join(sorted(allowed))}"
        )
    # Before any memory is asked for.
    width, multiplier = kw.get("width", 1), kw.get("multiplier", 1)
    if type(width) is not int or not 1 <= width <= _WIDEST:
        raise InputError.of("width", width, f"an integer from 1 to {_WIDEST}")
    if type(multiplier) not in (int, float) or not 0 < multiplier <= _WIDEST / 32:
        raise InputError.of("multiplier", multiplier, f"positive and at most {_WIDEST // 32}")
