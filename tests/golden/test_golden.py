"""Every stage still gives the numbers that `golden.json` holds, or has another version."""

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
measure: Any = importlib.import_module("measure")


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The run, agents and study that stages share; each is made when first needed."""
    return measure.Material(tmp_path_factory.mktemp("golden"))


@pytest.mark.parametrize("stage", measure.STAGES)
def test_numbers_move_only_with_their_version(stage: str, material: Any) -> None:
    numbers = measure.STAGES[stage].measure(material)
    message = measure.check(stage, measure.read_golden(), numbers)
    if message is not None:
        pytest.fail(message, pytrace=False)


def test_every_stage_is_in_the_file_with_its_rule() -> None:
    known = measure.read_golden()
    assert list(known) == list(measure.STAGES)
    for name, rule in measure.STAGES.items():
        assert known[name] == measure.entry(name, known[name]["numbers"]) | {
            "version": known[name]["version"]
        }, f"golden.json has another rule for {name} than {rule}"


@pytest.fixture
def golden() -> dict[str, Any]:
    """A file of one stage, at version 1."""
    numbers = {"llc": 2.0, "n": 3, "status": "ok", "gone": "nan"}
    return {"llc": {"version": 1, "numbers": numbers}}


@pytest.mark.parametrize(
    ("version", "changed", "words"),
    [
        (1, {}, None),
        (1, {"llc": 2.0000001}, None),
        (1, {"llc": 2.1}, ["llc: was 2.0, is 2.1", "the version (1) did not"]),
        (1, {"n": 4}, ["n: was 3, is 4"]),
        (1, {"status": "failed"}, ["status: was ok, is failed"]),
        (1, {"gone": 1.0}, ["gone: was nan, is 1.0"]),
        (1, {"more": 1.0}, ["more: is 1.0, was not there"]),
        (2, {}, ["the version is 2, golden.json was written at 1", "--write llc"]),
        (2, {"llc": 9.0}, ["the version is 2", "llc: was 2.0, is 9.0"]),
        (None, {}, ["the version is None"]),
    ],
)
def test_a_moved_number_or_version_is_named(
    golden: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    version: int | None,
    changed: dict[str, Any],
    words: list[str] | None,
) -> None:
    monkeypatch.setattr(measure, "stage_version", lambda stage: version)
    message = measure.check("llc", golden, golden["llc"]["numbers"] | changed)
    if words is None:
        assert message is None
    else:
        assert message is not None and all(part in message for part in words), message


def test_a_number_that_went_and_a_stage_that_is_missing_are_named(golden: dict[str, Any]) -> None:
    golden["llc"]["version"] = measure.stage_version("llc")
    fewer = {k: v for k, v in golden["llc"]["numbers"].items() if k != "gone"}
    assert "gone: was nan, is gone" in measure.check("llc", golden, fewer)
    assert "--write llc" in measure.check("llc", {}, fewer)
