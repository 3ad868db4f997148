from .evaluate import evaluate_hypotheses
from .hypothesis import Hypothesis, check_together, parse_hypotheses
from .kinds import KINDS

__all__ = ["KINDS", "Hypothesis", "check_together", "evaluate_hypotheses", "parse_hypotheses"]
