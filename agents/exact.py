"""Ascend the exact return of gridworlds, many runs at once.

    w <- w + lr grad J(w),    J(w) = sum_l p(l) sum_s mu_l(s) V_w(l, s)     (sgd)

p are the levels of the run's placement, mu the first states, and V the policy's exact value: with
its entropy, where the training has a temperature. Nothing is sampled, so runs of one placement
differ by their first weights alone. A run goes on from its last checkpoint.
"""

import copy
import csv
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.func import functional_call, stack_module_state

from agents.branch import find_origin
from agents.checkpoints import (
    OPTIMIZER,
    list_checkpoints,
    load_policy,
    save_checkpoint,
    write_index,
)
from agents.config import TrainConfig
from agents.environment import network_spec
from agents.networks import ActorCritic
from agents.progress import ProgressFile, TensorBoardWriter
from agents.run import PROGRESS
from envs import CheeseGrid
from rl_slt import InputError

_ROWS = 200  # of progress.csv, about
# What runs that are trained together may differ in.
_OWN = frozenset({"coin", "seed", "from_run", "tensorboard", "threads", "device"})


@dataclass(frozen=True)
class Ascent:
    """One run, in its folder: `config.json` is there, checkpoints may be."""

    config: TrainConfig
    out: Path

    @property
    def step(self) -> int:
        """The last checkpoint; -1 where there is none yet."""
        return max((checkpoint.step for checkpoint in list_checkpoints(self.out)), default=-1)

    def network(self) -> ActorCritic:
        """The network of the last checkpoint or of the one branched off, or one of the seed."""
        known = list_checkpoints(self.out)
        if (begun := known[-1] if known else find_origin(self.config)) is not None:
            network = load_policy(begun)
            assert isinstance(network, ActorCritic)
            return network
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
            return network_spec(self.config).build()

    @cached_property
    def table(self) -> ProgressFile:
        """Its progress.csv, without the rows after the last checkpoint."""
        path, length = self.out / PROGRESS, 0
        with suppress(OSError), path.open(newline="") as file:
            length = len(file.readline())
            for line in file:
                length += len(line) * (int(next(csv.reader([line]))[0]) <= self.step)
        return ProgressFile(path, length)

    @cached_property
    def board(self) -> TensorBoardWriter:
        """Its TensorBoard."""
        folder = self.out / "tensorboard" if self.config.tensorboard else None
        return TensorBoardWriter(folder, max(0, self.step))

    def close(self) -> None:
        """Close the files."""
        self.table.close()
        self.board.close()


def ascend(ascents: Sequence[Ascent], progress: Callable[[int, int], None] | None = None) -> None:
    """Train runs to their ends, those together that stand at the same step.

    Args:
        ascents: runs that differ in seed, placement and origin alone.
        progress: called with (steps done, in all).

    Raises:
        InputError: two of them differ in another setting.
    """
    for ascent in ascents:
        ours, theirs = (one.config.as_dict() for one in (ascents[0], ascent))
        for name in ours.keys() - _OWN:
            if ours[name] != theirs[name]:
                raise InputError.of(name, theirs[name], f"{ours[name]!r}, as in {ascents[0].out}")
    standing = sorted(ascents, key=lambda ascent: ascent.step)
    for _, group in groupby(standing, key=lambda ascent: ascent.step):
        _Batch(list(group)).run(progress)


class _Batch:
    """Runs at the same step, as tensors with a row for each of R runs."""

    def __init__(self, ascents: list[Ascent]) -> None:
        self.ascents, self.config, self.step = ascents, ascents[0].config, ascents[0].step
        device = torch.device(self.config.device)
        grid = CheeseGrid.of(self.config.grid, self.config.gamma)
        self.mdp = grid.mdp.to(torch.float32).to(device)
        self.states = torch.from_numpy(grid.observations).to(device)
        shares = [torch.from_numpy(grid.probabilities(a.config.coin)) for a in ascents]
        self.levels = torch.stack(shares).float().to(device)  # [R, L]
        self.anywhere = torch.from_numpy(grid.probabilities("anywhere")).float().to(device)
        self.networks = [ascent.network().to(device) for ascent in ascents]
        self.skeleton = copy.deepcopy(self.networks[0]).to("meta")
        self.weights = {name: w.detach().requires_grad_()
                        for name, w in stack_module_state(self.networks)[0].items()}  # fmt: skip
        kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[self.config.optimizer]
        self.optimizer = kind(list(self.weights.values()), lr=self.config.lr)
        self._load_optimizer()

    def run(self, progress: Callable[[int, int], None] | None) -> None:
        """Train to the end; checkpoints and rows of progress as they are due."""
        try:
            self._run(progress)
        finally:
            for ascent in self.ascents:
                ascent.close()
        for ascent in self.ascents:
            write_index(ascent.out, finished=True)

    def _run(self, progress: Callable[[int, int], None] | None) -> None:
        last, due = self.config.total_steps, set(self.config.checkpoint_steps)
        begun, every = self.step, max(1, last // _ROWS)
        for step in range(max(0, begun), last + 1):
            logits = self.logits()
            returns = self.mdp.returns(logits, temperature=self.config.temperature)
            objective = (returns * self.levels).sum(-1)  # [R]
            gradients = torch.autograd.grad(objective.sum(), list(self.weights.values()))
            if step > begun and (step in due or step % every == 0):
                self._record(step, logits.detach(), objective.detach(), gradients, step in due)
                if progress is not None:
                    progress(step, last)
            if step == last:
                break
            for weight, gradient in zip(self.weights.values(), gradients, strict=True):
                weight.grad = -gradient
            if self.config.anneal_lr:
                self.optimizer.param_groups[0]["lr"] = self.config.lr * (1 - step / last)
            self.optimizer.step()

    def logits(self) -> Tensor:
        """Of all runs on all levels and cells, `[R, L, S, A]`."""
        call = lambda weights: functional_call(self.skeleton, weights, (self.states,))  # noqa: E731
        found: Tensor = torch.vmap(call)(self.weights)
        return found

    def _record(
        self, step: int, logits: Tensor, objective: Tensor, gradients: Any, checkpoint: bool
    ) -> None:
        """A row of progress for every run, and its checkpoint where one is due."""
        log_p = logits.log_softmax(-1)
        entropy = -((log_p.exp() * log_p).sum(-1) * self.mdp.starts).sum(-1)  # [R, L]
        returns = self.mdp.returns(logits)
        norms = torch.stack([g.flatten(1).square().sum(1) for g in gradients]).sum(0).sqrt()
        numbers = {
            "mean_return": (returns * self.levels).sum(-1),
            "eval_return": returns @ self.anywhere,
            "entropy": (entropy * self.levels).sum(-1),
            "policy_loss": -objective,
            "grad_norm": norms,
        }
        for row, ascent in enumerate(self.ascents):
            metrics: dict[str, float | None] = {k: float(v[row]) for k, v in numbers.items()}
            line = {"step": step, **metrics,
                    "learning_rate": self.optimizer.param_groups[0]["lr"]}  # fmt: skip
            ascent.table.append(line)
            ascent.board.add(line)
            if checkpoint:
                self._checkpoint(row, step, metrics)

    def _checkpoint(self, row: int, step: int, metrics: dict[str, float | None]) -> None:
        ascent, network = self.ascents[row], self.networks[row]
        network.load_state_dict({name: w.detach()[row] for name, w in self.weights.items()})
        moments = {
            f"{name}/{moment}": value[row]
            for name, w in self.weights.items()
            for moment, value in self.optimizer.state[w].items()
            if moment != "step"
        }
        spec = network_spec(ascent.config)
        save_checkpoint(ascent.out, step, network, spec, metrics, moments or None)
        write_index(ascent.out, finished=False)

    def _load_optimizer(self) -> None:
        """The moments of Adam at the last checkpoints or those branched off; sgd has none."""
        origins = [known[-1] if (known := list_checkpoints(a.out)) else find_origin(a.config)
                   for a in self.ascents]  # fmt: skip
        kept = [load_file(at.path / OPTIMIZER) for at in origins
                if at is not None and (at.path / OPTIMIZER).is_file()]  # fmt: skip
        if len(kept) < len(origins):  # none has any before the first step
            return
        done = max(0, self.step) + (self.config.from_step or 0)
        for name, weight in self.weights.items():
            self.optimizer.state[weight] = {"step": torch.tensor(float(done))} | {
                moment: torch.stack([tensors[f"{name}/{moment}"] for tensors in kept])
                for moment in ("exp_avg", "exp_avg_sq")
            }
