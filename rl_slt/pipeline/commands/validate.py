"""The known-answer table for the terminal and for a file."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from agents import write_bytes
from analysis import KNOWN_ANSWERS
from rl_slt.known.problem import Answer, Source
from rl_slt.known.validate import known_names, validate
from rl_slt.pipeline.engine.progress import meter
from rl_slt.pipeline.plan.by_name import build_sampler


def run_validation(
    names: Sequence[str],
    sampler: str,
    seed: int,
    out: Path | None = None,
    batch_size: int | None = None,
) -> pd.DataFrame:
    """Estimate the named problems (none: all), with progress, and write the table as CSV.

    Raises:
        InputError: for an unknown problem or sampler.
    """
    further = {name: partial(_of_behavior, name) for name in KNOWN_ANSWERS}
    chosen, wanted = build_sampler(sampler, None), list(names or (*known_names(), *further))
    with meter("known answers", len(wanted)) as bar:
        table = validate(
            wanted,
            sampler=chosen,
            batch_size=batch_size,
            seed=seed,
            further=further,
            progress=lambda done, total: bar.update(done),
        )
    if out is not None:
        write_bytes(out, table.to_csv(index=False).encode())
    return table


def _of_behavior(name: str, *_: object) -> Answer:
    """A known answer of `analysis`, which no chain gives: any difference would be an error."""
    value, exact = KNOWN_ANSWERS[name]()
    return Answer(Source("none", 0, math.nan, math.nan, "ok"), value, 0.0, exact)


def text_table(table: pd.DataFrame) -> str:
    """The table in columns: estimate with its interval, exact value, lambda, verdict, seconds.

    `gap` is what finite nbeta and the localization take away from lambda in the exact value.
    """
    low, high = table["low"].map(_number(".3f")), table["high"].map(_number(".3f"))
    shown = pd.DataFrame(
        {
            "problem": table["problem"],
            "sampler": table["sampler"],
            "LLC": table["llc"].map(_number(".3f")),
            "95 % interval": "[" + low + ", " + high + "]",
            "exact": table["exact"].map(_number(".3f")),
            "lambda": table["lambda"].map(_number(".3g")),
            "gap": table["finite_beta_gap"].map(_number(".0%")),
            "bias": table["bias"].map(_number("+.1%")),
            "status": table["status"],
            "verdict": table["verdict"],
            "seconds": table["seconds"].map(_number(".1f")),
        }
    )
    return shown.to_string(index=False)


def _number(form: str) -> Callable[[float], str]:
    """The number as text, a dash where there is none."""
    return lambda value: "-" if pd.isna(value) else format(value, form)
