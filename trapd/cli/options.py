"""Options that several verbs share. Imported by every verb, so it imports nothing but click."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click


class FiniteRange(click.FloatRange):
    """A finite number within the bounds; anything else is wrong usage.

    click's own range lets NaN pass: it is neither below the one bound nor above the other.
    """

    name = "number"  # what is wrong "is not a valid number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """As FloatRange, and refuses NaN and the infinities."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


class AnyPath(click.Path):
    """A path; the empty one, which a shell makes of a variable that is not set, is wrong usage.

    Whether it can be read is for whoever reads it: click would refuse all paths for the sake of one.
    """

    def __init__(self, path_type: type[str] | type[Path]) -> None:
        super().__init__(readable=False, path_type=path_type)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As click's own: pathlib would take nothing for the folder that one stands in."""
        if value == "":
            self.fail("the path is empty.", param, ctx)
        return super().convert(value, param, ctx)


ANY_PATH = AnyPath(Path)

config_option = click.option(
    "--config",
    metavar="FILE",
    type=AnyPath(str),
    help="The configuration file. Default: /etc/trapd/config.yaml, else ./config.yaml.",
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")

# For verbs that print nothing but JSON: a program may ask every verb in the same way.
always_json_option = click.option(
    "--json", is_flag=True, expose_value=False, help="Accepted for uniformity: the output is JSON anyway."
)
