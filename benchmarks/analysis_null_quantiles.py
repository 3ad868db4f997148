"""Makes `analysis/transitions/null_quantiles.csv`, what series without change exceed.

python benchmarks/analysis_null_quantiles.py --out FILE --series 16000
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "analysis"))  # where the synthetic series are

from synthetic_series import ar1  # noqa: E402

from analysis.transitions.evidence import gains_by_shape  # noqa: E402
from analysis.transitions.points import Axis  # noqa: E402
from analysis.transitions.shapes import build_family  # noqa: E402

Array = npt.NDArray[np.float64]
SIZES = (8, 10, 12, 14, 16, 20, 25, 30, 40, 50, 60, 80, 120)
TRUE_PHIS = (0.0, 0.5, 0.7, 0.8, 0.85, 0.9)
TAILS = (0.5, 0.3, 0.2, 0.1, 0.07, 0.05, 0.035, 0.02, 0.01, 0.005, 0.002, 0.001)
BATCH = 250
SHARES = {  # of the error rate, nearly all of it to the single step; the first has no offset
    "step": {"1": 0.048, "2 steps": 0.0025, "3 steps": 0.0015, "4 steps": 0.001},
    "ramp": {
        "1": 0.048, "4": 0.004, "8": 0.002, "16": 0.002, "24": 0.002,
        "two 1": 0.0015, "two 4": 0.001, "two 8": 0.001,
    },
}  # fmt: skip


def calibrate(m: int, draws: int, rng: np.random.Generator) -> list[dict[str, object]]:
    """A row for each family: offsets of its shapes and quantiles of its statistic at m points."""
    axis = Axis(np.arange(m, dtype=float), np.ones(m))
    gains: dict[str, list[dict[str, Array]]] = {name: [] for name in SHARES}
    for phi in TRUE_PHIS:
        noise = np.split(ar1(rng, m, phi, size=draws), draws // BATCH)
        for name, found in gains.items():
            family = build_family(name, axis.index)
            batches = [gains_by_shape(values, axis, family)[0] for values in noise]
            found.append({p: np.concatenate([b[p] for b in batches]) for p in batches[0]})
    return [{"family": name, "points": m} | _row(SHARES[name], gains[name]) for name in gains]


def _row(shares: dict[str, float], found: list[dict[str, Array]]) -> dict[str, float]:
    level = {
        shape: max(float(np.quantile(of[shape], 1.0 - shares[shape])) for of in found)
        for shape in found[0]
    }
    offsets = {shape: round(level[shape] - level["1"], 2) for shape in level}
    statistic = [np.max([of[shape] - offsets[shape] for shape in of], axis=0) for of in found]
    tails = np.max([np.quantile(t, 1.0 - np.array(TAILS)) for t in statistic], axis=0)
    row = {f"offset {shape}": offsets.get(shape, 99.0) for shape in shares}
    return row | {str(tail): float(v) for tail, v in zip(TAILS, np.round(tails, 2), strict=True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=16000, help="of each number of points")
    parser.add_argument("--out", type=Path, required=True, help="CSV file")
    args = parser.parse_args()
    rng = np.random.default_rng(20240517)
    rows: list[dict[str, object]] = []
    for m in SIZES:
        rows += calibrate(m, args.series, rng)
        print(f"{m} points done", flush=True)
    tails = [str(tail) for tail in TAILS]
    table = pd.DataFrame(rows).sort_values(["family", "points"], ascending=[False, True])
    table[[*(c for c in table if c not in tails), *tails]].to_csv(args.out, index=False)


if __name__ == "__main__":
    main()
