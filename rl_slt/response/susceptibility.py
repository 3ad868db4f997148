"""How a number of the policy answers to a tilt of the data towards other states.

    chi = d E[O] / d e at e = 0,   L -> L + e (L' - L),

by linear response `-nbeta Cov(O, L' - L)` over draws of the posterior, O the observable and L' the
mean loss of other states (Baker et al. 2025, arXiv 2504.18274; of RL agents Elliott et al. 2026,
arXiv 2605.08007). Where the posterior is of one component's weights alone, the others held at w*,
it is that component's answer.
"""

from __future__ import annotations

from rl_slt.errors import InputError
from rl_slt.posterior.spectrum import Measured
from rl_slt.response.covariance import covariance
from rl_slt.response.traces import Traces

LOSS = "loss"


def susceptibility(traces: Traces, perturb: str, observable: str = LOSS) -> Measured:
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
    return Measured(
        -traces.nbeta * float(found.value[0, 0]), traces.nbeta * float(found.stderr[0, 0])
    )
