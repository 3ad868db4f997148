from .associations import associate
from .freeenergy import compare_arms, staircase
from .pathdependence import path_dependence
from .prediction import predict_goal
from .series import current_setting, goal_rows, series_parts, setting_of
from .transitions import DETECTORS, detect_transitions

__all__ = [
    "DETECTORS",
    "associate",
    "compare_arms",
    "current_setting",
    "detect_transitions",
    "goal_rows",
    "path_dependence",
    "predict_goal",
    "series_parts",
    "setting_of",
    "staircase",
]
