"""The gridworld in its three forms: matrices, data and Gymnasium agree with each other."""

import subprocess
import sys
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_sb3

import envs
from envs.gridworld import ACTIONS, CheeseGrid, CheeseVectorEnv, GridSettings, make_grid_vec
from rl_slt import InputError

ID = "rl_slt/CheeseGrid-v0"
GRIDS = (GridSettings(), GridSettings(size=4, walls=0.25, seed=3, layouts=2))


def test_a_policy_sees_mouse_cheese_and_walls() -> None:
    grid = CheeseGrid(walls="#.\n..")
    assert [grid.cheese(level) for level in range(3)] == [(0, 0), (1, 0), (1, 1)]
    assert grid.text(1, mouse=(0, 0)) == "#.\n@*"
    mouse, cheese, walls = grid.observations[1, 0].reshape(3, 4)
    assert mouse.tolist() == [1, 0, 0, 0]
    assert cheese.tolist() == [0, 1, 0, 0]
    assert walls.tolist() == [0, 0, 1, 0]
    assert CheeseGrid(size=5).features == 50


@pytest.mark.parametrize("settings", GRIDS)
def test_the_best_return_is_discounted_by_the_shortest_way(settings: GridSettings) -> None:
    grid = CheeseGrid.of(settings, discount=0.9)
    best = grid.mdp.optimal_value()
    for number, level in enumerate(grid.levels):
        steps = grid.layout(number).distances[:, level.cheese]
        others = [s for s in grid.layout(number).states if s != level.cheese]
        assert best[number, others].numpy() == pytest.approx(0.9 ** (steps[others] - 1), abs=1e-12)
        assert grid.starts[number, others] == pytest.approx(1 / len(others))
        assert best[number, level.cheese] == 0


def test_the_best_return_on_the_open_grid() -> None:
    assert float(CheeseGrid().mdp.optimal_returns().mean()) == pytest.approx(0.79293974, abs=1e-8)


@pytest.mark.parametrize("settings", GRIDS)
def test_every_step_is_one_of_the_matrices(settings: GridSettings) -> None:
    grid, vector = CheeseGrid.of(settings, 0.9), make_grid_vec(64, "anywhere", grid=settings)
    mdp, rng = grid.mdp, np.random.default_rng(0)
    _, infos = vector.reset(seed=1)
    assert isinstance(vector, CheeseVectorEnv)
    seen = set()
    for _ in range(150):
        level, before = (torch.from_numpy(x.copy()) for x in (vector.level, vector.state))
        actions = rng.integers(0, len(ACTIONS), 64)
        obs, rewards, terminated, _, infos = vector.step(actions)
        action = torch.from_numpy(actions)
        moves = mdp.transitions if mdp.transitions.ndim == 4 else mdp.transitions[None]
        after = moves[level if len(moves) > 1 else 0 * level, before, action].argmax(-1)
        assert torch.equal(mdp.rewards[level, before, action].float(), torch.from_numpy(rewards))
        assert mdp.terminals is not None
        assert torch.equal(mdp.terminals[level, after], torch.from_numpy(terminated))
        going = ~(terminated | infos.get("_final_obs", np.zeros(64, bool)))
        assert (vector.state[going] == after.numpy()[going]).all()
        assert (grid.observations[vector.level, vector.state] == obs).all()
        for index in np.flatnonzero(terminated):  # what the last state looked like
            last = grid.observations[level[index], after[index]]
            assert (infos["final_obs"][index] == last).all()
        seen |= set(zip(level.tolist(), before.tolist(), strict=True))
    assert len(seen) > 0.8 * (grid.starts > 0).sum()
    assert all(grid.starts[level, state] > 0 for level, state in seen)


def test_mean_returns_of_episodes_are_the_values() -> None:
    grid = CheeseGrid(size=3, discount=0.8)
    logits = torch.randn(9, 9, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    exact = grid.mdp.returns(logits)
    vector, rng = make_grid_vec(200, "mix:0.4:anywhere:corner", grid=grid.settings), np.random
    probs, draws = logits.softmax(-1).numpy().cumsum(-1), rng.default_rng(1)
    vector.reset(seed=0)
    found: list[tuple[int, float]] = []
    for _ in range(400):
        level = vector.level.copy()
        actions = (draws.random((200, 1)) > probs[level, vector.state]).sum(-1)
        _, _, terminated, _, infos = vector.step(actions.clip(max=3))
        if "final_info" in infos:
            length = infos["final_info"]["length"]
            found += [(int(level[i]), 0.8 ** (length[i] - 1)) for i in np.flatnonzero(terminated)]
    expected = float(exact.numpy() @ grid.probabilities("mix:0.4:anywhere:corner"))
    returns = np.array([value for _, value in found])
    assert abs(returns.mean() - expected) < 4 * returns.std() / len(returns) ** 0.5
    share = np.mean([level == 8 for level, _ in found])
    assert abs(share - (0.6 + 0.4 / 9)) < 4 * 0.5 / len(returns) ** 0.5


def test_data_are_weighted_as_training_weighs_levels() -> None:
    grid = CheeseGrid()
    data = grid.data(alpha=0.1)
    assert data.states.shape == (25, 25, 50) and data.weights is not None
    assert float(data.weights.mean()) == pytest.approx(1)
    assert float(data.weights[24]) == pytest.approx(25 * (0.9 + 0.1 / 25))
    assert float(data.weights[3]) == pytest.approx(0.1)
    other = grid.data(placement="at=3,0").weights
    assert other is not None and other.tolist() == [0, 0, 0, 25, *[0] * 21]


@pytest.mark.parametrize("options", [{}, {"grid": GRIDS[1], "coin": "anywhere", "time_limit": 3}])
def test_gymnasium_and_stable_baselines_accept_it(options: dict[str, Any]) -> None:
    check_env(gymnasium.make(ID, render_mode="rgb_array", **options).unwrapped)
    check_env_sb3(gymnasium.make(ID, **options).unwrapped)
    vector = gymnasium.make_vec(ID, num_envs=3, **options)
    assert vector.reset(seed=0)[0].shape == vector.observation_space.shape


def test_a_single_environment_is_a_vector_of_one() -> None:
    options: dict[str, Any] = {"coin": "anywhere", "time_limit": 7}
    single, vector = gymnasium.make(ID, **options).unwrapped, make_grid_vec(1, **options)
    rng = np.random.default_rng(0)
    obs, _ = single.reset(seed=3)
    assert (obs == vector.reset(seed=3)[0][0]).all()
    outcomes = []
    for _ in range(60):
        action = int(rng.integers(4))
        obs, reward, terminated, truncated, info = single.step(action)
        many, rewards, over, late, infos = vector.step(np.array([action]))
        assert (reward, terminated, truncated) == (rewards[0], over[0], late[0])
        if terminated or truncated:
            assert (obs == infos["final_obs"][0]).all()
            outcomes.append(info["outcome"])
            assert (single.reset()[0] == many[0]).all()
        else:
            assert (obs == many[0]).all()
    assert set(outcomes) == {"coin", "timeout"}


def test_a_list_of_seeds_plays_environments_as_alone() -> None:
    many, alone = make_grid_vec(3, "anywhere"), make_grid_vec(1, "anywhere")
    for place, seed in enumerate((5, 6, 5)):
        obs = [many.reset(seed=[5, 6, 5])[0][place], alone.reset(seed=seed)[0][0]]
        assert (obs[0] == obs[1]).all()


def test_a_saved_environment_goes_on_where_it_was() -> None:
    first, second = (make_grid_vec(4, "anywhere", time_limit=5) for _ in range(2))
    actions = np.random.default_rng(0).integers(0, 4, (30, 4))
    first.reset(seed=0)
    for row in actions[:10]:
        first.step(row)
    second.set_state(first.get_state())
    for row in actions[10:]:
        ours, theirs = first.step(row), second.step(row)
        assert all((a == b).all() for a, b in zip(ours[:4], theirs[:4], strict=True))
    with pytest.raises(InputError, match="num_envs=4: must be 3"):
        make_grid_vec(3, "anywhere", time_limit=5).set_state(first.get_state())
    with pytest.raises(InputError, match="no saved gridworld"):
        second.set_state(b"nothing")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make_grid_vec(0), "num_envs=0: must be an integer at least 1"),
        (lambda: make_grid_vec(1, time_limit=0), "time_limit=0: must be an integer at least 1"),
        (lambda: make_grid_vec(1, "end"), "coin='end': must be corner"),
        (lambda: make_grid_vec(1, render_mode="human"), "render_mode='human': must be rgb_array"),
        (lambda: make_grid_vec(2).step([0, 4]), "actions=[0, 4]: must be 2 integers from 0 to 3"),
        (lambda: GridSettings(size=1), "size=1: must be an integer from 2 to 16"),
        (lambda: CheeseGrid(layouts=2), "layouts=2: must be left out: there are no random walls"),
        (lambda: CheeseGrid(walls="..\n..", seed=1), "seed=1: must be left out: there are no rand"),
        (lambda: CheeseGrid(7, walls="..\n.."), "size=7: must be left out: the maps have a size"),
    ],
)
def test_wrong_calls_are_named(call: object, message: str) -> None:
    assert callable(call)
    with pytest.raises(InputError) as error:
        call()
    assert message in str(error.value)


def test_it_needs_no_procgen() -> None:
    code = (
        "import sys; sys.modules['procgen'] = None; import envs; envs.find_game('gridworld');"
        "assert 'torch' not in sys.modules; envs.CheeseGrid().mdp;"
        "import gymnasium; gymnasium.make('rl_slt/CheeseGrid-v0').reset(seed=0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_pictures_show_what_is_there() -> None:
    from envs.gridworld.pictures import CHEESE, WALL, pixels, plot_policy

    grid = CheeseGrid(walls="...\n.#.\n...")
    picture = pixels(grid.observations[0, 8], 3)
    assert picture.shape == (72, 72, 3)
    rows, columns = np.nonzero((picture == CHEESE).all(-1))
    assert rows.min() >= 48 and columns.max() < 24  # bottom left
    assert (picture == WALL).all(-1)[25:48, 25:48].all()
    policy = torch.nn.Linear(grid.features, 4)
    figure = plot_policy(grid, policy, [0, 3])
    panels = figure.axes[:2]
    value = grid.mdp.value(policy(torch.from_numpy(grid.observations)).detach().double())
    image = panels[1].images[0].get_array()
    assert image is not None
    assert image[2, 0] == pytest.approx(float(value[3, 6]))
    assert bool(np.isnan(np.asarray(image)[1, 1]))  # the wall
    arrows = [c for c in panels[0].collections if type(c).__name__ == "Quiver"]
    assert len(arrows) == 4 and all(len(np.asarray(quiver.get_offsets())) == 7 for quiver in arrows)
    with pytest.raises(InputError, match="levels=\\[9\\]: must be 1 to 36 of the levels 0 to 7"):
        plot_policy(grid, policy, [9])
    assert envs.CheeseGrid is CheeseGrid
