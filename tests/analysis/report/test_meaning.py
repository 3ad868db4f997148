"""An LLC is shown with its resolution, gauge and actions, the policy's sharpness and a profile."""

import math
import re
from dataclasses import replace

import pandas as pd
import pytest

from analysis.report import StudyData, build_report, build_summary, to_markdown
from analysis.report.figures import Figure, Series, find_figure
from analysis.report.queries import llc_rows, matched_rows
from analysis.report.results import series_title
from analysis.report.test_tables import association_tables

PANELS = ["llc", "entropy", "information", "logit_scale"]
SETTING = "relative temperature 50, balanced weights, distinct actions, 2,048 states"


def with_llc(data: StudyData, frame: pd.DataFrame, name: str = "llc") -> StudyData:
    return replace(data, tables={**data.tables, name: frame})


def lines(shown: Figure, panel: str, arm: str = "end") -> list[Series]:
    return [s for s in shown.series if s.panel == panel and s.name == arm]


@pytest.mark.parametrize("name", ["llc", "timeline-0"])
def test_the_policys_sharpness_stands_under_every_llc(data: StudyData, name: str) -> None:
    shown, llc = find_figure(data, name), data.table("llc")
    keys = [p.key for p in shown.panels if p.key.partition(":")[0] in PANELS]
    assert keys == [f"{p}:{states}" for states in ("frozen", "on-policy") for p in PANELS]
    mine = llc[(llc["run"] == "end-s0") & (llc["states"] == "frozen")].sort_values("step")
    for column in PANELS[1:]:
        (line,) = lines(shown, f"{column}:frozen")
        assert (line.x, line.y) == (mine["step"].tolist(), mine[column].tolist())


def test_sharpness_over_seeds_has_a_band(rich: StudyData) -> None:
    *seeds, mean = lines(find_figure(rich, "llc"), "logit_scale:frozen")
    assert len(seeds) == 3 and mean.role == "mean"
    last = [s.y[-1] for s in seeds]
    assert mean.y[-1] == pytest.approx(sum(v for v in last if v is not None) / 3)
    assert mean.low[-1] is not None and mean.y[-1] is not None and 0 <= mean.low[-1] < mean.y[-1]


def test_without_its_columns_the_sharpness_is_left_out_with_a_reason(data: StudyData) -> None:
    shown = find_figure(with_llc(data, data.table("llc").drop(columns=PANELS[1:])), "llc")
    assert [p.key for p in shown.panels] == ["llc:frozen", "llc:on-policy"]
    assert "not in the table, which an earlier version wrote" in shown.caption
    assert "earlier version" not in find_figure(data, "llc").caption


def test_points_of_a_policy_that_hardly_uses_the_state_are_hollow(data: StudyData) -> None:
    shown = find_figure(data, "llc")
    assert lines(shown, "llc:frozen")[0].hollow == [True] + [False] * 12
    all_used = with_llc(data, data.table("llc").assign(information=0.2))
    for name in ("llc", "overview"):
        said = "Hollow points: the policy hardly depends on the state"
        assert said in find_figure(data, name).caption
        assert "Hollow" not in find_figure(all_used, name).caption
        assert "Diamonds: estimates that did not pass" in find_figure(data, name).caption
        sound = with_llc(data, data.table("llc").assign(status="ok"))
        assert "Diamonds" not in find_figure(sound, name).caption
    none_used = build_summary(with_llc(data, data.table("llc").assign(information=0.0)))
    assert "Policies of end and behind hardly depend on the state" in none_used["sentences"][2]
    assert none_used["arms"][0]["llc"]["frozen"]["state_independent"]


def test_the_control_is_dotted_in_the_panel_of_the_headline_and_no_part_of_it(
    rich: StudyData,
) -> None:
    own, control = llc_rows(rich), matched_rows(rich)
    assert own["matched_entropy"].isna().all() and (control["matched_entropy"] == 1.2).all()
    said = "Dotted, a control: the same policies at matched entropy 1.2 nats, equally random."
    for name in ("llc", "timeline-0", "overview"):
        shown = find_figure(rich, name)
        dotted = [s for s in lines(shown, "llc:frozen") if s.dash == "dot"]
        assert {s.note for s in dotted} == {"at matched entropy 1.2 nats"}
        mine = control[control["run"] == "end-s0"].sort_values("step")
        assert dotted[0].y == mine["llc"].tolist()
        assert said in shown.caption
    summary = build_summary(rich)
    assert summary["arms"][0]["matched"]["frozen"]["value"] == pytest.approx(
        control[(control["arm"] == "end") & (control["step"] == 1_000_000)]["llc"].mean()
    )
    assert "A control at matched entropy 1.2 nats: arm “end”" in summary["sentences"][2]
    assert series_title("kl/frozen/matched=1.2") == "on shared states, at matched entropy 1.2 nats"


def test_associations_of_a_control_do_not_stand_in_for_the_headlines(data: StudyData) -> None:
    own = data.table("associations")
    assert association_tables(data)["across"]
    control = own.assign(llc_series="kl/frozen/matched=1.2", value=9.75)
    both = with_llc(data, pd.concat([own, control], ignore_index=True), "associations")
    rows = association_tables(both)["across"]
    assert rows == association_tables(data)["across"]


def test_the_profile_holds_the_tables_numbers_and_its_verdict(data: StudyData) -> None:
    shown, table = find_figure(data, "profile"), data.table("profile")
    mine = table[table["run"] == "end-s0"].sort_values("relative_temperature")
    solid, dashed = lines(shown, "llc:frozen")
    assert solid.x == dashed.x == [5, 15, 50, 150, 500]
    assert solid.y == mine["llc"].tolist() and dashed.y == mine["half_d_eff"].tolist()
    assert (solid.dash, dashed.dash) == ("", "dash")
    half = 1.959963984540054 * mine["half_d_eff_stderr"]
    assert dashed.high == (mine["half_d_eff"] + half).tolist()
    said = "no plateau: an effective dimension at this resolution"
    assert shown.caption.endswith(f"({SETTING.partition(', ')[2]}): {said}.")
    assert [t["label"] for t in shown.axis["ticks"]] == ["5", "15", "50", "150", "500"]
    assert f"its profile: {said}." in build_summary(data)["sentences"][2]


def test_below_the_profile_stands_how_far_it_is_from_a_gaussian_posterior(data: StudyData) -> None:
    shown, table = find_figure(data, "profile"), data.table("profile")
    assert [p.key for p in shown.panels] == ["llc:frozen", "gap:frozen"]
    assert [p.log for p in shown.panels] == [True, False]
    mine = table[table["run"] == "end-s0"].sort_values("relative_temperature")
    (gap,) = lines(shown, "gap:frozen")
    assert gap.x == [5, 15, 50, 150, 500] and gap.y == pytest.approx([100 / 0.96 - 100] * 5)
    relative = ((0.4 / mine["llc"]) ** 2 + (0.2 / mine["half_d_eff"]) ** 2) ** 0.5
    assert gap.high == pytest.approx([*(100 / 0.96 * (1 + 1.959963984540054 * relative) - 100)])
    assert [s.y for s in shown.series if s.role == "baseline"] == [[0.0] * 5]
    lost = table.assign(llc=math.nan, llc_stderr=math.nan, status="failed")
    assert not lines(find_figure(with_llc(data, lost, "profile"), "profile"), "gap:frozen")


def test_the_caption_names_each_llc_far_from_a_gaussian_posteriors(data: StudyData) -> None:
    """Of the headline's resolution and coarser ones."""
    assert "from a Gaussian posterior's" not in find_figure(data, "profile").caption
    table = data.table("profile")
    high = (table["run"] == "end-s0") & (table["relative_temperature"] >= 49.5)
    far = table.assign(llc=table["llc"].mask(high, 0.8 * table["half_d_eff"]))
    caption = find_figure(with_llc(data, far, "profile"), "profile").caption
    row = far[high].sort_values("relative_temperature").iloc[0]
    errors = (row["llc_stderr"] / row["llc"]) ** 2
    errors += (row["half_d_eff_stderr"] / row["half_d_eff"]) ** 2
    width = 80 * 1.959963984540054 * errors**0.5
    wanted = f"(with 95 % intervals): end-s0 -20 % ± {width:.0f} at K = 50."
    assert wanted in caption and "K = 150" not in caption


def test_the_profile_is_that_of_the_last_checkpoint(data: StudyData) -> None:
    table = data.table("profile")
    earlier = table.assign(step=10, llc=1.0, verdict="plateau", setting_id="other")
    both = with_llc(data, pd.concat([table, earlier], ignore_index=True), "profile")
    assert find_figure(both, "profile") == find_figure(data, "profile")


def test_profiles_of_several_seeds_have_a_mean_with_a_band(rich: StudyData) -> None:
    solid = [s for s in lines(find_figure(rich, "profile"), "llc:frozen") if not s.dash]
    assert [s.role for s in solid] == ["seed"] * 3 + ["mean"]
    assert solid[-1].x == [5, 15, 50, 150, 500] and solid[-1].n == [3] * 5


def test_without_a_profile_one_line_names_what_makes_it(data: StudyData) -> None:
    bare = with_llc(data, data.table("profile")[:0], "profile")
    assert "`rl-slt llc RUN --profile` makes one" in find_figure(bare, "profile").missing
    line = build_summary(bare)["sentences"][2]
    assert "not a learning coefficient unless the profile has a plateau" in line


def test_every_form_names_the_setting_of_its_llcs(data: StudyData) -> None:
    summary = build_summary(data)
    assert summary["arms"][0]["llc"]["frozen"]["setting"] == SETTING
    assert f"\nLLCs are at {SETTING}.\n" in to_markdown(summary)
    assert f"LLCs are at {SETTING}</caption>" in build_report(data)
    for name in ("llc", "timeline-0", "staircase"):
        assert f"The LLC is at {SETTING}." in find_figure(data, name).caption
        for panel in find_figure(data, name).panels:
            if panel.key.partition(":")[0] in ("llc", "path"):
                assert panel.y_label == SETTING.replace("relative temperature", "K =")


def test_nothing_is_called_complex_or_simple(rich: StudyData) -> None:
    quiet = replace(rich, question="")
    page = re.sub(r"<script>.*?</script>|<style>.*?</style>", "", build_report(quiet), flags=re.S)
    for text in (page, to_markdown(build_summary(quiet))):
        assert not re.search(r"complexity|more complex|simpler", text)


@pytest.mark.parametrize(
    ("column", "value"),
    [("gauge", "none"), ("actions", "all"), ("n_states", 512), ("relative_temperature", 20.0)],
)
def test_llcs_made_unlike_each_other_are_not_compared(
    data: StudyData, column: str, value: str | float
) -> None:
    def kinds(study: StudyData) -> set[tuple[str, str]]:
        return {(c["kind"], c["name"]) for c in build_summary(study)["comparisons"]}

    assert ("llc", "frozen") in kinds(data)
    llc = data.table("llc").copy()
    llc.loc[llc["run"] == "end-s0", column] = value
    mixed = build_summary(with_llc(data, llc))
    assert not any(c["kind"] == "llc" for c in mixed["comparisons"])
    name = column.replace("n_", "number of ").replace("_", " ")
    assert f"Unequal {name} (" in mixed["sentences"][2]
    assert "less “end”" not in mixed["sentences"][2]
    assert any(f"they differ in {name}" in line for line in mixed["limits"])


def test_llcs_on_states_of_their_own_are_not_compared(data: StudyData) -> None:
    llc = data.table("llc")
    own = build_summary(with_llc(data, llc[llc["states"] == "on-policy"]))
    assert "Unequal states: no comparison." in own["sentences"][2]
    assert not any(c["kind"] == "llc" for c in own["comparisons"])


def test_an_undefined_llc_is_no_number_anywhere(data: StudyData) -> None:
    llc = data.table("llc").assign(llc=math.nan, llc_stderr=math.nan, status="failed")
    summary = build_summary(with_llc(data, llc))
    line = next(line for line in summary["sentences"] if line.startswith("LLC of the last"))
    assert "What it is" not in line and "every estimate failed" in line
