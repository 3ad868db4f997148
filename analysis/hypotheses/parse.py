"""Hypotheses from settings, checked by their kinds and together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.hypotheses.hypothesis import Hypothesis
from analysis.hypotheses.kinds import KINDS
from rl_slt import InputError


def parse_hypotheses(values: Sequence[Hypothesis | Mapping[str, Any]]) -> tuple[Hypothesis, ...]:
    """Checked hypotheses.

    Args:
        values: settings of each, or hypotheses as they are.

    Raises:
        InputError: a value is wrong, a name is there twice, or there are two primary ones.
    """
    found = [
        value if isinstance(value, Hypothesis) else Hypothesis.build(value, f"hypothesis.{k}")
        for k, value in enumerate(values)
    ]
    check_together(found)
    return tuple(found)


def check_together(hypotheses: Sequence[Hypothesis]) -> None:
    """Raise InputError where a kind lacks what it needs, or two hypotheses do not go together.

    A name may be there once, and there is one primary hypothesis at most.

    Args:
        hypotheses: all of a study.
    """
    for hypothesis in hypotheses:
        kind, given = KINDS[hypothesis.kind], hypothesis.given
        try:
            if given and kind.no_controls:
                text = f"left out for kind {hypothesis.kind}"
                raise InputError.of("given", list(given), text, kind.no_controls)
            kind.check(hypothesis)
        except InputError as error:
            raise InputError(f"hypothesis {hypothesis.name!r}: {error}") from None
    names = [h.name for h in hypotheses]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError.of("hypothesis.name", twice, "the name of one hypothesis only")
    first, *more = [h.name for h in hypotheses if h.role == "primary"] or [""]
    if more:
        raise InputError.of("hypothesis.role", "primary", f"that of one hypothesis, {first!r}",
                            f"call {more[0]!r} secondary")  # fmt: skip
