"""The command line: each command parses its options and calls one library function."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Sequence

import click

from rl_slt.errors import InputError

# Each lives in the module of its name here, loaded only when it is asked for.
COMMANDS = ("run", "train", "import", "status", "llc", "calibrate", "probe", "report", "compare",
            "watch", "validate", "rollout", "levels")  # fmt: skip
# Failures of the machine, not a bug: one line is all there is to say.
_MACHINE = {
    errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR,
    errno.EISDIR, errno.ENAMETOOLONG, errno.EFBIG, errno.EEXIST,
}  # fmt: skip


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = "import_" if cmd_name == "import" else cmd_name  # `import` is Python's own word
        command: click.Command = importlib.import_module(f"rl_slt.cli.{module}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            raise InputError(f"unknown command {args[0]!r}; allowed: {', '.join(COMMANDS)}")
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="rl-slt")
def cli() -> None:
    """Singular learning theory for reinforcement learning: train, estimate, probe, report.

    Begin with:  rl-slt run --preset smoke
    """


def main(argv: Sequence[str] | None = None) -> None:
    """Run the program and exit: 0 only on success; a user's mistake is one line on stderr."""
    sys.exit(_run(list(sys.argv[1:] if argv is None else argv)))


def _run(argv: list[str]) -> int:
    try:
        result = cli.main(argv, prog_name="rl-slt", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.ClickException as error:
        return _say(_usage_line(error), 2)
    except (KeyboardInterrupt, click.Abort):
        return _say("interrupted; finished work is kept, the same command goes on from there", 130)
    except BrokenPipeError:  # the reader of our output went away, as in `rl-slt ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except InputError as error:
        return _say(str(error), 2)
    except OSError as error:
        if error.errno not in _MACHINE:
            raise
        return _say(f"{error.strerror}: {error.filename or 'a file of the run'}", 1)


def _usage_line(error: click.ClickException) -> str:
    text = error.format_message()
    ctx = getattr(error, "ctx", None)
    command = f" (see `{ctx.command_path} --help`)" if ctx is not None else ""
    return f"{text}{command}"


def _say(text: str, status: int) -> int:
    print("rl-slt: error: " + " ".join(text.split()), file=sys.stderr)
    return status
