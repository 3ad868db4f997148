"""The experiments by the names of their presets; loaded only when one is asked for."""

from __future__ import annotations

from pkgutil import resolve_name
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rl_slt.experiments.experiment import Experiment

EXPERIMENTS = {
    "branches": "rl_slt.experiments.branches:BRANCHES",
    "goal-prior": "rl_slt.experiments.goal_prior:GOAL_PRIOR",
    "modular-addition": "rl_slt.experiments.modular_addition:MODULAR_ADDITION",
    "tms": "rl_slt.experiments.tms:TMS",
}
SIZES = ("small", "default", "large")


def find_experiment(name: str) -> Experiment:
    """The experiment of that name, one of `EXPERIMENTS`."""
    found: Experiment = resolve_name(EXPERIMENTS[name])
    return found
