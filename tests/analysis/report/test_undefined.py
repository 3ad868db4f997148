"""An estimate without an LLC leaves no number in what is made of the tables."""

import json
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
import pytest

from analysis import associate, detect_transitions, predict_goal, schema, staircase
from analysis.prediction import Task
from analysis.report import build_report, build_summary, load_study
from analysis.report.figures import all_figures
from analysis.report.summary import to_markdown
from analysis.series import llc_series

# What six cases to a fixed reference were given, and were shown with, as `suspect`.
FALLEN = (-14.137, -27.853, -41.219, -63.477, -98.631, -128.459)
REFERENCE = "behind-s0@1000000"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, write_study: Callable[..., Path]) -> Path:
    """Each run's own LLCs, six of them failed with a number, and six to a fixed reference."""
    out = write_study(tmp_path_factory.mktemp("undefined") / "study", checkpoints=7, clips=False)
    for path in out.glob("runs/*/tables/llc.parquet"):
        llc = pd.read_parquet(path)
        own = llc[(llc["states"] == "frozen") & (llc["step"] > 0)]
        fallen = own.assign(
            reference=REFERENCE, llc=FALLEN, llc_stderr=0.5, loss_init=0.3, status="suspect",
            message=[f"the estimate {x} is below zero: w* is not a minimum" for x in FALLEN],
        )  # fmt: skip
        failed = own.assign(loss="nll", llc=FALLEN, status="failed", message="no minimum")
        pd.concat([llc, fallen, failed]).to_parquet(path)
    return out


def numbers_in(text: str) -> set[float]:
    return {float(found) for found in re.findall(r"-?\d+\.\d+", text)}


def test_no_number_is_shown_where_there_is_no_llc(study: Path) -> None:
    data = load_study(study)
    llc = data.table("llc")
    lost = llc["reference"].eq(REFERENCE) | llc["loss"].eq("nll")
    assert (
        lost.sum() == 24 and llc[lost]["llc"].isna().all() and llc[lost]["llc_stderr"].isna().all()
    )
    assert (llc[lost]["status"] == "failed").all() and llc[~lost]["llc"].notna().sum() > 20
    summary = build_summary(data)
    shown = json.dumps(summary) + to_markdown(summary)
    shown += "".join(json.dumps(asdict(figure)) for figure in all_figures(data))
    rounded = {round(value, digits) for value in FALLEN for digits in (1, 2, 3)}
    assert not rounded & numbers_in(shown)
    assert f"to the policy {REFERENCE}" not in shown  # no staircase: the return stands in
    messages = [one["message"] for one in summary["warnings"]]
    assert messages.count("w* is no minimum of the loss") == 12
    assert "critical n" not in re.sub(r"<script.*?</script>", "", build_report(data), flags=re.S)


def test_returns_that_stand_in_for_a_loss_begin_late_where_they_are_played(study: Path) -> None:
    data = load_study(study)
    exact = [replace(run, config={"train": run.train | {"trainer": "exact"}}) for run in data.runs]
    for runs, played in ((data.runs, True), (exact, False)):
        figures = all_figures(replace(data, runs=runs))
        caption = next(figure.caption for figure in figures if figure.id == "staircase")
        assert "the training return stands in for it" in caption
        assert ("every environment has played for a full time limit" in caption) == played


def test_nothing_is_derived_where_there_is_no_llc(study: Path) -> None:
    llc = pd.concat([pd.read_parquet(p) for p in study.glob("runs/*/tables/llc.parquet")])
    probes = pd.concat([pd.read_parquet(p) for p in study.glob("runs/*/tables/probes.parquet")])
    llc = llc[llc["reference"].eq(REFERENCE)]
    assert staircase(llc).empty
    series = llc_series(llc)
    assert series["value"].isna().all()
    one = series[series["run"] == "end-s0"]
    assert detect_transitions(one["step"], one["value"], one["stderr"]).empty
    found = associate(llc, probes[probes["probe"] == "behind"])
    assert found["value"].isna().all() and found["p_value"].isna().all()
    predicted = predict_goal(llc, probes, pd.DataFrame({"run": [], "step": []}))
    assert predicted[predicted["model"] != "mean"]["rmse"].isna().all()


def test_a_change_of_the_llc_is_known_between_two_llcs_alone(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint after a failed one has no change: it was taken as 0."""
    seen: list[Task] = []

    def noted(task: Task) -> list[dict[str, object]]:
        seen.append(task)
        return []

    monkeypatch.setattr("analysis.prediction._models", noted)
    llc = pd.read_parquet(study / "runs" / "end-s0" / "tables" / "llc.parquet")
    llc = llc[llc["reference"].eq("self") & llc["loss"].eq("kl") & llc["states"].eq("on-policy")]
    probes = pd.read_parquet(study / "runs" / "end-s0" / "tables" / "probes.parquet")
    probes = probes[probes["probe"].eq("behind") & probes["metric"].eq("coin_rate")]
    predict_goal(llc, probes, pd.DataFrame({"run": [], "step": []}))
    steps, lost = llc["step"].tolist(), llc["step"][llc["status"] == "failed"].tolist()
    (task,) = seen
    at = steps.index(lost[0])
    assert list(task.steps) == [s for i, s in enumerate(steps[:-1]) if i not in (at, at + 1)]
    assert len(set(task.own[0, :, 1])) == len(task.steps)  # no two changes alike, as zeros would be


def test_a_profile_loses_what_is_made_of_the_llc_and_keeps_the_curvature() -> None:
    row = dict.fromkeys(schema.TABLES["profile"], 0) | {
        "run": "a", "arm": "a", "status": "failed", "llc": 3.0, "llc_stderr": 0.1, "slope": 0.2,
        "slope_stderr": 0.1, "free_energy": 5.0, "free_energy_stderr": 0.1, "half_d_eff": 4.0,
    }  # fmt: skip
    text = [name for name, kind in schema.TABLES["profile"].items() if kind == "s"]
    frame = schema.conform("profile", pd.DataFrame([row]).astype(dict.fromkeys(text, "string")))
    made = ["llc", "llc_stderr", "slope", "slope_stderr", "free_energy", "free_energy_stderr"]
    assert frame[made].isna().all(axis=None) and frame["half_d_eff"].iloc[0] == 4.0
