"""From folders on disk to `StudyData`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from analysis import schema
from analysis.report.data import RunData, StudyData
from analysis.report.files import Note, read_json, read_progress, read_table
from rl_slt import InputError

_EXPECTED = {"llc": "LLC estimates", "probes": "probe results"}
ALL_RUNS = schema.ALL_RUNS


def load_study(path: str | Path | Iterable[str | Path]) -> StudyData:
    """Reads a study folder, a run folder, or several of either into one `StudyData`.

    Only settings, tables, training curves and clips are read, never a model. What is missing,
    damaged or inconsistent is noted in `StudyData.missing` and left out.

    Raises:
        InputError: if a path is no folder, or holds neither a run nor a study.
    """
    paths = [Path(path)] if isinstance(path, str | Path) else [Path(p) for p in path]
    if not paths:
        raise InputError("no run or study named; at least one folder is needed")
    parts = [_load_one(p) for p in paths]
    return parts[0] if len(parts) == 1 else _merge(parts)


def _load_one(path: Path) -> StudyData:
    if not path.is_dir():
        raise InputError(f"{path} is not a folder of a run or a study")
    missing: list[str] = []
    folders = sorted(p for p in path.glob("runs/*") if p.is_dir())
    is_study = bool(folders) or (path / "study.json").exists()
    if not is_study and not ((path / "config.json").exists() or (path / "tables").is_dir()):
        raise InputError(f"{path} holds neither a run (config.json) nor a study (study.json)")
    study = read_json(path / "study.json", dict, missing.append) if is_study else {}
    settings = study.get("settings")
    runs = [_read_run(p, missing.append) for p in (folders if is_study else [path])]
    if not runs:
        missing.append(f"{path.resolve().name} has no runs yet.")
    tables = _tables(path, runs, is_study, missing.append)
    missing += _absent(tables, runs, arms := _arms(study, runs))
    return StudyData(
        name=str(study.get("name") or path.resolve().name),
        question=str(study.get("question") or ""),
        preset=str(study.get("preset") or ""),
        arms=arms,
        runs=runs,
        tables=tables,
        settings=settings if isinstance(settings, dict) else {},
        timings=_timings(path, missing.append, wanted=is_study),
        missing=list(dict.fromkeys(missing)),
    )


def _read_run(path: Path, note: Note) -> RunData:
    config = read_json(path / "config.json", dict, note)
    seed = config.get("seed")
    name = str(config.get("name") or path.resolve().name)
    if name != path.resolve().name:
        note(f"The run in folder {path.resolve().name} calls itself {name}; the folder counts.")
        name = path.resolve().name
    clips = read_json(path / "clips" / "clips.json", list, note, wanted=False)
    return RunData(
        name=name,
        arm=str(config.get("arm") or name),
        seed=seed if isinstance(seed, int) else None,
        path=path,
        config=config,
        progress=read_progress(path / "progress.csv", note),
        clips=[clip for clip in clips if isinstance(clip, dict)],
        comparisons=_comparisons(path, note),
    )


def _comparisons(run: Path, note: Note) -> list[dict[str, Any]]:
    """Comparisons of this run's agents with others, each with its folder, the latest first."""
    files = sorted(run.glob("comparisons/*/comparison.json"), key=lambda p: -p.stat().st_mtime)
    told = [(file, read_json(file, dict, note)) for file in files]
    return [one | {"folder": str(file.parent)} for file, one in told if one]


def _arms(study: dict[str, Any], runs: list[RunData]) -> dict[str, dict[str, Any]]:
    """The arms in the study's order, then those that only a run names."""
    told = study.get("arms")
    arms = {str(k): v if isinstance(v, dict) else {"coin": v} for k, v in _items(told)}
    for run in runs:
        arms.setdefault(run.arm, {})
        train = run.config.get("train")
        if isinstance(train, dict) and "coin" in train:
            arms[run.arm].setdefault("coin", train["coin"])
    return arms


def _items(told: Any) -> list[tuple[Any, Any]]:
    if isinstance(told, dict):
        return list(told.items())
    return [(name, {}) for name in told] if isinstance(told, list) else []


def _timings(path: Path, note: Note, *, wanted: bool) -> dict[str, float]:
    told = read_json(path / "timings.json", dict, note, wanted=wanted)
    return {str(k): float(v) for k, v in told.items() if isinstance(v, int | float)}


def _tables(path: Path, runs: list[RunData], is_study: bool, note: Note) -> dict[str, pd.DataFrame]:
    """Each table: a run's own rows first, the study's rows for runs that have none of their own."""
    tables = {}
    for name in schema.TABLES:
        shared = read_table(path / "tables" / f"{name}.parquet", name, note) if is_study else None
        if name in schema.OVER_RUNS and shared is not None and len(shared):
            tables[name] = shared  # corrected for all pairs of the study, not of one run alone
            continue
        tables[name] = _union(name, [_own_rows(r, name, note) for r in runs], shared, note)
    return tables


def _absent(
    tables: dict[str, pd.DataFrame], runs: list[RunData], arms: dict[str, dict[str, Any]]
) -> list[str]:
    """Runs without rows in a table that each run should have, and arms without runs."""
    out = [f"Arm {arm} has no runs yet." for arm in arms if arm not in {run.arm for run in runs}]
    for table, what in _EXPECTED.items():
        without = [run.name for run in runs if run.name not in set(tables[table]["run"])]
        if without:
            some = f"{', '.join(without[:4])}{' and others' if len(without) > 4 else ''}"
            out.append(f"No {what} of {some} (table {table}).")
    return out


def _own_rows(run: RunData, table: str, note: Note) -> pd.DataFrame:
    frame = read_table(run.path / "tables" / f"{table}.parquet", table, note)
    frame = frame[frame["run"] != ALL_RUNS]  # statistics over the runs of a "study" of one
    alien = frame["run"].notna() & (frame["run"] != run.name)
    if bool(alien.any()):
        note(
            f"{run.name}/tables/{table}.parquet has {int(alien.sum())} rows of other runs; unused."
        )
    return frame[~alien].assign(run=run.name)


def _union(
    table: str, own: list[pd.DataFrame], shared: pd.DataFrame | None, note: Note
) -> pd.DataFrame:
    frames = [frame for frame in own if len(frame)]
    if shared is not None and len(shared):
        named = {str(frame["run"].iloc[0]): len(frame) for frame in frames}
        counts = shared["run"].value_counts()
        for run, n in named.items():
            if int(counts.get(run, n)) != n:
                note(
                    f"Table {table}: the study holds {int(counts[run])} rows of {run}, the run "
                    f"itself {n}; the run's are shown."
                )
        frames.append(shared[~shared["run"].isin(list(named))])
    frames = [frame for frame in frames if len(frame)]
    if not frames:
        return schema.empty(table)
    return schema.conform(table, pd.concat(frames, ignore_index=True))


def _merge(parts: list[StudyData]) -> StudyData:
    """Several studies or runs as one comparison; runs of equal name get their study's name."""
    seen: set[str] = set()
    arms: dict[str, dict[str, Any]] = {}
    renamed = []
    for part in parts:
        renamed.append(_rename_arms(_rename(part, seen), arms))
        arms.update({k: v for k, v in renamed[-1].arms.items() if k not in arms})
    return StudyData(
        name=" · ".join(dict.fromkeys(part.name for part in parts)),
        question=next((part.question for part in parts if part.question), ""),
        preset=", ".join(dict.fromkeys(part.preset for part in parts if part.preset)),
        arms=arms,
        runs=[run for part in renamed for run in part.runs],
        tables={
            name: _union(name, [], pd.concat([p.tables[name] for p in renamed]), _ignore)
            for name in schema.TABLES
        },
        settings=_common_settings(parts),
        timings=_sum_timings(parts),
        missing=list(dict.fromkeys([*(m for p in renamed for m in p.missing), *_doubles(renamed)])),
    )


def _rename_arms(part: StudyData, taken: dict[str, dict[str, Any]]) -> StudyData:
    """Arms of equal name but another coin are told apart by the name of their study."""
    new = {
        arm: f"{part.name}/{arm}"
        if arm in taken and taken[arm].get("coin") != told.get("coin")
        else arm
        for arm, told in part.arms.items()
    }
    return replace(
        part,
        arms={new[arm]: told for arm, told in part.arms.items()},
        runs=[replace(run, arm=new[run.arm]) for run in part.runs],
    )


def _doubles(parts: list[StudyData]) -> list[str]:
    runs = [run for part in parts for run in part.runs]
    seen = [(run.arm, run.seed) for run in runs if run.seed is not None]
    twice = sorted({key for key in seen if seen.count(key) > 1})
    return [
        f"Arm {arm} has several runs of seed {seed}: they count as seeds of their own, though they "
        "may be copies."
        for arm, seed in twice
    ]


def _rename(part: StudyData, seen: set[str]) -> StudyData:
    names = {run.name: run.name for run in part.runs}
    for old in names:
        while names[old] in seen:
            names[old] = f"{part.name}/{names[old]}"
        seen.add(names[old])
    names[ALL_RUNS] = f"all runs of {part.name}"
    runs = [replace(run, name=names[run.name]) for run in part.runs]
    tables = {
        name: frame.assign(run=frame["run"].map(lambda r: names.get(r, r), na_action="ignore"))
        for name, frame in part.tables.items()
    }
    return replace(part, runs=runs, tables=tables)


def _common_settings(parts: list[StudyData]) -> dict[str, Any]:
    first = parts[0].settings
    same = {k: v for k, v in first.items() if all(p.settings.get(k) == v for p in parts)}
    differ = sorted({k for p in parts for k in p.settings} - set(same))
    return {**same, **({"differ between studies": ", ".join(differ)} if differ else {})}


def _sum_timings(parts: list[StudyData]) -> dict[str, float]:
    total: dict[str, float] = {}
    for part in parts:
        for stage, seconds in part.timings.items():
            total[stage] = total.get(stage, 0.0) + seconds
    return total


def _ignore(_: str) -> None:
    """Notes were taken when each part was read."""
