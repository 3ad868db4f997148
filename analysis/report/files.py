"""Reading files that others wrote: a broken one becomes a sentence for the reader, not an error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from analysis import schema
from rl_slt import InputError

Note = Callable[[str], None]

# progress.csv differs between writers; the first name found is used.
STEP_NAMES = ("step", "steps", "total_timesteps", "time/total_timesteps")
RETURN_NAMES = (
    "return", "ret", "return_mean", "mean_return", "ep_return", "ep_rew_mean",
    "rollout/ep_rew_mean",
)  # fmt: skip


def read_json(path: Path, kind: type, note: Note, *, wanted: bool = True) -> Any:
    """The JSON value in a file if it is of the kind (dict or list), else an empty one."""
    if not path.is_file():
        if wanted:
            note(f"{label(path)} is missing.")
        return kind()
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        note(f"{label(path)} cannot be read ({type(error).__name__}).")
        return kind()
    if not isinstance(value, kind):
        note(f"{label(path)} does not hold a JSON {kind.__name__}.")
        return kind()
    return value


def read_table(path: Path, table: str, note: Note) -> pd.DataFrame:
    """A parquet table in the columns of the schema; columns it lacks are filled with nothing."""
    if not path.is_file():
        return schema.empty(table)
    try:
        frame = pd.read_parquet(path)
    except Exception as error:  # a damaged file raises whatever the parquet reader likes
        note(f"{label(path)} cannot be read ({type(error).__name__}).")
        return schema.empty(table)
    lacking = [name for name in schema.TABLES[table] if name not in frame]
    if lacking and len(frame):
        note(f"{label(path)} lacks the columns {', '.join(lacking)}.")
    try:
        return schema.conform(table, frame.assign(**dict.fromkeys(lacking)))
    except InputError as error:
        note(f"{label(path)} is not used: {error}.")
        return schema.empty(table)


def read_progress(path: Path, note: Note) -> pd.DataFrame:
    """The training curve as columns `step` (environment steps) and `ret` (mean raw return)."""
    nothing = pd.DataFrame({"step": [], "ret": []}, dtype=float)
    if not path.is_file():
        note(f"{label(path)} is missing: no training return.")
        return nothing
    try:
        frame = pd.read_csv(path)
    except (OSError, ValueError) as error:
        note(f"{label(path)} cannot be read ({type(error).__name__}).")
        return nothing
    step = next((name for name in STEP_NAMES if name in frame), None)
    ret = next((name for name in RETURN_NAMES if name in frame), None)
    if step is None or ret is None:
        note(f"{label(path)} has no column of steps and returns.")
        return nothing
    curve = pd.DataFrame(
        {
            "step": pd.to_numeric(frame[step], errors="coerce"),
            "ret": pd.to_numeric(frame[ret], errors="coerce"),
        }
    ).dropna()
    return curve.drop_duplicates("step", keep="last").sort_values("step", ignore_index=True)


def label(path: Path) -> str:
    """A short name of a file for the reader: its folder and name."""
    parts = path.parts
    if "runs" in parts:
        return "/".join(parts[parts.index("runs") + 1 :])
    return "/".join(parts[-2:])
