"""Our convolution is PyTorch's, forwards and backwards; frames lose only what is unseen."""

import copy

import pytest
import torch
from torch.nn import functional as F

from agents.networks import build_network
from agents.networks.strided import StridedConv2d, input_gradient


@pytest.mark.parametrize(
    ("kernel", "stride", "size"), [(4, 2, 14), (4, 2, 15), (6, 3, 17), (2, 2, 9)]
)
def test_the_input_gradient_is_that_of_the_convolution(kernel: int, stride: int, size: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 5, size, size + 1, generator=generator, requires_grad=True)
    w = torch.randn(7, 5, kernel, kernel, generator=generator)
    y = F.conv2d(x, w, stride=stride)
    grad = torch.randn(y.shape, generator=generator)
    (expected,) = torch.autograd.grad(y, x, grad)
    found = input_gradient(grad, w, stride, x.shape)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["small", "nature"])
def test_the_flag_changes_no_gradient(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    plain = build_network(name)
    fast = copy.deepcopy(plain)
    used = []
    monkeypatch.setattr(
        "agents.networks.strided.input_gradient",
        lambda *args: used.append(args) or input_gradient(*args),
    )
    for module in fast.modules():
        if isinstance(module, StridedConv2d):
            module.fast_gradient = True
    obs = torch.randint(0, 256, (6, 64, 64, 3), dtype=torch.uint8)
    grads = []
    for net in (plain, fast):
        logits, value = net(obs)
        grads.append(torch.autograd.grad((logits**2).sum() + value.sum(), list(net.parameters())))
    assert len(used) == 1
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5 * float(a.abs().max()), rtol=1e-4)


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
