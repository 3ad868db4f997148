"""Estimates compute on one thread and give the settings back."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread
from typing import Any

import pytest
import torch
from threadpoolctl import threadpool_info
from torch import Tensor, nn

from rl_slt import PolicyData, PolicyKL, estimate_llc, llc_profile
from rl_slt.losses.base import Policy
from rl_slt.threads import one_thread

SHORT: dict[str, Any] = {"draws": 8, "burn_in": 4}


class Watching(PolicyKL):
    """Notes on how many threads it is computed, and fails where asked."""

    def __init__(self, fails: bool = False) -> None:
        super().__init__()
        object.__setattr__(self, "fails", fails)
        object.__setattr__(self, "seen", [])

    def __call__(self, policy: Policy, batch: PolicyData) -> Tensor:
        blas = [pool["num_threads"] for pool in threadpool_info()]
        self.seen.append(max([torch.get_num_threads(), *blas]))  # type: ignore[attr-defined]
        if self.fails:  # type: ignore[attr-defined]
            raise ZeroDivisionError
        return super().__call__(policy, batch)


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


@pytest.mark.filterwarnings("ignore::rl_slt.errors.ConvergenceWarning")
@pytest.mark.parametrize(
    "estimate",
    [estimate_llc, lambda p, s, **more: llc_profile(p, s, ["relative:50"], **more)],
    ids=["estimate", "profile"],
)
def test_on_one_thread_whatever_torch_is_set_to(estimate: Callable[..., Any]) -> None:
    policy, states = nn.Linear(3, 4), torch.randn(40, 3)
    loss = Watching()
    estimate(policy, states, loss=loss, **SHORT)
    assert set(loss.seen) == {1}  # type: ignore[attr-defined]
    assert torch.get_num_threads() == 2
    with pytest.raises(ZeroDivisionError):
        estimate(policy, states, loss=Watching(fails=True), **SHORT)
    assert torch.get_num_threads() == 2


def default_threads() -> int:
    """Of torch, in a thread that set none itself."""
    with ThreadPoolExecutor(1) as new:
        return new.submit(torch.get_num_threads).result()


def test_settings_come_back_from_threads_that_overlap() -> None:
    began, over = Event(), Event()

    def first() -> None:
        with one_thread():
            began.set()
            over.wait()

    def second() -> tuple[int, int]:
        with one_thread():
            over.set()
            other.join()
            with one_thread():
                pass
            return torch.get_num_threads(), default_threads()

    other = Thread(target=first)
    other.start()
    began.wait()
    with ThreadPoolExecutor(1) as new:
        assert new.submit(second).result() == (1, 1)
    assert torch.get_num_threads() == default_threads() == 2
