"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from trapd.cli.verbs import cli


@pytest.mark.parametrize("number", ["nan", "-nan", "NaN", "inf", "-inf", "1e999"])
@pytest.mark.parametrize("option", ["replay . --threshold", "evaluate . --recall", "demo --seconds"])
def test_a_number_that_is_not_finite_is_wrong_usage(option: str, number: str) -> None:
    """NaN is neither below nor above any bound: as a threshold it would discard every animal."""
    result = CliRunner().invoke(cli, [*option.split(), number])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Invalid value" in result.stderr


def test_no_option_takes_a_float_that_may_be_nan() -> None:
    """click's own float types let NaN pass; ours does not."""
    sources = (Path(__file__).parents[2] / "trapd" / "cli").glob("*.py")
    named = [
        path.name
        for path in sources
        if "click.FloatRange(" in path.read_text() or "click.FLOAT" in path.read_text()
    ]
    assert not named


@pytest.mark.parametrize("option", ["replay . --threshold", "evaluate . --recall", "demo --seconds"])
def test_what_is_no_number_is_called_so(option: str) -> None:
    result = CliRunner().invoke(cli, [*option.split(), "0,5"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "'0,5' is not a valid number." in result.stderr


@pytest.mark.parametrize(
    "arguments",
    ["replay", "evaluate", "keygen", "replay . --out", "evaluate . --curves", "check --config", "sign --key"],
)
def test_an_empty_path_is_not_taken_for_the_working_folder(arguments: str) -> None:
    """A shell makes it of a variable that is not set."""
    result = CliRunner().invoke(cli, [*arguments.split(), ""])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "the path is empty" in result.stderr
