"""Made-up studies for the tests of reports."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from analysis.report import StudyData, build_report, load_study

HERE = Path(__file__).resolve().parent


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"report_{name}", HERE / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def write_study() -> Callable[..., Path]:
    return load("study_writer").write_study


@pytest.fixture(scope="session")
def write_comparison() -> Callable[[Path], Path]:
    return load("study_extras").write_comparison


@pytest.fixture(scope="session")
def rich_study(tmp_path_factory: pytest.TempPathFactory, write_study: Callable[..., Path]) -> Path:
    """Three arms, three seeds, with all that the page can show; tests must not write into it.

    Seeds of the arm `mixed` end with different goals, so that early signs can be judged.
    """
    arms = {"end": "end", "behind": "mix:0.5:behind:end", "mixed": "mix:0.05:ground:end"}
    out = tmp_path_factory.mktemp("study") / "rich"
    study = write_study(out, arms=arms, seeds=range(3), checkpoints=8)
    return load("study_extras").add_findings(study)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, write_study: Callable[..., Path]) -> Path:
    """Two arms, one seed, 13 checkpoints; tests must not write into it."""
    return write_study(tmp_path_factory.mktemp("study") / "demo")


@pytest.fixture(scope="session")
def data(demo: Path) -> StudyData:
    """The two arms as read; tests must not change it."""
    return load_study(demo)


@pytest.fixture(scope="session")
def rich(rich_study: Path) -> StudyData:
    """The rich study as read; tests must not change it."""
    return load_study(rich_study)


@pytest.fixture(scope="session")
def large_data(large: Path) -> StudyData:
    """The large study as read; tests must not change it."""
    return load_study(large)


@pytest.fixture(scope="session")
def large_page(large_data: StudyData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The large study's report as a file."""
    out = tmp_path_factory.mktemp("page") / "large.html"
    out.write_text(build_report(large_data), encoding="utf-8")
    return out


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory, write_study: Callable[..., Path]) -> Path:
    """Twenty runs with 60 checkpoints; tests must not write into it."""
    out = tmp_path_factory.mktemp("study") / "large"
    return write_study(out, seeds=range(10), checkpoints=60)
