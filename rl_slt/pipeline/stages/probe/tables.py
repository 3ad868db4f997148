"""The tables of a run's probes, put together from its finished units."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis import current_setting, schema
from rl_slt.pipeline.disk.layout import Run
from rl_slt.pipeline.disk.store import UnitStore, write_table
from rl_slt.pipeline.stages.probe.fixed_states import inner_tables
from rl_slt.pipeline.stages.probe.work_item import ProbeUnit


def assemble(run: Run, units: Sequence[ProbeUnit]) -> None:
    """Write `episodes`, `probes` and `counterfactual` of a run.

    Of suites, lengths and seeds that the run was probed with, one stands in the tables for each
    mode, as `current_setting` says.

    Args:
        run: the run.
        units: its checkpoints under the plan in hand.
    """
    asked = {unit.baselines for unit in units}
    store = UnitStore(run.path, "probe")
    own = current_setting(store.read("episodes"), ["mode"], asked=asked)
    chosen = set(own["setting_id"]) if len(own) else set()
    scores = store.read("probes")
    if len(scores):
        scores = scores[scores["setting_id"].isin(chosen)]
    base = UnitStore(run.path, "baselines")
    played = [base.read_unit(key, "episodes") for key in sorted(chosen) if base.has(key)]
    inner, by_distance = inner_tables(run.path, [unit.inner_key for unit in units])
    frames = {
        "episodes": [_in_order(own, ["step", "mode", "probe", "level_seed"]),
                     *(frame.assign(run=run.name) for frame in played)],
        "probes": [_in_order(pd.concat(_filled(scores, inner) or [scores]),
                             ["step", "probe", "metric"])],
        "counterfactual": [by_distance],
    }  # fmt: skip
    for name, parts in frames.items():
        parts = _filled(*parts)
        table = pd.concat(parts, ignore_index=True) if parts else schema.empty(name)
        write_table(name, table, run)


def _filled(*frames: pd.DataFrame) -> list[pd.DataFrame]:
    return [frame for frame in frames if len(frame)]


def _in_order(frame: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    return frame.sort_values(by, kind="stable") if len(frame) else frame
