"""Made-up studies for the tests of reports, and a Chromium to look at pages with."""

import importlib.util
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

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
def demo(tmp_path_factory: pytest.TempPathFactory, write_study: Callable[..., Path]) -> Path:
    """Two arms, one seed, 13 checkpoints; tests must not write into it."""
    return write_study(tmp_path_factory.mktemp("study") / "demo")


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


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A headless Chromium; the test is skipped where there is none."""
    browser = next((p for n in ("chromium", "chromium-browser", "google-chrome")
                    if (p := shutil.which(n))), None)  # fmt: skip
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("no Chromium and chromedriver on the PATH")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = browser
    home = tmp_path_factory.mktemp("chromium")
    for flag in (
        "headless=new", "no-sandbox", "disable-gpu", "no-first-run", "disable-dev-shm-usage",
        "disable-background-networking", "disable-component-update", "disable-sync",
        f"user-data-dir={home}", "window-size=1280,900",
    ):  # fmt: skip
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=driver)
    browser_window = webdriver.Chrome(options=options, service=service)
    yield browser_window
    browser_window.quit()
