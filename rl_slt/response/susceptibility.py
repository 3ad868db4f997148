"""How a number of the policy answers to a tilt of the data towards other states.

    chi = d E[O] / d e at e = 0,   L -> L + e (L' - L),

by linear response `-nbeta Cov(O, L' - L)` over draws of the posterior, O the observable and L' the
mean loss of other states (Baker et al. 2025, arXiv 2504.18274; of RL agents Elliott et al. 2026,
arXiv 2605.08007). Where the posterior is of one component's weights alone, the others held at w*,
it is that component's answer.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from rl_slt.errors import InputError
from rl_slt.response.covariance import covariance
from rl_slt.response.traces import Traces

LOSS = "loss"


class Response(NamedTuple):
    """A susceptibility, its standard error, and the degrees of freedom of this."""

    value: float
    stderr: float
    dof: int


def susceptibility(traces: Traces, perturb: str, observable: str = LOSS) -> Response:
    """The response of an observable to the data moving towards another set, per unit of share.

    Args:
        traces: with at least 16 draws of each chain.
        perturb: name of the set of L'.
        observable: `loss`, the posterior's own L in its unit, or a name of `traces.observables`.

    Raises:
        InputError: the verdict of the estimate is not ok, draws are too few, or there is no such
            set or observable.

    Example:
        >>> e = estimate_llc(policy, states, params="body.conv1.*",
        ...                  traces=Tracing(draws=50, sets={"behind": others}))
        >>> susceptibility(e.traces, "behind")
    """
    traces.require_ok("susceptibility")
    own, known = traces.mean(), (LOSS, *traces.observables)
    if observable not in known:
        raise InputError.of("observable", observable, f"one of {', '.join(known)}")
    observed = own if observable == LOSS else traces.observables[observable]
    found = covariance(observed[..., None], (traces.mean(perturb) - own)[..., None])
    scale = traces.nbeta
    return Response(-scale * float(found.value[0, 0]), scale * float(found.stderr[0, 0]), found.dof)


def told_from_zero(
    value: NDArray[np.float64],
    stderr: NDArray[np.float64],
    dof: NDArray[np.float64],
    level: float = 0.05,
) -> NDArray[np.bool_]:
    """Which of several responses are told from 0, all together (Holm 1979).

    It holds whatever the dependence of responses of one chain; those of other components come from
    chains of their own, where permutations or draws of the maximum would gain next to nothing.

    Args:
        value: `[K]`.
        stderr: `[K]`.
        dof: `[K]`, of Student's t.
        level: probability that any is told from 0 of those that are 0.
    """
    with np.errstate(invalid="ignore", divide="ignore"):  # an observable that never changes
        p = 2 * stats.t.sf(np.abs(value / stderr), dof)
    order = np.argsort(p)
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    told = np.empty(len(p), bool)
    told[order] = steps <= level
    return told
