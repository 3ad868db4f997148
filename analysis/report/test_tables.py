"""Transitions and associations as rows for people, with the null they are held against."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.probes import FIXED_STATE_GOALS
from analysis.report import labels, queries
from analysis.report.data import StudyData
from analysis.schema import ALL_RUNS
from analysis.transitions import settling_step

_MOST = 40
_MOST_RUNS = 6  # with more runs the statistics over runs are what counts


def transition_table(data: StudyData) -> dict[str, Any]:
    """Transitions of the series that the figures show, in the order of runs and steps.

    Returns:
        rows (at most 40), left (how many more the table holds), missing (why there are none),
        expected (how many of the series are to be expected false), errors (which series have
        errors that are too small, and what was done), watch (sentences of how early
        the warnings of `rl-slt watch` came).
    """
    table = data.table("transitions").dropna(subset=["run", "series", "step"])
    titles = shown_series(data)
    shown = table[table["series"].isin(list(titles))]
    shown = shown.sort_values(["run", "series", "step"])
    rows = [
        {
            "run": str(row["run"]),
            "series": titles[str(row["series"])],
            "kind": labels.text(row["kind"]),
            "step": labels.short(float(row["step"])),
            "from": labels.short(float(row["step_low"])),
            "to": labels.short(float(row["step_high"])),
            "change": "–" if pd.isna(row["change"]) else f"{row['change']:+.3g}",
            "note": labels.text(row.get("status", "")),
        }
        for row in shown.head(_MOST).to_dict("records")
    ]
    missing = "No transition was found in the series shown, or they were not searched."
    return {
        "rows": rows,
        "left": len(table) - len(rows),
        "missing": "" if rows else missing,
        "expected": expected_false(table),
        "errors": ALONE if len(data.runs) == 1 and rows else small_errors(table, titles),
        "watch": watch_leads(data),
    }


ALONE = (
    "With one run, nothing checks the errors that the estimates tell: were those of an LLC 1.5 "
    "times too small, 14 to 29 % of LLC series of 12 checkpoints without change would be said to "
    "change."
)


def expected_false(table: pd.DataFrame) -> str:
    """How many series passed the search for transitions, and how many of these by chance."""
    if table.empty or not {"q_value", "tested"} <= set(table):
        return ""
    series = table.drop_duplicates(["run", "series"]).dropna(subset=["q_value", "tested"])
    if series.empty:
        return ""
    found, tested = len(series), int(series["tested"].max())
    false = float(series["q_value"].max()) * found
    # far tails rest on Gaussian noise of the errors' size, which nobody can vouch for
    most = f"about {labels.number(false)}" if false >= 0.01 else "fewer than 0.01"
    return (
        f"Of {tested} series tested {found} change at a false discovery rate of 5 %: {most} of "
        "them are expected to be false."
    )


def small_errors(table: pd.DataFrame, titles: dict[str, str]) -> str:
    """Which series scatter more around their plateaus than their errors say; empty if none does."""
    if "error_scale" not in table:
        return ""
    wide = table[table["error_scale"] > 1.0].drop_duplicates("series")
    told = [f"{titles[row['series']]} {row['error_scale']:.1f}"
            for row in wide.to_dict("records") if row["series"] in titles]  # fmt: skip
    if not told:
        return ""
    return (
        "Around their plateaus these scatter more, over all runs, than their errors say, by a "
        f"factor of: {', '.join(told)}. Their errors count as that much larger here."
    )


def watch_leads(data: StudyData) -> list[str]:
    """How long before a goal settled the first warning came, for each run that was watched.

    The goal is the suite's score, or what the first probe measures where there is none; it settles
    at the first checkpoint from which it stays within three errors of its last value.
    """
    out = []
    goals = pd.concat([queries.score_rows(data), queries.main_probe_rows(data)])
    for run in data.runs:
        rows = goals[(goals["run"] == run.name) & goals["value"].notna()]
        if not run.watched or rows.empty:
            continue
        probe, metric = str(rows["probe"].iloc[0]), str(rows["metric"].iloc[0])
        rows = rows[(rows["probe"] == probe) & (rows["metric"] == metric)].sort_values("step")
        steps, values, low, high = (
            rows[name].to_numpy(dtype=float) for name in ("step", "value", "ci_low", "ci_high")
        )
        settled = settling_step(steps, values, np.nan_to_num(high - low) / 3.92)
        lead = _lead(settled, steps, min(run.warnings, key=_came, default=None))
        out.append(f"{run.name}: {labels.pair_title(probe, metric)} {lead}.")
    return out


def _came(warning: dict[str, Any]) -> float:
    """How far training was when a warning came; what was estimated by then where it is not told."""
    trained = warning.get("trained")
    return max(float(warning["seen"]), float(trained) if isinstance(trained, int | float) else 0.0)


def _lead(settled: float, steps: npt.NDArray[np.float64], warning: dict[str, Any] | None) -> str:
    """When a goal settled, and what the first warning was next to that.

    Args:
        settled: step from which the goal stays within errors of its last value.
        steps: at which it was probed, ascending.
        warning: the first one, None without any.
    """
    came = labels.short(_came(warning)) if warning else ""
    of = f" (of a {_change(warning)})" if warning else ""
    if settled == steps[0]:
        what = f"a warning of the watch{of} came at step {came}" if of else "nor did the watch warn"
        return f"did not change beyond errors; {what}"
    if settled == steps[-1]:
        what = f"{of} came at step {came}" if of else " did not come"
        return f"had not settled before the last checkpoint; the first warning of the watch{what}"
    when = f"settled at step {labels.short(settled)}; "
    if warning is None:
        return f"{when}the watch never warned"
    ahead = settled - _came(warning)
    far = f"{labels.short(abs(ahead))} steps "
    how = (
        "at that step" if ahead == 0 else far + ("earlier" if ahead > 0 else "later: it came late")
    )
    return f"{when}the first warning of the watch{of} came {how}"


def _change(warning: dict[str, Any]) -> str:
    """Which change of the LLC a warning is of, as `rise from step 8.19k to 12.3k`."""
    low, high = (labels.short(float(warning[name])) for name in ("step_low", "step_high"))
    status = labels.text(warning.get("status"))
    return f"{labels.text(warning.get('kind')) or 'change'} from step {low} to {high}" + (
        f", {status}" if status else ""
    )


def shown_series(data: StudyData) -> dict[str, str]:
    """The series that the figures show, by their names in `transitions`, with a title."""
    llc, titles = queries.llc_rows(data), {}
    for states in queries.states_in_order(llc):
        loss = llc.loc[llc["states"] == states, "loss"].iloc[0]
        titles[f"llc:{loss}:{states}"] = f"LLC {labels.states_short(states)}"
    coin = queries.coin_rows(data)
    pairs = zip(coin["probe"], coin["metric"], strict=True)
    fixed = coin[[pair in FIXED_STATE_GOALS for pair in pairs]]
    for frame in (queries.main_probe_rows(data), queries.score_rows(data), fixed):
        for row in frame.drop_duplicates(["probe", "metric"]).to_dict("records"):
            probe, metric = str(row["probe"]), str(row["metric"])
            titles[f"probe:{probe}:{metric}"] = labels.pair_title(probe, metric)
    return titles


def association_tables(data: StudyData) -> dict[str, Any]:
    """Associations of the main LLC series with the outcomes that the figures show.

    Returns:
        across and within (rows over runs, and of single runs), left (how many more values the
        table holds), notes (reasons for missing p-values), missing and null (what the values are
        held against).
    """
    table = data.table("associations")
    main = _main_pairs(data, table)
    over = main["run"].fillna(ALL_RUNS) == ALL_RUNS
    across = _pivot(main[over], data)
    within = [] if main[~over]["run"].nunique() > _MOST_RUNS else _pivot(main[~over], data)
    missing = "" if len(table) else "No association between LLC and probes was computed."
    notes: list[object] = list(main["note"].dropna().unique()) if "note" in main else []
    return {
        "across": across,
        "within": within,
        "left": len(table) - len(main),
        "notes": [str(note) for note in notes if str(note)],
        "missing": missing,
        "null": _NULL if len(table) else "",
    }


def least_link(table: pd.DataFrame) -> str:
    """What the runs find with 80 % where they find no association, as part of a sentence."""
    over = table.reindex(columns=["statistic", "smallest_effect"])
    known = over[over["statistic"] == "seed_r"]["smallest_effect"].dropna()
    if known.empty:
        return "no power was computed"
    return (
        f"corrected for all, a correlation of last values of {labels.number(known.max())} or more "
        "over runs is found with about 80 %"
    )


_NULL = (
    "LLC and probe outcomes both change along training, so their levels correlate without any "
    "link; that column only describes. Changes are held against the same series shifted in time "
    "within a run, or against other pairings of seeds over runs. These tests are exploratory: q is "
    "their false discovery rate (Benjamini and Hochberg); over runs p corrected is the familywise "
    "one (step-down max-T). A positive lag means that the LLC moves first, in checkpoints. Next to "
    "changes over runs that are not found stands the correlation that these runs find with about "
    "80 %; for single runs, lags and transitions no power was computed."
)
_COLUMNS = {
    "levels": ("level_r", "seed_curve_r"),
    "changes": ("change_r", "seed_r"),
    "together": ("coincidence", "seed_coincidence"),
    "lag": ("lead_lag", "seed_lead_lag"),
}


def _power(row: dict[Any, Any]) -> Any:
    """The smallest effect next to what is not found."""
    p_value = row.get("p_adjusted")
    missed = p_value is not None and p_value > 0.05
    return row.get("smallest_effect") if missed else None


def _main_pairs(data: StudyData, table: pd.DataFrame) -> pd.DataFrame:
    llc, shown = queries.llc_rows(data), shown_series(data)
    if table.empty or llc.empty:
        return table.iloc[:0]
    states = queries.states_in_order(llc)[0]
    main = f"{llc.loc[llc['states'] == states, 'loss'].iloc[0]}/{states}"
    pairs = "probe:" + table["probe"].fillna("") + ":" + table["metric"].fillna("")
    return table[table["llc_series"].fillna("").eq(main) & pairs.isin(list(shown))]


def _pivot(table: pd.DataFrame, data: StudyData) -> list[dict[str, str]]:
    rows = []
    for (run, probe, metric), part in table.groupby(["run", "probe", "metric"], sort=False):
        values = {str(row["statistic"]): row for row in part.to_dict("records")}
        found = {
            name: next((values[k] for k in keys if k in values), {})
            for name, keys in _COLUMNS.items()
        }
        tested, lag = found["changes"], found["lag"]
        rows.append(
            {
                "run": "all runs" if run == ALL_RUNS else str(run),
                "outcome": labels.pair_title(str(probe), str(metric)),
                **{name: labels.number(found[name].get("value")) for name in list(_COLUMNS)[:3]},
                "p": labels.number(tested.get("p_value")),
                "p corrected": labels.number(tested.get("p_adjusted")),
                "q": labels.number(tested.get("q_value")),
                "lag": labels.number(lag.get("lag")),
                "lag interval": labels.interval(lag.get("lag_low"), lag.get("lag_high")),
                "n": labels.number(tested.get("n")),
                "found with 80 %": labels.number(_power(tested)),
            }
        )
    order = list(shown_series(data).values())
    return sorted(rows, key=lambda r: (r["run"], order.index(r["outcome"])))
