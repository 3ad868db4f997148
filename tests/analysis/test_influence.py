"""The heat map of influences: what is told from zero is to be seen."""

import io

import matplotlib.image
import numpy as np

from analysis.influence import draw_heat_map


def test_no_pair_falls_between_two_pixels() -> None:
    """One told pair in each of 64 rows, in columns of their own among 2,048."""
    rng = np.random.default_rng(0)
    correlation, distinct = np.full((64, 2048), 0.1), np.zeros((64, 2048), bool)
    at = rng.permutation(2048)[:64]
    correlation[np.arange(64), at], distinct[np.arange(64), at] = 0.9, True
    file = io.BytesIO()
    draw_heat_map(correlation, distinct, "").savefig(file, format="png")
    file.seek(0)
    pixels = matplotlib.image.imread(file)
    red = (pixels[..., 0] - pixels[..., 2] > 0.2) & (pixels[..., 1] < 0.4)
    ax = red[:, : int(0.88 * red.shape[1])]  # left of the color bar
    assert len(np.unique(np.flatnonzero(ax.any(0)))) >= 64
