"""The commands: each parses its options and calls one library function, loaded only then."""

from __future__ import annotations

import contextlib
import functools
from pathlib import Path
from typing import Any

import click

import rl_slt
from rl_slt.cli.options import (
    FLOAT,
    INTEGER,
    SEED,
    FromModel,
    ModelCommand,
    Number,
    parse_setting,
)
from rl_slt.errors import InputError
from rl_slt.forkserver import start_forkserver

PATH = click.Path(path_type=Path)
RUN = click.argument("run", type=PATH)
RUNS = click.argument("runs", nargs=-1, required=True, type=PATH)
OUT = click.option("--out", required=True, type=PATH, help="File to write.")
LLC, TRAINING = "rl_slt.pipeline.plan.study:LLCPlan", "agents:TrainConfig"


JOBS = {
    "study": "Study",
    "train": "Train",
    "measure": "Measure",
    "probe": "Probe",
    "look": "Look",
    "report": "Report",
}


class Commands(click.Group):
    """The program: commands by job; an unknown one is refused in the form of every message."""

    def command(self, *args: Any, job: str = "measure", **kwargs: Any) -> Any:
        """A decorator as of any group, for a command that does a job of `JOBS`."""
        decorate = super().command(*args, **kwargs)

        def add(function: Any) -> click.Command:
            command: click.Command = decorate(function)
            command.job = job  # type: ignore[attr-defined]
            return command

        return add

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands under their jobs, each with its first line."""
        for job, title in JOBS.items():
            of_job = [c for c in self.commands.values() if c.job == job]  # type: ignore[attr-defined]
            rows = [(str(c.name), c.get_short_help_str(200)) for c in of_job]
            with formatter.section(title):
                formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command of that name."""
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            raise InputError.of("command", args[0], f"one of {', '.join(self.commands)}")
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order in which the commands are declared here, that of their use."""
        return list(self.commands)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(rl_slt.__version__)
def cli() -> None:
    """Singular learning theory for reinforcement learning: train, estimate, probe, report.

    Begin with:  rl-slt run --preset smoke

    A setting that may be left out takes `none` too, as in --nbeta none, over that of a study.
    """


def engine_options(command: Any) -> Any:
    """`--workers` and `--scheduler`: where the work is done."""
    workers = "Processes on this machine; 0 works in this one [one per core]."
    scheduler = "Dask scheduler to use, as tcp://HOST:8786."

    @functools.wraps(command)
    def begun(*args: Any, **options: Any) -> Any:
        if options["scheduler"] is None and options["workers"] != 0:
            with contextlib.suppress(InputError):  # who needs workers will say so
                start_forkserver()  # it imports while the command does
        return command(*args, **options)

    begun = click.option("--scheduler", metavar="ADDRESS", help=scheduler)(begun)
    return click.option("--workers", type=INTEGER, help=workers)(begun)


@cli.command("run", job="study")
@click.argument("study", required=False, type=PATH, metavar="[STUDY.toml]")
@click.option(
    "--preset",
    help="A study that comes with the package: smoke, demo, alpha, coinrun, gridworld, "
    "gridworld-bayes; or an experiment: branches, goal-prior, modular-addition, tms.",
)
@click.option("--out", type=PATH, help="Folder of the study [its name].")
@click.option("--seed", type=INTEGER, help="One training seed instead of the study's own seeds.")
@click.option("--seeds", metavar="A:B", help="Only these of the study's seeds for now, as 0:2.")
@click.option("--resume", is_flag=True, help="Go on with the study in OUT (the default there).")
@click.option("--plan", "only_plan", is_flag=True, help="Print what and how long, and stop.")
@click.option("--size", help="Of an experiment: small, default or large.")
@click.option("--budget", metavar="TIME", help="Choose settings that fit a time, as 10m or 1h30m.")
@engine_options
def run(
    study: Path | None, preset: str | None, out: Path | None, seed: int | None,
    seeds: str | None, resume: bool, only_plan: bool, size: str | None, budget: str | None,
    **engine: Any,
) -> int:  # fmt: skip
    """Train every arm, estimate LLCs, probe goals, and write the report.

    Interrupted at any point, the same command goes on from there. --seeds does a long study in
    parts: the report is of the runs so far.

    --plan measures this machine for half a minute, prints what is left to compute in OUT and about
    how long that takes, and writes nothing. --budget leaves arms, seeds and training as they are
    and takes fewer checkpoints for LLC and probes, then fewer draws and levels, then fewer
    controls; it is recorded in the study, prints with --plan what it changes, and stops nothing.

    \b
    Examples:
      rl-slt run --preset smoke --out smoke
      rl-slt run --preset demo --out demo --seed 1
      rl-slt run study.toml --workers 8
      rl-slt run study.toml --seeds 0:2
      rl-slt run study.toml --budget 1h30m --plan
      rl-slt run --preset modular-addition --out addition
    """
    from rl_slt.experiments.registry import EXPERIMENTS

    if study is None and preset in EXPERIMENTS:
        from rl_slt.pipeline.commands.experiment import describe_experiment, run_experiment

        for name, value in (("budget", budget), ("seeds", seeds)):
            if value is not None:
                raise InputError.of(name, value, f"left out: {preset} has --size")
        folder = out or Path(preset)
        if only_plan:
            for line in describe_experiment(preset, folder, size, seed):
                click.echo(line)
            return 0
        return run_experiment(preset, folder, size, seed, **engine)
    if size is not None:
        raise InputError.of("size", size, f"left out but with {' or '.join(EXPERIMENTS)}")
    from rl_slt.pipeline.commands.plan import describe_plan
    from rl_slt.pipeline.commands.run import run_study
    from rl_slt.pipeline.plan.study import load_preset, load_study, preset_names

    known = ", ".join(sorted([*preset_names(), *EXPERIMENTS]))
    if (study is None) == (preset is None):
        raise click.UsageError(f"give a STUDY.toml or --preset ({known}), not both")
    if preset is not None and preset not in preset_names():
        raise InputError.of("preset", preset, f"one of {known}")
    plan = load_preset(preset, seed) if preset is not None else load_study(Path(study or ""), seed)
    folder = out or Path(plan.name)
    if only_plan:
        for line in describe_plan(plan, folder, budget, seeds=seeds, **engine):
            click.echo(line)
        return 0
    result = run_study(plan, folder, budget=budget, seeds=seeds, **engine)
    for line in (*result.headline, f"report: {result.report.resolve()}"):
        click.echo(line)
    return 1 if result.failed else 0


TRAIN = FromModel(
    TRAINING,
    only=(
        "coin",
        "game",
        "trainer",
        "teacher",
        "noise",
        "steps",
        "seed",
        "levels",
        "network",
        "device",
    ),
    flags={"game": "env"},
    # In `train_run`, without a preset; gridworlds and clones have their own.
    defaults={"steps": "1000000", "network": "small", "trainer": "exact in a gridworld, else ppo"},
)


@cli.command("train", job="train", cls=ModelCommand, models={"changes": TRAIN})
@click.argument("out", type=PATH)
@click.option(
    "--arm",
    metavar="NAME",
    help="Condition that the run belongs to [unnamed; that of --from RUN, where only steps, "
    "seed and bookkeeping differ from it].",
)
@click.option("--preset", help="Named settings: paper, demo, clone, gridworld, gridworld-ppo [that "
              "of --env and --trainer].")  # fmt: skip
@click.option("--resume", is_flag=True, help="Go on with an unfinished training in OUT; where "
              "there is none, begin.")  # fmt: skip
@click.option("--from", "from_run", type=PATH, help="Branch off this run ...")
@click.option("--step", type=INTEGER, help="... at this checkpoint ...")
@click.option("--rest", is_flag=True, help="... for as many steps as RUN had left there, at the "
              "learning rates that it had left.")  # fmt: skip
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE",
              help="Any other setting of agents.TrainConfig, as --set gamma=0.99; repeatable.",
)  # fmt: skip
def train(
    out: Path, changes: dict[str, Any], arm: str | None, preset: str | None, resume: bool,
    from_run: Path | None, step: int | None, rest: bool, settings: tuple[str, ...],
) -> None:  # fmt: skip
    """Train an agent into the run folder OUT, with checkpoints to study.

    It is PPO on CoinRun, or with --env gridworld ascent along exact gradients of the return, where
    the coin is a cheese: corner, anywhere, at=X,Y or mix:P:A:B. With --trainer clone the network
    imitates a scripted policy: coin-blind, walker, seeker, coin-seeker or mix:P:A:B.

    \b
    Examples:
      rl-slt train runs/a --coin end --steps 1000000 --seed 0
      rl-slt train runs/b --coin mix:0.5:behind:end --steps 1000000 --preset demo --arm behind
      rl-slt train runs/c --from runs/a --step 65536 --coin behind --steps 500000
      rl-slt train runs/f --from runs/a --step 65536 --rest --seed 1
      rl-slt train runs/d --env gridworld --coin mix:0.1:anywhere:corner --seed 3
      rl-slt train runs/e --trainer clone --teacher seeker --noise 0.1 --set stop_kl=0.2
    """
    from rl_slt.pipeline.stages.train import train_run

    if (from_run is None) != (step is None):
        raise click.UsageError("--from RUN and --step N go together")
    if rest and from_run is None:
        raise InputError.of("rest", True, "given together with --from RUN and --step N")
    changes |= dict(parse_setting(text, TRAINING) for text in settings)
    branch = (from_run, step) if from_run is not None and step is not None else None
    train_run(out, preset, changes, arm=arm, resume=resume, branch=branch, rest=rest)
    click.echo(f"run: {out}")


@cli.command("import", job="train")
@click.argument("files", nargs=-1, required=True, metavar="[LOADER] FILE...")
@click.argument("out", type=PATH)
@click.option("--coin", default="end", show_default=True, help="Placement it was trained with.")
@click.option("--levels", metavar="A:B", help="Levels it was trained on [all].")
@click.option("--arm", metavar="NAME", help="Condition it belongs to [unnamed].")
@click.option("--actions", type=Number(int, many=True), metavar="LIST",
              help="Procgen's number of each of its actions, as 1,4,7 [all 15 in order].",
)  # fmt: skip
@click.option("--steps", type=Number(int, many=True),
              help="Steps that each file was trained for [what it, or its name, says].",
)  # fmt: skip
@click.option("--trust", is_flag=True, help="Let torch files run the code that is in them.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE",
              help="Other training settings it had, as --set time_limit=200; repeatable.",
)  # fmt: skip
def import_(
    files: tuple[str, ...], out: Path, coin: str, levels: str | None, arm: str | None,
    actions: tuple[int, ...] | None, steps: tuple[int, ...] | None, trust: bool,
    settings: tuple[str, ...],
) -> None:  # fmt: skip
    """Make a run of an agent trained elsewhere, from one or several FILEs.

    Read are agents of stable-baselines3 (.zip), train-procgen-pytorch and CleanRL's ppo_procgen,
    and weights of the networks here (.safetensors, .pt, .pth). Of a policy of another kind, LOADER
    makes a torch.nn.Module: package.module:function, or an entry point (see docs/import.md).

    What is said of its training decides the levels it is studied on.

    \b
    Examples:
      rl-slt import model.zip runs/theirs --coin end --levels 0:500
      rl-slt import 'logs/rl_model_*_steps.zip' runs/theirs
      rl-slt import seven.zip runs/seven --actions 1,4,7,8,5,2,3
      rl-slt import mypkg.policies:load weights.pt runs/mine
    """
    from rl_slt.pipeline.stages.train import import_run

    changes = dict(parse_setting(text, TRAINING) for text in settings)
    changes = {"coin": coin, "levels": levels} | changes
    import_run(files, out, changes, steps, arm, actions, trust)
    click.echo(f"run: {out}")


@cli.command("status", job="study")
@RUNS
def status(runs: tuple[Path, ...]) -> None:
    """Say what is done, running, failed and missing in runs or studies.

    \b
    Example:
      rl-slt status demo
    """
    from rl_slt.pipeline.commands.status import describe

    for path in runs:
        for line in describe(path):
            click.echo(line)


LLCS = FromModel(LLC, flags={"losses": "loss"},
                 bare={"profile": "[LOW:HIGH:COUNT]", "traces": "[DRAWS]"})  # fmt: skip


@cli.command("llc", job="measure", cls=ModelCommand, models={"settings": LLCS})
@RUNS
@engine_options
def llc(runs: tuple[Path, ...], settings: dict[str, Any], **engine: Any) -> int:
    """Estimate the LLC of every checkpoint of runs or studies.

    Finished estimates are kept and not made again; another setting adds rows. The settings of a
    study are the default for its runs.

    With --profile [LOW:HIGH:COUNT] the last checkpoint of each run is estimated over resolutions,
    too, with half the effective dimension and the free energy at each.

    With --traces [DRAWS] the loss of every state at evenly spaced draws is kept, for ArviZ or
    one's own questions (docs/traces.md): without a number at as many draws as a tenth of the cost
    buys. Memory and disk are said before.

    \b
    Examples:
      rl-slt llc runs/a
      rl-slt llc demo --loss nll --states frozen --chains 8 --draws 400
      rl-slt llc runs/a --states probe:behind --states frozen/coin-in-view
      rl-slt llc runs/a --loss surrogate:clip=0.2 --states on-policy
      rl-slt llc demo --profile
      rl-slt llc runs/a --states frozen --checkpoints 1 --traces
      rl-slt llc runs/a --profile 5:500:9 --profile-of all --workers 8
    """
    from rl_slt.pipeline.commands.run import llc

    return llc(runs, settings, **engine)


RESPONSES = FromModel(
    LLC,
    only=("losses", "states", "n_states", "nbeta", "localization", "params", "sampler",
          "step_size", "chains", "draws", "burn_in", "batch_size", "traces", "seed"),
    once=("losses", "states"),
    flags={"losses": "loss"},
    defaults={"states": "on-policy", "traces": "50"},
)  # fmt: skip


@cli.command("influence", cls=ModelCommand, models={"settings": RESPONSES})
@RUN
@click.option("--step", type=INTEGER, help="Checkpoint [the last].")
@click.option("--probe", default="probe:behind", show_default=True,
              help="State set that is asked about.")  # fmt: skip
@click.option("--probe-states", type=INTEGER, default=64, show_default=True,
              help="How many of them.")  # fmt: skip
@click.option("--out", type=PATH, help="Folder [influence/STEP in the run].")
def influence(run: Path, settings: dict[str, Any], **options: Any) -> None:
    """Ask which training states hold what a policy does on others.

    The Bayesian influence function: minus the covariance, over draws of the posterior, of the
    losses of two states. Writes a table, a heat map and a sheet of frames, and says how many
    influences are told from zero and how many would look so by chance. Needs the extra traces.

    \b
    Examples:
      rl-slt influence runs/a
      rl-slt influence demo/runs/behind-s0 --step 802816 --probe probe:behind --out why
    """
    from rl_slt.pipeline.commands.response import influence

    for line in influence(run, settings, **options):
        click.echo(line)


TILTS = FromModel(
    LLC,
    # A component names the parameters; the first is all of them.
    only=(*(name for name in RESPONSES.only if name != "params"), "checkpoints"),
    once=("losses", "states"),
    flags={"losses": "loss"},
    defaults={"states": "frozen", "traces": "50"},
)


@cli.command("susceptibility", cls=ModelCommand, models={"settings": TILTS})
@RUN
@click.option("--component", "components", multiple=True,
              help="Weights that are sampled, as 'body.conv1.*', or all; repeatable "
              "[all, and each layer].")  # fmt: skip
@click.option("--perturb", "perturbs", multiple=True,
              help="State set that the data move to, or SET@LEVEL; repeatable "
              "[probe:behind; in a gridworld frozen:anywhere].")  # fmt: skip
@click.option("--observable", "observables", multiple=True,
              help="What answers: loss or goal; repeatable [loss].")  # fmt: skip
@click.option("--step", type=INTEGER, help="One checkpoint [as --checkpoints says].")
@click.option("--tilt-states", type=INTEGER, default=256, show_default=True,
              help="States of each perturbation.")  # fmt: skip
@engine_options
def susceptibility(run: Path, settings: dict[str, Any], **options: Any) -> int:
    """Ask what parts of the weights answer to a tilt of the data.

    `-nbeta Cov(observable, L' - L)` over draws of each component's posterior, L' the loss of the
    other states: the change of the observable for a small share of them, per unit of share. The
    goal score is the coin's (CoinRun) or the corner's pull (gridworld). See docs/traces.md.

    \b
    Examples:
      rl-slt susceptibility runs/a --checkpoints 4
      rl-slt susceptibility runs/a --component 'body.conv1.*' --perturb probe:behind
      rl-slt susceptibility runs/g --loss exact-regret:temperature=0.01 --nbeta 300
          --localization 10 --perturb frozen:anywhere --observable loss --observable goal
    """
    from rl_slt.pipeline.commands.response import susceptibility

    lines, status = susceptibility(run, settings, **options)
    for line in lines:
        click.echo(line)
    return status


VOLUMES = FromModel(
    LLC,
    only=("losses", "states", "n_states", "localization", "params", "gauge", "chains", "draws",
          "burn_in", "batch_size", "profile", "seed"),
    once=("losses", "states"),
    flags={"losses": "loss"},
    defaults={"states": "frozen", "profile": "5, 15, 50, 150, 500"},
)  # fmt: skip


@cli.command("volume", job="measure", cls=ModelCommand, models={"settings": VOLUMES})
@RUN
@click.option("--step", type=INTEGER, help="Checkpoint [the last].")
@click.option("--goal", "goals", multiple=True,
              help="coin, left-coin, right or none; repeatable [all; outside "
              "coinrun none].")  # fmt: skip
@click.option("--radius", "radii", type=Number(float), multiple=True,
              help="Of the localizer of goals, times |w*|; repeatable [0.3, 1, 3].")  # fmt: skip
@click.option("--directions", type=INTEGER, default=128, show_default=True,
              help="Rays at each resolution, and of each goal.")  # fmt: skip
@click.option("--particles", type=INTEGER, default=64, show_default=True,
              help="Of each population of the splitting.")  # fmt: skip
@click.option("--out", type=PATH, help="CSV to write, too.")
def volume(run: Path, settings: dict[str, Any], **options: Any) -> None:
    """Measure the share of nearby weights that keep the policy.

    Free energy and local volume by integration of the LLC over nbeta, by the Gaussian formula and
    along rays; of a goal by splitting. A number without support is refused.

    \b
    Examples:
      rl-slt volume runs/a
      rl-slt volume demo/runs/behind-s0 --step 57344 --states frozen:behind --n-states 512
    """
    from rl_slt.pipeline.commands.volume import volume

    for line in volume(run, settings, **options):
        click.echo(line)


VARIED = FromModel("rl_slt.settings:Varied", defaults={"exact_states": "256"})
ESTIMATES = FromModel(
    LLC,
    # These are what is varied, or not at all.
    without=(
        "step_size",
        "localization",
        "match_entropy",
        "match_entropy_of",
        "profile",
        "profile_of",
        "traces",
    ),
    once=("losses", "states"),
    flags={"losses": "loss"},
    defaults={"states": "frozen; on-policy if needed"},
)


@cli.command(
    "calibrate", job="measure", cls=ModelCommand, models={"varied": VARIED, "settings": ESTIMATES}
)
@RUN
@click.option("--run", "names", multiple=True, help="A run of the study; repeatable [1 per arm].")
@engine_options
def calibrate(
    run: Path, varied: dict[str, Any], settings: dict[str, Any], names: tuple[str, ...],
    **engine: Any,
) -> int:  # fmt: skip
    """Find settings at which the LLC of runs can be trusted.

    First, middle and last checkpoint are estimated at several localizations, each with the step
    size as adapted and with half of it; then with other nbeta, and with nbeta 0 as a control.
    Recommends the smallest localization at which all are sound, and writes the table and a plot
    to RUN/calibration. One loss is calibrated on one set of states: frozen ones, or on-policy if
    the loss needs episodes. Finished estimates are kept and not made again.

    \b
    Examples:
      rl-slt calibrate demo/runs/behind-s0
      rl-slt calibrate demo --localizations 30,100,300,1000 --exact
      rl-slt calibrate demo --loss regret --batch-size 16
    """
    from rl_slt.pipeline.commands.calibrate import calibrate

    return calibrate(run, settings, varied, names, **engine)


PROBES = FromModel("rl_slt.pipeline.plan.study:ProbePlan")


@cli.command("probe", job="probe", cls=ModelCommand, models={"settings": PROBES})
@RUNS
@engine_options
def probe(runs: tuple[Path, ...], settings: dict[str, Any], **engine: Any) -> int:
    """Probe what checkpoints pursue where the coin lies elsewhere.

    \b
    Examples:
      rl-slt probe runs/a
      rl-slt probe demo --suite demo --levels 200
    """
    from rl_slt.pipeline.commands.run import probe

    return probe(runs, settings, **engine)


@cli.command("report", job="report")
@RUNS
@OUT
@click.option("--format", "form", help="html, md or json [as OUT ends, else html].")
def report(runs: tuple[Path, ...], out: Path, form: str | None) -> None:
    """Write the report of a run or study, or a comparison of several.

    \b
    Examples:
      rl-slt report demo --out demo.html
      rl-slt report runs/a runs/b --out ab.md
    """
    from rl_slt.pipeline.commands.run import report

    click.echo(f"report: {report(runs, out, form).resolve()}")


COMPARE = FromModel("rl_slt.pipeline.plan.study:CompareSettings", flags={"placements": "coin"})


@cli.command("compare", job="report", cls=ModelCommand, models={"settings": COMPARE})
@click.argument("first", type=PATH, metavar="RUN_A")
@click.argument("second", type=PATH, metavar="RUN_B")
@click.option("--out", required=True, type=PATH, help="Page to write, .html, .md or .json.")
@click.option("--step-a", type=INTEGER, help="Checkpoint of the first run [its last].")
@click.option("--step-b", type=INTEGER, help="Checkpoint of the second run [its last].")
def compare(
    first: Path, second: Path, out: Path, settings: dict[str, Any], step_a: int | None,
    step_b: int | None,
) -> None:  # fmt: skip
    """Show where two agents differ, and by how much at most.

    The comparison is kept with the first run, and later reports of it show it too.

    \b
    Examples:
      rl-slt compare demo/runs/end-s0 demo/runs/behind-s0 --out ab.html
      rl-slt compare runs/a runs/a --step-a 500000 --out before-after.html
    """
    from rl_slt.pipeline.commands.run import compare

    click.echo(f"report: {compare(first, second, out, settings, (step_a, step_b)).resolve()}")


@cli.command("watch", job="measure")
@RUN
@click.option("--share", type=FLOAT, default=0.1, show_default=True,
              help="Largest share of one core's time next to the training.")  # fmt: skip
@click.option("--error-rate", type=FLOAT, default=0.05, show_default=True,
              help="Probability of any warning on a run without a transition.")  # fmt: skip
@click.option("--once", is_flag=True, help="Stop when the checkpoints so far are estimated.")
def watch(run: Path, share: float, error_rate: float, once: bool) -> None:
    """Estimate the LLC of a run in training; warn of transitions.

    Every event is appended as a line of JSON to RUN/watch.jsonl. The watch takes only time that no
    other program wants (on Linux), and no more than its share while training goes on.

    \b
    Example:
      rl-slt watch runs/a --share 0.1
    """
    from rl_slt.pipeline.engine.throttle import lower_priority

    lower_priority()  # before torch is loaded: that, too, takes seconds
    from rl_slt.pipeline.commands.watch import Watch, follow

    setting = ""
    for event in follow(run, Watch(share=share, error_rate=error_rate, once=once)):
        if event.get("setting", setting) != setting:
            setting = event["setting"]
            click.echo(f"LLC ± one standard error (of chains and states) at {setting}:")
        click.echo(_line(event))


def _line(event: dict[str, Any]) -> str:
    if event["event"] == "estimate":
        llc, flag = event["llc"], "" if event["status"] == "ok" else f" ({event['status']})"
        why = f": {event['message']}" if event["message"] else ""
        if llc is None:
            return f"{event['step']:>12,}  no LLC{flag}{why}"
        bar = "#" * max(0, min(60, round(llc)))
        own = {"": event["stderr_total"], " over chains": event["stderr"]}
        error = next((f" ± {v:.2f}{of}" for of, v in own.items() if v is not None), "")
        return f"{event['step']:>12,}  {llc:8.2f}{error}  {bar}{flag}{why}"
    if event["event"] == "transition":
        head = "possible transition" if event["status"] else "TRANSITION"
        return (
            f"{head}: {event['kind']} of {event['change']:+.3g} at step {event['step']:,.0f} "
            f"(from {event['step_low']:,.0f} to {event['step_high']:,.0f}; "
            f"p = {event['p_value']:.2g} <= {event['level']:.2g})"
            + (f", {event['status']}" if event["status"] else "")
        )
    if event["event"] == "failed":
        return f"{event['step']:>12,}  failed: {event['reason']}"
    return "training is finished" if event["finished"] else "all checkpoints so far are estimated"


@cli.command("validate", job="measure")
@click.option("--only", multiple=True, help="A problem by name; repeatable [all].")
@click.option("--quick", is_flag=True, help="Four problems that take seconds.")
@click.option("--sampler", default="auto", show_default=True, help="Sampler for all problems.")
@click.option(
    "--batch-size",
    type=INTEGER,
    help="Sample on batches of this size [over all data, where the sampler can].",
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of the chains.")
@click.option("--out", type=PATH, help="Also write the table, as CSV.")
def validate(
    only: tuple[str, ...],
    quick: bool,
    sampler: str,
    batch_size: int | None,
    seed: int,
    out: Path | None,
) -> int:
    """Estimate problems whose LLC is known, next to the truth.

    The exact value is that at the same nbeta, localization and weights; lambda, the limit of large
    nbeta and small localization, stands next to it. Ends with status 1 when an estimate is wrong.

    \b
    Examples:
      rl-slt validate
      rl-slt validate --batch-size 64
      rl-slt validate --only quadratic --sampler sgld
    """
    from rl_slt.known.problems import QUICK
    from rl_slt.pipeline.commands.validate import run_validation, text_table

    if quick and only:
        raise InputError("give --quick or --only, not both")
    table = run_validation(QUICK if quick else only, sampler, seed, out, batch_size)
    click.echo(text_table(table))
    failed = int((table["verdict"] != "pass").sum())
    click.echo(
        f"{len(table) - failed} of {len(table)} pass; LLC and exact value are those at each "
        "problem's own nbeta, localization and weights (gauge none)"
    )
    return 1 if failed else 0


@cli.command("rollout", job="look")
@RUN
@click.option("--step", type=INTEGER, help="Checkpoint [the last].")
@click.option("--coin", default="behind", show_default=True, help="Coin placement.")
@click.option("--level", type=INTEGER, help="Level seed [the first of the probes' levels].")
@click.option("--policy", default="agent", show_default=True,
              help="agent, random, coin-blind, coin-seeker, walker or seeker.")  # fmt: skip
@click.option("--mode", default="sampled", show_default=True, help="sampled or greedy actions.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of the action noise.")
@click.option("--out", required=True, type=PATH, help="GIF to write, or PNG for a film strip.")
def rollout(run: Path, out: Path, **settings: Any) -> None:
    """Film one episode of a checkpoint on levels as in its training.

    \b
    Example:
      rl-slt rollout demo/runs/behind-s0 --coin behind --out clip.gif
    """
    from rl_slt.pipeline.commands.pictures import film

    click.echo(f"{film(run, out, **settings)}\nclip: {out.resolve()}")


@cli.command("field", job="look")
@RUNS
@click.option("--step", "steps", type=INTEGER, multiple=True,
              help="Checkpoint of each run; repeatable [the last].")  # fmt: skip
@click.option("--coin", "coins", multiple=True,
              help="Coin placement; repeatable [end, behind, none].")  # fmt: skip
@click.option("--level", type=INTEGER, help="Level seed [the first of the probes' levels].")
@click.option("--out", required=True, type=PATH, help="PNG to write.")
def field(runs: tuple[Path, ...], out: Path, **settings: Any) -> None:
    """Draw a policy's direction at every cell, with the coin and without.

    The agent is put to rest at each cell where it can stand, but not next to a coin. Length and
    direction of an arrow are the mean push of the policy's actions, its color is the value.

    \b
    Examples:
      rl-slt field demo/runs/end-s0 demo/runs/behind-s0 --out field.png
      rl-slt field runs/a --step 57344 --step 802816 --coin behind --coin none --out field.png
    """
    from rl_slt.pipeline.commands.pictures import draw_field

    draw_field(runs, out, **settings)
    click.echo(f"field: {out.resolve()}")


@cli.command("surface", job="look")
@RUN
@click.option("--step", "steps", type=INTEGER, multiple=True,
              help="Checkpoint; repeatable [the last].")  # fmt: skip
@click.option("--reach", type=FLOAT,
              help="Of planes and lines, in norms of the weights [1 in a gridworld, else 0.1].",
)  # fmt: skip
@click.option("--points", type=INTEGER, default=9, show_default=True,
              help="Along each side of a plane; 0 draws lines alone.")  # fmt: skip
@click.option("--batches", type=INTEGER, default=4, show_default=True,
              help="Of fresh episodes that the policy gradient is estimated by.")  # fmt: skip
@click.option("--episodes", type=INTEGER, default=128, show_default=True,
              help="Of a batch, and of a return.")  # fmt: skip
@click.option("--seed", type=SEED, default=0, show_default=True,
              help="Seed of directions, levels and actions.")  # fmt: skip
@click.option("--out", required=True, type=PATH, help="PNG to write; next to it a CSV.")
def surface(run: Path, out: Path, **settings: Any) -> None:
    """Draw what a policy earns on a plane through its weights.

    The plane is spanned by the policy gradient and a filter-normalized random direction; shown are
    return, KL from the checkpoint and goal. In a gridworld all of it is exact.

    \b
    Examples:
      rl-slt surface runs/a --out surface.png
      rl-slt surface runs/a --step 57344 --step 802816 --points 0 --out lines.png
    """
    from rl_slt.pipeline.commands.surface import surface

    for line in surface(run, out, **settings):
        click.echo(line)
    click.echo(f"surface: {out.resolve()}")


@cli.command("steer", job="probe")
@RUN
@click.option(
    "--module",
    default="body.fc",
    show_default=True,
    help="A module of the network; a wrong name lists them.",
)
@click.option(
    "--side", default="left", show_default=True, help="Where the coin lies: left or right."
)
@click.option("--strength", type=FLOAT, default=1.0, show_default=True,
              help="Times the vector that is added.")  # fmt: skip
@click.option("--step", type=INTEGER, help="Checkpoint [the last].")
@click.option("--probe", "probes", multiple=True,
              help="Placement to play; repeatable [none@mid, behind].")  # fmt: skip
@click.option("--levels", type=INTEGER, default=60, show_default=True, help="Held-out levels.")
@click.option("--controls", type=INTEGER, default=4, show_default=True,
              help="Random vectors of the same norm.")  # fmt: skip
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of what is random.")
@click.option("--out", type=PATH, help="CSV to write, too.")
def steer(run: Path, **settings: Any) -> None:
    """Steer a policy along a module's coin direction, and probe it.

    The vector is the difference of the module's mean activation with the coin on one side and with
    none, on the same states. It is added, its component is replaced by the mean without a coin,
    and the activation is patched; random vectors of the same norm stand next to it.

    \b
    Examples:
      rl-slt steer demo/runs/behind-s0
      rl-slt steer runs/a --module body.conv2 --side left --strength 2 --probe none@mid
    """
    from rl_slt.pipeline.commands.steer import steer

    for line in steer(run, **settings):
        click.echo(line)


@cli.command("levels", job="look")
@click.option("--coin", default="end", show_default=True, help="Coin placement.")
@click.option("--seeds", default="0:8", show_default=True, metavar="A:B", help="Level seeds.")
@click.option("--out", required=True, type=PATH, help="PNG to write.")
@click.option("--game", default="coinrun", show_default=True, help="coinrun or maze.")
@click.option("--plain", is_flag=True, help="The demo's flat levels with plain assets.")
@click.option("--mode", default="easy", show_default=True, help="Distribution: easy or hard.")
def levels(out: Path, **settings: Any) -> None:
    """Draw a sheet of levels: the agent's first view and the whole level.

    \b
    Example:
      rl-slt levels --coin behind --seeds 0:10 --out sheet.png
    """
    from rl_slt.pipeline.commands.pictures import draw_levels

    draw_levels(out, **settings)
    click.echo(f"sheet: {out.resolve()}")
