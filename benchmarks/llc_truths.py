"""The exact values in the table of known answers, by code that shares nothing with rl_slt's.

    python benchmarks/llc_truths.py > benchmarks/results/llc_truths.md

In double precision, by what suits a problem:

* HMC: plain Hamiltonian Monte Carlo with a Metropolis test over hundreds of independent chains at
  once. A linear network's loss depends on its data through their second moment alone, a policy
  over state ids on their frequencies, so that a step costs a few small products. The standard
  error is that of the mean over independent chains; the check compares the second half of all
  draws with the first.
* Quadrature on a grid; the check compares a grid of half as many points along each axis.
* Importance sampling; the check is the share of effective draws.

Where w* = 0 and the output is linear in the last layer, that layer's posterior is Gaussian given
the others and integrated out: with `A = 1 + (2 nbeta / (M gamma)) G`, G the Gram matrix of its
inputs over the data, the others' density is their prior times `det(A)^(-M/2)`, and the mean of
`nbeta L` is `M/2 tr(1 - A^-1)`.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from rl_slt.known.problems import PROBLEMS, Problem

Loss = Callable[[list[Tensor]], Tensor]
Truth = tuple[float, float, str]  # the value, its standard error, and a check in words
Method = Callable[[Problem], Truth]


def linear_loss(problem: Problem) -> Loss:
    """Mean over outputs of the squared error of a product of matrices."""
    states = problem.data.states.double()
    moment = states.T @ states / len(states)
    truth = product([p.detach().double()[None] for p in problem.policy.parameters()])[0]

    def loss(factors: list[Tensor]) -> Tensor:
        gap = product(factors) - truth
        return ((gap @ moment) * gap).sum((1, 2)) / len(truth)

    return loss


def product(factors: list[Tensor]) -> Tensor:
    out = factors[0]
    for factor in factors[1:]:
        out = factor @ out
    return out


def policy_loss(problem: Problem) -> Loss:
    """Mean KL of the policy to itself at w*, over states that are visited equally often."""
    rows, columns = (p.detach().double() for p in problem.policy.parameters())
    log_p = (rows @ columns).log_softmax(-1)
    assert len(set(problem.data.states.bincount().tolist())) == 1

    def loss(factors: list[Tensor]) -> Tensor:
        log_q = (factors[0] @ factors[1]).log_softmax(-1)
        return (log_p.exp() * (log_p - log_q)).sum(-1).mean(-1)

    return loss


def network_loss(problem: Problem) -> Loss:
    """Mean KL to itself at w* of a softmax policy with one hidden layer of tanh units."""
    states = problem.data.states.double()

    def outputs(factors: list[Tensor]) -> Tensor:
        first, second = factors
        hidden = (states @ first.flatten(0, 1).T).tanh().view(len(states), *first.shape[:2])
        return (hidden.transpose(0, 1) @ second.mT).log_softmax(-1)  # [C, n, A]

    log_p = outputs([p.detach().double()[None] for p in problem.policy.parameters()])
    own = (log_p.exp() * log_p).sum()

    def loss(factors: list[Tensor]) -> Tensor:
        return (own - (log_p.exp() * outputs(factors)).sum((1, 2))) / len(states)

    return loss


class Posterior:
    """Energy and gradient of flat positions `[C, d]`."""

    def __init__(self, problem: Problem, loss: Loss) -> None:
        params = [p.detach().double() for p in problem.policy.parameters()]
        self.shapes = [p.shape for p in params]
        self.start = torch.cat([p.reshape(-1) for p in params])
        self.problem, self.loss = problem, loss

    def losses(self, w: Tensor) -> Tensor:
        """`[C]`."""
        parts = w.split([s.numel() for s in self.shapes], dim=1)
        return self.loss([p.view(-1, *s) for p, s in zip(parts, self.shapes, strict=True)])

    def __call__(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """Energies `[C]` and their gradients `[C, d]`."""
        w = w.detach().requires_grad_(True)
        pull = 0.5 * self.problem.localization * (w - self.start).square().sum(1)
        energy = self.problem.nbeta * self.losses(w) + pull
        return energy.detach(), torch.autograd.grad(energy.sum(), w)[0]


def sample(posterior: Posterior, chains: int, draws: int, length: float) -> np.ndarray:
    """Draws of nbeta L, `[chains, draws]`; as many more before them are dropped."""
    g = torch.Generator().manual_seed(7)
    w = posterior.start.expand(chains, -1).clone()
    energy, grad = posterior(w)
    step, kept = 0.02, []
    for t in range(2 * draws):
        steps = max(1, round(length / step * (0.5 + float(torch.rand((), generator=g)))))
        x, v, slope = w, torch.randn(w.shape, generator=g, dtype=w.dtype), grad
        before = energy + 0.5 * v.square().sum(1)
        for _ in range(steps):
            v = v - step / 2 * slope
            x = x + step * v
            there, slope = posterior(x)
            v = v - step / 2 * slope
        gain = (before - there - 0.5 * v.square().sum(1)).nan_to_num(-torch.inf)
        take = torch.rand(chains, generator=g, dtype=w.dtype).log() < gain
        w = torch.where(take[:, None], x, w)
        energy, grad = torch.where(take, there, energy), torch.where(take[:, None], slope, grad)
        if t < draws:  # towards an acceptance of 0.85, then fixed
            rate = float(gain.clamp(max=0).exp().mean())
            step *= math.exp((rate - 0.85) / (1 + t / 10))
        else:
            kept.append(posterior.problem.nbeta * posterior.losses(w).detach())
    return torch.stack(kept, 1).numpy()


def by_hmc(loss_of: Callable[[Problem], Loss], chains: int = 1000, draws: int = 40) -> Method:
    """A method by `sample`."""

    def truth(problem: Problem) -> Truth:
        length = 1.5 / problem.localization**0.5
        values = sample(Posterior(problem, loss_of(problem)), chains, draws, length)
        means, half = values.mean(1), values.shape[1] // 2
        drift = values[:, half:].mean() / values[:, :half].mean() - 1
        check = f"{chains} chains of {draws} draws; second half {drift:+.2%}"
        return means.mean(), means.std(ddof=1) / math.sqrt(chains), check

    return truth


def cusp(problem: Problem) -> Truth:
    """On a grid of the plane; the loss is even in x."""

    def on_grid(spacing: float) -> float:
        x = torch.arange(0, 9, spacing, dtype=torch.float64)
        half = torch.where(x == 0, 0.5, 1.0)
        mass = total = 0.0
        for y in torch.arange(-9, 9, spacing, dtype=torch.float64)[:, None].split(100):
            loss = (x**2 - y**3) ** 2
            p = half * (-problem.nbeta * loss - problem.localization / 2 * (x**2 + y**2)).exp()
            mass, total = mass + float(p.sum()), total + float((p * loss).sum())
        return problem.nbeta * total / mass

    return by_grids(on_grid, 0.004, 0.002)


def tanh_net(problem: Problem) -> Truth:
    """Over the incoming weights, whose signs say nothing, on a grid in `u = asinh(100 a)`."""
    states, gamma = problem.data.states.double()[:, 0], problem.localization
    units = len(next(problem.policy.parameters()))

    def on_grid(points: float) -> float:
        u = torch.linspace(0, math.asinh(100 * 9 / gamma**0.5), int(points), dtype=torch.float64)
        a = u.sinh() / 100
        weight = u.cosh() * (-gamma / 2 * a**2).exp()
        weight[0] /= 2
        active = (a[:, None] * states).tanh()
        gram = 2 * problem.nbeta / gamma * active @ active.T / len(states)
        mass = total = 0.0
        for index in torch.cartesian_prod(*[torch.arange(len(u))] * units).split(100_000):
            p, mean = without_last_layer(gram[index[:, :, None], index[:, None, :]], 1)
            p = p * weight[index].prod(1)
            mass, total = mass + float(p.sum()), total + float((p * mean).sum())
        return total / mass

    return by_grids(on_grid, 40, 80)


def deep_linear_zero(problem: Problem, draws: int = 20_000_000) -> Truth:
    """Factors but the last from their prior."""
    states, g = problem.data.states.double(), torch.Generator().manual_seed(7)
    factors = [p.shape for p in problem.policy.parameters()]
    outputs = factors[-1][0]
    scale = 2 * problem.nbeta / (outputs * problem.localization)
    moment, parts = scale * states.T @ states / len(states), []
    for _ in range(draws // 500_000):
        width = problem.localization**-0.5
        drawn = [
            width * torch.randn(500_000, *shape, generator=g, dtype=torch.float64)
            for shape in factors[:-1]
        ]
        out = product(drawn)
        parts.append(torch.stack(without_last_layer(out @ moment @ out.mT, outputs)))
    return weighted(*torch.cat(parts, dim=1))


def without_last_layer(gram: Tensor, outputs: int) -> tuple[Tensor, Tensor]:
    """Density and mean of `nbeta L` `[B]` of `(2 nbeta / (M gamma)) G` `[B, H, H]`, see above."""
    a = gram + torch.eye(gram.shape[-1], dtype=gram.dtype)
    kept = gram.shape[-1] - torch.linalg.inv(a).diagonal(dim1=1, dim2=2).sum(1)
    return torch.linalg.det(a) ** (-outputs / 2), outputs / 2 * kept


def softmax_regression(problem: Problem, draws: int = 200_000) -> Truth:
    """From a Student t of 20 degrees of freedom of the Gaussian approximation's shape.

    The shift of all logits is a direction of its own that integrates out: the differences to the
    mean of a column's weights are sampled, in orthonormal coordinates `[A - 1, N]`.
    """
    states, g = problem.data.states.double(), torch.Generator().manual_seed(7)
    logits = problem.policy(problem.data.states).detach().double()
    log_p, actions = logits.log_softmax(-1), logits.shape[1]
    basis = torch.linalg.qr(torch.eye(actions, dtype=torch.float64) - 1 / actions)[0][:, :-1]
    p = log_p.exp()
    scores = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    inner = basis.T @ scores @ basis  # [n, A - 1, A - 1]
    d, freedom = (actions - 1) * states.shape[1], 20
    hessian = torch.einsum("nab,ni,nj->aibj", inner, states, states).reshape(d, d) / len(states)
    precision = problem.nbeta * hessian + problem.localization * torch.eye(d, dtype=torch.float64)
    spread = torch.linalg.cholesky(torch.linalg.inv(precision))
    energies, values = [], []
    for _ in range(draws // 500):
        z = torch.randn(500, d, generator=g, dtype=torch.float64)
        chi = torch.randn(500, freedom, generator=g, dtype=torch.float64).square().mean(1)
        z = z / chi.sqrt()[:, None]
        w = z @ spread.T
        moved = basis @ w.view(500, actions - 1, -1) @ states.T + logits.T  # [500, A, n]
        loss = (p * log_p).sum(-1).mean() - (p.T * moved.log_softmax(1)).sum(1).mean(1)
        values.append(problem.nbeta * loss)
        proposal = -(freedom + d) / 2 * (z.square().sum(1) / freedom).log1p()
        energies.append(values[-1] + problem.localization / 2 * w.square().sum(1) + proposal)
    energy = torch.cat(energies)
    return weighted((energy.min() - energy).exp(), torch.cat(values))


def tabular(problem: Problem, draws: int = 400_000) -> Truth:
    """State by state, from 1.3 times the Gaussian approximation; unvisited states give 0."""
    g, found = torch.Generator().manual_seed(7), []
    counts = problem.data.states.bincount()
    for row, count in zip(
        next(problem.policy.parameters()).detach().double(), counts, strict=False
    ):
        beta = problem.nbeta * int(count) / len(problem.data)
        p = row.softmax(-1)
        precision = beta * (torch.diag(p) - p[:, None] * p)
        precision += problem.localization * torch.eye(len(p), dtype=torch.float64)
        spread = torch.linalg.cholesky(torch.linalg.inv(precision)) * 1.3
        z = torch.randn(draws, len(p), generator=g, dtype=torch.float64)
        delta = z @ spread.T
        value = beta * ((p * (row.log_softmax(-1) - (row + delta).log_softmax(-1))).sum(-1))
        energy = value + problem.localization / 2 * delta.square().sum(1) - z.square().sum(1) / 2
        found.append(weighted((energy.min() - energy).exp(), value))
    values, errors, checks = zip(*found, strict=True)
    return sum(values), math.hypot(*errors), f"at least {min(checks)}"


def by_grids(on_grid: Callable[[float], float], coarse: float, fine: float) -> Truth:
    """The finer grid's value, with the difference to the coarser one's as its error."""
    rough, value = on_grid(coarse), on_grid(fine)
    return value, abs(value - rough), f"coarser grid {rough / value - 1:+.1e}"


def weighted(weights: Tensor, values: Tensor) -> Truth:
    """The weighted mean of values `[B]` and its standard error (delta method)."""
    share = weights / weights.sum()
    mean = float((share * values).sum())
    effective = 1 / float(share.square().sum()) / len(share)
    error = float((share * (values - mean)).square().sum().sqrt())
    return mean, error, f"{effective:.1%} effective"


METHODS: dict[str, Method] = {
    "reduced-rank": by_hmc(linear_loss),
    "reduced-rank-tight": by_hmc(linear_loss),
    "reduced-rank-hot": by_hmc(linear_loss),
    "reduced-rank-cold": by_hmc(linear_loss, chains=500, draws=120),
    "reduced-rank-zero": by_hmc(linear_loss),
    "deep-linear": by_hmc(linear_loss),
    "low-rank": by_hmc(policy_loss),
    "cusp": cusp,
    "tabular": tabular,
    "tabular-short": tabular,
    "tabular-mixed": tabular,
    "tanh-net": tanh_net,
    "deep-linear-zero": deep_linear_zero,
    "softmax-regression": softmax_regression,
    "softmax-mlp": by_hmc(network_loss, chains=200, draws=60),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=METHODS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"Exact values by `benchmarks/llc_truths.py`; torch {torch.__version__}.\n")
    print("| problem | nbeta | localization | λ | exact | standard error | check |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in args.only or METHODS:
        began = time.process_time()
        problem = PROBLEMS[name]()
        value, error, check = METHODS[name](problem)
        cells = (
            name, f"{problem.nbeta:.1f}", f"{problem.localization:g}", f"{problem.lambda_:.4g}",
            f"{value:.5g}", f"{error:.1g}", check,
        )  # fmt: skip
        print("| " + " | ".join(cells) + " |", flush=True)
        print(f"{name}: {time.process_time() - began:.0f} CPU seconds", file=sys.stderr)


if __name__ == "__main__":
    main()
