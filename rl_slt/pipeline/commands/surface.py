"""The command that draws reward surfaces around checkpoints and counts cliffs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from agents import TrainConfig, load_policy, write_atomic
from analysis import (
    Cliff,
    agreement,
    along,
    draw_surfaces,
    find_cliffs,
    line,
    plane,
    random_direction,
)
from analysis.probes import COIN_GOALS, GRID_GOALS, coin_shares, grid_shares
from envs import CheeseGrid, kl, log_probs
from rl_slt import PolicyData, RolloutRegret, Simulator
from rl_slt.errors import InputError
from rl_slt.pipeline.commands.run import check_file
from rl_slt.pipeline.disk.layout import Run, open_run
from rl_slt.pipeline.engine.progress import meter
from rl_slt.pipeline.environments import environment_of
from rl_slt.pipeline.states import LevelSimulator

_KL_STATES = 512


class ExactView:
    """What is exact in a gridworld: return, policy gradient and goal, float64.

    Args:
        train: of the run, whose placement weighs the levels.
    """

    goals, reach = GRID_GOALS, 1.0

    def __init__(self, train: TrainConfig) -> None:
        self.grid = CheeseGrid.of(train.grid, train.gamma)
        self.shares = torch.from_numpy(self.grid.probabilities(train.coin))
        self.states = torch.from_numpy(self.grid.observations).double()

    def gradients(self, policy: nn.Module) -> Tensor:
        """The gradient of the return, `[1, d]`."""
        value = self._returns(policy) @ self.shares
        return _flat(torch.autograd.grad(value, list(policy.parameters())))[None]

    def measure(self, center: nn.Module) -> Callable[[nn.Module], Mapping[str, float]]:
        """Discounted return, KL from the center over all starts, and what is reached first."""
        with torch.no_grad():
            at = log_probs(center, self.states)
        starts = self.grid.mdp.starts * self.shares[:, None]

        def numbers(policy: nn.Module) -> dict[str, float]:
            proxy, goal = grid_shares(policy, self.grid)
            distance = (kl(at, log_probs(policy, self.states)) * starts).sum()
            return {"ret": float(self._returns(policy) @ self.shares), "ret_stderr": 0.0,
                    "kl": float(distance), "proxy_first": proxy, "goal_first": goal}  # fmt: skip

        return numbers

    def _returns(self, policy: nn.Module) -> Tensor:
        return self.grid.mdp.returns(policy(self.states))


@dataclass
class PlayedView:
    """What is estimated where episodes are played.

    Attributes:
        simulator: plays the levels of training.
        levels: of the returns, `[E]`; all points have them and their random numbers in common.
        train: of the run.
        batches: of the gradient, each of E fresh episodes.
        seed: of everything.
    """

    simulator: Simulator
    levels: Tensor
    train: TrainConfig
    batches: int
    seed: int
    goals, reach = COIN_GOALS, 0.1  # beyond, policies of convolutions do one thing alone

    @property
    def loss(self) -> RolloutRegret:
        """Less the discounted return of each episode; its gradient is the policy gradient."""
        return RolloutRegret(self.simulator, self.train.gamma)

    def gradients(self, policy: nn.Module) -> Tensor:
        """The policy gradient by each batch, `[batches, d]`."""
        found = []
        for number in range(self.batches):
            data = self._play(policy, 1 + number)
            grads = torch.autograd.grad(-self.loss(policy, data).mean(), list(policy.parameters()),
                                        allow_unused=True, materialize_grads=True)  # fmt: skip
            found.append(_flat(grads))
        return torch.stack(found)

    def measure(self, center: nn.Module) -> Callable[[nn.Module], Mapping[str, float]]:
        """Discounted return, KL from the center where that plays, and what is reached first."""
        visited = self._play(center, 0).states
        states = visited[:: max(1, len(visited) // _KL_STATES)][:_KL_STATES]
        with torch.no_grad():
            at = log_probs(center, states)

        def numbers(policy: nn.Module) -> dict[str, float]:
            with torch.no_grad():
                returns = -self.loss(policy, self._play(policy, 0))
            proxy, goal = coin_shares(policy, self.train.settings, self.train.time_limit,
                                      self.train.game)  # fmt: skip
            return {"ret": float(returns.mean()),
                    "ret_stderr": float(returns.std() / len(returns) ** 0.5),
                    "kl": float(kl(at, log_probs(policy, states)).mean()),
                    "proxy_first": proxy, "goal_first": goal}  # fmt: skip

        return numbers

    def _play(self, policy: nn.Module, number: int) -> PolicyData:
        with torch.no_grad():
            return self.simulator(policy, self.levels, 1000 * self.seed + number)


def _flat(grads: Sequence[Tensor]) -> Tensor:
    return torch.cat([g.flatten() for g in grads])


def view_of(run: Run, episodes: int, batches: int, seed: int) -> ExactView | PlayedView:
    """What can be seen of the policies of a run."""
    train = run.training
    environment = environment_of(train)
    if environment.known:
        return ExactView(train)
    states = environment.states(train, "on-policy", (train.coin,), episodes, seed)
    simulator = states.simulator(run.checkpoint().path, None)
    assert isinstance(simulator, LevelSimulator)
    simulator = replace(simulator, scale=1.0)  # rewards as the game gives them
    levels = simulator.starts().level
    assert levels is not None
    return PlayedView(simulator, levels, train, batches, seed)


def surface(
    path: Path,
    out: Path,
    *,
    steps: Sequence[int] = (),
    reach: float | None = None,
    points: int = 9,
    batches: int = 4,
    episodes: int = 128,
    seed: int = 0,
) -> list[str]:
    """Draw the surfaces around checkpoints of a run, and store all numbers next to the picture.

    Args:
        path: of the run.
        out: PNG to write; OUT.csv has every point.
        steps: of the checkpoints; none is the last.
        reach: of planes and lines, in norms of the weights; None is 1 in a gridworld, else 0.1.
        points: along each side of a plane; 0 draws lines alone.
        batches: of fresh episodes that the gradient is estimated by.
        episodes: of a batch, and of a return.
        seed: of directions, levels and actions.

    Returns:
        Lines that say what was found.

    Raises:
        InputError: for a wrong run, step, setting or file name.
    """
    check_file(out, (".png",))
    for name, value, good, allowed in (
        ("reach", reach, reach is None or 0 < reach < float("inf"), "above 0"),
        ("points", points, points == 0 or points >= 3, "0, or at least 3"),
        ("batches", batches, batches >= 2, "at least 2"),
        ("episodes", episodes, episodes >= 2, "at least 2"),
    ):
        if not good:
            raise InputError.of(name, value, allowed)
    run = open_run(path)
    checkpoints = [run.checkpoint(step) for step in steps or (None,)]
    view = view_of(run, episodes, batches, seed)
    lines, planes, about = {}, {}, {}
    reach = reach or view.reach
    offsets = line(reach)
    with meter("surface", len(checkpoints) * (len(offsets) + points**2), unit="points") as bar:
        done = 0

        def counted(measure: Callable[[nn.Module], Mapping[str, float]]) -> Any:
            def numbers(policy: nn.Module) -> Mapping[str, float]:
                nonlocal done
                done += 1
                bar.update(done)
                return measure(policy)

            return numbers

        for checkpoint in checkpoints:
            policy = load_policy(checkpoint.path)
            if isinstance(view, ExactView):
                policy = policy.double()
            gradients = view.gradients(policy)
            mean, measure = gradients.mean(0), counted(view.measure(policy))
            title = f"step {checkpoint.step:,}"
            axes = (mean, random_direction(policy, seed))
            lines[title] = along(policy, axes[:1], offsets[:, None], measure)
            if points:
                planes[title] = along(policy, axes, plane(reach, points), measure)
            cosines = agreement(gradients) if len(gradients) > 1 else (1.0, 1.0)
            about[title] = (checkpoint.step, float(mean.norm()), *cosines)
    spread = float(np.ptp(np.concatenate([one["ret"] for one in lines.values()])))
    cliffs = {title: find_cliffs(offsets, one["ret"], spread) for title, one in lines.items()}
    tables = [
        table.assign(run=run.name, step=about[title][0], part=part)
        for part, found in (("line", lines), ("plane", planes))
        for title, table in found.items()
    ]
    joined = pd.concat(tables, ignore_index=True)
    write_atomic(out.with_suffix(".csv"), lambda path: joined.to_csv(path, index=False))
    labels = {"ret": "return", "kl": "KL, nats", "goal_first": f"{view.goals[1]} first"}
    figure = draw_surfaces(planes, lines, cliffs, labels if planes else {})
    write_atomic(out, lambda path: figure.savefig(path, format="png", dpi=110))
    return [_say(about[title], cliffs[title]) for title in lines]


def _say(about: tuple[int, float, float, float], cliffs: Sequence[Cliff]) -> str:
    step, norm, cosine, of_mean = about
    where = ", ".join(f"{c.start:.2f} to {c.end:.2f} (falls by {c.fall:.3g})" for c in cliffs)
    truth = f"about {of_mean:.2f}" if of_mean > 0 else "unknown"
    error = "exact" if cosine == 1 else (
        f"cosine between batches {cosine:.2f}, of their mean to the truth {truth}"
    )  # fmt: skip
    return (
        f"step {step:,}: policy gradient {norm:.3g} ({error}); "
        + (f"cliff at {where} norms of the weights" if cliffs else "no cliff")
    )  # fmt: skip
