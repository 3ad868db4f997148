"""Compute every number and figure of docs/findings.md from the kept tables.

    python studies/findings.py           # writes the tables into the page, and its figures
    python studies/findings.py --check   # fails if the page holds other numbers

From the tables that were measured, `studies/results/STUDY/runs/*/tables`: all tests are made anew.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats
from sklearn.linear_model import LinearRegression

from analysis import associate, current_setting, evaluate_hypotheses, fixed_hypotheses
from analysis.report.seed_means import SHARE, mean_curve, over_seeds

mpl.use("Agg")
import matplotlib.pyplot as plt

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "findings.md"
STUDIES = ("goal", "alpha", "clones", "regret")
ABLE = 0.5  # of coins at the end that an agent takes; one below failed to learn
GOAL, TASK = "behind/coin_rate", "end/coin_rate"
_ENDS = ("ci_low", "ci_high")
_SHARES = {"coin at the end": TASK, "coin behind": GOAL}
Tables = Mapping[str, pd.DataFrame]


@cache
def tables_of(study: str) -> Tables:
    """The kept tables over all runs of a study, and what is tested on them; none of one not kept.

    Returns:
        Tables `llc` (the headline), `plain`, `at the end` (on states with the coin at the end
        alone), `profile`, `probes`, `covariates`; `hypotheses`; `links`, associations of the
        headline with the goal; `study`, the dose of each arm.
    """
    kept = HERE / "results" / study
    if not kept.is_dir():
        return {}
    every = {}
    for name in ("llc", "profile", "probes", "covariates"):
        paths = sorted(kept.glob(f"runs/*/tables/{name}.parquet"))
        parts = [pd.read_parquet(path) for path in paths]
        every[name] = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    rows = every["llc"]
    plain, shared = rows["gauge"].eq("none"), ~rows["states"].str.contains(":")
    plain &= not plain.all()  # networks without a gauge have no other
    every |= {"llc": current_setting(rows[~plain & shared]), "plain": rows[plain],
              "at the end": rows[~shared]}  # fmt: skip
    llc, probes = every["llc"], every["probes"]
    study_file = json.loads((kept / "study.json").read_text())
    doses = {arm: settings.get("dose") for arm, settings in study_file["arms"].items()}
    every["study"] = pd.DataFrame({"dose": doses}, index=[*doses])
    claims = fixed_hypotheses((kept / "study.toml").read_bytes(), study_file["fixed"]["sha256"])
    every["hypotheses"] = evaluate_hypotheses(
        llc, probes, claims, covariates=every["covariates"], profile=every["profile"]
    )
    goal = probes[probes["probe"] + "/" + probes["metric"] == GOAL]
    if len(goal):
        every["links"] = associate(llc[llc["matched_entropy"].isna()], goal)
    return every


def said(values: pd.Series, form: str = ".2f") -> str:
    """A mean over seeds with its interval, as text."""
    mean, low, high, _ = over_seeds(values)
    return f"{mean:{form}} [{low:{form}}, {high:{form}}]"


def said_share(tables: Tables, name: str, runs: list[str]) -> str:
    """A share of levels as `said`, but no surer than few levels allow: eight zeros are no zero."""
    value, *own = (last(tables, probe(tables, name, of)).reindex(runs) for of in ("value", *_ENDS))
    mean, low, high, _ = over_seeds(value, SHARE, (own[0], own[1]))
    return f"{mean:.2f} [{low:.2f}, {high:.2f}]"


def series(tables: Tables, matched: bool = False) -> pd.DataFrame:
    """LLC of table `llc`, `[step, run]`, as it is or at matched entropy."""
    llc = tables["llc"]
    rows = llc[llc["matched_entropy"].notna() == matched]
    return rows.pivot_table(index="step", columns="run", values="llc")


def probe(tables: Tables, name: str, of: str = "value") -> pd.DataFrame:
    """A metric of a probe, `PROBE/METRIC`, or an end of its interval, `[step, run]`."""
    probes = tables["probes"]
    rows = probes[probes["probe"] + "/" + probes["metric"] == name]
    return rows.pivot_table(index="step", columns="run", values=of)


def covariates_at_end(tables: Tables) -> pd.DataFrame:
    """The covariates of each run at its own last checkpoint, by run."""
    return tables["covariates"].sort_values("step").groupby("run").tail(1).set_index("run")


def last(tables: Tables, frame: pd.DataFrame) -> pd.Series:
    """The value of each run at its own last checkpoint, NaN where it has none there, `[run]`."""
    steps = covariates_at_end(tables)["step"]
    return pd.Series({run: frame[run].get(steps[run], np.nan) for run in frame}, dtype=float)


def arms_of(tables: Tables) -> dict[str, list[str]]:
    """Runs of each arm, in the order of the study."""
    of = tables["probes"].drop_duplicates("run").groupby("arm")["run"]
    return {arm: sorted(of.get_group(arm)) for arm in tables["study"].index if arm in of.groups}


def claims(tables: Tables) -> str:
    """The tested hypotheses, as a table."""
    found = tables["hypotheses"]
    found = found[found["role"] != "exploratory"]
    lines = ["| claim | role | value | 95 % | p | adjusted p | runs | found with 80 % |",
             "| --- | --- | --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    for row in found.itertuples():
        value, low, high, p, adjusted, effect = (
            "–" if np.isnan(x) else f"{x:.3g}"
            for x in (row.value, row.ci_low, row.ci_high, row.p_value, row.p_adjusted,
                      row.smallest_effect)
        )  # fmt: skip
        name = row.hypothesis + (f" ({row.message})" if row.message else "")
        lines.append(f"| {name} | {row.role} | {value} | {low} to {high} | {p} | {adjusted} | "
                     f"{row.n} | {effect} |")  # fmt: skip
    return "\n".join(lines)


def ends(study: str, tables: Tables) -> str:
    """Goal, ability and LLC of each arm at its last checkpoint, as a table."""
    known = tables["covariates"]
    entropy = known.pivot_table(index="step", columns="run", values="entropy")
    llc = {"LLC": (series(tables), ".1f")}
    if study == "regret":
        columns = {name: (probe(tables, f"{of}/{what}"), ".3f") for name, of, what in
                   (("corner first", "apart", "corner_first"),
                    ("return, cheese anywhere", "anywhere", "mean_return"))} | llc  # fmt: skip
    else:
        columns = {name: (probe(tables, of), ".2f") for name, of in _SHARES.items()}
        if study == "clones":
            kl = known.pivot_table(index="step", columns="run", values="teacher_kl")
            columns["KL from the teacher, nats"] = kl, ".3f"
        columns |= {"entropy, nats": (entropy, ".2f")} | llc
        at = tables["llc"]["matched_entropy"].dropna().iloc[0]
        columns[f"LLC at {at:.3g} nat"] = series(tables, matched=True), ".1f"
    if len(tables["plain"]):
        plain = tables["plain"].pivot_table(index="step", columns="run", values="llc")
        columns["plain LLC"] = plain, ".1f"
    able = study in ("goal", "alpha")
    head = ["arm", "agents" + ", of them failed" * able, *columns]
    lines = [f"| {' | '.join(head)} |", "| --- " * len(head) + "|"]
    for arm, runs in arms_of(tables).items():
        count = f"{len(runs)}"
        if able:
            count += f", {(last(tables, probe(tables, TASK))[runs] < ABLE).sum()}"
        cells = [
            said_share(tables, _SHARES[name], runs)
            if name in _SHARES
            else said(last(tables, frame).reindex(runs), form)
            for name, (frame, form) in columns.items()
        ]
        lines.append(f"| {' | '.join([f'`{arm}`', count, *cells])} |")
    return "\n".join(lines)


def described(study: str, tables: Tables) -> str:
    """What is described and not tested, as a list."""
    told = {"goal": _courses, "alpha": _doses, "clones": _longer, "regret": _from_minimum}
    return "\n".join(f"- {line}" for line in told[study](tables)) if study in told else ""


def _courses(tables: Tables) -> list[str]:
    llc, task = series(tables), probe(tables, TASK)
    found = []
    for arm, runs in arms_of(tables).items():
        able = task[runs].ge(ABLE)
        first = able.idxmax().where(able.any())
        own = [run for run in runs if first[run] in llc.index]
        rise = pd.Series({run: llc[run].iloc[-1] - llc.loc[first[run], run] for run in own})
        steps = np.array([first[run] for run in own]) / 1e3
        found.append(
            f"Arm `{arm}` first takes half of the coins at the end after "
            f"{steps.min():.0f} to {steps.max():.0f} thousand steps; from there to the end its LLC "
            f"rises by {said(rise, '.1f')} ({len(own)} agents)."
        )
        goal = probe(tables, GOAL)[runs].mean(axis=1)
        early = goal.index[goal.index.searchsorted(30_000) - 1]
        found[-1] += (
            f" It takes {goal.iloc[0]:.2f} of the coins behind it at step 0, {goal[early]:.2f} "
            f"at {early:,}, {goal.iloc[-1]:.2f} at the end."
        )
    found += [_controls(tables), *_looked_at(tables)]
    return [*found, _transitions(tables)]


def _transitions(tables: Tables) -> str:
    """Whether transitions of the LLC and of the goal fall together."""
    links = tables["links"].set_index("statistic")
    row, both = links.loc["seed_coincidence"], links.loc["coincidence", "value"].notna().sum()
    text = row["note"] if pd.isna(row["p_value"]) else (
        f"share {row['value']:.2f}, p = {row['p_value']:.2g} "
        f"({both} of {row['n']} agents have both)")  # fmt: skip
    return f"Transitions of the LLC within two checkpoints of the goal's: {text}."


def _controls(tables: Tables) -> str:
    """How much of the arm the controls of the partial claim tell."""
    known = covariates_at_end(tables)
    arms = arms_of(tables)
    arm = pd.Series({run: k for k, runs in enumerate(arms.values()) for run in runs})[known.index]
    given = known[["entropy", "weight_norm", "return"]]
    told = LinearRegression().fit(given, arm).score(given, arm)
    norm = {name: known.loc[runs, "weight_norm"] for name, runs in arms.items()}
    norms = ", ".join(f"{of.mean():.1f} ± {of.std():.1f} in `{name}`" for name, of in norm.items())
    llc, every = last(tables, series(tables))[known.index], known["weight_norm"]
    alone, by_arm = (np.corrcoef(x, llc)[0, 1] ** 2 for x in (every, arm))
    within = ", ".join(
        f"{np.corrcoef(every[runs], llc[runs])[0, 1]:.2f} in `{name}`"
        for name, runs in arms.items()
    )
    return f"""Weight norm at the end: {norms} (± standard deviation over seeds); entropy, weight \
norm and return together tell the arm with R² = {told:.2f}. Weight norm alone tells the LLC of all \
agents with R² = {alone:.2f}, the arm with {by_arm:.2f}; among agents of an arm r = {within}."""


def _looked_at(tables: Tables) -> list[str]:
    """What may stand behind a difference of two arms. Not registered."""
    arms = arms_of(tables)
    low, high = arms
    llc, headline = series(tables), tables["llc"][tables["llc"]["matched_entropy"].isna()]
    norm = tables["covariates"].pivot_table(index="step", columns="run", values="weight_norm")

    def each(metric: str) -> str:
        return "; ".join(f"`{arm}` {said_share(tables, metric, of)}" for arm, of in arms.items())

    links = []
    for name, runs in arms.items():
        goal = last(tables, probe(tables, GOAL))[runs]
        text = f"all agents have the goal {goal.iloc[0]:.2f}"
        if goal.nunique() > 1:
            r = stats.pearsonr(last(tables, llc)[runs], goal)
            text = f"r = {r.statistic:.2f} [{r.confidence_interval()[0]:.2f}, "
            text += f"{r.confidence_interval()[1]:.2f}]"
        links.append(f"`{name}` {text}")
    measures = {"LLC": "llc", "half the effective dimension": "half_d_eff",
                "information": "information"}  # fmt: skip
    differ = "; ".join(
        f"{name} {'{:.2f} [{:.2f}, {:.2f}]'.format(*apart(last(tables, frame), arms))}"
        for name, column in measures.items()
        for frame in [headline.pivot_table(index="step", columns="run", values=column)]
    )
    elsewhere = tables["at the end"].set_index("run")["llc"]
    above = np.subtract.outer(*(last(tables, llc)[arms[arm]].to_numpy() for arm in (high, low))) > 0
    unclear = [step for step in llc.index if not apart(llc.loc[step], arms)[1] > 0]
    equal = "; ".join(
        f"norm {level}: {'{:.1f} [{:.1f}, {:.1f}]'.format(*apart(pd.Series(there), arms))}"
        for level in (20, 25, 29)  # all agents pass these
        for there in [{run: np.interp(level, norm[run], llc[run]) for run in llc}]
    )
    return [f"Not registered. {line}." for line in (
        f"LLC and goal in each arm: {'; '.join(links)}",
        f"`{high}` less `{low}` at the end: {differ} (Welch's intervals); the LLCs are in this "
        f"order in {above.sum()} of {above.size} pairs of agents, and the interval is above 0 at "
        f"every checkpoint after {max(unclear):,}",
        f"The same difference of LLCs where weight norms are equal along training: {equal}",
        "The same difference of LLCs on states of levels with the coin at the end alone, which "
        f"both arms met: {'{:.1f} [{:.1f}, {:.1f}]'.format(*apart(elsewhere, arms))}",
        f"Coins on the way (probe `ground`), taken: {each('ground/coin_rate')}; by the path of the "
        f"same agents where there is no coin: {each('ground/coin_rate:own-blind')}",
        f"Coins at the end, taken from mid-level starts, which `{high}` has not met in training: "
        + each("end@mid/coin_rate"),
    )]  # fmt: skip


def _longer(tables: Tables) -> list[str]:
    """What else differs between clones: how long they were trained, and their weights."""
    known = covariates_at_end(tables)
    llc = tables["llc"][tables["llc"]["matched_entropy"].isna()].set_index("run")
    arms, log_step = arms_of(tables), np.log(known["step"].astype(float))
    found = [
        "Not registered. Steps of training, weight norm, and information between state and action "
        "(nats): "
        + "; ".join(
            f"`{arm}` {known.loc[of, 'step'].min():,} to {known.loc[of, 'step'].max():,}, "
            f"{said(known.loc[of, 'weight_norm'], '.1f')}, "
            f"{said(llc.loc[of, 'information'])}"
            for arm, of in arms.items()
        )
        + "."
    ]
    pair = {arm: arms[arm] for arm in ("walker-close", "seeker")}
    came = {arm: [r for r in of if log_step[r] < log_step.max()] for arm, of in pair.items()}
    for among, some in (("", pair), (" without the clones that took all steps", came)):
        texts = []
        for name, control in (("steps", log_step), ("weight norms", known["weight_norm"])):
            r = (np.corrcoef(control[of], llc.loc[of, "llc"])[0, 1] for of in some.values())
            inside = " and ".join(f"{value:.2f}" for value in r)
            ends = "{:.1f} [{:.1f}, {:.1f}]".format(*_held_equal(llc["llc"], control, some))
            texts.append(f"at equal {name} {ends} (r with the LLC within the two arms {inside})")
        norms = " and ".join(
            f"{norm.min():.1f} to {norm.max():.1f}"
            for norm in (known.loc[of, "weight_norm"] for of in some.values())
        )
        found.append(f"Not registered. `seeker` less `walker-close`{among} {'; '.join(texts)}: "
                     "linear, in the logarithm of steps, with one slope; weight norms of the "
                     f"closer walker and of the seeker {norms}.")  # fmt: skip
    sure = {arm: arms[arm] for arm in ("walker-sure", "right-sure")}
    ends = "{:.1f} [{:.1f}, {:.1f}]".format(*apart(llc["llc"], sure))
    found.append(f"Not registered. `right-sure` less `walker-sure` {ends} (Welch's interval).")
    return [*found, *_again()]


def _again() -> list[str]:
    """The walker's and the seeker's clones made again, which alone have a plain LLC."""
    again = tables_of("clones-again")
    if not again:
        return []
    arms, texts = arms_of(again), []
    for name, what in (("llc", "the LLC is"), ("plain", "the plain LLC")):
        rows = again[name].set_index("run")
        each = "; ".join(f"`{arm}` {said(rows.loc[of, 'llc'], '.1f')}" for arm, of in arms.items())
        ends = "{:.1f} [{:.1f}, {:.1f}]".format(*apart(rows["llc"], arms))
        bad = int((rows["status"] != "ok").sum())
        checks = f"; {bad} of {len(rows)} did not pass its checks" if bad else ""
        texts.append(f"{what} {each}; difference {ends}{checks}")
    return [
        "Not registered. The same clones of the walker and the seeker, all seeds, made again on "
        f"another processor: {'. Of these '.join(texts)} (Welch's intervals)."
    ]


def _held_equal(
    values: pd.Series, control: pd.Series, arms: Mapping[str, list[str]]
) -> tuple[float, float, float]:
    """Difference of two arms at equal control, one slope for both, with Student's 95 % interval."""
    runs = [run for of in arms.values() for run in of]
    second = [float(run in [*arms.values()][1]) for run in runs]
    given = np.column_stack([np.ones(len(runs)), second, control[runs]])
    y = values[runs].to_numpy(dtype=float)
    fit, *_ = np.linalg.lstsq(given, y, rcond=None)
    free = len(runs) - 3
    spread = ((y - given @ fit) ** 2).sum() / free
    half = stats.t.ppf(0.975, free) * np.sqrt(spread * np.linalg.inv(given.T @ given)[1, 1])
    return float(fit[1]), float(fit[1] - half), float(fit[1] + half)


def _from_minimum(tables: Tables) -> list[str]:
    """The LLC of the regret where w* is not quite at its minimum: counted from there instead."""
    rows = tables["llc"]
    above, least = rows["loss_mean"] - rows["minimum"], rows["loss_init"] - rows["minimum"]
    rows = rows.assign(whole=rows["nbeta"] * above, share=least / above)

    def ends(column: str, form: str) -> str:
        values = last(tables, rows.pivot_table(index="step", columns="run", values=column))
        return "; ".join(f"`{arm}` {said(values[of], form)}" for arm, of in arms_of(tables).items())

    early = rows.loc[rows["step"] < rows["step"].max(), "llc"]
    return [f"Not registered. {line}." for line in (
        f"Of {len(early)} estimates before the end {early.notna().sum()} have a number",
        f"Share of what chains lie above the regret's minimum that is there at w*: "
        f"{ends('share', '.2f')}. Counted from the minimum the LLC is {ends('whole', '.1f')}",
    )]  # fmt: skip


def apart(
    values: pd.Series, arms: Mapping[str, list[str]], level: float = 0.95
) -> tuple[float, float, float]:
    """Difference of the second arm of two from the first, with Welch's interval of a level."""
    low, high = (values[runs] for runs in arms.values())
    ends = stats.ttest_ind(high, low, equal_var=False).confidence_interval(level)
    return float(high.mean() - low.mean()), float(ends[0]), float(ends[1])


def _doses(tables: Tables) -> list[str]:
    """Where the goal goes over the doses, and what goes with it."""
    notes = [*_trends_of_doses(tables), *_courses_of_doses(tables), _fits(tables)]
    looked = [f"Not registered. {note}." for note in notes]
    return [*_threshold(tables), *looked, _transitions(tables)]


def _trends_of_doses(tables: Tables) -> list[str]:
    """Which doses carry the trend, and how far agents of one dose are apart."""
    arms, llc = arms_of(tables), last(tables, series(tables))
    names = [*arms]
    level = 1 - 0.05 / (len(arms) - 1)  # all neighbors together: 95 %
    pairs = "; ".join(
        f"`{high}` less `{low}` {'{:.2f} [{:.2f}, {:.2f}]'.format(*apart(llc, two, level))}"
        for low, high in pairwise(arms)
        for two in [{arm: arms[arm] for arm in (low, high)}]
    )
    spread = ", ".join(f"`{arm}` {llc[runs].std():.1f}" for arm, runs in arms.items())
    others = tables_of("goal")
    alike = last(others, series(others))[arms_of(others)["end"]]
    return [
        f"Trends of the LLC: without `{names[0]}` and `{names[1]}` {_trend(tables, names[2:])}; at "
        f"equal weight norm {_trend(tables, names, given=('weight_norm',))}; of the plain LLC "
        f"{_trend(tables, names, of='plain')}",
        "LLCs of neighboring shares at the end, Welch's intervals, 95 % for all together "
        f"(Bonferroni): {pairs}",
        f"Standard deviation of the LLC over seeds: {spread}; of arm `end` in the study of goals, "
        f"trained as `{names[0]}`: {alike.std():.1f}",
    ]


def _courses_of_doses(tables: Tables) -> list[str]:
    """The goal along training, and whether the coin is sought or met."""
    arms, goals, llc = arms_of(tables), probe(tables, GOAL), series(tables)
    own = f"{GOAL}:own-blind"
    means = {arm: goals[runs].mean(axis=1) for arm, runs in arms.items()}
    courses = "; ".join(
        f"`{arm}` {mean.iloc[0]:.2f}, {mean.min():.2f} at {mean.idxmin():,}, {mean.iloc[-1]:.2f}"
        for arm, mean in means.items()
    )
    paths = "; ".join(f"`{arm}` {said_share(tables, own, runs)}" for arm, runs in arms.items())
    *_, every = arms
    blind, task = (probe(tables, name)[arms[every]].mean(axis=1) for name in (own, TASK))
    left = blind.idxmax()
    low, _, high, *_ = arms
    early = "; ".join(
        f"{step:,}: {np.sum(above > 0)} of {above.size}, {there.max():.2f}"
        for step in llc.index[-4:]
        for above in [np.subtract.outer(*(llc.loc[step, arms[a]].to_numpy() for a in (high, low)))]
        for there in [goals.loc[step, arms[high] + arms[low]]]
    )
    return [
        "The goal along training, mean over seeds, at step 0, where it is least, and at the end: "
        + courses,
        "Coins behind that the path of the same agents meets where there is none, at the end: "
        f"{paths}. `{every}` at {left:,} steps: {means[every][left]:.2f} taken, {blind[left]:.2f} "
        f"met so, {task[left]:.2f} of the coins at the end taken",
        f"Pairs of agents in which `{high}` has a higher LLC than `{low}`, and the most that one "
        f"of these takes of the coins behind: {early}",
    ]


def _fits(tables: Tables) -> str:
    """What tells the LLC of all agents."""
    arms, goal = arms_of(tables), last(tables, probe(tables, GOAL))
    rank = pd.Series({run: k for k, runs in enumerate(arms.values()) for run in runs})
    norm = covariates_at_end(tables)["weight_norm"]
    llc = last(tables, series(tables))[rank.index]
    norms = "; ".join(f"`{arm}` {said(norm[runs], '.1f')}" for arm, runs in arms.items())
    told = ", ".join(
        f"{name} {np.corrcoef(by[rank.index], llc)[0, 1] ** 2:.2f}"
        for name, by in (("weight norm", norm), ("the rank of the share", rank), ("the goal", goal),
                         ("whether any coin behind is taken", goal > 0))
    )  # fmt: skip
    slope = stats.linregress(goal[rank.index], llc).slope
    return (f"Weight norm at the end: {norms}. What tells the LLC of all agents, R²: {told}; over "
            f"a goal from 0 to 1 a line in it rises by {slope:.1f}")  # fmt: skip


def _trend(tables: Tables, arms: list[str], of: str = "llc", given: tuple[str, ...] = ()) -> str:
    """The trend over the ranks of some doses with its 95 % interval, as the study tests it."""
    doses = tables["study"].loc[arms, "dose"].astype(float).to_dict()
    claim = {"name": "trend", "kind": "dose", "series": "llc", "doses": doses, "given": given}
    probes = tables["probes"]
    goal = probes[probes["probe"] + "/" + probes["metric"] == GOAL]
    found = evaluate_hypotheses(tables[of], goal, [claim], covariates=tables["covariates"])
    row = found.iloc[0]
    return f"{row['value']:.1f} [{row['ci_low']:.1f}, {row['ci_high']:.1f}]"


def _threshold(tables: Tables) -> list[str]:
    goals = probe(tables, GOAL)
    goal = last(tables, goals)
    dose = tables["study"]["dose"].astype(float).sort_values()
    runs, shares = arms_of(tables), dose.to_numpy()
    by_dose = [goal[runs[arm]].to_numpy() for arm in dose.index]
    rng = np.random.default_rng(0)
    drawn = [crossing(shares, [rng.choice(v, len(v)).mean() for v in by_dose]) for _ in range(4000)]
    value = crossing(shares, [v.mean() for v in by_dose])
    low, high = np.quantile(drawn, [0.025, 0.975])
    half = goals.index[goals.index <= goals.index.max() / 2].max()
    early = crossing(shares, [goals.loc[half, runs[arm]].mean() for arm in dose.index])
    within = ", ".join(
        f"`{arm}` {v.min():.2f} to {v.max():.2f}"
        for arm, v in zip(dose.index, by_dose, strict=True)
    )
    return [f"The mean of the goal over seeds crosses one half at a share of {value:.3g} "
            f"[{low:.3g}, {high:.3g}] of displaced coins, at {half:,} steps at {early:.2g}. Agents "
            f"at the end: {within}."]  # fmt: skip


def crossing(shares: npt.NDArray[np.float64], goal: list[float]) -> float:
    """The share at which the goal first crosses one half, linear in log share; infinite: nowhere.

    The share 0 counts as a tenth of the smallest other.
    """
    x = np.log(np.maximum(shares, shares[shares > 0].min() / 10))
    for k in range(1, len(x)):
        if goal[k - 1] < 0.5 <= goal[k]:
            part = (0.5 - goal[k - 1]) / (goal[k] - goal[k - 1])
            return float(np.exp(x[k - 1] + part * (x[k] - x[k - 1])))
    return np.inf


def draw(tables: Tables, path: Path) -> None:
    """Goal, LLC and LLC at matched entropy along training, and the LLC over resolutions."""
    parts = (
        ("coin behind the start: taken", probe(tables, GOAL)),
        ("LLC at relative temperature 50", series(tables)),
        ("the same at matched entropy", series(tables, matched=True)),
    )
    figure, axes = plt.subplots(1, 4, figsize=(15, 3.6), layout="constrained")
    arms = arms_of(tables)
    several = plt.cm.viridis(np.linspace(0, 0.85, len(arms)))
    colors = dict(zip(arms, ("tab:orange", "tab:blue") if len(arms) == 2 else several, strict=True))
    for axis, (title, frame) in zip(axes, parts, strict=False):
        for arm, runs in arms.items():
            band(axis, frame.reindex(columns=runs), arm, colors[arm], share=frame is parts[0][1])
        axis.set(title=title, xlabel="environment steps")
        axis.set_xscale("symlog", linthresh=4096)
    if len(parts[2][1]) == 1:  # matched at the last checkpoint alone: no course
        axes[2].clear()
        goal, llc = (last(tables, frame) for _, frame in parts[:2])
        for arm, runs in arms.items():
            axes[2].scatter(goal[runs], llc[runs], s=18, color=colors[arm])
        axes[2].set(title="agents at the end", xlabel="coin behind the start: taken", ylabel="LLC")
    profile = tables["profile"]
    profile = profile[profile["step"] == profile["step"].max()].round({"relative_temperature": 3})
    for arm, runs in arms.items():
        frame = profile.pivot_table(index="relative_temperature", columns="run", values="llc")
        band(axes[3], frame.reindex(columns=runs), arm, colors[arm])
    axes[3].set(title="LLC over resolutions, last checkpoint", xlabel="relative temperature K")
    axes[3].set(xscale="log", yscale="log")
    axes[2].sharey(axes[1])
    axes[0].legend(fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_ends(tables: Tables, path: Path) -> None:
    """LLC of each agent at its end: by arm, with the mean over seeds, and against weight norm."""
    known = covariates_at_end(tables)
    llc, arms = last(tables, series(tables)), arms_of(tables)
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained", sharey=True)
    for place, (arm, runs) in enumerate(arms.items()):
        color = plt.cm.tab10(place)
        mean, low, high, _ = over_seeds(llc[runs])
        left.scatter(np.full(len(runs), place - 0.15), llc[runs], s=14, color=color, alpha=0.6)
        left.errorbar(place + 0.15, mean, [[mean - low], [high - mean]], color=color, fmt="o")
        right.scatter(known.loc[runs, "weight_norm"], llc[runs], s=14, color=color, label=arm)
    left.set_xticks(range(len(arms)), arms, rotation=30, ha="right")
    left.set(ylabel="LLC at the end", title="agents, mean and 95 % interval over seeds")
    right.set(xlabel="weight norm", title="the same agents by weight norm")
    right.legend(fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def band(
    axis: plt.Axes, frame: pd.DataFrame, label: str, color: object, *, share: bool = False
) -> None:
    """Runs as thin lines, their mean, and Student's 95 % interval over seeds."""
    axis.plot(frame.index, frame.to_numpy(), color=color, lw=0.5, alpha=0.5)
    rows = frame.rename_axis(index="step", columns="run").stack().rename("value").reset_index()
    mean = mean_curve(rows, "value")
    axis.plot(mean["step"], mean["mean"], color=color, lw=2, label=label, marker="o", ms=3)
    low, high = (mean[end].clip(0, 1) if share else mean[end] for end in ("low", "high"))
    axis.fill_between(mean["step"], low, high, color=color, alpha=0.2)


def page(text: str) -> str:
    """The page with the parts between its marks made anew."""
    for study in STUDIES:
        if tables := tables_of(study):
            parts = claims(tables), ends(study, tables), described(study, tables)
            new = "\n\n".join(filter(None, parts))
            mark = rf"(<!-- {study} -->\n)(.*?)(<!-- end -->)"
            text = re.sub(mark, lambda m, new=new: f"{m[1]}\n{new}\n\n{m[3]}", text, flags=re.S)
    return text


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    check = parser.parse_args().check
    text = PAGE.read_text()
    if check:
        raise SystemExit(page(text) != text and f"{PAGE} holds other numbers")
    PAGE.write_text(page(text))
    for study in STUDIES:
        if tables := tables_of(study):
            by = draw if study in ("goal", "alpha") else draw_ends
            by(tables, PAGE.with_name(f"findings-{study}.png"))


if __name__ == "__main__":
    main()
