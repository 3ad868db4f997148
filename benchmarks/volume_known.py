"""Free energies of singular problems by three methods, next to the exact one where it is known.

    python benchmarks/volume_known.py [PROBLEM ...]

Each at its own nbeta and gamma, on one thread: integration of the LLC over log nbeta (full-batch
HMC at the resolutions of `rl_slt.known.volumes`), the Gaussian formula, and 512 rays.
"""

from __future__ import annotations

import argparse
import math
import time

import numpy as np
import torch

from rl_slt.known.problems import PROBLEMS
from rl_slt.known.volumes import BELOW
from rl_slt.profile import profile_with
from rl_slt.settings import Settings
from rl_slt.volume.policy import volumes

SINGULAR = ("reduced-rank-zero", "reduced-rank", "softmax-mlp")
DRAWS, GRID = 50_000, 141  # of the exact value


def rank_zero(nbeta: float, sizes: tuple[int, int, int] = (5, 3, 5)) -> tuple[float, float]:
    """The exact free energy of reduced rank at w* = 0, gamma 1, and its Monte Carlo error.

    Given the first factor A `[H, N]` the loss is quadratic in the second, which integrates to
    `det(I + 2 nbeta / M A S A')^(-M/2)`, S the inputs' second moments. With S = I the average over
    A is one over the eigenvalues of the Wishart matrix A A', by quadrature in their logarithms;
    what S changes is an average of ratios near 1 over draws of that integral.
    """
    inputs, hidden, outputs = sizes
    x = PROBLEMS["reduced-rank-zero"]().data.states.double().numpy()
    moments, c, rng = x.T @ x / len(x), 2 * nbeta / outputs, np.random.default_rng(0)
    u = np.linspace(-16, 4.5, GRID)
    eigen = np.exp(np.stack(np.meshgrid(*[u] * hidden, indexing="ij"), -1).reshape(-1, hidden))
    i, j = np.triu_indices(hidden, 1)
    prior = (eigen ** ((inputs - hidden + 1) / 2) * np.exp(-eigen / 2)).prod(1)
    prior *= np.abs(eigen[:, i] - eigen[:, j]).prod(1)
    joint = prior * ((1 + c * eigen) ** (-outputs / 2)).prod(1)
    roots = np.sqrt(eigen[rng.choice(len(joint), DRAWS, p=joint / joint.sum())])
    right = np.linalg.qr(rng.normal(size=(DRAWS, inputs, hidden)))[0]
    a = roots[:, :, None] * right.transpose(
        0, 2, 1
    )  # a rotation on the left changes no determinant
    dets = [
        np.linalg.slogdet(np.eye(hidden) + c * a @ m @ a.transpose(0, 2, 1))[1]
        for m in (moments, np.eye(inputs))
    ]
    ratio = np.exp(-outputs / 2 * (dets[0] - dets[1]))
    value = -math.log(joint.sum() / prior.sum()) - math.log(ratio.mean())
    return value, float(ratio.std() / ratio.mean() / DRAWS**0.5)


def main() -> None:
    """Print a row for each problem and method."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("problems", nargs="*", help="names of known answers")
    torch.set_num_threads(1)
    print("| problem | exact F | method | F | CPU s |\n| --- | --- | --- | --- | --- |")
    for name in parser.parse_args().problems or SINGULAR:
        problem = PROBLEMS[name]()
        exact = "-"
        if name == "reduced-rank-zero":
            value, error = rank_zero(problem.nbeta)
            exact = f"{value:.2f} ± {error:.2f}"
        settings = Settings(localization=problem.localization, gauge="none")
        nbetas = [problem.nbeta * share for share in (*BELOW, 1.0)]
        began = time.process_time()
        _, profile = profile_with(problem.policy, problem.data, settings, nbetas, problem.loss)
        found = volumes(
            problem.policy, problem.data, profile.tail(1), settings, problem.loss, directions=512
        )
        seconds = time.process_time() - began
        for row in found.to_dict("records"):
            said = f"{row['free_energy']:.2f} ± {row['free_energy_stderr']:.2f}"
            if row["status"] == "refused":
                said = f"refused: {row['message']}"
            print(f"| {name} | {exact} | {row['method']} | {said} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
