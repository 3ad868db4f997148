"""The spectrum against dense Hessians, and its errors against what it misses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Generator, Tensor, nn
from torch.func import grad, jacrev

from rl_slt import PolicyKL
from rl_slt.losses.base import as_loss
from rl_slt.posterior import spectrum
from rl_slt.posterior.build import build_target
from rl_slt.posterior.spectrum import Measured, Spectrum, spectrum_of
from rl_slt.posterior.target import Target

GAMMA = 100.0
NBETAS = (100.0, 3_000.0, 100_000.0)


def target(n: int, hidden: int, actions: int = 4) -> Target:
    generator = Generator().manual_seed(5)
    policy = nn.Sequential(nn.Linear(6, hidden), nn.Tanh(), nn.Linear(hidden, actions))
    with torch.no_grad():
        for p in policy.parameters():
            p.copy_(0.6 * torch.randn(p.shape, generator=generator))
    states = torch.randn(n, 6, generator=generator)
    return build_target(policy, states, PolicyKL(), 100.0, GAMMA, None, 0)


def dense(made: Target) -> Tensor:
    """Eigenvalues of the Hessian of the mean loss at w*, in double precision."""
    made.flat.module.double()
    data = made.data.with_fields(
        states=made.data.states.double(),
        reference_logits=made.data.reference_logits.double(),  # type: ignore[union-attr]
    )
    w = made.flat.w_star.double()

    def mean_loss(w: Tensor) -> Tensor:
        return made.loss(made.flat.as_function(w), data).mean()

    whole = jacrev(grad(mean_loss), chunk_size=16)(w)  # at once it takes 0.4 GB
    made.flat.module.float()
    return torch.linalg.eigvalsh(whole).clamp(min=0)


def both(of: Spectrum, nbeta: float) -> list[Measured]:
    return [of.half_effective_dimension(nbeta, GAMMA), of.free_energy(nbeta, GAMMA)]


@pytest.mark.parametrize(("n", "limit"), [(200, 1024), (60, 0)], ids=["weights", "rows"])
def test_small_problems_have_the_spectrum_of_the_dense_hessian(
    n: int, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spectrum, "DENSE", limit)
    made = target(n, 8)
    found = spectrum_of(made, Generator().manual_seed(0))
    assert found is not None
    truth = Spectrum(dense(made), n)
    for nbeta in NBETAS:
        for mine, exact in zip(both(found, nbeta), both(truth, nbeta), strict=True):
            assert mine.value == pytest.approx(exact.value, rel=1e-4)
            assert mine.stderr == 0


def test_known_eigenvalues_give_the_formulas() -> None:
    h = torch.tensor([0.0, 0.5, 2.0, 30.0], dtype=torch.float64)
    for nbeta in NBETAS:
        half, free = both(Spectrum(h, 10), nbeta)
        a = nbeta * h.numpy() + GAMMA
        assert half.value == pytest.approx(0.5 * (nbeta * h.numpy() / a).sum())
        assert free.value == pytest.approx(0.5 * np.log(a / GAMMA).sum())
    assert Spectrum(h, 10).half_effective_dimension(0.0, GAMMA) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("n", "columns"), [(300, 8191), (150, 8191), (900, 8191), (300, 151)],
    ids=["one row a state", "several", "some states", "folded"],
)  # fmt: skip
def test_rows_drawn_answer_for_all_states_within_their_error(
    n: int, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = target(n, 40)
    truth = Spectrum(dense(made), n)
    for name, value in {"DENSE": 0, "ROWS": 400, "TWICE": 100, "COLUMNS": columns}.items():
        monkeypatch.setattr(spectrum, name, value)
    seeds = [spectrum_of(made, Generator().manual_seed(seed)) for seed in range(8)]
    drawn = [of for of in seeds if of is not None and of.drawn is not None]
    assert len(drawn) == 8
    for nbeta in (100.0, 1_000.0):
        for k, exact in enumerate(both(truth, nbeta)):
            found = [both(of, nbeta)[k] for of in drawn]
            errors = np.array([f.value - exact.value for f in found])
            stderr = np.sqrt(np.mean([f.stderr**2 for f in found]))
            assert np.sqrt(np.mean(errors**2)) < 1.5 * stderr < 0.1 * exact.value
    plain = [both(Spectrum(of.values, n), nbeta)[0].value for of in drawn]  # of the rows alone
    lacking = both(truth, nbeta)[0].value - np.mean(plain)
    found = [both(of, nbeta)[0] for of in drawn]
    assert abs(np.mean([f.value for f in found]) - both(truth, nbeta)[0].value) < 0.4 * lacking


def test_a_loss_that_knows_no_rows_has_the_spectrum_of_its_hessian() -> None:
    made = target(40, 4)
    known = spectrum_of(made, Generator().manual_seed(0))
    kl = made.loss
    made.loss = as_loss(lambda policy, batch: kl(policy, batch))
    found = spectrum_of(made, Generator().manual_seed(0))
    assert known is not None and found is not None
    for nbeta in NBETAS:
        for mine, exact in zip(both(found, nbeta), both(known, nbeta), strict=True):
            assert mine.value == pytest.approx(exact.value, rel=1e-4)
    made.loss = as_loss(lambda policy, batch: -kl(policy, batch))
    assert spectrum_of(made, Generator().manual_seed(0)) is None
