"""The registry of kinds of hypotheses: a new one is a module here and a line below."""

from analysis.hypotheses.kinds.arms import Arms
from analysis.hypotheses.kinds.course import Course
from analysis.hypotheses.kinds.dose import Dose
from analysis.hypotheses.kinds.prediction import Prediction
from analysis.hypotheses.kinds.seeds import Seeds
from analysis.hypotheses.protocol import Kind

KINDS: dict[str, Kind] = {
    "arms": Arms(),
    "dose": Dose(),
    "seeds": Seeds(),
    "course": Course(),
    "prediction": Prediction(),
}
"""All kinds of hypotheses, by name."""

__all__ = ["KINDS"]
