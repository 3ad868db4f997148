"""Which hypotheses were named before the data: those in the study's file, whose hash was kept."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.hypotheses.hypothesis import Hypothesis
from analysis.hypotheses.parse import parse_hypotheses
from rl_slt import InputError

LATE = "named after the data"


def fixed_hypotheses(file: bytes, sha256: object) -> tuple[Hypothesis, ...]:
    """The hypotheses of the file that a study was started with; none of a file of another hash.

    Args:
        file: `study.toml` of the study's folder, or the settings of a plan made in Python as JSON.
        sha256: hash that was kept when the study started.
    """
    if hashlib.sha256(file).hexdigest() != sha256:
        return ()
    try:
        try:
            values = tomllib.loads(file.decode())
        except tomllib.TOMLDecodeError:
            values = json.loads(file)
        claims = parse_hypotheses(values.get("hypothesis", ()))
        return with_doses(claims, values.get("arms", {}))
    except (ValueError, InputError):  # of another version
        return ()


def with_doses(
    hypotheses: Sequence[Hypothesis], arms: Mapping[str, Mapping[str, Any]]
) -> tuple[Hypothesis, ...]:
    """The hypotheses, those of kind `dose` without numbers with the `dose` of the arms.

    Args:
        hypotheses: of a study.
        arms: settings of each arm by its name, with its `dose` where it has one.
    """
    doses = {arm: own["dose"] for arm, own in arms.items() if "dose" in own}
    return tuple(
        h.replace(doses=doses) if h.kind == "dose" and h.doses is None and doses else h
        for h in hypotheses
    )


def in_time(
    fixed: Sequence[Hypothesis], claims: Sequence[Hypothesis | Mapping[str, Any]]
) -> tuple[Hypothesis, ...]:
    """All that was fixed, then what is claimed and was not: exploratory, its name says `LATE`.

    Args:
        fixed: of `fixed_hypotheses`; each is evaluated, whether it is still claimed or not.
        claims: what `study.json` holds now.

    Raises:
        InputError: a claim is wrong.
    """
    found = {h.name: h for h in fixed}
    for k, claim in enumerate(claims):
        h = claim if isinstance(claim, Hypothesis) else Hypothesis.build(claim, f"hypothesis.{k}")
        if h not in fixed:
            name = called_late(h.name)
            found.setdefault(name, h.replace(name=name, role="exploratory"))
    return tuple(found.values())


def demote(table: pd.DataFrame, fixed: Sequence[Hypothesis]) -> pd.DataFrame:
    """The table `hypotheses` whose primary and secondary rows are all fixed; others explore.

    Args:
        table: table `hypotheses`.
        fixed: those that were fixed before the data.
    """
    known = {(h.name, h.role, h.kind, h.metric or "") for h in fixed}
    rows = zip(table["hypothesis"], table["role"], table["kind"], table["metric"], strict=True)
    late = pd.Series(
        [role != "exploratory" and (name, role, kind, metric) not in known
         for name, role, kind, metric in rows],
        table.index, dtype=bool,
    )  # fmt: skip
    return table.assign(
        role=table["role"].mask(late, "exploratory"),
        hypothesis=table["hypothesis"].mask(late, table["hypothesis"].map(called_late)),
    )


def called_late(name: str) -> str:
    """The name of a hypothesis with the remark that it was named after the data."""
    return name if LATE in name else f"{name} ({LATE})"
