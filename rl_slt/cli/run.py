"""`rl-slt run`: the main job."""

from __future__ import annotations

from pathlib import Path

import click

from rl_slt.cli.options import INTEGER, engine_options


@click.command("run")
@click.argument("study", required=False, type=click.Path(path_type=Path), metavar="[STUDY.toml]")
@click.option("--preset", help="A study that comes with the package: smoke, demo, alpha, coinrun.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the study [its name].")
@click.option("--seed", type=INTEGER, help="One training seed instead of the study's own seeds.")
@click.option("--resume", is_flag=True, help="Go on with the study in OUT (the default there).")
@engine_options
def command(
    study: Path | None,
    preset: str | None,
    out: Path | None,
    seed: int | None,
    resume: bool,
    workers: int | None,
    scheduler: str | None,
) -> int:
    """Train every arm, estimate LLCs, probe goals, and write the report.

    Interrupted at any point, the same command goes on from there.

    \b
    Examples:
      rl-slt run --preset smoke --out smoke
      rl-slt run --preset demo --out demo --seed 1
      rl-slt run study.toml --workers 8
    """
    from rl_slt.pipeline.commands.run import run_study
    from rl_slt.pipeline.plan.study import load_preset, load_study, preset_names

    if (study is None) == (preset is None):
        raise click.UsageError(
            f"give a STUDY.toml or --preset ({', '.join(preset_names())}), not both"
        )
    plan = load_preset(preset, seed) if preset is not None else load_study(Path(study or ""), seed)
    return run_study(plan, out or Path(plan.name), workers, scheduler)
