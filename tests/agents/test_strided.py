"""Our convolution is PyTorch's, forwards and backwards; frames lose only what is unseen."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from agents.networks import build_network
from agents.networks.strided import StridedConv2d


@pytest.mark.parametrize(
    ("kernel", "stride", "size"), [(4, 2, 14), (4, 2, 15), (6, 3, 17), (2, 2, 9), (8, 4, 64)]
)
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_values_and_gradients_are_those_of_the_convolution(
    kernel: int, stride: int, size: int, layout: torch.memory_format
) -> None:
    torch.manual_seed(0)
    ours = StridedConv2d(5, 7, kernel, stride)
    plain = nn.Conv2d(5, 7, kernel, stride)
    plain.load_state_dict(ours.state_dict())
    x = torch.randn(3, 5, size, size + 1).to(memory_format=layout).requires_grad_()
    out = [layer(x) for layer in (ours, plain)]
    torch.testing.assert_close(*out, atol=1e-5, rtol=1e-5)
    weights = torch.randn(out[0].shape)
    grads = [
        torch.autograd.grad((y * weights).sum(), [x, *layer.parameters()])
        for y, layer in zip(out, (ours, plain), strict=True)
    ]
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-5)


def test_pixels_in_a_row_are_read_as_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []
    conv2d = F.conv2d

    def spy(x: torch.Tensor, *args: Any) -> torch.Tensor:
        seen.append(x)
        return conv2d(x, *args)

    monkeypatch.setattr(F, "conv2d", spy)
    layer = StridedConv2d(16, 32, 4, 2)
    frames = torch.randn(2, 14, 14, 16)
    layer(frames.permute(0, 3, 1, 2))
    assert seen[0].shape == (2, 32, 14, 7) and seen[0].data_ptr() == frames.data_ptr()
    layer(frames.permute(0, 3, 1, 2).contiguous())  # no layout to gain from
    assert seen[1].shape == (2, 16, 14, 14)


@pytest.mark.parametrize("name", ["small", "nature"])
def test_bytes_are_255ths(name: str) -> None:
    torch.manual_seed(0)
    net = build_network(name)
    obs = torch.randint(0, 256, (6, 64, 64, 3), dtype=torch.uint8)
    images = (obs.permute(0, 3, 1, 2).double() / 255).float()
    torch.testing.assert_close(net.body(obs), net.body.features(images), atol=1e-5, rtol=1e-5)
    exact = net.double().body.features(obs.permute(0, 3, 1, 2).double() / 255)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = net.float().body(obs)
    assert mixed.dtype == torch.bfloat16
    error = (mixed.double() - exact).norm() / exact.norm()
    assert error < 0.01  # bfloat16 has 8 bits


@pytest.mark.parametrize(("name", "unseen"), [("small", 4), ("nature", 4), ("impala", 0)])
def test_no_output_depends_on_what_is_cut_off(name: str, unseen: int) -> None:
    net = build_network(name)
    assert net.body.unseen == (unseen, unseen)
    obs = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    whole = obs.permute(0, 3, 1, 2).float() / 255
    torch.testing.assert_close(net.body(obs), net.body.features(whole), atol=1e-5, rtol=1e-5)
    last = 63 - unseen  # and not a pixel more is cut off
    x = whole.requires_grad_()
    (grad,) = torch.autograd.grad(net.body.features(x).sum(), x)
    assert grad[:, :, last].abs().max() > 0 and grad[:, :, :, last].abs().max() > 0
    assert unseen == 0 or grad[:, :, -unseen:].abs().max() == 0
