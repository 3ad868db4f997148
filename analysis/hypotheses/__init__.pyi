from .evaluate import evaluate_hypotheses
from .fixed import LATE, demote, fixed_hypotheses, in_time, with_doses
from .hypothesis import Hypothesis
from .kinds import KINDS
from .parse import check_together, parse_hypotheses

__all__ = [
    "KINDS",
    "LATE",
    "Hypothesis",
    "check_together",
    "demote",
    "evaluate_hypotheses",
    "fixed_hypotheses",
    "in_time",
    "parse_hypotheses",
    "with_doses",
]
