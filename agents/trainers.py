"""Whose agents can be read: how each trainer names the weights of networks that are here, too.

Another trainer is one more record in `TRAINERS`.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from agents.networks import ACTIVATIONS, NETWORKS
from rl_slt import InputError

Tensors = dict[str, torch.Tensor]

# Parts of names that wrappers of modules put in: torch.compile, DataParallel and its kin.
WRAPPERS = {"_orig_mod", "module"}
MOST_LAYERS = 8  # hidden ones between body and head
RECURRENT = ("gru", "lstm", "rnn")


@dataclass(frozen=True)
class Weights:
    """What a file of an agent holds.

    Attributes:
        tensors: by the trainer's names.
        record: what it says besides, in JSON's types; empty where it says nothing.
        step: environment steps it was trained for; None where it does not say.
    """

    tensors: Tensors
    record: Mapping[str, Any] = field(default_factory=dict)
    step: int | None = None


@dataclass(frozen=True)
class Trainer:
    """How one trainer's agents are recognized and read.

    Attributes:
        name: as people call it.
        mark: the tensor by which its agents are known: the weights `[K, width]` of the logits.
        names: modules of ours by its own; others keep their names.
        prepare: `(tensors, record) -> (tensors, settings)`: tensors without those that say nothing
            more, and settings of the network that tensors do not tell; raises InputError for an
            agent whose outputs would be others here.
    """

    name: str
    mark: str
    names: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[Tensors, Mapping[str, Any]], tuple[Tensors, dict[str, Any]]] = (
        lambda tensors, record: (tensors, {})
    )


@dataclass(frozen=True)
class Agent:
    """An agent under our names.

    Attributes:
        trainer: name of who trained it.
        tensors: its weights.
        settings: of the network, those that the weights' shapes do not tell.
        step: environment steps it was trained for; None where it is not known.
    """

    trainer: str
    tensors: Tensors
    settings: dict[str, Any]
    step: int | None


def read_agent(weights: Weights, source: Path) -> Agent:
    """The agent in a file's weights.

    Args:
        weights: of the file.
        source: the file, for messages.

    Raises:
        InputError: no trainer known here, or an agent that cannot act the same here.
    """
    tensors = {_plain(name): tensor for name, tensor in weights.tensors.items()}
    trainer = next((t for t in TRAINERS if t.mark in tensors), None)
    if trainer is None:
        known = ", ".join(f"{t.mark} ({t.name})" for t in TRAINERS)
        raise InputError(f"{source} holds no policy known here: it has none of {known}")
    tensors, settings = trainer.prepare(tensors, weights.record)
    ours = {}
    for name, tensor in tensors.items():
        module, _, parameter = name.rpartition(".")
        if any(part in RECURRENT for part in module.split(".")):
            raise InputError(
                f"{source} holds a recurrent policy ({module}); it must be of frames alone"
            )
        ours[f"{trainer.names.get(module, module)}.{parameter}"] = tensor
    return Agent(trainer.name, ours, settings, weights.step)


def network_settings(agent: Agent, name: str) -> dict[str, Any]:
    """The settings with which the network `name` has an agent's weights, defaults left out.

    Raises:
        KeyError: the weights are not of this network.
    """
    tensors = agent.tensors
    body = {n.removeprefix("body."): t for n, t in tensors.items() if n.startswith("body.")}
    usual = inspect.signature(NETWORKS[name]).parameters
    found = {k: v for k, v in NETWORKS[name].settings_of(body).items() if v != usual[k].default}
    if any(n.startswith("value_body.") for n in tensors):
        found["shared"] = False
    for part in ("policy_layers", "value_layers"):
        weights = [f"{part}.{i}.weight" for i in range(0, 2 * MOST_LAYERS, 2)]
        if widths := [tensors[n].shape[0] for n in weights if n in tensors]:
            found[part] = widths
    return found | agent.settings


def _plain(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def _within(names: Mapping[str, str], theirs: str, ours: str) -> dict[str, str]:
    return {f"{theirs}.{a}": f"{ours}.{b}" for a, b in names.items()}


def _sb3_own(tensors: Tensors, record: Mapping[str, Any]) -> tuple[Tensors, dict[str, Any]]:
    """A network of ours as stable-baselines3 keeps it: under `network.`, and it scales frames."""
    return {name.removeprefix("network."): tensor for name, tensor in tensors.items()}, {}


def _sb3(tensors: Tensors, record: Mapping[str, Any]) -> tuple[Tensors, dict[str, Any]]:
    """One body where policy and value share it; frames and layers as the settings say."""
    space, more = record.get("observation_space") or {}, record.get("policy_kwargs") or {}
    shape, dtype = space.get("_shape", [3, 64, 64]), space.get("dtype", "uint8")
    if dtype != "uint8" or sorted(shape) != [3, 64, 64]:
        hint = "frame stacks, other sizes and frames that a wrapper scales cannot be shown to it"
        raise InputError.of("observation_space", f"{shape} {dtype}", "[3, 64, 64] uint8", hint)
    settings: dict[str, Any] = {}
    if not more.get("normalize_images", True):
        settings["normalize_images"] = False
    activation = str(more.get("activation_fn", "Tanh")).rstrip("'>").rpartition(".")[2].lower()
    if activation not in ACTIVATIONS and any(n.startswith("mlp_extractor.") for n in tensors):
        raise InputError.of("activation_fn", activation, f"one of {', '.join(ACTIVATIONS)}")
    if activation != "tanh":
        settings["activation"] = activation
    policy, value = (
        {n.removeprefix(part): t for n, t in tensors.items() if n.startswith(part)}
        for part in ("pi_features_extractor.", "vf_features_extractor.")
    )
    # It lists a shared body three times, else the policy's twice.
    copies = ["features_extractor."] if policy else []
    if all(torch.equal(policy[n], value[n]) for n in policy):
        copies.append("vf_features_extractor.")
    return {n: t for n, t in tensors.items() if not n.startswith(tuple(copies))}, settings


def _impala(section: str, residual: str, first: int) -> dict[str, str]:
    """The names of IMPALA's convolutions in ours, of a trainer that counts from `first`."""
    sections, pair = range(3), range(2)
    names = {f"{section.format(s + first)}.conv": f"body.section{s + 1}.conv" for s in sections}
    return names | {
        f"{section.format(s + first)}.{residual.format(r + first, c + first)}":
        f"body.section{s + 1}.residual{r + 1}.conv{c + 1}"
        for s in sections for r in pair for c in pair
    }  # fmt: skip


SB3_BODY = {"cnn.0": "conv1", "cnn.2": "conv2", "cnn.4": "conv3", "linear.0": "fc"}
HIDDEN = {str(i): str(i) for i in range(2 * MOST_LAYERS)}

TRAINERS = (
    Trainer("rl-slt", "policy_head.weight"),
    Trainer("a network of rl-slt in stable-baselines3", "network.policy_head.weight", {}, _sb3_own),
    Trainer(
        "stable-baselines3",
        "action_net.weight",
        {"action_net": "policy_head", "value_net": "value_head"}
        | _within(SB3_BODY, "features_extractor", "body")
        | _within(SB3_BODY, "pi_features_extractor", "body")
        | _within(SB3_BODY, "vf_features_extractor", "value_body")
        | _within(HIDDEN, "mlp_extractor.policy_net", "policy_layers")
        | _within(HIDDEN, "mlp_extractor.value_net", "value_layers"),
        _sb3,
    ),
    # joonleesky/train-procgen-pytorch and what came of it, the agents of Langosco et al. (2022).
    Trainer(
        "train-procgen-pytorch",
        "fc_policy.weight",
        {"fc_policy": "policy_head", "fc_value": "value_head", "embedder.fc": "body.fc"}
        | _impala("embedder.block{}", "res{}.conv{}", first=1),
    ),
    Trainer(
        "CleanRL (ppo_procgen)",
        "actor.weight",
        {"actor": "policy_head", "critic": "value_head", "network.5": "body.fc"}
        | _impala("network.{}", "res_block{}.conv{}", first=0),
    ),
)  # fmt: skip
