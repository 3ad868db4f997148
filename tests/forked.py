"""Processes of their own, forked from one that has imported the program: six seconds less each."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

PRELOAD = ["distributed", "torch._inductor.config", "rl_slt.pipeline.engine.preload"]


def _call(call: Callable[..., Any], args: tuple[Any, ...], cwd: str, said: str) -> None:
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(cwd)
    for number, name in enumerate(("out", "err"), 1):
        with Path(said, name).open("w") as file:
            os.dup2(file.fileno(), number)
    call(*args)


class Forked:
    """A call in a process of its own, which leads a session, as `subprocess.Popen`.

    Args:
        call: a module's function; its `SystemExit` is the status of the process.
        args: its arguments.
        cwd: the folder that it works in.
    """

    def __init__(self, call: Callable[..., Any], *args: Any, cwd: Path | None = None) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOAD)
        self._said = tempfile.mkdtemp()
        where = str(cwd or Path.cwd())
        self.process = context.Process(target=_call, args=(call, args, where, self._said))
        self.process.start()

    def poll(self) -> int | None:
        """The status, negative of a signal; None while it goes on."""
        return self.process.exitcode

    def kill(self) -> int | None:
        """Kill it, whatever it said; its status."""
        self.process.kill()
        self.process.join()
        shutil.rmtree(self._said, ignore_errors=True)
        return self.process.exitcode

    def wait(self) -> subprocess.CompletedProcess[str]:
        """How it ended and what it said; to be asked once."""
        self.process.join()
        assert self.process.exitcode is not None
        files = [Path(self._said, name) for name in ("out", "err")]
        said = [path.read_text() if path.exists() else "" for path in files]
        shutil.rmtree(self._said)
        return subprocess.CompletedProcess([], self.process.exitcode, *said)


def rl_slt(*argv: object, cwd: Path | None = None) -> Forked:
    """A command of the program."""
    return Forked(_command, [str(word) for word in argv], cwd=cwd)


def _command(argv: list[str]) -> None:
    from rl_slt.cli import main

    main(argv)
