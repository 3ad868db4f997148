"""What fresh rollouts cost and how noisy their gradient is, at checkpoints of CoinRun.

    python benchmarks/llc_rollouts.py RUN/checkpoints/STEP ... --episodes 256 [--temperature 0.05]

Of a posterior at relative temperature K whose localizer has 0.3 of the weights' norm, in plain
coordinates: how many episodes each gradient must be of for its noise to add at most 5 % to the LLC,
at a BAOAB step of 0.1 (`BAOAB.heat`). The LLC is taken to be half the effective dimension.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch

from agents import Run, load_policy
from rl_slt import BAOAB, RolloutRegret
from rl_slt.data.samples import Samples
from rl_slt.pipeline.states import StateSetSpec

STEP, MOST_BIAS, RADIUS = 0.1, 0.05, 0.3


def row(checkpoint: Path, episodes: int, temperature: float) -> str:
    """One checkpoint: cost, noise, and the episodes wanted at two resolutions."""
    run = Run(checkpoint.parents[1])
    train, policy = run.training, load_policy(checkpoint)
    spec = StateSetSpec(
        name="on-policy", placements=(train.coin,), settings=train.settings, levels=train.levels,
        n=episodes, time_limit=train.time_limit, seed=0,
    )  # fmt: skip
    simulator, begun = spec.simulator(checkpoint, None), time.process_time()
    loss = RolloutRegret(simulator, train.gamma, temperature)
    data = loss.prepare(policy, simulator.starts(), torch.Generator().manual_seed(0))
    played = time.process_time() - begun
    samples, begun = Samples(data, "episode"), time.process_time()
    params = [p for p in policy.parameters() if p.requires_grad]

    def gradient(value: torch.Tensor) -> torch.Tensor:
        grads = torch.autograd.grad(value, params, allow_unused=True, retain_graph=True)
        return torch.cat([g.reshape(-1) for g in grads if g is not None]).double()

    parts = torch.arange(episodes).chunk(16)
    each = torch.stack([gradient(loss(policy, samples.take(part)).mean()) for part in parts])
    backward = time.process_time() - begun
    noise = float(each.var(0).sum()) * episodes / len(parts)
    rows = torch.stack([
        gradient(loss.score_rows(policy, samples.take(torch.tensor([i]))).sum())
        for i in range(min(episodes, 128))
    ])  # fmt: skip
    h = torch.linalg.eigvalsh(rows @ rows.T / len(rows)).clamp(min=0)
    norm = sum(float(p.detach().double().square().sum()) for p in params)
    gamma = rows.shape[1] / (RADIUS**2 * norm)
    returns = -loss(policy, data).detach()
    cells = [
        f"{run.name}, {int(checkpoint.name):,}", f"{temperature:g}",
        f"{float(returns.mean()):.2f} ± {float(returns.std()) / episodes**0.5:.2f}",
        f"{len(data) / episodes:.0f}", f"{1000 * played / episodes:.0f}",
        f"{1000 * backward / episodes:.0f}",
    ]  # fmt: skip
    for k in (5, 50):
        nbeta = 2 * gamma * k / float(h.sum())
        llc = float(0.5 * (h / (h + gamma / nbeta)).sum())
        variance = nbeta**2 * noise / gamma  # of all directions together, of one episode
        wanted = BAOAB().heat(STEP, variance) / 2 / llc / MOST_BIAS
        cells += [f"{nbeta:.3g}", f"{llc:.1f}", f"{wanted:,.0f}"]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Print a row for each checkpoint."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument("--episodes", type=int, default=256)
    parser.add_argument("--temperature", type=float, action="append")
    args: Any = parser.parse_args()
    torch.set_num_threads(1)
    for checkpoint in args.checkpoints:
        for temperature in args.temperature or [0.0]:
            print(row(checkpoint, args.episodes, temperature), flush=True)


if __name__ == "__main__":
    main()
