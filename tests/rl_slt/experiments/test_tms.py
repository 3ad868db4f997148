"""The parts of the experiment on k-gons, each against what it must find."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from rl_slt import HMC, Settings, estimate_with
from rl_slt.experiments.superposition import Reconstruction, all_features, gon, hessian
from rl_slt.experiments.tms import (
    all_k_gons,
    by_random_walk,
    k_gons,
    named,
    page,
    plateaus,
    settled,
)


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


def tables(status: str, mixed: bool) -> dict[str, pd.DataFrame]:
    """A 5-gon at one nbeta, a 6-gon that takes over between n = 100 and 1000, a run at 0.0687."""
    llc = pd.DataFrame(
        {"c": 6, "gon": "5", "nbeta": 1e3, "llc": 7.1, "llc_stderr": 0.1, "lambda": 7.0,
         "truth": 7.0, "truth_stderr": 0.0, "status": status}, index=[0],
    )  # fmt: skip
    if status == "failed":
        llc["llc"] = llc["llc_stderr"] = math.nan
    shares = {100.0: (0.4, 0.1), 1000.0: (0.1, 0.4)}
    phases = [
        {"n": n, "gon": name, "share": share, "share_stderr": 0.01, "mixed": mixed}
        for n, of in shares.items()
        for name, share in zip(("5", "6", "5+", "other"), (*of, 0, 0.5), strict=True)
    ]
    curve = pd.DataFrame({"c": 6, "run": 0, "step": range(40), "loss": 0.0687})
    return {"llc": llc, "phases": pd.DataFrame(phases), "sgd": curve}


def test_the_page_tells_what_was_found_and_what_was_not() -> None:
    told = page(tables("ok", True)).statements
    assert "1 of 1 with the status ok: root mean square distance of these" in told[0]
    assert "1.00 standard errors" in told[0] and "6-gon 7" not in told[1]
    assert any("overtakes the 5-gon at n = 316 in" in line for line in told)
    assert "of 1 plateaus in 1 SGD runs 1 lie within 0.0025 of the loss" in told[-1]


def test_no_number_is_told_of_failed_llcs_or_of_ladders_that_did_not_mix() -> None:
    told = page(tables("failed", False)).statements
    assert told[0].endswith("0 of 1 with the status ok")
    assert told[1] == "the ladders mixed at 0 of 2 n"
    assert told[2].startswith("the 6-gon overtakes the 5-gon between no two")
    assert not any("nan" in line for line in told)
