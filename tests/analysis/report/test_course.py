"""The course of the goal: which probe passed one half between which steps."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from analysis.report import StudyData, build_summary, load_study
from analysis.report.course import course_sentences, crossings, first_proxy

STEPS = [0, 4096, 12288, 32768, 98304, 282624]
# As an agent of the demo's arm `behind`: to the left at first, then to the end as well.
SHARES = {
    "behind": [0.40, 0.50, 0.70, 0.89, 0.78, 0.77],
    "end": [0.06, 0.05, 0.00, 0.01, 0.44, 0.86],
    "end@mid": [0.21, 0.16, 0.07, 0.04, 0.57, 0.81],
}


@pytest.fixture
def data(demo: Path) -> StudyData:
    """The small study whose arm `behind` has these shares, each in an interval of 0.09."""
    data = load_study(demo)
    rows = [
        {"run": "behind-s0", "arm": "behind", "step": step, "probe": probe, "metric": "coin_rate",
         "value": value, "ci_low": value - 0.09, "ci_high": value + 0.09, "n": 100}
        for probe, values in SHARES.items() for step, value in zip(STEPS, values, strict=True)
    ]  # fmt: skip
    others = data.table("probes").query("run != 'behind-s0'")
    return replace(data, tables=data.tables | {"probes": pd.concat([others, pd.DataFrame(rows)])})


def test_a_crossing_lies_between_two_steps_that_are_sure(data: StudyData) -> None:
    found = [(one.probe, one.after, one.step, one.up) for one in crossings(data, "behind")]
    assert found == [
        ("behind", 0, 12288, True),  # 0.40 is below one half by its interval, 0.50 is not
        ("end", 32768, 282624, True),
        ("end@mid", 32768, 282624, True),
    ]


def test_going_left_first_is_told_in_words(data: StudyData) -> None:
    assert first_proxy(data, "behind") == "goes left (between steps 0 and 12,288)"
    text = next(line for line in course_sentences(data) if "“behind”" in line)
    assert (
        "coin behind the agent passes one half between steps 0 and 12,288 (0.70 [0.61, 0.79] then)"
        ", while coin at the end, start mid-level is at 0.07 [-0.02, 0.16]: so far it goes left"
    ) in text
    goals = next(line for line in build_summary(data)["headline"] if line.startswith("Goals: "))
    assert "arm “behind” at first goes left (between steps 0 and 12,288)" in goals


@pytest.mark.parametrize(
    ("shares", "when"),
    [([0.5, 0.46, 0.6, 0.52, 0.49, 0.5], "first at step 12,288"),
     ([0.6, 0.46, 0.6, 0.52, 0.49, 0.5], "from the start, at step 0")],
)  # fmt: skip
def test_a_share_that_never_was_surely_below_is_not_said_to_pass_or_to_stay(
    data: StudyData, shares: list[float], when: str
) -> None:
    """Of a share of one half at all checkpoints one in many is surely above by chance."""
    probes = data.table("probes").copy()
    mine = probes["run"].eq("behind-s0") & probes["probe"].eq("behind")
    by_step = pd.Series(shares, STEPS)
    values = probes.loc[mine, "step"].map(by_step)
    for name, off in (("value", 0.0), ("ci_low", -0.09), ("ci_high", 0.09)):
        probes.loc[mine, name] = values + off
    noisy = replace(data, tables=data.tables | {"probes": probes})
    text = next(line for line in course_sentences(noisy) if "“behind”" in line)
    assert f"coin behind the agent is above one half {when} (0.60 [0.51" in text
    assert first_proxy(noisy, "behind") == f"goes left ({when})"


def test_an_agent_that_masters_its_levels_first_has_no_proxy(data: StudyData) -> None:
    assert first_proxy(data, "end") == ""
    probes = data.table("probes").copy()
    early = probes["probe"].eq("end@mid") & probes["run"].eq("behind-s0") & probes["step"].gt(0)
    probes.loc[early, ["value", "ci_low", "ci_high"]] = [0.9, 0.81, 0.99]
    assert first_proxy(replace(data, tables=data.tables | {"probes": probes}), "behind") == ""


def test_a_return_has_a_beginning_and_an_end_but_no_half(data: StudyData) -> None:
    rows = [
        {"run": "behind-s0", "arm": "behind", "step": step, "probe": probe, "metric": metric,
         "value": value, "ci_low": value, "ci_high": value, "n": 25}
        for probe, metric, values in (("apart", "corner_first", [0.1, 0.97]),
                                      ("anywhere", "mean_return", [0.13, 0.79]))
        for step, value in zip((0, 3000), values, strict=True)
    ]  # fmt: skip
    grid = replace(data, tables=data.tables | {"probes": pd.DataFrame(rows)})
    assert [one.probe for one in crossings(grid, "behind")] == ["apart"]
    (text,) = course_sentences(grid)
    assert "corner before cheese passes one half between steps 0 and 3,000" in text
    assert (
        "cheese anywhere: expected discounted return 0.13 [0.13, 0.13] at step 0 and "
        "0.79 [0.79, 0.79] at step 3,000."
    ) in text
    assert "anywhere passes" not in text and "never" not in text


def test_a_fall_is_told_and_what_never_passes(data: StudyData) -> None:
    probes = data.table("probes").copy()
    late = probes["probe"].eq("behind") & probes["run"].eq("behind-s0") & probes["step"].gt(90000)
    probes.loc[late, ["value", "ci_low", "ci_high"]] = [0.1, 0.01, 0.19]
    fallen = replace(data, tables=data.tables | {"probes": probes})
    text = next(line for line in course_sentences(fallen) if "“behind”" in line)
    assert "falls below one half between steps 32,768 and 98,304 (0.10 [0.01, 0.19] then)" in text
    end = next(line for line in course_sentences(data) if "“end”" in line)
    assert "coin behind the agent" in end.split(": never surely above")[0].split("; ")[-1]


def test_over_seeds_the_interval_is_that_of_the_mean(large_data: StudyData) -> None:
    assert all("mean of 10 seeds" in line for line in course_sentences(large_data))
