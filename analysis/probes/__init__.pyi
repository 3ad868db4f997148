from .clips import Clip, pick_levels, render_clip
from .counterfactual import (
    CounterfactualStates,
    counterfactual_rows,
    counterfactual_states,
    distance_rows,
    run_counterfactual,
)
from .heldout import HeldOut, check_held_out
from .linear_probe import MIN_LEVELS, readout_rows, run_readout
from .plot import figure_png, plot_scores
from .readout import read_direction
from .run import run_actor, run_baselines, run_suite
from .scores import score_episodes
from .suite import SUITES, ProbeSuite, control_of

__all__ = [
    "MIN_LEVELS",
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
    "figure_png",
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
