"""What a study is: arms, seeds, training, and the settings of the LLC and of the probes.

A study is one small TOML file; the presets are such files in `presets/`.
"""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from agents import TrainConfig, ppo_preset, safe_name
from rl_slt.errors import InputError
from rl_slt.pipeline.plan.checks import check_llc, check_probe
from rl_slt.pipeline.plan.settings import build


@dataclass(frozen=True)
class LLCPlan:
    """Which LLC estimates to make of each checkpoint, and how.

    The defaults are those of `rl_slt.POLICY_CNN`, for networks of some 10^5 weights. `localization`
    is part of what is measured: it holds every weight within about `1 / sqrt(localization)` of the
    checkpoint, so that the posterior is local (a radius of about the norm of the weights) and
    chains can traverse it.
    """

    losses: tuple[str, ...] = ("kl",)
    states: tuple[str, ...] = ("frozen", "on-policy")
    n_states: int = 2048
    reference: str = "self"
    params: str = "all"
    sampler: str = "auto"
    step_size: float | None = None
    nbeta: float | None = None
    localization: float = 300.0
    chains: int = 4
    draws: int = 200
    burn_in: int = 80
    batch_size: int = 64
    whitening: int | None = None  # directions of curvature made round; None chooses
    precision: str = "auto"  # of convolutions: float32, bfloat16, or the faster of them
    device: str = "cpu"  # where chains run: cpu, cuda, cuda:0, ...
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("n_states", "chains", "draws", "batch_size"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), "1 or more")
        _require(self.chains >= 2, "chains", self.chains, "2 or more (4 for a sound R-hat)")
        _require(self.burn_in >= 0, "burn_in", self.burn_in, "0 or more")
        _require(
            self.batch_size <= self.n_states, "batch_size", self.batch_size, "at most n_states"
        )
        _require(self.localization >= 0, "localization", self.localization, "0 or more")
        for name in ("step_size", "nbeta"):
            value = getattr(self, name)
            _require(value is None or value >= 0, name, value, "positive, or left out")
        _require(bool(self.losses), "losses", self.losses, "at least one loss")
        _require(bool(self.states), "states", self.states, "at least one state set")
        check_llc(self)

    def values(self) -> dict[str, Any]:
        """All settings by name; the device only where it is not the CPU, and not which GPU."""
        values = dataclasses.asdict(self)
        device = values.pop("device").partition(":")[0]
        return values if device == "cpu" else values | {"device": device}


@dataclass(frozen=True)
class ProbePlan:
    """Which probes to run on each checkpoint."""

    suite: str = "standard"
    levels: int | None = None  # per probe; None takes the suite's own number
    mode: str = "sampled"
    seed: int = 0
    time_limit: int | None = None  # steps of an episode; None takes the suite's own
    # Held-out levels whose states the counterfactual and internal probes look at: None takes as
    # many as the suite has, at most 100; 0 leaves both probes out.
    states: int | None = None

    def __post_init__(self) -> None:
        _require(self.mode in ("sampled", "greedy"), "mode", self.mode, "sampled or greedy")
        for name in ("levels", "time_limit"):
            value = getattr(self, name)
            _require(value is None or value >= 1, name, value, "1 or more")
        _require(self.states is None or self.states >= 0, "states", self.states, "0 or more")
        check_probe(self)


@dataclass(frozen=True)
class StudyPlan:
    """A whole study.

    `recipe` names a preset of `agents`, `train` what all arms change of it, and `arms` what each
    arm changes, both in the names of `agents.TrainConfig`.
    """

    name: str
    question: str
    arms: dict[str, dict[str, Any]]
    recipe: str = "paper"
    train: dict[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0,)
    llc: LLCPlan = field(default_factory=LLCPlan)
    probe: ProbePlan = field(default_factory=ProbePlan)

    def __post_init__(self) -> None:
        safe_name(self.name, "study")
        _require(bool(self.arms), "arms", "(none)", "at least one arm")
        _require(bool(self.seeds), "seeds", "(none)", "at least one seed")
        for arm, changes in self.arms.items():
            safe_name(arm, "arm")
            _require("coin" in changes, f"arms.{arm}", changes, "a coin placement in `coin`")
            for seed in self.seeds:
                self.train_config(arm, seed)

    def train_config(self, arm: str, seed: int) -> TrainConfig:
        """The training configuration of an arm and a seed."""
        base = ppo_preset(self.recipe).as_dict()
        values = {**base, **self.train, **self.arms[arm], "seed": seed}
        return TrainConfig.build(values, f"arms.{arm}")


def preset_names() -> list[str]:
    """Names of the presets that come with the package."""
    folder = resources.files("rl_slt.pipeline.plan") / "presets"
    return sorted(p.name.removesuffix(".toml") for p in folder.iterdir() if p.name[-5:] == ".toml")


def load_preset(name: str, seed: int | None = None) -> StudyPlan:
    """A preset by name.

    Raises:
        InputError: if there is no such preset.
    """
    if name not in preset_names():
        raise InputError(f"unknown preset {name!r}; allowed: {', '.join(preset_names())}")
    text = (resources.files("rl_slt.pipeline.plan") / "presets" / f"{name}.toml").read_text()
    return _with_seed(parse_study(text, name), seed)


def load_study(path: Path, seed: int | None = None) -> StudyPlan:
    """A study of one's own from a TOML file.

    Raises:
        InputError: if the file is missing, is no TOML, or a value in it is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the study {path}: {error}") from None
    return _with_seed(parse_study(text, path.stem), seed)


def parse_study(text: str, name: str) -> StudyPlan:
    """A study from the text of its TOML file."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"study {name!r} is not valid TOML: {error}") from None
    return build(StudyPlan, {"name": name, **values}, f"study {name!r}")


def _with_seed(plan: StudyPlan, seed: int | None) -> StudyPlan:
    return plan if seed is None else dataclasses.replace(plan, seeds=(seed,))


def _require(fine: bool, name: str, value: object, allowed: str) -> None:
    if not fine:
        raise InputError(f"{name} = {value!r} is not allowed: {allowed}")
