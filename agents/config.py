"""All settings of one training, checked and JSON-able."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from agents.schedule import SCHEDULES, checkpoint_steps, parse_schedule
from envs import (
    EVALUATION_LEVELS,
    PLAIN_FLAT,
    GridSettings,
    LevelSettings,
    check_held_out,
    find_game,
    parse_levels,
    parse_teacher,
)
from rl_slt import InputError, SettingsModel

_LEVELS = ("levels", "settings", "grid")  # what levels are made by: each game has its own
_READ_BY = {  # what other trainers would pass over in silence
    "exact": ("optimizer", "temperature", "device"),
    "ppo": ("num_envs", "n_steps", "batch_size", "micro_batch", "epochs", "gae_lambda", "clip",
            "clip_value", "ent_coef", "vf_coef", "max_grad_norm", "normalize_reward", "eval_every",
            "stop_return", "time_limit", "device"),
    "clone": ("teacher", "noise", "stop_kl", "demonstrations", "optimizer", "batch_size",
              "time_limit"),
}  # fmt: skip


class TrainConfig(SettingsModel):
    """Settings of a training; the defaults are the paper's (Langosco et al. 2022, CoinRun).

    Steps are environment steps. `steps` is rounded up to whole rollouts of `num_envs * n_steps`:
    see `total_steps`. With exact gradients and for clones they are gradient steps.

    Raises:
        InputError: at the first setting that cannot work.
    """

    coin: str = Field("end", description="coin placement: end, behind, mix:0.5:behind:end, ...")
    levels: tuple[int, int] | None = Field(None, description="range A:B of seeds; none is all")
    settings: LevelSettings = Field(LevelSettings(), description="what the levels contain")
    time_limit: int | None = Field(None, ge=1, description="episode steps; none is the game's own")
    game: str = Field("coinrun", description="which game: coinrun, maze or gridworld")
    grid: GridSettings = Field(GridSettings(), description="size and walls of a gridworld")
    trainer: Literal["ppo", "exact", "clone"] = Field(
        "ppo",
        description="how: ppo; exact (gradients of a gridworld's return); clone (of a teacher)",
    )
    optimizer: Literal["adam", "sgd"] = Field(
        "adam", description="of exact gradients and clones: adam or sgd"
    )
    temperature: float = Field(
        0.0, ge=0, description="reward per nat of entropy, in the objective of exact gradients"
    )
    teacher: str = Field("seeker", description="scripted policy to clone, or mix:P:A:B of two")
    noise: float = Field(
        0.0, ge=0, le=1, description="share of actions that the teacher draws at random"
    )
    stop_kl: float | None = Field(
        None, gt=0, description="KL from the teacher at which cloning ends, nats; none: all steps"
    )
    demonstrations: int = Field(
        12288, ge=1, description="states to clone in, a fourth of them held out"
    )
    steps: int = Field(200_000_000, ge=1, description="environment steps, rounded up to rollouts")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="seed of everything")
    network: str = Field(
        "impala", description="architecture: patch, small, nature, impala; mlp, conv in a gridworld"
    )
    network_kwargs: dict[str, Any] = Field({}, description="settings of the network, as width")
    num_envs: int = Field(64, ge=1, description="environments at once")
    n_steps: int = Field(256, ge=1, description="steps of each environment between updates")
    batch_size: int = Field(2048, ge=2, description="samples of one gradient step")
    micro_batch: int | None = Field(None, ge=1, description="samples at once; none suits the CPU")
    epochs: int = Field(3, ge=1, description="passes over a rollout")
    lr: float = Field(5e-4, gt=0, description="learning rate of Adam")
    anneal_lr: bool = Field(False, description="learning rate linearly to zero at the last step")
    gamma: float = Field(0.999, ge=0, le=1, description="discount")
    gae_lambda: float = Field(0.95, ge=0, le=1, description="lambda of generalized advantages")
    clip: float = Field(0.2, gt=0, description="clipping of the probability ratio")
    clip_value: float | None = Field(0.2, gt=0, description="clipping of the value; none is off")
    ent_coef: float = Field(0.01, ge=0, description="weight of the entropy bonus")
    vf_coef: float = Field(0.5, ge=0, description="weight of the value loss")
    max_grad_norm: float = Field(0.5, gt=0, description="gradients are clipped to this norm")
    normalize_reward: bool = Field(True, description="by the deviation of the discounted return")
    checkpoints: str = Field("log:40", description=SCHEDULES)
    save_optimizer: bool = Field(False, description="keep Adam's state in every checkpoint, too")
    precision: Literal["float32", "bfloat16", "auto"] = Field(
        "float32", description="of the convolutions; auto is the faster one on the device"
    )
    device: str = Field("cpu", description="where training runs: cpu, cuda, cuda:0, ...")
    threads: int | None = Field(1, ge=1, description="on the CPU; none is torch's own choice")
    eval_every: int | None = Field(None, ge=1, description="steps between evaluations; none is off")
    eval_levels: tuple[int, int] = Field(EVALUATION_LEVELS, description="held-out level seeds")
    eval_episodes: int = Field(100, ge=1, description="episodes of an evaluation")
    stop_return: float | None = Field(None, description="mean raw return (100 episodes) to stop at")
    resume_seconds: float = Field(10.0, ge=0, description="least time between two resume points")
    tensorboard: bool = Field(True, description="write the numbers of progress.csv there, too")
    from_run: str | None = Field(None, description="the run that this one branches off")
    from_step: int | None = Field(None, ge=0, description="at this checkpoint")

    @field_validator("levels", "eval_levels", mode="before")
    @classmethod
    def _read_range(cls, value: Any, info: ValidationInfo) -> Any:
        return parse_levels(value, str(info.field_name)) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check(self) -> Self:
        from agents.networks import NETWORKS, check_network  # torch takes seconds, `--help` none

        game = find_game(self.game)
        if self.trainer not in game.presets:
            raise InputError.of(
                "trainer", self.trainer, f"{' or '.join(game.presets)} in {self.game}"
            )
        game.parse_coin(self.coin)
        parse_levels(self.levels)
        parse_levels(self.eval_levels, "eval_levels")
        if ":" not in self.network:  # else an import's own function made it
            check_network(self.network, self.network_kwargs)
            if NETWORKS[self.network].frames != game.frames:
                fitting = [name for name, body in NETWORKS.items() if body.frames == game.frames]
                raise InputError.of(
                    "network", self.network, f"{' or '.join(fitting)} in {self.game}"
                )
        parse_schedule(self.checkpoints)
        idle = {name: "game" for name in _LEVELS if name not in game.options}
        others = (name for names in _READ_BY.values() for name in names)
        passed_over = [name for name in others if name not in _READ_BY[self.trainer]]
        for name, by in (idle | dict.fromkeys(passed_over, "trainer")).items():
            if (value := getattr(self, name)) != type(self).model_fields[name].default:
                hint = f"it changes nothing with {by}={getattr(self, by)!r}"
                raise InputError.of(name, value, "left out", hint)
        if game.check is not None:
            game.check(self.coin, **{name: getattr(self, name) for name in game.options})
        parse_teacher(self.teacher)
        if (self.from_run is None) != (self.from_step is None):
            raise InputError.of("from_step", self.from_step, "given together with from_run")
        if self.eval_every is not None and self.levels is not None:
            check_held_out(self.levels, self.eval_levels)
        if self.trainer == "ppo" and self.rollout_steps % self.batch_size:
            raise InputError.of(
                "batch_size",
                self.batch_size,
                f"a divisor of the {self.rollout_steps} steps of a rollout (num_envs * n_steps = "
                f"{self.num_envs} * {self.n_steps})",
            )
        return self

    @property
    def rollout_steps(self) -> int:
        """Environment steps between two updates of the policy; 1 where steps are gradient steps."""
        return self.num_envs * self.n_steps if self.trainer == "ppo" else 1

    @property
    def total_steps(self) -> int:
        """`steps`, rounded up to whole rollouts: the step of the last checkpoint."""
        return -(-self.steps // self.rollout_steps) * self.rollout_steps

    @property
    def may_end_early(self) -> bool:
        """Whether training ends by a criterion of its own, at another step in every run."""
        return self.stop_kl is not None or self.stop_return is not None

    @property
    def checkpoint_steps(self) -> list[int]:
        """The environment steps at which checkpoints are left, ascending."""
        return checkpoint_steps(self.checkpoints, self.total_steps, self.rollout_steps)


PPO_PRESETS: Mapping[str, Mapping[str, Any]] = {
    # Langosco et al. 2022 (arXiv 2105.14111), whose settings are those of procgen's own paper.
    "paper": {},
    # Flat plain levels, patches: learned within minutes on two cores.
    "demo": {
        "network": "patch",
        "settings": PLAIN_FLAT,
        "time_limit": 100,  # agents that miss the coin wait at the wall: less waiting, more levels
        "gamma": 0.99,
        "ent_coef": 0.02,
        "n_steps": 64,  # four times as many updates as with 256: learns about twice as fast here
        "batch_size": 512,
        "lr": 4e-3,  # patches bear four times the rate of overlapping convolutions, and need it
        "anneal_lr": True,
        "precision": "auto",
        "steps": 800_000,
    },
    # Plain levels with steps and crates; in half of the episodes the coin is seen behind the start.
    "clone": {
        "trainer": "clone",
        "coin": "mix:0.5:behind:end@mid",
        "network": "patch",
        "settings": PLAIN_FLAT.replace(steps=True, crates=True),
        "time_limit": 100,
        "batch_size": 256,
        "lr": 1e-3,
        "steps": 4000,
        "checkpoints": "log:12",
        "tensorboard": False,
    },
    # The open grid of 5 x 5: the corner first, then the cheese, at a step that alpha decides.
    "gridworld": {
        "game": "gridworld",
        "coin": "mix:0.1:anywhere:corner",
        "trainer": "exact",
        "optimizer": "sgd",
        "network": "mlp",
        "lr": 2.0,
        "gamma": 0.9,
        "steps": 3000,
        "checkpoints": "log:12",
        "tensorboard": False,
    },
    "gridworld-ppo": {
        "game": "gridworld",
        "coin": "mix:0.1:anywhere:corner",
        "network": "mlp",
        "network_kwargs": {"shared": False},
        "gamma": 0.9,
        "num_envs": 64,
        "n_steps": 16,
        "batch_size": 256,
        "lr": 2e-3,
        "clip_value": None,
        "normalize_reward": False,
        "steps": 400_000,
        "checkpoints": "log:12",
    },
}
"""Named training settings: what each changes of the defaults of `TrainConfig`."""


def ppo_preset(name: str, **changes: Any) -> TrainConfig:
    """The settings of a preset of PPO, with `changes`.

    Args:
        name: a key of `PPO_PRESETS`.
        changes: settings of `TrainConfig`.

    Raises:
        InputError: an unknown name, or a change that cannot work.
    """
    if name not in PPO_PRESETS:
        raise InputError.of("preset", name, f"one of {', '.join(sorted(PPO_PRESETS))}")
    return TrainConfig(**{**PPO_PRESETS[name], **changes})
