"""Agents of each trainer act here as they did there; what cannot is refused in one line."""

import pickle
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from torch import nn
from torch.nn import functional as F

import agents
from agents.importing import import_agent
from agents.trainers import TRAINERS
from rl_slt import InputError

FRAMES = torch.randint(0, 256, (4, 64, 64, 3), dtype=torch.uint8)
SEVEN = [1, 4, 7, 8, 5, 2, 3]


def imported(run: Path, step: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities `[4, 15]` and values `[4]` of a checkpoint on the frames."""
    with torch.no_grad():
        logits, values = agents.load_policy(agents.find_checkpoint(run, step))(FRAMES)
    return logits.log_softmax(-1), values


def sb3_agent(fake_vec: Any, path: Path, actions: int = 15, **policy: Any) -> Any:
    env = fake_vec(1)
    env.action_space = spaces.Discrete(actions)
    model: Any = PPO("CnnPolicy", env, n_steps=4, batch_size=4, seed=0, policy_kwargs=policy)
    with torch.no_grad():  # logits and values that differ from state to state
        for layer in (model.policy.action_net, model.policy.value_net):
            layer.weight.normal_()
            layer.bias.normal_()
    model.save(path)
    return model


def of_sb3(model: Any) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.no_grad():
        theirs = FRAMES.permute(0, 3, 1, 2)
        distribution: Any = model.policy.get_distribution(theirs).distribution
        return distribution.logits, model.policy.predict_values(theirs).flatten()


@pytest.mark.parametrize(
    "settings",
    [
        {"net_arch": [], "share_features_extractor": False},
        {"net_arch": [], "normalize_images": False},
        {"net_arch": [64]},
        {"net_arch": {"pi": [16, 8], "vf": []}, "activation_fn": nn.ReLU},
    ],
    ids=["two bodies", "unscaled", "net_arch=[64]", "relu"],
)
def test_agents_of_sb3_act_the_same(tmp_path: Path, fake_vec: Any, settings: Any) -> None:
    model = sb3_agent(fake_vec, tmp_path / "agent.zip", **settings)
    import_agent(tmp_path / "agent", tmp_path / "run")  # as SB3 loads it, without the suffix
    for ours, theirs in zip(imported(tmp_path / "run"), of_sb3(model), strict=True):
        size = max(1.0, float(theirs.abs().max()))  # sums of frames up to 255 cancel
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4 * size)


def test_fewer_actions_need_a_map(tmp_path: Path, fake_vec: Any) -> None:
    model = sb3_agent(fake_vec, tmp_path / "a.zip", actions=7, net_arch=[])
    with pytest.raises(InputError, match="actions=None: must be 7 different numbers"):
        import_agent(tmp_path / "a.zip", tmp_path / "run")
    with pytest.raises(InputError, match="must be a list of different actions"):
        import_agent(tmp_path / "a.zip", tmp_path / "run", actions=[1, 4, 7, 8, 5, 2, 2])
    import_agent(tmp_path / "a.zip", tmp_path / "run", actions=SEVEN)
    ours, values = imported(tmp_path / "run")
    assert torch.allclose(ours[:, SEVEN], of_sb3(model)[0], rtol=1e-4, atol=1e-4)
    assert torch.allclose(values, of_sb3(model)[1], rtol=1e-4, atol=1e-4)
    others = sorted(set(range(15)) - set(SEVEN))
    assert (ours[:, others].exp() == 0).all()


def test_stacked_frames_are_refused(tmp_path: Path, fake_vec: Any) -> None:
    env = fake_vec(1)
    env.observation_space = spaces.Box(0, 255, (12, 64, 64), np.uint8)
    PPO("CnnPolicy", env, n_steps=4, batch_size=4).save(tmp_path / "a.zip")
    with pytest.raises(InputError, match=r"observation_space='\[12, 64, 64\] uint8': must be"):
        import_agent(tmp_path / "a.zip", tmp_path / "run")


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "_orig_mod.module."])
def test_names_of_wrapped_modules(tmp_path: Path, prefix: str) -> None:
    network = agents.build_network("patch")
    weights = {prefix + name: tensor for name, tensor in network.state_dict().items()}
    torch.save(weights, tmp_path / "w.pt")
    import_agent(tmp_path / "w.pt", tmp_path / "run")
    with torch.no_grad():
        assert torch.equal(imported(tmp_path / "run")[1], network(FRAMES)[1])


def conv(tensors: dict[str, torch.Tensor], name: str, x: torch.Tensor) -> torch.Tensor:
    return F.conv2d(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"], padding=1)


def impala(
    weights: dict[str, torch.Tensor],
    section: Callable[[int], str],
    residual: Callable[[int, int], str],
    fc: str,
    heads: tuple[str, str],
) -> tuple[torch.Tensor, torch.Tensor]:
    """The network's outputs, from weights by the names of one trainer."""
    x = FRAMES.permute(0, 3, 1, 2).float() / 255
    for s in range(3):
        x = F.max_pool2d(conv(weights, section(s), x), 3, 2, 1)
        for r in range(2):
            inner = F.relu(conv(weights, residual(2 * s + r, 0), F.relu(x)))
            x = x + conv(weights, residual(2 * s + r, 1), inner)
    x = F.relu(F.linear(F.relu(x.flatten(1)), weights[f"{fc}.weight"], weights[f"{fc}.bias"]))
    logits, values = (F.linear(x, weights[f"{h}.weight"], weights[f"{h}.bias"]) for h in heads)
    return logits.log_softmax(-1), values[:, 0]


def tensors(shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(3)
    out = {}
    for name, shape in shapes.items():
        fan_in = torch.Size(shape[1:]).numel()
        out[f"{name}.weight"] = torch.randn(shape, generator=g) / fan_in**0.5
        out[f"{name}.bias"] = torch.randn(shape[:1], generator=g)
    return out


def shapes_of(
    scale: int, section: Callable[[int], str], residual: Callable[[int, int], str]
) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    into = 3
    for s, channels in enumerate((16 * scale, 32 * scale, 32 * scale)):
        shapes[section(s)] = (channels, into, 3, 3)
        into = channels
        for block in (2 * s, 2 * s + 1):
            for c in range(2):
                shapes[residual(block, c)] = (channels, channels, 3, 3)
    return shapes


def procgen_residual(block: int, c: int) -> str:
    return f"embedder.block{block // 2 + 1}.res{block % 2 + 1}.conv{c + 1}"


def procgen_section(s: int) -> str:
    return f"embedder.block{s + 1}.conv"


def procgen_agent(scale: int = 1, actions: int = 15) -> dict[str, torch.Tensor]:
    shapes = shapes_of(scale, procgen_section, procgen_residual)
    shapes |= {"embedder.fc": (256, 2048 * scale)}
    return tensors(shapes | {"fc_policy": (actions, 256), "fc_value": (1, 256)})


@pytest.mark.parametrize("scale", [1, 2])
def test_train_procgen_pytorch(tmp_path: Path, scale: int) -> None:
    weights = procgen_agent(scale)
    saved = {"model_state_dict": weights, "optimizer_state_dict": {"state": {}, "param_groups": []}}
    torch.save(saved, tmp_path / "model_80019456.pth")
    import_agent(tmp_path / "model_80019456.pth", tmp_path / "run")
    theirs = impala(
        weights, procgen_section, procgen_residual, "embedder.fc", ("fc_policy", "fc_value")
    )
    for ours, wanted in zip(imported(tmp_path / "run", 80019456), theirs, strict=True):
        assert torch.allclose(ours, wanted, rtol=1e-4, atol=1e-4)


def test_cleanrl(tmp_path: Path) -> None:
    def section(s: int) -> str:
        return f"network.{s}.conv"

    def residual(block: int, c: int) -> str:
        return f"network.{block // 2}.res_block{block % 2}.conv{c}"

    shapes = shapes_of(1, section, residual)
    weights = tensors(shapes | {"network.5": (256, 2048), "actor": (15, 256), "critic": (1, 256)})
    torch.save(weights, tmp_path / "ppo_procgen.cleanrl_model")
    import_agent(tmp_path / "ppo_procgen.cleanrl_model", tmp_path / "run", step=25_000_000)
    theirs = impala(weights, section, residual, "network.5", ("actor", "critic"))
    for ours, wanted in zip(imported(tmp_path / "run", 25_000_000), theirs, strict=True):
        assert torch.allclose(ours, wanted, rtol=1e-4, atol=1e-4)


def test_a_recurrent_agent_is_refused(tmp_path: Path) -> None:
    torch.save(procgen_agent() | {"gru.gru.weight_ih_l0": torch.zeros(3, 3)}, tmp_path / "m.pth")
    with pytest.raises(InputError, match="recurrent"):
        import_agent(tmp_path / "m.pth", tmp_path / "run")


def test_a_series_is_one_run(tmp_path: Path) -> None:
    networks = {step: agents.build_network("patch") for step in (500, 20_000, 1000)}
    for step, network in networks.items():
        torch.save(network.state_dict(), tmp_path / f"rl_model_{step}_steps.pt")
    import_agent(tmp_path / "rl_model_*_steps.pt", tmp_path / "run")
    assert [c.step for c in agents.list_checkpoints(tmp_path / "run")] == [500, 1000, 20_000]
    for step, network in networks.items():
        with torch.no_grad():
            assert torch.equal(imported(tmp_path / "run", step)[1], network(FRAMES)[1])
    torch.save(networks[500].state_dict(), tmp_path / "first.pt")
    with pytest.raises(InputError, match=r"steps of .*first.pt: must be given"):
        import_agent([tmp_path / "rl_model_500_steps.pt", tmp_path / "first.pt"], tmp_path / "b")
    with pytest.raises(InputError, match="are both of step 7"):
        import_agent(tmp_path / "rl_model_*", tmp_path / "b", step=[7, 8, 7])
    other = agents.build_network("patch", width=8)
    torch.save(other.state_dict(), tmp_path / "rl_model_9_steps.pt")
    with pytest.raises(InputError, match="hold different networks"):
        import_agent(tmp_path / "rl_model_*", tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_a_series_of_sb3_is_one_run(tmp_path: Path, fake_vec: Any) -> None:
    """As CheckpointCallback writes them."""
    theirs = {}
    for step in (500, 20_000, 1000):
        model = sb3_agent(fake_vec, tmp_path / "any.zip", net_arch=[64])
        model.num_timesteps, theirs[step] = step, of_sb3(model)
        model.save(tmp_path / f"rl_model_{step}_steps.zip")
    import_agent(tmp_path / "rl_model_*_steps.zip", tmp_path / "run")
    assert [c.step for c in agents.list_checkpoints(tmp_path / "run")] == sorted(theirs)
    for step, outputs in theirs.items():
        for ours, those in zip(imported(tmp_path / "run", step), outputs, strict=True):
            assert torch.allclose(ours, those, rtol=1e-4, atol=1e-4)


OWN = """
import torch
from torch import nn

class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.line = nn.Linear(3, 7)
    def forward(self, obs):
        return self.line(obs.float().mean((1, 2)) / 255)

def load(path):
    policy = Tiny()
    policy.load_state_dict(torch.load(path, weights_only=True))
    return policy

def nothing(path):
    return path
"""


def test_a_module_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_policies.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    line = nn.Linear(3, 7)
    torch.save({f"line.{n}": t for n, t in line.state_dict().items()}, tmp_path / "model_5.pt")
    path, run, name = tmp_path / "model_5.pt", tmp_path / "run", "own_policies:load"
    with pytest.raises(InputError, match="actions=None: must be 7 different"):
        import_agent(path, run, loader=name)
    with pytest.raises(InputError, match=r"returns a torch\.nn\.Module; it returned a"):
        import_agent(path, run, loader="own_policies:nothing")
    with pytest.raises(InputError, match="a function that can be imported"):
        import_agent(path, run, loader="own_policies:gone")
    import_agent(path, run, loader=name, actions=SEVEN)
    import_agent(path, run, loader=name, actions=SEVEN)  # the same again is fine
    path.unlink()  # the run has its own copy

    with pytest.raises(InputError, match="code that is not trusted here"):
        imported(run, 5)
    monkeypatch.setenv("RL_SLT_TRUST", f"other:load,{name}")
    ours, values = imported(run, 5)
    with torch.no_grad():
        theirs = line(FRAMES.float().mean((1, 2)) / 255).log_softmax(-1)
    assert torch.allclose(ours[:, SEVEN], theirs, atol=1e-6)
    assert values.isnan().all()
    monkeypatch.delenv("RL_SLT_TRUST")
    point = EntryPoint("mine", name, "rl_slt.policies")
    monkeypatch.setattr("agents.own.entry_points", lambda group: [point])
    assert torch.equal(imported(run, 5)[0], ours)
    assert agents.is_loader("mine") and not agents.is_loader("yours")
    assert sys.modules["own_policies"]


def test_pickled_code_needs_trust(tmp_path: Path) -> None:
    network = agents.build_network("patch")
    torch.save({"model": network}, tmp_path / "whole.pt")
    with pytest.raises(InputError, match=r"cannot be read as weights.*--trust"):
        import_agent(tmp_path / "whole.pt", tmp_path / "run")
    import_agent(tmp_path / "whole.pt", tmp_path / "run", trust=True)
    with torch.no_grad():
        assert torch.equal(imported(tmp_path / "run")[1], network(FRAMES)[1])


class Bomb:
    def __reduce__(self) -> Any:
        return (exec, ("raise SystemExit('ran')",))


@pytest.mark.parametrize("trainer", TRAINERS, ids=lambda t: t.name)
def test_no_trainer_s_file_runs_code(tmp_path: Path, trainer: Any) -> None:
    (tmp_path / "m.pth").write_bytes(pickle.dumps({trainer.mark: Bomb()}))
    with pytest.raises(InputError, match="cannot be read as weights"):
        import_agent(tmp_path / "m.pth", tmp_path / "run")
