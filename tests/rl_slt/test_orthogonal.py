"""Sampling orthogonally to the gradient at w*: exact within the subspace, for every sampler."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rl_slt import (
    BAOAB,
    CrossEntropy,
    InputError,
    PolicyData,
    Settings,
    estimate_llc,
    estimate_with,
)
from rl_slt.known.problems import slope
from rl_slt.known.validate import estimate_problem
from rl_slt.samplers.base import Sampler
from rl_slt.samplers.sgld import OrthogonalSGLD


@pytest.mark.parametrize("sampler", [None, BAOAB()])
def test_a_quadratic_with_a_slope(sampler: Sampler | None) -> None:
    problem = slope()
    e = estimate_problem(problem, sampler, seed=0)
    assert e.status == "ok" and e.constrained, e
    assert e.gradient_norm == pytest.approx(2.5, rel=1e-5)
    assert abs(e.llc - problem.exact) < 3.5 * e.stderr
    assert abs(e.info["virial"] - 1) < 0.1
    assert e.stderr < 0.06 * problem.exact


def test_the_older_name_of_the_constraint() -> None:
    """SGLD is slow here, and says so; what it finds is within its error."""
    e = estimate_problem(slope(nbeta=5.0), OrthogonalSGLD(), seed=0)
    assert e.constrained and e.sampler == "orthogonal_sgld"
    assert abs(e.llc - slope(nbeta=5.0).exact) < 3.5 * e.stderr < 1.0


class Logistic(nn.Module):
    """Logits `(0, x . w)`."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([0.5, -1.0, 0.2]))

    def forward(self, x: Tensor) -> Tensor:
        score = x @ self.w
        return torch.stack([torch.zeros_like(score), score], -1)


def labelled(n: int = 200) -> PolicyData:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, 3, generator=generator)
    y = (x @ torch.tensor([2.0, 1.0, 0.0]) + torch.randn(n, generator=generator) > 0).long()
    return PolicyData(x, targets=y)


def constrained_by_quadrature(nbeta: float, gamma: float) -> float:
    """The posterior's mean in the plane through w*, on a grid."""
    data, model = labelled(), Logistic().double()
    x, y = data.states.double(), data.targets
    assert y is not None
    sign = 2.0 * y - 1
    loss = nn.functional.cross_entropy(model(x), y)
    (gradient,) = torch.autograd.grad(loss, model.w)
    basis = torch.linalg.qr(torch.column_stack([gradient, torch.eye(3)]))[0][:, 1:]
    axis = torch.linspace(-2.5, 2.5, 101, dtype=torch.float64)
    moved = torch.cartesian_prod(axis, axis) @ basis.T
    margins = (model.w.detach() + moved) @ x.T * sign
    rise = nn.functional.softplus(-margins).mean(1) - loss.detach()
    p = (-nbeta * rise - gamma / 2 * moved.square().sum(1)).softmax(0)
    assert float(p.view(101, 101)[[0, -1]].sum()) < 1e-9
    return float(nbeta * (p * rise).sum())


@pytest.mark.parametrize(("sampler", "batch_size"), [(None, None), (BAOAB(), 64)])
def test_cross_entropy_off_its_minimum(sampler: Sampler | None, batch_size: int | None) -> None:
    """Preconditioned too, by rows that also point along the gradient."""
    exact = constrained_by_quadrature(100.0, 1.0)
    e = estimate_llc(
        Logistic(), labelled(), loss=CrossEntropy(), sampler=sampler, nbeta=100.0,
        batch_size=batch_size, orthogonal=True, draws=1500, preconditioner_rank=3,
    )  # fmt: skip
    assert e.status == "ok" and e.constrained and e.info["rank"] == 3
    assert abs(e.llc - exact) < 3.5 * e.stderr + (0.03 * exact if batch_size else 0), (e, exact)
    assert abs(e.info["virial_stiff"] - 1) < 0.1


def test_without_the_constraint_there_is_no_llc_and_the_message_offers_it() -> None:
    with pytest.warns(match="orthogonal=True"):
        e = estimate_llc(Logistic(), labelled(), loss=CrossEntropy(), nbeta=100.0, draws=200)
    assert math.isnan(e.llc)


def test_nothing_is_held_at_a_minimum() -> None:
    free = Settings(nbeta=100.0, draws=50, burn_in=50)
    settings = (free, free.replace(orthogonal=True))
    other, one = (estimate_with(Logistic(), labelled(), each) for each in settings)
    assert one.llc == other.llc and not one.constrained


def test_targets_are_classes_of_the_model() -> None:
    data = labelled(8)
    for targets, text in [(torch.full((8,), 2), "targets=2: must be integers from 0 to 1"),
                          (torch.zeros(8), "targets: must be classes")]:  # fmt: skip
        with pytest.raises(InputError, match=text):
            estimate_llc(Logistic(), data.with_fields(targets=targets), loss=CrossEntropy())
    with pytest.raises(InputError, match="targets: must be classes"):
        estimate_llc(Logistic(), data.states, loss=CrossEntropy())


def test_integer_inputs_of_embeddings() -> None:
    """A table of logits behind an embedding: each of its rows is a softmax by itself."""
    table = nn.Embedding(3, 2)
    model = nn.Sequential(table, nn.Flatten(0, -2))
    labels = torch.tensor([0, 1, 0, 1, 0, 1, 0, 0, 1, 1, 1, 0])
    states = torch.arange(3).repeat(4)[:, None]
    counts = np.array([[labels[states[:, 0] == s].eq(c).sum() for c in (0, 1)] for s in range(3)])
    with torch.no_grad():
        table.weight.copy_(torch.tensor(np.log(counts + 1e-9)))
    e = estimate_llc(
        model, PolicyData(states, targets=labels), loss=CrossEntropy(), nbeta=2000.0, draws=800
    )
    assert e.gradient_norm < 1e-6 and e.status == "ok"
    assert abs(e.llc - 1.5) < 4 * e.stderr + 0.02  # one direction of each row counts
