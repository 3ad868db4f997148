"""The parts of the experiment on k-gons, each against what it must find."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from rl_slt import HMC, Settings, estimate_with
from rl_slt.experiments.superposition import Reconstruction, all_features, gon, hessian
from rl_slt.experiments.tms import all_k_gons, by_random_walk, k_gons, named, plateaus, settled


@pytest.mark.slow
def test_two_codes_agree_at_a_finite_temperature() -> None:
    """Far from the limit: some directions are held by the localizer as much as by the loss."""
    one, nbeta, localization = gon(6, 5), 3000.0, 100.0
    settings = Settings(
        sampler=HMC(rotate=True), nbeta=nbeta, localization=localization, gauge="none", chains=8,
        draws=120, burn_in=100,
    )  # fmt: skip
    e = estimate_with(
        one.model(), all_features(6), settings, Reconstruction(), seed=0, states_error=False
    )
    truth, error = by_random_walk(one, nbeta, localization, steps=800, seed=1)
    assert error < 0.02 * truth and e.stderr < 0.05 * truth
    assert abs(e.llc - truth) < 3.5 * math.hypot(e.stderr, error), (e, truth, error)


def test_the_random_walk_comes_to_the_gaussian_limit() -> None:
    """At nbeta 1e6 the posterior is that of the Hessian: `1/2 sum a / (a + gamma)`, a = nbeta h."""
    one, nbeta, localization = gon(6, 5), 1e6, 100.0
    a = nbeta * np.linalg.eigvalsh(hessian(one).numpy()).clip(0)
    exact = 0.5 * (a / (a + localization)).sum()
    values, errors = zip(
        *(by_random_walk(one, nbeta, localization, steps=600, seed=s) for s in range(4)),
        strict=True,
    )
    error = math.hypot(*errors) / len(errors)
    assert error < 0.01 * exact
    assert abs(np.mean(values) - exact) < 3 * error, (values, errors, exact)


def test_minima_and_saddles() -> None:
    assert [one.name for one in k_gons(6)] == ["5", "5+", "6"]
    names = [one.name for one in all_k_gons(6)]
    assert len(names) == 15 and names[0] == "2" and names[-1] == "6"
    assert {"4", "4+", "4++"} <= set(names)


def test_descent_finds_the_minimum_below() -> None:
    generator = torch.Generator().manual_seed(0)
    gons = k_gons(6)
    near = torch.stack([one.weights for one in gons]).float()
    found = settled(near + 0.03 * torch.randn(near.shape, generator=generator), 6)
    assert named(found, gons) == ["5", "5+", "6"]
    assert named(torch.tensor([0.11]), gons) == ["other"]


def test_plateaus_are_found_where_they_are() -> None:
    loss = np.concatenate([np.full(30, 0.11), np.geomspace(0.11, 0.07, 10), np.full(40, 0.07)])
    loss *= 1 + 0.002 * np.sin(np.arange(len(loss)))
    found = plateaus(pd.DataFrame({"loss": loss}))
    assert found == pytest.approx([0.11, 0.07], rel=0.01)
    assert plateaus(pd.DataFrame({"loss": np.geomspace(1, 0.01, 80)})) == []
