"""Exact values, optima and regrets against Bellman's equations, other algorithms, literal cases."""

import math

import pytest
import torch
from torch import Tensor
from torch.func import grad, vmap

from rl_slt import InputError, TabularMDP


def assert_exact(value: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-12)


def random_mdp(shared: bool = False, discount: float = 0.9, seed: int = 0) -> TabularMDP:
    """Three levels of five states and three actions; state 4 - l is terminal in level l."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    moves, starts = draw(*(() if shared else (3,)), 5, 3, 5) ** 4, draw(3, 5)
    return TabularMDP(
        moves / moves.sum(-1, keepdim=True),
        draw(3, 5, 3) - 0.5,
        starts / starts.sum(-1, keepdim=True),
        discount,
        terminals=torch.eye(5, dtype=torch.bool)[:3].flip(1),
    )


def random_logits(seed: int = 1) -> Tensor:
    """Of two policies on the three levels `[2, 3, 5, 3]`."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 3, 5, 3, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("temperature", [0.0, 0.3])
def test_values_solve_bellman(shared: bool, temperature: float) -> None:
    mdp, logits = random_mdp(shared), random_logits()
    value, p = mdp.value(logits, temperature=temperature), logits.softmax(-1)
    entropy = -(p * p.log()).sum(-1)
    backup = (p * mdp.q_value(value)).sum(-1) + temperature * entropy
    assert mdp.terminals is not None
    expected = torch.where(mdp.terminals, 0.0, backup)
    assert_exact(value, expected)
    assert_exact(mdp.value(probs=p, temperature=temperature), value)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("temperature", [0.0, 0.01, 0.3])
def test_optimum_is_that_of_value_iteration(shared: bool, temperature: float) -> None:
    mdp = random_mdp(shared)
    assert mdp.terminals is not None
    value = torch.zeros(3, 5, dtype=torch.float64)
    for _ in range(400):  # 0.9^400 is below 1e-18
        q = mdp.q_value(value)
        best = temperature * (q / temperature).logsumexp(-1) if temperature else q.amax(-1)
        value = torch.where(mdp.terminals, 0.0, best)
    assert_exact(mdp.optimal_value(temperature), value)
    regret = mdp.regret(random_logits(), temperature=temperature)
    assert bool((regret > 0).all())
    if temperature:
        best_policy = mdp.optimal_logits(temperature)
        zero = torch.zeros(3, dtype=torch.float64)
        assert_exact(mdp.regret(best_policy, temperature=temperature), zero)
        assert_exact(best_policy.exp().sum(-1), torch.ones(3, 5).double())


def test_regret_is_a_divergence_from_the_optimal_policy() -> None:
    mdp, logits, temperature = random_mdp(), random_logits(), 0.2
    p, visits = logits.log_softmax(-1), mdp.occupancy(logits)
    kl = (p.exp() * (p - mdp.optimal_logits(temperature))).sum(-1)
    expected = temperature * (visits * kl).sum(-1)
    assert_exact(mdp.regret(logits, temperature=temperature), expected)
    reward = (visits[..., None] * p.exp() * mdp.rewards).sum((-1, -2))
    assert_exact(mdp.returns(logits), reward)


@pytest.mark.parametrize("temperature", [0.0, 0.3])
def test_gradients_are_right_and_batch(temperature: float) -> None:
    mdp, logits = random_mdp(), random_logits()

    def mean(x: Tensor) -> Tensor:
        return mdp.regret(x, temperature=temperature).mean()

    assert torch.autograd.gradcheck(mean, logits[0].clone().requires_grad_())
    together = vmap(grad(mean))(logits)
    apart = torch.stack([grad(mean)(one) for one in logits])
    assert_exact(together, apart)
    # The policy gradient theorem: d(s) pi(a|s) (A(s, a) - tau log pi), against autograd.
    value, p = mdp.value(logits, temperature=temperature), logits.log_softmax(-1)
    advantage = mdp.q_value(value) - temperature * p - value[..., None]
    theorem = -mdp.occupancy(logits)[..., None] * p.exp() * advantage / 3
    assert_exact(together, theorem)


def test_levels_can_be_taken_and_converted() -> None:
    for shared in (True, False):
        mdp, logits = random_mdp(shared), random_logits()
        index = torch.tensor([2, 0, 2])
        part = mdp.take(index).returns(logits[:, index], temperature=0.1)
        assert_exact(part, mdp.returns(logits, temperature=0.1)[:, index])
        rough = mdp.returns(logits.float(), temperature=0.1)
        assert rough.dtype == torch.float32
        torch.testing.assert_close(rough.double(), mdp.returns(logits, temperature=0.1),
                                   rtol=1e-5, atol=1e-6)  # fmt: skip


def test_two_states_by_hand() -> None:
    """Wait or leave for a reward of 1: half and half `1/2 / (1 - gamma / 2)`; at best 1."""
    chain = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]])
    rewards, starts = torch.tensor([[[0.0, 1.0], [0.0, 0.0]]]), torch.tensor([[1.0, 0.0]])
    end = torch.tensor([[False, True]])
    mdp = TabularMDP(chain, rewards, starts, 0.9, end)
    assert float(mdp.value(torch.zeros(1, 2, 2))[0, 0]) == pytest.approx(0.5 / 0.55)
    assert mdp.optimal_value().tolist() == [[1.0, 0.0]]
    # Soft: V = tau log(exp(gamma V / tau) + exp(1 / tau)).
    soft = float(mdp.optimal_value(0.5)[0, 0])
    assert soft == pytest.approx(0.5 * math.log(math.exp(1.8 * soft) + math.exp(2)))


GOOD = {
    "transitions": torch.full((2, 2, 2), 0.5), "rewards": torch.zeros(1, 2, 2),
    "starts": torch.tensor([[1.0, 0.0]]), "discount": 0.9,
}  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"discount": 1.0}, "discount=1.0: must be at least 0 and below 1"),
        ({"discount": -0.1}, "discount=-0.1"),
        ({"transitions": torch.full((2, 2, 2), 0.6)}, "sum of transitions=1.2"),
        ({"transitions": torch.tensor([2.0, -1.0]).expand(2, 2, 2)}, "least of transitions=-1.0"),
        ({"transitions": torch.full((2, 3, 2), 0.5)}, r"shape of transitions=\[2, 3, 2\]"),
        ({"rewards": torch.zeros(2, 2)}, r"shape of rewards=\[2, 2\]: must be \[L, S, A\]"),
        ({"rewards": torch.full((1, 2, 2), torch.nan)}, "rewards: must be finite"),
        ({"rewards": torch.zeros(1, 2, 2, dtype=torch.int64)}, "dtype of rewards=torch.int64"),
        ({"transitions": torch.full((2, 2, 2), torch.nan)}, "sum of transitions=nan"),
        ({"starts": torch.tensor([[0.5, 0.0]])}, "sum of starts=0.5"),
        ({"starts": torch.ones(2)}, "shape of starts"),
        ({"terminals": torch.zeros(1, 2)}, "dtype of terminals"),
        ({"weights": torch.zeros(1)}, "weights: must be at least 0, finite, and not all 0"),
    ],
)  # fmt: skip
def test_refusals_name_the_value(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        TabularMDP(**(GOOD | wrong))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_temperatures_are_refused_in_one_line() -> None:
    mdp = TabularMDP(**GOOD)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"temperature=0: must be above 0; the best policy"):
        mdp.optimal_logits(0)
    with pytest.raises(InputError, match=r"temperature=-1: must be at least 0"):
        mdp.optimal_value(-1)
    with pytest.raises(InputError, match=r"temperature=-1: must be at least 0"):
        mdp.value(torch.zeros(1, 2, 2), temperature=-1)
    with pytest.raises(InputError, match="as logits or as probs"):
        mdp.value()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([0.5, 0.4], r"sum of probs=0\.9"),
        ([1.5, -0.5], r"least of probs=-0\.5: must be at least 0"),
    ],
)
def test_probabilities_are_held_to_be_some(row: list[float], message: str) -> None:
    mdp = TabularMDP(**GOOD)  # type: ignore[arg-type]
    wrong = torch.tensor([[[0.5, 0.5], row]])
    for method in (mdp.value, mdp.returns, mdp.occupancy, mdp.regret):
        with pytest.raises(InputError, match=message):
            method(probs=wrong)


@pytest.mark.parametrize("shape", [(1, 2, 1), (1, 1, 2), (1, 2, 3), (2,)])
def test_policies_of_another_process_are_refused(shape: tuple[int, ...]) -> None:
    mdp, policy = TabularMDP(**GOOD), torch.ones(shape)  # type: ignore[arg-type]
    for kind in ("logits", "probs"):
        for method in (mdp.value, mdp.occupancy, mdp.regret):
            with pytest.raises(
                InputError, match=rf"shape of {kind}=.* must be \[\.\.\., L, 2, 2\]"
            ):
                method(**{kind: policy})
