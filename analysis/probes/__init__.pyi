from .clips import Clip, pick_levels, render_clip
from .counterfactual import (
    CounterfactualStates,
    counterfactual_rows,
    counterfactual_states,
    distance_rows,
    run_counterfactual,
)
from .heldout import HeldOut, check_held_out
from .intervals import wilson
from .linear_probe import MIN_LEVELS, readout_rows, run_readout
from .plot import figure_png, plot_scores
from .readout import read_direction
from .records import (
    FILMED,
    FIXED_STATE_GOALS,
    FIXED_STATE_METRICS,
    FIXED_STATE_PROBES,
    PROBES,
    FixedStateMetric,
    Probe,
    control_of,
    main_metric,
)
from .run import run_actor, run_baselines, run_suite
from .scores import SCORES, Score, score_episodes
from .suite import SUITES, ProbeSuite

__all__ = [
    "FILMED",
    "FIXED_STATE_GOALS",
    "FIXED_STATE_METRICS",
    "FIXED_STATE_PROBES",
    "MIN_LEVELS",
    "PROBES",
    "SCORES",
    "SUITES",
    "Clip",
    "CounterfactualStates",
    "FixedStateMetric",
    "HeldOut",
    "Probe",
    "ProbeSuite",
    "Score",
    "check_held_out",
    "control_of",
    "counterfactual_rows",
    "counterfactual_states",
    "distance_rows",
    "figure_png",
    "main_metric",
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
    "wilson",
]
