"""The exact loss of the toy model of superposition, its k-gons, and their learning coefficients."""

import numpy as np
import pytest
import torch

from rl_slt import HMC, Settings, estimate_with
from rl_slt.experiments.superposition import (
    Reconstruction,
    all_features,
    gon,
    hessian,
    loss_by_quadrature,
    mean_loss,
)


def test_the_loss_is_its_integral() -> None:
    w = torch.randn(200, 18, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    by_points = loss_by_quadrature(w.numpy(), 6, points=400)
    assert np.abs(mean_loss(w, 6).numpy() - by_points).max() < 3e-4  # kinks between the points
    assert np.abs(mean_loss(w, 6).numpy() - by_points).mean() < 3e-5
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
    [(4, True, 0.09722), (5, False, 0.06874), (5, True, 0.06180), (6, False, 0.04819)],
)
def test_the_k_gons_of_six_features(k: int, positive: bool, loss: float) -> None:
    found = gon(6, k, positive)
    assert round(found.loss, 5) == loss
    w = found.weights.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(mean_loss(w, 6), w)
    assert gradient.norm() < 1e-7
    data, model = all_features(6), found.model()
    assert float(Reconstruction()(model, data).detach().mean()) == pytest.approx(
        found.loss, abs=1e-7
    )


@pytest.mark.parametrize(
    ("k", "positive", "twice"), [(5, False, 14), (5, True, 17), (6, False, 17)]
)
def test_a_k_gons_llc_rises_to_half_the_rank(k: int, positive: bool, twice: int) -> None:
    """A minimum but for the rotation and, below k = c, idle features: lambda is half the rank."""
    found = gon(6, k, positive)
    values = torch.linalg.eigvalsh(hessian(found))
    assert int((values > 1e-6).sum()) == twice and float(values.min()) > -1e-6
    settings = Settings(
        sampler=HMC(rotate=True), nbeta=1e5, localization=100.0, gauge="none", draws=150,
        burn_in=150, chains=8, preconditioner_rank=0,
    )  # fmt: skip
    e = estimate_with(
        found.model(), all_features(6), settings, Reconstruction(), seed=0, states_error=False
    )
    assert abs(e.llc - twice / 2) < 4 * e.stderr + 0.03 * twice, e
