"""Behavior cloning: a network is trained to do what a scripted policy does.

    L(w) = mean_s H(q(.|s), pi_w(.|s)),    q = (1 - noise) sum_k p_k [a = teacher_k(s)] + noise / K

over K distinct actions. How far a clone is from its teacher is `KL(q || pi) = L - H(q)`, nats, on
states held out; the entropy H(q) is set by `noise` and known. The states are visited by fixed
behaviors, not by a teacher: they depend on seed and settings alone, so that clones of different
teachers have the same states.

Training ends where the KL first is `stop_kl`: between the last two evaluations, on the line
through their weights, so that clones of all teachers are equally far from them (within 0.1 %).

A clone takes seconds: one that was interrupted is made again, with the same numbers.
"""

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor

import envs
from agents.branch import find_origin
from agents.checkpoints import load_policy, save_checkpoint, write_index
from agents.config import TrainConfig
from agents.devices import chosen_precision
from agents.environment import make_env, network_spec
from agents.networks import ActorCritic
from agents.progress import COLUMNS, ProgressFile, TensorBoardWriter
from agents.run import PROGRESS
from envs import Classes, kl, merge_actions
from rl_slt import InputError

HELD_OUT = 4  # one environment in so many, whose states no gradient sees
_RATIO = 1.05  # of the steps of two evaluations; at first each step is evaluated
_MOST = 4096  # states held out that an evaluation reads
_CHUNK = 512  # of them at once: what a cache likes
_SHARE = 1e-5  # of the way between two evaluations: how closely the end is found


@dataclass(frozen=True)
class Demonstrations:
    """What teachers do in states.

    Attributes:
        states: frames, uint8 `[N, 64, 64, 3]`.
        actions: of each teacher, int64 `[N]`, by its name.
        held_out: bool `[N]`; of environments of their own, and so of levels unless these are few.
    """

    states: Tensor
    actions: dict[str, Tensor]
    held_out: Tensor

    def targets(self, shares: dict[str, float], noise: float, classes: Classes) -> Tensor:
        """The distribution q over distinct actions, float64 `[N, K]`.

        Args:
            shares: of teachers.
            noise: share of the uniform distribution.
            classes: of actions that do the same.
        """
        of = {action: k for k, members in enumerate(classes) for action in members}
        number = torch.tensor([of[action] for action in sorted(of)])
        target = torch.full((len(self.states), len(classes)), noise / len(classes)).double()
        rows = torch.arange(len(target))
        for name, share in shares.items():
            target[rows, number[self.actions[name]]] += (1 - noise) * share
        return target


def collect(config: TrainConfig) -> Demonstrations:
    """At least `config.demonstrations` states, visited by the fixed behaviors in equal parts."""
    teachers = {name: envs.SCRIPTED[name](0) for name in envs.parse_teacher(config.teacher)}
    frames, held_out = [], []
    actions: dict[str, list[np.ndarray]] = {name: [] for name in teachers}
    behaviors, rows = envs.behaviors(config.seed), np.arange(envs.ENVS)
    seeds = np.random.SeedSequence(config.seed).generate_state(len(behaviors)) >> 1
    vector = make_env(config, num_envs=envs.ENVS)
    for act, seed in zip(behaviors, seeds.tolist(), strict=True):
        moments = envs.thinned(envs.rollout(vector, act, seed))
        for _ in range(-(-config.demonstrations // (len(behaviors) * envs.ENVS))):
            frames.append(next(moments).frames)
            held_out.append(rows % HELD_OUT == 0)
            for name, teacher in teachers.items():
                unseen = [(seed, len(frames), row) for row in rows]  # no plan is gone on with
                actions[name].append(teacher.choose(np.zeros(len(rows)), vector, rows, unseen))
    vector.close()
    return Demonstrations(
        torch.from_numpy(np.concatenate(frames)),
        {name: torch.from_numpy(np.concatenate(chosen)) for name, chosen in actions.items()},
        torch.from_numpy(np.concatenate(held_out)),
    )


def clone(
    config: TrainConfig, out: Path, progress: Callable[[int, int], None] | None = None
) -> None:
    """Train a clone into a run's folder, where its `config.json` is.

    Args:
        config: all settings; steps are gradient steps.
        out: the folder.
        progress: called with (steps done, in all).
    """
    lesson = _Lesson.of(config)
    network, spec = lesson.network, network_spec(config)
    mixed = chosen_precision(config.precision, torch.device("cpu")) == "bfloat16"
    kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[config.optimizer]
    optimizer = kind(network.parameters(), lr=config.lr)
    due, last = set(config.checkpoint_steps), config.total_steps
    batches, losses, following = _batches(lesson.rest, config), list[float](), 0.0
    before: ActorCritic | None = None
    folder = out / "tensorboard" if config.tensorboard else None
    with (
        closing(ProgressFile(out / PROGRESS, columns=(*COLUMNS, "teacher_kl"))) as table,
        closing(TensorBoardWriter(folder, 0)) as board,
    ):
        for step in range(last + 1):
            if step in due or step >= following:
                metrics = lesson.measure()
                over = metrics["teacher_kl"] <= (config.stop_kl or 0.0)
                if over and before is None:
                    allowed = f"below {metrics['teacher_kl']:.3g}, the KL before the first step"
                    raise InputError.of("stop_kl", config.stop_kl, allowed)
                if over and before is not None:
                    lesson.go_back(before, config.stop_kl or 0.0)
                    metrics = lesson.measure()
                metrics["policy_loss"] = float(np.mean(losses or [math.nan]))
                line = {"step": step, **metrics, "learning_rate": optimizer.param_groups[0]["lr"]}
                table.append(line)
                board.add(line)
                if step in due or over:
                    save_checkpoint(out, step, network, spec, metrics)
                    write_index(out, finished=False)
                if progress is not None:
                    progress(step, last)
                before, losses, following = copy.deepcopy(network), [], max(step + 1, _RATIO * step)
            if over or step == last:
                break
            if config.anneal_lr:
                optimizer.param_groups[0]["lr"] = config.lr * (1 - step / last)
            rows = next(batches)
            with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
                loss = lesson.loss(rows)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    write_index(out, finished=True)


@dataclass(frozen=True)
class _Lesson:
    """A network, and what it is to do in each state.

    Attributes:
        network: that learns; changed in place.
        read: states as its body reads them `[N, ...]`.
        target: the distribution q over distinct actions `[N, K]`.
        classes: of actions that do the same.
        held: numbers of the states that evaluations read.
        rest: of those that gradients see.
    """

    network: ActorCritic
    read: Tensor
    target: Tensor
    classes: Classes
    held: Tensor
    rest: Tensor

    @classmethod
    def of(cls, config: TrainConfig) -> "_Lesson":
        classes = envs.find_game(config.game).distinct_actions
        data = collect(config)
        target = data.targets(envs.parse_teacher(config.teacher), config.noise, classes)
        network = _network(config)
        held, rest = data.held_out.nonzero()[:, 0], (~data.held_out).nonzero()[:, 0]
        held = spread(held, _MOST)  # behaviors follow one another: the first would be of some alone
        return cls(network, network.body.read(data.states), target.float(), classes, held, rest)

    def loss(self, rows: Tensor) -> Tensor:
        """Mean cross-entropy, nats, in some of the states."""
        return -(self.target[rows] * self._log_probs(rows)).sum(-1).mean()

    @torch.no_grad()
    def measure(self) -> dict[str, float]:
        """Mean KL from the teacher and mean entropy, on states held out, nats."""
        log_p = torch.cat([self._log_probs(rows) for rows in self.held.split(_CHUNK)])
        entropy = -(log_p.exp() * log_p).sum(-1)
        distance = kl(self.target[self.held].log(), log_p)
        return {"teacher_kl": float(distance.mean()), "entropy": float(entropy.mean())}

    def go_back(self, before: ActorCritic, stop_kl: float) -> None:
        """Put the network where the KL is `stop_kl`, on the line from `before` to its own."""
        pairs = [(a.detach().clone(), b.detach(), w.detach()) for a, b, w in zip(
            self.network.parameters(), before.parameters(), self.network.parameters(),
            strict=True)]  # fmt: skip

        def gap(share: float) -> float:
            for after, start, weight in pairs:
                weight.copy_(start.lerp(after, share))
            return self.measure()["teacher_kl"] - stop_kl

        gap(brentq(gap, 0.0, 1.0, xtol=_SHARE))

    def _log_probs(self, rows: Tensor) -> Tensor:
        """Of distinct actions `[B, K]`."""
        features, _ = self.network.read_features(self.read[rows])
        return merge_actions(self.network.logits(features).log_softmax(-1), self.classes)


def spread(rows: Tensor, most: int) -> Tensor:
    """At most so many of the rows `[N, ...]`, evenly among them."""
    few = min(len(rows), most)
    return rows[torch.arange(few) * len(rows) // few]


def _network(config: TrainConfig) -> ActorCritic:
    """The network of the checkpoint that is branched off, or one of the seed."""
    if (origin := find_origin(config)) is not None:
        network = load_policy(origin)
        assert isinstance(network, ActorCritic)
        return network
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return network_spec(config).build()


def _batches(rows: Tensor, config: TrainConfig) -> Iterator[Tensor]:
    """Minibatches of rows, without end: each pass over them in an order of its own."""
    generator = torch.Generator().manual_seed(config.seed)
    while True:
        order = torch.randperm(len(rows), generator=generator)
        yield from rows[order].split(config.batch_size)
