"""Reading study folders, whole and broken."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agents import TrainConfig
from analysis.report import build_report, build_summary, load_study, read_progress, return_at
from rl_slt import InputError
from rl_slt.pipeline.commands.plan import open_or_create
from rl_slt.pipeline.plan.study import load_preset


@pytest.fixture
def broken(demo: Path, tmp_path: Path) -> Path:
    """A copy of the small study that a test may damage."""
    return Path(shutil.copytree(demo, tmp_path / "broken"))


def test_a_study_is_read_whole(demo: Path) -> None:
    data = load_study(demo)
    assert list(data.arms) == ["end", "behind"]
    assert data.arms["behind"]["coin"] == "mix:0.5:behind:end"
    assert sorted(run.name for run in data.runs) == ["behind-s0", "end-s0"]
    assert {run.seed for run in data.runs} == {0}
    assert len(data.table("llc")) == 2 * 2 * 13
    assert len(data.table("probes")) == 2 * 13 * (6 * 2 + 6 + 6)
    assert len(data.table("counterfactual")) == 2 * 13 * (5 + 5 + 2) * 2
    assert data.timings["train"] == 540.2
    assert data.missing == []


def test_the_made_up_study_has_the_fields_that_a_real_one_has(demo: Path, tmp_path: Path) -> None:
    open_or_create(load_preset("smoke"), tmp_path / "real")
    made_up, real = (json.loads((p / "study.json").read_text()) for p in (demo, tmp_path / "real"))
    assert set(made_up) == set(real) and set(made_up["settings"]) == set(real["settings"])
    assert set(made_up["settings"]["train"]) <= set(TrainConfig.model_fields)
    for stage in ("llc", "probe"):
        assert set(made_up["settings"][stage]) <= set(real["settings"][stage])
    assert all(isinstance(arm, dict) for arm in [*made_up["arms"].values(), *real["arms"].values()])
    assert {"coin"} <= set.intersection(*map(set, real["arms"].values()))


def test_a_run_alone_is_a_report_of_its_own(demo: Path) -> None:
    data = load_study(demo / "runs" / "end-s0")
    assert list(data.arms) == ["end"]
    assert len(data.table("llc")) == 2 * 13
    assert not (data.table("associations")["run"] == "*").any()
    assert "end-s0" in build_report(data)


def test_an_arm_is_what_the_column_of_the_tables_says(broken: Path) -> None:
    """Neither the folder's name nor the placement counts, and the settings only without tables."""
    for run in broken.glob("runs/*"):
        for table in run.glob("tables/*.parquet"):
            pd.read_parquet(table).assign(arm="low").to_parquet(table)
        run.rename(run.with_name(f"by-hand-{run.name[:2]}"))
    for table in broken.glob("runs/by-hand-*/tables/*.parquet"):
        name = table.parents[1].name
        pd.read_parquet(table).assign(run=name).to_parquet(table)
    (broken / "study.json").unlink()
    data = load_study(broken)
    assert list(data.arms) == ["low"] and {run.arm for run in data.runs} == {"low"}
    assert set(data.table("llc")["arm"]) == {"low"}
    assert len(build_summary(data)["arms"][0]["runs"]) == 2


def test_without_a_column_the_settings_name_the_arm_or_nothing_does(broken: Path) -> None:
    for table in broken.rglob("tables/*.parquet"):
        pd.read_parquet(table).drop(columns="arm").to_parquet(table)
    path = broken / "runs" / "end-s0" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in config.items() if k != "arm"}))
    data = load_study(broken)
    assert {run.name: run.arm for run in data.runs} == {"end-s0": "unnamed", "behind-s0": "behind"}
    assert set(data.table("probes")["arm"]) == {"unnamed", "behind"}
    assert not any("arm" in line and "lacks" in line for line in data.missing)


def test_several_paths_become_one_comparison(demo: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(demo, tmp_path / "other"))
    study = json.loads((other / "study.json").read_text())
    study["name"] = "other"
    (other / "study.json").write_text(json.dumps(study))
    data = load_study([demo, other])
    assert list(data.arms) == ["end", "behind"]
    assert len(data.runs) == 4
    assert len({run.name for run in data.runs}) == 4
    assert {run.name for run in data.runs} == set(data.table("llc")["run"])
    assert any("several runs of seed 0" in line for line in data.missing)
    arms = {arm["name"]: arm for arm in build_summary(data)["arms"]}
    assert len(arms["end"]["runs"]) == len(arms["behind"]["runs"]) == 2
    assert not any("differ in training settings" in line for line in data.missing)


def test_runs_of_one_arm_stay_one_arm_and_a_note_says_how_their_settings_differ(
    demo: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(demo, tmp_path / "other"))
    path = other / "runs" / "behind-s0" / "config.json"
    config = json.loads(path.read_text())
    config["train"] |= {"coin": "behind", "seed": 1}
    config["train"]["ppo"]["gamma"] = 0.9
    path.write_text(json.dumps(config))
    data = load_study([demo, other])
    assert {run.arm for run in data.runs} == set(data.table("llc")["arm"]) == {"end", "behind"}
    note = (
        "Runs of arm behind differ in training settings: coin (mix:0.5:behind:end / behind), "
        "ppo.gamma (0.99 / 0.9)."
    )
    assert data.missing[-1] == note and note in build_report(data)
    arms = {arm["name"]: arm["coin"] for arm in build_summary(data)["arms"]}
    assert arms["behind"] == "mix:0.5:behind:end / behind"


@pytest.mark.parametrize(
    "damages",
    [
        [("study.json", "{", "study.json cannot be read"),
         ("timings.json", None, "timings.json is missing"),
         ("runs/end-s0/config.json", "nonsense", "end-s0/config.json cannot be read")],
        [("study.json", "[]", "study.json does not hold a JSON dict"),
         ("runs/end-s0/progress.csv", None, "end-s0/progress.csv is missing"),
         ("runs/end-s0/tables/llc.parquet", "PAR1", "tables/llc.parquet cannot be read"),
         ("runs/end-s0/clips/clips.json", "{}", "clips.json does not hold a JSON list")],
        [("runs/end-s0/progress.csv", "a,b\n1,2\n", "has no column of steps and returns"),
         ("runs/end-s0/tables/probes.parquet", "", "tables/probes.parquet cannot be read")],
        [("runs/end-s0/progress.csv", "", "end-s0/progress.csv cannot be read")],
    ],
)  # fmt: skip
def test_damaged_files_are_named_and_the_rest_is_shown(
    broken: Path, damages: list[tuple[str, str | None, str]]
) -> None:
    for file, content, _ in damages:
        (broken / file).unlink() if content is None else (broken / file).write_text(content)
    data = load_study(broken)
    page = build_report(data)
    for _, _, said in damages:
        assert any(said in line for line in data.missing), data.missing
        assert said.split()[-1] in page
    assert "behind-s0" in page


def test_a_table_without_a_column_is_used_and_named(broken: Path) -> None:
    path = broken / "runs" / "end-s0" / "tables" / "llc.parquet"
    pd.read_parquet(path).drop(columns=["rhat", "llc_stderr", "llc_stderr_total"]).to_parquet(path)
    data = load_study(broken)
    assert any("lacks the columns llc_stderr, rhat" in line for line in data.missing)
    arms = {arm["name"]: arm for arm in build_summary(data)["arms"]}
    assert arms["end"]["llc"]["frozen"]["value"] is not None
    assert arms["end"]["llc"]["frozen"]["low"] is None


def test_a_table_of_an_earlier_version_is_used_as_it_is(broken: Path) -> None:
    later = ["gauge", "actions", "entropy", "information", "logit_scale", "matched_entropy",
             "trace", "relative_temperature", "kl"]  # fmt: skip
    path = broken / "runs" / "end-s0" / "tables" / "llc.parquet"
    pd.read_parquet(path).drop(columns=later).to_parquet(path)
    data = load_study(broken)
    assert not any("llc.parquet" in line for line in data.missing), data.missing
    old = data.table("llc").query("run == 'end-s0'")
    assert len(old) and old[later].isna().all(axis=None)
    assert "gauge (balanced / not recorded)" in build_summary(data)["sentences"][2]


def test_rows_of_other_runs_are_left_out(broken: Path) -> None:
    path = broken / "runs" / "end-s0" / "tables" / "probes.parquet"
    frame = pd.read_parquet(path)
    pd.concat([frame, frame.head(3).assign(run="stranger")]).to_parquet(path)
    data = load_study(broken)
    assert any("3 rows of other runs" in line for line in data.missing)
    assert "stranger" not in set(data.table("probes")["run"])


def test_the_studys_table_stands_in_and_a_contradiction_is_told(broken: Path) -> None:
    own = broken / "runs" / "end-s0" / "tables" / "llc.parquet"
    frame = pd.read_parquet(own)
    (broken / "runs" / "behind-s0" / "tables" / "llc.parquet").unlink()
    stale = pd.concat([frame.head(4), frame.head(7).assign(run="behind-s0")])
    stale.to_parquet(broken / "tables" / "llc.parquet")
    data = load_study(broken)
    assert data.table("llc")["run"].value_counts().to_dict() == {"end-s0": 26, "behind-s0": 7}
    assert any("the study holds 4 rows of end-s0, the run itself 26" in m for m in data.missing)


def test_an_empty_study_gives_a_page(tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text("{}")
    data = load_study(tmp_path)
    assert any("has no runs yet" in line for line in data.missing)
    page = build_report(data)
    assert "There are no results yet" in page and "has no runs yet" in page
    assert len(page) < 200_000  # no figures, so no plotting library either


def test_runs_without_results_and_arms_without_runs_are_named(broken: Path) -> None:
    (broken / "runs" / "end-s0" / "tables" / "llc.parquet").unlink()
    study = json.loads((broken / "study.json").read_text())
    study["arms"]["later"] = {"coin": "ground"}
    (broken / "study.json").write_text(json.dumps(study))
    data = load_study(broken)
    assert data.missing == [
        "Arm later has no runs yet.",
        "No LLC estimates of end-s0 (table llc).",
    ]
    assert "later" in build_report(data)


def test_a_wrong_path_is_a_users_mistake(tmp_path: Path) -> None:
    for path, said in (
        (tmp_path / "nowhere", "must be a folder of a run"),
        (tmp_path, "with config.json"),
    ):
        with pytest.raises(InputError, match=said) as caught:
            load_study(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="at least one"):
        load_study([])


def test_returns_are_those_known_at_the_step() -> None:
    curve = pd.DataFrame({"step": [100, 200], "ret": [1.0, 2.0]})
    found = return_at(curve, [0.0, 100.0, 150.0, 900.0])
    assert math.isnan(found[0]) and found[1:].tolist() == [1.0, 1.0, 2.0]
    assert np.isnan(return_at(curve.iloc[:0], [5.0])).all()


@pytest.mark.parametrize(
    ("train", "first"),
    [
        ({"num_envs": 64, "time_limit": 100}, 8192),  # at 4,096 no environment has played 100 steps
        ({"num_envs": 64, "time_limit": 100, "from_step": 5000}, 12288),
        ({"num_envs": 8}, 8192),  # the game's own limit, 1000
        ({"num_envs": 8, "game": "maze"}, 4096),  # 500
        ({}, 4096),
        (None, 4096),
        ({"num_envs": "many", "time_limit": [], "game": "moon"}, 4096),
    ],
)
def test_no_return_before_a_full_time_limit(tmp_path: Path, train: object, first: int) -> None:
    path = tmp_path / "progress.csv"
    path.write_text("step,mean_return\n4096,9.3\n8192,2.9\n12288,3.3\n")
    assert read_progress(path, train)["step"].tolist()[0] == first
