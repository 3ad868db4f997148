"""How long a report of many runs takes, and how large its page is.

Writes a made-up study with the tests' generator, then reads it and builds the page in a fresh
process, so that imports count. Example: `python benchmarks/report_size.py --seeds 10`
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

from markdown_report import publish

ROOT = Path(__file__).resolve().parents[1]
WRITER = ROOT / "tests" / "analysis" / "report" / "study_writer.py"
BUILD = """
import sys, time
start, busy = time.perf_counter(), time.process_time()
from analysis.report import build_report, load_study
page = build_report(load_study(sys.argv[1]))
print(time.perf_counter() - start, time.process_time() - busy, len(page.encode()))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="runs per arm, of two arms")
    parser.add_argument("--checkpoints", type=int, default=60, help="checkpoints per run")
    parser.add_argument("--repeats", type=int, default=3, help="builds; the median counts")
    parser.add_argument("--out", type=Path, help="Markdown file; printed if not given")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder) / "study"
        writer().write_study(study, seeds=range(args.seeds), checkpoints=args.checkpoints)
        times = sorted(build(study) for _ in range(args.repeats))
    wall, busy, size = times[len(times) // 2]
    names = ("pandas", "plotly", "jinja2")
    packages = ", ".join(f"{name} {version(name)}" for name in names)
    text = f"""# Report of {2 * args.seeds} runs with {args.checkpoints} checkpoints

| quantity | value | limit |
| --- | --- | --- |
| time from a fresh process | {wall:.1f} s | 20 s |
| processor time of it | {busy:.1f} s | |
| size of the page | {size / 2**20:.2f} MiB | 10 MiB |

Median of {args.repeats}; Python {platform.python_version()}, {packages}; 2 cores, CPU, shared with
other work ({os.getloadavg()[0]:.0f} processes waiting for them at the end).
"""
    publish(text, args.out)


def writer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("study_writer", WRITER)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build(study: Path) -> tuple[float, float, int]:
    """Wall seconds, processor seconds and bytes of one build."""
    done = subprocess.run(
        [sys.executable, "-c", BUILD, str(study)], cwd=ROOT, check=True, capture_output=True,
        text=True,
    )  # fmt: skip
    wall, busy, size = done.stdout.split()
    return float(wall), float(busy), int(size)


if __name__ == "__main__":
    main()
