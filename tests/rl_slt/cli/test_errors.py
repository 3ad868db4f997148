"""A user's mistake is one line on stderr and changes nothing; a bug keeps its traceback."""

import os
import subprocess
import sys
from multiprocessing import forkserver
from pathlib import Path

import click
import pytest
import torch

import agents
from rl_slt.cli import COMMANDS, main
from rl_slt.cli.commands import cli
from rl_slt.errors import InputError
from rl_slt.forkserver import end_forkserver
from rl_slt.pipeline.engine.jobs import Job, open_engine


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(argv)
    out, err = capsys.readouterr()
    return int(end.value.code or 0), out, err


def tree(folder: Path) -> list[tuple[str, bytes]]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return [(str(p.relative_to(folder)), p.read_bytes()) for p in files]


MISTAKES = [
    (["moon"], "command='moon': must be one of run, train"),
    (["run"], "give a STUDY.toml or --preset"),
    (
        ["run", "--preset", "moon"],
        "preset='moon': must be one of alpha, branches, coinrun, demo, goal-prior, gridworld",
    ),
    (["run", "--preset", "smoke", "--seed", "x"], "seed='x': must be an integer"),
    (["run", "--preset", "smoke", "--out", "other"], "other exists and holds no study"),
    (["run", "--preset", "smoke", "--out", "foreign"], "foreign holds another study"),
    (["run", "gone.toml"], "cannot read the study gone.toml"),
    (["run", "--preset", "smoke", "--out", "new", "--workers", "-1"], "workers=-1: must be"),
    (["train", "new", "--coin", "moon"], "moon"),
    (["train", "new", "--network", "moon"], "moon"),
    (["train", "new", "--levels", "5:5"], "levels='5:5': must be all, or a range A:B"),
    (["train", "new", "--step", "5"], "go together"),
    (["train", "new", "--set", "moon=1"], "train: moon: unknown setting; allowed: coin"),
    (["train", "new", "--set", "gamma"], "NAME=VALUE"),
    (["train", "new", "--preset", "moon"], "moon"),
    (["train", "other"], "other"),
    (["status"], "Missing argument"),
    (["status", "gone"], "no such run or study: gone"),
    (["status", "other"], "neither a run"),
    (["llc", "gone"], "no such run or study: gone"),
    (["llc", "other"], "neither a run"),
    (["llc", "broken"], "cannot be read as JSON"),
    (["llc", "empty"], "no complete checkpoint"),
    (["probe", "empty"], "no complete checkpoint"),
    (["watch", "gone"], "no such run or study: gone"),
    (["watch", "empty", "--share", "2"], "share=2.0: must be a finite number above 0"),
    (["validate", "--only", "moon"], "problem='moon': must be one of"),
    (["validate", "--sampler", "moon"], "sampler='moon': must be one of auto, sgld"),
    (["rollout", "gone", "--out", "x.gif"], "no such run or study: gone"),
    (
        ["rollout", "empty", "--out", "x.doc"],
        "out='x.doc': must be a file that ends in .gif or .png",
    ),
    (["rollout", "empty", "--out", "x.gif"], "no complete checkpoint"),
    (["levels", "--coin", "moon", "--out", "x.png"], "'moon'"),
    (["levels", "--seeds", "9:3", "--out", "x.png"], "9:3"),
    (["import", "gone.zip", "new"], "gone.zip"),
    (["import", "other/thesis.txt", "new"], "thesis.txt"),
    (["report", "gone", "--out", "x.html"], "no such run or study: gone"),
    (
        ["report", "empty", "--out", "other"],
        "out='other': must be the name of a file; it is a folder",
    ),
]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, files in {
        "other": {"thesis.txt": "do not touch"},
        "foreign": {"study.json": '{"name": "foreign"}'},
        "broken": {"config.json": "{"},
        "empty": {"config.json": '{"train": {"coin": "end"}, "seed": 0}'},
    }.items():
        (tmp_path / name).mkdir()
        for file, text in files.items():
            (tmp_path / name / file).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("argv", "message"), MISTAKES, ids=lambda v: " ".join(v)[:40])
def test_a_mistake_is_one_line(
    place: Path, capsys: pytest.CaptureFixture[str], argv: list[str], message: str
) -> None:
    before = tree(place)
    status, out, err = run(capsys, *argv)
    assert status == 2 and out == ""
    assert err.count("\n") == 1 and err.startswith("rl-slt: error: ") and message in err
    kept = [(name, data) for name, data in tree(place) if "/.locks/" not in name]
    assert kept == before


@pytest.mark.parametrize("where", ["/proc/x", "other/thesis.txt/x"])
@pytest.mark.parametrize(
    "argv",
    [
        ["train", "{}"],
        ["run", "--preset", "smoke", "--out", "{}"],
        ["import", "w.pt", "{}"],
        ["levels", "--seeds", "0:1", "--out", "{}.png"],
        ["levels", "--seeds", "0:1", "--out", "{}/y/sheet.png"],
    ],
    ids=lambda argv: argv[0],
)
def test_a_place_where_nothing_can_be_made_is_one_line(
    place: Path, capsys: pytest.CaptureFixture[str], argv: list[str], where: str
) -> None:
    torch.save(agents.build_network("patch").state_dict(), "w.pt")
    status, out, err = run(capsys, *(word.format(where) for word in argv))
    assert status in (1, 2) and out == ""
    assert err.startswith("rl-slt: error: ") and err.count("\n") == 1
    assert where.split("/x")[0] in err


def test_a_bug_keeps_its_traceback(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: Path) -> list[str]:
        return [str(path)[1000]]

    monkeypatch.setattr("rl_slt.pipeline.commands.status.describe", broken)
    with pytest.raises(IndexError):
        main(["status", "empty"])


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = run(capsys, name, "--help")
    assert status == 0 and f"\n    rl-slt {name} " in out.split("Example", 1)[1]  # on its own line
    command = cli.get_command(None, name)  # type: ignore[arg-type]
    assert command is not None
    options = command.get_params(click.Context(command))
    assert all(p.help for p in options if isinstance(p, click.Option))


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_what_the_caller_closed_is_no_bug(closed: str) -> None:
    code = (
        "import os, sys; from rl_slt import cli\n"
        "def job(argv):\n"
        "    print('said'); sys.stdout.flush(); print('told', file=sys.stderr)\n"
        "    files = sys.stdin, sys.stdout, sys.stderr\n"
        "    assert [file.fileno() for file in files] == [0, 1, 2]\n"
        "    assert os.open(os.devnull, os.O_RDONLY) > 2\n"
        "cli._run = job; cli.main()"
    )
    words = ["sh", "-c", f'"$0" -c "$1" {closed}', sys.executable, code]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0
    assert (done.stdout == "said\n") == (">&-" not in closed.split())
    assert (done.stderr == "told\n") == ("2>&-" not in closed)


def test_as_a_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from rl_slt.cli import main; main()", "moon"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("rl-slt: error: command='moon': must be")


@pytest.mark.parametrize(
    ("argv", "heavy"),
    [
        ([], {"torch", "pandas", "matplotlib", "pydantic"}),
        (["llc"], {"torch", "pandas", "matplotlib"}),
        (["train"], {"torch", "pandas", "matplotlib"}),
        (["calibrate"], {"torch", "pandas", "matplotlib"}),
    ],
    ids=["group", "llc", "train", "calibrate"],  # not the sets: their order is not the same twice
)
def test_help_waits_for_nothing_heavy(argv: list[str], heavy: set[str]) -> None:
    code = (
        "import sys; from rl_slt.cli import main\n"
        f"try: main({[*argv, '--help']})\n"
        "except SystemExit: pass\n"
        f"print({heavy} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("set()\n")


@pytest.mark.parametrize(
    ("engine", "begun"),
    [([], "start {}"), (["--workers", "0"], ""), (["--scheduler", "tcp://127.0.0.1:1"], "")],
    ids=["workers", "none", "cluster"],
)
def test_what_workers_come_from_is_begun_before_the_imports(engine: list[str], begun: str) -> None:
    heavy = {"torch", "pandas", "distributed"}
    code = (
        "import sys; from rl_slt.cli import commands, main\n"
        f"begin = lambda: print('start', {heavy} & set(sys.modules) or {{}})\n"
        "commands.start_forkserver = begin\n"
        f"main({['probe', 'nowhere', *engine]})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout.strip() == begun


@pytest.mark.parametrize(
    ("broken", "status", "last"),
    [("", 2, "rl-slt: error: no such run or study: nowhere"),
     ("cli._run = lambda argv: 1 / (forkserver.start_forkserver() or 0); ", 1,
      "ZeroDivisionError: division by zero")],
    ids=["mistake", "bug"],
)  # fmt: skip
def test_what_workers_come_from_ends_with_a_command_that_needed_none(
    tmp_path: Path, broken: str, status: int, last: str
) -> None:
    """Whoever reads the command's output would wait for its end, too."""
    (tmp_path / "slow.py").write_text("import time; time.sleep(60)")
    code = f"from rl_slt import cli, forkserver\n{broken}forkserver._PRELOAD = ['slow']; cli.main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "probe", "nowhere"],
        capture_output=True, text=True, timeout=50,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
    )  # fmt: skip
    assert done.returncode == status and done.stderr.splitlines()[-1] == last


def test_what_workers_come_from_may_be_gone_already(monkeypatch: pytest.MonkeyPatch) -> None:
    (gone := subprocess.Popen(["true"])).wait()
    monkeypatch.setattr(forkserver._forkserver, "_forkserver_pid", gone.pid)
    end_forkserver()


def test_workers_that_cannot_be_started_are_a_mistake_where_they_are_needed(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As where the folder of temporary files has too long a name for a socket."""

    def refuse() -> None:
        raise OSError("AF_UNIX path too long")

    monkeypatch.setattr(forkserver, "ensure_running", refuse)
    assert "no such run or study: nowhere" in run(capsys, "probe", "nowhere")[2]
    with open_engine(1) as engine, pytest.raises(InputError, match=r"AF_UNIX.*a short TMPDIR may"):
        list(engine.run([Job("nothing", print, ())], lambda: None))
