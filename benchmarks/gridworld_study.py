"""What the study of the gridworld found, and what it cost, at its default and at a larger size.

    time rl-slt run --preset gridworld --out S --workers 2
    python benchmarks/gridworld_study.py S --cpu SECONDS  # user and sys of that, of all processes
    time rl-slt run benchmarks/gridworld_large.toml --out L --workers 2
    python benchmarks/gridworld_study.py L --cpu SECONDS --file gridworld_large.toml

Writes benchmarks/results/gridworld_study.md, and that of the file's name.
"""

import argparse
import math
from pathlib import Path

import pandas as pd
from agents_speed import processor
from markdown_report import table

RESULTS = Path(__file__).parent / "results"
HEAD = """# The study of the gridworld, {size}

Made by `benchmarks/gridworld_study.py` of `rl-slt run {study}`: {runs} runs of
{checkpoints} checkpoints, LLC of the exact soft regret at temperature 0.01, nbeta 1,000,
localization 10, 4 chains of 100 draws after 60. Means over seeds, with their standard errors.

{cpu:,.0f} CPU seconds in all (training, {estimates} estimates, probes, analysis and page):
{minutes:.1f} minutes on two cores that do nothing else ({processor}, a busy machine).

"""


def rows_of(llc: pd.DataFrame, probes: pd.DataFrame) -> list[dict[str, str]]:
    """A row for each arm and checkpoint from which on any seed has an LLC."""
    first = probes[(probes["probe"] == "apart") & (probes["metric"] == "corner_first")]
    corner = first.set_index(["run", "step"])["value"]
    llc = llc.assign(corner=[corner[key] for key in zip(llc["run"], llc["step"], strict=True)])
    llc["above"] = llc["nbeta"] * (llc["loss_init"] - llc["minimum"])
    rows = []
    for (arm, step), part in llc.groupby(["arm", "step"]):
        if part["llc"].isna().all():
            continue
        known = part["llc"].dropna()
        spread = known.std() / math.sqrt(len(known)) if len(known) > 1 else math.nan
        count = part["status"].value_counts()
        rows.append({
            "arm": str(arm), "step": f"{step:,}",
            "corner first": f"{part['corner'].mean():.3f}",
            "nbeta (L(w*) - minimum)": f"{part['above'].mean():.2f}",
            "LLC": f"{known.mean():.2f} ± {spread:.2f}",
            "half d_eff": f"{part['half_d_eff'].mean():.2f}",
            **{status: str(count.get(status, 0)) for status in ("ok", "suspect", "failed")},
        })  # fmt: skip
    return rows


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("--cpu", type=float, required=True, help="user and sys of its run, s")
    parser.add_argument("--file", help="of the study, in benchmarks; without: the preset")
    args = parser.parse_args()
    tables = args.study / "tables"
    llc, probes = (pd.read_parquet(tables / f"{name}.parquet") for name in ("llc", "probes"))
    text = HEAD.format(
        runs=llc["run"].nunique(), checkpoints=llc["step"].nunique(), cpu=args.cpu,
        estimates=len(llc), minutes=args.cpu / 120, processor=processor(),
        size="large" if args.file else "whole",
        study=f"benchmarks/{args.file}" if args.file else "--preset gridworld",
    )  # fmt: skip
    refused = len(llc) - llc["rhat"].notna().sum()
    failed = (llc["status"] == "failed").sum()
    tail = (
        f"\n\n{failed} of {len(llc)} estimates are `failed`, {refused} of them before a chain ran; "
        "left out are steps at which all seeds are.\n"
    )
    out = RESULTS / f"{Path(args.file or 'gridworld_study').stem}.md"
    out.write_text(text + table(rows_of(llc, probes)) + tail)


if __name__ == "__main__":
    main()
