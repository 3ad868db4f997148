"""A run on disk: what lies where in its folder, and what its `config.json` says.

config.json               frozen settings, versions, command, arm, seed
checkpoints/STEP/         see `agents.checkpoints`
resume/STEP/              see `agents.resume`
progress.csv, tensorboard/
parts/KIND/               finished work items of the studies of this run
tables/                   what is assembled from them
"""

import csv
import datetime
import re
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from agents.checkpoints import Checkpoint, find_checkpoint, is_finished, list_checkpoints, versions
from agents.config import TrainConfig
from agents.files import read_json_object
from rl_slt import InputError

CONFIG, PROGRESS = "config.json", "progress.csv"
FORMAT = 1
"""Version of the folders of runs and studies (`docs/architecture.md`, "A run folder")."""
LOCK = ".lock"
"""Name of the file that says that a run is at work."""
UNNAMED = "unnamed"
"""The arm of a run that belongs to no condition of a study."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=-]{0,99}")


@dataclass(frozen=True)
class Run:
    """One training, or one imported agent, on disk.

    Attributes:
        path: its folder.
    """

    path: Path

    @property
    def name(self) -> str:
        """The folder's name; the `run` column of every table."""
        return self.path.name

    @property
    def exists(self) -> bool:
        """Whether the run has begun: it has its `config.json`."""
        return (self.path / CONFIG).is_file()

    @cached_property
    def config(self) -> dict[str, Any]:
        """The run's frozen configuration.

        Raises:
            InputError: the file is absent, is not JSON, is not an object, or is of a newer rl-slt.
        """
        return read_config(self.path / CONFIG)

    @cached_property
    def training(self) -> TrainConfig:
        """The settings of the training, checked: environment, placement, levels.

        Raises:
            InputError: the run's configuration lacks them, or one of them is wrong.
        """
        return TrainConfig.build(self.config.get("train"), f"{self.path / CONFIG}: train")

    @property
    def imported(self) -> bool:
        """Whether the agent was trained elsewhere."""
        return self.config.get("kind") == "import"

    @property
    def seed(self) -> int:
        """The seed of training; -1 where the agent was imported and it is unknown."""
        seed = self.config.get("seed")
        return seed if isinstance(seed, int) else -1

    @property
    def arm(self) -> str:
        """The condition of a study that the run belongs to, or what `--arm` named; `unnamed`."""
        return str(self.config.get("arm") or UNNAMED)

    @property
    def finished(self) -> bool:
        """Whether the training has reached its end.

        Raises:
            InputError: the index of the checkpoints is damaged.
        """
        return is_finished(self.path)

    @property
    def steps_done(self) -> int:
        """The last environment step in the progress table; 0 where there is none."""
        try:
            with (self.path / PROGRESS).open(newline="") as file:
                rows = list(csv.DictReader(file))
            return int(float(rows[-1]["step"])) if rows else 0
        except (OSError, KeyError, ValueError):
            return 0

    @property
    def checkpoints(self) -> list[Checkpoint]:
        """Complete checkpoints in the order of their steps."""
        return list_checkpoints(self.path)

    def checkpoint(self, step: int | None = None) -> Checkpoint:
        """The checkpoint at an environment step; None is the last.

        Raises:
            InputError: there is none there, or none at all yet.
        """
        if step is not None:
            return find_checkpoint(self.path, step)
        if not (known := self.checkpoints):
            raise InputError(f"run {self.path} has no complete checkpoint yet")
        return known[-1]

    @property
    def tables(self) -> Path:
        """Folder of the run's tables."""
        return self.path / "tables"


def read_config(path: Path) -> dict[str, Any]:
    """What the file that describes a run or a study says.

    Args:
        path: `config.json` or `study.json`; without a format it is of the first.

    Raises:
        InputError: it is absent, no JSON object, or of a format that a newer rl-slt writes.
    """
    found = read_json_object(path)
    if (given := found.get("format", 1)) not in range(1, FORMAT + 1):
        hint = "it was written by a newer rl-slt"
        raise InputError.of("format", given, f"at most {FORMAT}", f"{path}: {hint}")
    return found


def run_entry(out: Path, arm: str, config: TrainConfig, kind: str) -> dict[str, Any]:
    """What the `config.json` of a new run holds.

    Args:
        out: the run's folder, whose name is the run's.
        arm: the condition of a study that it belongs to.
        config: of the training.
        kind: `train` or `import`.
    """
    return {
        "format": FORMAT,
        "name": out.resolve().name,
        "arm": safe_name(arm, "arm"),
        "seed": config.seed,
        "kind": kind,
        "train": config.as_dict(),
        "versions": versions(),
        "command": sys.argv,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def safe_name(name: str, what: str) -> str:
    """The name itself, if it is a plain file name that stays inside its folder.

    Args:
        name: of a run, arm or study.
        what: the setting that it is given by, for the message.

    Raises:
        InputError: it holds a path separator or another odd character, or is too long.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InputError.of(
            what, name, "at most 100 letters, digits and . _ = -, beginning with a letter or digit"
        )
    return name
