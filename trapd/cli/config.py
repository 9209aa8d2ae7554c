"""`trapd check` and `trapd schema`: what is wrong with a configuration, and what it may hold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trapd.cli.options import always_json_option, config_option, json_option
from trapd.cli.words import counted
from trapd.errors import ConfigurationError, Fault, TrapdError
from trapd.frozen import asdict

if TYPE_CHECKING:
    from trapd.config import Settings

CANNOT_BE_USED = 78  # EX_CONFIG


@click.command()
@config_option
@json_option
@click.pass_context
def check(ctx: click.Context, config: str | None, as_json: bool) -> None:
    """Validate a configuration: every fault at once.

    Ends with 78 on any fault. Warnings do not stop the daemon.
    """
    from trapd.config import find, load, warnings

    name = config or ""
    errors: Sequence[Fault] = ()
    advice: Sequence[Fault] = ()
    try:
        path = find(config)
        name = str(path)
        settings = load(path).settings
        tells, doubt = _classes_told(settings)
        advice = (*warnings(settings, tells), *doubt)
    except ConfigurationError as error:
        errors = error.faults or (Fault("", error.message, error.hint),)
    if as_json:
        found = {"ok": not errors, "errors": _plain(errors), "warnings": _plain(advice)}
        click.echo(json.dumps(found, ensure_ascii=False))
    else:
        _tell(Path(name).name or "configuration", errors, advice)
    ctx.exit(CANNOT_BE_USED if errors else 0)


@click.command()
@always_json_option
def schema() -> None:
    """Print the JSON Schema of the configuration."""
    from trapd.config import json_schema

    click.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))


def _classes_told(settings: Settings) -> tuple[frozenset[str] | None, tuple[Fault, ...]]:
    """The classes the configured model can tell, or the reason why that is not known."""
    if settings.filter.backend == "none":
        return None, ()
    try:
        from trapd.parts import tells_of

        return tells_of(settings), ()
    except (TrapdError, ImportError, OSError) as error:
        # A unit without a model works and keeps every burst, so this is no fault of the configuration.
        message, hint = (error.message, error.hint) if isinstance(error, TrapdError) else (str(error), "")
        return None, (Fault("filter.model", f"cannot be used, every burst would be kept: {message}", hint),)


def _tell(file: str, errors: Sequence[Fault], advice: Sequence[Fault]) -> None:
    for fault in errors:
        click.echo(_line(fault, file))
    for fault in advice:
        click.echo(f"warning: {_line(fault, file)}")
    count = counted(len(advice), "warning")
    if errors:
        click.echo(f"{file} cannot be used: {counted(len(errors), 'fault')}")
    else:
        click.echo(f"{file} is sound" + (f", with {count}" if advice else ""))


def _line(fault: Fault, file: str) -> str:
    hint = f" ({fault.hint})" if fault.hint else ""
    return f"{fault.path or file}: {fault.message}{hint}"


def _plain(faults: Sequence[Fault]) -> list[dict[str, str]]:
    return [asdict(fault) for fault in faults]
