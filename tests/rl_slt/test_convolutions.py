"""Traced gradients of convolutional policies are the plain ones."""

import pytest
import torch
from torch import Tensor, nn

from rl_slt import PolicyData, PolicyKL
from rl_slt.posterior.build import build_target


class Atari(nn.Module):
    """The usual kernels, on frames as they come; what lies between them as asked."""

    def __init__(self, kind: str = "plain", size: int = 36) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv1 = nn.Conv2d(3, 4, 8, 4, padding=1 if kind == "padded" else 0)
        self.conv2 = nn.Conv2d(4, 6, 4, 2)
        self.kind = kind
        out = ((size + 2 * (kind == "padded") - 8) // 4 + 1 - 4) // 2 + 1
        self.head = nn.Linear(6 * out * out, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.kind == "channels first" else x.permute(0, 3, 1, 2)
        x = x.float() / 127.5 - 1
        h = self.conv1(x).relu()
        logits: Tensor = self.head(self.conv2(h).relu().flatten(1))
        return logits + h.mean((1, 2, 3))[:, None] if self.kind == "read twice" else logits


def frames(size: int = 36, n: int = 24, first: bool = False) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = (n, 3, size, size) if first else (n, size, size, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("kind", ["plain", "channels first", "read twice", "padded"])
@pytest.mark.parametrize("size", [36, 38, 40])
def test_gradients_are_the_plain_ones(kind: str, size: int) -> None:
    data = PolicyData(frames(size, first=kind == "channels first"))
    target = build_target(Atari(kind, size), data, PolicyKL(), 10.0, 1.0, None, 0)
    assert target.traced is not None
    w = target.flat.w_star + 0.1 * torch.randn(target.dim)
    batch = target.samples.take(torch.arange(16))
    plain = torch.empty_like(w)
    value = target.flat.value_and_grad(target.loss, batch, w, plain)
    found = target.traced(w, batch.tensors())
    torch.testing.assert_close(found[0], value, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found[1], plain, rtol=1e-4, atol=1e-4 * float(plain.abs().max()))


class OneSize(Atari):
    """Insists on its frames' size, as many do."""

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] != 40:
            raise ValueError("frames must have 40 rows")
        return super().forward(x)


def test_policies_that_insist_on_the_frames_size_get_whole_frames() -> None:
    target = build_target(OneSize("plain", 40), frames(40), PolicyKL(), 10.0, 1.0, None, 0)
    assert target.traced is not None
