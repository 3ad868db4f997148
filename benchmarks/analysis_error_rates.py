"""Error rates of the transition detectors and of the associations, by simulation.

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
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "analysis"))

from synthetic_series import (
    Signal,
    ar1,
    learning_curve,
    log_steps,
    random_walk,
    sigmoid,
    spoil,
    steps_in_noise,
)

from analysis.associations.within import best_lag, curve_lag, detrended_ranks, shift_test
from analysis.transitions import DETECTORS, detect_transitions

Rng = np.random.Generator
Maker = Callable[[Rng, int], np.ndarray]
N = 60
FALSE, FOUND, PLACED, ASSOCIATED = 0.05, 0.9, 0.8, 0.07  # what is wanted
AGAIN = 5


def found_by(signal: Signal) -> dict[str, pd.DataFrame]:
    """Transitions of a signal, by detector."""
    rows = detect_transitions(signal.steps, signal.values, signal.stderr)
    return {name: rows[rows["detector"] == name] for name in DETECTORS}


def off_by(signal: Signal, rows: pd.DataFrame) -> float:
    """Checkpoints between the first planted change and the nearest transition of its sign."""
    location, size = signal.changes[0]
    same = rows[rows["kind"] == ("rise" if size > 0 else "fall")]
    at = np.searchsorted(signal.steps, same["step"].to_numpy(dtype=float))
    return float(np.min(np.abs(at - location))) if len(at) else np.inf


def covered(signal: Signal, rows: pd.DataFrame) -> bool:
    """Whether the interval of the nearest transition holds the planted location."""
    location = signal.steps[signal.changes[0][0]]
    return bool(((rows["step_low"] <= location) & (rows["step_high"] >= location)).any())


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


def false_transitions(count: int, seed: int) -> list[dict[str, object]]:
    """Share of series without change in which a detector finds one."""
    out: list[dict[str, object]] = []
    for spoiled in (False, True):
        for phi in (0.0, 0.3, 0.5, 0.7, 0.8, 0.9):
            rng = np.random.default_rng([seed, int(10 * phi), spoiled])

            def draw(rng: Rng = rng, phi: float = phi, spoiled: bool = spoiled) -> np.ndarray:
                signal = steps_in_noise(rng, N, (), phi, uneven=spoiled)
                found = found_by(spoil(rng, signal) if spoiled else signal)
                return np.array([len(found[name]) > 0 for name in DETECTORS], dtype=float)

            hits, series = rates(draw, count, lambda r: bool(np.any(r > FALSE)))
            out.append(_cell(phi, spoiled, series) | dict(zip(DETECTORS, hits, strict=True)))
    return out


def planted_steps(count: int, seed: int, size: float = 3.0) -> list[dict[str, object]]:
    """Share of planted steps found, found and placed within one checkpoint, and intervals."""
    out: list[dict[str, object]] = []
    for spoiled in (False, True):
        for phi in (0.0, 0.3, 0.5):
            rng = np.random.default_rng([seed, int(10 * phi), spoiled])

            def draw(rng: Rng = rng, phi: float = phi, spoiled: bool = spoiled) -> np.ndarray:
                change = (int(rng.integers(6, N - 5)), float(rng.choice([-size, size])))
                signal = steps_in_noise(rng, N, (change,), phi, uneven=spoiled)
                return _counted(spoil(rng, signal) if spoiled else signal)

            tally, series = rates(
                draw, count, lambda r: bool(np.any(r[:, 0] < FOUND) or np.any(r[:, 1] < PLACED))
            )
            for name, (hit, near, held, more) in zip(DETECTORS, tally, strict=True):
                out.append(
                    _cell(phi, spoiled, series)
                    | {
                        "detector": name,
                        "found": hit,
                        "placed, of all": near,
                        "placed, of found": near / hit,
                        "interval holds it": held / hit,
                        "more than one": more,
                    }
                )
    return out


def _counted(signal: Signal) -> np.ndarray:
    """For each detector: step found, placed within one, interval holds it, more than one."""
    out = []
    for rows in found_by(signal).values():
        off = off_by(signal, rows)
        out.append([off < 6, off <= 1, covered(signal, rows) and off < 6, len(rows) > 1])
    return np.array(out, dtype=float)


def other_shapes(count: int, seed: int) -> list[dict[str, object]]:
    """Share of series with a change of another shape in which a detector finds any."""
    k = np.arange(N)
    shapes: dict[str, Callable[[Rng], np.ndarray]] = {
        "slow rise of 30 over 20 checkpoints": lambda rng: 30 * sigmoid(N, 30, 4),
        "slow rise of 6 over 10 checkpoints": lambda rng: 6 * sigmoid(N, 30, 2),
        "rise of 3 at 20, fall at 45": lambda rng: 3.0 * ((k >= 20) & (k < 45)),
        "rises of 3 at 20 and 40": lambda rng: 3.0 * (k >= 20) + 3.0 * (k >= 40),
    }
    out: list[dict[str, object]] = []
    for shape, make in shapes.items():
        for phi in (0.0, 0.3):
            rng = np.random.default_rng([seed, len(shape), int(10 * phi)])
            hits, counts = dict.fromkeys(DETECTORS, 0), dict.fromkeys(DETECTORS, 0)
            for _ in range(count):
                values = make(rng) + ar1(rng, N, phi)
                for name, rows in found_by(Signal(log_steps(N), values, np.full(N, 0.3))).items():
                    hits[name] += len(rows) > 0
                    counts[name] += len(rows)
            cell: dict[str, object] = {"shape": shape, "phi": phi}
            for name in DETECTORS:
                cell[name] = hits[name] / count
                cell[f"{name}: transitions"] = counts[name] / max(hits[name], 1)
            out.append(cell)
    return out


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


def seconds_per_series(count: int, seed: int) -> float:
    """Both detectors, series with missing points, one thread."""
    rng = np.random.default_rng(seed)
    signals = [spoil(rng, steps_in_noise(rng, N, ((30, 3.0),), 0.3)) for _ in range(count)]
    start = time.process_time()
    for signal in signals:
        found_by(signal)
    return (time.process_time() - start) / count


def _cell(phi: float, spoiled: bool, series: int) -> dict[str, object]:
    steps = "uneven, missing, failed" if spoiled else "even, complete"
    return {"steps": steps, "phi": phi, "series": series}


def _table(rows: list[dict[str, object]]) -> str:
    frame = pd.DataFrame(rows)
    head = "| " + " | ".join(frame.columns) + " |\n|" + " --- |" * len(frame.columns)
    lines = [
        "| " + " | ".join(f"{v:.3g}" if isinstance(v, float) else str(v) for v in row) + " |"
        for row in frame.itertuples(index=False)
    ]
    return "\n".join([head, *lines])


def _head(count: int, seed: int) -> str:
    def error(rate: float, series: int) -> str:
        return f"±{1.96 * np.sqrt(rate * (1 - rate) / series):.3f}"

    packages = ", ".join(f"{p} {version(p)}" for p in ("numpy", "scipy", "ruptures", "pandas"))
    again = AGAIN * count
    return (
        f"{count} series a cell, {N} checkpoints unless said otherwise: a rate of 0.05 is known to "
        f"{error(0.05, count)} (95 %), one of 0.9 to {error(0.9, count)}. A cell on the wrong side "
        f"of what is wanted is judged again by {again} new series alone, whatever they show "
        f"(column series): {error(0.05, again)} and {error(0.9, again)}. Seed {seed}; the "
        f"detectors were calibrated on other series. Python {platform.python_version()}, "
        f"{packages}; 2 cores, CPU."
    )


def report(count: int, seed: int, workers: int) -> str:
    """The whole benchmark as Markdown."""
    start = time.perf_counter()
    sections: list[tuple[str, Callable[[int, int], list[dict[str, object]]], int]] = [
        ("planted", planted_steps, count),
        ("false", false_transitions, count),
        ("shapes", other_shapes, max(count // 4, 10)),
        ("associations", false_associations, count),
        ("lags", planted_lags, count),
    ]
    with ProcessPoolExecutor(workers) as pool:
        jobs = {n: pool.submit(f, c, seed + k) for k, (n, f, c) in enumerate(sections)}
        table = {name: _table(job.result()) for name, job in jobs.items()}
    parts = [
        "# Error rates of transitions and associations",
        _head(count, seed),
        f"## False transitions: series without change (wanted: at most {FALSE})",
        table["false"],
        f"## Planted steps of 3 marginal standard deviations (wanted: found {FOUND}, "
        f"placed of all {PLACED})",
        "Found: a transition of the right sign within 5 checkpoints. Placed: within one. "
        "Steps lie at least 6 checkpoints from both ends.",
        table["planted"],
        "## Changes of other shapes, in noise of marginal standard deviation 1",
        table["shapes"],
        f"## Associations of independent series with p ≤ 0.05 (wanted: at most {ASSOCIATED})",
        table["associations"],
        "## Planted lags of -5 to 5 checkpoints",
        table["lags"],
        f"Both detectors together: {1e3 * seconds_per_series(50, seed):.0f} ms of CPU a series. "
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
    if args.out is None:
        print(text)
    else:
        args.out.write_text(text)


if __name__ == "__main__":
    main()
