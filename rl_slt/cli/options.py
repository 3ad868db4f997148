"""Options that several commands share."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def engine_options(command: F) -> F:
    """`--workers` and `--scheduler`: where the units of work run."""
    command = click.option(
        "--scheduler", metavar="ADDRESS", help="Dask scheduler to use, as tcp://HOST:8786."
    )(command)
    return click.option(
        "--workers",
        type=int,
        help="Processes on this machine; 0 works in this one [one per core].",
    )(command)


CHAINS = (
    click.option("--params", help="Names of the parameters that may move, as 'trunk.*' [all]."),
    click.option(
        "--sampler", help="auto, baoab, sgld, rmsprop_sgld, sgnht, mala, hmc, ... [auto]."
    ),
    click.option(
        "--chains",
        type=int,
        help="Independent chains; on a GPU, or of a small network, they are computed together.",
    ),
    click.option("--draws", type=int, help="Draws of each chain after burn-in."),
    click.option("--burn-in", type=int, help="Steps of each chain that do not count."),
    click.option("--batch-size", type=int, help="States of one gradient."),
    click.option("--whitening", type=int, help="Directions of curvature made round; 0 is none."),
    click.option(
        "--precision",
        help="Of convolutions: float32, bfloat16, or auto, the faster here [auto].",
    ),
    click.option(
        "--device",
        help="Where chains run: cpu, cuda, cuda:0, ... [cpu]; a GPU has one worker by default.",
    ),
    click.option("--seed", type=int, help="Seed of the chains and of the state sets."),
)


def chain_options(command: F) -> F:
    """What chains are run, in the names of `rl_slt.pipeline.plan.study.LLCPlan`."""
    for option in reversed(CHAINS):
        command = option(command)
    return command


def parse_levels(text: str) -> tuple[int, int] | None:
    """A level range `A:B` (half-open), or None for `all`.

    Raises:
        click.UsageError: if the text is neither.
    """
    if text == "all":
        return None
    first, colon, last = text.partition(":")
    if not colon or not first.isdecimal() or not last.isdecimal() or int(first) >= int(last):
        raise click.UsageError(
            f"level range {text!r} is not allowed: A:B with 0 <= A < B (half-open), or all"
        )
    return int(first), int(last)


def parse_setting(text: str) -> tuple[str, Any]:
    """`NAME=VALUE` as a name and a value in TOML's form; a bare word is text.

    Raises:
        click.UsageError: if there is no `=`.
    """
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.UsageError(f"setting {text!r} is not allowed: NAME=VALUE, as gamma=0.99")
    try:
        return name, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name, value
