"""What an experiment is: restartable parts in stages, and a page about what they found."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from agents import write_atomic, write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Size = Literal["small", "default", "large"]


@dataclass(frozen=True)
class Part:
    """One piece of work: it leaves the rows of a table, whole or not at all.

    Attributes:
        table: that its rows belong to.
        name: of its own, a file's.
        call: `call(out, **settings)` gives the rows; what else it writes goes under `out`.
        settings: plain values.
    """

    table: str
    name: str
    call: Callable[..., pd.DataFrame]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def path(self, out: Path) -> Path:
        """Where its rows lie."""
        return out / "parts" / self.table / f"{self.name}.parquet"

    def make(self, out: Path) -> None:
        """Compute the rows and store them, unless they are there."""
        if not self.path(out).exists():
            rows = self.call(out, **self.settings)
            write_atomic(self.path(out), lambda path: rows.to_parquet(path, index=False))


@dataclass(frozen=True)
class Page:
    """What an experiment found, for its report.

    Attributes:
        statements: sentences, each `reproduced`, `not reproduced` or a plain measurement.
        figures: with their captions.
        tables: with their captions.
    """

    statements: Sequence[str]
    figures: Sequence[tuple[str, Figure]]
    tables: Sequence[tuple[str, pd.DataFrame]]


@dataclass(frozen=True)
class Experiment:
    """A published experiment, made again.

    Attributes:
        name: of the preset.
        question: what it is to answer.
        source: the publication.
        stages: from a size and a seed to parts; those of a stage read what the stages before left.
        page: from the tables by name to what is shown.
    """

    name: str
    question: str
    source: str
    stages: Callable[[Size, int], Sequence[Sequence[Part]]]
    page: Callable[[Mapping[str, pd.DataFrame]], Page]

    def tables(self, out: Path, size: Size, seed: int) -> dict[str, pd.DataFrame]:
        """The rows of all finished parts, by table; also written to `out/tables`."""
        rows: dict[str, list[pd.DataFrame]] = {}
        for part in (part for stage in self.stages(size, seed) for part in stage):
            if part.path(out).exists():
                rows.setdefault(part.table, []).append(pd.read_parquet(part.path(out)))
        found = {name: pd.concat(parts, ignore_index=True) for name, parts in rows.items()}
        for name, table in found.items():
            write_atomic(
                out / "tables" / f"{name}.parquet",
                lambda path, table=table: table.to_parquet(path, index=False),  # type: ignore[misc]
            )
        return found

    def report(self, out: Path, size: Size, seed: int) -> tuple[Path, Page]:
        """Write `out/report.html`, one page that needs no other file."""
        page = self.page(self.tables(out, size, seed))
        write_bytes(out / "report.html", _html(self, page, f"size {size}, seed {seed}").encode())
        return out / "report.html", page


STYLE = (
    "body{font:16px/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;font-size:14px;display:block;overflow-x:auto}"
    "td,th{padding:.15rem .6rem;text-align:right}"
    "img{max-width:100%}figcaption{color:#555}"
)


def _html(experiment: Experiment, page: Page, settings: str) -> str:
    parts = [f"<li>{escape(text)}</li>" for text in page.statements]
    body = [f"<h1>{escape(experiment.name)}</h1><p>{escape(experiment.question)}</p>"]
    body += [f"<p>After {escape(experiment.source)}; {escape(settings)}.</p>"]
    body += [f"<h2>Found</h2><ul>{''.join(parts)}</ul>"]
    for caption, figure in page.figures:
        data = io.BytesIO()
        figure.savefig(data, format="png", dpi=110)
        image = b64encode(data.getvalue()).decode()
        body.append(
            f'<figure><img alt="{escape(caption)}" src="data:image/png;base64,{image}">'
            f"<figcaption>{escape(caption)}</figcaption></figure>"
        )
    for caption, table in page.tables:
        body.append(f"<h3>{escape(caption)}</h3>")
        body.append(table.to_html(index=False, border=0, float_format="{:.4g}".format))
    head = f'<meta charset="utf-8"><title>{escape(experiment.name)}</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(body)}</body></html>'
