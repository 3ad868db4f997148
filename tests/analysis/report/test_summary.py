"""What the summary says, and what it does not."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from analysis.report import StudyData, build_summary, load_study, to_markdown
from analysis.report.headline import question
from analysis.report.sentences import association_sentence
from analysis.transitions import AT_EDGE


@pytest.fixture
def data(demo: Path) -> StudyData:
    return load_study(demo)


def with_probe(data: StudyData, run: str, value: float, low: float, high: float) -> StudyData:
    probes = data.table("probes").copy()
    mine = (
        (probes["run"] == run) & (probes["probe"] == "behind") & (probes["metric"] == "coin_rate")
    )
    probes.loc[mine, ["value", "ci_low", "ci_high"]] = [value, low, high]
    return replace(data, tables={**data.tables, "probes": probes})


def test_the_goal_comes_first_with_its_numbers(data: StudyData) -> None:
    some = with_probe(with_probe(data, "end-s0", 0.02, 0.0, 0.07), "behind-s0", 0.81, 0.7, 0.89)
    line = build_summary(some)["sentences"][0]
    assert "arm “end” 0.02 [0.00, 0.07], arm “behind” 0.81 [0.70, 0.89]; a script" in line
    assert line.endswith("these two agents: +0.79 [+0.67, +0.87].")  # MOVER: no episodes of agents


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((0.02, 0.0, 0.07), (0.81, 0.7, 0.89)),  # apart
        ((0.5, 0.4, 0.6), (0.62, 0.55, 0.7)),  # overlapping
        ((0.5, 0.4, 0.6), (0.7, 0.6, 0.8)),  # touching
        ((0.5, math.nan, math.nan), (0.7, 0.6, 0.8)),  # none
    ],
)
def test_no_sentence_claims_a_difference_or_none_from_intervals(
    data: StudyData, first: tuple[float, ...], second: tuple[float, ...]
) -> None:
    some = with_probe(with_probe(data, "end-s0", *first), "behind-s0", *second)
    summary = build_summary(some)
    for line in summary["sentences"]:
        assert not re.search(r"overlap|apart|differ|distinguish|\bequal|more than|less than", line)
    assert "apart" not in summary["comparisons"][0]
    for value, low, high in (first, second):
        given = "no interval" if math.isnan(low) else f"{low:.2f}, {high:.2f}"
        assert f"{value:.2f} [{given}]" in summary["sentences"][0]


def test_llc_at_the_last_checkpoint_with_its_total_error(data: StudyData) -> None:
    llc = data.table("llc")
    last = llc[(llc["run"] == "end-s0") & (llc["states"] == "frozen")].sort_values("step").iloc[-1]
    score = build_summary(data)["arms"][0]["llc"]["frozen"]
    assert score["value"] == last["llc"] and score["status"] == ["ok"]
    assert score["high"] - score["value"] == pytest.approx(1.959964 * last["llc_stderr_total"])


def test_with_one_sound_seed_the_interval_is_that_seeds_own(large_data: StudyData) -> None:
    llc = large_data.table("llc").copy()
    last = (llc["arm"] == "end") & (llc["step"] == llc["step"].max())
    others = last & (llc["run"] != "end-s7")
    llc.loc[others, "llc"], llc.loc[others, "status"] = math.nan, "failed"
    one = llc[last & (llc["run"] == "end-s7") & (llc["states"] == "frozen")].iloc[0]
    some = replace(large_data, tables={**large_data.tables, "llc": llc})
    score = build_summary(some)["arms"][0]["llc"]["frozen"]
    assert score["seeds"] == 1 and score["value"] == one["llc"]
    assert score["high"] - score["value"] == pytest.approx(1.959964 * one["llc_stderr_total"])


def test_an_unsound_estimate_is_not_compared(data: StudyData) -> None:
    assert "“behind” less “end”, these two agents" in build_summary(data)["sentences"][2]
    llc = data.table("llc").copy()
    last = (llc["run"] == "behind-s0") & (llc["step"] == llc["step"].max())
    llc.loc[last, "status"] = "suspect"
    line = build_summary(replace(data, tables={**data.tables, "llc": llc}))["sentences"][2]
    assert "That of behind did not pass its checks" in line and "less" not in line


def failing(data: StudyData, runs: str, value: float = 1e6) -> StudyData:
    """The study whose last estimates of the runs (a pattern) failed, with a number all the same."""
    llc = data.table("llc").copy()
    last = llc["run"].str.fullmatch(runs) & (llc["step"] == llc["step"].max())
    llc.loc[last, "llc"], llc.loc[last, "status"] = value, "failed"
    return replace(data, tables={**data.tables, "llc": llc})


def test_a_failed_estimate_is_part_of_no_number(data: StudyData, large_data: StudyData) -> None:
    some = build_summary(failing(large_data, "end-s[0-4]"))["arms"][0]["llc"]["frozen"]
    assert some["seeds"] == 5 and some["value"] < 100 and some["status"] == ["failed", "ok"]
    one = build_summary(failing(data, "end-s0"))
    assert one["arms"][0]["llc"]["frozen"]["value"] is None
    assert "Of end every estimate failed." in one["sentences"][2]
    assert "less" not in one["sentences"][2] and "arm “behind”" in one["sentences"][2]
    assert not any(c["kind"] == "llc" for c in one["comparisons"])
    none = build_summary(failing(data, ".*"))
    line = next(line for line in none["sentences"] if line.startswith("LLC of the last"))
    assert ": none. Of end and behind every estimate failed." in line
    page = to_markdown(none)
    assert "1000000.0" not in page and "| LLC on one shared, frozen set of states | – | – |" in page


def test_several_unsound_arms_are_in_the_plural(data: StudyData) -> None:
    llc = data.table("llc").assign(status="suspect")
    line = build_summary(replace(data, tables={**data.tables, "llc": llc}))["sentences"][2]
    assert "Those of end and behind did not pass their checks" in line


def test_the_expected_number_of_false_transitions_is_said(data: StudyData) -> None:
    def sentence(table: pd.DataFrame) -> str:
        known = replace(data, tables={**data.tables, "transitions": table})
        return next(s for s in build_summary(known)["sentences"] if "transition" in s)

    table = data.table("transitions").assign(status="")
    assert "2 transitions of the LLC and 2 of probe outcomes." in sentence(table)
    expected = "Of 40 series tested 4 change at a false discovery rate of 5 %: about 0.08 of them"
    assert expected in sentence(table)
    llc = table["series"].str.startswith("llc")
    trend = table.assign(kind=table["kind"].mask(llc, "trend"))
    assert "0 transitions of the LLC and 2 of probe outcomes." in sentence(trend)
    edge = table.assign(status=[AT_EDGE, *[""] * (len(table) - 1)])
    assert f"and 2 of probe outcomes, 1 {AT_EDGE}." in sentence(edge)


def test_what_changes_where_goals_come_apart_is_said_with_its_begin_and_end(
    data: StudyData, large_data: StudyData
) -> None:
    """A trend is no transition, but 0.40 to 0.96 is not left out for it."""

    def sentence(of: StudyData, **change: object) -> str:
        rows = [
            {"run": run.name, "arm": run.arm, "series": "probe:behind:coin_rate", "step": 57344,
             "step_low": 0, "step_high": 802816, "kind": "trend", "change": 0.48,
             "change_low": 0.39, "change_high": 0.57, "status": ""} | change
            for run in of.runs_of("behind")
        ]  # fmt: skip
        known = replace(of, tables={**of.tables, "transitions": pd.DataFrame(rows)})
        return next(s for s in build_summary(known)["sentences"] if "transitions of the" in s)

    one = sentence(data)
    assert "0 transitions of the LLC and 0 of probe outcomes" in one
    assert (
        "Coin behind the agent: coin collected: arm “end” no change found; arm “behind” a steady "
        "rise without a plateau (a trend) of +0.48 [+0.39, +0.57] from step 0 to 802,816."
    ) in one
    edge = sentence(data, kind="fall", change=-0.4, change_low=None, status=AT_EDGE)
    assert f"a fall of -0.40 from step 0 to 802,816, {AT_EDGE}." in edge
    many = sentence(large_data)
    assert "arm “behind” a steady rise without a plateau (a trend) in 10 of 10 runs." in many


def test_one_seed_is_called_a_single_draw_and_ten_are_not(
    data: StudyData, large_data: StudyData
) -> None:
    assert "single draw" in build_summary(data)["limits"][0]
    many = build_summary(large_data)
    assert not any("single draw" in line for line in many["limits"])
    assert many["arms"][0]["probes"]["behind"]["seeds"] == 10


def test_warnings_are_counted_with_their_reasons(data: StudyData) -> None:
    summary = build_summary(data)
    assert len(summary["warnings"]) == 4
    assert {w["message"] for w in summary["warnings"]} == {
        "R-hat 1.21 is above 1.05", "chain 2 diverged"
    }  # fmt: skip
    assert "4 LLC estimates are marked as not sound" in summary["sentences"][-1]


def test_warnings_that_differ_in_numbers_alone_are_one_row(data: StudyData) -> None:
    llc = data.table("llc").copy()
    ok = llc.index[llc["status"].eq("ok")]
    llc.loc[ok, "status"] = "suspect"
    llc.loc[ok, "message"] = [
        f"R-hat 1.{k + 10} is above 1.05; effective sample size {k} is below 50"
        for k in range(len(ok))
    ]
    summary = build_summary(replace(data, tables=data.tables | {"llc": llc}))
    rhat, size, *rest = summary["reasons"]
    known = llc["message"].eq("R-hat 1.21 is above 1.05").sum()
    assert (rhat["estimates"], size["estimates"]) == (len(ok) + known, len(ok))
    assert re.fullmatch(r"effective sample size \d+ is below 50", size["reason"])
    assert size["such as"].count("step") == 3
    assert [one["reason"] for one in rest] == ["chain 2 diverged"]
    assert len(summary["warnings"]) > 3 * len(summary["reasons"])
    lines = to_markdown(summary).splitlines()
    assert f"- {len(ok)} suspect: {size['reason']}; such as {size['such as']}" in lines


def test_associations_without_p_values_claim_nothing(
    data: StudyData, large_data: StudyData
) -> None:
    assert any("cannot be tested" in line for line in build_summary(data)["sentences"])
    bare = replace(data, tables={**data.tables, "associations": data.table("associations")[:0]})
    assert any("none is claimed" in line for line in build_summary(bare)["limits"])
    tested = next(s for s in build_summary(large_data)["sentences"] if "exploratory" in s)
    assert "false discovery rate" in tested


def test_without_shared_states_the_llcs_are_not_comparable(data: StudyData) -> None:
    llc = data.table("llc")
    own = replace(data, tables={**data.tables, "llc": llc[llc["states"] == "on-policy"]})
    assert any("no estimates on shared states" in line for line in build_summary(own)["limits"])


def test_estimates_of_different_settings_are_no_common_scale(data: StudyData) -> None:
    said = "not all estimated with the same settings"
    assert not any(said in line for line in build_summary(data)["limits"])
    llc = data.table("llc").copy()
    llc.loc[llc["run"] == "end-s0", "draws"] = 50
    mixed = replace(data, tables={**data.tables, "llc": llc})
    assert any(said in line for line in build_summary(mixed)["limits"])


def test_the_summary_is_plain_json_even_of_nothing(tmp_path: Path, data: StudyData) -> None:
    (tmp_path / "study.json").write_text("{}")
    for one in (data, load_study(tmp_path)):
        summary = build_summary(one)
        assert json.loads(json.dumps(summary, allow_nan=False)) == summary
        assert to_markdown(summary).startswith("# ")


def test_markdown_has_the_numbers_and_nothing_active(data: StudyData) -> None:
    hostile = replace(data, name="<script>alert(1)</script> | [x](javascript:y)")
    page = to_markdown(build_summary(hostile))
    assert "\\<script\\>" in page and "](" not in page
    score = build_summary(data)["arms"][1]["probes"]["behind"]
    assert f"{score['value']:.2f} [{score['low']:.2f}, {score['high']:.2f}]" in page


def test_a_comparison_is_signed_from_first_to_second_arm(data: StudyData) -> None:
    pairs = {(c["kind"], c["name"]): c for c in build_summary(data)["comparisons"]}
    behind = pairs["probes", "behind"]
    assert behind["difference"] == pytest.approx(behind["b_value"] - behind["a_value"])
    assert (behind["a"], behind["b"]) == ("end", "behind")


def test_what_cannot_be_tested_says_why(data: StudyData, large_data: StudyData) -> None:
    def told(note: str | list[str]) -> str:
        table = data.table("associations").assign(p_value=math.nan, note=note)
        return association_sentence(replace(data, tables={**data.tables, "associations": table}))

    assert told("a series never changes").endswith("these data: series that do not change.")
    few = "too few checkpoints in a run, too few seeds."
    assert told("needs 5 runs, has 1").endswith(few)
    rows = len(data.table("associations"))  # the coin rate without a coin is 0 in every study
    assert told(["a series never changes", *["needs 5 runs, has 1"] * (rows - 1)]).endswith(few)
    table = data.table("associations").assign(p_value=0.3, q_value=0.5, p_adjusted=0.9)
    for known, said in (
        ({"statistic": "seed_r", "smallest_effect": 0.871}, "a correlation of last values of 0.871 "
         "or more over runs is found with about 80 %."),
        ({"statistic": "change_r"}, "at most 5 %; no power was computed."),
    ):  # fmt: skip
        missed = replace(data, tables={**data.tables, "associations": table.assign(**known)})
        assert association_sentence(missed).endswith(said)
    some = build_summary(failing(large_data, "end-s[0-4]"))["sentences"]
    (line,) = [one for one in some if one.startswith("LLC of the last")]
    assert "Not every estimate of end passed its checks: no comparison." in line


def test_hardly_any_expected_false_transition_is_not_given_to_many_digits(data: StudyData) -> None:
    table = data.table("transitions").assign(q_value=1e-12)
    known = replace(data, tables={**data.tables, "transitions": table})
    said = next(s for s in build_summary(known)["sentences"] if "transition" in s)
    assert "fewer than 0.01 of them are expected to be false" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "Two agents learn. They differ in 0.5 of levels. Do they differ? (Soon.)",
            "Do they differ?",
        ),
        ("Do they?", "Do they?"),
        ("A study of coins. It has no question.", "A study of coins."),
    ],
)
def test_the_page_opens_with_one_sentence_of_the_question(
    data: StudyData, text: str, said: str
) -> None:
    assert question(replace(data, question=text)) == said
    assert question(replace(data, question="")) == data.words.deck
