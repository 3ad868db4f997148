"""Losses of states at draws: whose they are, what they cost, and how they are kept."""

import sys
from pathlib import Path
from types import SimpleNamespace

import arviz_base
import numpy as np
import pandas as pd
import pytest
import torch
import xarray

from rl_slt import HMC, InputError, LLCEstimate, PolicyData, Tracing, estimate_llc
from rl_slt.known.answers import Regression, ReluPolicy
from rl_slt.response.traces import LOSSES_PER_GRADIENT, Recorder, Traces, draws_kept

STATES = torch.randn(40, 4, generator=torch.Generator().manual_seed(1))
CLASSES = ((0,), (1, 2))


def short(traces: object = True, **settings: object) -> LLCEstimate:
    given = {"sampler": HMC(), "draws": 40, "burn_in": 20, "chains": 2, "localization": 3.0}
    return estimate_llc(
        ReluPolicy(4, 6, 3), STATES, traces=traces, **given | settings  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore:this LLC is")
def test_their_mean_is_the_loss_of_the_headline_draw_by_draw() -> None:
    """Of the balanced policy and merged actions: of the policy as given they are others."""
    e = short(gauge="balanced", distinct_actions=CLASSES)
    assert e.gauge == "balanced" and e.traces is not None
    shape = (2, len(e.draws) // 2)
    loss = e.draws["loss_value"].to_numpy().reshape(shape)[:, e.traces.draw]
    assert e.traces.losses.shape == (2, len(e.traces.draw), 40)
    np.testing.assert_allclose(e.traces.mean(), loss, rtol=1e-4, atol=1e-6)
    other = short(Tracing(draws=2), gauge="none").traces
    assert other is not None and other.draw.tolist() == [19, 39]
    most = short(Tracing(draws=30)).traces  # no more than asked for
    assert most is not None and most.losses.shape[1] == 30 and np.diff(most.draw).max() == 2


@pytest.mark.filterwarnings("ignore:this LLC is")
def test_keeping_them_changes_no_estimate() -> None:
    settings = {"sampler": None, "batch_size": 8, "draws": 60}
    with_, without = short(True, **settings), short(False, **settings)
    assert with_.llc == without.llc and without.traces is None
    pd.testing.assert_frame_equal(with_.draws, without.draws)


@pytest.mark.filterwarnings("ignore:this LLC is")
def test_further_sets_are_under_the_same_posterior() -> None:
    """The same states as a further set have the same losses; weights are of a set's mean alone."""
    weights = torch.linspace(0, 2, 40)
    again = PolicyData(STATES, weights=weights)
    origin = pd.DataFrame({"level_seed": np.arange(40), "placement": ["end", "behind"] * 20})
    wanted = Tracing(
        draws=8, sets={"again": again}, origins={"states": origin},
        observables={"first": lambda module: float(module(STATES[:1])[0, 0])},
    )  # fmt: skip
    t = short(wanted, distinct_actions=CLASSES).traces
    assert t is not None
    np.testing.assert_array_equal(t.of("again"), t.of())
    np.testing.assert_allclose(t.mean("again"), t.of() @ weights.numpy() / weights.sum().item())
    assert t.origin_of()["placement"].tolist()[:2] == ["end", "behind"]
    assert t.observables["first"].shape == (2, 8) and t.observables["first"].std() > 0
    with pytest.raises(InputError, match="set='moon': must be one of states, again"):
        t.of("moon")


@pytest.mark.filterwarnings("ignore:this LLC is")
def test_a_file_is_what_was_kept_and_arviz_opens_it(tmp_path: Path) -> None:
    origin = pd.DataFrame({"placement": ["end", "behind"] * 20})
    t = short(Tracing(draws=10, origins={"states": origin})).traces
    assert t is not None
    t.save(tmp_path / "t.nc")
    again = Traces.load(tmp_path / "t.nc")
    np.testing.assert_array_equal(again.losses, t.losses)
    assert again.origin.astype(str).equals(t.origin.astype(str))
    assert (again.nbeta, again.n, again.status) == (t.nbeta, t.n, t.status)
    with xarray.open_datatree(tmp_path / "t.nc") as tree:
        drawn = arviz_base.extract(tree, var_names="loss")
        assert drawn.sizes == {"state": 40, "sample": 20}
        np.testing.assert_array_equal(drawn.sel(chain=1)[:, 3], t.losses[1, 3])
        assert (drawn["placement"] == "behind").sum() == 20
    (tmp_path / "t.nc").write_bytes(b"none")
    with pytest.raises(InputError, match=r"t\.nc holds no traces"):
        Traces.load(tmp_path / "t.nc")


@pytest.mark.parametrize("lacking", ["xarray", "h5netcdf", "h5py"])
def test_without_what_stores_them_one_line_says_so(
    lacking: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    t = Traces(
        np.zeros((1, 2, 3), np.float32), np.zeros(3, np.float32), np.arange(2),
        pd.DataFrame({"set": ["states"] * 3, "weight": 1.0}), 1.0, 3,
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, lacking, None)
    with pytest.raises(InputError, match=rf"need {lacking}, .* pip install 'rl-slt\[traces\]'"):
        t.save(tmp_path / "t.nc")


def test_how_many_draws_are_kept() -> None:
    def kept(draws: int | None, samples: int = 2048, batch: int = 64) -> int:
        return draws_kept(Tracing(draws=draws), samples, 4, 280, 200, batch)

    assert kept(None) == int(LOSSES_PER_GRADIENT * 280 * 64 / 2048) == 3
    assert kept(None, batch=2048) == 112  # a gradient over all data costs more than all losses
    assert kept(50) == 50 and kept(900) == 200
    assert kept(200, samples=10**6) == 16  # 2^28 bytes
    with pytest.raises(InputError, match="traces=1: must be True, or at least 2 draws"):
        Tracing(draws=1)


def test_groups_bring_the_llc_together() -> None:
    problem = Regression(n=16)
    t = problem.estimate(HMC(), None, 0, draws=100, burn_in=50).traces
    assert t is not None
    table = t.contributions(pd.Series(["a"] * 4 + ["b"] * 12))
    assert table["share"].tolist() == [0.25, 0.75] and table["samples"].tolist() == [4, 12]
    own = t.nbeta * (t.mean() - t.at_center.mean())
    assert table["share"] @ table["value"] == pytest.approx(own.mean())
    exact = problem.nbeta * (problem.expected() - 0.5 * problem.residuals**2)
    for row, members in zip(table.itertuples(), (exact[:4], exact[4:]), strict=True):
        assert abs(row.value - members.mean()) < 4 * row.stderr  # type: ignore[operator]


def test_errors_of_few_draws_are_those_of_the_chains() -> None:
    """Chains that differ, each by itself of one value: its draws are no further evidence."""
    means = np.array([1.0, 2.0, 4.0, 5.0])
    losses = np.repeat(means, 3).reshape(4, 3, 1).astype(np.float32).repeat(2, axis=2)
    origin = pd.DataFrame({"set": "states", "weight": 1.0}, index=range(2))
    t = Traces(losses, np.zeros(2, np.float32), np.arange(3), origin, 1.0, 2)
    (row,) = t.contributions(pd.Series(["all", "all"])).to_dict("records")
    assert (row["value"], row["dof"], row["draws"]) == (3.0, 3, 12)
    assert row["stderr"] == pytest.approx(means.std(ddof=1) / 2)
    one = Traces(losses[:1], np.zeros(2, np.float32), np.arange(3), origin, 1.0, 2)
    assert np.isnan(one.contributions(pd.Series(["all", "all"]))["stderr"]).all()


def test_a_loss_that_plays_has_none() -> None:
    target = SimpleNamespace(loss=SimpleNamespace(plays=True, name="rollout-regret"))
    with pytest.raises(InputError, match="traces=True: must be False with loss rollout-regret"):
        Recorder(target, Tracing(), None, torch.Generator())  # type: ignore[arg-type]
