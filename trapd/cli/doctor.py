"""`trapd doctor`: what is missing on this unit, and what to do about it."""

from __future__ import annotations

import json

import click

from trapd.cli.options import config_option, json_option
from trapd.frozen import asdict


@click.command()
@config_option
@json_option
@click.pass_context
def doctor(ctx: click.Context, config: str | None, as_json: bool) -> None:
    """Look at what the unit needs, one line each, with what to do.

    Storage, disk, clock, libraries, permissions, model, camera, sensor (with each pin's level now), LED,
    reboot, password and broker, by the configuration in force. Beside the daemon too, whose camera and pins
    it leaves alone. Exits with 1 if the unit would not work. It works without the broker and delivers later,
    so one that is away is only a warning; one that refuses the unit is not.
    """
    from trapd.config import Here, find
    from trapd.doctor import examine
    from trapd.remote.start import in_force

    findings = []
    for finding in examine(in_force(find(config), Here()).loaded):
        findings.append(finding)
        if not as_json:
            mark = ("warn" if finding.warning else "ok  ") if finding.ok else "FAIL"
            hint = f"  ({finding.hint})" if finding.hint else ""
            click.echo(f"{mark} {finding.name:14} {finding.message}{hint}")
    ok = all(finding.ok for finding in findings)
    if as_json:
        click.echo(json.dumps({"ok": ok, "findings": [asdict(finding) for finding in findings]}))
    ctx.exit(0 if ok else 1)
