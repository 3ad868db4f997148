"""The exact loss of the toy model of superposition, its k-gons, and their learning coefficients."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd.functional import jvp

from rl_slt import HMC, Settings, estimate_with
from rl_slt.estimate import prepare_target
from rl_slt.experiments.superposition import (
    Reconstruction,
    all_features,
    gon,
    hessian,
    loss_by_antiderivatives,
    mean_loss,
)


def by_points(w: np.ndarray, c: int, points: int = 400) -> np.ndarray:
    """The mean loss by Gauss-Legendre points over the size of the feature."""
    sizes, shares = np.polynomial.legendre.leggauss(points)
    weights, bias = w[:, : 2 * c].reshape(-1, 2, c), w[:, None, 2 * c :]
    slope, total = np.swapaxes(weights, 1, 2) @ weights, np.zeros(len(w))
    for m, share in zip((sizes + 1) / 2, shares / 2, strict=True):
        errors = np.maximum(m * slope + bias, 0) - m * np.eye(c)
        total += share * np.square(errors).sum((1, 2)) / c
    return total


def test_the_loss_is_its_integral() -> None:
    w = torch.randn(200, 18, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    w[:40, :12] *= 0.01  # slopes next to nothing
    exact, points = mean_loss(w, 6).numpy(), by_points(w.numpy(), 6)
    assert np.abs(exact - points).max() < 3e-4  # kinks between the points
    assert np.abs(exact - points).mean() < 3e-5
    assert np.abs(exact - loss_by_antiderivatives(w.numpy(), 6)).max() < 1e-9
    flat = torch.zeros(18, dtype=torch.float64)
    assert float(mean_loss(flat, 6)) == pytest.approx(1 / 3)
    flat[12:] = 0.25  # a constant b: 1/3 - b + b^2 of a feature's own output, b^2 of the others
    assert float(mean_loss(flat, 6)) == pytest.approx(1 / 3 - 0.25 + 6 * 0.25**2)


def test_the_gradient_is_that_of_the_integral() -> None:
    w = torch.randn(4, 15, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: mean_loss(x, 5), w.requires_grad_())


# Chen et al. 2023, c = 6: the losses to the digits that they print.
@pytest.mark.parametrize(
    ("k", "positive", "loss"),
    [(4, 2, 0.09722), (5, 0, 0.06874), (5, 1, 0.06180), (6, 0, 0.04819)],
)
def test_the_k_gons_of_six_features(k: int, positive: int, loss: float) -> None:
    found = gon(6, k, positive)
    assert round(found.loss, 5) == loss
    w = found.weights.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(mean_loss(w, 6), w)
    assert gradient.norm() < 1e-7
    data, model = all_features(6), found.model()
    assert float(Reconstruction()(model, data).detach().mean()) == pytest.approx(
        found.loss,
        abs=1e-6,  # of float32
    )


def test_the_gradients_of_all_chains_are_computed_together() -> None:
    target = prepare_target(
        gon(6, 5).model(), all_features(6), Settings(nbeta=1e5, gauge="none"), Reconstruction(), 0
    )
    assert target.batched and target.traced is not None


def test_the_score_rows_give_the_gauss_newton_matrix() -> None:
    """That of the outputs at many sizes of a feature."""
    generator = torch.Generator().manual_seed(2)
    w = torch.randn(15, generator=generator, dtype=torch.float64)

    def outputs(w: Tensor, feature: int, sizes: Tensor) -> Tensor:
        weights, bias = w[:10].view(2, 5), w[10:]
        return torch.relu(sizes[:, None] * (weights.mT @ weights)[feature] + bias)

    def rows(w: Tensor) -> Tensor:
        slope = w[:10].view(2, 5).mT @ w[:10].view(2, 5)
        logits = torch.stack((slope, w[10:].expand_as(slope)), -1)
        return Reconstruction().score_rows(lambda states: logits[states], all_features(5))

    sizes = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
    for feature, mine in enumerate(torch.autograd.functional.jacobian(rows, w)):
        of = partial(outputs, feature=feature, sizes=sizes)
        # By columns: by rows it would take a backward pass for each of 20,000 outputs, and 1.6 GB.
        each = torch.stack([jvp(of, w, one)[1] for one in torch.eye(15).double()], -1)
        matrix = 2 * torch.einsum("mji,mjk->ik", each, each) / len(sizes)
        assert torch.allclose(mine.mT @ mine, matrix, atol=3e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("c", "k", "positive", "twice"), [(6, 5, 0, 14), (6, 5, 1, 17), (6, 6, 0, 17), (8, 7, 1, 23)]
)
def test_a_k_gons_llc_rises_to_half_the_rank(c: int, k: int, positive: int, twice: int) -> None:
    """A minimum but for the rotation and, below k = c, idle features: lambda is half the rank."""
    found = gon(c, k, positive)
    values = torch.linalg.eigvalsh(hessian(found))
    assert int((values > 1e-6).sum()) == twice == 2 * found.complexity
    assert float(values.min()) > -1e-6
    settings = Settings(
        sampler=HMC(rotate=True), nbeta=1e5, localization=100.0, gauge="none", draws=150,
        burn_in=150, chains=8,
    )  # fmt: skip
    e = estimate_with(
        found.model(), all_features(c), settings, Reconstruction(), seed=0, states_error=False
    )
    assert abs(e.llc - twice / 2) < 4 * e.stderr + 0.03 * twice, e
