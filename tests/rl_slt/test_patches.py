"""Convolutions of patches as products: equal to the plain ones, and all chains at once."""

import pytest
import torch
from torch import Tensor, nn

from agents import build_network
from rl_slt import PolicyData, PolicyKL
from rl_slt.gradients.patches import overlaps, patches_as_rows
from rl_slt.posterior.build import build_target
from rl_slt.posterior.target import Target
from rl_slt.samplers.adaptation import fisher_rows


@pytest.mark.parametrize("size", [(4, 4), (2, 3), (1, 1)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_convolution_of_patches_is_a_product(size: tuple[int, int], bias: bool) -> None:
    layer = nn.Conv2d(3, 5, size, size, bias=bias)
    x = torch.randn(2, 3, 13, 14)  # rows and columns are left over
    with patches_as_rows():
        found = layer(x)
    torch.testing.assert_close(found, layer(x), rtol=1e-5, atol=1e-5)
    assert not overlaps(nn.Sequential(nn.ReLU(), layer))


@pytest.mark.parametrize(
    "settings",
    [{"stride": 2}, {"stride": 4, "padding": 2}, {"stride": 4, "dilation": 2},
     {"stride": 4, "groups": 3}],
    ids=str,
)  # fmt: skip
def test_others_stay_as_they_are(settings: dict[str, object]) -> None:
    layer = nn.Conv2d(3, 6, 4, **settings)  # type: ignore[arg-type]
    x = torch.randn(2, 3, 12, 12)
    with patches_as_rows():
        found = layer(x)
    assert torch.equal(found, layer(x))
    assert overlaps(layer)


def patch_target(n: int = 48) -> Target:
    torch.manual_seed(0)
    policy = build_network("patch", obs_shape=(32, 32, 3), width=8)
    states = torch.randint(0, 256, (n, 32, 32, 3), dtype=torch.uint8)
    return build_target(policy, PolicyData(states), PolicyKL(), 10.0, 1.0, None, 0)


def plain(target: Target, w: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    out = torch.empty_like(w)
    return target.flat.value_and_grad(target.loss, target.samples.take(rows), w, out), out


def test_chains_of_a_patch_network_are_computed_together() -> None:
    target = patch_target()
    assert target.batched and target.traced is not None and not target.rounded
    w = target.flat.w_star + 0.1 * torch.randn(3, target.dim)
    rows = torch.randint(48, (3, 16))
    loss, grad, _ = target._loss_grad(w, [*rows], [])
    for c in range(3):
        value, wanted = plain(target, w[c], rows[c])
        assert float(loss[c]) == pytest.approx(float(value), rel=1e-4)
        torch.testing.assert_close(
            grad[c], wanted, rtol=1e-4, atol=1e-5 * float(wanted.abs().max())
        )


def test_gradients_of_score_rows_are_those_where_the_chains_are() -> None:
    """Their second moment is the Fisher matrix there; its trace tells it from that of w*."""
    target = patch_target()
    generators = [torch.Generator().manual_seed(c) for c in range(2)]
    z = torch.zeros(2, target.dim)
    z[1] = 0.3 * torch.randn(target.dim)
    found = fisher_rows(target, z, 400, generators).square().sum(1).view(2, -1).mean(1)
    for c in range(2):
        module = target.flat.load(target.flat.w_star + z[c])
        exact = torch.zeros(())
        for i in range(48):
            rows = target.loss.score_rows(module, target.samples.take(torch.tensor([i])))
            assert rows is not None
            grads = torch.empty(rows.shape[1], target.dim)
            target.flat.row_grads(rows[0], grads)
            exact += grads.square().sum() / 48
        assert float(found[c]) == pytest.approx(float(exact), rel=0.25)
