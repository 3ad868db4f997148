from .actors import Actor, BatchStep, network_actor
from .clips import Clip, pick_levels, render_clip
from .counterfactual import (
    coin_preference,
    counterfactual_rows,
    distance_rows,
    run_counterfactual,
)
from .fixed_states import FixedStates, collect_fixed_states
from .goal_scores import GOAL_SCORES, GoalScore, GoalScores
from .goals import COIN_GOALS, GRID_GOALS, coin_shares, goal_of, grid_shares
from .gridworld import (
    DECIDED,
    corner_preference,
    first_reached,
    grid_goal,
    probe_gridworld,
)
from .held_out import met_rows, met_sentence, without_met
from .intervals import crossed_interval, quantile_interval, rate_draws, wilson
from .linear_probe import MIN_LEVELS, linear_probe_rows, read_direction, run_linear_probe
from .plot import figure_png, plot_scores
from .records import (
    ANYWHERE,
    APART,
    FILMED,
    FIXED_STATE_GOALS,
    FIXED_STATE_METRICS,
    FIXED_STATE_PROBES,
    GRID_PROBES,
    PROBES,
    FixedStateMetric,
    Probe,
    control_of,
    main_metric,
    starts_mid,
)
from .run import run_baselines, run_suite
from .scores import OUTCOMES, SCORES, Score, score_episodes
from .suite import SUITES, ProbeSuite

__all__ = [
    "ANYWHERE",
    "APART",
    "COIN_GOALS",
    "DECIDED",
    "FILMED",
    "FIXED_STATE_GOALS",
    "FIXED_STATE_METRICS",
    "FIXED_STATE_PROBES",
    "GOAL_SCORES",
    "GRID_GOALS",
    "GRID_PROBES",
    "MIN_LEVELS",
    "OUTCOMES",
    "PROBES",
    "SCORES",
    "SUITES",
    "Actor",
    "BatchStep",
    "Clip",
    "FixedStateMetric",
    "FixedStates",
    "GoalScore",
    "GoalScores",
    "Probe",
    "ProbeSuite",
    "Score",
    "coin_preference",
    "coin_shares",
    "collect_fixed_states",
    "control_of",
    "corner_preference",
    "counterfactual_rows",
    "crossed_interval",
    "distance_rows",
    "figure_png",
    "first_reached",
    "goal_of",
    "grid_goal",
    "grid_shares",
    "linear_probe_rows",
    "main_metric",
    "met_rows",
    "met_sentence",
    "network_actor",
    "pick_levels",
    "plot_scores",
    "probe_gridworld",
    "quantile_interval",
    "rate_draws",
    "read_direction",
    "render_clip",
    "run_baselines",
    "run_counterfactual",
    "run_linear_probe",
    "run_suite",
    "score_episodes",
    "starts_mid",
    "wilson",
    "without_met",
]
