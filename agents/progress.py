"""progress.csv and TensorBoard: one row per update of the policy."""

import csv
import io
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# Returns and lengths are means over the last 100 episodes; returns are raw.
COLUMNS = (
    "step", "mean_return", "mean_length", "policy_loss", "value_loss", "entropy", "approx_kl",
    "clip_fraction", "grad_norm", "explained_variance", "learning_rate", "reward_scale",
    "eval_return", "eval_length",
)  # fmt: skip


class ProgressFile:
    """Appends rows to progress.csv; a resumed run first drops what the resume point lacks.

    Rows hold nothing that depends on the clock, so that equal runs have equal files.
    """

    def __init__(self, path: Path, length: int = 0, columns: Sequence[str] = COLUMNS):
        """Open `path`, keeping its first `length` bytes, for rows of these columns."""
        self.columns = columns
        self.file = path.open("a+b")
        self.file.truncate(length)
        if length == 0:
            self._write([list(columns)])

    @property
    def length(self) -> int:
        """Bytes written so far."""
        return self.file.seek(0, io.SEEK_END)

    def append(self, row: Mapping[str, Any]) -> None:
        """Write the row; a column that it lacks stays empty."""
        self._write([["" if row.get(name) is None else repr(row[name]) for name in self.columns]])

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def _write(self, rows: list[list[str]]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        self.file.write(text.getvalue().encode())
        self.file.flush()


class TensorBoardWriter:
    """Scalars for TensorBoard; nothing at all when `folder` is None."""

    def __init__(self, folder: Path | None, purge_step: int):
        self.writer: Any = None
        if folder is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                from torch.utils.tensorboard import SummaryWriter  # slow to import

                self.writer = SummaryWriter(str(folder), purge_step=purge_step)

    def add(self, row: Mapping[str, Any]) -> None:
        """Write every number of `row` but `step` at that step."""
        if self.writer is None:
            return
        for name, value in row.items():
            if name != "step" and value is not None:
                self.writer.add_scalar(name, value, row["step"])

    def close(self) -> None:
        """Flush and close."""
        if self.writer is not None:
            self.writer.close()
