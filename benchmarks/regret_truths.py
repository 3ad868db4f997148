"""Exact values of the known answers of exact returns, and how the estimator meets them.

    python benchmarks/regret_truths.py > benchmarks/results/regret_truths.md

The truths come from code that shares nothing with the estimator: regrets by hand on paper, and a
quadrature over one or two weights in `asinh` coordinates (checked by half as many points), or
importance sampling from a Gaussian (checked by the share of effective draws). Then ten seeds of
`estimate_llc` with its defaults but 8 chains of 300 draws after 150, in double precision.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from rl_slt import ExactRegret, PolicyData, Settings, TabularMDP
from rl_slt.estimate import estimate_with, prepare_target
from rl_slt.known.problem import Problem
from rl_slt.known.returns import PROBLEMS, gridworld

Array = np.ndarray


def entropy(p: Array) -> Array:
    """Of two actions, nats."""
    from scipy.special import entr

    return np.asarray(entr(p) + entr(1 - p))


def sigmoid(z: Array) -> Array:
    from scipy.special import expit

    return np.asarray(expit(z))


def corridor_regret(z0: Array, z1: Array) -> Array:
    """Of the two cells' log-odds of right, by solving the two equations by hand."""
    tau, g = 0.1, 0.9

    def value(z0: Array, z1: Array) -> Array:
        p, q = sigmoid(z0), sigmoid(z1)
        # v0 = tau H(p) + p g v1 + (1 - p) g v0;  v1 = tau H(q) + q + (1 - q) g v0
        v1_0, v1_1 = tau * entropy(q) + q, (1 - q) * g  # v1 = v1_0 + v1_1 v0
        return (tau * entropy(p) + p * g * v1_0) / (1 - (1 - p) * g - p * g * v1_1)

    return value(*(np.array(z) for z in corridor_best())) - value(z0, z1)


def corridor_best() -> tuple[float, float]:
    """Log-odds of right that are best, by value iteration."""
    tau, g, v0, v1 = 0.1, 0.9, 0.0, 0.0
    for _ in range(5000):
        v0, v1 = (
            tau * np.logaddexp(g * v1 / tau, g * v0 / tau),
            tau * np.logaddexp(1 / tau, g * v0 / tau),
        )
    return g * (v1 - v0) / tau, (1 - g * v0) / tau


def quadrature(
    loss: Callable[..., Array], center: tuple[float, ...], nbeta: float, gamma: float
) -> tuple[float, float]:
    """`nbeta E[L - L(w*)]` over one or two weights; and how much half as many points change it."""
    found = []
    for points in (4001, 2001):
        scale = 1e4
        u = np.linspace(-1, 1, points) * np.arcsinh(scale * 9 / gamma**0.5)
        w, weight = np.sinh(u) / scale, np.cosh(u)
        axes = np.meshgrid(*[w] * len(center), indexing="ij")
        measure = weight if len(center) == 1 else np.outer(weight, weight)
        excess = loss(*(c + x for c, x in zip(center, axes, strict=True)))
        excess = excess - float(loss(*(np.array(c) for c in center)))
        p = np.exp(-nbeta * excess - gamma / 2 * sum(x**2 for x in axes)) * measure
        found.append(float(nbeta * (p * excess).sum() / p.sum()))
    return found[0], abs(found[0] - found[1])


def bandit_regret(x: Array, y: Array) -> Array:
    """Of the tied bandit, in an orthonormal basis across the shift common to its three logits."""
    tau = 0.2
    one, two = np.array([1, -1, 0]) / 2**0.5, np.array([1, 1, -2]) / 6**0.5
    z = x[..., None] * one + y[..., None] * two
    best = np.array([1.0, 1.0, 0.0])
    log_p = z - np.logaddexp.reduce(z, -1)[..., None]
    value = (np.exp(log_p) * (best - tau * log_p)).sum(-1)
    return tau * np.logaddexp.reduce(best / tau) - value


BANDIT_BEST = (0.0, 2 / 6**0.5 / 0.2)  # rewards over tau in that basis


def compromise_loss(z: Array) -> Array:
    """Weighted soft value lost, up to a constant."""
    return -(sigmoid(z) * 0.75 + (1 - sigmoid(z)) * 0.25 + 0.5 * entropy(sigmoid(z)))


def routes_regret(x: Array, y: Array) -> Array:
    """Of two chances missed with odds `x^2` and `y^2`."""
    return x**2 / (1 + x**2) * y**2 / (1 + y**2)


HAND: dict[str, tuple[Callable[..., Array], tuple[float, ...]]] = {
    "soft-corridor": (corridor_regret, corridor_best()),
    "two-routes": (routes_regret, (0.0, 0.0)),
    "tied-bandit": (bandit_regret, BANDIT_BEST),
    "squared-regret": (lambda x, y: bandit_regret(x, y) ** 2, BANDIT_BEST),
    "product-policy": (lambda x, y: math.log(2) - entropy(sigmoid(x * y)), (0.0, 0.0)),
    "compromise": (compromise_loss, (1.0,)),
    "quartic": (lambda x: x**4 / (1 + x**4), (0.0,)),
}


def importance(
    problem: Problem, draws: int, covariance: Tensor | None = None, seed: int = 0
) -> tuple[float, float, float]:
    """`nbeta E[L - L(w*)]` by draws of a Gaussian: value, standard error, share of effective draws.

    Args:
        problem: with an `ExactRegret`, over all levels.
        draws: how many.
        covariance: of the Gaussian `[d, d]`; None is the localizer's own.
        seed: of the draws.
    """
    loss, policy, data = problem.loss, problem.policy, problem.data
    assert isinstance(loss, ExactRegret) and loss.mdp is not None
    names, params = zip(*policy.named_parameters(), strict=True)
    center = torch.cat([p.detach().reshape(-1) for p in params])
    d, generator = len(center), torch.Generator().manual_seed(seed)
    root = None if covariance is None else torch.linalg.cholesky(covariance)
    counts = torch.ones(len(data)) if data.weights is None else data.weights
    if loss.mdp.weights is not None:
        counts = loss.mdp.weights
    counts = (counts / counts.sum()).double()

    def losses(w: Tensor) -> Tensor:
        def one(row: Tensor) -> Tensor:
            parts = row.split([p.numel() for p in params])
            weights = {n: x.view(p.shape) for n, x, p in zip(names, parts, params, strict=True)}
            return torch.func.functional_call(policy, weights, (data.states,))

        logits = torch.vmap(one)(w)
        return loss.mdp.returns(logits, temperature=loss.temperature) @ counts  # type: ignore[union-attr]

    with torch.no_grad():
        own, log_w, values = losses(center[None])[0], [], []
        for _ in range(draws // 2000):
            z = torch.randn(2000, d, dtype=torch.float64, generator=generator)
            delta = z / problem.localization**0.5 if root is None else z @ root.T
            excess = problem.nbeta * (own - losses(center + delta))
            ratio = -excess
            if root is not None:
                pull = problem.localization / 2 * delta.square().sum(1)
                ratio = ratio - pull + 0.5 * z.square().sum(1)
            log_w.append(ratio)
            values.append(excess)
    weights, value = torch.cat(log_w), torch.cat(values)
    weights = (weights - weights.max()).exp()
    weights /= weights.sum()
    mean = float(weights @ value)
    error = float((weights.square() @ (value - mean).square()).sqrt())
    return mean, error, float(1 / weights.square().sum() / len(value))


class Net(nn.Module):
    """One-hot mouse and cheese, 16 tanh units, four logits."""

    def __init__(self, features: int, hidden: int = 16) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        draw = lambda *s: nn.Parameter(torch.randn(*s, generator=generator).double() / s[-1] ** 0.5)  # noqa: E731
        self.first, self.second = draw(hidden, features), draw(4, hidden)

    def forward(self, states: Tensor) -> Tensor:
        """Logits of features."""
        return (states @ self.first.T).tanh() @ self.second.T


def net_problem(temperature: float, alpha: float, relative: float) -> Problem:
    """A network at a minimum of the soft regret of a 3 x 3 grid, nbeta 1e5.

    Its localizer is so narrow that nbeta L rises by `relative` under it alone.
    """
    corner = gridworld(3)
    goal = torch.eye(9, dtype=torch.bool)
    mdp = TabularMDP(
        corner.transitions, corner.transitions.permute(2, 0, 1) * ~goal[..., None],
        (~goal).double() / 8, 0.9, goal,
    )  # fmt: skip
    eye = torch.eye(9, dtype=torch.float64)
    states = torch.cat([eye.expand(9, 9, 9), eye[:, None].expand(9, 9, 9)], -1)
    weights = torch.full((9,), alpha / 9).double()
    weights[-1] += 1 - alpha
    data, net = PolicyData(states, weights=weights), Net(18)
    optimizer = torch.optim.LBFGS(net.parameters(), max_iter=4000, line_search_fn="strong_wolfe",
                                  tolerance_grad=1e-9, tolerance_change=1e-15)  # fmt: skip

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = mdp.regret(net(states), temperature=temperature) @ (weights / weights.sum())
        loss.backward()
        return loss

    optimizer.step(closure)
    loss = ExactRegret(mdp, temperature)
    trace = prepare_target(net, data, Settings(nbeta=1e5), loss, 0).trace.value
    gamma = 1e5 * trace / (2 * relative)
    return Problem(net, data, loss, 1e5, gamma, math.nan, math.nan)


NETS = {
    "net, tau 0.1, alpha 0": (0.1, 0.0, 0.31),
    "net, tau 0.05, alpha 0.3": (0.05, 0.3, 0.48),
    "net, tau 0.2, alpha 1": (0.2, 1.0, 1.3),
}


def truth_of(name: str, problem: Problem) -> tuple[float, float, str]:
    """Value, standard error and a check in words."""
    if name in HAND:
        loss, center = HAND[name]
        value, change = quadrature(loss, center, problem.nbeta, problem.localization)
        return value, 0.0, f"quadrature, half the points: {change:.0e}"
    covariance = None
    if name not in NETS:  # regular: the Gaussian of the Hessian
        assert isinstance(problem.loss, ExactRegret)
        w_star = next(iter(problem.policy.parameters())).detach()
        mdp, tau = problem.loss.mdp, problem.loss.temperature
        form = lambda w: mdp.regret(w.view(1, 9, 4), temperature=tau).mean()  # type: ignore[union-attr]  # noqa: E731
        hessian = torch.autograd.functional.hessian(form, w_star)
        h = torch.linalg.eigvalsh(hessian)
        laplace = float(
            (0.5 * problem.nbeta * h / (problem.nbeta * h + problem.localization)).sum()
        )
        eye = torch.eye(len(w_star)).double()
        covariance = torch.linalg.inv(problem.nbeta * hessian + problem.localization * eye)
    draws = 40_000 if covariance is None else 2_000_000
    value, error, share = importance(problem, draws, covariance)
    text = f"importance sampling, {share:.0%} of {draws:,} draws effective"
    return value, error, text if covariance is None else f"{text}; Gaussian {laplace:.3f}"


HEAD = """# Exact returns: known answers, and how the estimator meets them

`python benchmarks/regret_truths.py`: {seeds} seeds each, `estimate_llc` with its defaults but 8 chains
of 300 draws after 150, in double precision. `z` is the distance of the mean from the exact value in standard errors of both;
`covered` counts the 95 % intervals of single seeds that hold it; `stderr` is that of one seed.

| problem | nbeta | gamma | lambda | exact | by | mean | stderr | z | covered | most R-hat | status | CPU s |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"""  # noqa: E501


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--only", nargs="*")
    args = parser.parse_args()
    Path("/proc/self/autogroup").write_text("15")
    torch.set_num_threads(1)
    print(HEAD.format(seeds=args.seeds))
    covered = total = 0
    problems: dict[str, Callable[[], Problem]] = dict(PROBLEMS) | {
        name: lambda given=given: net_problem(*given) for name, given in NETS.items()
    }  # fmt: skip
    for name, make in problems.items():
        if args.only and name not in args.only:
            continue
        problem = make()
        exact, error, check = truth_of(name, problem)
        settings = Settings(nbeta=problem.nbeta, localization=problem.localization, gauge="none",
                            chains=8, draws=300, burn_in=150)  # fmt: skip
        found, began = [], time.process_time()
        for seed in range(args.seeds):
            found.append(
                estimate_with(problem.policy, problem.data, settings, problem.loss, seed=seed)
            )
        cpu = (time.process_time() - began) / args.seeds
        llc, stderr = np.array([e.llc for e in found]), np.array([e.stderr for e in found])
        inside = abs(llc - exact) < 1.96 * np.hypot(stderr, error)
        covered, total = covered + int(inside.sum()), total + len(inside)
        z = (llc.mean() - exact) / math.hypot(float(np.sqrt((stderr**2).mean() / len(llc))), error)
        status = ", ".join(sorted({e.status for e in found}))
        about = f"{exact:.5f}" + (f" ± {error:.5f}" if error else "")
        cells = [
            name, f"{problem.nbeta:.0e}", f"{problem.localization:.4g}", f"{problem.lambda_:g}",
            about, check, f"{llc.mean():.4f}",
            f"{np.sqrt((stderr**2).mean()):.4f}", f"{z:+.1f}",
            f"{inside.sum()} of {len(llc)}", f"{max(e.rhat for e in found):.3f}", status,
            f"{cpu:.1f}",
        ]  # fmt: skip
        print("|", " | ".join(cells), "|", flush=True)
    print(f"\nAll together: {covered} of {total} intervals hold the exact value.")


if __name__ == "__main__":
    main()
