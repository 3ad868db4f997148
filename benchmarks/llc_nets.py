"""Networks, data and options of the LLC benchmarks; imports no package but torch."""

from __future__ import annotations

import argparse
import platform
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


class Small(nn.Module):
    """64-64-64-15, tanh."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 15)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits `[B, 15]`."""
        return self.net(x)


class Conv(nn.Module):
    """160 thousand weights on frames uint8 [B, 64, 64, 3]."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(3, 16, 8, 4), nn.ReLU(), nn.Conv2d(16, 32, 4, 2), nn.ReLU(), nn.Flatten(),
            nn.Linear(1152, 128), nn.ReLU(), nn.Linear(128, 15),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Logits `[B, 15]`."""
        return self.net(x.permute(0, 3, 1, 2).float() / 255)


class Patch(nn.Module):
    """38 thousand weights on patches of every second pixel of frames uint8 [B, 64, 64, 3]."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(3, 32, 4, 4), nn.ReLU(), nn.Conv2d(32, 32, 2, 2), nn.ReLU(), nn.Flatten(),
            nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 15),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Logits `[B, 15]`."""
        return self.net(x[:, ::2, ::2].permute(0, 3, 1, 2).float() / 255)


class LowRank(nn.Module):
    """Logits of state ids `[B]`: a row of one factor times the other."""

    def __init__(self, rows: Tensor, columns: Tensor) -> None:
        super().__init__()
        self.rows, self.columns = nn.Parameter(rows.clone()), nn.Parameter(columns.clone())

    def forward(self, x: Tensor) -> Tensor:
        """Logits `[B, A]`."""
        return self.rows[x] @ self.columns


def case(name: str, n: int = 2048) -> tuple[nn.Module, Tensor, Tensor]:
    """Network, states and its own logits on them."""
    torch.manual_seed(0)
    if name == "small":
        net: nn.Module = Small()
        states = torch.randn(n, 64)
    else:
        net = Conv() if name == "cnn" else Patch()
        states = torch.randint(0, 256, (n, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        logits = torch.cat([net(s) for s in states.split(256)])
    return net, states, logits


def kl(logits: Tensor, reference: Tensor) -> Tensor:
    """Mean KL to the reference."""
    log_p = reference.log_softmax(-1)
    return (log_p.exp() * (log_p - logits.log_softmax(-1))).sum(-1).mean()


def processor_kind() -> str:
    """What the processor calls itself."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def study_options(doc: str) -> Any:
    """The options `study` and `out` of a benchmark with that docstring; one thread from here on."""
    parser = argparse.ArgumentParser(description=doc.partition("\n")[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("--out", type=Path)
    torch.set_num_threads(1)
    return parser.parse_args()


def machine() -> str:
    """What a result was measured with."""
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    return f"{processor_kind()}, one thread; {versions}"
