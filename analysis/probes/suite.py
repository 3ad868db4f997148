"""Which probes a suite has, on which levels, and for how long an episode may run."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

import envs
from rl_slt import InputError, SettingsModel


class ProbeSuite(SettingsModel):
    """A fixed set of probes, all on the same held-out levels."""

    name: str
    """what reports call it"""
    placements: Annotated[tuple[str, ...], Field(min_length=1)]
    """one probe each, as text; the probe is named by its placement"""
    levels: tuple[int, int] = envs.PROBE_LEVELS
    """half-open range of level seeds that training must stay out of"""
    n_levels: Annotated[int, Field(ge=1)] = 200
    """levels, and so episodes, per probe: the first ones of `levels` that are not `met`"""
    time_limit: Annotated[int, Field(ge=1)] = 500
    """environment steps after which an episode is a `timeout`"""
    mode: Literal["sampled", "greedy"] = "sampled"
    """actions of the policy"""
    settings: envs.LevelSettings = envs.LevelSettings()
    """what the levels look like"""
    met: tuple[int, ...] | None = None
    """level seeds that are left out because training has met their layout; None: any may be met"""

    @model_validator(mode="after")
    def _check(self) -> Self:
        envs.parse_levels(self.levels)
        size = self.levels[1] - self.levels[0] - len(self.met or ())
        if self.n_levels > size:
            raise InputError.of("n_levels", self.n_levels, f"an integer from 1 to {size}")
        if len(set(self.placements)) < len(self.placements):
            raise InputError.of("placements", self.placements, "each given once")
        for text in self.placements:
            envs.parse_placement(text)
        return self

    @property
    def seeds(self) -> tuple[int, ...]:
        """The level seeds that are played."""
        met = frozenset(self.met or ())
        first = range(*self.levels)[: self.n_levels + len(met)]
        return tuple(seed for seed in first if seed not in met)[: self.n_levels]

    def part(self, i: int, of: int) -> Self:
        """The same probes on the i-th of some parts of the levels, all about as many."""
        first, last = (len(self.seeds) * k // of for k in (i, i + 1))
        seeds = self.seeds[first:last]
        levels = (seeds[0], seeds[-1] + 1)
        met = None if self.met is None else tuple(m for m in self.met if m in range(*levels))
        return self.replace(levels=levels, n_levels=len(seeds), met=met)


_DEMO = ("end", "end@mid", "none", "none@mid", "ground", "behind", "both")
_STANDARD = ("end", "end@mid", "none", "none@mid", "section", "ground", "behind", "both")
SUITES = {
    "standard": ProbeSuite(name="standard", placements=_STANDARD),
    "demo": ProbeSuite(
        name="demo", placements=_DEMO, n_levels=100, time_limit=200, settings=envs.PLAIN_FLAT
    ),
}
