"""The exact values in the table of known answers, by a sampler that shares no code with rl_slt's.

    python benchmarks/llc_truths.py > benchmarks/results/llc_truths.md

Plain Hamiltonian Monte Carlo with a Metropolis test, double precision, over thousands of
independent chains at once. A linear network's loss depends on its data through their second moment
alone, a policy over state ids on their frequencies, so that a step costs a few small products. The
standard error is that of the mean over independent chains; the last column compares the second
half of all draws with the first.
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
SAMPLED = ("reduced-rank", "reduced-rank-tight", "reduced-rank-zero", "deep-linear", "low-rank")


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chains", type=int, default=2000)
    parser.add_argument("--draws", type=int, default=60)
    parser.add_argument("--only", action="append", choices=SAMPLED)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"Exact values by `benchmarks/llc_truths.py`: {args.chains} chains of {args.draws} draws "
          f"after as many dropped; torch {torch.__version__}.\n")  # fmt: skip
    print("| problem | nbeta | localization | λ | exact | standard error | second half / first |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in args.only or SAMPLED:
        began = time.process_time()
        problem = PROBLEMS[name]()
        loss = policy_loss(problem) if name == "low-rank" else linear_loss(problem)
        length = 1.5 / problem.localization**0.5
        values = sample(Posterior(problem, loss), args.chains, args.draws, length)
        means, half = values.mean(1), values.shape[1] // 2
        error = means.std(ddof=1) / math.sqrt(len(means))
        drift = values[:, half:].mean() / values[:, :half].mean() - 1
        cells = (
            name, f"{problem.nbeta:.1f}", f"{problem.localization:g}", f"{problem.lambda_:g}",
            f"{means.mean():.4f}", f"{error:.4f}", f"{drift:+.2%}",
        )  # fmt: skip
        print("| " + " | ".join(cells) + " |", flush=True)
        print(f"{name}: {time.process_time() - began:.0f} CPU seconds", file=sys.stderr)


if __name__ == "__main__":
    main()
