"""The commands whose result is a page: a report, and two agents side by side."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rl_slt.pipeline.commands.targets import check_file, finish
from rl_slt.pipeline.disk.layout import open_path, runs_of
from rl_slt.pipeline.engine.progress import meter
from rl_slt.pipeline.plan.study import CompareSettings
from rl_slt.pipeline.stages.analyse import DamagedTable
from rl_slt.pipeline.stages.compare import compare_agents
from rl_slt.pipeline.stages.report import write_report


def report(paths: Sequence[Path], out: Path, form: str = "html") -> Path:
    """Write the report of some runs and studies, after a new analysis of their tables.

    A run or study with a damaged table is reported as it is: the page says what cannot be read.

    Raises:
        InputError: a path is neither run nor study, or `out` is a folder.
    """
    targets = {path: open_path(path) for path in paths}
    check_file(out)
    for target in targets.values():
        runs_of(target)
    for path, target in targets.items():
        try:
            finish({path: target}, [])
        except DamagedTable as error:
            print(f"rl-slt: {error}; {path} is reported without a new analysis", file=sys.stderr)
    return write_report(list(paths), out, form)


def compare(
    a: Path,
    b: Path,
    out: Path,
    settings: dict[str, Any],
    steps: tuple[int | None, int | None] = (None, None),
) -> Path:
    """Compare an agent of one run with one of another and write the page that shows both runs.

    Args:
        a: the first run.
        b: the second run; may be the first.
        out: page to write.
        settings: of `CompareSettings`.
        steps: of the checkpoints; None is the last.
    """
    check_file(out)
    plan = CompareSettings.build(settings, "compare")
    with meter("compare", 1.0) as bar:
        compare_agents(a, b, plan, steps, lambda done, total: bar.update(done / total))
    return report(list(dict.fromkeys((a.resolve(), b.resolve()))), out)
