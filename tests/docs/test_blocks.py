"""Every code block of the documents runs, or says why it does not and is parsed."""

import os
import re
import shlex
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from agents import list_checkpoints, load_policy
from agents.checkpoints import NetworkSpec, save_checkpoint, write_index
from analysis import schema

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "docs"))
from blocks import Block, blocks_of, check, parse_command, run  # noqa: E402

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
LANGUAGES = {"python", "sh", "toml", "text", "bibtex"}
# Seconds of CPU and more: trainings, studies, calibrations.
SLOW = {
    "train.md", "own-study.md", "gallery.md", "probes.md", "experiments.md", "gridworld.md",
    "volume.md",
}  # fmt: skip
WITH_PYTHON = [p for p in PAGES if any(b.language == "python" for b in blocks_of(p))]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_block_is_sound(page: Path) -> None:
    for block in blocks_of(page):
        assert block.language in LANGUAGES, block
        check(block)


def test_a_wrong_command_study_or_python_is_found() -> None:
    for language, text in {
        "sh": "rl-slt llc runs/a --moon 1",
        "toml": 'question = "?"\n[arms.a]\ncoin = "moon"',
        "python": "estimate(",
    }.items():
        with pytest.raises(Exception, match=r"moon|never closed"):
            check(Block("page.md", 1, language, text, ""))


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to run blocks in: `demo` with two runs that were not trained."""
    torch.manual_seed(0)
    for name in ("end-s0", "behind-s0"):
        path, spec = tmp_path / "demo" / "runs" / name, NetworkSpec("patch", {})
        save_checkpoint(path, 4096, spec.build(), spec, {})
        write_index(path, finished=True)
        (path / "tables").mkdir()
        row = {"step": 4096, "probe": "behind", "metric": "coin_rate", "value": 0.5, "n": 8,
               "ci_low": 0.2, "ci_high": 0.8}  # fmt: skip
        table = schema.conform("probes", pd.DataFrame([{"run": name, "arm": "a"} | row]))
        table.to_parquet(path / "tables" / "probes.parquet")
    (tmp_path / "gallery").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_page(page: Path, languages: set[str]) -> None:
    namespace: dict[str, object] = {}
    for block in blocks_of(page):
        if not block.reason and block.language in languages:
            run(block, namespace)


@pytest.mark.usefixtures("demo")
@pytest.mark.parametrize(
    "page",
    [pytest.param(p, marks=[pytest.mark.slow] if p.name in SLOW else []) for p in WITH_PYTHON],
    ids=lambda path: path.name,
)
def test_the_python_of_a_page_runs(page: Path) -> None:
    try:
        run_page(page, {"python"})
    except ModuleNotFoundError as error:
        if str(error.name).split(".")[0] in ("rl_slt", "envs", "agents", "analysis"):
            raise
        pytest.skip(f"needs {error.name}, of an extra")


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small finished study called `demo`, and runs named as on the pages."""
    from rl_slt.pipeline import load_preset, run_study

    out = tmp_path_factory.mktemp("smoke")
    assert not run_study(load_preset("smoke"), out / "demo", workers=0).failed
    for name in ("a", "b", "behind-s0"):
        path = out / "runs" / name
        shutil.copytree(
            out / "demo" / "runs" / "end-s0",
            path,
            ignore=shutil.ignore_patterns("tables"),  # their rows have the other name
        )
        last = list_checkpoints(path)[-1]
        for step in STEPS:
            save_checkpoint(path, step, load_policy(last), NetworkSpec("patch", {}), {})
        write_index(path, finished=True)
    return out


STEPS = (4096, 20_480, 40_960, 57_344, 802_816)  # that pages name
# What these commands make is shown elsewhere: minutes each, or what `smoke` already did.
NOT_AGAIN = ("rl-slt run", "rl-slt import")
# The last of an option counts: trainings, estimates and episodes are as few as can be.
FEW = "--n-states 64 --draws 40 --burn-in 10"
SHORT = {
    "train": "--steps 2048 --set num_envs=8 --set batch_size=128", "llc": FEW,
    "train --trainer clone": "--steps 20 --set demonstrations=512",
    "influence": "--n-states 64 --draws 400 --probe-states 8",  # or it is refused
    "susceptibility": FEW + " --tilt-states 16", "surface": "--episodes 4 --batches 2 --points 0",
    "calibrate": "--n-states 64", "probe": "--levels 2", "volume": "--n-states 64 --particles 4",
}  # fmt: skip


def made_short(words: list[str]) -> str:
    """A command of a page, with what makes it short at its end."""
    line = shlex.join(words)
    fits = [name for name in SHORT if all(word in words for word in name.split())]
    return f"{line} {SHORT[max(fits, key=len)]}" if fits else line


def commands_to_run(page: Path) -> list[Block]:
    """The blocks of a page whose commands can run here, made short."""
    found = []
    for block in blocks_of(page):
        if block.language == "sh" and not block.reason:
            lines = [
                made_short(words)
                for words in block.commands
                if words[0] == "rl-slt" and not shlex.join(words).startswith(NOT_AGAIN)
            ]
            found.append(replace(block, text="\n".join(lines)))
    return [block for block in found if block.text]


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [p for p in PAGES if commands_to_run(p)], ids=lambda path: path.name
)
def test_the_commands_of_a_page_run(
    page: Path, smoke: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(smoke, tmp_path, dirs_exist_ok=True)
    (tmp_path / "gallery").mkdir()
    monkeypatch.chdir(tmp_path)
    for block in commands_to_run(page):
        for words in block.commands:
            if words[:2] == ["rl-slt", "train"]:  # runs that the page makes are not there yet
                shutil.rmtree(words[2], ignore_errors=True)
        run(block, {})
    assert os.listdir(tmp_path)


def test_every_example_of_a_command_is_parsed() -> None:
    from rl_slt.cli.commands import cli

    for command in cli.commands.values():
        lines = re.findall(r"^\s*(rl-slt .*)$", command.help or "", re.MULTILINE)
        assert lines, command.name
        for line in lines:
            (words,) = Block("", 0, "sh", line, "").commands
            parse_command(words)
