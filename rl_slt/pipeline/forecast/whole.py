"""How much of a whole study is done and left, while its stages run and from its folder."""

from __future__ import annotations

import time

from agents import read_json_object, write_json
from rl_slt.errors import InputError
from rl_slt.pipeline.disk.layout import Study
from rl_slt.pipeline.engine.progress import duration
from rl_slt.pipeline.forecast.costs import Costs, measure, typical
from rl_slt.pipeline.forecast.work import STAGES, forecast
from rl_slt.pipeline.plan.study import StudyPlan

COSTS = "costs.json"
WORTH_MEASURING = 60.0  # seconds that a stage has to go
LEAST_STEPS = 20_000  # of training in all: smaller studies end soon, however slow a machine is now
TELLING = 0.1  # share of a stage from which on its own speed counts


def known_costs(study: Study) -> Costs | None:
    """The costs that a study's progress goes by; None where there are none yet, or do not read."""
    try:
        return Costs.build(read_json_object(study.path / COSTS), COSTS)
    except InputError:
        return None


class WholeStudy:
    """What progress lines say of the whole study.

    What is left of the stage at work comes from how long its part so far took, and the time of
    later stages from costs, corrected by how much longer than these say all took so far. Typical
    costs will do for a study like the demo. Of others they are measured where a stage has more
    than a minute to go, which takes about half of one, but for studies of so little training that
    a busy machine alone makes them slow.

    Args:
        plan: as it is carried out.
        study: its folder, where the costs are kept.
        workers: jobs at a time.
        costs: where they are known.
    """

    def __init__(
        self, plan: StudyPlan, study: Study, workers: int, costs: Costs | None = None
    ) -> None:
        self.plan, self.study, self.workers = plan, study, workers
        measured = costs or known_costs(study)
        self.costs = measured or typical(plan)
        self.told = measured is not None  # typical costs tell a time once there is a pace
        if costs is not None:
            write_json(study.path / COSTS, costs.as_dict())
        self.spent, self.expected = 0.0, 0.0
        steps = (plan.train_config(arm, plan.seeds[0]).total_steps for arm in plan.arms)
        self.measurable = len(plan.seeds) * sum(steps) >= LEAST_STEPS
        self.enter(STAGES[0])

    def enter(self, stage: str) -> None:
        """Begin a stage."""
        self.stage, self.begun = stage, time.monotonic()
        self.work = forecast(self.plan, self.costs, self.study, self.workers)

    def leave(self) -> None:
        """End the stage."""
        self.spent += time.monotonic() - self.begun
        self.expected += self.work.of(self.stage).seconds

    def __call__(self, share: float, left: float | None) -> str:
        """Words about the whole study.

        Args:
            share: of the stage's jobs that is done, of those to do when it began.
            left: seconds that the stage has to go, by the share; None is unknown.
        """
        if share == 0:  # workers start: that takes as long, whatever there is to do
            self.begun = time.monotonic()
        waits = self.measurable and left is not None and left > WORTH_MEASURING
        if self.costs is None and waits:
            self.costs = measure(self.plan).replace(wait=1.0)  # the study itself is what waits
            self.work = forecast(self.plan, self.costs, self.study, self.workers)
            self._tell(self.costs)
        elif self.costs is not None and not self.told and share > TELLING:
            self._tell(self.costs.replace(wait=self._pace(share)))
        mine = self.work.of(self.stage)
        done, total = self.work.count()
        done += int(share * (len(mine.tasks) - mine.count()[0]))
        told = f"study: {done} of {total} units"
        return f"{told}, {duration(self.left(share))} left" if self.told else told

    def _tell(self, costs: Costs) -> None:
        """Tell times from now on, and keep these costs with the study for other commands."""
        self.told = True
        write_json(self.study.path / COSTS, costs.as_dict())

    def _pace(self, share: float) -> float:
        """How many times longer than its costs say all took so far, with this share of a stage."""
        expected = self.expected + share * self.work.of(self.stage).seconds
        return (self.spent + time.monotonic() - self.begun) / expected if expected > 0 else 1.0

    def left(self, share: float) -> float:
        """Seconds until the study is done, where costs are known.

        Args:
            share: as for a call.
        """
        mine, spent = self.work.of(self.stage), time.monotonic() - self.begun
        each = [task.seconds * task.left for task in mine.tasks if task.seconds * task.left]
        if self.stage != STAGES[0] and each:  # of long and short jobs, in their order
            share = sum(each[: round(share * len(each))]) / sum(each)
        pace = self._pace(share) if self.expected or share > TELLING else 1.0
        own = spent * (1 - share) / share if share > TELLING else pace * (1 - share) * mine.seconds
        later = STAGES[STAGES.index(self.stage) + 1 :]
        return own + pace * sum(self.work.of(stage).seconds for stage in later)
