"""Fields of policies whose directions are known."""

import math

import numpy as np
import pytest
import torch

from analysis.field import draw_fields, policy_field
from analysis.known import Bright
from envs import PLAIN_FLAT, agent_of, coins_of, make_vec, render_states, standing_states
from rl_slt import InputError


def test_agents_stand_where_they_are_put_and_nothing_else_differs() -> None:
    states = standing_states(7, "behind", PLAIN_FLAT)
    assert len(states) > 10
    (coin,) = {coins_of(state) for state in states.values()}
    ((coin_x, _),) = coin
    cells = np.array([*states])
    assert [math.floor(agent_of(state)[0]) for state in states.values()] == cells[:, 0].tolist()
    assert np.abs(cells[:, 0] - coin_x).min() == 2  # none touches the coin
    assert len({len(state) for state in states.values()}) == 1
    # What an environment shows of the same start is the same frame.
    vector = make_vec(1, coin="behind", levels=(7, 8), settings=PLAIN_FLAT, track=True)
    frames, infos = vector.reset()
    x, y = infos["agent_xy"][0]
    vector.close()
    (frame,) = render_states([states[int(x), int(y)]], PLAIN_FLAT)
    assert np.array_equal(frame, frames[0])


def test_a_field_is_what_the_policy_does_there() -> None:
    bare = standing_states(7, "none", PLAIN_FLAT)
    policy = Bright(torch.from_numpy(render_states([*bare.values()], PLAIN_FLAT)))
    field = policy_field(policy, 7, ("end", "none"), PLAIN_FLAT)
    none, end = (field[field["coin"] == coin] for coin in ("none", "end"))
    assert none["right"].tolist() == pytest.approx([-1.0] * len(bare))
    assert none["up"].tolist() == pytest.approx([1.0] * len(bare)) and not none["value"].any()
    last = max(x for x, _ in bare)
    near = end["x"] >= last - 5  # half a view: the coin's column is seen
    assert near.any() and end.loc[near, "right"].tolist() == pytest.approx([1.0] * near.sum())
    assert end.loc[near, "up"].max() < 1e-12 and end.loc[near, "value"].eq(1).all()
    far = end["x"] < last - 7
    assert far.any() and end.loc[far, "right"].tolist() == pytest.approx([-1.0] * far.sum())
    figure = draw_fields({"bright": field}, 7, PLAIN_FLAT)
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles[:2] == [f"bright, coin end: column {last}", "bright, no coin"]
    bare_policy = torch.nn.Sequential(torch.nn.Flatten(), _Cast(), torch.nn.Linear(64 * 64 * 3, 15))
    assert policy_field(bare_policy, 7, ("none",), PLAIN_FLAT)["value"].isna().all()


class _Cast(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.float() / 255


def test_mixtures_have_no_field() -> None:
    with pytest.raises(InputError, match=r"coin='mix:0\.5:end:behind': must be one placement"):
        policy_field(torch.nn.Identity(), 7, ("mix:0.5:end:behind",), PLAIN_FLAT)
