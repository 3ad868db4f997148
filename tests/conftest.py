"""Shared by all tests: one torch thread for each test process, and a Chromium to look at pages."""

import functools
import gc
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

STATM = Path("/proc/self/statm")
MOST_FREED = 60 << 20  # bytes that a process may grow before it gives back what it does not use
MOST_GAMES = 16  # sets of games that a module may leave to the next
_KEPT = [0]  # bytes that it kept then


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Golden numbers first: they take most memory, and processes are small at the beginning."""
    items.sort(key=lambda item: ("golden" not in item.path.parts, "[compare]" not in item.name))


@pytest.fixture(autouse=True, scope="session")
def _one_torch_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _collections_pass_over_what_was_imported() -> None:
    """A million objects of modules and tests, which every full collection would look through."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _no_memory_of_other_tests() -> Iterator[None]:
    """What tests freed waits to be used again, games too: over all tests that is gigabytes."""
    yield
    if STATM.exists() and resident() > _KEPT[0] + MOST_FREED:
        give_back()


@pytest.fixture(autouse=True, scope="module")
def _no_games_of_other_modules() -> Iterator[None]:
    """A game takes 0.6 MB, and 4 when it has shown many levels, whose pictures it keeps."""
    yield
    if "envs.native" in sys.modules and len(sys.modules["envs.native"]._KEPT) > MOST_GAMES:
        give_back()


def give_back() -> None:
    """Give the memory that is not used back to the system, and what our functions remember."""
    from envs.native import drop_released

    for name, module in [*sys.modules.items()]:
        if name.partition(".")[0] in ("agents", "analysis", "envs", "rl_slt"):
            for value in [*vars(module).values()]:
                if isinstance(value, functools._lru_cache_wrapper):
                    value.cache_clear()
    if "envs.simulator" in sys.modules:
        sys.modules["envs.simulator"].shared_simulator.__wrapped__.cache_clear()
    drop_released()  # which collects, and gives back what else is free
    if STATM.exists():
        _KEPT[0] = resident()


def resident() -> int:
    """Bytes of memory that this process has."""
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(autouse=True)
def _no_test_stands_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """`watch` takes idle time alone from its first line on; in a test process that would stay."""
    monkeypatch.setattr("rl_slt.pipeline.engine.throttle.lower_priority", lambda: None)


@pytest.fixture(autouse=True)
def _messages_on_stderr() -> Iterator[None]:
    """What the library logs is shown as the command line shows it."""
    from rl_slt.cli import messages_on_stderr

    with messages_on_stderr():
        yield


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A headless Chromium; the test is skipped where there is none."""
    browser = next((p for n in ("chromium", "chromium-browser", "google-chrome")
                    if (p := shutil.which(n))), None)  # fmt: skip
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("no Chromium and chromedriver on the PATH")
    from selenium import webdriver
    from selenium.common.exceptions import SessionNotCreatedException

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
    try:
        browser_window = webdriver.Chrome(options=options, service=service)
    except SessionNotCreatedException:  # a busy machine: Chromium did not come up in time
        browser_window = webdriver.Chrome(
            options=options, service=webdriver.ChromeService(executable_path=driver)
        )
    yield browser_window
    browser_window.quit()
