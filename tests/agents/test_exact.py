"""Training by exact gradients: each run is gradient ascent on its own return."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from agents import (
    Run,
    TrainConfig,
    branch_config,
    list_checkpoints,
    load_policy,
    ppo_preset,
    rest_config,
    train,
    train_together,
)
from agents.exact import Ascent, ascend
from agents.files import remove_dir
from analysis.probes import probe_gridworld
from envs import CheeseGrid
from rl_slt import InputError


def config(**changes: Any) -> TrainConfig:
    return ppo_preset("gridworld", **{"steps": 12, "checkpoints": "all"} | changes)


def weights(run: Path) -> list[torch.Tensor]:
    """All weights of each checkpoint, in one vector."""
    return [torch.cat([w.detach().flatten() for w in load_policy(c).parameters()])
            for c in list_checkpoints(run)]  # fmt: skip


def test_every_step_follows_the_gradient_of_the_return(tmp_path: Path) -> None:
    """By finite differences of the matrices' own return along the step."""
    train(config(steps=3, temperature=0.05, coin="mix:0.3:anywhere:corner"), tmp_path / "a")
    grid = CheeseGrid()
    shares = torch.from_numpy(grid.probabilities("mix:0.3:anywhere:corner"))
    states = torch.from_numpy(grid.observations).double()

    def objective(vector: torch.Tensor) -> float:
        policy = load_policy(list_checkpoints(tmp_path / "a")[0]).double()
        torch.nn.utils.vector_to_parameters(vector.double(), policy.parameters())
        return float(shares @ grid.mdp.returns(policy(states).detach(), temperature=0.05))

    for now, after in pairwise(weights(tmp_path / "a")):
        gradient = (after - now).double() / 2  # of lr 2
        tiny = 1e-4 * gradient / gradient.norm()
        slope = (objective(now + tiny) - objective(now - tiny)) / 2e-4
        assert slope == pytest.approx(float(gradient.norm()), rel=2e-4)


@pytest.mark.parametrize("changes", [{}, {"optimizer": "adam", "lr": 0.01}, {"network": "conv"}])
def test_runs_together_are_trained_as_alone(tmp_path: Path, changes: dict[str, Any]) -> None:
    ours = [config(seed=seed, coin=coin, **changes)
            for seed, coin in ((0, "corner"), (1, "anywhere"))]  # fmt: skip
    train_together([(one, tmp_path / f"both-{one.seed}", f"arm{one.seed}") for one in ours])
    for one in ours:
        train(one, tmp_path / f"alone-{one.seed}")
        pairs = zip(
            *(weights(tmp_path / f"{k}-{one.seed}") for k in ("both", "alone")), strict=True
        )
        for both, alone in pairs:
            assert torch.allclose(both, alone, rtol=1e-4, atol=1e-6)
        run = Run(tmp_path / f"both-{one.seed}")
        assert (run.arm, run.seed, run.finished) == (f"arm{one.seed}", one.seed, True)
        assert [c.step for c in run.checkpoints] == list(range(13))
        assert run.steps_done == 12
    first, second = (weights(tmp_path / f"both-{seed}")[0] for seed in (0, 1))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_killed_training_goes_on_to_the_same_end(tmp_path: Path, optimizer: str) -> None:
    wanted = config(optimizer=optimizer, lr=0.1, checkpoints="every:4", anneal_lr=True)

    class Killed(Exception):
        pass

    def kill(done: int, total: int) -> None:
        if done == 10:
            raise Killed

    train(wanted, tmp_path / "whole")
    with pytest.raises(Killed):
        train(wanted, tmp_path / "killed", progress=kill)
    assert not Run(tmp_path / "killed").finished
    remove_dir(list_checkpoints(tmp_path / "killed")[-1].path)  # 8: as if it had died before
    train(wanted, tmp_path / "killed", resume=True)
    for name in ("progress.csv", *(f"checkpoints/{s:012d}/policy.safetensors" for s in (4, 8, 12))):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_progress_holds_the_exact_returns(tmp_path: Path) -> None:
    train(config(coin="mix:0.2:anywhere:corner", lr=0.5), tmp_path / "a")
    table = pd.read_csv(tmp_path / "a" / "progress.csv").set_index("step")
    grid = CheeseGrid()
    logits = load_policy(list_checkpoints(tmp_path / "a")[-1])(torch.from_numpy(grid.observations))
    returns = grid.mdp.returns(logits.detach().double()).numpy()
    assert table.loc[12, "eval_return"] == pytest.approx(returns.mean(), abs=1e-6)
    own = returns @ grid.probabilities("mix:0.2:anywhere:corner")
    assert table.loc[12, "mean_return"] == pytest.approx(own, abs=1e-6)
    assert (table["mean_return"].diff().dropna() > 0).all()  # small steps uphill
    assert Run(tmp_path / "a").checkpoint(12).path.joinpath("policy.json").exists()


def test_the_corner_comes_first_and_gives_way_at_a_step_that_alpha_decides(tmp_path: Path) -> None:
    """Over the pairs whose ways come apart: benchmarks/results/gridworld_goals.md at full size."""
    runs = [(alpha, seed, tmp_path / f"{alpha}-{seed}") for alpha in (0.05, 0.3) for seed in (0, 1)]
    train_together([
        (config(coin=f"mix:{alpha}:anywhere:corner", seed=seed, steps=400,
                checkpoints="list:30,400"), path, None)
        for alpha, seed, path in runs
    ])  # fmt: skip
    for alpha, _, path in runs:
        for step in (30, 400):
            table = probe_gridworld(
                load_policy(Run(path).checkpoint(step)), CheeseGrid(), run="a", step=step
            )
            value = float(table.loc[table["metric"] == "corner_first", "value"].iloc[0])
            assert value > 0.95 if (step == 30 or alpha == 0.05) else value < 0.05


def test_a_branch_begins_with_the_weights_of_its_origin(tmp_path: Path) -> None:
    train(config(), tmp_path / "a")
    branch = branch_config(tmp_path / "a", 5, coin="anywhere", steps=2)
    train(branch, tmp_path / "b", arm="other")
    assert torch.equal(weights(tmp_path / "b")[0], weights(tmp_path / "a")[5])
    assert not torch.equal(weights(tmp_path / "b")[1], weights(tmp_path / "a")[6])


@pytest.mark.parametrize("changes", [{}, {"optimizer": "adam", "lr": 0.01}])
def test_without_noise_the_rest_of_a_training_ends_where_the_training_did(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    """Whatever the seed, from each checkpoint; the falling rate and Adam's moments go on."""
    parent = config(anneal_lr=True, **changes)
    train(parent, tmp_path / "a")
    ends = weights(tmp_path / "a")
    for step in (0, 5, 11):
        rest = rest_config(tmp_path / "a", step, seed=7, checkpoints="list:0")
        assert rest.total_steps == 12 - step
        train(rest, tmp_path / f"b{step}")
        assert torch.allclose(weights(tmp_path / f"b{step}")[-1], ends[-1], rtol=0, atol=2e-6)
    assert not torch.allclose(ends[11], ends[-1], rtol=0, atol=2e-5)
    with pytest.raises(InputError, match="step=12: must be before the last step"):
        rest_config(tmp_path / "a", 12)


def test_branches_of_several_runs_are_trained_together(tmp_path: Path) -> None:
    train_together([(config(seed=seed), tmp_path / f"a{seed}", None) for seed in (0, 1)])
    swapped = [(rest_config(tmp_path / f"a{seed}", 4, coin="anywhere"), tmp_path / f"b{seed}",
                "other") for seed in (0, 1)]  # fmt: skip
    train_together(swapped)
    train(swapped[1][0], tmp_path / "alone")
    together, alone = (weights(tmp_path / name)[-1] for name in ("b1", "alone"))
    assert torch.allclose(together, alone, rtol=0, atol=2e-6)
    assert torch.equal(weights(tmp_path / "b1")[0], weights(tmp_path / "a1")[4])


def test_the_policy_has_the_weights_that_it_says() -> None:
    with torch.random.fork_rng():
        net = Ascent(config(), Path("/nowhere")).network()
    assert sum(w.numel() for w in net.parameters()) == 1764
    assert net(torch.zeros(3, 5, 50)).shape == (3, 5, 4)
    conv = Ascent(
        config(network="conv", grid={"size": 4, "walls": 0.2}), Path("/nowhere")
    ).network()
    assert conv(torch.zeros(3, 5, 48)).shape == (3, 5, 4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"coin": "end"}, "coin='end': must be corner, anywhere"),
        ({"network": "patch"}, "network='patch': must be mlp or conv in gridworld"),
        (
            {"game": "coinrun", "coin": "end", "network": "patch"},
            "trainer='exact': must be ppo or clone in",
        ),
        ({"game": "chess"}, "game='chess': must be coinrun or maze or gridworld"),
        ({"grid": {"size": 1}}, "size=1: must be"),
        ({"temperature": -1.0}, "temperature=-1.0: must be"),
    ],
)
def test_settings_that_do_not_fit(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        config(**changes)
    assert message in str(error.value)


def test_runs_that_differ_in_more_than_seed_and_placement_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"lr=1\.0: must be 2\.0, as in"):
        ascend([Ascent(config(), tmp_path / "a"), Ascent(config(lr=1.0), tmp_path / "b")])
