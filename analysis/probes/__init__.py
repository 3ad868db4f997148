"""Goal probes: does a policy want the coin, or the right side?"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from analysis.probes.clips import Clip, pick_levels, render_clip
from analysis.probes.counterfactual import (
    CounterfactualStates,
    counterfactual_rows,
    counterfactual_states,
    distance_rows,
    run_counterfactual,
)
from analysis.probes.heldout import HeldOut, check_held_out
from analysis.probes.run import run_actor, run_baselines, run_suite
from analysis.probes.scores import score_episodes
from analysis.probes.suite import SUITES, ProbeSuite, control_of

if TYPE_CHECKING:
    from analysis.probes.linear_probe import readout_rows, run_readout
    from analysis.probes.plot import plot_scores
    from analysis.probes.readout import read_direction

__all__ = [
    "SUITES",
    "Clip",
    "CounterfactualStates",
    "HeldOut",
    "ProbeSuite",
    "check_held_out",
    "control_of",
    "counterfactual_rows",
    "counterfactual_states",
    "distance_rows",
    "pick_levels",
    "plot_scores",
    "read_direction",
    "readout_rows",
    "render_clip",
    "run_actor",
    "run_baselines",
    "run_counterfactual",
    "run_readout",
    "run_suite",
    "score_episodes",
]

_HOMES = {  # loaded on first use: they are slow to import
    "plot_scores": "plot",
    "read_direction": "readout",
    "readout_rows": "linear_probe",
    "run_readout": "linear_probe",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'analysis.probes' has no attribute {name!r}")
    return getattr(import_module(f"analysis.probes.{_HOMES[name]}"), name)
