"""Makes `null_quantiles.py`: run `python -m analysis.transitions.calibrate FILE 16000`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from analysis.datasets import ar1
from analysis.transitions.evidence import parts
from analysis.transitions.points import Axis
from analysis.transitions.shapes import build_family

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
Rows = dict[str, tuple[float, ...]]


def calibrate(m: int, draws: int, rng: np.random.Generator) -> Rows:
    """Offsets of the parts and quantiles of both families' statistics at m points."""
    axis = Axis(np.arange(m, dtype=float), np.ones(m))
    gains: dict[str, list[dict[str, Array]]] = {"step": [], "ramp": []}
    for phi in TRUE_PHIS:
        noise = np.split(ar1(rng, m, phi, size=draws), draws // BATCH)
        for name, found in gains.items():
            family = build_family(name, axis.index)
            batches = [parts(values, axis, family)[0] for values in noise]
            found.append({p: np.concatenate([b[p] for b in batches]) for p in batches[0]})
    out: Rows = {}
    for name, found in gains.items():
        out |= _rows(name, found)
    return out


def _rows(name: str, found: list[dict[str, Array]]) -> Rows:
    shares = SHARES[name]
    level = {
        part: max(float(np.quantile(of[part], 1.0 - shares[part])) for of in found)
        for part in found[0]
    }
    offsets = {part: round(level[part] - level["1"], 2) for part in level}
    statistic = [np.max([of[part] - offsets[part] for part in of], axis=0) for of in found]
    tails = np.max([np.quantile(t, 1.0 - np.array(TAILS)) for t in statistic], axis=0)
    rows: Rows = {f"{name}:{part}": (offsets.get(part, 99.0),) for part in shares}
    return rows | {name: tuple(float(v) for v in np.round(tails, 2))}


def module(table: dict[str, dict[int, tuple[float, ...]]]) -> str:
    """The table as the text of a module."""
    lines = [
        '"""Null quantiles of the evidence for a change; made by `calibrate.py`, do not edit.\n',
        "`QUANTILES[statistic][points]`: what series without change exceed with the probabilities",
        "`TAILS`; `QUANTILES[statistic:part][points]`: the offset of a part.",
        '"""\n\n# fmt: off',
        f"TAILS = {TAILS}",
        "QUANTILES: dict[str, dict[int, tuple[float, ...]]] = {",
    ]
    for name, rows in table.items():
        if len(next(iter(rows.values()))) == 1:
            lines.append(f'    "{name}": {{')
            pairs = [f"{m}: {row}" for m, row in rows.items()]
            lines += ["        " + ", ".join(pairs[k : k + 5]) + "," for k in (0, 5, 10)]
        else:
            lines.append(f'    "{name}": {{')
            lines += [f"        {m}: {row}," for m, row in rows.items()]
        lines.append("    },")
    return "\n".join([*lines, "}", ""])


def main() -> None:
    """Simulate and write the module."""
    rng = np.random.default_rng(20240517)
    table: dict[str, dict[int, tuple[float, ...]]] = {}
    for m in SIZES:
        for name, row in calibrate(m, int(sys.argv[2]), rng).items():
            table.setdefault(name, {})[m] = row
        print(f"{m} points done", flush=True)
    Path(sys.argv[1]).write_text(module(table))


if __name__ == "__main__":
    main()
