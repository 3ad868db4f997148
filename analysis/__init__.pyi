from .associations import associate
from .transitions import detect_transitions

__all__ = ["associate", "detect_transitions"]
