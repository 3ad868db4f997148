"""Finished and failed work items of a run, and its tables.

A work item (one LLC estimate, the probes of one checkpoint) yields a few tables under a key of all
that it depends on. It is there completely or not at all, also after kill -9, and two commands that
computed the same item cannot harm each other. The tables of a run are assembled from its items.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from agents import (
    Run,
    TrainConfig,
    atomic_dir,
    make_folder,
    read_json_object,
    remove_leftovers,
    write_atomic,
    write_json,
)
from analysis import schema
from rl_slt.errors import InputError
from rl_slt.pipeline.disk.layout import Study
from rl_slt.settings_model import SettingsModel
from rl_slt.versions import STAGES


def digest(value: Any) -> str:
    """A short hash of a JSON-able value, the same whatever the order of keys."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_settings
    )
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def _settings(value: SettingsModel) -> dict[str, Any]:
    return value.as_dict()


def file_digest(path: Path) -> str:
    """The hash of a file's bytes; `unreadable` where they cannot be read.

    Whoever loads the file will fail and say why; planning the other items must not.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:20]
    except OSError:
        return "unreadable"


@dataclass(frozen=True)
class StageItems:
    """What a stage says of its work items, by which `rl-slt status` counts them.

    Attributes:
        stage: its name, and the kind of its items.
        table: a table of each item, which names checkpoints.
        series: columns of the table that tell its series apart.
        planned: names of the series that the `settings` and `arms` of a study ask for of a run,
            by its training; None where that cannot be read.
        per_checkpoint: whether one item holds all series of a checkpoint.
        of: how many checkpoints have an item, by the settings and how many there are.
        optional: whether a run without any lacks nothing.
    """

    stage: str
    table: str
    series: tuple[str, ...]
    planned: Callable[[dict[str, Any], TrainConfig | None], list[str]] = lambda settings, train: []
    per_checkpoint: bool = False
    of: Callable[[dict[str, Any], int], int] = lambda settings, checkpoints: checkpoints
    optional: bool = False


@dataclass(frozen=True)
class ItemStore:
    """The finished work items of one kind in one run: `parts/KIND/KEY/TABLE.parquet`."""

    run: Path
    kind: str

    @property
    def root(self) -> Path:
        """Folder of this kind's items."""
        return self.run / "parts" / self.kind

    def has(self, key: str) -> bool:
        """Whether the item is finished."""
        return (self.root / key).is_dir()

    def keys(self) -> list[str]:
        """Keys of the finished items, sorted."""
        if not self.root.is_dir():
            return []
        return sorted(p.name for p in self.root.iterdir() if not p.name.startswith("."))

    def times(self) -> list[float]:
        """When each finished item was written, in seconds."""
        return [(self.root / key).stat().st_mtime for key in self.keys()]

    def put(self, key: str, tables: Mapping[str, pd.DataFrame]) -> None:
        """Store a finished item; one that is there already is left as it is."""
        if self.has(key):
            return
        try:
            with atomic_dir(self.root / key) as folder:
                for name, frame in tables.items():
                    path = folder / f"{name}.parquet"
                    schema.conform(name, frame).to_parquet(path, index=False)
        except OSError:
            if not self.has(key):  # another process may have finished the same item meanwhile
                raise

    def read(self, table: str) -> pd.DataFrame:
        """The rows of one table over all finished items, in the order of the keys.

        Raises:
            InputError: an item's file does not read; it names the folder to delete.
        """
        known = [key for key in self.keys() if (self.root / key / f"{table}.parquet").exists()]
        frames = [frame for key in known if len(frame := self.read_item(key, table))]
        return pd.concat(frames, ignore_index=True) if frames else schema.empty(table)

    def read_item(self, key: str, table: str) -> pd.DataFrame:
        """One table of one finished item; of a run that was copied, under its new folder's name.

        Raises:
            InputError: it does not read; the folder to delete is named.
        """
        folder = self.root / key
        return read_table(folder / f"{table}.parquet", folder).assign(run=self.run.name)


@dataclass(frozen=True)
class Failure:
    """A work item that failed: `when` is local time."""

    item: str
    reason: str
    when: str


def record_failure(run: Run, item: str, reason: str) -> None:
    """Keep that the work item failed, or (without a reason) forget that it did once.

    A disk that takes no more is no further failure: the command reports the item all the same.
    """
    if not run.exists:  # a run that did not begin leaves no folder
        return
    path = run.path / "failed" / f"{digest(item)}.json"
    with contextlib.suppress(OSError):
        if reason:
            write_json(path, {"item": item, "reason": reason, "when": time.strftime("%F %T")})
        else:
            path.unlink(missing_ok=True)


def failures(run: Run) -> list[Failure]:
    """What failed in the run and has not succeeded since, by item; damaged notes are left out."""
    found = []
    for path in (run.path / "failed").glob("*.json"):
        with contextlib.suppress(InputError, KeyError):
            record = read_json_object(path)
            found.append(Failure(*(str(record[name]) for name in ("item", "reason", "when"))))
    return sorted(found, key=lambda failure: failure.item)


def clear_leftovers(folder: Path) -> None:
    """Delete what killed processes left half-written in a run or study, whatever runs meanwhile."""
    for place in (folder, *folder.glob("*/"), *folder.glob("parts/*/")):
        remove_leftovers(place)


def read_table(path: Path, item: Path | None = None) -> pd.DataFrame:
    """A Parquet table.

    Args:
        path: its file.
        item: the folder of the finished item that it is of: while that is there, none is made.

    Raises:
        InputError: if the file is missing or is no Parquet table.
    """
    try:
        return pd.read_parquet(path)
    except FileNotFoundError:
        again = f"; delete {item} to make it again" if item is not None and item.is_dir() else ""
        raise InputError(f"{path} is missing{again}") from None
    except (OSError, ValueError, KeyError) as error:  # pyarrow's errors derive from these
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{path} is not a readable table ({reason}); delete {item or 'it'} to make it again"
        ) from None


def write_table(table: str, frame: pd.DataFrame, owner: Run | Study) -> None:
    """Write one of the run's or study's tables, whole or not at all.

    Every row of a run's table is of the run's arm; those of a study come with theirs. What is
    derived again each time is of the present version.
    """
    arm = {"arm": owner.arm} if isinstance(owner, Run) else {}
    version = {"version": STAGES[table]} if table in schema.DERIVED else {}
    data = schema.conform(table, frame.assign(**arm, **version))
    make_folder(owner.tables)
    path = owner.tables / f"{table}.parquet"
    write_atomic(path, lambda temporary: data.to_parquet(temporary, index=False))
