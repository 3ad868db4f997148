"""The known-answer table for the terminal and for a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch

from agents import write_bytes
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
    chosen, wanted = build_sampler(sampler, None), list(names or known_names())
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the problems are small: threads would mostly wait for each other
    try:
        with meter("known answers", len(wanted)) as bar:
            table = validate(
                wanted,
                sampler=chosen,
                batch_size=batch_size,
                seed=seed,
                progress=lambda done, total: bar.update(done),
            )
    finally:
        torch.set_num_threads(threads)
    if out is not None:
        write_bytes(out, table.to_csv(index=False).encode())
    return table


def text_table(table: pd.DataFrame) -> str:
    """The table in columns: estimate with its interval, exact value, lambda, verdict, seconds.

    `gap` is what finite nbeta and the localization take away from lambda in the exact value.
    """
    shown = pd.DataFrame(
        {
            "problem": table["problem"],
            "sampler": table["sampler"],
            "LLC": table["llc"].map("{:.3f}".format),
            "95 % interval": [
                f"[{a:.3f}, {b:.3f}]" for a, b in zip(table["low"], table["high"], strict=True)
            ],
            "exact": table["exact"].map("{:.3f}".format),
            "lambda": table["lambda"].map(lambda v: "-" if pd.isna(v) else f"{v:.3g}"),
            "gap": table["finite_beta_gap"].map(lambda v: "-" if pd.isna(v) else f"{v:.0%}"),
            "bias": table["bias"].map("{:+.1%}".format),
            "status": table["status"],
            "verdict": table["verdict"],
            "seconds": table["seconds"].map("{:.1f}".format),
        }
    )
    return shown.to_string(index=False)
