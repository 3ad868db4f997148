"""Do values rise over arms? The test that kinds `arms` and `dose` share."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from analysis.hypotheses.design import Design, Untestable, join_notes
from analysis.hypotheses.hypothesis import Hypothesis
from analysis.hypotheses.linear import LinearTest
from analysis.hypotheses.measures import Course, Measures, Rows
from analysis.hypotheses.welch import WelchTest

Array = npt.NDArray[np.float64]
PAIRS = 6  # seeds from which on pairing can reach 5 % in two-sided tests: 2 of 2^6 sign patterns


def measured(hypothesis: Hypothesis, data: Measures) -> Course:
    """The series, or the metric where no series is named."""
    return data.metric(hypothesis) if of_metric(hypothesis) else data.series(hypothesis)


def of_metric(hypothesis: Hypothesis) -> bool:
    """Whether a metric alone is compared."""
    return hypothesis.series is None and hypothesis.metric is not None


def trend_test(
    hypothesis: Hypothesis, data: Measures, scores: Mapping[str, float], statistic: str
) -> LinearTest:
    """The rise of a series or metric over the scores of arms; seeds are permuted over arms.

    The value is the rise from the lowest to the highest score of the fitted line, in the measure's
    unit; with `statistic = "rank"` the correlation of ranks with scores. Unpaired values without
    controls are compared by `WelchTest`, wherever each arm shows its own spread: permutations of
    the rise itself find one falsely in 9 % (two arms of five runs, sd 5 and 1) to 20 % (one of six
    doses, of five runs each, with that spread), and gain 1 to 3 % of power where spreads are equal.

    Args:
        hypothesis: names the measure.
        data: measures of runs.
        scores: number of each arm.
        statistic: name of the value.

    Raises:
        Untestable: fewer than two arms have runs, or each has one and they are two.
    """
    course = measured(hypothesis, data)
    rows = data.complete(hypothesis, value=course.at(hypothesis.step))
    rows = rows.of(np.isin(rows.arms, list(scores)))
    arms = sorted(set(rows.arms))
    if len(arms) < 2:
        few = f"needs runs of two arms with a value, has {len(arms)}"
        raise Untestable(join_notes(few, rows.note))
    if len(rows.runs) == 2:
        raise Untestable("one run of each arm: the luck of training cannot be told from the arm; "
                         "needs several seeds")  # fmt: skip
    seeds, unpaired = _shared_seeds(hypothesis, data, rows)
    paired = seeds is not None
    if seeds is not None:
        kept = ~np.isnan(seeds)
        lost = ", ".join(rows.runs[~kept])
        rows = rows.of(kept, f"left out unpaired: {lost}" if lost else "")
        seeds = seeds[kept]
    ranked = hypothesis.statistic == "rank"
    value, controls = rows.values[0], rows.controls
    if ranked:
        value, controls = rankdata(value), rankdata(controls, axis=0)
    target = np.array([scores[arm] for arm in rows.arms])
    groups = np.zeros(len(target)) if seeds is None else seeds
    # controls differ within an arm, so that there the whole order counts
    labels = None if hypothesis.given else tuple(map(str, rows.arms))
    design = Design(tuple(rows.runs), tuple(groups), labels)
    name = f"{'paired ' if paired else ''}{'rank ' if ranked else ''}{statistic}"
    if hypothesis.given:
        name += f" given {', '.join(hypothesis.given)}"
    scale = None if ranked else float(np.ptp(target))
    nuisance = np.hstack([means_of(groups), controls])
    both = hypothesis.series is not None and hypothesis.metric is not None
    unused = "the series is compared, not the metric" if both else ""
    absent = ", ".join(arm for arm in scores if arm not in arms)
    lost = f"arms without a value: {absent}" if absent else ""
    places = zip(course.runs, course.last, strict=True)
    lasts = {data.arm[r]: course.steps[k] for r, k in places if k >= 0 and r not in data.ends}
    uneven = len(set(map(lasts.get, arms))) > 1 and hypothesis.step == "last"
    ends = ", ".join(f"{arm} {lasts.get(arm, 'by itself')}" for arm in arms) if uneven else ""
    ends = f"arms end at different steps: {ends}" if ends else ""
    counts = {arm: int(np.sum(rows.arms == arm)) for arm in arms}
    unequal = not paired and len(set(counts.values())) > 1
    spreads = not (paired or ranked or hypothesis.given) and min(counts.values()) > 1
    test = WelchTest if spreads else LinearTest
    sizes = _sizes(counts, spreads) if unequal else ""
    unsure = "" if of_metric(hypothesis) else data.suspects(hypothesis, rows.runs)
    note = join_notes(rows.note, lost, ends, unpaired, sizes, unused, unsure)
    return test(design, name, target, value, nuisance, scale, note)


def _sizes(counts: Mapping[str, int], studentized: bool) -> str:
    """What unequal numbers of runs leave open; nothing where each arm shows its own spread.

    Two runs with a spread of 5 differ from seven with one of 1 in 7 % of null studies by the
    studentized test, in 34 % by the other; three from six in 5 % and 22 %.
    """
    of = ", ".join(f"{arm} {count}" for arm, count in counts.items())
    if not studentized:
        return f"the level holds for arms of equal spread alone, with unequal runs: {of}"
    few = min(counts.values()) < 3
    return f"level approximate: two runs of an arm hardly show its spread ({of})" if few else ""


def means_of(groups: npt.ArrayLike) -> Array:
    """A column for the mean of each group, `[n, groups]`."""
    names, place = np.unique(groups, return_inverse=True)
    return np.asarray(np.eye(len(names))[place])


def _shared_seeds(hypothesis: Hypothesis, data: Measures, rows: Rows) -> tuple[Array | None, str]:
    """The seed of each run, NaN where not all arms have it; None, and why, where it cannot count.

    Pairs of all runs count from `PAIRS` seeds on; where some runs lack their partners the others
    are not left out for it unless the hypothesis says so (`paired`).
    """
    if hypothesis.paired is False:
        return None, ""
    seeds = np.array([data.seed.get(run, np.nan) for run in rows.runs])
    arms = len(set(rows.arms))
    of = [tuple(rows.arms[seeds == seed]) for seed in seeds]
    shared = np.array([len(a) == len(set(a)) == arms for a in of])
    count = int(shared.sum()) // arms
    if hypothesis.paired and count < 2:
        raise Untestable("no two seeds occur in all arms, so they cannot be paired")
    if hypothesis.paired or (shared.all() and count >= PAIRS):
        return np.where(shared, seeds, np.nan), ""
    alone = ", ".join(rows.runs[~shared])
    note = f"seeds are not paired: {alone} would be left out" if count >= PAIRS else ""
    return None, note
