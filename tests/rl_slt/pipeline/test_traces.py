"""`llc --traces`: what is kept of estimates, also of those that were made before."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from agents import load_policy
from rl_slt import InputError, Traces
from rl_slt.pipeline.commands.response import influence, susceptibility
from rl_slt.pipeline.disk.layout import Run
from rl_slt.pipeline.engine.jobs import SerialEngine
from rl_slt.pipeline.plan.study import LLCPlan
from rl_slt.pipeline.stages import llc
from tests.rl_slt.cli.conftest import sound_run

PLAN = LLCPlan(states=("frozen",), n_states=48, chains=2, draws=40, burn_in=10, batch_size=16,
               checkpoints=1)  # fmt: skip


def test_an_estimate_made_before_gets_them_and_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(sound_run(tmp_path / "run"))
    assert not llc.estimate_runs([run], PLAN, SerialEngine(), ["end", "behind"])
    before = pd.read_parquet(run.tables / "llc.parquet")
    asked = PLAN.replace(traces=8)
    assert not llc.estimate_runs([run], asked, SerialEngine(), ["end", "behind"])
    pd.testing.assert_frame_equal(pd.read_parquet(run.tables / "llc.parquet"), before)
    said = capsys.readouterr().err
    assert "traces: 2 chains x 8 draws x 48 samples, 0.00307 MB of memory" in said
    (estimate,) = before["estimate_id"]
    t = Traces.load(run.path / "traces" / f"{estimate}.nc")
    assert t.losses.shape == (2, 8, 48)
    origin = t.origin_of()
    assert set(origin["placement"]) == {"end", "behind"} and origin["episode"].nunique() > 20
    assert origin["level_seed"].nunique() > 10
    behind = origin[origin["placement"] == "behind"]
    assert (origin["coin_x"] > 0).all() and behind["coin_x"].mean() < origin["coin_x"].mean()
    table = pd.read_parquet(run.tables / "contributions.parquet")
    assert table["share"].sum() == pytest.approx(1)
    own = float((t.mean() - t.at_center.mean()).mean() * t.nbeta)
    assert table["share"] @ table["value"] == pytest.approx(own, rel=1e-5)
    (row,) = before.to_dict("records")
    assert own == pytest.approx(row["llc"], rel=0.5)
    again = llc.plan_estimates(run, asked, ["behind", "end"])
    assert [e.done for e in again] == [True] and [e.key for e in again] == [estimate]
    (more,) = llc.plan_estimates(run, PLAN.replace(traces=25), ["behind", "end"])
    assert not more.done  # fewer draws are kept than it asks for
    with monkeypatch.context() as killed:
        killed.setattr(Traces, "save", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            llc.make(more)
    assert not more.done  # the file is still of fewer draws
    llc.make(more)
    assert more.done and Traces.load(more.traces).losses.shape == (2, 25, 48)
    assert all(e.done for e in again)
    part = run.path / "parts" / "traces" / estimate / "contributions.parquet"
    pd.read_parquet(part).assign(status="failed").to_parquet(part)
    llc.assemble(run)
    lost = pd.read_parquet(run.tables / "contributions.parquet")
    assert len(lost) == len(table) and lost[["value", "stderr"]].isna().all(axis=None)
    more.traces.unlink()
    assert [e.done for e in (more, *again)] == [False, False]


def test_the_size_said_before_is_of_the_sampler() -> None:
    plan = LLCPlan(traces=0)
    assert "4 chains x 3 draws x 2,048" in llc.describe_traces([], plan)
    assert "4 chains x 112 draws" in llc.describe_traces([], plan.replace(sampler="hmc"))


def test_influences_are_kept_with_their_pictures(tmp_path: Path) -> None:
    """The same command again reads the draws; what is asked of a failed estimate is refused."""
    run = Run(sound_run(tmp_path / "run", steps=(0,)))
    few = {"n_states": 48, "chains": 2, "draws": 240, "burn_in": 60, "batch_size": 24, "traces": 20}
    ask: dict[str, Any] = dict(step=0, probe="frozen:behind", probe_states=8, out=None)
    lines = influence(run.path, few, **ask)
    folder = run.path / "influence" / f"{0:012d}"
    assert {p.name for p in folder.iterdir()} == {"influence.csv", "heatmap.png", "frames.png"}
    states = pd.read_csv(folder / "influence.csv")
    assert len(states) == 48 and states["influence"].is_monotonic_increasing
    table = pd.read_parquet(run.tables / "influence.parquet")
    assert table["samples"].sum() == 48 and table["share"].sum() == pytest.approx(1)
    # The mean over kinds, each with its share, is the mean over states.
    mean = table["share"] @ table["influence"]
    assert states["influence"].mean() == pytest.approx(mean, rel=1e-4)
    assert "of 384 have p < 0.05, where 19 would by chance" in lines[2]
    (kept,) = (run.path / "traces").glob("influence-*.nc")
    stamp = kept.stat().st_mtime_ns
    assert influence(run.path, few, **ask) == lines and kept.stat().st_mtime_ns == stamp
    influence(run.path, few, **ask | {"probe_states": 6, "out": tmp_path / "other"})
    both = pd.read_parquet(run.tables / "influence.parquet")
    assert both["setting_id"].nunique() == 2  # so that no line of the report holds both
    assert both["created"].nunique() == 2 and both["dof"].gt(0).all()
    t = Traces.load(kept)
    losses = t.losses.copy()
    losses[0, :, (t.origin["set"] == "frozen:behind").to_numpy()] += 1e3
    replace(t, losses=losses).save(kept)
    (run.path / "parts" / "influence" / both["estimate_id"].iloc[0]).rename(tmp_path / "old")
    for part in (run.path / "parts" / "influence").iterdir():
        part.rename(tmp_path / part.name)
    lines = influence(run.path, few, **ask)
    table = pd.read_parquet(run.tables / "influence.parquet")
    assert all("none, as chains stay apart; 0% of them" in line for line in lines[3:-1])
    assert table["status"].eq("failed").all() and table["correlation"].isna().all()
    replace(t, status="failed", message="chains disagree").save(kept)
    with pytest.raises(InputError, match="no influence: the estimate is failed: chains disagree"):
        influence(run.path, few, **ask)


def test_components_answer_to_perturbations(tmp_path: Path) -> None:
    """Each is sampled by itself at the temperature of all; the same command again adds nothing."""
    run = Run(sound_run(tmp_path / "run", steps=(0,)))
    few = {"n_states": 48, "chains": 2, "draws": 240, "burn_in": 60, "batch_size": 24, "traces": 20}
    ask: dict[str, Any] = dict(
        components=("body.conv1.*", "policy_head.*"), perturbs=("frozen:behind", "frozen:end@7"),
        observables=("loss", "goal"), step=None, tilt_states=16, workers=0,
    )  # fmt: skip
    lines, status = susceptibility(run.path, few, **ask)
    table = pd.read_parquet(run.tables / "susceptibilities.parquet")
    known = int((table["status"] == "ok").sum())
    assert status == 0 and len(table) == 8 and len(lines) == 8 + (known > 1)
    told = f"of {known} are told from 0, all together at 5 % (Holm)"
    assert known < 2 or told in lines[-1]
    assert set(table["perturb"]) == {"frozen:behind", "frozen:end@7"}
    sizes = dict(zip(table["component"], table["weights"], strict=True))
    network = load_policy(run.checkpoint().path)
    named = dict(network.named_parameters())
    for part, size in sizes.items():
        mine = [p.numel() for name, p in named.items() if name.startswith(part[:-1])]
        assert size == sum(mine)
    assert table["nbeta"].nunique() == table["localization"].nunique() == 1
    ok = table["status"] == "ok"
    assert (table["value"].notna() == ok).all() and (table["stderr"].dropna() > 0).all()
    assert susceptibility(run.path, few, **ask)[0] == lines
    unread = ask | {"components": ("value_head.*", "policy_head.*"), "observables": ("loss",)}
    lines, status = susceptibility(run.path, few, **unread | {"perturbs": ("frozen:behind",)})
    assert status == 0 and "failed: the loss depends on none of its parameters" in lines[0]
    assert len(lines) == 2 and "policy_head.*" in lines[1]
    own = ask | {"components": ("all",), "perturbs": ("frozen",), "tilt_states": 48}
    lines, _ = susceptibility(
        run.path, few | {"draws": 240}, **own
    )  # the loss's own states move nothing
    assert "loss to frozen: none, failed: " in lines[0] and "never changes" in lines[0]
    with pytest.raises(InputError, match="observable='moon': must be one of loss, goal"):
        susceptibility(run.path, few, **ask | {"observables": ("moon",)})


@pytest.mark.parametrize("value", ["1", "many", True, -3])
def test_a_wrong_number_of_draws(value: object) -> None:
    with pytest.raises(InputError, match=r"traces=.*: must be an integer at least 2"):
        LLCPlan.build({"traces": value}, "llc")
