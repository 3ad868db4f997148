"""The command line `rl-slt`, and how its errors end."""

from __future__ import annotations

import contextlib
import errno
import gc
import logging
import os
import sys
from collections.abc import Iterator, Sequence

import click

from rl_slt.cli.commands import cli
from rl_slt.errors import InputError
from rl_slt.forkserver import end_forkserver
from rl_slt.shadows import refuse_shadow

COMMANDS = tuple(cli.commands)
# Failures of the machine, not a bug: one line is all there is to say.
_MACHINE = {
    errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR,
    errno.EISDIR, errno.ENAMETOOLONG, errno.EFBIG, errno.EEXIST,
}  # fmt: skip


class _Stderr(logging.Handler):
    """Messages of the library as lines on stderr, wherever that points now."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one message."""
        print(self.format(record), file=sys.stderr, flush=True)


@contextlib.contextmanager
def messages_on_stderr() -> Iterator[None]:
    """What the library logs from INFO on is shown in here, each message once."""
    logger = logging.getLogger("rl_slt")
    if any(isinstance(handler, _Stderr) for handler in logger.handlers):
        yield
        return
    handler, before = _Stderr(), (logger.level, logger.propagate)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the program and exit: 0 only on success; a user's mistake is one line on stderr.

    Args:
        argv: its arguments; None takes those of the process, which is its own then.
    """
    if argv is not None:
        sys.exit(_run(list(argv)))
    _open_closed()
    gc.set_threshold(50_000, 20, 20)  # imports make a million objects, none of them garbage
    try:
        status = _run(sys.argv[1:])
    finally:
        end_forkserver()
    gc.freeze()  # nor is what ends with the process
    sys.exit(status)


def _open_closed() -> None:
    """What the caller closed (`rl-slt ... >&-`) goes nowhere; else other files get its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            number = os.open(os.devnull, os.O_RDWR)  # the lowest that is free
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115


def _run(argv: list[str]) -> int:
    try:
        refuse_shadow()
        with messages_on_stderr():
            result = cli.main(argv, prog_name="rl-slt", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.ClickException as error:
        ctx = getattr(error, "ctx", None)
        where = f" (see `{ctx.command_path} --help`)" if ctx is not None else ""
        return _say(error.format_message() + where, 2)
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


def _say(text: str, status: int) -> int:
    print("rl-slt: error: " + " ".join(text.split()), file=sys.stderr)
    return status
