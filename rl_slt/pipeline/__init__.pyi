from .commands.run import StudyResult, run_study
from .plan.study import StudyPlan, load_preset, load_study

__all__ = ["StudyPlan", "StudyResult", "load_preset", "load_study", "run_study"]
