"""The code blocks of a Markdown page: what they are, and how they are run.

A fence says its language: `python` is executed, all blocks of a page in one namespace; `sh` is
commands, of which those of `rl-slt` are run by its own command line; `toml` is read, as a study
where it has arms; `text`, `bibtex` and `bash` are not run. A comment `<!-- not run: REASON -->` on
the line before a block says that it cannot run here: its Python is compiled and its commands are
parsed. A fence without a language is commands of `rl-slt`, or text;
indented commands are parsed.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import click

_BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]+?) -->\n)?"
    r"```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_INDENTED = re.compile(r"\n\n((?: {4}rl-slt [^\n]*\n(?: {4,}[^\n]*\n)*)+)")


@dataclass(frozen=True)
class Block:
    """A code block: its page, line, language and text, and why it is not run ("" if it is)."""

    page: str
    line: int
    language: str
    text: str
    reason: str

    @property
    def commands(self) -> list[list[str]]:
        """The words of each command of an `sh` block; comments and continued lines are joined."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [words for line in lines if (words := shlex.split(line, comments=True))]


def blocks_of(path: Path) -> list[Block]:
    """All code blocks of a page, in order."""
    text = path.read_text()
    plain = _BLOCK.sub(lambda match: "\n" * match[0].count("\n"), text)
    indented = [
        Block(path.name, plain.count("\n", 0, match.start(1)), "sh", dedent(match[1]), "indented")
        for match in _INDENTED.finditer(plain)
    ]
    return indented + [
        Block(
            path.name,
            text.count("\n", 0, match.start("text")),
            match["language"] or ("sh" if match["text"].startswith("rl-slt") else "text"),
            match["text"],
            match["reason"] or "",
        )
        for match in _BLOCK.finditer(text)
    ]


def check(block: Block) -> None:
    """Compile, parse or read a block without running it; raises what is wrong with it."""
    if block.language == "python":
        compile(block.text, f"{block.page}:{block.line}", "exec")
    elif block.language == "toml":
        table = tomllib.loads(block.text)
        if "arms" in table and "question" in table:
            from rl_slt.pipeline.plan.study import parse_study

            parse_study(block.text, "study")
    elif block.language == "sh":
        for words in block.commands:
            parse_command(words)


def parse_command(words: list[str]) -> None:
    """Parse a command of `rl-slt` by its own parser; raises what that refuses."""
    if words[0] != "rl-slt" or words[1:] == ["--version"]:
        return
    from rl_slt.cli.commands import cli

    context = click.Context(cli, info_name="rl-slt")
    name, command, rest = cli.resolve_command(context, words[1:])
    assert command is not None
    command.make_context(name, list(rest), parent=context)


def run(block: Block, namespace: dict[str, Any]) -> None:
    """Run a block in the working folder; raises what fails.

    Args:
        block: one that can run here.
        namespace: of the page's Python.
    """
    if block.language == "python":
        exec(compile(block.text, f"{block.page}:{block.line}", "exec"), namespace)
    elif block.language == "toml":
        check(block)
        if "arms" in tomllib.loads(block.text):
            Path("study.toml").write_text(block.text)
    elif block.language == "sh":
        from rl_slt.cli import main

        for words in block.commands:
            if words[0] == "rl-slt":
                try:
                    main(words[1:])
                except SystemExit as ended:
                    assert ended.code == 0, " ".join(words)
