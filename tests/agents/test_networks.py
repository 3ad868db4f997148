"""One protocol for every registered network."""

from typing import Any

import pytest
import torch
from torch import nn

from agents.networks import NETWORKS, build_network
from agents.networks.strided import StridedConv2d
from rl_slt import InputError

FRAMES = sorted(name for name, body in NETWORKS.items() if body.frames)
PLANES = sorted(name for name, body in NETWORKS.items() if not body.frames)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("name", FRAMES)
def test_every_network(name: str, shared: bool) -> None:
    torch.manual_seed(0)
    network = build_network(name, 15, shared=shared, width=32)
    obs = torch.randint(0, 256, (6, 64, 64, 3), dtype=torch.uint8)
    kept = obs.clone()
    logits, value = network(obs)
    assert logits.shape == (6, 15) and value.shape == (6,)
    assert logits.dtype == value.dtype == torch.float32
    assert torch.equal(obs, kept)
    # The first policy is nearly uniform, and its bodies stand where their names say.
    assert float(logits.detach().abs().max()) < 0.5
    assert ("value_body" in dict(network.named_children())) == (not shared)
    logits.sum().backward()
    assert network.get_parameter("body.fc.weight").grad is not None
    if not shared:
        assert network.value_body is not None
        assert all(p.grad is None for p in network.value_body.parameters())


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("name", PLANES)
def test_every_network_of_a_gridworld(name: str, shared: bool) -> None:
    network = build_network(name, 4, obs_shape=(3, 4, 4), shared=shared, width=16)
    planes = torch.randint(0, 2, (2, 5, 48), dtype=torch.uint8)
    logits, value = network(planes)
    assert logits.shape == (2, 5, 4) and value.shape == (2, 5)
    one, worth = network(planes[1, 3].float())
    assert torch.allclose(one, logits[1, 3], atol=1e-6)
    assert torch.allclose(worth, value[1, 3], atol=1e-6)
    assert network.double()(planes)[0].dtype == torch.float64
    actor = build_network(name, 4, obs_shape=(3, 4, 4), critic=False)
    assert actor(planes).shape == (2, 5, 4) and actor.value_head is None


@pytest.mark.parametrize("name", FRAMES)
def test_frames_are_scaled_and_laid_out_as_usual(name: str) -> None:
    network = build_network(name)
    obs = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    images = (obs.numpy().transpose(0, 3, 1, 2) / 255).astype("float32").copy()
    expected = network.body.features(torch.from_numpy(images))
    assert torch.allclose(network.body(obs), expected, atol=1e-5)


@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("shape", [(64, 64, 3), (53, 40, 3)])  # the latter: rows, columns unseen
@pytest.mark.parametrize("name", FRAMES)
def test_what_training_reads_of_frames_tells_the_same(
    name: str, shape: tuple[int, int, int], scaled: bool
) -> None:
    torch.manual_seed(0)
    network = build_network(name, obs_shape=shape, shared=False, normalize_images=scaled)
    obs = torch.randint(0, 256, (5, *shape), dtype=torch.uint8)
    weights = [p for n, p in network.named_parameters() if "policy" not in n]
    expected = network(obs)[1]
    found = network.heads(*network.read_features(network.body.read(obs)))[1]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 if scaled else 1e-3)
    of_forward = torch.autograd.grad(expected.sum(), weights, allow_unused=True)
    of_read = torch.autograd.grad(found.sum(), weights, allow_unused=True)
    for a, b in zip(of_read, of_forward, strict=True):
        if b is not None:
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4 * float(b.abs().max()))


def test_modules_can_be_hooked_and_frozen_by_name() -> None:
    network = build_network("small")
    seen: list[tuple[int, ...]] = []
    hook = lambda _module, _args, out: seen.append(tuple(out.shape))  # noqa: E731
    network.get_submodule("body.conv1").register_forward_hook(hook)
    network(torch.zeros(2, 64, 64, 3, dtype=torch.uint8))
    assert seen == [(2, 16, 14, 14)]


class _Twice(nn.Linear):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(input)


def test_what_is_done_to_layers_counts_without_gradients_too() -> None:
    """Layers are products of matrices there, unless somebody watches or has changed one."""
    torch.manual_seed(0)
    obs = torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8)

    def watched(network: Any) -> None:
        network.body.conv1.register_forward_hook(lambda *of: 0.5 * of[-1])

    def handed(network: Any) -> None:
        network.body.fc.register_forward_pre_hook(lambda _, given: (given[0] - 1,))

    def given_another(network: Any) -> None:
        network.body.conv2.forward = lambda x: torch.ones(len(x), 32, 4, 4)

    def replaced(network: Any) -> None:
        network.body.fc = _Twice(512, 64)

    def read_otherwise(network: Any) -> None:
        network.body.conv1 = StridedConv2d(3, 32, 8, 8)
        network.body.fc = nn.Linear(128, 64)

    def all_told(network: Any) -> None:
        network.body.features = lambda x: torch.ones(len(x), 64)

    changes = watched, handed, given_another, replaced, read_otherwise, all_told
    for change in (lambda _: None, *changes):
        network = build_network("patch")
        change(network)
        check_without_gradients(network, obs)
    half = lambda layer, _, x: 0.5 * x if isinstance(layer, StridedConv2d) else None  # noqa: E731
    hook = nn.modules.module.register_module_forward_hook(half)
    try:
        check_without_gradients(build_network("patch"), obs)
    finally:
        hook.remove()


def check_without_gradients(network: nn.Module, obs: torch.Tensor) -> None:
    with torch.inference_mode():
        fast, _ = network(obs)
    slow, _ = network(obs)
    torch.testing.assert_close(fast, slow.detach(), rtol=1e-4, atol=1e-6)


def test_frames_of_other_kinds_count_alike_without_gradients() -> None:
    """None, floats, and another size, whose patches lie elsewhere."""
    obs = torch.randint(0, 256, (2, 72, 72, 3), dtype=torch.uint8)
    for frames in (obs[:0, :64, :64], obs[:, :64, :64] / 255, obs[:, :64, :64].float(), obs):
        check_without_gradients(build_network("patch"), frames)


def test_patches_are_of_every_second_pixel_and_none_is_read_twice() -> None:
    network = build_network("patch")
    plain = nn.Conv2d(3, 32, 4, stride=8, dilation=2)
    plain.load_state_dict(network.get_submodule("body.conv1").state_dict())
    frames = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    seen: list[torch.Tensor] = []
    network.get_submodule("body.conv1").register_forward_hook(lambda *args: seen.append(args[2]))
    logits, _ = network(frames)
    assert torch.allclose(seen[0], plain(frames.permute(0, 3, 1, 2) / 255), atol=1e-5)
    for change in (frames[:, 1::2], frames[:, :, 1::2]):
        change.zero_()
    assert torch.equal(network(frames)[0], logits)


def test_known_sizes() -> None:
    def count(module: nn.Module) -> int:
        return sum(p.numel() for p in module.parameters())

    assert count(build_network("patch")) == 39_568
    assert count(build_network("small")) == 160_960
    # IMPALA on 64x64x3 with 15 actions, as in procgen's paper: 626,256 parameters.
    assert count(build_network("impala")) == 626_256
    wide, plain = (count(build_network("impala", multiplier=m)) for m in (2.0, 1.0))
    assert wide > 2 * plain


@pytest.mark.parametrize(
    ("name", "kw", "match"),
    [
        ("tiny", {}, "network='tiny': must be one of"),
        ("small", {"depth": 1}, "depth: unknown setting of network 'small'; allowed: obs_shape"),
        ("impala", {"multiplier": 0}, "multiplier=0: must be positive and at most 128"),
        ("small", {"obs_shape": (4, 4, 3)}, "cannot be built"),
    ],
)
def test_wrong_networks(name: str, kw: dict, match: str) -> None:
    with pytest.raises(InputError, match=match):
        build_network(name, **kw)
