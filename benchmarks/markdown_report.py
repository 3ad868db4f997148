"""What benchmarks that write Markdown share: tables of rows, and where the text goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table, numbers with three digits."""
    frame = pd.DataFrame(rows)
    head = "| " + " | ".join(frame.columns) + " |\n|" + " --- |" * len(frame.columns)
    lines = [
        "| " + " | ".join(f"{v:.3g}" if isinstance(v, float) else str(v) for v in row) + " |"
        for row in frame.itertuples(index=False)
    ]
    return "\n".join([head, *lines])


def publish(text: str, out: Path | None) -> None:
    """Write the text to a file, or print it where none is given."""
    if out is None:
        print(text)
    else:
        out.write_text(text)
