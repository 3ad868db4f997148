"""Which probes a suite has, on which levels, and for how long an episode may run."""

from __future__ import annotations

from dataclasses import dataclass, field

import envs
from rl_slt import InputError

MODES = ("sampled", "greedy")


@dataclass(frozen=True)
class ProbeSuite:
    """A fixed set of probes, all on the same held-out levels.

    Attributes:
        name: what reports call it.
        placements: one probe each, as text; the probe is named by its placement.
        levels: half-open range of level seeds that training must stay out of.
        n_levels: levels, and so episodes, per probe: the first ones of `levels`.
        time_limit: environment steps after which an episode is a `timeout`.
        mode: `sampled` actions, or `greedy`.
        settings: what the levels look like.
    """

    name: str
    placements: tuple[str, ...]
    levels: tuple[int, int] = envs.PROBE_LEVELS
    n_levels: int = 200
    time_limit: int = 500
    mode: str = "sampled"
    settings: envs.LevelSettings = field(default_factory=lambda: envs.LevelSettings())

    def __post_init__(self) -> None:
        envs.parse_levels(self.levels)
        low, high = self.levels
        if not 1 <= self.n_levels <= high - low:
            raise InputError(f"n_levels {self.n_levels}: allowed 1 to {high - low}")
        if self.time_limit < 1:
            raise InputError(f"time_limit {self.time_limit}: allowed 1 or more steps")
        if self.mode not in MODES:
            raise InputError(f"mode {self.mode!r}: allowed {', '.join(MODES)}")
        if not self.placements or len(set(self.placements)) < len(self.placements):
            raise InputError(f"placements {self.placements}: allowed one or more, each once")
        for text in self.placements:
            envs.parse_placement(text)

    @property
    def seeds(self) -> range:
        """The level seeds that are played."""
        return range(self.levels[0], self.levels[0] + self.n_levels)


_DEMO = ("end", "end@mid", "none", "none@mid", "ground", "behind", "both")

SUITES = {
    "standard": ProbeSuite(
        name="standard",
        placements=("end", "end@mid", "none", "none@mid", "section", "ground", "behind", "both"),
    ),
    "demo": ProbeSuite(
        name="demo", placements=_DEMO, n_levels=100, time_limit=200, settings=envs.PLAIN_FLAT
    ),
}
