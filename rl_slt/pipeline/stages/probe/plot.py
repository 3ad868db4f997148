"""`probes.png`: all goal probes of a run over training, and of a study with a column per run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from agents import write_bytes
from rl_slt.errors import InputError
from rl_slt.pipeline.disk.layout import Run, Study
from rl_slt.pipeline.disk.store import read_table

NAME = "probes.png"
_COLUMNS = 12  # runs in the picture of a study; more would be too wide to read


def draw_probes(runs: Sequence[Run], anew: bool = True) -> None:
    """Write the picture of each run, and of each study that one of them is in.

    Args:
        runs: probed runs; one without any score gets no picture.
        anew: also where there is a picture already.
    """
    pictures = {run.path / NAME: [run] for run in runs}
    for folder in dict.fromkeys(run.path.parent.parent for run in runs):
        if (folder / "study.json").is_file():
            pictures[folder / NAME] = Study(folder).runs[:_COLUMNS]
    for path, shown in pictures.items():
        if anew or not path.exists():
            _draw(path, shown)


def _draw(path: Path, runs: Sequence[Run]) -> None:
    from analysis.probes import figure_png, plot_scores  # slow to import

    tables = [run.tables / "probes.parquet" for run in runs]
    frames = [frame for p in tables if p.exists() and len(frame := read_table(p))]
    try:
        if frames:
            write_bytes(path, figure_png(plot_scores(pd.concat(frames, ignore_index=True))))
    except InputError:  # nothing but failures so far: no picture, the failures are told elsewhere
        return
