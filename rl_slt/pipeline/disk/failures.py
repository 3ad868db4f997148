"""Failed units of a run, remembered with their reasons until they succeed."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

from agents import read_json_object, write_json
from rl_slt.errors import InputError
from rl_slt.pipeline.disk.store import digest

FOLDER = "failed"


@dataclass(frozen=True)
class Failure:
    """A unit that failed: `when` is local time."""

    unit: str
    reason: str
    when: str


def remember(run: Path, unit: str, reason: str) -> None:
    """Keep that the unit failed, or (without a reason) forget that it did once.

    A disk that takes no more is no further failure: the command tells of the unit all the same.
    """
    if not (run / "config.json").exists():  # a run that did not begin leaves no folder
        return
    path = run / FOLDER / f"{digest(unit)}.json"
    with contextlib.suppress(OSError):
        if reason:
            told = {"unit": unit, "reason": reason, "when": time.strftime("%F %T")}
            write_json(path, told)
        else:
            path.unlink(missing_ok=True)


def failures(run: Path) -> list[Failure]:
    """What failed in the run and has not succeeded since, by unit; damaged notes are left out."""
    found = []
    for path in (run / FOLDER).glob("*.json"):
        with contextlib.suppress(InputError, KeyError):
            told = read_json_object(path)
            found.append(Failure(str(told["unit"]), str(told["reason"]), str(told["when"])))
    return sorted(found, key=lambda failure: failure.unit)
