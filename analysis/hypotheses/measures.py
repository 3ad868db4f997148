"""Tables as measures of runs: one value or one course of each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.hypotheses.design import Untestable, join_notes
from analysis.hypotheses.hypothesis import LABELS, Hypothesis
from analysis.probes.scores import one_mode
from analysis.schema import only_defined
from analysis.series import (
    MAIN_LOSS,
    SERIES,
    arms_of_runs,
    current_setting,
    goal_rows,
    is_shared,
    series_parts,
    with_columns,
)
from rl_slt import InputError

Array = npt.NDArray[np.float64]
_TEXTS = ("loss", "states", "reference", "params", "status")


class Measures:
    """Values of the LLC, of probes and of controls, by run and step.

    Args:
        llc: table `llc`; missing columns count as empty.
        probes: table `probes`.
        covariates: table `covariates`, for controls, and for where runs ended by themselves.
        arms: names of arms that may have no runs yet.
        profile: table `profile`, for LLCs at a `relative_temperature`.
    """

    def __init__(
        self,
        llc: pd.DataFrame,
        probes: pd.DataFrame,
        covariates: pd.DataFrame | None = None,
        arms: Sequence[str] = (),
        profile: pd.DataFrame | None = None,
    ) -> None:
        self.covariates = pd.DataFrame() if covariates is None else covariates
        self.ends = _ends(self.covariates)
        llc, probes = (  # a table without steps is of one checkpoint
            frame.assign(step=0) if len(frame) and "step" not in frame else frame
            for frame in (llc, probes)
        )
        llc = with_columns("llc", llc, ["run"])
        probes = with_columns("probes", probes, ["run", "probe", "metric", "value"])
        self.probes = one_mode(probes[probes["step"].notna()]) if len(probes) else probes
        self.probes = self.probes.reset_index(drop=True)
        self._rows_of = self.probes.groupby(["probe", "metric"]).groups if len(self.probes) else {}
        self._known: dict[tuple[object, ...], Course] = {}
        self._llc = _whole(llc)
        self._parts = series_parts(self._llc).assign(relative_temperature="")
        if profile is not None and len(profile):
            more = _whole(profile, "relative_temperature")
            at = more["relative_temperature"].map("{:.3g}".format)
            parts = series_parts(more).assign(relative_temperature=at)
            self._parts = pd.concat([self._parts, parts], ignore_index=True)
            self._llc = pd.concat([self._llc, more], ignore_index=True)
        known = [frame for frame in (llc, probes) if len(frame)]
        self.arm = arms_of_runs(*known)
        self.runs = sorted(self.arm)
        self.arms = list(dict.fromkeys([*self.arm.values(), *arms]))
        self.seed = _first_of(known, "seed")
        self.dose = {self.arm[run]: dose for run, dose in _first_of(known, "dose").items()}

    def usual(self, hypothesis: Hypothesis) -> tuple[str, str]:
        """Loss and state set of a hypothesis' LLC series, the usual ones where it names none."""
        known = list(dict.fromkeys(self._parts["loss"]))
        loss = _usual("loss", known) if hypothesis.loss is None else hypothesis.loss
        known = list(dict.fromkeys(self._parts.loc[self._parts["loss"] == loss, "states"]))
        states = _usual("states", known) if hypothesis.states is None else hypothesis.states
        return loss, states

    def all_series(self) -> list[dict[str, Any]]:
        """What names each LLC series, in settings of `Hypothesis`; not those of profiles."""
        matched = self._llc.get("matched_entropy", pd.Series(np.nan, self._llc.index))
        columns = self._parts.assign(matched_entropy=matched.astype("float64"))
        columns = columns[self._parts["relative_temperature"] == ""]
        return [
            {"loss": row["loss"] or None, "states": row["states"] or None,
             "reference": row["reference"] or "self", "params": row["params"] or "all",
             "matched_entropy": None if math.isnan(h := row["matched_entropy"]) else float(h)}
            for row in columns.drop_duplicates().to_dict("records")
        ]  # fmt: skip

    def all_metrics(self) -> list[str]:
        """Probe and metric of everything that a goal is read from."""
        if not len(self.probes):
            return []
        rows = goal_rows(self.probes).drop_duplicates(["probe", "metric"])
        return sorted(f"{row.probe}/{row.metric}" for row in rows.itertuples())

    def series(self, hypothesis: Hypothesis, column: str | None = None) -> Course:
        """The LLC series, or another column of its rows; NaN where not defined.

        Raises:
            InputError: there is no such column, loss or state set.
            Untestable: there are no rows.
        """
        column = column or hypothesis.series or "llc"
        h = hypothesis
        key = (h.loss, h.states, h.reference, h.params, h.matched_entropy, h.relative_temperature,
               column)  # fmt: skip
        if key in self._known:
            return self._known[key]
        if self._llc.empty:
            raise Untestable("no LLC estimates")
        columns = [c for c in self._llc if c not in LABELS]
        numeric = [str(c) for c in columns if pd.api.types.is_numeric_dtype(self._llc[c])]
        if column not in numeric:
            raise InputError.of("series", column, f"one of {', '.join(numeric)}")
        rows = pd.Series(True, self._llc.index)
        matched, resolution = hypothesis.matched_entropy, hypothesis.relative_temperature
        loss, states = self.usual(hypothesis)
        wanted = {
            "loss": loss,
            "states": states,
            "reference": "" if hypothesis.reference == "self" else hypothesis.reference,
            "params": "" if hypothesis.params == "all" else hypothesis.params,
            "matched_entropy": "" if matched is None else f"matched={matched:.3g}",
            "relative_temperature": "" if resolution is None else f"{resolution:.3g}",
        }
        for name, value in wanted.items():
            known = list(dict.fromkeys(self._parts.loc[rows, name]))
            if value not in known:
                raise InputError.of(name, value or "the usual", f"one of {_list(known)}")
            rows &= self._parts[name] == value
        self._known[key] = self._course(self._llc[rows], column)
        return self._known[key]

    def metric(self, hypothesis: Hypothesis) -> Course:
        """The metric.

        Raises:
            InputError: there is no such probe and metric.
            Untestable: there are no rows.
        """
        if not len(self.probes):
            raise Untestable("no probe results")
        probe, metric = hypothesis.pair
        if (probe, metric) not in self._rows_of:
            near = self.probes[self.probes["probe"] == probe]
            near = near if len(near) else self.probes
            names = zip(near["probe"], near["metric"], strict=True)
            known = list(dict.fromkeys(f"{of}/{what}" for of, what in names))
            raise InputError.of("metric", hypothesis.metric, f"one of {_list(known)}")
        key = (probe, metric)
        if key not in self._known:
            self._known[key] = self._course(self.probes.loc[self._rows_of[key]], "value")
        return self._known[key]

    def control(self, name: str, hypothesis: Hypothesis) -> Course:
        """A control, of the rows of the LLC series where it is known there, else a covariate.

        Raises:
            InputError: there is no such column.
        """
        if name in self._llc and self._llc[name].notna().any():
            own = hypothesis.model_copy(update={"relative_temperature": None})
            return self.series(own, name)  # a profile's rows have no controls
        if name in self.covariates and {"run", "step"} <= set(self.covariates):
            return self._course(self.covariates, name)
        columns = [*self._llc, *self.covariates]
        known = [c for c in dict.fromkeys(columns) if c not in ("run", "arm", "seed", "step")]
        raise InputError.of("given", name, f"among {_list(known)}")

    def suspects(
        self,
        hypothesis: Hypothesis,
        runs: Sequence[str] | npt.NDArray[np.str_],
        along: bool = False,
    ) -> str:
        """A note of LLCs of these runs that did not pass their checks, though their test has them.

        To leave them out would be a choice among runs that their values may have a part in.

        Args:
            hypothesis: which LLC series, and at which checkpoint.
            runs: of the test.
            along: whether the test is over all checkpoints.
        """
        course = self.series(hypothesis, "llc")
        flags = np.where(np.isfinite(course.table), course.unsure, np.nan)
        if not along:
            flags = replace(course, table=flags).at(hypothesis.step)
        flags = flags[np.isin(self.runs, runs)]
        unsure, known = int(np.nansum(flags)), int(np.isfinite(flags).sum())
        return f"{unsure} of its {known} LLCs did not pass their checks" if unsure else ""

    def complete(self, hypothesis: Hypothesis, **columns: Array) -> Rows:
        """The runs of the hypothesis' arms that have all values, and a note of those left out.

        Args:
            hypothesis: whose arms, all by default, and whose controls are added.
            columns: values of all runs, `[runs]`, NaN where there is none.

        Raises:
            InputError: there is no such arm or control.
        """
        for arm in hypothesis.arms or ():
            if arm not in self.arms:
                raise InputError.of("arms", arm, f"among {_list(self.arms)}")
        step = hypothesis.step
        held = [self.control(name, hypothesis).at(step) for name in hypothesis.given]
        values = np.array([*columns.values(), *held])
        whole = np.isfinite(values).all(axis=0)
        arms = np.array([self.arm[run] for run in self.runs])
        asked = np.isin(arms, hypothesis.arms) if hypothesis.arms else np.ones(len(arms), bool)
        lost = [run for run, out in zip(self.runs, asked & ~whole, strict=True) if out]
        note = f"left out without a value: {_list(lost)}" if lost else ""
        rows = Rows(
            np.array(self.runs), arms, values[: len(columns)], values[len(columns) :].T, note
        )
        return rows.of(asked & whole)

    def _course(self, rows: pd.DataFrame, column: str) -> Course:
        place = {run: i for i, run in enumerate(self.runs)}
        runs = np.array([place[str(run)] for run in rows["run"]], dtype=int)
        own = rows["step"].to_numpy(dtype=int)
        steps = np.unique([*own, *self.ends.values()])
        at = np.searchsorted(steps, own)
        table = np.full((len(self.runs), len(steps)), np.nan)
        table[runs, at] = rows[column].to_numpy(dtype=float, na_value=np.nan)  # the latest counts
        arms = np.array([self.arm[run] for run in self.runs])
        last = np.full(len(self.runs), len(steps) - 1)
        for arm in set(arms[runs]):
            last[arms == arm] = at[arms[runs] == arm].max()
        ended = {self.arm[run] for run in self.ends if run in place}
        for run, i in place.items():
            if self.arm[run] in ended:  # those of its runs that did not are not done
                last[i] = np.searchsorted(steps, self.ends[run]) if run in self.ends else -1
        unsure = np.zeros(table.shape, bool)
        if "status" in rows:
            unsure[runs, at] = ~rows["status"].isin(("", "ok"))
        return Course(tuple(self.runs), steps, table, last, unsure)


@dataclass(frozen=True)
class Rows:
    """Runs with all values that a test needs.

    Attributes:
        runs: names, `[n]`.
        arms: of each run, `[n]`.
        values: `[columns, n]`.
        controls: `[n, k]`.
        note: which runs are left out.
    """

    runs: npt.NDArray[np.str_]
    arms: npt.NDArray[np.str_]
    values: Array
    controls: Array
    note: str

    def of(self, kept: npt.NDArray[np.bool_], note: str = "") -> Rows:
        """Those runs only."""
        texts = join_notes(self.note, note)
        return Rows(self.runs[kept], self.arms[kept], self.values[:, kept], self.controls[kept],
                    texts)  # fmt: skip


@dataclass(frozen=True)
class Course:
    """A measure of runs along training.

    Attributes:
        runs: names.
        steps: environment steps, `[t]`.
        table: `[runs, t]`, NaN where it is not defined.
        last: the place of the last step of each run's arm, or of the run's own end where a
            criterion ended its training, `[runs]`; -1 where runs of its arm so ended, but not it.
        unsure: where it is of an estimate that did not pass its checks, bool `[runs, t]`.
    """

    runs: tuple[str, ...]
    steps: npt.NDArray[np.int_]
    table: Array
    last: npt.NDArray[np.int_]
    unsure: npt.NDArray[np.bool_]

    def at(self, step: int | str) -> Array:
        """One value of each run, `[runs]`.

        A run that lacks the last step (its own, where a criterion ended its training, else that of
        its arm), or has no estimate there, has none: an earlier checkpoint does not stand in.

        Args:
            step: an environment step, or `last`.

        Raises:
            InputError: no run has that step.
        """
        if step == "last":
            values = self.table[np.arange(len(self.runs)), self.last]
            return np.where(self.last < 0, np.nan, values)
        place = int(np.searchsorted(self.steps, step))
        if place == len(self.steps) or self.steps[place] != step:
            raise InputError.of("step", step, f"last or one of {', '.join(map(str, self.steps))}")
        return np.asarray(self.table[:, place])


def apart(series: Course, metric: Course, step: int | str) -> str:
    """A note where the last steps of two measures differ in some run; empty where none does."""
    if step != "last":
        return ""
    known = series.last >= 0
    ends = zip(series.steps[series.last[known]], metric.steps[metric.last[known]], strict=True)
    differ = [pair for pair in ends if pair[0] != pair[1]]
    if not differ:
        return ""
    return (
        f"of different checkpoints: the series of step {differ[0][0]}, the metric of {differ[0][1]}"
    )


def _whole(llc: pd.DataFrame, *more: str) -> pd.DataFrame:
    """The estimates that count of table `llc`, with all columns that name a series.

    Args:
        llc: the table, or `profile`.
        more: columns that tell series apart, beside `SERIES`.
    """
    if not len(llc):
        return pd.DataFrame(columns=["run", "step", *_TEXTS])
    frame = llc.assign(**{name: "" for name in _TEXTS if name not in llc})
    frame = frame.assign(**{name: np.nan for name in ("llc", "llc_stderr") if name not in llc})
    return only_defined(current_setting(frame, (*SERIES, *more)))


def _usual(name: str, known: Sequence[str]) -> str:
    """The loss, or state set, that stands for the LLC where a hypothesis names none."""
    first = known[0] if known else ""
    if name == "loss":
        return MAIN_LOSS if MAIN_LOSS in known else first
    return next((states for states in known if is_shared(states)), first)


def _ends(covariates: pd.DataFrame) -> dict[str, int]:
    """The step at which each run ended by a criterion of its own, where it did."""
    if "final" not in covariates:
        return {}
    rows = covariates[covariates["final"].fillna(False).astype(bool)]
    return {str(run): int(step) for run, step in zip(rows["run"], rows["step"], strict=True)}


def _first_of(tables: Sequence[pd.DataFrame], column: str) -> dict[str, float]:
    """The value of a column of each run, where a table has it."""
    found: dict[str, float] = {}
    for table in tables:
        if column in table:
            known = table.dropna(subset=[column]).drop_duplicates("run")
            pairs = zip(known["run"], known[column], strict=True)
            found = {str(run): float(value) for run, value in pairs} | found
    return found


def _list(names: Sequence[str]) -> str:
    """Names with commas, the first twelve."""
    return ", ".join(map(str, names[:12])) + (", ..." if len(names) > 12 else "") or "none"
