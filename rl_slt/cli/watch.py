"""`rl-slt watch`: the LLC beside a training run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rl_slt.cli.options import FLOAT


@click.command("watch")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--share", type=FLOAT, default=0.1, show_default=True,
              help="Largest share of one core's time beside the training.")  # fmt: skip
@click.option("--error-rate", type=FLOAT, default=0.05, show_default=True,
              help="Probability of any warning on a run without a transition.")  # fmt: skip
@click.option("--once", is_flag=True, help="Stop when the checkpoints so far are estimated.")
def command(run: Path, share: float, error_rate: float, once: bool) -> None:
    """Estimate the LLC of new checkpoints beside a training run and warn of transitions.

    Every event is appended as a line of JSON to RUN/watch.jsonl. The watch takes only time that no
    other program wants (on Linux), and no more than its share while training goes on.

    \b
    Example:
      rl-slt watch runs/a --share 0.1
    """
    from rl_slt.pipeline.engine.throttle import stand_back

    stand_back()  # before torch is loaded: that, too, takes seconds
    from rl_slt.pipeline.commands.watch import Watch, follow

    for event in follow(run, Watch(share=share, error_rate=error_rate, once=once)):
        click.echo(_line(event))


def _line(event: dict[str, Any]) -> str:
    if event["event"] == "estimate":
        llc, error = (float("nan") if event[k] is None else event[k] for k in ("llc", "stderr"))
        bar = "#" * max(0, min(60, round(llc))) if llc == llc else ""
        flag = "" if event["status"] == "ok" else f" ({event['status']})"
        return f"{event['step']:>12,}  {llc:8.2f} ± {error:.2f}{flag}  {bar}"
    if event["event"] == "transition":
        return (
            f"TRANSITION: {event['kind']} of {event['change']:+.3g} at step {event['step']:,.0f} "
            f"({event['step_low']:,.0f} to {event['step_high']:,.0f}; {event['detector']}, "
            f"p = {event['p_value']:.2g} <= {event['level']:.2g})"
        )
    if event["event"] == "failed":
        return f"{event['step']:>12,}  failed: {event['reason']}"
    return "training is finished" if event["finished"] else "all checkpoints so far are estimated"
