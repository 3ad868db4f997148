"""The analysis stage: derived tables of every run and over runs, from tables and checkpoints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from analysis import (
    Hypothesis,
    associate,
    change_stderr,
    current_setting,
    detect_in_all,
    evaluate_hypotheses,
    fixed_hypotheses,
    goal_rows,
    in_time,
    path_dependence,
    predict_goal,
    probe_stderr,
    schema,
    series_parts,
    staircase,
)
from analysis.probes import APART, FIXED_STATE_GOALS, SCORES, main_metric
from rl_slt.errors import InputError
from rl_slt.pipeline.disk.layout import Run, Study
from rl_slt.pipeline.disk.locks import wait_for_lock
from rl_slt.pipeline.disk.store import clear_leftovers, read_table, write_table
from rl_slt.pipeline.engine.jobs import Engine
from rl_slt.pipeline.plan.study import LLCPlan
from rl_slt.pipeline.stages import covariates
from rl_slt.threads import one_thread

# What a run's final goal is read from: the first of these that was measured.
FINAL = (("suite", "coin_seeking"), ("behind", "coin_rate"), ("suite", "preference"),
         ("ground", "coin_rate"), (APART, main_metric(APART)))  # fmt: skip


class DamagedTable(InputError):
    """A table that the analysis needs cannot be read, or lacks columns; nothing was written."""


@one_thread()
def analyse_study(study: Study, engine: Engine | None = None) -> None:
    """Write the derived tables of every run, then the tables over all runs.

    Commands that end at the same moment take turns: the last to write has seen all tables.

    Args:
        study: the study.
        engine: where checkpoints are measured; None is here.

    Raises:
        DamagedTable: before anything is written.
    """
    with wait_for_lock(study.path, "analyse"):
        runs = study.runs
        clear_leftovers(study.path)
        _check_tables(runs)
        for run in runs:
            clear_leftovers(run.path)
        try:  # the study's own settings of the LLC, whose frozen states the covariates share
            plan = LLCPlan.build(study.settings("llc"), "llc")
        except InputError:  # written by another version, or by hand
            plan = LLCPlan()
        covariates.collect_runs(runs, plan, engine)
        _derive(runs)
        for name in schema.TABLES:
            if name != "llc_draws" and name not in schema.OVER_RUNS:  # draws stay with their runs
                write_table(name, _over_runs(runs, name), study)
        tables = [_over_runs(runs, name) for name in ("llc", "probes", "covariates")]
        arms = list(study.config.get("arms") or ())
        found = over_runs(
            current_setting(tables[0]),
            *tables[1:],
            profile=_over_runs(runs, "profile"),
            hypotheses=_claims(study),
            arms=arms,
        )
        for name, frame in found.items():
            write_table(name, frame, study)


def _claims(study: Study) -> tuple[Hypothesis, ...]:
    """What was named when the study started, and what was named later as exploratory."""
    file, kept = study.path / "study.toml", study.config.get("fixed")
    sha256 = kept.get("sha256") if isinstance(kept, dict) else None
    fixed = fixed_hypotheses(file.read_bytes() if file.is_file() else b"", sha256)
    return in_time(fixed, study.config.get("hypothesis") or [])


@one_thread()
def analyse_run(run: Run) -> None:
    """Write the derived tables of one run: transitions, associations, covariates, staircase.

    Raises:
        DamagedTable: before anything is written.
    """
    with wait_for_lock(run.path, "analyse"):
        _check_tables([run])
        clear_leftovers(run.path)
        covariates.collect_runs([run])
        _derive([run])


def _check_tables(runs: Sequence[Run]) -> None:
    names = set(schema.TABLES) - {"llc_draws", "covariates", *schema.DERIVED}
    for run in runs:
        for name in sorted(names):
            try:
                table_of(run, name)
            except InputError as error:
                raise DamagedTable(str(error)) from None


def _derive(runs: Sequence[Run]) -> None:
    """The tables of each run; transitions at one false discovery rate over the series of all."""
    read = [(run, current_setting(table_of(run, "llc")), goal_rows(table_of(run, "probes")))
            for run in runs]  # fmt: skip
    transitions = detect_in_all(
        (run.name, *series) for run, *of in read for series in series_of(*of)
    )
    for run, llc, probes in read:
        write_table("transitions", transitions[transitions["run"] == run.name], run)
        write_table("associations", associate(llc, probes), run)
        write_table("staircase", staircase(llc), run)


def over_runs(
    llc: pd.DataFrame,
    probes: pd.DataFrame,
    covariates: pd.DataFrame,
    *,
    profile: pd.DataFrame | None = None,
    hypotheses: Sequence[Hypothesis | Mapping[str, Any]] = (),
    arms: Sequence[str] = (),
) -> dict[str, pd.DataFrame]:
    """The tables named in `schema.OVER_RUNS`: statistics with the training seed as the sample.

    Args:
        llc: table `llc` of all runs, one setting of each series.
        probes: table `probes`.
        covariates: table `covariates`, perhaps empty.
        profile: table `profile`, for hypotheses at other resolutions.
        hypotheses: what the study claims; further pairs are exploratory.
        arms: of the study, with runs or without.

    Returns:
        Table by name; a table has no rows where the data do not reach (no probes), and rows with a
        `note` instead of numbers where runs are too few.
    """
    pairs = goal_pairs(probes)
    known = pd.Series(list(zip(probes["probe"], probes["metric"], strict=True)), probes.index)
    shown = probes[known.isin(pairs)] if len(probes) else probes
    own = llc[llc["reference"].fillna("self").isin(("", "self"))]
    goal = final_goal(pairs)
    found = {
        "predictions": predict_goal(own, shown, covariates, pairs=pairs, goal=goal),
        "path_dependence": schema.empty("path_dependence")
        if goal is None or shown["step"].nunique() < 2
        else path_dependence(own, shown, *goal),
        "hypotheses": evaluate_hypotheses(
            llc,
            probes,
            hypotheses,
            covariates=covariates,
            profile=profile,
            arms=arms,
            strict=False,
        ),
    }
    every = {"run": schema.ALL_RUNS, "arm": schema.ALL_RUNS}
    return {"associations": associate(llc, goal_rows(probes))} | {
        name: schema.conform(name, frame.assign(**every)) for name, frame in found.items()
    }


def goal_pairs(probes: pd.DataFrame) -> list[tuple[str, str]]:
    """What a goal is read from, where it has values.

    These are the scores over the suite, each probe's main metric, and the goals among the metrics
    of the fixed-state probes.
    """
    known = probes.dropna(subset=["value"])
    found = []
    for probe, rows in known.groupby("probe", sort=True):
        metrics = set(rows["metric"])
        fixed = [metric for of, metric in FIXED_STATE_GOALS if of == probe]
        wanted = SCORES if probe == "suite" else (main_metric(str(probe)), *fixed)
        found += [(str(probe), str(metric)) for metric in wanted if metric in metrics]
    return found


def final_goal(pairs: list[tuple[str, str]]) -> tuple[str, str] | None:
    """The pair that a run's final goal is read from; None where none of them was measured."""
    return next((pair for pair in FINAL if pair in pairs), None)


def series_of(
    llc: pd.DataFrame, probes: pd.DataFrame
) -> Iterator[tuple[str, pd.Series, pd.Series, pd.Series | None]]:
    """Every series of a run that is searched for transitions: name, steps, values, error.

    A failed estimate is no point of its series.
    """
    names = [":".join(["llc", *filter(None, key)]) for key in series_parts(llc).to_numpy()]
    llc = llc.assign(series=names, stderr=change_stderr(llc)).sort_values("step")
    for name, rows in llc.groupby("series", sort=True):
        yield str(name), rows["step"], rows["llc"], rows["stderr"]
    probes = probes.assign(stderr=probe_stderr(probes)).sort_values("step")
    for (probe, metric), rows in probes.groupby(["probe", "metric"], sort=True):
        yield f"probe:{probe}:{metric}", rows["step"], rows["value"], rows["stderr"]


def table_of(run: Run, name: str) -> pd.DataFrame:
    """A table of the run; one without rows where it is not there yet.

    A run may have been copied, with tables that name the first: the folder counts.
    """
    path = run.tables / f"{name}.parquet"
    frame = read_table(path) if path.exists() else schema.empty(name)
    return schema.conform(name, frame.assign(run=run.name, arm=run.arm))


def _over_runs(runs: Sequence[Run], name: str) -> pd.DataFrame:
    frames = [frame for frame in (table_of(run, name) for run in runs) if len(frame)]
    return pd.concat(frames, ignore_index=True) if frames else schema.empty(name)
