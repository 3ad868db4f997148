"""Makes `null_quantiles.py`: `python -m analysis.transitions.calibrate > .../null_quantiles.py`."""

from __future__ import annotations

import sys

import numpy as np
import numpy.typing as npt

from analysis.datasets import ar1
from analysis.transitions.noise import CHANGE_MAX, NULL_MAX, log_volume, phis, whiten
from analysis.transitions.shapes import WIDTHS, Family, build_family

Array = npt.NDArray[np.float64]
SIZES = (8, 10, 12, 14, 16, 20, 25, 30, 40, 50, 60, 80, 120, 200)
TRUE_PHIS = (0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9)
TAILS = (0.5, 0.3, 0.2, 0.1, 0.07, 0.05, 0.035, 0.02, 0.01, 0.005, 0.002, 0.001)


def gains(series: Array, family: Family) -> Array:
    """Best gain in log likelihood of each width, for many series `[s, m]` at once, `[s, w]`."""
    s, m = series.shape
    gaps = np.ones(m - 1)
    widths = np.unique(family.width)
    null, best = np.full(s, -np.inf), np.full((s, len(widths)), -np.inf)
    for phi in phis(NULL_MAX):
        q0 = whiten(np.ones((m, 1)), phi, gaps)
        q0 /= np.linalg.norm(q0)
        q = whiten(family.columns, phi, gaps)
        q -= q0 @ (q0.T @ q)
        q /= np.linalg.norm(q, axis=0)
        e = whiten(series.T, phi, gaps)
        rss = np.sum(e**2, axis=0) - (q0.T @ e)[0] ** 2
        null = np.maximum(null, log_volume(phi, gaps) - 0.5 * m * np.log(rss))
        if phi > CHANGE_MAX:
            continue
        explained = (q.T @ e) ** 2
        for j, width in enumerate(widths):
            left = rss - explained[family.width == width].max(axis=0)
            best[:, j] = np.maximum(best[:, j], log_volume(phi, gaps) - 0.5 * m * np.log(left))
    return best - null[:, None]


def calibrate(m: int, draws: int, rng: np.random.Generator) -> dict[str, tuple[float, ...]]:
    """Quantiles of both families' statistics, and the ramps' offsets, at m points."""
    noise = [ar1(rng, m, phi, size=draws) for phi in TRUE_PHIS]
    out: dict[str, tuple[float, ...]] = {}
    for name in ("step", "ramp"):
        family = build_family(name, np.arange(m, dtype=float))
        of_phi = [gains(series, family) for series in noise]
        high = np.max([np.quantile(g, 0.95, axis=0) for g in of_phi], axis=0)
        offset = np.round(high - high[0], 3)
        of_width = dict(zip(np.unique(family.width), offset, strict=True))
        for width in WIDTHS if name == "ramp" else WIDTHS[:1]:
            out[f"{name}:offset:{width:g}"] = (float(of_width.get(width, offset[-1])),)
        peak = [(g - offset).max(axis=1) for g in of_phi]
        tails = np.max([np.quantile(t, 1.0 - np.array(TAILS)) for t in peak], axis=0)
        out[name] = tuple(float(v) for v in np.round(tails, 2))
    return out


def main() -> None:
    """Print the table as a module."""
    rng = np.random.default_rng(20240517)
    table: dict[str, dict[int, tuple[float, ...]]] = {}
    for m in SIZES:
        for name, row in calibrate(m, 10_000 if m <= 80 else 4_000, rng).items():
            table.setdefault(name, {})[m] = row
        print(f"{m} points done", file=sys.stderr)
    print('"""Null quantiles of the evidence for a change; made by `calibrate.py`, do not edit.\n')
    print("`QUANTILES[statistic][points]`: the statistic exceeded with the probabilities `TAILS`.")
    print('"""\n\n# fmt: off')
    print(f"TAILS = {TAILS}")
    print("QUANTILES: dict[str, dict[int, tuple[float, ...]]] = {")
    for name, rows in table.items():
        print(f'    "{name}": {{')
        print("\n".join(f"        {m}: {row}," for m, row in rows.items()))
        print("    },")
    print("}")


if __name__ == "__main__":
    main()
