"""Finished units of work: each is written whole or not at all, under a key of all it depends on.

A unit (one LLC estimate, the probes of one checkpoint) yields a few tables. They are written to a
folder beside and renamed, so a unit is there completely or not at all, also after kill -9, and two
commands that computed the same unit cannot harm each other. The tables of a run are assembled from
its units.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from agents import clean_dead, new_dir, publish_dir, write_atomic
from analysis import schema
from rl_slt.errors import InputError
from rl_slt.pipeline.disk.layout import Run, Study
from rl_slt.settings_model import SettingsModel


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

    Whoever loads the file will fail and say why; planning the other units must not.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:20]
    except OSError:
        return "unreadable"


@dataclass(frozen=True)
class UnitStore:
    """The finished units of one kind in one run: `parts/KIND/KEY/TABLE.parquet`."""

    run: Path
    kind: str

    @property
    def root(self) -> Path:
        """Folder of this kind's units."""
        return self.run / "parts" / self.kind

    def has(self, key: str) -> bool:
        """Whether the unit is finished."""
        return (self.root / key).is_dir()

    def keys(self) -> list[str]:
        """Keys of the finished units, sorted."""
        if not self.root.is_dir():
            return []
        return sorted(p.name for p in self.root.iterdir() if not p.name.startswith("."))

    def times(self) -> list[float]:
        """When each finished unit was written, in seconds."""
        return [(self.root / key).stat().st_mtime for key in self.keys()]

    def put(self, key: str, tables: Mapping[str, pd.DataFrame]) -> None:
        """Store a finished unit; a unit that is there already is left as it is."""
        if self.has(key):
            return
        beside = new_dir(self.root / key)
        try:
            for name, frame in tables.items():
                path = beside / f"{name}.parquet"
                # An arm's name changes no number, and a unit may be shared by arms: it stays out.
                schema.conform(name, frame).drop(columns="arm").to_parquet(path, index=False)
            publish_dir(beside, self.root / key)
        except OSError:
            if not self.has(key):  # another process may have finished the same unit meanwhile
                raise
        finally:
            shutil.rmtree(beside, ignore_errors=True)

    def read(self, table: str) -> pd.DataFrame:
        """The rows of one table over all finished units, in the order of the keys.

        Raises:
            InputError: if a unit's file does not read; it names the folder to delete.
        """
        frames = []
        for key in self.keys():
            if (self.root / key / f"{table}.parquet").exists():
                frames.append(self.read_unit(key, table))
        frames = [frame for frame in frames if len(frame)]
        return pd.concat(frames, ignore_index=True) if frames else schema.empty(table)

    def read_unit(self, key: str, table: str) -> pd.DataFrame:
        """One table of one finished unit."""
        return read_table(self.root / key / f"{table}.parquet")


def clear_leftovers(folder: Path) -> None:
    """Delete what killed processes left half-written in a run or study, whatever runs meanwhile."""
    for place in (folder, *folder.glob("*/"), *folder.glob("parts/*/")):
        clean_dead(place)


def read_table(path: Path) -> pd.DataFrame:
    """A Parquet table.

    Raises:
        InputError: if the file is missing or is no Parquet table.
    """
    try:
        return pd.read_parquet(path)
    except FileNotFoundError:
        raise InputError(f"{path} is missing") from None
    except (OSError, ValueError, KeyError) as error:  # pyarrow's errors derive from these
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{path} is not a readable table ({reason}); delete it to make it anew"
        ) from None


def write_table(table: str, frame: pd.DataFrame, owner: Run | Study) -> None:
    """Write one of the run's or study's tables, whole or not at all.

    Every row of a run's table is of the run's arm; those of a study come with theirs.
    """
    data = schema.conform(table, frame.assign(arm=owner.arm) if isinstance(owner, Run) else frame)
    owner.tables.mkdir(parents=True, exist_ok=True)
    path = owner.tables / f"{table}.parquet"
    write_atomic(path, lambda temporary: data.to_parquet(temporary, index=False))
