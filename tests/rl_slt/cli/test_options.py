"""Options made from the fields of a settings class, and what commands pass on."""

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import click
import pytest
from click.testing import CliRunner
from pydantic import Field

from rl_slt import SettingsModel
from rl_slt.cli import main
from rl_slt.cli.commands import JOBS, cli
from rl_slt.cli.options import FromModel, ModelCommand, parse_setting
from rl_slt.errors import InputError
from rl_slt.pipeline.plan.study import LLCPlan
from rl_slt.samplers import SAMPLERS
from tests.rl_slt.cli.conftest import sound_run


class Small(SettingsModel):
    count: Annotated[int, Field(ge=2, description="how many")] = 4
    width: float | None = None
    """how wide; left out, as wide as it fits"""
    names: tuple[str, ...] = ("a", "b")
    """name; repeatable"""
    factors: tuple[float, ...] = (0.5, 2.0)
    """factors to try"""
    pair: tuple[int, int] | None = None
    """range A:B"""
    mode: Literal["slow", "fast"] = "slow"
    """slow or fast"""
    exact: bool = False
    """whether exactly"""


def small(**more: Any) -> click.Command:
    place = FromModel(f"{__name__}:Small", flags={"names": "name"}, **more)
    return ModelCommand("small", callback=lambda given: click.echo(json.dumps(given)),
                        models={"given": place})  # fmt: skip


def given(*argv: str) -> Any:
    done = CliRunner().invoke(small(), argv, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


def test_only_what_is_given_is_passed_on_with_its_type() -> None:
    assert given() == {}
    assert given("--count", "0", "--width", "2") == {"count": 0, "width": 2.0}
    assert given("--name", "x", "--name", "y", "--mode", "fast") == {
        "names": ["x", "y"], "mode": "fast",
    }  # fmt: skip
    assert given("--factors", "1,2e3,", "--pair", "3:5") == {"factors": [1, 2000], "pair": "3:5"}
    assert given("--factors", "", "--exact") == {"factors": [], "exact": True}


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--count", "1.5"], "^count='1.5': must be an integer$"),
        (["--width", "wide"], "^width='wide': must be a number$"),
        (["--factors", "1,x"], "^factors='x': must be a number$"),
    ],
)
def test_what_is_no_number_is_refused(argv: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        given(*argv)


def test_help_is_that_of_the_fields() -> None:
    text = CliRunner().invoke(small(without=("pair",), defaults={"width": "3"}), ["--help"]).output
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "--count INTEGER How many [4]." in lines
    assert "--name TEXT Name; repeatable [a, b]." in lines
    assert "--factors NUMBER,... Factors to try [0.5, 2]." in lines
    assert "--exact Whether exactly." in lines
    assert "left out, as wide as it fits [3]." in " ".join(lines)
    assert "--pair" not in text


def test_the_arm_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = sound_run(tmp_path / "a") / "checkpoints" / "000000000000" / "policy.safetensors"
    for name, argv in {"unnamed": [], "behind": ["--arm", "behind"]}.items():
        with pytest.raises(SystemExit) as end:
            main(["import", str(weights), str(tmp_path / name), *argv])
        assert not end.value.code
        assert json.loads((tmp_path / name / "config.json").read_text())["arm"] == name
    seen: list[Any] = []
    monkeypatch.setattr(
        "rl_slt.pipeline.stages.train.train_run", lambda *args, **more: seen.append((args, more))
    )
    with pytest.raises(SystemExit) as end:
        main(["train", "new", "--steps", "512", "--levels", "0:9", "--arm", "x", "--set", "lr=0.1"])
    changes = {"steps": 512, "levels": "0:9", "lr": 0.1}
    more = {"arm": "x", "resume": False, "branch": None, "rest": False}
    assert seen == [((Path("new"), None, changes), more)] and not end.value.code


def test_import_takes_files_an_action_list_and_a_loader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    place = "rl_slt.pipeline.stages.train.import_agent"
    monkeypatch.setattr(place, lambda *args, **more: seen.append((args, more)))
    for argv in (
        ["a.zip", "b.zip", "out", "--actions", "1,4,7", "--steps", "5,6", "--trust"],
        ["mypkg.policies:load", "w.pt", "out"],
    ):
        with pytest.raises(SystemExit) as end:
            main(["import", *argv])
        assert not end.value.code
    names = ("step", "actions", "loader", "trust")
    assert [(args[0], args[1], *(more[n] for n in names)) for args, more in seen] == [
        (("a.zip", "b.zip"), Path("out"), (5, 6), (1, 4, 7), None, True),
        (("w.pt",), Path("out"), None, None, "mypkg.policies:load", False),
    ]


def test_none_is_a_value_of_what_may_be_left_out_and_of_nothing_else() -> None:
    assert given("--width", "none", "--pair", "None") == {"width": None, "pair": None}
    assert given("--mode", "none") == {"mode": "none"}
    with pytest.raises(InputError, match="count='none': must be an integer"):
        given("--count", "none")
    place = f"{__name__}:Small"
    assert parse_setting("width=none", place) == ("width", None)
    assert parse_setting("mode=none", place) == ("mode", "none")
    assert parse_setting("other=none", place) == ("other", "none")


def test_what_a_command_takes_once_is_not_called_repeatable() -> None:
    text = CliRunner().invoke(small(once=("names",)), ["--help"]).output
    assert "Name [a, b]." in " ".join(text.split())
    done = CliRunner().invoke(cli, ["calibrate", "--help"]).output
    assert done.count("repeatable") == 1  # of --run


def test_no_help_begins_with_a_value_in_capitals() -> None:
    values = {"cpu", "cuda", "small", "nature", "impala", "auto", "float32", "sampled", "kl"}
    for command in cli.commands.values():
        for option in command.get_params(click.Context(command)):
            first = re.split(r"\W", getattr(option, "help", None) or "")[0]
            assert first.lower() not in values or first.islower(), option.name


@pytest.mark.parametrize(
    ("name", "more", "start"),
    [
        ("x.md", [], "#"),
        ("x.json", [], "{"),
        ("x.html", [], "<"),
        ("x", [], "<"),
        ("x.txt", ["--format", "md"], "#"),
    ],
)
def test_a_report_has_the_format_of_its_ending(
    tmp_path: Path, name: str, more: list[str], start: str
) -> None:
    run = sound_run(tmp_path / "a")
    with pytest.raises(SystemExit) as end:
        main(["report", str(run), "--out", str(tmp_path / name), *more])
    assert not end.value.code
    assert (tmp_path / name).read_text().lstrip().startswith(start)


def test_the_help_names_every_sampler() -> None:
    named = LLCPlan.descriptions()["sampler"].removeprefix("one of auto, ")
    assert set(named.split(", ")) == set(SAMPLERS)


def test_help_has_every_command_once_in_one_line_under_a_job() -> None:
    text = CliRunner().invoke(cli, ["--help"], terminal_width=80).output
    listed = text.partition(f"{next(iter(JOBS.values()))}:\n")[2]
    rows = [line.split(maxsplit=1) for line in listed.splitlines() if line.startswith("  ")]
    assert sorted(name for name, _ in rows) == sorted(cli.commands)
    assert all(line.endswith(".") for _, line in rows)
    assert [line for line in listed.splitlines() if line.endswith(":")] == [
        f"{title}:" for title in JOBS.values()
    ][1:]
