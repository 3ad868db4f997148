"""Clips show the very episodes of the suite."""

import io
from typing import Any

import pandas as pd
import torch
from PIL import Image

from analysis.probes import SUITES, pick_levels, render_clip, run_suite

SUITE = SUITES["demo"].replace(n_levels=4, time_limit=60, placements=("behind", "none@mid"))


class Rightish(torch.nn.Module):
    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(len(obs), 15)
        logits[:, 8] = 3.0
        return logits


def test_clip_is_the_episode_of_the_suite() -> None:
    table = run_suite(Rightish(), SUITE, seed=5).query("probe == 'behind'")
    rows: Any = table.head(2).itertuples()
    for row in rows:
        clip = render_clip(Rightish(), "behind", row.level_seed, SUITE, seed=5)
        assert (clip.outcome, clip.first, clip.length) == (row.outcome, row.first, row.length)
        assert clip.frames.shape == (row.length, 64, 64, 3)
        assert str(row.level_seed) in clip.caption
        with Image.open(io.BytesIO(clip.gif)) as gif:
            assert gif.size == (256, 256)
            assert gif.n_frames >= 2
        assert clip.strip.width > 2 * 256


def test_typical_and_surprising_levels() -> None:
    frame = pd.DataFrame({
        "probe": "behind", "policy": "agent", "level_seed": range(6),
        "first": ["end"] * 4 + ["coin", "neither"], "length": [10, 20, 30, 90, 5, 7],
    })  # fmt: skip
    frame = pd.concat([frame, frame.iloc[[4]].assign(level_seed=9)])
    picked = list(pick_levels(frame, "behind", n=1))
    assert picked == [("typical", 1, "end", 4 / 7), ("surprising", 5, "neither", 1 / 7)]
    assert not list(pick_levels(frame, "ground"))
