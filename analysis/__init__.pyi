from .associations import associate
from .pathdependence import path_dependence
from .prediction import predict_goal
from .series import change_stderr, current_setting, goal_rows, series_parts, setting_of
from .staircase import staircase
from .transitions import DETECTORS, detect_transitions

__all__ = [
    "DETECTORS",
    "associate",
    "change_stderr",
    "current_setting",
    "detect_transitions",
    "goal_rows",
    "path_dependence",
    "predict_goal",
    "series_parts",
    "setting_of",
    "staircase",
]
