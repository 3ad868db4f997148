"""The plot shows every score of every run, and nothing is drawn of an empty table."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from planted_episodes import planted

from analysis.probes import plot_scores, score_episodes
from analysis.probes.plot import PANELS, figure_png
from analysis.probes.records import FIXED_STATE_METRICS
from analysis.schema import conform
from rl_slt import InputError


def scores() -> pd.DataFrame:
    mine, base = planted(0.5, n=20)
    return score_episodes(pd.concat([mine, mine.assign(step=100)]), base, n_draws=50)


def fixed_states(run: str = "r") -> pd.DataFrame:
    rows = [
        {"probe": probe, "metric": metric, "step": step, "value": 0.5 + step / 1000}
        for step in (0, 100)
        for probe, metric in (("counterfactual", "toward:left"), ("readout", "gain:fc"))
    ]
    frame = pd.DataFrame(rows).assign(run=run, ci_low=0.4, ci_high=0.7, n=9)
    return conform("probes", frame)


def drawn(axis: object) -> dict[str, list[float]]:
    lines = axis.lines  # type: ignore[attr-defined]
    return {line.get_label(): list(line.get_ydata()) for line in lines
            if not line.get_label().startswith("_")}  # fmt: skip


def test_every_score_is_drawn_at_every_step() -> None:
    frame = scores()
    figure = plot_scores(frame)
    names = [panel.metric for panel in PANELS if not panel.probe]
    assert len(figure.axes) == len(names)
    for axis, metric in zip(figure.axes, names, strict=True):
        part = frame[(frame["metric"] == metric) & (frame["probe"] != "suite")]
        part = part.groupby("probe").filter(lambda rows: rows["value"].notna().any())
        found = drawn(axis)
        assert set(found) == set(part["probe"])
        for probe, rows in part.groupby("probe"):
            np.testing.assert_allclose(found[str(probe)], rows.sort_values("step")["value"])


def test_runs_stand_side_by_side_with_their_fixed_state_probes() -> None:
    frame = scores()
    two = pd.concat([frame, frame.assign(run="other", value=frame["value"] / 2), fixed_states()])
    figure = plot_scores(two)
    assert [axis.get_title() for axis in figure.axes[:2]] == ["other", "r"]
    assert len(figure.axes) == 2 * 7  # five scores, the pull and the gain
    assert drawn(figure.axes[11]) == {"left": [0.5, 0.6]}  # of the run that has it
    assert drawn(figure.axes[10]) == {}
    row = 2 * [panel.metric for panel in PANELS].index("capability")
    half, whole = (drawn(axis)["end"] for axis in figure.axes[row : row + 2])
    np.testing.assert_allclose(np.multiply(half, 2), whole)
    assert figure_png(figure, dpi=40)[:8] == b"\x89PNG\r\n\x1a\n"


def test_panels_of_fixed_states_are_those_of_the_records() -> None:
    panels = {panel.metric: panel for panel in PANELS if panel.probe}
    families = {m.metric.partition(":")[0] + ":": m for m in FIXED_STATE_METRICS if m.family}
    assert set(families) == {"toward:", "gain:"} and set(families) < set(panels)
    for name, record in families.items():
        low, high = panels[name].limits
        assert panels[name].probe == record.probe and panels[name].label.startswith(record.family)
        assert low < record.bounds[0] and record.bounds[1] < high  # with room for the marks


def test_one_checkpoint_is_points_side_by_side_with_bars() -> None:
    frame = scores()
    axis: Any = plot_scores(frame[frame["step"] == 100]).axes[0]
    rows = frame[(frame["metric"] == PANELS[0].metric) & (frame["step"] == 100)].set_index("probe")
    found = drawn(axis)
    assert len(found) >= 2
    bars = [tuple(c.get_segments()[0][:, 1]) for c in axis.collections]
    for name, value in found.items():
        assert value == [rows.loc[name, "value"]]
        assert (rows.loc[name, "ci_low"], rows.loc[name, "ci_high"]) in bars
    places = {line.get_xdata()[0] for line in axis.lines if line.get_label() in found}
    assert len(places) == len(found) and axis.get_xscale() == "linear"


def test_of_two_modes_sampled_actions_are_drawn() -> None:
    frame = scores()
    both = pd.concat([frame, frame.assign(mode="greedy", value=0.0)])
    assert drawn(plot_scores(both).axes[0]) == drawn(plot_scores(frame).axes[0])


def test_a_table_without_scores_is_refused() -> None:
    with pytest.raises(InputError, match="no scores"):
        plot_scores(fixed_states())
