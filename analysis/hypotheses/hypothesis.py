"""What a hypothesis says: a claim about series of the LLC and of goal probes over runs."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from rl_slt import InputError, SettingsModel

Name = Annotated[str, Field(min_length=1)]


# numbers of table llc that say which estimate a row is of, and how it was made
LABELS = frozenset(
    ("seed", "step", "dose", "version", "n_states", "chains", "draws", "burn_in", "chain_seed",
     "step_size", "matched_entropy", "seconds", "threads")
)  # fmt: skip


class Hypothesis(SettingsModel):
    """One hypothesis, as in `[[hypothesis]]` of a study's file.

    Raises:
        InputError: a value is wrong. What its kind needs is checked by `check_together`.
    """

    name: Name
    """the claim in words"""
    role: Literal["primary", "secondary", "exploratory"] = "secondary"
    """primary (one at most, tested at 5 % on its own), secondary (corrected together) or \
exploratory"""
    kind: Literal["arms", "dose", "seeds", "course", "prediction"]
    """arms, dose, seeds, course or prediction"""
    series: Name | None = None
    """a column of table llc; left out where the kind needs no metric alone, llc"""
    metric: Name | None = None
    """PROBE/METRIC of table probes, where the kind needs one"""
    arms: tuple[Name, ...] | None = None
    """arms to compare in the order of the claimed rise, or to look at; left out, all"""
    doses: dict[str, float] | None = None
    """number of each arm for kind dose; left out, `dose` of the study's arms"""
    direction: Literal["greater", "less", "two-sided"] = "two-sided"
    """greater, less or two-sided"""
    statistic: Literal["linear", "rank", "link"] = "linear"
    """linear, rank (of ranks), or for kind dose link (of series and metric over the doses)"""
    given: tuple[Name, ...] = ()
    """controls held fixed: columns of tables llc and covariates, as entropy, logit_scale, \
weight_norm, return"""
    paired: bool | None = None
    """whether arms are compared by seed; left out, where all have the same seeds, at least six"""
    loss: Name | None = None
    """of the LLC series; left out, kl where there is one"""
    states: Name | None = None
    """state set of the LLC series; left out, frozen where there is one"""
    reference: Name = "self"
    """reference of the LLC series"""
    params: Name = "all"
    """free parameters of the LLC series"""
    matched_entropy: float | None = None
    """of an LLC series that is a control at that entropy"""
    relative_temperature: Annotated[float, Field(gt=0)] | None = None
    """resolution K at which the profile has the LLC; left out, the LLC of table llc"""
    step: Annotated[int, Field(ge=0)] | Literal["last"] = "last"
    """checkpoint: last, or its environment step"""
    horizon: Annotated[int, Field(ge=1)] = 1
    """checkpoints ahead, for kind prediction"""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.metric is not None and not all(self.metric.partition("/")):
            raise InputError.of("metric", self.metric, "PROBE/METRIC, as behind/coin_rate")
        for name, columns in (("series", [self.series]), ("given", self.given)):
            if labels := sorted(LABELS & {*columns}):
                raise InputError.of(name, labels[0], "a measure, as llc or entropy",
                                    "it says which estimate a row is of")  # fmt: skip
        if self.arms is not None and len(set(self.arms)) < len(self.arms):
            raise InputError.of("arms", list(self.arms), "different arms")
        if self.statistic == "link" and self.kind != "dose":
            raise InputError.of("statistic", "link", f"linear or rank for kind {self.kind}")
        return self

    @property
    def pair(self) -> tuple[str, str]:
        """Probe and metric."""
        probe, _, metric = (self.metric or "").partition("/")
        return probe, metric


def need_metric(hypothesis: Hypothesis) -> None:
    """Raise InputError where a kind that links the LLC to a metric has none."""
    if hypothesis.metric is None:
        raise InputError.of("metric", None, f"PROBE/METRIC for kind {hypothesis.kind}")
