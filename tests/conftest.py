"""Shared by all tests: one torch thread, so that two test processes do not fight over two cores."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_torch_thread() -> None:
    torch.set_num_threads(1)
