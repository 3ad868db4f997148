"""Checkpoint schedules: where they fall, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.schedule import checkpoint_steps
from rl_slt import InputError


def test_schedules_by_hand() -> None:
    assert checkpoint_steps("linear:3", 100, 10) == [0, 50, 100]
    assert checkpoint_steps("every:30", 100, 10) == [0, 30, 60, 90, 100]
    assert checkpoint_steps("list:1,41,41,999", 100, 10) == [0, 10, 50, 100]
    assert checkpoint_steps("all", 30, 10) == [0, 10, 20, 30]
    assert checkpoint_steps("log:5", 1000, 1) == [0, 1, 10, 100, 1000]


@given(st.integers(2, 60), st.integers(1, 5000), st.integers(1, 5000))
def test_log_schedules_have_the_number_asked_for(count: int, rollouts: int, rollout: int) -> None:
    steps = checkpoint_steps(f"log:{count}", rollouts * rollout, rollout)
    assert len(steps) == min(max(count, 2), rollouts + 1)
    assert steps[0] == 0 and steps[-1] == rollouts * rollout
    assert steps == sorted(set(steps)) and all(step % rollout == 0 for step in steps)


def test_log_steps_are_even_in_log() -> None:
    steps = np.array(checkpoint_steps("log:20", 1_000_000, 100))
    ratios = steps[2:] / steps[1:-1]
    later = ratios[steps[1:-1] > 1000]  # the earliest are bound to whole rollouts
    assert later.max() / later.min() < 1.3


@pytest.mark.parametrize("text", ["log", "log:x", "log:1", "every:0", "list:", "all:3", "exp:4"])
def test_wrong_schedules(text: str) -> None:
    with pytest.raises(InputError, match="must be log:N"):
        checkpoint_steps(text, 100, 10)
