"""The same jobs give the same outcomes in this process and on workers, and faults stay apart."""

import logging
import operator
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import dask
import distributed
import pytest
import torch

from rl_slt.errors import InputError
from rl_slt.pipeline.disk.layout import open_path
from rl_slt.pipeline.engine import jobs as jobs_module
from rl_slt.pipeline.engine.jobs import (
    Job,
    Outcome,
    SerialEngine,
    assembling,
    open_engine,
    run_guarded,
)


def outcomes(jobs: list[Job], **engine: int) -> dict[str, Outcome]:
    with open_engine(**engine) as running:  # type: ignore[arg-type]
        return {o.label: o for o in running.run(jobs, lambda: None)}


def some_jobs(folder: Path) -> list[Job]:
    return [
        Job("fine", os.makedirs, (str(folder / "fine"), 0o777, True)),
        Job("users mistake", open_path, (folder / "gone",)),
        Job("machine", os.mkdir, (str(folder / "no" / "such"),)),
        Job("bug", operator.truediv, (1, 0)),
        Job("also fine", os.makedirs, (str(folder / "also"), 0o777, True)),
    ]


def check_outcomes(found: dict[str, Outcome], folder: Path) -> None:
    assert found["fine"] == Outcome("fine") and found["also fine"] == Outcome("also fine")
    assert (folder / "fine").is_dir() and (folder / "also").is_dir()
    assert "no such run or study" in found["users mistake"].reason
    assert found["users mistake"].trace == ""
    assert "FileNotFoundError" in found["machine"].reason and found["machine"].trace == ""
    assert "ZeroDivisionError" in found["bug"].reason and "Traceback" in found["bug"].trace


def test_in_this_process(tmp_path: Path) -> None:
    check_outcomes(outcomes(some_jobs(tmp_path), workers=0), tmp_path)


LOADED = """
import os, sys, threadpoolctl
from envs.native import _KEPT
assert _KEPT and "rl_slt.pipeline.stages.llc" in sys.modules
assert {pool["num_threads"] for pool in threadpoolctl.threadpool_info()} == {1}
assert os.environ["MALLOC_TRIM_THRESHOLD_"]
"""


def test_on_workers_and_a_worker_that_dies_costs_its_own_unit_alone(tmp_path: Path) -> None:
    jobs = [*some_jobs(tmp_path), Job("killer", os._exit, (9,)), Job("loaded", exec, (LOADED,))]
    many = [Job(f"many {i}", operator.add, (i, 1)) for i in range(300)]
    found = outcomes([*jobs, *many], workers=2)
    check_outcomes(found, tmp_path)
    assert len(found) == len(jobs) + 300
    assert all(found[job.label] == Outcome(job.label) for job in many)
    assert "worker died" in found["killer"].reason
    assert found["loaded"] == Outcome("loaded")  # before they were forked
    assert "PYTHONSAFEPATH" not in os.environ
    loggers = [name for name in logging.root.manager.loggerDict if name.startswith("distributed")]
    assert all(logging.getLogger(n).getEffectiveLevel() == logging.CRITICAL for n in loggers)


def test_jobs_compute_on_one_thread_and_give_the_setting_back() -> None:
    torch.set_num_threads(2)
    seen: list[int] = []
    run_guarded(Job("look", lambda: seen.append(torch.get_num_threads()), ()))
    assert seen == [1] and torch.get_num_threads() == 2
    torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        ({"workers": -1}, "workers=-1: must be an integer at least 0"),
        ({"workers": 1, "scheduler": "tcp://x:1"}, "not both"),
        ({"scheduler": "nonsense"}, "no Dask scheduler answers at 'nonsense'"),
        ({"scheduler": "tls://127.0.0.1:5"}, "no Dask scheduler answers at 'tls:"),
    ],
)
def test_wrong_engines(engine: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message), open_engine(**engine):  # type: ignore[arg-type]
        pass
    assert dask.config.get("scheduler", None) is None  # nor does what else uses Dask wait for one


def test_a_client_without_a_scheduler_is_closed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The garbage collector would close it at any time, and wait there for a lock that is held."""
    made: list[distributed.Client] = []
    real = distributed.Client.__init__

    def init(client: distributed.Client, *args: object, **options: object) -> None:
        made.append(client)
        real(client, *args, **options)

    monkeypatch.setattr(distributed.Client, "__init__", init)
    with pytest.raises(InputError, match="no Dask scheduler"), open_engine(scheduler="nonsense"):
        pass
    assert [client.status for client in made] == ["closed"]


class Loses(SerialEngine):
    """An engine whose scheduler is lost; it counts how often it is asked."""

    asked = 0

    def run(self, jobs: Sequence[Job], tick: Callable[[], None]) -> Iterator[Outcome]:
        self.asked += 1
        yield from (Outcome(job.label, jobs_module._SCHEDULER_LOST) for job in jobs)


def test_tables_are_made_whatever_becomes_of_the_work(tmp_path: Path) -> None:
    tables = [Job(name, (tmp_path / name).touch, ()) for name in ("a", "b")]
    wrong = Job("wrong", operator.truediv, (1, 0))

    def made() -> list[str]:
        found = sorted(path.name for path in tmp_path.iterdir())
        for name in found:
            (tmp_path / name).unlink()
        return found

    failed: list[Outcome] = []
    with assembling([*tables, wrong], SerialEngine(), failed):
        assert not made()
    assert made() == ["a", "b"] and [outcome.label for outcome in failed] == ["wrong"]
    with pytest.raises(KeyboardInterrupt), assembling(tables, SerialEngine(), []):
        raise KeyboardInterrupt
    assert made() == ["a", "b"]
    engine = Loses()
    with assembling(tables, engine, failed := []):
        failed += engine.run([Job("work", print, ())], lambda: None)
    assert made() == ["a", "b"] and engine.asked == 1 and len(failed) == 1
    with assembling(tables, engine, []):
        pass
    assert made() == ["a", "b"]


def test_without_work_no_worker_is_started() -> None:
    with open_engine(workers=2) as engine:
        assert list(engine.run([], lambda: None)) == []
        assert "client" not in vars(engine)


@pytest.mark.parametrize(("deaths", "fine"), [(1, True), (2, True), (3, False)])
def test_workers_that_die_while_they_start_are_started_again(
    monkeypatch: pytest.MonkeyPatch, deaths: int, fine: bool
) -> None:
    real, begun = distributed.LocalCluster, []

    def start(**kwargs: object) -> object:
        begun.append(kwargs)
        if len(begun) <= deaths:
            raise RuntimeError("Nanny failed to start.")
        return real(**kwargs)

    monkeypatch.setattr(distributed, "LocalCluster", start)
    jobs = [Job("sum", operator.add, (1, 2))]
    if fine:
        with open_engine(workers=1) as engine:
            assert list(engine.run(jobs, lambda: None)) == [Outcome("sum")]
    else:
        with (
            pytest.raises(InputError, match=r"--workers 1 is not possible here.*Nanny failed"),
            open_engine(workers=1) as engine,
        ):
            list(engine.run(jobs, lambda: None))
    assert len(begun) == min(deaths + 1, 3)


def test_a_cluster_that_does_not_close_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    real = distributed.LocalCluster.close

    def close(cluster: distributed.LocalCluster, timeout: float | None = None) -> None:
        real(cluster)
        assert timeout is not None, "it would wait without end"
        raise TimeoutError

    monkeypatch.setattr(distributed.LocalCluster, "close", close)
    with open_engine(workers=1) as engine:
        outcome = list(engine.run([Job("sum", operator.add, (1, 2))], lambda: None))
    assert outcome == [Outcome("sum")]


@pytest.mark.parametrize("guard", ["", "if __name__ == '__main__':\n"])
def test_a_script_without_a_guard_is_told_of_it(
    guard: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before any worker starts, which would run the script again."""
    script = tmp_path / "study.py"
    script.write_text(f"from rl_slt import pipeline\n{guard}    pipeline.run()\n")
    main = sys.modules["__main__"]
    monkeypatch.setattr(main, "__file__", str(script), raising=False)
    monkeypatch.setattr(main, "__spec__", None, raising=False)

    def start(**_: object) -> None:
        raise InputError("workers start")

    monkeypatch.setattr(distributed, "LocalCluster", start)
    expected = "workers start" if guard else r"study\.py: must call this under `if __name__ =="
    with pytest.raises(InputError, match=expected), open_engine(workers=2) as engine:
        list(engine.run([Job("sum", operator.add, (1, 2))], lambda: None))
