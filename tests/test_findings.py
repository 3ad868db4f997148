"""The page of findings holds the numbers that its kept tables give."""

import re
import runpy
import sys
from pathlib import Path

from tests.forked import Forked

ROOT = Path(__file__).parents[1]


def check() -> None:
    sys.argv = ["findings.py", "--check"]
    runpy.run_path(str(ROOT / "studies" / "findings.py"), run_name="__main__")


def test_the_numbers_of_the_findings_are_those_of_the_kept_tables() -> None:
    done = Forked(check).wait()
    assert done.returncode == 0, done.stderr


def test_no_share_of_few_levels_is_certain() -> None:
    """Eight agents without a coin in a hundred levels each do not show that none takes any."""
    assert "[0.00, 0.00]" not in (ROOT / "docs" / "findings.md").read_text()


def test_every_interval_in_the_text_is_one_of_the_tables() -> None:
    page = (ROOT / "docs" / "findings.md").read_text()
    readme = (ROOT / "README.md").read_text()
    readme = readme.partition("**The main finding.**")[2].partition("\n\n")[0]
    number = r"(-?\d[\d.]*)"
    parts = re.findall(r"<!-- \w+ -->.*?<!-- end -->", page, flags=re.S)
    pairs = [*re.findall(rf"\[{number}, {number}\]", " ".join(parts))]
    pairs += re.findall(rf"{number} to {number} \|", " ".join(parts))
    made = [(float(low), float(high)) for low, high in pairs]
    text = re.sub(r"<!-- \w+ -->.*?<!-- end -->", "", page, flags=re.S) + readme
    said = re.findall(rf"\[{number}, {number}\]", text)
    assert len(said) > 5
    for ends in said:
        places = max(len(end.partition(".")[2]) for end in ends)
        want = [float(end) for end in ends]
        assert any(
            all(abs(unit * x - y) <= 0.51 * 10.0**-places for x, y in zip(pair, want, strict=True))
            for pair in made
            for unit in (1, 100)  # or in per cent
        ), f"{ends} is in no table"
