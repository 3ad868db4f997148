"""The counterfactual probe, on planted policies that see exactly where the coin is."""

import numpy as np
import pandas as pd
import pytest
import torch

import envs
from analysis.probes import (
    SUITES,
    FixedStates,
    collect_fixed_states,
    counterfactual_rows,
    distance_rows,
    run_counterfactual,
)

SUITE = SUITES["demo"].replace(n_levels=8)


@pytest.fixture(scope="module")
def states() -> FixedStates:
    return collect_fixed_states(SUITE)


class Coinward(torch.nn.Module):
    """Goes to the side on which the frame is changed by the coin; knows the frames without it."""

    def __init__(self, states: FixedStates, strength: float) -> None:
        super().__init__()
        self.strength = strength
        absent = (states.table["condition"] == "none").to_numpy()
        self.plain = torch.from_numpy(states.frames[absent]).float()

    def forward(self, obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        change = (obs.float()[:, None] - self.plain[None]).abs().sum(dim=(-1))
        nearest = change.sum(dim=(2, 3)).argmin(dim=1)
        change = change[torch.arange(len(obs)), nearest]
        side = change[:, :, 32:].sum(dim=(1, 2)) - change[:, :, :32].sum(dim=(1, 2))
        logits = torch.zeros(len(obs), 15)
        logits[:, 7] = self.strength * torch.sign(side)
        return logits, torch.sign(side).abs()


def test_frames_differ_by_the_coin_alone(states: FixedStates) -> None:
    table = states.table
    for _, part in table.groupby("level_seed"):
        plain = states.frames[part.index[part["condition"] == "none"][0]].astype(int)
        for i, dx, dy in zip(part.index, part["dx"], part["dy"], strict=True):
            if np.isnan(dx):
                continue
            rows, columns = np.nonzero(np.abs(states.frames[i] - plain).sum(axis=2))
            cell = 64 / 13
            assert abs(columns.mean() - (32 + dx * cell)) < cell
            assert abs(rows.mean() - (32 - dy * cell)) < 1.5 * cell


def test_states_have_coins_on_both_sides_and_none_next_to_the_agent(
    states: FixedStates,
) -> None:
    moved = states.table.query("condition == 'moved'")
    assert moved["dx"].abs().between(2, 6).all()
    assert (moved["dx"] < 0).any() and (moved["dx"] > 0).any()


def test_a_policy_that_goes_to_the_coin_differs_from_one_that_ignores_it(
    states: FixedStates,
) -> None:
    seeking, ignoring, avoiding = (
        run_counterfactual(Coinward(states, strength), states, step=3)
        for strength in (5.0, 0.0, -5.0)
    )
    assert (seeking["toward"] > 0.05).all()
    assert (avoiding["toward"] < -0.05).all()
    for metric in ("kl", "tv", "toward"):
        np.testing.assert_allclose(ignoring[metric], 0, atol=1e-12)
    assert (seeking["value_change"] == 1).all()
    rows = counterfactual_rows(seeking).set_index("metric")
    assert rows["value"]["toward:left"] > 0.05
    left = seeking[(seeking["dx"] < 0) & (seeking["condition"] == "moved")]
    by_level = left.groupby("level_seed")["tv"].mean()
    assert rows["value"]["tv:left"] == pytest.approx(by_level.mean())
    assert rows["n"]["tv:left"] == len(by_level)
    near = distance_rows(seeking).query("side == 'left' and distance == 2 and metric == 'tv'")
    alone = left[left["dx"] == -2].groupby("level_seed")["tv"].mean()
    assert near["value"].item() == pytest.approx(alone.mean())
    assert (near["step"].item(), near["n"].item()) == (3, len(alone))


def test_states_are_visited_not_only_begun(states: FixedStates) -> None:
    """They come from the midst of episodes, one per level, the same ones every time."""
    plain = states.frames[(states.table["condition"] == "none").to_numpy()]
    assert len(plain) == SUITE.n_levels
    begun = [vector_start(level) for level in SUITE.seeds]
    assert sum((a != b).any() for a, b in zip(plain, begun, strict=True)) >= 5
    again = collect_fixed_states(SUITE)
    np.testing.assert_array_equal(again.frames, states.frames)


def vector_start(level: int) -> np.ndarray:
    vector = envs.make_vec(1, "none@mid", (level, level + 1), settings=SUITE.settings)
    frame = vector.reset()[0][0]
    vector.close()
    return np.asarray(frame)


def test_states_survive_being_stored(states: FixedStates) -> None:
    back = FixedStates.from_bytes(states.to_bytes())
    np.testing.assert_array_equal(back.frames, states.frames)
    pd.testing.assert_frame_equal(back.table, states.table)


def test_another_idle_key_is_no_reaction_to_the_coin(states: FixedStates) -> None:
    class Fidgety(Coinward):
        """Does nothing, with one key where the coin lies on the right and another elsewhere."""

        def forward(self, obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            moved, value = super().forward(obs)
            logits = torch.zeros(len(obs), 15)
            logits[torch.arange(len(obs)), torch.where(moved[:, 7] > 0, 12, 4)] = 3.0
            return logits, value

    table = run_counterfactual(Fidgety(states, 2.0), states)
    np.testing.assert_allclose(table[["kl", "tv"]], 0.0, atol=1e-12)


def test_divergences_by_hand(states: FixedStates) -> None:
    """Against the uniform distribution without a coin, in closed form."""
    table = run_counterfactual(Coinward(states, 2.0), states)
    right = table[table["dx"] > 0]
    other = 1 / (14 + np.exp(2))
    p = np.array([other] * 14 + [np.exp(2) * other])
    np.testing.assert_allclose(right["kl"], (p * np.log(15 * p)).sum())
    np.testing.assert_allclose(right["tv"], 0.5 * np.abs(p - 1 / 15).sum())
    np.testing.assert_allclose(right["toward"], p[-1] - other)  # two more of each side cancel
    without = run_counterfactual(Plain(), states)
    assert without["value_change"].isna().all() and (without["kl"] == 0).all()


class Plain(torch.nn.Module):
    """Uniform, and without values."""

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(obs), 15)
