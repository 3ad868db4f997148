"""What is stored under which versions, and that precision is known before anything is computed."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

import agents
import envs
from agents import Run
from agents.checkpoints import NetworkSpec, save_checkpoint, write_index
from analysis import schema
from analysis.probes import SUITES
from rl_slt import versions
from rl_slt.pipeline.plan.study import LLCPlan
from rl_slt.pipeline.stages import covariates, llc
from rl_slt.pipeline.stages.llc import plan_estimates
from rl_slt.pipeline.stages.probe.items import ProbeItem
from rl_slt.pipeline.states import StateSetSpec
from rl_slt.versions import STAGES, version_key

PLAN = LLCPlan(states=("frozen",), n_states=32, chains=2, draws=8, burn_in=2, batch_size=16,
               sampler="baoab", preconditioner_rank=0)  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """One checkpoint of a network with convolutions."""
    path = tmp_path / "r"
    config = agents.TrainConfig(network="small", time_limit=30, steps=1000)
    spec = NetworkSpec("small", {})
    torch.manual_seed(0)
    save_checkpoint(path, 0, spec.build(), spec, {})
    write_index(path, finished=True)
    entry = {"name": "r", "arm": "coin moved", "seed": 3, "train": config.as_dict()}
    (path / "config.json").write_text(json.dumps(entry))
    return Run(path)


def keys_of(run: Run) -> dict[str, str]:
    """The key of every kind of stored work."""
    (estimate,) = plan_estimates(run, PLAN, ["end"])
    (described,) = covariates.plan_covariates(run, PLAN, ["end"])
    probed = ProbeItem("r", 0, "", "w", SUITES["demo"], 0, 8)
    return {
        "states": estimate.states.key(""),
        "episodes": estimate.states.key("", "episodes"),
        "llc": estimate.key,
        "llc settings": estimate.setting,
        "covariates": described.key,
        "probe": probed.key,
        "baselines": probed.setting,
        "fixed_states": probed.fixed_states_key,
        "clips": probed.film_key,
    }


@pytest.mark.parametrize(
    ("stage", "moved"),
    [
        ("llc", {"llc", "llc settings"}),
        ("states", {"states", "llc", "llc settings", "covariates"}),
        ("episodes", {"episodes", "llc", "llc settings"}),
        ("covariates", {"covariates"}),
        ("probe", {"probe", "baselines", "clips"}),
        ("fixed_states", {"fixed_states"}),
        ("clips", {"clips"}),
        ("levels", None),
        ("train", set()),
    ],
)
def test_a_raised_version_makes_again_what_depends_on_it_and_nothing_else(
    run: Run, monkeypatch: pytest.MonkeyPatch, stage: str, moved: set[str] | None
) -> None:
    before = keys_of(run)
    monkeypatch.setitem(versions.STAGES, stage, STAGES[stage] + 1)
    after = keys_of(run)
    wanted = set(before) if moved is None else moved
    assert {name for name in before if before[name] != after[name]} == wanted


def test_every_stage_that_is_stored_or_derived_has_a_version() -> None:
    assert set(schema.DERIVED) <= set(STAGES)
    assert set(versions._READS) | {o for of in versions._READS.values() for o in of} <= set(STAGES)
    assert version_key("covariates") == {name: STAGES[name] for name in
                                         ("covariates", "states", "levels")}  # fmt: skip


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Let this processor have units for bfloat16, or none."""
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "AVX512")
    return lambda has: monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: has)


def estimate(run: Run, **changes: object) -> llc.Estimate:
    values = {f: getattr(PLAN, f) for f in ("states", "n_states", "batch_size")} | changes
    return plan_estimates(run, LLCPlan(**values), ["end"])[0]


def test_auto_is_named_by_what_it_comes_to(run: Run, rounds: Callable[[bool], None]) -> None:
    rounds(True)
    fast, asked = estimate(run), estimate(run, precision="bfloat16")
    rounds(False)
    slow, full = estimate(run), estimate(run, precision="float32")
    assert (fast.precision, slow.precision) == ("bfloat16", "float32")
    assert fast.key == asked.key != slow.key == full.key
    assert fast.setting == asked.setting != slow.setting == full.setting
    assert fast.settings.precision == "bfloat16"  # a worker without such units does the same


def test_auto_is_full_precision_on_a_gpu_and_without_convolutions(
    run: Run, rounds: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds(True)
    assert estimate(run, device="cuda").precision == "float32"
    monkeypatch.setattr(llc, "load_policy", lambda path: torch.nn.Linear(2, 2))
    assert estimate(run).precision == estimate(run, precision="bfloat16").precision == "float32"


def test_rows_say_how_they_were_made(run: Run, rounds: Callable[[bool], None]) -> None:
    rounds(False)
    (item,) = plan_estimates(run, PLAN, ["end"])
    llc.make(item)
    llc.assemble(run)
    row = pd.read_parquet(run.tables / "llc.parquet").iloc[0]
    said = {name: row[name] for name in ("arm", "version", "precision", "device")}
    assert said == {
        "arm": "coin moved", "version": STAGES["llc"], "precision": "float32", "device": "cpu"
    }  # fmt: skip
    assert row["threads"] == torch.get_num_threads()
    assert isinstance(item.states, StateSetSpec) and item.states.levels == envs.FROZEN_LEVELS
