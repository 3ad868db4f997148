"""The problems of the table of known answers."""

from __future__ import annotations

from collections.abc import Callable

from rl_slt.known.crossing import crossing
from rl_slt.known.problem import Problem
from rl_slt.known.quadratic import quadratic
from rl_slt.known.reduced_rank import reduced_rank
from rl_slt.known.tabular import tabular

# The reduced-rank values were found by exact sampling, independently of this project.
PROBLEMS: dict[str, Callable[[], Problem]] = {
    "quadratic": lambda: quadratic((4.0, 2.0, 1.0, 0.5, 0.0)),
    "crossing-1-1": lambda: crossing((1, 1)),
    "crossing-1-2": lambda: crossing((1, 2)),
    "tabular": tabular,
    "tabular-short": lambda: tabular(nbeta=300.0),
    "reduced-rank": lambda: reduced_rank((10, 6, 10, 4), exact=36.6, exact_error=0.1),
    "reduced-rank-tight": lambda: reduced_rank(
        (10, 6, 10, 4), exact=25.8, exact_error=0.1, localization=100.0
    ),
    "reduced-rank-zero": lambda: reduced_rank((5, 3, 5, 0), exact=6.1, exact_error=0.05),
}
