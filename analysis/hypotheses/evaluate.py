"""The table `hypotheses`: what the runs of a study say of each claim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.hypotheses.design import Design, Untestable, join_notes
from analysis.hypotheses.hypothesis import Hypothesis
from analysis.hypotheses.kinds import KINDS
from analysis.hypotheses.measures import Measures
from analysis.hypotheses.parse import parse_hypotheses
from analysis.hypotheses.protocol import Test
from analysis.permutations import (
    MIN_RUNS,
    TOLERANCE,
    Direction,
    critical_value,
    extremes,
    q_values,
    smallest_p,
    spread,
    step_down,
)
from analysis.schema import ALL_RUNS, conform
from rl_slt import InputError

Array = npt.NDArray[np.float64]
LEVEL = 0.05


def evaluate_hypotheses(
    llc: pd.DataFrame,
    probes: pd.DataFrame,
    hypotheses: Sequence[Hypothesis | Mapping[str, Any]],
    *,
    covariates: pd.DataFrame | None = None,
    profile: pd.DataFrame | None = None,
    arms: Sequence[str] = (),
    strict: bool = True,
) -> pd.DataFrame:
    """What the runs of a study say of its hypotheses; the training seed is the sample.

    Agents are permuted as a whole: within arms for links (kinds `seeds`, `course`, `prediction`),
    over arms for differences and trends (`arms`, `dose`). All arrangements are tried where they are
    at most 15,000, else as many are drawn with a fixed seed; the observed one counts, so
    `p = (1 + exceedances) / (1 + B)`. The primary hypothesis is tested on its own; secondary ones
    are corrected by the step-down max-T procedure over the same arrangements (Westfall & Young
    1993); so are, among themselves, exploratory ones: those called so, and all further pairs of an
    LLC series and a probe metric across seeds, from 5 runs on.

    Args:
        llc: table `llc` of all runs; columns that are not needed may be missing.
        probes: table `probes`.
        hypotheses: settings of `Hypothesis`, as in `[[hypothesis]]` of a study's file.
        covariates: table `covariates`, for controls (`given`) and kind `prediction`.
        profile: table `profile`, for hypotheses at a `relative_temperature`.
        arms: arms that may be named although they have no runs yet.
        strict: raise InputError where the tables lack what a hypothesis names; else its row has
            the reason.

    Returns:
        One row per hypothesis, in their order, then exploratory pairs: hypothesis, role, statistic,
        value, ci_low, ci_high (95 %), p_value, p_adjusted (at 5 % familywise in its role), n
        (runs), smallest_effect (true value found with 80 % at its corrected level, for Gaussian
        values), kind, direction, series, metric, q_value (Benjamini & Hochberg, of exploratory rows
        only) and message: why a number is missing, which runs are left out, what the design cannot
        reach.

    Raises:
        InputError: a hypothesis is wrong, or names what the tables lack.

    Example:
        >>> claim = {"name": "more displaced coins, higher LLC", "role": "primary", "kind": "dose",
        ...          "doses": {"a": 0.0, "b": 0.1, "c": 0.3}, "direction": "greater"}
        >>> evaluate_hypotheses(llc, probes, [claim])  # doctest: +SKIP
    """
    plans = [_directed(plan) for plan in parse_hypotheses(hypotheses)]
    data = Measures(llc, probes, covariates, arms, profile)
    named = len(plans)
    plans += _further_pairs(plans, data)
    rows: list[dict[str, object]] = []
    tests: dict[int, Test] = {}
    for k, plan in enumerate(plans):
        rows.append(_blank(plan))
        try:
            tests[k] = KINDS[plan.kind].test(plan, data)
        except Untestable as reason:
            rows[k]["message"] = str(reason)
        except InputError as error:
            if strict and k < named:
                raise InputError(f"hypothesis {plan.name!r}: {error}") from None
            rows[k]["message"] = str(error)
    for role in ("primary", "secondary", "exploratory"):
        family = {k: test for k, test in tests.items() if plans[k].role == role}
        for k, found in _judge(family, plans).items():
            rows[k] |= found
    frame = pd.DataFrame(rows, columns=[*_blank(_ANY), "run", "arm"])
    exploratory = frame["role"] == "exploratory"
    frame["q_value"] = q_values(frame["p_value"].astype("float64").where(exploratory))
    frame = conform("hypotheses", frame.assign(run=ALL_RUNS, arm=ALL_RUNS))
    return frame.drop(columns=["run", "arm", "version"])


def _directed(plan: Hypothesis) -> Hypothesis:
    """The hypothesis with the only direction that its kind has."""
    one_sided = KINDS[plan.kind].one_sided
    return plan.model_copy(update={"direction": "greater"}) if one_sided else plan


def _judge(family: Mapping[int, Test], plans: Sequence[Hypothesis]) -> dict[int, dict[str, object]]:
    """Numbers of the tests of one role, by their rows, corrected for each other."""
    groups: dict[tuple[Design, str, Direction], list[int]] = {}
    for k, test in family.items():
        groups.setdefault((test.design, test.statistic, plans[k].direction), []).append(k)
    nulls = {k: test.null(test.design.orders) for k, test in family.items()}
    blocks: dict[Design, dict[int, Array]] = {}
    spreads: dict[int, float] = {}
    for (design, _, direction), rows in groups.items():
        table = np.column_stack([nulls[k] for k in rows])
        spreads |= dict.fromkeys(rows, spread(table))
        centers = np.array([family[k].center for k in rows], dtype=float)
        for k, z in zip(rows, extremes(table, direction, centers).T, strict=True):
            if np.isfinite(z[0]):
                blocks.setdefault(design, {})[k] = z
    tables = [np.column_stack([*of.values()]) for of in blocks.values()]
    critical = critical_value(tables, LEVEL) if tables else np.nan
    corrected = {
        k: float(p)
        for of, adjusted in zip(blocks.values(), step_down(tables) if tables else (), strict=True)
        for k, p in zip(of, adjusted, strict=True)
    }
    found: dict[int, dict[str, object]] = {}
    for k, test in family.items():
        low, high = test.interval(nulls[k])
        found[k] = row = {
            "statistic": test.statistic, "value": test.value, "ci_low": low, "ci_high": high,
            "n": len(test.design.runs), "message": test.note,
        }  # fmt: skip
        if k not in corrected:
            row["message"] = join_notes(
                test.note, "all arrangements of these runs give the same value"
            )
            continue
        z = blocks[test.design][k]
        p_value = float(np.mean(z >= z[0] - TOLERANCE))
        row |= {"p_value": p_value, "p_adjusted": corrected[k]}
        middle = float(np.nanmean(nulls[k])) if test.center is None else test.center
        reach = middle + critical * spreads[k]
        row["smallest_effect"] = test.smallest_effect(nulls[k], reach)
        if np.isnan(critical):
            text = (f"with these values this design cannot reach {LEVEL:.0%}: its smallest p is "
                    f"{smallest_p(tables):.2g}")  # fmt: skip
            row["message"] = join_notes(test.note, text)
    return found


def _further_pairs(plans: Sequence[Hypothesis], data: Measures) -> list[Hypothesis]:
    """Every LLC series with every metric across seeds, but for those that a hypothesis links."""
    if len(data.arm) < MIN_RUNS or len(set(data.arm.values())) == len(data.arm):
        return []
    linked = {_key(plan, data) for plan in plans if plan.kind == "seeds" and plan.step == "last"}
    found = []
    for series in data.all_series():
        for metric in data.all_metrics():
            name = f"{_title(series)} with {metric} across seeds"
            plan = Hypothesis(name=name, role="exploratory", kind="seeds", metric=metric, **series)
            if _key(plan, data) not in linked:
                found.append(plan)
    return found


def _title(series: Mapping[str, Any]) -> str:
    """An LLC series in words, what is as usual left out."""
    reference, params, entropy = (series[k] for k in ("reference", "params", "matched_entropy"))
    parts = {
        "/".join(filter(None, (series["loss"], series["states"]))) or "llc": True,
        f"to {reference}": reference != "self",
        f"of {params}": params != "all",
        f"at matched entropy {entropy or 0:.3g} nats": entropy is not None,
    }
    return " ".join(part for part, said in parts.items() if said)


def _key(plan: Hypothesis, data: Measures) -> tuple[object, ...]:
    loss, states = data.usual(plan)
    series = plan.series or "llc"
    more = (plan.reference, plan.params, plan.matched_entropy, plan.relative_temperature)
    return series, loss, states, *more, plan.metric


def _blank(plan: Hypothesis) -> dict[str, object]:
    """A row without numbers."""
    numbers = ("value", "ci_low", "ci_high", "p_value", "p_adjusted", "smallest_effect")
    entropy, resolution = plan.matched_entropy, plan.relative_temperature
    parts = (
        plan.loss, plan.states, plan.series or (None if plan.metric else "llc"),
        None if entropy is None else f"matched={entropy:.3g}",
        None if resolution is None else f"relative:{resolution:.3g}",
    )  # fmt: skip
    return {
        "hypothesis": plan.name, "role": plan.role, "statistic": plan.kind,
        **dict.fromkeys(numbers, np.nan), "n": 0, "kind": plan.kind, "direction": plan.direction,
        "series": "/".join(filter(None, parts)), "metric": plan.metric or "", "q_value": np.nan,
        "message": "",
    }  # fmt: skip


_ANY = Hypothesis(name="any", kind="dose")
