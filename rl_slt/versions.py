"""Versions of what is computed: the one place to say that numbers are no longer the same.

Raise a stage's version in the change after which the same settings give other numbers. Finished
work is stored under a hash that holds the versions of its stage and of all that this one reads, so
nothing made before is mixed with what is made after; tables tell the stage's version in the column
`version`. `tests/golden` fails where numbers move and the version does not, and the reverse.
"""

from __future__ import annotations

STAGES: dict[str, int] = {
    "levels": 1,  # what a level seed, a placement and the level settings give
    "train": 1,
    "states": 2,  # state sets, and states that two agents visit
    "episodes": 1,  # whole episodes for the losses that read rewards
    "llc": 14,  # the estimator itself, too
    "profile": 2,
    "influence": 2,
    "susceptibility": 4,
    "volume": 3,
    "steering": 3,
    "bayes": 1,
    "calibrate": 4,
    "covariates": 4,
    "probe": 8,
    "grid_states": 2,  # and what an estimate on them is
    "grid_probes": 1,
    "fixed_states": 6,  # counterfactual and linear probe
    "clips": 5,
    "compare": 6,
    "transitions": 5,
    "associations": 5,
    "staircase": 1,
    "predictions": 5,
    "path_dependence": 4,
    "hypotheses": 6,
    "report": 3,
}

_READS: dict[str, tuple[str, ...]] = {  # of what is kept; tables are made again by each analysis
    "states": ("levels",),
    "episodes": ("levels",),
    "llc": ("states", "episodes"),
    "profile": ("llc",),
    "influence": ("llc",),
    "susceptibility": ("llc", "fixed_states"),
    "volume": ("profile", "fixed_states"),
    "steering": ("fixed_states", "probe"),
    "calibrate": ("llc",),
    "covariates": ("states",),
    "probe": ("levels",),
    "fixed_states": ("levels",),
    "clips": ("probe",),
    "compare": ("states",),
}


def version_key(stage: str) -> dict[str, int]:
    """The versions of a stage and of all that it reads, for the hash of its results.

    Args:
        stage: a name in `STAGES`.

    Example:
        >>> version_key("covariates")
        {'covariates': 4, 'states': 1, 'levels': 1}
    """
    found = {stage: STAGES[stage]}
    for other in _READS.get(stage, ()):
        found |= version_key(other)
    return found
