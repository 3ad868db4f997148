"""Problems with two truths: lambda, and the exact estimate at the settings in use."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations, pairwise

import numpy as np
import torch
from torch import Tensor, nn

from rl_slt.data.policy_data import PolicyData
from rl_slt.known import returns
from rl_slt.known.problem import Problem
from rl_slt.losses.base import Policy, logits_of
from rl_slt.losses.kl import PolicyKL

SAMPLES = 2048
N_BETA = SAMPLES / math.log(SAMPLES)


class Weights(nn.Module):
    """One weight vector `[d]` as the output `[B, d]` on every state: a loss of weights alone."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(d))

    def forward(self, states: Tensor) -> Tensor:
        """The weights, once per state."""
        return self.w.expand(len(states), -1)


class Table(nn.Module):
    """Logits `[S, A]` looked up by state id `[B]`."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits.clone())

    def forward(self, states: Tensor) -> Tensor:
        """Logits `[B, A]`."""
        return self.logits[states]


class LinearNet(nn.Module):
    """A product of matrices `W_L ... W_1 x`, no biases."""

    def __init__(self, factors: list[Tensor]) -> None:
        super().__init__()
        self.factors = nn.ParameterList([nn.Parameter(f.clone()) for f in factors])

    def forward(self, states: Tensor) -> Tensor:
        """Outputs `[B, M]` of inputs `[B, N]`."""
        for factor in self.factors:
            states = states @ factor.T
        return states


class TanhNet(nn.Module):
    """One hidden layer of tanh units, `V tanh(U x)`, no biases."""

    def __init__(self, first: Tensor, second: Tensor) -> None:
        super().__init__()
        self.first, self.second = nn.Parameter(first.clone()), nn.Parameter(second.clone())

    def forward(self, states: Tensor) -> Tensor:
        """Outputs `[B, M]` of inputs `[B, N]`."""
        return (states @ self.first.T).tanh() @ self.second.T


class LowRankPolicy(nn.Module):
    """Logits `A[s] B`: a state's row `[H]` times a matrix `[H, actions]`."""

    def __init__(self, first: Tensor, second: Tensor) -> None:
        super().__init__()
        self.state_factor = nn.Parameter(first.T.contiguous())
        self.action_factor = nn.Parameter(second.T.contiguous())

    def forward(self, states: Tensor) -> Tensor:
        """Logits `[B, A]` of state ids `[B]`."""
        return self.state_factor[states] @ self.action_factor


def quadratic(curvatures: tuple[float, ...], nbeta: float = 100.0) -> Problem:
    """The quadratic `L = 1/2 sum h_i w_i^2` of curvatures h around w* = 0.

    The posterior is Gaussian with precisions `a_i = nbeta h_i + gamma`, so the exact estimate is
    `1/2 sum nbeta h_i / a_i` and lambda is half the number of positive curvatures.
    """
    h, gamma = torch.tensor(curvatures), 1.0
    return Problem(
        policy=Weights(len(curvatures)),
        data=PolicyData(torch.zeros(8, 1)),  # states that say nothing
        loss=lambda policy, batch: 0.5 * (h * logits_of(policy(batch.states)).square()).sum(-1),
        nbeta=nbeta,
        localization=gamma,
        exact=sum(0.5 * nbeta * x / (nbeta * x + gamma) for x in curvatures),
        lambda_=0.5 * sum(x > 0 for x in curvatures),
    )


def slope(nbeta: float = 100.0) -> Problem:
    """A quadratic with a slope at w* = 0, `L = g . w + 1/2 w' H w`, sampled orthogonally to g.

    H is not diagonal, and curves along g more than anywhere else. With a basis B of the subspace
    orthogonal to g the posterior there is Gaussian of precision `A = nbeta B'H B + gamma`, so the
    exact estimate is `1/2 tr(nbeta B'H B A^-1)` and lambda is half the rank of `B'H B`.
    """
    g, gamma = torch.tensor([2.0, -1.0, 0.5, 0.0, 1.0]), 1.0
    rows = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    h = rows.T @ rows + torch.outer(g, g)

    def loss(policy: Policy, batch: PolicyData) -> Tensor:
        w = logits_of(policy(batch.states))
        return w @ g + 0.5 * ((w @ h) * w).sum(-1)

    basis = torch.linalg.qr(torch.column_stack([g, torch.eye(5)]).double())[0][:, 1:]
    curvatures = torch.linalg.eigvalsh(basis.T @ h.double() @ basis).clamp(min=0).tolist()
    return Problem(
        policy=Weights(5),
        data=PolicyData(torch.zeros(8, 1)),
        loss=loss,
        nbeta=nbeta,
        localization=gamma,
        exact=sum(0.5 * nbeta * x / (nbeta * x + gamma) for x in curvatures),
        lambda_=0.5 * sum(x > 1e-6 for x in curvatures),
        orthogonal=True,
    )


def sgld_stationary(
    curvatures: tuple[float, ...], nbeta: float, localization: float, step_size: float
) -> float:
    """What full-batch SGLD itself gives on the quadratic, step-size bias included.

    Its variances are `1 / (a (1 - eps a / 4))` for `eps a < 4`.
    """
    a = [nbeta * h + localization for h in curvatures]
    pairs = zip(curvatures, a, strict=True)
    return sum(0.5 * nbeta * h / (x * (1 - step_size * x / 4)) for h, x in pairs)


def crossing(powers: tuple[int, int]) -> Problem:
    """The normal crossing `L = prod w_j^(2 k_j)` of two weights around w* = 0, with powers k.

    It is the local form of every singularity; lambda is `1 / (2 max k)` (Watanabe 2009).
    """
    k = torch.tensor(powers)
    return Problem(
        policy=Weights(len(powers)),
        data=PolicyData(torch.zeros(8, 1)),
        loss=lambda policy, batch: logits_of(policy(batch.states)).square().pow(k).prod(-1),
        nbeta=1000.0,
        localization=1.0,
        exact=crossing_exact(powers, 1000.0, 1.0),
        lambda_=1 / (2 * max(powers)),
    )


def crossing_exact(powers: tuple[int, int], nbeta: float, localization: float) -> float:
    """`nbeta E[L]` for two weights, by the trapezoid rule in `u = asinh(scale w)`."""
    scale = 1e3
    u = np.linspace(0, np.arcsinh(scale * 9 / localization**0.5), 1501)
    w, weight = np.sinh(u) / scale, np.cosh(u)
    weight[0] *= 0.5
    x, y = np.meshgrid(w, w, indexing="ij")
    loss = x ** (2 * powers[0]) * y ** (2 * powers[1])
    log_p = -nbeta * loss - localization / 2 * (x**2 + y**2)
    p = np.exp(log_p) * weight[:, None] * weight[None, :]
    return float(nbeta * (p * loss).sum() / p.sum())


def cusp(exact: float, exact_error: float) -> Problem:
    """The cusp `L = (x^2 - y^3)^2` of two weights around w* = 0, the simplest curve that is none.

    Its zeros are a curve with a cusp at w*, no crossing of coordinate axes: lambda is 5/12 (half
    of 1/2 + 1/3, by the blow-up with weights 3 and 2).
    """

    def loss(policy: Policy, batch: PolicyData) -> Tensor:
        x, y = logits_of(policy(batch.states)).unbind(-1)
        return (x**2 - y**3).square()

    return Problem(
        policy=Weights(2),
        data=PolicyData(torch.zeros(8, 1)),
        loss=loss,
        nbeta=1000.0,
        localization=1.0,
        exact=exact,
        lambda_=5 / 12,
        exact_error=exact_error,
    )


def tabular(
    nbeta: float = 2000.0, live: int = 12, sure: int = 0, unvisited: int = 0, visits: int = 40
) -> Problem:
    """A softmax table of A = 3 actions; lambda is `S (A - 1) / 2` over the S visited states.

    The posterior is a product over states, each a quadrature over its two logit differences.

    Args:
        nbeta: inverse temperature times N.
        live: states whose actions are all probable.
        sure: states whose first action has nearly all probability: at any nbeta in use they show
            almost nothing of their share of lambda.
        unvisited: states that are not in the data, with weights that the loss does not see.
        visits: samples of each visited state.
    """
    states, gamma = live + sure, 1.0
    logits = 0.5 * torch.randn(states + unvisited, 3, generator=torch.Generator().manual_seed(0))
    logits[live:states, 0] += 8
    return Problem(
        policy=Table(logits),
        data=PolicyData(torch.arange(states).repeat(visits)),
        loss=PolicyKL(),
        nbeta=nbeta,
        localization=gamma,
        exact=sum(_row_exact(row.numpy(), nbeta / states, gamma) for row in logits[:states]),
        lambda_=float(states),
    )


def _row_exact(logits: np.ndarray, weight: float, localization: float) -> float:
    """`weight E[KL]` of one row of three logits; the common shift of a row integrates out."""
    p = np.exp(logits - logits.max())
    p /= p.sum()
    narrow = 12 / np.sqrt(min(weight * p.min() / 2, 1e12) + localization) + 0.2
    axis = np.linspace(-narrow, narrow, 601)
    # Orthonormal coordinates of the plane that the shift does not touch.
    b1, b2 = np.array([1, -1, 0]) / np.sqrt(2), np.array([1, 1, -2]) / np.sqrt(6)
    delta = axis[:, None, None] * b1 + axis[None, :, None] * b2
    kl = np.log((p * np.exp(delta)).sum(-1)) - (p * delta).sum(-1)
    q = np.exp(-weight * kl - localization / 2 * (delta**2).sum(-1))
    return float(weight * (q * kl).sum() / q.sum())


def squared_error(policy: Policy, batch: PolicyData) -> Tensor:
    """Mean over outputs of the squared error to the policy's own outputs at w*, `[B]`."""
    assert batch.reference_logits is not None
    return (logits_of(policy(batch.states)) - batch.reference_logits).square().mean(-1)


def reduced_rank_lambda(inputs: int, hidden: int, outputs: int, rank: int) -> float:
    """Lambda at its smallest over all true parameters (Aoyagi & Watanabe 2005)."""
    n, h, m, r = inputs, hidden, outputs, rank
    if n + r <= m + h and m + r <= n + h and h + r <= m + n:
        odd = (n + m + h + r) % 2
        square = (h + r) ** 2 + m**2 + n**2
        return (2 * (h + r) * (m + n) + 2 * m * n - square + odd) / 8
    if m + h < n + r:
        return (h * m - h * r + n * r) / 2
    if n + h < m + r:
        return (h * n - h * r + m * r) / 2
    return m * n / 2


def deep_linear_lambda(widths: tuple[int, ...], rank: int) -> float:
    """Lambda at its smallest over all true parameters of a product of L matrices (Aoyagi 2024).

    Args:
        widths: H_0 to H_L.
        rank: of the true product.

    Raises:
        ValueError: no admissible set of layers exists (a width is below the rank).
    """
    surplus = sorted(h - rank for h in widths)
    if surplus[0] < 0:
        raise ValueError(f"rank {rank} is above the smallest width {min(widths)}")
    # The layers Sigma of the formula are the smallest ones: its l + 1 surplus widths.
    for size in range(2, len(surplus) + 1):
        chosen, rest = surplus[:size], surplus[size:]
        length, total = size - 1, sum(chosen)
        below = not rest or (chosen[-1] < rest[0] and total < length * rest[0])
        if below and total >= length * chosen[-1]:
            break
    else:
        raise ValueError(f"no admissible layers among surplus widths {surplus}")
    pairs = sum(a * b for a, b in combinations(chosen, 2))
    a = total - (math.ceil(total / length) - 1) * length
    value = (rank * (widths[0] + widths[-1]) - rank**2) / 2
    value += a * (length - a) / (4 * length)
    value -= length * (length - 1) / 4 * (total / length) ** 2
    return value + pairs / 2


def reduced_rank(
    sizes: tuple[int, int, int, int],
    exact: float,
    exact_error: float,
    localization: float = 1.0,
    nbeta: float = N_BETA,
) -> Problem:
    """Regression by a product of two matrices.

    Args:
        sizes: inputs N, hidden units H, outputs M, and the true rank r.
        exact: the truth at these settings, by exact sampling.
        exact_error: its standard error.
        localization: gamma.
        nbeta: inverse temperature times N.
    """
    n, (inputs, hidden, outputs, rank) = SAMPLES, sizes
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(n, inputs, generator=generator)
    return Problem(
        policy=LinearNet(_padded_factors(inputs, hidden, outputs, rank, generator)),
        data=PolicyData(states),
        loss=squared_error,
        nbeta=nbeta,
        localization=localization,
        exact=exact,
        lambda_=reduced_rank_lambda(*sizes),
        exact_error=exact_error,
    )


def deep_linear(widths: tuple[int, ...], rank: int, exact: float, exact_error: float) -> Problem:
    """Regression by a product of several matrices, surplus units zero everywhere."""
    generator, factors = torch.Generator().manual_seed(0), []
    for inputs, outputs in pairwise(widths):
        factor = torch.zeros(outputs, inputs)
        factor[:rank, :rank] = torch.randn(rank, rank, generator=generator)
        factors.append(factor)
    return Problem(
        policy=LinearNet(factors),
        data=PolicyData(torch.randn(SAMPLES, widths[0], generator=generator)),
        loss=squared_error,
        nbeta=N_BETA,
        localization=1.0,
        exact=exact,
        lambda_=deep_linear_lambda(widths, rank),
        exact_error=exact_error,
    )


def tanh_net(hidden: int, exact: float, exact_error: float) -> Problem:
    """Regression of the zero function of one input by `hidden` tanh units, all zero at w*.

    Lambda is `(H + i^2 + i) / (4 i + 2)`, i the largest integer with `i^2 <= H` (Aoyagi & Watanabe
    2006; Watanabe 2009, section 7.4).
    """
    i = math.isqrt(hidden)
    states = torch.randn(SAMPLES, 1, generator=torch.Generator().manual_seed(0))
    return Problem(
        policy=TanhNet(torch.zeros(hidden, 1), torch.zeros(1, hidden)),
        data=PolicyData(states),
        loss=squared_error,
        nbeta=N_BETA,
        localization=1.0,
        exact=exact,
        lambda_=(hidden + i**2 + i) / (4 * i + 2),
        exact_error=exact_error,
    )


def softmax_regression(inputs: int, actions: int, exact: float, exact_error: float) -> Problem:
    """A linear softmax policy, regular in its quotient: lambda is `inputs (actions - 1) / 2`."""
    generator = torch.Generator().manual_seed(0)
    policy = LinearNet([torch.randn(actions, inputs, generator=generator) / inputs**0.5])
    lambda_ = inputs * (actions - 1) / 2
    return _softmax(policy, inputs, generator, exact, exact_error, lambda_)


def softmax_mlp(sizes: tuple[int, int, int], exact: float, exact_error: float) -> Problem:
    """A softmax policy with a hidden layer of tanh units, at generic weights.

    It is regular there but for the shift of all logits, so lambda is `H (N + A - 1) / 2` of sizes
    (N, H, A); at the settings in use about half of that is to be seen.
    """
    generator, (inputs, hidden, actions) = torch.Generator().manual_seed(0), sizes
    first = torch.randn(hidden, inputs, generator=generator) / inputs**0.5
    policy = TanhNet(first, torch.randn(actions, hidden, generator=generator) / hidden**0.5)
    lambda_ = hidden * (inputs + actions - 1) / 2
    return _softmax(policy, inputs, generator, exact, exact_error, lambda_)


def _softmax(
    policy: nn.Module,
    inputs: int,
    generator: torch.Generator,
    exact: float,
    exact_error: float,
    lambda_: float,
) -> Problem:
    """A policy against itself on standard normal states."""
    return Problem(
        policy=policy,
        data=PolicyData(torch.randn(SAMPLES, inputs, generator=generator)),
        loss=PolicyKL(),
        nbeta=N_BETA,
        localization=1.0,
        exact=exact,
        lambda_=lambda_,
        exact_error=exact_error,
    )


def low_rank(sizes: tuple[int, int, int, int], exact: float, exact_error: float) -> Problem:
    """A softmax policy of S states, H hidden units, A actions and rank r, all states equally often.

    The shift common to all logits of a state changes nothing, so lambda is the reduced-rank value
    with one output fewer: sizes (S, H, A - 1, r).
    """
    states, hidden, actions, rank = sizes
    generator = torch.Generator().manual_seed(0)
    first, second = _padded_factors(states, hidden, actions, rank, generator)
    n = 64 * states
    return Problem(
        policy=LowRankPolicy(0.7 * first, 0.7 * second),
        data=PolicyData(torch.arange(states).repeat(64)),
        loss=PolicyKL(),
        nbeta=n / math.log(n),
        localization=1.0,
        exact=exact,
        lambda_=reduced_rank_lambda(states, hidden, actions - 1, rank),
        exact_error=exact_error,
    )


def _padded_factors(
    inputs: int, hidden: int, outputs: int, rank: int, generator: torch.Generator
) -> list[Tensor]:
    """Gaussian factors of rank r, surplus hidden units zero in both: where lambda is smallest."""
    first, second = torch.zeros(hidden, inputs), torch.zeros(outputs, hidden)
    first[:rank] = torch.randn(rank, inputs, generator=generator)
    second[:, :rank] = torch.randn(outputs, rank, generator=generator)
    return [first, second]


# Values stated here were found by benchmarks/llc_truths.py: quadrature, importance sampling or
# Hamiltonian Monte Carlo, in code of its own. They belong to the weights and states that the seeds
# of these problems draw.
PROBLEMS: dict[str, Callable[[], Problem]] = {
    "quadratic": lambda: quadratic((4.0, 2.0, 1.0, 0.5, 0.0)),
    "quadratic-slope": slope,
    "crossing-1-1": lambda: crossing((1, 1)),
    "crossing-1-2": lambda: crossing((1, 2)),
    "tabular": tabular,
    "tabular-short": lambda: tabular(nbeta=300.0),
    "reduced-rank": lambda: reduced_rank((10, 6, 10, 4), exact=36.93, exact_error=0.06),
    "reduced-rank-tight": lambda: reduced_rank(
        (10, 6, 10, 4), exact=26.60, exact_error=0.05, localization=100.0
    ),
    # Over nbeta at one localization: where the reduced rank shows its lambda, a plateau.
    "reduced-rank-hot": lambda: reduced_rank(
        (10, 6, 10, 4), exact=35.48, exact_error=0.05, nbeta=N_BETA / 10
    ),
    "reduced-rank-cold": lambda: reduced_rank(
        (10, 6, 10, 4), exact=37.24, exact_error=0.05, nbeta=10 * N_BETA
    ),
    "reduced-rank-zero": lambda: reduced_rank((5, 3, 5, 0), exact=5.99, exact_error=0.02),
    "deep-linear": lambda: deep_linear((4, 4, 4, 4), 2, exact=5.96, exact_error=0.02),
    "low-rank": lambda: low_rank((12, 4, 6, 2), exact=13.48, exact_error=0.03),
    "cusp": lambda: cusp(exact=0.37406, exact_error=0.0),
    "tabular-mixed": lambda: tabular(N_BETA, live=4, sure=4, unvisited=4, visits=SAMPLES // 8),
    "tanh-net": lambda: tanh_net(3, exact=0.7307, exact_error=0.0),
    "deep-linear-zero": lambda: deep_linear((2, 2, 2, 2), 0, exact=1.1383, exact_error=0.001),
    "softmax-regression": lambda: softmax_regression(4, 3, exact=3.977, exact_error=0.004),
    "softmax-mlp": lambda: softmax_mlp((4, 8, 3), exact=8.17, exact_error=0.04),
    # Of exact returns, by benchmarks/regret_truths.py.
    **returns.PROBLEMS,
}
QUICK = ("quadratic", "crossing-1-1", "tabular", "low-rank")
