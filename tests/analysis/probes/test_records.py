"""Records of probes: one per placement of every suite, with a control on the same levels."""

import pytest

import envs
from analysis.probes import (
    FILMED,
    FIXED_STATE_GOALS,
    FIXED_STATE_METRICS,
    PROBES,
    SCORES,
    SUITES,
    Probe,
    control_of,
    main_metric,
)


@pytest.mark.parametrize("probe", PROBES.values(), ids=lambda probe: probe.placement)
def test_a_record_says_all_that_readers_need(probe: Probe) -> None:
    assert probe.title and probe.text.endswith((".", "?"))
    if probe.icon is None:  # of the gridworld: exact, under no placement of an episode's
        assert probe.metric and probe.control is None and probe.film is None
        return
    assert str(envs.parse_placement(probe.placement)) == probe.placement
    start, coins = probe.icon
    assert (start > 1) == envs.parse_placement(probe.placement).mid
    assert all(0 <= x <= 20 for x in coins) and bool(coins) == (
        main_metric(probe.placement) == "coin_rate"
    )
    assert (probe.film in range(len(FILMED))) == (probe.placement in FILMED)
    if probe.control is not None:
        assert probe.control in PROBES and PROBES[probe.control].control is None


@pytest.mark.parametrize("name", SUITES)
def test_suites_are_made_of_records_and_hold_the_controls_of_theirs(name: str) -> None:
    placements = SUITES[name].placements
    assert set(placements) <= set(PROBES)
    assert {PROBES[p].control for p in placements} - {None} <= set(placements)


def test_controls_and_metrics_of_placements_of_ones_own() -> None:
    assert control_of("behind=3-9") == "none@mid"
    assert control_of("both@mid") == "end@mid"
    assert control_of("at=3,1") == "none"
    assert control_of("end@mid") is control_of("none") is None
    assert main_metric("ground@mid") == "coin_rate" and main_metric("none@mid") == "end_rate"


def test_each_fixed_state_probe_has_one_goal() -> None:
    of_a_grid = [pair for pair in FIXED_STATE_GOALS if pair == ("counterfactual", "toward:cheese")]
    rest = set(FIXED_STATE_GOALS) - set(of_a_grid)
    assert len(of_a_grid) == 1
    assert sorted(probe for probe, _ in rest) == ["counterfactual", "readout"]
    assert len({(m.probe, m.metric) for m in FIXED_STATE_METRICS}) == len(FIXED_STATE_METRICS)


def test_scores_are_in_the_order_of_a_report() -> None:
    shown = [name for name, score in SCORES.items() if score.in_suite]
    assert shown == ["coin_seeking", "preference", "capability", "persistence"]
