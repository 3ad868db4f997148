"""One unit of the probe stage: a checkpoint and what it is probed with."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from analysis import probes
from rl_slt.pipeline.disk.store import digest
from rl_slt.versions import version_key


@dataclass(frozen=True)
class ProbeUnit:
    """The probes of one checkpoint.

    `suite` and `seed` decide the rollout probes, `states` (a number of held-out levels, 0 for none)
    and `states_file` (where they are kept) the counterfactual and internal ones.
    """

    run: str
    step: int
    checkpoint: str
    weights: str
    suite: probes.ProbeSuite
    seed: int
    states: int = 0
    states_file: str = ""

    @property
    def key(self) -> str:
        """Hash of everything that the episodes depend on."""
        return digest(
            [version_key("probe"), self.weights, dataclasses.asdict(self.suite), self.seed]
        )

    @property
    def baselines(self) -> str:
        """Key of the baselines' episodes, and of the setting: it depends on the suite alone."""
        return digest(
            [version_key("probe"), "baselines", dataclasses.asdict(self.suite), self.seed]
        )

    @property
    def inner_key(self) -> str:
        """Hash of everything that the counterfactual and internal probes depend on."""
        return digest([self.weights, states_key(self.suite, self.states)])

    @property
    def film_key(self) -> str:
        """Hash of everything that the clips depend on."""
        return digest([version_key("clips"), self.key])


def states_key(suite: probes.ProbeSuite, n: int) -> str:
    """Hash of everything that the states of the inner probes depend on."""
    return digest([version_key("fixed_states"), suite.settings.as_dict(), suite.levels[0], n])
