"""What the tests over seeds find and what they find falsely, by simulation of whole studies.

    python benchmarks/analysis_power.py [--count N] [--only NAME ...] [--out FILE]

Every number comes from the public functions (`evaluate_hypotheses`, `predict_goal`; case `unlinked`
repeats the former's arithmetic) on tables of planted studies; seeds are fixed, so that a row is the
same on every machine.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis import evaluate_hypotheses, predict_goal
from analysis.hypotheses.design import MOST
from analysis.permutations import arrangements

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "analysis"))
from planted_studies import clock_study, study

Row = tuple[str, str, int, Any, str]  # case, planted, studies, share found, wanted
LINK = {"name": "link", "role": "primary", "kind": "seeds", "series": "llc", "metric": "behind/m0"}
DOSES = {f"d{k}": float(k) for k in range(6)}
TREND = {"name": "trend", "role": "primary", "kind": "dose", "series": "llc", "doses": DOSES,
         "direction": "greater"}  # fmt: skip
DIFFERENCE = {"name": "difference", "role": "primary", "kind": "arms", "series": "llc",
              "arms": ("end", "behind")}  # fmt: skip
METRICS, LINKED = 472, 12


def primary_link(count: int) -> Iterator[Row]:
    """A link of LLC and goal across seeds, as the primary hypothesis."""
    for link in (0.0, 0.85, 0.9, 0.95, 0.99):
        found = [_first(k, LINK, link=link) for k in range(count if link else 4 * count)]
        wanted = ">= 80 %" if link > 0.9 else "<= 5 %" if not link else "-"
        yield "primary link, 2 arms x 5 seeds", f"r = {link}", len(found), np.mean(found), wanted


def exploratory_link(count: int) -> Iterator[Row]:
    """One of 472 pairs, or 12 of them, by max-T over all of them."""
    for link, linked in ((0.95, 1), (0.97, 1), (0.99, 1), (0.95, LINKED), (0.997, LINKED)):
        found = []
        for k in range(count):
            tables = study(np.random.default_rng(k), link=link, linked=linked, metrics=METRICS)
            rows = evaluate_hypotheses(*tables, [])
            names = {f"behind/m{m}" for m in range(linked)}
            found.append(bool((rows[rows["metric"].isin(names)]["p_adjusted"] <= 0.05).any()))
        case = f"exploratory, {linked} of {METRICS} linked: any of these found"
        yield case, f"r = {link}", len(found), np.mean(found), ">= 60 %"


def unlinked(count: int) -> Iterator[Row]:
    """Any of many unlinked pairs found, in many studies.

    Many at the price of their arithmetic (`_least_p`); the first are compared with the public
    function.
    """
    for seeds, metrics, of in ((5, METRICS, 40 * count), (4, 40, 200 * count)):
        planted: dict[str, Any] = {"seeds": seeds, "metrics": metrics}
        p = [_least_p(*study(np.random.default_rng(k), **planted)) for k in range(of)]
        for k in range(3):
            rows = evaluate_hypotheses(*study(np.random.default_rng(k), **planted), [])
            assert abs(rows["p_adjusted"].min() - p[k]) < 1e-9
        case = f"exploratory, 0 of {metrics} linked, 2 arms x {seeds} seeds: any found"
        yield case, "r = 0", len(p), np.mean(np.array(p) <= 0.05), "<= 5 %"


def _least_p(llc: pd.DataFrame, probes: pd.DataFrame) -> float:
    """The share of arrangements whose largest correlation is no smaller than the observed one."""
    arms = llc["arm"].to_numpy()
    of_arm = (arms[:, None] == arms) / np.sum(arms[:, None] == arms, axis=1)
    y = probes["value"].to_numpy().reshape(len(arms), -1).T
    x, y = (v - v @ of_arm for v in (llc["llc"].to_numpy(), y))
    orders = arrangements(tuple(arms), most=MOST)
    moved = np.empty(orders.shape)
    np.put_along_axis(moved, orders, np.broadcast_to(x, orders.shape), axis=1)
    largest = np.abs(moved @ (y / np.linalg.norm(y, axis=1, keepdims=True)).T).max(axis=1)
    return float(np.mean(largest >= largest[0] * (1 - 1e-9)))


def dose_trend(count: int) -> Iterator[Row]:
    """A trend linear in the rank of the dose, one-sided."""
    for rise in (0.0, 1.0, 1.5, 2.0):
        of = 400 if rise == 0.0 else 4 * count
        found = [_first(k, TREND, arms=tuple(DOSES), rise=rise) for k in range(of)]
        wanted = {0.0: "<= 5 %", 1.5: ">= 80 %"}.get(rise, "-")
        yield (
            "dose trend, 6 doses x 5 seeds",
            f"{rise} sd over the range",
            of,
            np.mean(found),
            wanted,
        )


def unequal_arms(count: int) -> Iterator[Row]:
    """Two arms of equal means whose numbers of runs and spreads differ, and planted rises."""
    counts = ((2, 7), (3, 6), (5, 5))
    equal, wide = (1.0, 1.0), ((5.0, 1.0), (1.0, 5.0))
    cases = [(of, spreads, 0.0, way) for of in counts for spreads in (equal, *wide)
             for way in ("greater", "two-sided")
             if of[0] < of[1] or spreads != wide[1]]  # fmt: skip
    cases += [((4, 6), equal, 2.0, "greater"), ((5, 5), equal, 2.0, "greater")]
    for sizes, spreads, rise, way in cases:
        of = 4 * count if rise else 8 * count
        claim = DIFFERENCE | {"direction": way}
        planted = {"seeds": sizes, "spreads": spreads, "rise": rise}
        found = [_first(10_000 + k, claim, **planted) for k in range(of)]
        runs = " and ".join(f"{n} runs of sd {sd:g}" for n, sd in zip(sizes, spreads, strict=True))
        wanted = "-" if rise or sizes[0] == 2 else "<= 5 %"
        yield f"difference of arms, {runs}, {way}", f"{rise:g} sd", of, np.mean(found), wanted


def clock(count: int) -> Iterator[Row]:
    """A predictor that is smooth in the step and blind to the seed, and one that is not."""
    for runs in (10, 30):
        for seen in (0.0, 1.0):
            p = []
            for k in range(4 * count if seen == 0.0 else count):
                tables = clock_study(np.random.default_rng(k), runs=runs, seen=seen)
                found = predict_goal(*tables)
                p.append(found[found["model"] == "baseline + llc"]["p_value"].iloc[0] <= 0.05)
            what = "LLC that sees its seed's goal" if seen else "clock LLC"
            wanted = "found" if seen else "<= 5 % (+ 2 se)"
            yield f"prediction, {runs} runs in two arms", what, len(p), np.mean(p), wanted


CASES: dict[str, Callable[[int], Iterator[Row]]] = {
    "primary": primary_link, "exploratory": exploratory_link, "unlinked": unlinked,
    "dose": dose_trend, "spread": unequal_arms, "clock": clock,
}  # fmt: skip


def _first(seed: int, claim: Mapping[str, Any], **planted: Any) -> bool:
    tables = study(np.random.default_rng(seed), **planted)
    return bool(evaluate_hypotheses(*tables, [claim])["p_adjusted"].iloc[0] <= 0.05)


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=50, help="planted studies of a row")
    parser.add_argument("--only", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--out", type=Path, help="Markdown file; left out, the screen")
    options = parser.parse_args()
    lines = [
        "| case | planted | studies | found at 5 % | wanted |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name in options.only:
        for case, planted, of, share, wanted in CASES[name](options.count):
            error = np.sqrt(max(share * (1 - share), 0.25 / of) / of)
            line = f"| {case} | {planted} | {of} | {share:.1%} ± {error:.1%} | {wanted} |"
            print(line, flush=True)
            lines.append(line)
    if options.out:
        options.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
