"""What was named before the data, and what was not."""

import hashlib

from analysis import demote, fixed_hypotheses, in_time, schema
from analysis.hypotheses import LATE, Hypothesis

TEXT = b"""
[arms.a]
coin = "end"
dose = 0.1
[arms.b]
coin = "behind"
dose = 0.2
[[hypothesis]]
name = "rise"
role = "primary"
kind = "dose"
[[hypothesis]]
name = "link"
kind = "seeds"
metric = "behind/coin_rate"
"""
SHA = hashlib.sha256(TEXT).hexdigest()


def test_the_file_of_the_hash_says_what_was_fixed() -> None:
    rise, link = fixed_hypotheses(TEXT, SHA)
    assert (rise.name, rise.role, rise.doses) == ("rise", "primary", {"a": 0.1, "b": 0.2})
    assert (link.name, link.metric) == ("link", "behind/coin_rate")
    for file, sha in ((TEXT + b" ", SHA), (TEXT, None), (b"", SHA)):
        assert fixed_hypotheses(file, sha) == ()


def test_what_changed_or_came_later_explores_and_what_was_dropped_stays() -> None:
    fixed = fixed_hypotheses(TEXT, SHA)
    changed = fixed[1].replace(metric="ground/coin_rate", role="primary").as_dict()
    added = Hypothesis(name="new", kind="dose", role="primary")
    found = in_time(fixed, [changed, added, changed])
    assert found[:2] == fixed
    assert [(h.name, h.role) for h in found[2:]] == [
        (f"link ({LATE})", "exploratory"), (f"new ({LATE})", "exploratory")
    ]  # fmt: skip


def test_rows_of_a_table_that_were_not_fixed_are_demoted() -> None:
    fixed = fixed_hypotheses(TEXT, SHA)
    claims = [
        ("rise", "primary", "dose", ""),
        ("link", "primary", "seeds", "behind/coin_rate"),
        ("more", "secondary", "arms", ""),
        ("pair", "exploratory", "seeds", "a/b"),
    ]
    columns = ("hypothesis", "role", "kind", "metric")
    rows = [dict(zip(columns, claim, strict=True)) for claim in claims]
    table = (
        schema.empty("hypotheses")
        .reindex(range(4))
        .assign(**{name: [row[name] for row in rows] for name in columns})
    )
    found = demote(table, fixed)
    assert found["role"].tolist() == ["primary", *["exploratory"] * 3]
    assert found["hypothesis"].tolist() == ["rise", f"link ({LATE})", f"more ({LATE})", "pair"]
