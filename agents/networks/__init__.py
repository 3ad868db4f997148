"""Networks by name: one registry, one function that builds."""

import inspect
from typing import Any

from agents.networks.base import ACTIVATIONS, ActorCritic, Body, spread_logits
from agents.networks.cnn import NatureBody, PatchBody, SmallBody
from agents.networks.grid import GridConvBody, MLPBody
from agents.networks.impala import ImpalaBody
from rl_slt import InputError

__all__ = [
    "ACTIVATIONS",
    "NETWORKS",
    "ActorCritic",
    "Body",
    "build_network",
    "check_actions",
    "spread_logits",
]

NETWORKS: dict[str, type[Body]] = {
    "patch": PatchBody,
    "small": SmallBody,
    "nature": NatureBody,
    "impala": ImpalaBody,
    "mlp": MLPBody,
    "conv": GridConvBody,
}
"""All network bodies, by name."""

_WIDEST = 4096  # no layer is wider: a damaged file must not ask for all memory


# Settings of the whole network, whatever its body.
_OWN = set(inspect.signature(ActorCritic).parameters) - {"make_body", "n_actions"}


def build_network(name: str, n_actions: int = 15, **kw: Any) -> ActorCritic:
    """A new network, initialized from torch's global generator.

    Args:
        name: a key of `NETWORKS`.
        n_actions: number of logits A.
        kw: settings of the body (`width`, `obs_shape`, `multiplier`), and those of `ActorCritic`
            (`shared`, `policy_layers`, `value_layers`, `activation`, `normalize_images`,
            `actions`, `critic`).

    Returns:
        A module from frames uint8 `[B, H, W, C]` to (logits `[B, A]`, value `[B]`).

    Raises:
        InputError: unknown name or setting.
    """
    check_network(name, kw, n_actions)
    own = {key: value for key, value in kw.items() if key in _OWN}
    of_body = {key: value for key, value in kw.items() if key not in _OWN}
    try:
        return ActorCritic(lambda: NETWORKS[name](**of_body), n_actions, **own)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"network {name!r} cannot be built with {kw}: {error}") from error


def check_network(name: str, kw: dict[str, Any], n_actions: int = 15) -> None:
    """Raise InputError unless `name` is known and takes the settings `kw`."""
    if name not in NETWORKS:
        raise InputError.of("network", name, f"one of {', '.join(sorted(NETWORKS))}")
    allowed = [*inspect.signature(NETWORKS[name]).parameters, *sorted(_OWN)]
    if wrong := sorted(set(kw).difference(allowed)):
        raise InputError(
            f"{wrong[0]}: unknown setting of network {name!r}; allowed: {', '.join(allowed)}"
        )
    # Before any memory is asked for.
    widths = [kw.get("width", 1)]
    for layers in (kw.get("policy_layers", []), kw.get("value_layers", [])):
        widths += layers if isinstance(layers, list | tuple) else [layers]
    for width in widths:
        if type(width) is not int or not 1 <= width <= _WIDEST:
            raise InputError.of("width", width, f"an integer from 1 to {_WIDEST}")
    multiplier = kw.get("multiplier", 1)
    if type(multiplier) not in (int, float) or not 0 < multiplier <= _WIDEST / 32:
        raise InputError.of("multiplier", multiplier, f"positive and at most {_WIDEST // 32}")
    activation = kw.get("activation", "tanh")
    if activation not in ACTIVATIONS:
        raise InputError.of("activation", activation, f"one of {', '.join(ACTIVATIONS)}")
    check_actions(kw.get("actions"), n_actions)


def check_actions(actions: Any, n_actions: int) -> None:
    """Raise InputError unless `actions` is None or lists different actions of `n_actions`."""
    if actions is None:
        return
    known = list(actions) if isinstance(actions, list | tuple) else []
    if not known or len(set(known)) < len(known) or not set(known) <= set(range(n_actions)):
        allowed = f"a list of different actions, integers from 0 to {n_actions - 1}"
        raise InputError.of("actions", actions, allowed)
