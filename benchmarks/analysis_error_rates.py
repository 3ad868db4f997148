"""Error rates of the associations, by simulation.

python benchmarks/analysis_error_rates.py --out benchmarks/results/FILE.md
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "analysis"))

from markdown_report import publish, table
from synthetic_series import ar1, learning_curve, random_walk, sigmoid

from analysis.associations.within import best_lag, curve_lag, detrended_ranks, shift_test

Rng = np.random.Generator
Maker = Callable[[Rng, int], np.ndarray]
N = 60
ASSOCIATED = 0.07  # what is wanted
AGAIN = 5


def rates(
    draw: Callable[[], np.ndarray], count: int, bad: Callable[[np.ndarray], bool]
) -> tuple[np.ndarray, int]:
    """Means of what is counted in each series, and the number of series.

    A cell that is bad after `count` series is judged again by `AGAIN` times as many new ones alone,
    whatever these show: with 70 cells and few series some are bad by chance.
    """
    first = np.mean([draw() for _ in range(count)], axis=0)
    if not bad(first):
        return first, count
    again = AGAIN * count
    return np.mean([draw() for _ in range(again)], axis=0), again


KINDS: dict[str, Maker] = {
    "white noise": lambda rng, n: ar1(rng, n, 0.0),
    "AR(1) 0.5": lambda rng, n: ar1(rng, n, 0.5),
    "AR(1) 0.9": lambda rng, n: ar1(rng, n, 0.9),
    "random walk": random_walk,
    "learning curve, noise 0.2": lambda rng, n: learning_curve(rng, n, 0.2),
    "learning curve, noise 0.05": lambda rng, n: learning_curve(rng, n, 0.05),
    "learning curve, noise 0.005": lambda rng, n: learning_curve(rng, n, 0.005),
    "learning curve, AR(1) 0.8 noise": lambda rng, n: learning_curve(rng, n, 0.05, 0.8),
    "noise-free learning curve": lambda rng, n: learning_curve(rng, n, 0.0),
    "learning curve, middle at half time": lambda rng, n: (
        sigmoid(n, rng.uniform(0.4 * n, 0.6 * n), rng.uniform(1, 5)) + 0.02 * ar1(rng, n, 0.0)
    ),
    "success rate of 50 episodes": lambda rng, n: (
        rng.binomial(50, np.clip(learning_curve(rng, n, 0.0), 0, 1)) / 50
    ),
}


def false_associations(count: int, seed: int) -> list[dict[str, object]]:
    """Share of independent pairs with p at most 0.05; levels for comparison."""
    out: list[dict[str, object]] = []
    for n in (24, N, 120):
        for k, (kind, make) in enumerate(KINDS.items()):
            rng = np.random.default_rng([seed, n, k])

            def draw(rng: Rng = rng, n: int = n, make: Maker = make) -> np.ndarray:
                x, y = make(rng, n), make(rng, n)
                _, change = shift_test(detrended_ranks(x), detrended_ranks(y))
                _, level = shift_test(x - x.mean(), y - y.mean())
                return np.array([change <= 0.05, level <= 0.05], dtype=float)

            (change, level), series = rates(draw, count, lambda r: bool(r[0] > ASSOCIATED))
            out.append(
                {"checkpoints": n, "both series": kind, "series": series, "change_r": change}
                | {"levels (not used)": level}
            )
    return out


def planted_lags(count: int, seed: int) -> list[dict[str, object]]:
    """How well a lag of -5 to 5 checkpoints is found again."""
    out: list[dict[str, object]] = []
    for name in ("AR(1) 0.5", "random walk", "learning curve, noise 0.05"):
        rng = np.random.default_rng([seed, len(name)])
        hits = np.zeros((2, 3))
        for _ in range(count):
            lag = int(rng.integers(-5, 6))
            x, y = _lagged(rng, name, lag)
            both = (best_lag(detrended_ranks(x), detrended_ranks(y), 5), curve_lag(x, y))
            for k, at in enumerate(both):
                hits[k] += [at.lag == lag, abs(at.lag - lag) <= 1, at.low <= lag <= at.high]
        for statistic, rates in zip(("lead_lag", "curve_lag"), hits / count, strict=True):
            out.append(
                {"shared": name, "statistic": statistic, "exact": rates[0]}
                | {"within one": rates[1], "in interval": rates[2]}
            )
    return out


def _lagged(rng: Rng, name: str, lag: int) -> tuple[np.ndarray, np.ndarray]:
    """Two noisy series, the second `lag` checkpoints behind the first."""
    if name.startswith("learning"):
        middle, width = rng.uniform(20, 40), rng.uniform(0.5, 4)
        x, y = sigmoid(N, middle, width), sigmoid(N, middle + lag, width)
        return x + 0.05 * ar1(rng, N, 0.0), y + 0.05 * ar1(rng, N, 0.0)
    z = ar1(rng, N + 20, 0.5) if name.startswith("AR") else random_walk(rng, N + 20)
    x, y = z[10 : 10 + N], z[10 - lag : 10 - lag + N]
    return x + 0.5 * ar1(rng, N, 0.0), y + 0.5 * ar1(rng, N, 0.0)


def _head(count: int, seed: int) -> str:
    def error(rate: float, series: int) -> str:
        return f"±{1.96 * np.sqrt(rate * (1 - rate) / series):.3f}"

    packages = ", ".join(f"{p} {version(p)}" for p in ("numpy", "scipy", "pandas"))
    again = AGAIN * count
    return (
        f"{count} series a cell, {N} checkpoints unless said otherwise: a rate of 0.05 is known to "
        f"{error(0.05, count)} (95 %). A cell on the wrong side "
        f"of what is wanted is judged again by {again} new series alone, whatever they show "
        f"(column series): {error(0.05, again)}. Seed {seed}. "
        f"Python {platform.python_version()}, "
        f"{packages}; 2 cores, CPU."
    )


def report(count: int, seed: int, workers: int) -> str:
    """The whole benchmark as Markdown."""
    start = time.perf_counter()
    sections: list[tuple[str, Callable[[int, int], list[dict[str, object]]], int]] = [
        ("associations", false_associations, count),
        ("lags", planted_lags, count),
    ]
    with ProcessPoolExecutor(workers) as pool:
        jobs = {n: pool.submit(f, c, seed + k) for k, (n, f, c) in enumerate(sections)}
        shown = {name: table(job.result()) for name, job in jobs.items()}
    parts = [
        "# Error rates of associations",
        _head(count, seed),
        f"## Associations of independent series with p ≤ 0.05 (wanted: at most {ASSOCIATED})",
        shown["associations"],
        "## Planted lags of -5 to 5 checkpoints",
        shown["lags"],
        f"The whole table: {time.perf_counter() - start:.0f} s on a machine shared with others.",
    ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=500, help="series a cell")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="Markdown file; printed if not given")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    args = parser.parse_args()
    text = report(args.series, args.seed, args.workers)
    publish(text, args.out)


if __name__ == "__main__":
    main()
