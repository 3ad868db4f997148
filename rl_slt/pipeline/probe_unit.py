"""One unit of the probe stage: a checkpoint and the suite it is probed with."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from analysis import probes
from rl_slt.pipeline.store import digest

_VERSION = 1  # raise when the same settings would give other numbers


@dataclass(frozen=True)
class ProbeUnit:
    """The probes of one checkpoint."""

    run: str
    step: int
    checkpoint: str
    weights: str
    suite: probes.ProbeSuite
    seed: int

    @property
    def key(self) -> str:
        """Hash of everything that the episodes depend on."""
        return digest([_VERSION, self.weights, dataclasses.asdict(self.suite), self.seed])

    @property
    def baselines(self) -> str:
        """Key of the baselines' episodes, which depend on the suite alone."""
        return digest([_VERSION, "baselines", dataclasses.asdict(self.suite), self.seed])
