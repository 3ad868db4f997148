"""Settings of an estimate: refused in one form, old names deprecated, cheap to import."""

import subprocess
import sys
from typing import Any

import pytest

from rl_slt import InputError, Settings, estimate_llc
from tests.rl_slt.small_policy import TwoHeads, data


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"chains": 1}, "chains=1: must be an integer at least 2"),
        ({"draws": 7}, "draws=7: must be an integer at least 8, or none"),
        ({"draws": True}, "draws=True: must be an integer at least 8, or none"),
        ({"burn_in": 1.5}, "burn_in=1.5: must be an integer at least 0"),
        ({"nbeta": float("nan")}, "nbeta=nan: must be a finite number at least 0, or relative:X"),
        ({"localization": -1}, "localization=-1: must be a finite number at least 0"),
        ({"localization": "one"}, "localization='one': must be a finite number at least 0, or"),
        ({"nbeta": "relative:0"}, "nbeta='relative:0': must be a finite number at least 0, or"),
        ({"match_entropy": 0.0}, "match_entropy=0.0: must be a finite number above 0, or none"),
        ({"precision": "double"}, "precision='double': must be auto, float32 or bfloat16"),
        ({"chain": 4}, "chain: unknown setting; allowed: sampler, nbeta"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_form(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        Settings(**given)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("seed", [-1, 1.5, "1", True, 2**31])
def test_a_wrong_seed_is_refused_in_the_same_form(seed: Any) -> None:
    with pytest.raises(InputError) as caught:
        estimate_llc(TwoHeads(), data(), seed=seed)
    assert str(caught.value) == f"seed={seed!r}: must be an integer from 0 to 2147483647"


@pytest.mark.filterwarnings("ignore::rl_slt.errors.ConvergenceWarning")
def test_the_old_names_of_settings_work_and_warn() -> None:
    with pytest.warns(DeprecationWarning, match="whitening is deprecated; it is now called prec"):
        assert Settings(whitening=3) == Settings(preconditioner_rank=3)  # type: ignore[call-arg]
    small: dict[str, Any] = {"chains": 2, "draws": 8, "burn_in": 2}
    with pytest.warns(DeprecationWarning, match="whitening is deprecated"):
        e = estimate_llc(TwoHeads(), data(), **small | {"whitening": 3})
    assert e.info["rank"] == 3
    with pytest.warns(DeprecationWarning, match="data_error is deprecated; it is now called stat"):
        e = estimate_llc(TwoHeads(), data(), **small | {"data_error": False})
    assert e.stderr_data is None


def test_every_setting_that_people_type_says_what_it_is() -> None:
    missing = {name for name, text in Settings.descriptions().items() if not text}
    assert missing == {"sampler"}  # its text is that of the registry


def test_settings_load_neither_torch_nor_pandas() -> None:
    code = "import rl_slt.settings, sys; sys.exit(bool({'torch', 'pandas'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
