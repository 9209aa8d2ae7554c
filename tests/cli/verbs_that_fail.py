"""Verbs that end in each way a verb can end; tests put them in trapd's list."""

from __future__ import annotations

import click

from trapd.errors import (
    CameraUnavailable,
    ConfigurationError,
    Fault,
    StageFailed,
    StoreFull,
    StoreLocked,
    UsageError,
)

ERRORS: dict[str, BaseException] = {
    "configuration": ConfigurationError(
        "unit.yaml has 2 faults",
        (Fault("unit.id", "is required", "such as ridge-07"), Fault("mqtt.port", "is 'x'")),
    ),
    "usage": UsageError("there is no store", "name another"),
    "locked": StoreLocked("another trapd (process 7) uses it", "stop it"),
    "full": StoreFull("no space left", "free some"),
    "camera": CameraUnavailable("no camera answers", "look at the cable"),
    "stage": StageFailed("stage capture failed: broken"),
    "bad-parameter": click.BadParameter("no such thing"),
    "click": click.ClickException("did not work"),
    "interrupt": KeyboardInterrupt(),
    "permission": PermissionError(13, "Permission denied", "/var/lib/trapd/models"),
    "bug": ZeroDivisionError("division by zero"),
}


@click.command()
@click.argument("how", type=click.Choice([*ERRORS, "well", "one"]))
@click.pass_context
def end(ctx: click.Context, how: str) -> None:
    """End so."""
    if how in ERRORS:
        raise ERRORS[how]
    ctx.exit(1 if how == "one" else 0)
