"""What `rl-slt watch` prints of its events."""

from rl_slt.cli.commands import _line

ESTIMATE = {"event": "estimate", "step": 4096, "llc": 3.0, "status": "ok", "message": ""}
CHANGE = {"event": "transition", "kind": "rise", "change": 4.0, "step": 9, "step_low": 4,
          "step_high": 9, "p_value": 1e-4, "level": 1e-3}  # fmt: skip


def test_an_estimate_says_which_error_it_has() -> None:
    """One whose error over states is unknown ended in a traceback."""
    assert "3.00 ± 0.50  ###" in _line(ESTIMATE | {"stderr": 0.4, "stderr_total": 0.5})
    assert "3.00 ± 0.40 over chains  ###" in _line(ESTIMATE | {"stderr": 0.4, "stderr_total": None})
    assert "3.00  ###" in _line(ESTIMATE | {"stderr": None, "stderr_total": None})


def test_a_doubtful_estimate_says_why() -> None:
    errors = {"stderr": 0.4, "stderr_total": 0.5, "message": "R-hat 1.06 is above 1.05"}
    assert _line(ESTIMATE | errors | {"status": "suspect"}).endswith(
        "3.00 ± 0.50  ### (suspect): R-hat 1.06 is above 1.05"
    )
    assert _line(ESTIMATE | errors | {"status": "failed", "llc": None}).endswith(
        "no LLC (failed): R-hat 1.06 is above 1.05"
    )


def test_a_change_at_the_edge_is_no_transition_yet() -> None:
    assert _line(CHANGE | {"status": ""}).startswith("TRANSITION: rise")
    edge = _line(CHANGE | {"status": "at the edge, unconfirmed"})
    assert edge.startswith("possible transition: rise") and edge.endswith(
        ", at the edge, unconfirmed"
    )
