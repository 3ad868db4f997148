"""The command for reward surfaces, against a gridworld's exact returns and gradients."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from agents import Run, load_policy, ppo_preset, train
from analysis.surface import agreement, random_direction
from envs import CheeseGrid
from rl_slt import InputError, TabularSimulator
from rl_slt.pipeline.commands.surface import ExactView, PlayedView, _say, surface

COIN = "mix:0.3:anywhere:corner"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    path = tmp_path_factory.mktemp("surface") / "a"
    config = ppo_preset("gridworld", coin=COIN, grid={"size": 3}, steps=20, checkpoints="list:19")
    train(config, path)
    return Run(path)


def flat(policy: nn.Module) -> Tensor:
    return torch.cat([w.detach().double().flatten() for w in policy.parameters()])


def earned(policy: nn.Module, grid: CheeseGrid) -> float:
    """The return by Bellman's equation, level by level, in numpy."""
    total, states = 0.0, torch.from_numpy(grid.observations).double()
    p = policy(states).softmax(-1).detach().numpy()
    moves = grid.mdp.transitions.numpy()
    for level, share in enumerate(grid.probabilities(COIN)):
        live = np.arange(grid.n_states) != grid.levels[level].cheese
        chain = np.einsum("sa,sat->st", p[level], moves)
        value = np.linalg.solve(
            np.eye(live.sum()) - grid.discount * chain[np.ix_(live, live)], chain[live][:, ~live]
        )
        total += share * grid.starts[level][live] @ value[:, 0]
    return float(total)


def test_a_surface_of_a_gridworld_is_its_exact_return(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = surface(run.path, tmp_path / "s.png", steps=(0, 19), points=3)
    assert len(said) == 2 and all("(exact)" in text for text in said)
    table = pd.read_csv(tmp_path / "s.csv", float_precision="round_trip")
    assert len(table) == 2 * (20 + 9)
    grid = CheeseGrid(3)
    for step in (0, 19):
        policy = load_policy(run.checkpoint(step).path).double()
        center = flat(policy)
        gradient = ExactView(run.training).gradients(policy)[0]
        axes = torch.stack([gradient, random_direction(policy, 0)])
        axes = axes / axes.norm(dim=1, keepdim=True) * center.norm()
        part = table[(table["step"] == step) & (table["part"] == "plane")]
        for row in part.to_dict("records"):
            at = center + torch.tensor([row["x0"], row["x1"]], dtype=torch.float64) @ axes
            torch.nn.utils.vector_to_parameters(at, policy.parameters())
            assert row["ret"] == pytest.approx(earned(policy, grid), abs=1e-12)
        middle = part[(part["x0"] == 0) & (part["x1"] == 0)].iloc[0]
        assert abs(middle["kl"]) < 1e-12 and (part["kl"].drop(middle.name) > 1e-4).all()


def test_the_gradient_is_the_one_that_training_takes(run: Run) -> None:
    """From step 19 to step 20, at learning rate 2."""
    before, after = (load_policy(run.checkpoint(step).path) for step in (19, 20))
    gradient = ExactView(run.training).gradients(before.double())[0]
    step = (flat(after) - flat(before)) / 2
    assert float((gradient - step).norm() / step.norm()) < 1e-4


def test_the_gradient_of_played_episodes_comes_to_the_exact_one(run: Run) -> None:
    policy, grid = load_policy(run.checkpoint(0).path), CheeseGrid(3)
    exact = ExactView(run.training).gradients(load_policy(run.checkpoint(0).path).double())[0]
    simulator = TabularSimulator(grid.mdp, torch.from_numpy(grid.observations), 200)
    shares = torch.from_numpy(grid.probabilities(COIN))
    levels = torch.arange(len(shares)).repeat_interleave((shares * 100).round().long())
    view = PlayedView(simulator, levels, run.training, batches=4, seed=0)
    batches = view.gradients(policy).double()
    cosine, of_mean = agreement(batches)
    mean = batches.mean(0)
    assert 0.5 < cosine < 0.98
    assert float(mean @ exact / mean.norm() / exact.norm()) == pytest.approx(of_mean, abs=0.03)
    assert float(mean @ exact / exact.norm() ** 2) == pytest.approx(1.0, abs=0.15)


def test_batches_that_disagree_say_nothing_of_the_true_gradient() -> None:
    assert "to the truth unknown)" in _say((4, 1.0, -0.1, 0.0), [])
    assert "to the truth about 0.70)" in _say((4, 1.0, 0.2, 0.7), [])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"points": 2}, "points=2: must be 0, or at least 3"),
        ({"reach": 0.0}, "reach=0.0: must be above 0"),
        ({"batches": 1}, "batches=1: must be at least 2"),
        ({"steps": (7,)}, "7"),
    ],
)
def test_what_a_surface_cannot_be(
    run: Run, tmp_path: Path, changes: dict[str, int], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        surface(run.path, tmp_path / "s.png", **changes)  # type: ignore[arg-type]
    assert not (tmp_path / "s.png").exists()
