"""What an LLC is a number of, in words."""

import math

import pandas as pd
import pytest

from analysis import meaning

NAN = math.nan


def rows(**columns: object) -> pd.DataFrame:
    base = {"run": ["a-s0", "b-s0"], "loss": "kl", "nbeta": [412.0, 655.0], "n_states": 2048,
            "localization": [120.0, 151.0], "relative_temperature": 50.0, "gauge": "balanced",
            "actions": "distinct", "matched_entropy": NAN, "information": 0.2}  # fmt: skip
    return pd.DataFrame(base | columns)


def test_a_number_at_a_relative_temperature_is_told_with_its_ridge_gauge_actions_and_states() -> (
    None
):
    assert meaning.sentence(rows(), "frozen states") == (
        "LLC at relative temperature 50 (ridge 1 % of the curvature's trace), balanced weights, "
        "distinct actions, 2,048 frozen states: about half the number of directions that the "
        "policy holds fixed at this resolution; not a learning coefficient unless the profile has "
        "a plateau"
    )
    assert meaning.label(rows()) == "K = 50, balanced weights, distinct actions, 2,048 states"


def test_the_plain_llc_is_labeled_with_nbeta_localization_and_gauge() -> None:
    plain = rows(nbeta=2048 / math.log(2048), localization=300.0, gauge="none", actions="all",
                 relative_temperature=[12.0, 35.0])  # fmt: skip
    wanted = "nbeta 269 (N / log N), localization 300"
    assert meaning.setting(plain) == f"{wanted}, weights as given, all actions, 2,048 states"
    assert meaning.sentence(plain, "frozen states").startswith(
        f"plain LLC at {wanted}, relative temperature 12 to 35, weights as given, all actions"
    )
    one = plain.head(1)  # one K alone does not make it an LLC at a chosen temperature
    assert meaning.setting(one).startswith(wanted)


def test_what_a_table_does_not_hold_is_said() -> None:
    old = rows().drop(columns=["gauge", "actions", "relative_temperature", "matched_entropy"])
    assert meaning.setting(old) == (
        "nbeta 412 to 655, localization 120 to 151, gauge not recorded, actions not recorded, "
        "2,048 states"
    )


def test_a_control_is_named_by_its_entropy_and_another_loss_by_its_name() -> None:
    control = rows(matched_entropy=1.25, loss="nll")
    assert meaning.setting(control).endswith("2,048 states, at matched entropy 1.25 nats")
    assert "directions that the loss nll holds fixed" in meaning.sentence(control, "own states")


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({}, []),  # nbeta and localization differ, at one relative temperature
        ({"relative_temperature": [50.0, 50.4]}, []),
        ({"relative_temperature": [12.0, 35.0]}, ["relative temperature (12 to 35)"]),
        ({"relative_temperature": [12.0, 35.0], "nbeta": 269.0, "localization": 300.0},
         ["relative temperature (12 to 35)"]),
        ({"relative_temperature": NAN},
         ["nbeta (412 to 655)", "localization (120 to 151)"]),
        ({"relative_temperature": NAN, "nbeta": 269.0, "localization": 300.0}, []),
        ({"gauge": ["balanced", "none"]}, ["gauge (balanced / none)"]),
        ({"actions": ["distinct", "all"]}, ["actions (distinct / all)"]),
        ({"n_states": [1024, 2048]}, ["number of states (1,024 to 2,048)"]),
        ({"loss": ["kl", "nll"]}, ["loss (kl / nll)"]),
        ({"matched_entropy": [1.0, 1.5]}, ["matched entropy (1 to 1.5)"]),
    ],
)  # fmt: skip
def test_unlike_estimates_are_told_apart(columns: dict[str, object], said: list[str]) -> None:
    assert meaning.unequal(rows(**columns)) == said


def test_an_untrained_network_hardly_depends_on_the_state() -> None:
    some = rows(information=[0.0009, 0.0011])
    assert meaning.state_independent(some).tolist() == [True, False]
    assert not meaning.state_independent(some.drop(columns="information")).any()


def test_verdicts_of_profiles_are_counted_over_runs_and_arms() -> None:
    profiles = pd.DataFrame({"run": ["a", "a", "b", "c"], "verdict": ["x", "x", "y", "x"]})
    assert meaning.profile_verdict(profiles) == "x (2 of 3 runs); y (1 of 3 runs)"
    assert meaning.profile_verdict(profiles.iloc[:2]) == "x"
    assert meaning.profile_verdict(profiles.iloc[:0]) == ""
    assert meaning.verdicts({"end": "x", "behind": "x", "none": ""}) == "x"
    assert meaning.verdicts({"end": "x", "behind": "y"}) == "arm “end” x; arm “behind” y"
