"""Statistics over runs, with the training seed as the unit: the tables of a study."""

from __future__ import annotations

import pandas as pd

from analysis import (
    INNER_GOALS,
    associate,
    compare_arms,
    goal_rows,
    path_dependence,
    predict_goal,
    schema,
    staircase,
)
from analysis.report import SCORES, main_metric

# What a run's final goal is read from: the first of these that was measured.
FINAL = (("suite", "coin_seeking"), ("behind", "coin_rate"), ("suite", "preference"),
         ("ground", "coin_rate"))  # fmt: skip


def over_runs(
    llc: pd.DataFrame, probes: pd.DataFrame, covariates: pd.DataFrame
) -> dict[str, pd.DataFrame]:
    """The tables named in `schema.OVER_RUNS`, from the tables of all runs.

    Args:
        llc: table `llc`, one setting of each series.
        probes: table `probes`.
        covariates: table `covariates`, perhaps empty.

    Returns:
        Table by name; a table has no rows where the data do not reach (no probes, no estimates to
        one fixed reference), and rows with a `note` instead of numbers where runs are too few.
    """
    pairs = goal_pairs(probes)
    shown = _of_pairs(probes, pairs)
    own = llc[llc["reference"].fillna("self").isin(("", "self"))]
    return {
        "associations": associate(llc, goal_rows(probes)),
        "predictions": _marked("predictions", predict_goal(own, shown, covariates, pairs=pairs)),
        "path_dependence": _marked("path_dependence", _paths(own, shown)),
        "free_energy": _marked("free_energy", compare_arms(staircase(llc))),
    }


def goal_pairs(probes: pd.DataFrame) -> list[tuple[str, str]]:
    """What a goal is read from, where it has values.

    These are the scores over the suite, each probe's main metric, and one metric each of the
    counterfactual and the internal probe.
    """
    known = probes.dropna(subset=["value"])
    found = []
    for probe, rows in known.groupby("probe", sort=True):
        metrics = set(rows["metric"])
        main = main_metric(str(probe), metrics)
        inner = [metric for of, metric in INNER_GOALS if of == probe]
        wanted = SCORES if probe == "suite" else (main, *inner)
        found += [(str(probe), str(metric)) for metric in wanted if metric in metrics]
    return found


def final_goal(pairs: list[tuple[str, str]]) -> tuple[str, str] | None:
    """The pair that a run's final goal is read from; None where none of them was measured."""
    return next((pair for pair in FINAL if pair in pairs), None)


def _paths(llc: pd.DataFrame, probes: pd.DataFrame) -> pd.DataFrame:
    goal = final_goal(goal_pairs(probes))
    if goal is None or probes["step"].nunique() < 2:
        return schema.empty("path_dependence")
    return path_dependence(llc, probes, *goal)


def _of_pairs(probes: pd.DataFrame, pairs: list[tuple[str, str]]) -> pd.DataFrame:
    keys = pd.Series(list(zip(probes["probe"], probes["metric"], strict=True)), index=probes.index)
    return probes[keys.isin(pairs)] if len(probes) else probes


def _marked(table: str, frame: pd.DataFrame) -> pd.DataFrame:
    return schema.conform(table, frame.assign(run=schema.ALL_RUNS, arm=schema.ALL_RUNS))
