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
