from .evaluate import evaluate_hypotheses
from .hypothesis import Hypothesis
from .kinds import KINDS
from .parse import check_together, parse_hypotheses

__all__ = ["KINDS", "Hypothesis", "check_together", "evaluate_hypotheses", "parse_hypotheses"]
