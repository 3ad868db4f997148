"""From folders on disk to `StudyData`; a broken file becomes a sentence for the reader."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import envs
from analysis import demote, fixed_hypotheses, schema
from analysis.report import labels
from analysis.report.data import RunData, StudyData
from analysis.report.merge import merge_studies, unite
from analysis.report.reproduce import unequal_arms
from rl_slt import InputError

Note = Callable[[str], None]

_EXPECTED = {"llc": "LLC estimates", "probes": "probe results"}


def load_study(path: str | Path | Iterable[str | Path]) -> StudyData:
    """Reads a study folder, a run folder, or several of either into one `StudyData`.

    Only settings, tables, training curves and clips are read, never a model. What is missing,
    damaged or inconsistent is noted in `StudyData.missing` and left out.

    Raises:
        InputError: if a path is no folder, or holds neither a run nor a study.
    """
    paths = [Path(path)] if isinstance(path, str | Path) else [Path(p) for p in path]
    if not paths:
        raise InputError.of("path", [], "at least one folder of a run or a study")
    parts = [_load_one(p) for p in paths]
    data = parts[0] if len(parts) == 1 else merge_studies(parts)
    return replace(data, missing=[*data.missing, *unequal_arms(data)])


def _load_one(path: Path) -> StudyData:
    if not path.is_dir():
        raise InputError.of("path", str(path), "a folder of a run or a study")
    missing: list[str] = []
    note = missing.append
    folders = sorted(p for p in path.glob("runs/*") if p.is_dir())
    is_study = bool(folders) or (path / "study.json").exists()
    if not is_study and not ((path / "config.json").exists() or (path / "tables").is_dir()):
        raise InputError.of(
            "path", str(path), "a run (with config.json) or a study (with study.json)"
        )
    study = _read_json(path / "study.json", dict, note) if is_study else {}
    runs = [_read_run(p, note) for p in (folders if is_study else [path])]
    if not runs:
        note(f"{path.resolve().name} has no runs yet.")
    tables = _tables(path, runs, is_study, note)
    fixed = _texts(study.get("fixed"))
    if is_study:
        tables["hypotheses"] = _in_time(path / "study.toml", tables["hypotheses"], fixed, note)
    runs = [replace(run, arm=_arm_of(run, tables)) for run in runs]
    settings, arms = study.get("settings"), _arms(study, runs)
    timings = _read_json(path / "timings.json", dict, note, wanted=is_study)
    missing += _absent(tables, runs, arms)
    data = StudyData(
        name=str(study.get("name") or path.resolve().name),
        question=str(study.get("question") or ""),
        arms=arms,
        runs=runs,
        tables=tables,
        settings=settings if isinstance(settings, dict) else {},
        timings={str(k): float(v) for k, v in timings.items() if isinstance(v, int | float)},
        missing=list(dict.fromkeys(missing)),
        fixed=fixed,
    )
    return data.with_arms()


def _read_run(path: Path, note: Note) -> RunData:
    """A run without its tables; its arm is still what its settings say."""
    config = _read_json(path / "config.json", dict, note)
    seed, name = config.get("seed"), path.resolve().name
    if (config.get("name") or name) != name:
        note(f"The run in folder {name} calls itself {config['name']}; the folder counts.")
    clips = _read_json(path / "clips" / "clips.json", list, note, wanted=False)
    files = sorted(path.glob("comparisons/*/comparison.json"), key=lambda p: -p.stat().st_mtime)
    records = [(file, _read_json(file, dict, note)) for file in files]
    return RunData(
        name=name,
        arm=str(config.get("arm") or schema.UNNAMED),
        seed=seed if isinstance(seed, int) else None,
        path=path,
        config=config,
        progress=read_progress(path / "progress.csv", config.get("train"), note),
        clips=[clip for clip in clips if isinstance(clip, dict)],
        warnings=_read_warnings(path / "watch.jsonl"),
        watched=(path / "watch.jsonl").is_file(),
        comparisons=[one | {"folder": str(file.parent)} for file, one in records if one],
    )


def _read_warnings(path: Path) -> list[dict[str, Any]]:
    """The transitions among the events of a watch, without lines that are torn."""
    found = []
    with contextlib.suppress(OSError):
        for line in path.read_bytes().splitlines():
            with contextlib.suppress(ValueError, RecursionError):
                event = json.loads(line)
                if isinstance(event, dict) and event.get("event") == "transition":
                    found.append(event)
    numbers = ("seen", "step_low", "step_high")
    return [e for e in found if all(isinstance(e.get(name), int | float) for name in numbers)]


def _arm_of(run: RunData, tables: dict[str, pd.DataFrame]) -> str:
    """What its rows in the tables say; its settings where they name none."""
    named = (frame.loc[frame["run"] == run.name, "arm"] for frame in tables.values())
    known = (str(arm) for arms in named for arm in arms.unique() if arm != schema.UNNAMED)
    return next(known, run.arm)


def _in_time(file: Path, table: pd.DataFrame, fixed: dict[str, str], note: Note) -> pd.DataFrame:
    """The table `hypotheses`, with those as exploratory that the study did not start with."""
    text = _read(file, Path.read_bytes, note) or b""
    found = demote(table, fixed_hypotheses(text, fixed.get("sha256")))
    late = table.loc[found["role"] != table["role"], "hypothesis"]
    if len(late):
        names = labels.listed([f"“{name}”" for name in late])
        note(f"Named after the data, since the study.toml that the study started with (by its "
             f"SHA-256 in study.json) does not hold it: {names}.")  # fmt: skip
    return found


def _texts(values: object) -> dict[str, str]:
    items = values.items() if isinstance(values, dict) else ()
    return {str(name): value for name, value in items if isinstance(value, str)}


def _arms(study: dict[str, Any], runs: list[RunData]) -> dict[str, dict[str, Any]]:
    """The arms in the study's order, then those that only a run names."""
    planned = study.get("arms")
    items = planned.items() if isinstance(planned, dict) else ()
    arms: dict[str, dict[str, Any]] = {str(k): v for k, v in items if isinstance(v, dict)}
    return arms | {run.arm: {} for run in runs if run.arm not in arms}


def _tables(path: Path, runs: list[RunData], is_study: bool, note: Note) -> dict[str, pd.DataFrame]:
    """Each table: a run's own rows first, the study's rows for runs that have none of their own."""
    tables = {}
    known = [run.name for run in runs] + [schema.ALL_RUNS]
    for name in schema.TABLES:
        shared = schema.empty(name)
        if is_study:
            shared = _read_table(path / "tables" / f"{name}.parquet", name, note)
            shared = shared[shared["run"].isin(known)] if len(shared) else shared
        if name in schema.OVER_RUNS and len(shared):
            tables[name] = shared  # corrected for all pairs of the study, not of one run alone
            continue
        own = [_own_rows(run, name, note) for run in runs]
        counts = shared["run"].value_counts()
        for run, frame in zip(runs, own, strict=True):
            n = int(counts.get(run.name, len(frame)))
            if len(frame) and n != len(frame):
                note(f"Table {name}: the study holds {n} rows of {run.name}, the run itself "
                     f"{len(frame)}; the run's are shown.")  # fmt: skip
        having = [run.name for run, frame in zip(runs, own, strict=True) if len(frame)]
        tables[name] = unite(name, [*own, shared[~shared["run"].isin(having)]])
    return tables


def _own_rows(run: RunData, table: str, note: Note) -> pd.DataFrame:
    frame = _read_table(run.path / "tables" / f"{table}.parquet", table, note)
    if not len(frame):
        return frame
    frame = frame[frame["run"] != schema.ALL_RUNS]  # statistics over the runs of a "study" of one
    own = [run.name, run.config.get("name")]  # the second where the folder was renamed or copied
    alien = frame["run"].notna() & ~frame["run"].isin(own)
    if n := int(alien.sum()):
        note(f"{run.name}/tables/{table}.parquet has {n} rows of other runs; unused.")
    return frame[~alien].assign(run=run.name)


def _absent(
    tables: dict[str, pd.DataFrame], runs: list[RunData], arms: dict[str, dict[str, Any]]
) -> list[str]:
    """Runs without rows in a table that each run should have, and arms without runs."""
    out = [f"Arm {arm} has no runs yet." for arm in arms if arm not in {run.arm for run in runs}]
    for table, what in _EXPECTED.items():
        having = set(tables[table]["run"])
        without = [run.name for run in runs if run.name not in having]
        if without:
            some = f"{', '.join(without[:4])}{' and others' if len(without) > 4 else ''}"
            out.append(f"No {what} of {some} (table {table}).")
    return out


def _read(path: Path, reader: Callable[[Path], Any], note: Note, absent: str = "") -> Any:
    """What the reader makes of a file; None, with a note, where that fails or `absent` says so."""
    if not path.is_file():
        if absent:
            note(f"{_label(path)} is missing{absent}")
        return None
    try:
        return reader(path)
    except Exception as error:  # a damaged file raises whatever its reader likes
        note(f"{_label(path)} cannot be read ({type(error).__name__}).")
        return None


def _read_json(path: Path, kind: type, note: Note, *, wanted: bool = True) -> Any:
    """The JSON value in a file if it is of the kind (dict or list), else an empty one."""
    value = _read(path, lambda p: json.loads(p.read_bytes()), note, "." if wanted else "")
    if isinstance(value, kind):
        return value
    if value is not None:
        note(f"{_label(path)} does not hold a JSON {kind.__name__}.")
    return kind()


def _read_table(path: Path, table: str, note: Note) -> pd.DataFrame:
    """A parquet table in the columns of the schema; columns it lacks are filled with nothing."""
    frame = _read(path, pd.read_parquet, note)
    if frame is None:
        return schema.empty(table)
    known = {*frame, *schema.DEFAULTS}
    lacking = [name for name in schema.TABLES[table] if name not in known]
    if lacking and len(frame):
        note(f"{_label(path)} lacks the columns {', '.join(lacking)}.")
    try:
        return schema.conform(table, frame.assign(**dict.fromkeys(lacking)))
    except InputError as error:
        note(f"{_label(path)} is not used: {error}.")
        return schema.empty(table)


def read_progress(path: Path, train: object, note: Note = lambda line: None) -> pd.DataFrame:
    """The training curve of a run, by step, without the returns of episodes that ended early.

    Returns are means over the episodes that have ended, and the first to end are the quick
    successes: a return of 9.3 at step 4,096 of a demo run is one of 2.9 an update later. So none
    is known before every environment has played for a full time limit, which is
    `num_envs * time_limit` environment steps (after the first step of a branch).

    Args:
        path: a progress.csv.
        train: training settings of the run; where they do not say, all returns are kept.
        note: called with a sentence where the file is missing, damaged or of another kind.

    Returns:
        Columns `step` (environment steps) and `ret` (mean raw return of training episodes);
        without rows where there is nothing to read.
    """
    frame = _read(path, pd.read_csv, note, ": no training return.")
    if frame is None or not {"step", "mean_return"} <= set(frame):
        if frame is not None:
            note(f"{_label(path)} has no column of steps and returns.")
        return pd.DataFrame({"step": [], "ret": []}, dtype=float)
    curve = frame[["step", "mean_return"]].rename(columns={"mean_return": "ret"})
    curve = curve.apply(pd.to_numeric, errors="coerce").dropna()
    curve = curve[curve["step"] >= _first_full_step(train)]
    return curve.drop_duplicates("step", keep="last").sort_values("step", ignore_index=True)


def _first_full_step(train: object) -> int:
    """The environment step by which every environment has played for a full time limit.

    It is the first where nothing is played: exact returns are those of all episodes.
    """
    known = train if isinstance(train, dict) else {}
    game = envs.GAMES.get(known.get("game", "coinrun"))
    parts = [known.get("time_limit") or (game and game.time_limit), known.get("num_envs")]
    limit, num = (part if isinstance(part, int) else 0 for part in parts)
    begun = known.get("from_step")
    limit = 0 if known.get("trainer") == "exact" else limit
    return (begun if isinstance(begun, int) else 0) + limit * num


def return_at(curve: pd.DataFrame, steps: Iterable[float]) -> np.ndarray:
    """The last training return recorded up to each step, NaN before the first; `[n]`.

    Args:
        curve: of `read_progress`.
        steps: environment steps, `[n]`.
    """
    values = np.append(curve["ret"].to_numpy(dtype=float), np.nan)  # place -1: none yet
    at = np.asarray(list(steps), dtype=float)
    return np.asarray(values[curve["step"].searchsorted(at, side="right") - 1])


def _label(path: Path) -> str:
    """A short name of a file for the reader: its folder and name."""
    parts = path.parts
    return "/".join(parts[parts.index("runs") + 1 :] if "runs" in parts else parts[-2:])
