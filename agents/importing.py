"""Agents trained elsewhere, as runs whose checkpoints can be studied."""

import io
import json
import re
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from glob import glob, has_magic
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from agents.checkpoints import (
    NetworkSpec,
    load_tensors_into,
    read_header,
    read_tensors,
    save_checkpoint,
    write_index,
)
from agents.config import TrainConfig
from agents.files import atomic_dir, remove_leftovers, write_json
from agents.networks import NETWORKS, check_actions
from agents.own import OwnPolicy, call_loader, loader_name
from agents.run import CONFIG, UNNAMED, Run, run_entry
from agents.trainers import Agent, Weights, network_settings, read_agent
from envs import N_ACTIONS
from rl_slt import InputError

SUFFIXES = (".zip", ".safetensors", ".pth", ".pt")  # may be left out
# How trainers name the files of a series: rl_model_500000_steps, model_500000.
STEP_IN_NAME = re.compile(r"(\d+)_steps?|(?:model|steps?|checkpoint)[_-](\d+)")


def import_agent(
    source: Path | str | Sequence[Path | str],
    out: Path,
    *,
    config: TrainConfig | None = None,
    step: int | Sequence[int] | None = None,
    arm: str = UNNAMED,
    actions: Sequence[int] | None = None,
    loader: str | None = None,
    trust: bool = False,
) -> None:
    """Write the agents in `source` as the checkpoints of a run of kind `import`, whole or not.

    Args:
        source: files, each of a trainer in `agents.trainers`: a stable-baselines3 zip, or weights
            in a `.safetensors` or a torch file; a pattern as `logs/*.zip` is the files it matches,
            and a suffix may be left out. Several are checkpoints of one training.
        out: the run's folder, new or empty; one that holds this very import is left as it is.
        config: where the agent was trained (placement, levels, settings); the network is found
            from the weights, unless `config` names the one that fits.
        step: environment steps that each file was trained for; None takes what the file or its
            name says, else 0 for a single one.
        arm: the condition of a study that the run belongs to, for config.json.
        actions: which of procgen's 15 actions each of the agent's is, for an agent that was
            trained behind a wrapper with others.
        loader: a function `package.module:function` of one's own that makes a module of each file
            (`agents.own`).
        trust: whether a torch file may run the code in it; else only tensors are read.

    Raises:
        InputError: no such file, not an agent, one that cannot act here as it was trained, or a
            step that nothing tells.
    """
    out, config = Path(out), config or TrainConfig()
    _check_place(out)
    check_actions(actions, N_ACTIONS)
    files = find_files([source] if isinstance(source, str | Path) else source)
    steps = [step] if isinstance(step, int) else step
    if steps is not None and len(steps) != len(files):
        raise InputError.of("steps", list(steps), f"{len(files)}, one for each file")
    found: dict[int, tuple[Path, NetworkSpec, torch.nn.Module]] = {}
    for number, file in enumerate(files):
        known, spec, network = _read(file, config, actions, loader, trust)
        at = known if steps is None else steps[number]
        if at is None and len(files) > 1:
            hint = "the files do not say; give one for each"
            raise InputError(f"steps of {file}: must be given; {hint}")
        at = at or 0
        if not 0 <= at < 10**12:
            raise InputError.of("steps", at, "an integer from 0 to 10^12 - 1")
        if at in found:
            raise InputError(f"{file} and {found[at][0]} are both of step {at}; give one of them")
        found[at] = file, spec, network
    specs = [spec for _, spec, _ in found.values()]
    if any((s.name, s.kwargs) != (specs[0].name, specs[0].kwargs) for s in specs):
        raise InputError(f"{files[0]} and the others hold different networks; import each alone")
    config = config.replace(
        network=specs[0].name, network_kwargs=dict(specs[0].kwargs), steps=max(1, *found)
    )
    entry = run_entry(out, arm, config, "import") | {"source": [str(file) for file in files]}
    if Run(out).exists:
        if not _holds(Run(out), entry, {at: network for at, (_, _, network) in found.items()}):
            raise InputError(f"{out} is not empty; choose a new folder")
        return
    final = out.resolve()
    remove_leftovers(final.parent, final.name)
    with atomic_dir(final) as folder:
        for at, (file, spec, network) in found.items():
            checkpoint = save_checkpoint(folder, at, network, spec, {})
            if loader is not None:
                shutil.copyfile(file, checkpoint.path / spec.kwargs["file"])
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


def _holds(run: Run, entry: Mapping[str, Any], networks: Mapping[int, torch.nn.Module]) -> bool:
    """Whether `run` is this very import, finished by a command that was killed at its end."""
    if any(run.config.get(k) != entry[k] for k in ("kind", "source", "train", "arm")):
        return False
    try:
        there = {c.step: read_tensors(c.path, read_header(c.path).sha256) for c in run.checkpoints}
    except InputError:
        return False
    return there.keys() == networks.keys() and all(
        _equal(network.state_dict(), there[step]) for step, network in networks.items()
    )


def _equal(ours: Mapping[str, torch.Tensor], theirs: Mapping[str, torch.Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[n], theirs[n]) for n in ours)


def find_files(sources: Sequence[Path | str]) -> list[Path]:
    """The files that are named, patterns resolved and suffixes added, none twice.

    Raises:
        InputError: one is not there, or a pattern matches nothing.
    """
    found: dict[Path, None] = {}
    for source in map(Path, sources):
        if not source.exists() and has_magic(str(source)):
            some = [Path(name) for name in sorted(glob(str(source)))]
        else:
            ended = [Path(f"{source}{suffix}") for suffix in SUFFIXES]
            some = [path for path in (source, *ended) if path.is_file()][:1]
        if not some:
            raise InputError(f"{source} does not exist or is not a file")
        found |= dict.fromkeys(some)
    return list(found)


def _read(
    file: Path,
    config: TrainConfig,
    actions: Sequence[int] | None,
    loader: str | None,
    trust: bool,
) -> tuple[int | None, NetworkSpec, torch.nn.Module]:
    """Step, architecture and network of one file."""
    if loader is not None:
        return _read_own(file, actions, loader)
    agent = read_agent(read_weights(file, trust=trust), file)
    spec, network = find_network(agent, config, actions, file)
    return (step_in_name(file) if agent.step is None else agent.step), spec, network


def _read_own(
    file: Path, actions: Sequence[int] | None, loader: str
) -> tuple[int | None, NetworkSpec, torch.nn.Module]:
    name = loader_name(loader)
    if name is None:
        raise InputError.of("loader", loader, "package.module:function, or an entry point")
    kwargs: dict[str, Any] = {"file": f"source{file.suffix}"}
    if actions is not None:
        kwargs["actions"] = list(actions)
    network = OwnPolicy(call_loader(name, file), actions, N_ACTIONS)
    frames = torch.zeros(2, 64, 64, 3, dtype=torch.uint8)
    try:
        with torch.no_grad():
            logits = network(frames)[0]
    except (RuntimeError, TypeError, ValueError, AttributeError, IndexError) as error:
        text = str(error).partition("\n")[0]
        raise InputError(
            f"{loader}: its module cannot take frames [2, 64, 64, 3]: {text}"
        ) from None
    if tuple(logits.shape) != (2, N_ACTIONS):
        raise _no_map(actions, logits.shape[-1], file)
    return step_in_name(file), NetworkSpec(name, kwargs, N_ACTIONS), network


def _no_map(actions: Sequence[int] | None, count: int, file: Path) -> InputError:
    given = None if actions is None else list(actions)
    allowed = f"{count} different numbers of procgen's actions, one for each action of {file}"
    return InputError.of("actions", given, allowed, "as 1,4,7,8,5,2,3 for an agent of seven")


def step_in_name(file: Path) -> int | None:
    """Environment steps in a file's name, as trainers write them; None where there are none."""
    found = STEP_IN_NAME.search(file.stem)
    return int(found[1] or found[2]) if found else None


def read_weights(source: Path, *, trust: bool = False) -> Weights:
    """The tensors in a file, whoever named them, and what it says besides.

    Args:
        source: a safetensors file, a stable-baselines3 zip, or a torch file.
        trust: whether a torch file may run the code in it.

    Raises:
        InputError: it is none of these, or damaged.
    """
    try:
        if source.suffix == ".safetensors":
            return Weights(load_file(source))
        if source.suffix == ".zip":
            return _read_sb3(source)
        loaded = torch.load(source, map_location="cpu", weights_only=not trust)
    except InputError:
        raise
    except Exception as error:  # every loader has errors of its own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        hint = "" if trust else "; what is more than weights is read with --trust alone"
        raise InputError(f"{source} cannot be read as weights: {reason}{hint}") from error
    return Weights(_state_dict(loaded, source))


def find_network(
    agent: Agent, config: TrainConfig, actions: Sequence[int] | None, source: Path
) -> tuple[NetworkSpec, torch.nn.Module]:
    """The first network that takes an agent's weights: the one `config` names, else any.

    Args:
        agent: its weights under our names.
        config: whose network and settings come first.
        actions: which of procgen's actions each of the agent's is; None is all in order.
        source: the file, for messages.

    Raises:
        InputError: none fits, or its actions are others and `actions` does not say which.
    """
    head = agent.tensors["policy_head.weight"]
    if head.ndim != 2:
        raise InputError(f"{source} holds no policy known here: its head is {list(head.shape)}")
    if len(head) != (N_ACTIONS if actions is None else len(actions)):
        raise _no_map(actions, len(head), source)
    mapped = {} if actions is None else {"actions": list(actions)}
    reason, names = "", dict.fromkeys((config.network, *NETWORKS))
    for name in names:
        given = config.network_kwargs if name == config.network else {}
        try:
            spec = NetworkSpec(name, network_settings(agent, name) | mapped | given, N_ACTIONS)
            network = spec.build()
            load_tensors_into(network, agent.tensors, source)
        except KeyError:
            continue
        except InputError as error:
            reason = reason or f"; {error}"
            continue
        return spec, network
    raise InputError(
        f"{source}, an agent of {agent.trainer}, fits no network here; "
        f"tried: {', '.join(names)}{reason}"
    )


def _read_sb3(source: Path) -> Weights:
    """Weights and plain settings of an SB3 zip; its pickled settings stay unread."""
    with zipfile.ZipFile(source) as archive:
        if not {"policy.pth", "data"} <= set(archive.namelist()):
            raise InputError(f"{source} is no stable-baselines3 agent: it lacks policy.pth or data")
        policy = io.BytesIO(archive.read("policy.pth"))
        record = json.loads(archive.read("data"))
    tensors = _state_dict(torch.load(policy, map_location="cpu", weights_only=True), source)
    steps = record.get("num_timesteps")
    return Weights(tensors, record, steps if isinstance(steps, int) else None)


def _state_dict(loaded: Any, source: Path) -> dict[str, torch.Tensor]:
    """`loaded` itself if it is a state dict, or the one in its usual places."""
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict | torch.nn.Module):
            loaded = loaded[key]
    if isinstance(loaded, torch.nn.Module):  # only where the file is trusted
        loaded = loaded.state_dict()
    if not isinstance(loaded, dict) or not all(torch.is_tensor(v) for v in loaded.values()):
        raise InputError(f"{source} holds no state dict of tensors")
    return dict(loaded)
