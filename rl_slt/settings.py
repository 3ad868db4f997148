"""Settings of an estimate, checked once, and named ones that were found to be sound.

Each constraint is declared once, as a type (`Chains`, `Draws`, ...) that other settings classes
share. Neither torch nor pandas is imported here: the command line's help is made from it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, ValidationInfo

from rl_slt.errors import InputError
from rl_slt.settings_model import SettingsModel

if TYPE_CHECKING:
    from rl_slt.samplers.base import Sampler
else:
    Sampler = Any

PILOT_DRAWS = 400
RELATIVE = "relative:"
RESOLUTIONS = (5.0, 15.0, 50.0, 150.0, 500.0)  # of a profile: relative temperatures
PROFILE = tuple(f"{RELATIVE}{k:g}" for k in RESOLUTIONS)
HEADLINE = 50.0  # of them the one that is drawn at full length
MOST_RESOLUTIONS = 50


def _strict(description: str, ge: float | None = None, gt: float | None = None) -> Any:
    """What a number must be, that is not converted from other types."""
    return Field(strict=True, description=description, ge=ge, gt=gt)


def _temperatures(value: Any, info: ValidationInfo) -> Any:
    """Rising numbers above 0, given as a list, with commas, `LOW:HIGH:COUNT` or `default`."""
    if value in ("default", "none"):
        return RESOLUTIONS if value == "default" else ()
    try:
        if isinstance(value, str) and ":" in value:
            low, high, count = value.split(":")
            ends, number = (float(low), float(high)), int(count)
            if not (0 < ends[0] < ends[1] < math.inf and 2 <= number <= MOST_RESOLUTIONS):
                raise ValueError
            steps = ((ends[1] / ends[0]) ** (k / (number - 1)) for k in range(number))
            found = [float(f"{ends[0] * step:.4g}") for step in steps]
        else:
            parts = filter(None, value.split(",")) if isinstance(value, str) else value
            found = [float(part) for part in parts]
        if not all(0 < k < math.inf for k in found):
            raise ValueError
    except (TypeError, ValueError):
        allowed = f"LOW:HIGH:COUNT, as 5:500:5, 0 < LOW < HIGH, COUNT from 2 to {MOST_RESOLUTIONS}"
        hint = "runs are named before an option without a value"
        raise InputError.of(str(info.field_name), value, allowed, hint) from None
    return tuple(sorted(set(found)))


def relative_part(value: float | str | None) -> float | None:
    """X of a setting given as `relative:X`; None of one that is a plain number, or none."""
    return float(value.removeprefix(RELATIVE)) if isinstance(value, str) else None


def _number_or_relative(value: Any, info: ValidationInfo) -> float | str:
    """A number at least 0, also as text, or `relative:X` with X above 0."""
    relative = isinstance(value, str) and value.startswith(RELATIVE)
    try:
        number = float(value.removeprefix(RELATIVE) if relative else value)
    except (TypeError, ValueError):
        number = math.nan
    above = number > 0 if relative else number >= 0
    if isinstance(value, bool) or not above or number == math.inf:
        allowed = f"a finite number at least 0, or {RELATIVE}X, X above 0"
        raise InputError.of(str(info.field_name), value, allowed)
    return f"{RELATIVE}{number:g}" if relative else number


NBeta = Annotated[
    float | str,
    BeforeValidator(_number_or_relative),
    Field(
        description="inverse temperature times the number of states N; relative:K sets it so "
        "that the curvature at w* lifts nbeta L by K under the localizer alone; none is N / log N"
    ),
]
Localization = Annotated[
    float | str,
    BeforeValidator(_number_or_relative),
    Field(
        description="gamma, the pull to w*, per squared unit of weight; relative:C gives the "
        "localizer the radius C |w*|"
    ),
]
Temperatures = Annotated[
    tuple[float, ...],
    BeforeValidator(_temperatures, json_schema_input_type=tuple[float, ...] | str),
    Field(
        description="relative temperatures of a profile of the LLC on the first state set: "
        "LOW:HIGH:COUNT, evenly spaced in the logarithm, or left out 5, 15, 50, 150, 500"
    ),
]


def _trace_draws(value: Any, info: ValidationInfo) -> Any:
    """A number of draws, at least 2, also as text; 0 stands for as many as a tenth buys."""
    if value in ("default", 0):
        return 0
    try:
        number = int(value)
        if number < 2 or isinstance(value, bool):
            raise ValueError
    except (TypeError, ValueError):
        hint = "runs are named before an option without a value"
        raise InputError.of(str(info.field_name), value, "an integer at least 2", hint) from None
    return number


TraceDraws = Annotated[int, BeforeValidator(_trace_draws, json_schema_input_type=int)]
Entropy = Annotated[float, _strict("mean entropy in nats that the logits are scaled to", gt=0)]
StepSize = Annotated[float, _strict("of the sampler; none is adapted in burn-in", gt=0)]
Chains = Annotated[
    int, _strict("independent chains; on a GPU, or of a small network, computed together", ge=2)
]
Draws = Annotated[int, _strict("kept per chain after burn-in", ge=8)]
BurnIn = Annotated[int, _strict("steps of each chain before its draws, not counted", ge=0)]
BatchSize = Annotated[int, _strict("samples per gradient and chain", ge=1)]
PreconditionerRank = Annotated[
    int, _strict("leading curvature directions to precondition; 0 is none", ge=0)
]
Precision = Annotated[
    Literal["auto", "float32", "bfloat16"],
    Field(description="of convolutions: float32, bfloat16, or auto, the faster here"),
]
Gauge = Annotated[
    Literal["auto", "balanced", "none"],
    Field(description="scale of hidden units: balanced, none (as given), or auto"),
]
Params = Annotated[
    str | tuple[str, ...],
    Field(description="shell patterns of the parameters left free, as trunk.*; none is all"),
]
Seed = Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)]


class Seeded(SettingsModel):
    """A seed given by itself, checked."""

    seed: Seed


class Settings(SettingsModel):
    """All of `estimate_llc` but the policy, the states and the loss; that says what each is.

    Raises:
        InputError: a setting is out of its range.
    """

    renamed: ClassVar = {"whitening": "preconditioner_rank"}

    sampler: Sampler | None = None
    nbeta: NBeta | None = None
    localization: Localization = 1.0
    chains: Chains = 4
    draws: Draws | None = None
    burn_in: BurnIn = 200
    batch_size: BatchSize | None = None
    params: Params | None = None
    preconditioner_rank: PreconditionerRank | None = None
    precision: Precision = "auto"
    gauge: Gauge = "auto"
    orthogonal: bool = False
    """hold w - w* orthogonal to the loss's gradient at w*, for points that are no minima"""
    distinct_actions: tuple[tuple[int, ...], ...] | None = None
    """classes of actions that do the same, merged before the loss; none keeps all apart"""
    match_entropy: Entropy | None = None


Positive = Annotated[float, Field(gt=0)]


class Varied(SettingsModel):
    """What a calibration tries: what people choose of `rl_slt.calibration.calibrate.Sweep`."""

    localizations: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1e3, 3e3, 1e4)
    """at each, policies are estimated with the step size as adapted (or given) and half of it"""
    nbeta_factors: tuple[Positive, ...] = (0.5, 2.0)
    """times the nbeta of the settings, tried at the localization recommended"""
    step_sizes: tuple[Positive, ...] = ()
    """tried there as well, in the sampler's own (preconditioned) coordinates"""
    exact: bool = False
    """compare there with exact sampling (full-batch HMC): minutes for each"""
    exact_states: Annotated[int, Field(ge=2)] | None = None
    """states of that comparison, which goes over all of them at each step; none is all"""


# A convolutional policy of 10^5 weights. At relative temperature 50 the ridge gamma / nbeta is 1 %
# of the curvature's trace: directions that carry more than that share of it count. The localizer's
# radius is 0.3 of the weights' norm, for the posterior to be local; the estimate hardly depends on
# it: at 0.2, 0.3, 0.5 and 1 an agent of no study had 23.9, 23.7, 23.5 and 24.0, each with a
# standard error of 0.25, which is what 80 steps of burn-in and 200 draws give.
POLICY_CNN = Settings(
    nbeta="relative:50", localization="relative:0.3", draws=200, burn_in=80, batch_size=64
)
"""Settings for convolutional policies of some 10^5 weights: relative temperature 50."""
