"""Replica exchange on a posterior of two wells whose masses are known, and where it cannot mix."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from torch import Tensor

from rl_slt import InputError
from rl_slt.samplers.tempering import Ladders, temper

NBETAS = (0.0, 2.0, 6.0, 14.0, 30.0)
DIM = 4


def wells(w: Tensor) -> tuple[Tensor, Tensor]:
    """A sharp and a flat well along the first weight, at -1 and 1, a quadratic in the others.

    The sharp one is a little lower; around it the others are held as well, around the flat one not.
    """
    w = w.detach().requires_grad_()
    sharp = 2 * (w[:, 0] + 1) ** 2 + 0.2 * (w[:, 1:] ** 2).sum(1)
    flat = 0.5 * (w[:, 0] - 1) ** 2 + 0.12 + 0 * w[:, 1:].sum(1)
    loss = torch.minimum(sharp, flat)
    (grad,) = torch.autograd.grad(loss.sum(), w)
    return loss.detach(), grad


def mass_of_sharp(nbeta: float) -> float:
    """Where `sharp < flat`, of all; the others' radius r has the density `r^2 exp(-r^2 / 2)`."""

    def inner(x: float, side: bool) -> float:
        sharp, flat = 2 * (x + 1) ** 2, 0.5 * (x - 1) ** 2 + 0.12
        edge = math.sqrt(
            max(flat - sharp, 0.0) / 0.2
        )  # the radius up to which the sharp well is lower
        if side:
            of = lambda r: r**2 * math.exp(-(r**2) / 2 - nbeta * (sharp + 0.2 * r**2))  # noqa: E731
            return quad(of, 0, edge)[0] * math.exp(-(x**2) / 2)
        of = lambda r: r**2 * math.exp(-(r**2) / 2 - nbeta * flat)  # noqa: E731
        return quad(of, edge, 12)[0] * math.exp(-(x**2) / 2)

    grid = np.linspace(-5, 5, 801)
    sharp, flat = (sum(inner(x, side) for x in grid) for side in (True, False))
    return sharp / (sharp + flat)


def ladders(nbetas: tuple[float, ...], **changed: int) -> Ladders:
    settings = {"ladders": 16, "draws": 1200, "burn_in": 150, "leapfrog": 4} | changed

    def side(w: Tensor) -> Tensor:
        sharp = 2 * (w[:, 0] + 1) ** 2 + 0.2 * (w[:, 1:] ** 2).sum(1)
        return (sharp < 0.5 * (w[:, 0] - 1) ** 2 + 0.12).double()

    return temper(wells, DIM, nbetas, observe=side, dtype=torch.float64, **settings)  # type: ignore[arg-type]


def test_masses_of_two_wells_at_every_temperature() -> None:
    found = ladders(NBETAS)
    for rung, nbeta in enumerate(NBETAS):
        mean, exact = found.mean(rung), mass_of_sharp(nbeta)
        assert mean.mixed, (nbeta, mean)
        assert abs(mean.value - exact) < 4 * mean.stderr + 1e-3, (nbeta, mean, exact)
        assert mean.stderr < 0.03
    assert (
        (found.trips[:, -1] > 3).all()
        and (found.trips[:, 0] == 1200).all()
        and (found.exchanged > 0.2).all()
        and (found.accept > 0.6).all()
    )
    # The prior is what is drawn at the first rung: E|w|^2 = 4 shows in the loss of the flat well.
    assert found.nbetas == NBETAS


def test_ladders_that_do_not_mix_say_so() -> None:
    """Without rungs between, each ladder stays in the well that it fell into."""
    found = ladders((0.0, 3e4), ladders=8, draws=150)
    assert not found.mean(1).mixed and found.mean(0).mixed


def test_rungs_must_rise_from_the_prior() -> None:
    for wrong in ((1.0, 2.0), (0.0,), (0.0, 2.0, 2.0)):
        with pytest.raises(InputError, match="must be rising, from 0 on"):
            temper(wells, DIM, wrong)
