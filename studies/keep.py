"""Keep what the findings are computed from: a study's settings and the tables that were measured.

    python studies/keep.py goal studies/results/goal

Checkpoints, chains, episodes and all that is derived from tables stay behind. A study that went on
is kept again in the same folder. `rl-slt report studies/results/goal` makes its page.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

TABLES = ("llc", "profile", "probes", "covariates")


def keep(study: Path, out: Path) -> None:
    """Copy a study without its checkpoints.

    Args:
        study: folder of a study that `rl-slt run` made.
        out: folder to copy to.
    """
    for name in ("study.json", "study.toml", "timings.json"):
        copy(study / name, out / name)
    for run in sorted(path.parent for path in study.glob("runs/*/config.json")):
        to = out / "runs" / run.name
        copy(run / "progress.csv", to / "progress.csv")
        for name in TABLES:
            if (run / "tables" / f"{name}.parquet").exists():
                copy(run / "tables" / f"{name}.parquet", to / "tables" / f"{name}.parquet")
        config = json.loads((run / "config.json").read_text())
        config["command"][0] = Path(config["command"][0]).name  # not where it was installed
        (to / "config.json").write_text(json.dumps(config, indent=1) + "\n")


def copy(path: Path, to: Path) -> None:
    """Copy a file, with the folders that it needs."""
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, to)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("out", type=Path)
    keep(**vars(parser.parse_args()))
