"""Formulas of known answers against published values, and the table's own machinery."""

import pytest
import torch

from rl_slt import InputError
from rl_slt.known.answers import ReluPolicy, permuted, rescaled
from rl_slt.known.problems import (
    PROBLEMS,
    crossing_exact,
    deep_linear,
    deep_linear_lambda,
    low_rank,
    reduced_rank_lambda,
    tabular,
)
from rl_slt.known.validate import COLUMNS, known_names, validate

REDUCED = [((10, 6, 10, 4), 37.5), ((5, 3, 5, 0), 6.5), ((5, 4, 5, 0), 8), ((5, 3, 5, 2), 9.5)]


@pytest.mark.parametrize(("sizes", "value"), REDUCED)
def test_reduced_rank_formula(sizes: tuple[int, int, int, int], value: float) -> None:
    assert reduced_rank_lambda(*sizes) == value
    assert deep_linear_lambda(sizes[:3], sizes[3]) == pytest.approx(value)


@pytest.mark.parametrize(("rank", "value"), [(0, 5.5), (2, 7.5), (4, 8.0)])
def test_deep_linear_formula(rank: int, value: float) -> None:
    assert deep_linear_lambda((4, 4, 4, 4), rank) == pytest.approx(value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cusp", 5 / 12), ("tanh-net", 5 / 6), ("deep-linear-zero", 1.5),
        ("softmax-regression", 4), ("tabular-mixed", 8), ("softmax-mlp", 24), ("tied-bandit", 1),
        ("tabular-grid", 12), ("two-routes", 0.5), ("squared-regret", 0.5), ("quartic", 0.25),
    ],
)  # fmt: skip
def test_lambda_of_further_problems(name: str, value: float) -> None:
    assert PROBLEMS[name]().lambda_ == pytest.approx(value)


def test_unvisited_and_sure_states_say_next_to_nothing() -> None:
    live = tabular(135.0, live=4).exact
    mixed = tabular(270.0, live=4, sure=4, unvisited=4, visits=4)  # as much weight on each of these
    assert live < mixed.exact < live + 0.2 < mixed.lambda_ / 2
    assert mixed.policy(mixed.data.states).shape == (32, 3)
    sure = mixed.policy(torch.arange(4, 8)).softmax(-1)
    assert (sure[:, 0] > 0.99).all()
    assert not set(mixed.data.states.tolist()) & set(range(8, 12))


@pytest.mark.parametrize("powers", [(1, 1), (1, 2), (2, 3)])
def test_crossings_approach_their_lambda(powers: tuple[int, int]) -> None:
    limit = 1 / (2 * max(powers))
    near, nearer = (crossing_exact(powers, nbeta, 1.0) for nbeta in (1e3, 1e6))
    assert abs(nearer - limit) < abs(near - limit)


def test_tabular_approaches_half_its_dimension() -> None:
    assert tabular(nbeta=1e5).exact == pytest.approx(12.0, rel=0.01)
    assert tabular(nbeta=300.0).exact < 11.5


def test_true_parameters_have_their_rank() -> None:
    problem = low_rank((12, 4, 5, 2), exact=7.0, exact_error=0.1)
    assert torch.linalg.matrix_rank(problem.policy(problem.data.states)) == 2
    problem = deep_linear((4, 4, 4, 4), 2, exact=7.0, exact_error=0.1)
    product = problem.policy(torch.eye(4))
    assert torch.linalg.matrix_rank(product) == 2


def test_symmetries_leave_the_policy_as_it_is() -> None:
    policy, x = ReluPolicy(4, 6, 3), torch.randn(20, 4)
    twin = permuted(policy, torch.tensor([3, 0, 5, 1, 4, 2]))
    assert torch.allclose(twin(x), policy(x), atol=1e-6)
    assert torch.allclose(rescaled(policy, 1.5)(x), policy(x), atol=1e-5)
    assert not torch.allclose(twin.first, policy.first)


def test_validate_gives_its_columns_and_refuses_unknown_names() -> None:
    table = validate(["quadratic"])
    assert tuple(table.columns) == COLUMNS
    assert table["verdict"].tolist() == ["pass"]
    with pytest.raises(InputError, match="problem='x': must be one of quadratic"):
        validate(["x"])


@pytest.mark.slow
def test_all_known_answers() -> None:
    table = validate()
    assert set(table["problem"]) == set(known_names())
    assert (table["verdict"] == "pass").all(), table
