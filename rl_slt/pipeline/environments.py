"""What the stages do with the runs of each kind of game: a record for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import nn

from agents import TrainConfig
from analysis.probes import (
    GRID_PROBES,
    SUITES,
    coin_preference,
    collect_fixed_states,
    corner_preference,
)
from envs import CheeseGrid
from rl_slt.data.actions import Classes
from rl_slt.errors import InputError
from rl_slt.pipeline.grid_states import grid_states
from rl_slt.pipeline.plan.by_name import build_loss
from rl_slt.pipeline.states import StateSet, procgen_states
from rl_slt.settings_model import SettingsModel

_PROBES = "rl_slt.pipeline.stages.probe"


@dataclass(frozen=True)
class Environment:
    """A kind of game.

    Attributes:
        states: the state set of a name, for a training, with the coin placements of frozen sets,
            the number of states and a seed.
        probe_stage: module of its probe stage, which has `probe_runs(runs, plan, engine)`.
        probes: names of its probes; None where they are those of a suite, and played.
        known: whether it is a known process: returns are exact there, and nothing is played.
        tilt: state set towards which data are moved, if nothing else is asked for.
        goal: for a training and classes of its actions, the goal score of a policy as a function of
            it, without rollouts; None where there is none.
    """

    states: Callable[[TrainConfig, str, Sequence[str], int, int], StateSet]
    probe_stage: str
    probes: tuple[str, ...] | None = None
    known: bool = False
    tilt: str = "probe:behind"
    goal: Callable[[TrainConfig, Classes | None], Callable[[nn.Module], float]] | None = None

    def check_probe(self, plan: SettingsModel) -> None:
        """Raise InputError for a setting of probes that changes nothing where they are exact."""
        for name, field in type(plan).model_fields.items() if self.probes else ():
            if name != "checkpoints" and (value := getattr(plan, name)) != field.default:
                raise InputError.of(f"probe.{name}", value, "left out: probes are exact there")

    def check_llc(self, plan: SettingsModel) -> None:
        """Raise InputError for a loss without data here, or a number of states where all count."""
        settings = dict(plan)
        for text in settings["losses"]:
            self.check_loss(text)
        default = type(plan).model_fields["n_states"].default
        if self.known and settings["n_states"] != default:
            allowed = "left out: all levels and cells of a gridworld count"
            raise InputError.of("n_states", settings["n_states"], allowed)

    def check_loss(self, text: str) -> None:
        """Raise InputError for a loss that has no data here."""
        loss = build_loss(text)
        if self.known and (loss.needs or loss.plays):
            hint = "exact-regret and return-error take their place"
            raise InputError.of("loss", text, "one without episodes in a gridworld", hint)
        if loss.population and not self.known:
            raise InputError.of("loss", text, "one that a sample tells: only gridworlds are known")


def _coin_preference(train: TrainConfig, classes: Classes | None) -> Callable[[nn.Module], float]:
    """On the first held-out levels: what a coin to the left changes."""
    suite = SUITES["demo"].replace(settings=train.settings, n_levels=GOAL_LEVELS)
    return coin_preference(collect_fixed_states(suite), classes)


def _corner_preference(train: TrainConfig, classes: Classes | None) -> Callable[[nn.Module], float]:
    """Exact: corner before cheese, less cheese before corner."""
    return corner_preference(CheeseGrid.of(train.grid, train.gamma))


GOAL_LEVELS = 16
PROCGEN = Environment(procgen_states, f"{_PROBES}.stage")
ENVIRONMENTS = {
    "coinrun": replace(PROCGEN, goal=_coin_preference),
    "maze": PROCGEN,
    "gridworld": Environment(
        grid_states, f"{_PROBES}.grid", GRID_PROBES, known=True, tilt="frozen:anywhere",
        goal=_corner_preference,
    ),
}  # fmt: skip


def environment_of(train: TrainConfig) -> Environment:
    """The environment of a training."""
    return ENVIRONMENTS[train.game]
