"""The linear test by itself: its level, its power, its interval."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from analysis.hypotheses.design import Design, Untestable
from analysis.hypotheses.linear import LinearTest
from analysis.hypotheses.welch import WelchTest
from analysis.permutations import (
    Direction,
    arrangements,
    critical_value,
    extremes,
    p_value,
    spread,
)
from analysis.power import detectable

Array = npt.NDArray[np.float64]
Make = Callable[[np.random.Generator, float], LinearTest]
ARMS = np.repeat(np.eye(2), 5, axis=0)
RUNS = tuple(map(str, range(10)))


def link(rng: np.random.Generator, effect: float, controls: int = 0) -> LinearTest:
    """Two arms of five; effect is the correlation within them, given the controls."""
    x, e = rng.normal(size=(2, 10))
    z = rng.normal(size=(10, controls))
    y = effect * x + np.sqrt(1 - effect**2) * e + 3 * z.sum(axis=1)
    design = Design(RUNS, tuple("aaaaabbbbb"))
    return LinearTest(design, "r", x + z.sum(axis=1), y, np.hstack([ARMS, z]))


def difference(rng: np.random.Generator, effect: float) -> LinearTest:
    """Two arms of five; effect is the difference in sd."""
    design = Design(RUNS, ("all",) * 10, tuple("aaaaabbbbb"))
    y = rng.normal(size=10) + effect * ARMS[:, 1]
    return LinearTest(design, "difference", ARMS[:, 1], y, np.ones((10, 1)), 1.0)


def paired(rng: np.random.Generator, effect: float) -> LinearTest:
    """Eight pairs; effect is the difference in sd of a run around its seed."""
    seeds = np.tile(np.eye(8), (2, 1))
    arm = np.linspace(0.0, 1.0, 2).repeat(8)
    luck = np.tile(10.0 * rng.normal(size=8), 2)
    y = luck + rng.normal(size=16) + effect * arm
    design = Design(tuple(map(str, range(16))), tuple(range(8)) * 2, tuple("a" * 8 + "b" * 8))
    return LinearTest(design, "difference", arm, y, seeds, 1.0)


def trend(rng: np.random.Generator, effect: float) -> LinearTest:
    """Six doses of three; effect is the rise over the range in sd."""
    dose = np.repeat(np.arange(6.0), 3)
    design = Design(tuple(map(str, range(18))), ("all",) * 18, tuple(map(str, dose)))
    y = rng.normal(size=18) + effect * dose / 5
    return LinearTest(design, "trend", dose, y, np.ones((18, 1)), 5.0)


def partial(rng: np.random.Generator, effect: float) -> LinearTest:
    return link(rng, effect, controls=2)


def unequal(rng: np.random.Generator, effect: float) -> LinearTest:
    """Four runs and seven; effect is the difference in sd."""
    arm = np.repeat([0.0, 1.0], [4, 7])
    design = Design(tuple(map(str, range(11))), ("all",) * 11, tuple(map(str, arm)))
    y = rng.normal(size=11) + effect * arm
    return WelchTest(design, "difference", arm, y, np.ones((11, 1)), 1.0)


DESIGNS = (link, difference, paired, trend, unequal, partial)


def found(test: LinearTest) -> tuple[bool, float]:
    """Whether it is found one-sided at 5 %, and the smallest effect that it says."""
    orders = arrangements(test.design.strata, test.design.labels)
    null = test.null(orders)
    z = extremes(null, "greater", test.center)
    middle = null.mean() if test.center is None else test.center
    reach = float(middle + critical_value([z[:, None]]) * spread(null))
    return p_value(null, "greater") <= 0.05, test.smallest_effect(null, reach)


@pytest.mark.parametrize("make", DESIGNS[:-1])
def test_the_smallest_effect_is_found_with_80_percent(make: Make) -> None:
    """What null studies say on average, planted again."""
    nulls = [found(make(np.random.default_rng(1000 + k), 0.0))[1] for k in range(200)]
    count, size = 300, float(np.mean(nulls))
    share = np.mean([found(make(np.random.default_rng(100 + k), size))[0] for k in range(count)])
    assert abs(share - 0.8) <= 3 * np.sqrt(0.8 * 0.2 / count)


@pytest.mark.parametrize("direction", ["greater", "two-sided"])
@pytest.mark.parametrize(
    ("counts", "spreads", "level", "plain"),
    [
        ((2, 7), (5.0, 1.0), 0.08, 0.15),  # two runs hardly show their spread
        ((2, 7), (1.0, 1.0), 0.05, 0.0),
        ((3, 6), (5.0, 1.0), 0.05, 0.1),
        ((3, 6), (1.0, 5.0), 0.05, 0.0),
        ((5, 3, 3), (1.0, 1.0, 4.0), 0.05, 0.1),  # the trend over three arms
        ((5, 5), (5.0, 1.0), 0.05, 0.0),
        ((5, 5), (1.0, 1.0), 0.05, 0.0),
        ((5, 5, 5), (1.0, 1.0, 5.0), 0.05, 0.08),
    ],
)
def test_unequal_spreads_hold_the_level(
    counts: tuple[int, ...],
    spreads: tuple[float, ...],
    level: float,
    plain: float,
    direction: Direction,
) -> None:
    """`plain` is what permutations of the slope itself find at least, where that is too much."""
    arm, n = np.repeat(np.arange(float(len(counts))), counts), sum(counts)
    design = Design(tuple(map(str, range(n))), ("all",) * n, tuple(map(str, arm)))
    count = 150 if n > 9 else 500
    y = np.random.default_rng(0).normal(size=(count, n)) * np.repeat(spreads, counts)

    def rate(kind: type[LinearTest]) -> float:
        tests = [kind(design, "", arm, one, np.ones((n, 1)), 1.0) for one in y]
        z = [extremes(t.null(design.orders), direction, t.center) for t in tests]
        return float(np.mean([np.mean(one >= one[0] - 1e-9) <= 0.05 for one in z]))

    assert rate(WelchTest) <= level + 3 * np.sqrt(level * (1 - level) / count)
    assert rate(LinearTest) >= plain


def test_the_interval_of_unequal_spreads_is_near_welchs() -> None:
    rng, inside, widths = np.random.default_rng(0), [], []
    design = unequal(rng, 0.0).design
    for _ in range(60):
        a, b = 4.0 * rng.normal(size=4), 2.0 + rng.normal(size=7)
        test = WelchTest(design, "", np.repeat([0.0, 1.0], [4, 7]), np.concatenate([a, b]),
                         np.ones((11, 1)), 1.0)  # fmt: skip
        assert test.value == pytest.approx(b.mean() - a.mean())
        low, high = test.interval(test.null(design.orders))
        inside.append(low <= 2.0 <= high)
        t = stats.ttest_ind(b, a, equal_var=False).confidence_interval(0.95)
        widths.append((high - low) / (t.high - t.low))
    assert np.mean(inside) >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 60)
    assert np.median(widths) == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("make", DESIGNS)
def test_the_level_holds(make: Make) -> None:
    count = 400
    share = np.mean([found(make(np.random.default_rng(k), 0.0))[0] for k in range(count)])
    assert share <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / count)


def test_an_interval_holds_what_the_test_accepts() -> None:
    test = difference(np.random.default_rng(0), 1.0)
    low, high = test.interval(test.null(test.design.orders))
    for shift, accepted in ((low + 1e-6, True), (low - 1e-6, False), (high - 1e-6, True)):
        moved = LinearTest(test.design, "", test.target, test.values - shift * test.target,
                           test.nuisance, 1.0)  # fmt: skip
        null = moved.null(moved.design.orders)
        smaller = min(p_value(null, "greater"), p_value(null, "less"))
        assert (smaller > 0.025) == accepted


def test_too_few_runs_and_no_variance_are_refused() -> None:
    design = Design(RUNS[:3], ("all",) * 3)
    with pytest.raises(Untestable, match="3 runs are too few for 3 coefficients"):
        LinearTest(design, "", np.arange(3.0), np.arange(3.0), np.eye(3)[:, :2])
    with pytest.raises(Untestable, match="no difference between runs"):
        LinearTest(design, "", np.arange(3.0), np.ones(3), np.ones((3, 1)))


def test_the_detectable_shift_is_that_of_students_t() -> None:
    """Ten runs in two arms, one-sided 5 %: d = 1.72 (G*Power: t test, two groups of five, 0.8)."""
    t = 1.8595  # 95 % of t with 8 degrees of freedom
    r = t / np.sqrt(t**2 + 8)
    assert detectable(r, 8) * np.sqrt(2 / 5) == pytest.approx(1.725, abs=0.01)
    assert np.isnan(detectable(1.0, 8)) and np.isnan(detectable(np.nan, 8))
