from .associations import associate
from .freeenergy import compare_arms, staircase
from .pathdependence import path_dependence
from .prediction import predict_goal
from .series import INNER_GOALS, goal_rows
from .transitions import detect_transitions

__all__ = [
    "INNER_GOALS",
    "associate",
    "compare_arms",
    "detect_transitions",
    "goal_rows",
    "path_dependence",
    "predict_goal",
    "staircase",
]
