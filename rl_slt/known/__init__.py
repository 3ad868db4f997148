"""Problems whose learning coefficient is known, by the names of the table of known answers."""

from collections.abc import Callable

from rl_slt.known.matrix_products import deep_linear, low_rank, reduced_rank
from rl_slt.known.problems import Problem, crossing, quadratic, tabular

# Values with an error were found by benchmarks/llc_truths.py: exact sampling, in code of its own.
# They belong to the weights that the seeds of these problems draw.
PROBLEMS: dict[str, Callable[[], Problem]] = {
    "quadratic": lambda: quadratic((4.0, 2.0, 1.0, 0.5, 0.0)),
    "crossing-1-1": lambda: crossing((1, 1)),
    "crossing-1-2": lambda: crossing((1, 2)),
    "tabular": tabular,
    "tabular-short": lambda: tabular(nbeta=300.0),
    "reduced-rank": lambda: reduced_rank((10, 6, 10, 4), exact=36.93, exact_error=0.06),
    "reduced-rank-tight": lambda: reduced_rank(
        (10, 6, 10, 4), exact=26.60, exact_error=0.05, localization=100.0
    ),
    "reduced-rank-zero": lambda: reduced_rank((5, 3, 5, 0), exact=5.99, exact_error=0.02),
    "deep-linear": lambda: deep_linear((4, 4, 4, 4), 2, exact=5.96, exact_error=0.02),
    "low-rank": lambda: low_rank((12, 4, 6, 2), exact=13.48, exact_error=0.03),
}
QUICK = ("quadratic", "crossing-1-1", "tabular", "low-rank")
