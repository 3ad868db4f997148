"""Goal probes: does a policy want the coin, or the right side?"""

from analysis.probes.clips import Clip, pick_levels, render_clip
from analysis.probes.counterfactual import counterfactual_rows, run_counterfactual
from analysis.probes.heldout import HeldOut, check_held_out
from analysis.probes.internal import readout_rows, run_readout
from analysis.probes.plot import plot_scores
from analysis.probes.readout import read_direction
from analysis.probes.run import run_actor, run_baselines, run_suite
from analysis.probes.scores import score_episodes
from analysis.probes.suite import SUITES, ProbeSuite, control_of

__all__ = [
    "SUITES",
    "Clip",
    "HeldOut",
    "ProbeSuite",
    "check_held_out",
    "control_of",
    "counterfactual_rows",
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
