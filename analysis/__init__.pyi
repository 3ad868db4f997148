from .associations import associate
from .field import FIELD_COINS, draw_fields, policy_field
from .hypotheses import (
    KINDS,
    Hypothesis,
    check_together,
    demote,
    evaluate_hypotheses,
    fixed_hypotheses,
    in_time,
    parse_hypotheses,
    with_doses,
)
from .influence import draw_frames, draw_heat_map
from .known import KNOWN_ANSWERS
from .pathdependence import path_dependence
from .prediction import predict_goal
from .schema import measured_columns
from .series import (
    change_stderr,
    current_setting,
    goal_rows,
    probe_stderr,
    series_parts,
    setting_of,
)
from .staircase import staircase
from .steering import CoinVector, coin_vector, describe_steering, part_of, steer_states, steer_suite
from .surface import (
    Cliff,
    agreement,
    along,
    draw_surfaces,
    find_cliffs,
    line,
    plane,
    random_direction,
)
from .transitions import MIN_POINTS, detect_in_all, detect_transitions, settling_step

__all__ = [
    "FIELD_COINS",
    "KINDS",
    "KNOWN_ANSWERS",
    "MIN_POINTS",
    "Cliff",
    "CoinVector",
    "Hypothesis",
    "agreement",
    "along",
    "associate",
    "change_stderr",
    "check_together",
    "coin_vector",
    "current_setting",
    "demote",
    "describe_steering",
    "detect_in_all",
    "detect_transitions",
    "draw_fields",
    "draw_frames",
    "draw_heat_map",
    "draw_surfaces",
    "evaluate_hypotheses",
    "find_cliffs",
    "fixed_hypotheses",
    "goal_rows",
    "in_time",
    "line",
    "measured_columns",
    "parse_hypotheses",
    "part_of",
    "path_dependence",
    "plane",
    "policy_field",
    "predict_goal",
    "probe_stderr",
    "random_direction",
    "series_parts",
    "setting_of",
    "settling_step",
    "staircase",
    "steer_states",
    "steer_suite",
    "with_doses",
]
