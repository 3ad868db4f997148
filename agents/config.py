"""All settings of one training, checked and JSON-able."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agents.networks import check_network
from agents.schedule import checkpoint_steps, parse_schedule
from envs import (
    EVALUATION_LEVELS,
    LevelSettings,
    check_held_out,
    find_game,
    parse_levels,
    parse_placement,
)
from rl_slt import InputError

PRECISIONS = ("float32", "bfloat16", "auto")


@dataclass(frozen=True)
class TrainConfig:
    """Settings of a PPO training; the defaults are the paper's (Langosco et al. 2022, CoinRun).

    `steps` is rounded up to whole rollouts of `num_envs * n_steps`: see `total_steps`.
    """

    coin: str = "end"  # coin placement, as text
    levels: tuple[int, int] | None = None  # half-open range of level seeds; None is all
    settings: LevelSettings = field(default_factory=LevelSettings)  # what the levels contain
    time_limit: int | None = None  # steps until an episode is cut off; None leaves procgen's 1000
    game: str = "coinrun"  # which procgen game
    steps: int = 200_000_000  # environment steps
    seed: int = 0
    network: str = "impala"  # a key of agents.NETWORKS
    network_kwargs: Mapping[str, Any] = field(default_factory=dict)
    num_envs: int = 64
    n_steps: int = 256  # steps of each environment between updates
    batch_size: int = 2048  # samples of one gradient step
    micro_batch: int | None = None  # samples computed at once; None is what suits the network
    epochs: int = 3
    lr: float = 5e-4
    anneal_lr: bool = False  # linearly to zero at the last step
    gamma: float = 0.999
    gae_lambda: float = 0.95
    clip: float = 0.2
    clip_value: float | None = 0.2  # None leaves the value loss unclipped
    ent_coef: float = 0.01
    vf_coef: float = 0.5
    max_grad_norm: float = 0.5
    normalize_reward: bool = True  # by the running deviation of the discounted return
    checkpoints: str = "log:16"  # log:N, linear:N, every:STEPS, all or list:A,B,...
    save_optimizer: bool = False  # keep Adam's state in every checkpoint, too
    precision: str = "float32"  # of the convolutions: float32, bfloat16, or auto (the faster)
    device: str = "cpu"
    threads: int | None = 1  # on the CPU; None leaves torch's own choice
    eval_every: int | None = None  # steps between evaluations on held-out levels
    eval_levels: tuple[int, int] = EVALUATION_LEVELS
    eval_episodes: int = 100
    stop_return: float | None = None  # stop once the mean raw return of 100 episodes reaches it
    resume_seconds: float = 10.0  # least time between two resume points
    tensorboard: bool = True
    from_run: str | None = None  # the run this one branched off (recorded), and its step
    from_step: int | None = None

    def __post_init__(self) -> None:
        """Raise InputError at the first setting that cannot work."""
        parse_placement(self.coin)
        object.__setattr__(self, "network_kwargs", dict(self.network_kwargs))
        for name in ("levels", "eval_levels"):
            value = getattr(self, name)
            value = tuple(value) if isinstance(value, list) else value
            object.__setattr__(self, name, parse_levels(value))
        check_network(self.network, dict(self.network_kwargs))
        parse_schedule(self.checkpoints)
        find_game(self.game)
        if (self.from_run is None) != (self.from_step is None):
            raise InputError("from_run and from_step go together: give both or neither")
        if self.eval_every is not None and self.levels is not None:
            check_held_out(self.levels, self.eval_levels)
        self._check_counts()
        self._check_ranges()
        if self.precision not in PRECISIONS:
            raise InputError(
                f"precision {self.precision!r} is unknown; allowed: {', '.join(PRECISIONS)}"
            )

    def _check_counts(self) -> None:
        for name in ("steps", "num_envs", "n_steps", "batch_size", "epochs"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("time_limit", "threads", "eval_every", "micro_batch"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} must be at least 1 or none, not {value}")
        if self.rollout_steps % self.batch_size:
            raise InputError(
                f"batch_size {self.batch_size} does not divide the rollout of num_envs * n_steps = "
                f"{self.num_envs} * {self.n_steps} = {self.rollout_steps} steps"
            )
        if self.batch_size < 2:
            raise InputError("batch_size must be at least 2: advantages are normalised in it")
        if self.seed < 0 or self.seed >= 2**31:
            raise InputError(f"seed must be from 0 to 2**31 - 1, not {self.seed}")

    def _check_ranges(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise InputError(f"{name} must be a finite number, not {value}")
        for name in ("gamma", "gae_lambda"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} must be from 0 to 1, not {getattr(self, name)}")
        for name in ("lr", "clip", "max_grad_norm"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} must be positive, not {getattr(self, name)}")
        if self.clip_value is not None and not self.clip_value > 0:
            raise InputError(f"clip_value must be positive or none, not {self.clip_value}")
        for name in ("ent_coef", "vf_coef", "resume_seconds"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} must not be negative, as {getattr(self, name)} is")

    @property
    def rollout_steps(self) -> int:
        """Environment steps between two updates of the policy."""
        return self.num_envs * self.n_steps

    @property
    def total_steps(self) -> int:
        """`steps`, rounded up to whole rollouts: the step of the last checkpoint."""
        return -(-self.steps // self.rollout_steps) * self.rollout_steps

    @property
    def checkpoint_steps(self) -> list[int]:
        """The environment steps at which checkpoints are left, ascending."""
        return checkpoint_steps(self.checkpoints, self.total_steps, self.rollout_steps)

    def as_dict(self) -> dict[str, Any]:
        """All settings in JSON's types."""
        values = dataclasses.asdict(self)
        for name in ("levels", "eval_levels"):
            values[name] = None if values[name] is None else list(values[name])
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainConfig":
        """The inverse of `as_dict`; an unknown name raises InputError."""
        known = {f.name for f in dataclasses.fields(cls)}
        if unknown := sorted(set(values) - known):
            raise InputError(f"unknown training setting {unknown[0]!r}")
        given = dict(values)
        if isinstance(given.get("settings"), Mapping):
            try:
                given["settings"] = LevelSettings(**given["settings"])
            except TypeError as error:
                raise InputError(f"unknown level setting in {given['settings']}") from error
        return cls(**given)

    def replace(self, **changes: Any) -> "TrainConfig":
        """A copy with `changes`, checked again."""
        return TrainConfig.from_dict({**self.as_dict(), "settings": self.settings, **changes})
