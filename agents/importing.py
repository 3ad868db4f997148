"""Agents trained elsewhere, as runs with one checkpoint that can be studied."""

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from agents.checkpoints import (
    NetworkSpec,
    find_checkpoint,
    load_policy,
    load_tensors_into,
    save_checkpoint,
    write_index,
)
from agents.config import TrainConfig
from agents.files import atomic_dir, remove_leftovers, write_json
from agents.networks import NETWORKS
from agents.run import CONFIG, UNNAMED, Run, run_entry
from rl_slt import InputError

# SB3's CnnPolicy without hidden layers is our NatureCNN under other names.
SB3_NAMES = {
    "features_extractor.cnn.0": "body.conv1",
    "features_extractor.cnn.2": "body.conv2",
    "features_extractor.cnn.4": "body.conv3",
    "features_extractor.linear.0": "body.fc",
    "action_net": "policy_head",
    "value_net": "value_head",
}
# The same tensors again, as SB3 lists them for the parts that share them.
SB3_COPIES = ("pi_features_extractor.", "vf_features_extractor.")


def import_agent(
    source: Path,
    out: Path,
    *,
    config: TrainConfig | None = None,
    step: int | None = None,
    arm: str = UNNAMED,
) -> None:
    """Write the agent in `source` as a run of kind `import` with one checkpoint, whole or not.

    Args:
        source: a stable-baselines3 zip (its NatureCNN, or a network of `agents`), or plain weights:
            a `.safetensors` or a torch file holding one state dict under the names of our networks.
            Only tensors are read from any of them, and no code is run.
        out: the run's folder, new or empty; one that holds this very import is left as it is.
        config: where the agent was trained (placement, levels, settings); the network is found
            from the weights, unless `config` names the one that fits.
        step: environment steps it was trained for; None takes what the zip says, else 0.
        arm: the condition of a study that the run belongs to, for config.json.

    Raises:
        InputError: no such file, not an agent, or an architecture that is not known here.
    """
    source, out = Path(source), Path(out)
    _check_place(out)
    tensors, recorded = read_weights(source)
    config = config or TrainConfig()
    spec, network = find_network(tensors, config, source)
    step = recorded if step is None else step
    if not 0 <= step < 10**12:
        raise InputError.of("steps", step, "an integer from 0 to 10^12 - 1")
    config = config.replace(network=spec.name, network_kwargs=dict(spec.kwargs), steps=max(1, step))
    entry = run_entry(out, arm, config, "import") | {"source": str(source)}
    if Run(out).exists:
        if not _holds(Run(out), entry, step, network):
            raise InputError(f"{out} is not empty; choose a new folder")
        return
    final = out.resolve()
    remove_leftovers(final.parent, final.name)
    with atomic_dir(final) as folder:
        save_checkpoint(folder, step, network, spec, {})
        write_index(folder, finished=True)
        write_json(folder / CONFIG, entry)


def _check_place(out: Path) -> None:
    """Raise InputError where no folder can be put: below a file, or in place of something else."""
    if out.resolve() == Path.cwd():
        raise InputError(f"{out} is the folder that the command runs in; name a new one")
    above = next(path for path in out.absolute().parents if path.exists())
    if not above.is_dir():
        raise InputError(f"{out} is not allowed: {above} is not a folder")
    if out.exists() and not Run(out).exists and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is not empty; choose a new folder")


def _holds(run: Run, entry: Mapping[str, Any], step: int, network: torch.nn.Module) -> bool:
    """Whether `run` is this very import, finished by a command that was killed at its end."""
    try:
        theirs = load_policy(find_checkpoint(run.path, step)).state_dict()
        same = all(run.config.get(k) == entry[k] for k in ("kind", "source", "train", "arm"))
    except InputError:
        return False
    ours = network.state_dict()
    if not same or ours.keys() != theirs.keys():
        return False
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


def read_weights(source: Path) -> tuple[dict[str, torch.Tensor], int]:
    """The tensors in `source` under our names, and the steps it says it was trained for."""
    if not source.is_file():
        raise InputError(f"{source} does not exist or is not a file")
    try:
        if source.suffix == ".safetensors":
            return load_file(source), 0
        if source.suffix == ".zip":
            return _read_sb3(source)
        loaded = torch.load(source, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except Exception as error:  # every loader has errors of its own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{source} cannot be read as weights: {reason}") from error
    return _state_dict(loaded, source), 0


def find_network(
    tensors: Mapping[str, torch.Tensor], config: TrainConfig, source: Path
) -> tuple[NetworkSpec, torch.nn.Module]:
    """The first network that takes `tensors`: the one `config` names, else any with defaults."""
    head = tensors.get("policy_head.weight")
    if head is None or head.ndim != 2:
        raise InputError(f"{source} holds no policy known here: 'policy_head.weight' is missing")
    shared = {} if not any(n.startswith("value_body.") for n in tensors) else {"shared": False}
    candidates = [(config.network, {**config.network_kwargs, **shared})]
    candidates += [(name, dict(shared)) for name in NETWORKS]
    for name, kwargs in candidates:
        spec = NetworkSpec(name, kwargs, head.shape[0])
        network = spec.build()
        try:
            load_tensors_into(network, tensors, source)
        except InputError:
            continue
        return spec, network
    raise InputError(
        f"{source} fits no network here; tried: {', '.join(dict(candidates))}; "
        "name its network and settings if they are not the usual ones"
    )


def _read_sb3(source: Path) -> tuple[dict[str, torch.Tensor], int]:
    """Weights and step count of an SB3 zip; its pickled settings stay unread."""
    with zipfile.ZipFile(source) as archive:
        if not {"policy.pth", "data"} <= set(archive.namelist()):
            raise InputError(f"{source} is no stable-baselines3 agent: it lacks policy.pth or data")
        policy = io.BytesIO(archive.read("policy.pth"))
        steps = json.loads(archive.read("data")).get("num_timesteps", 0)
    loaded = _state_dict(torch.load(policy, map_location="cpu", weights_only=True), source)
    return dict(_rename(loaded)), int(steps) if isinstance(steps, int) else 0


def _rename(tensors: Mapping[str, torch.Tensor]) -> list[tuple[str, torch.Tensor]]:
    """SB3's names in those of `agents`; its networks, trained by SB3, stand under `network.`."""
    out = []
    for name, tensor in tensors.items():
        if name.startswith("network."):
            out.append((name.removeprefix("network."), tensor))
        elif not name.startswith(SB3_COPIES):
            module, _, parameter = name.rpartition(".")
            out.append((f"{SB3_NAMES.get(module, module)}.{parameter}", tensor))
    return out


def _state_dict(loaded: Any, source: Path) -> dict[str, torch.Tensor]:
    """`loaded` itself if it is a state dict, or the one in its usual places."""
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    if not isinstance(loaded, dict) or not all(torch.is_tensor(v) for v in loaded.values()):
        raise InputError(f"{source} holds no state dict of tensors")
    return dict(loaded)
