"""`trapd walktest`: what the unit would do, for the person who walks before it."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import click

from trapd.cli.options import FiniteRange, config_option, json_option
from trapd.cli.words import counted

if TYPE_CHECKING:
    from trapd.walktest import Step, Summary

_MOST_S = 86_400.0


@click.command()
@config_option
@click.option(
    "--seconds", type=FiniteRange(1, _MOST_S), help="End by itself after so long. Default: on Ctrl-C."
)
@json_option
@click.pass_context
def walktest(ctx: click.Context, config: str | None, seconds: float | None, as_json: bool) -> None:
    """Every trigger with its verdict, as you walk before the unit; Ctrl-C ends it.

    The unit's own sensor, camera, filter and LED, by the configuration in force. Nothing is published and
    nothing is kept: photographs go as soon as they are judged. The daemon has to be stopped for it, for two
    cannot share a camera. Exits with 1 where the camera, the sensor or the model failed to the end.
    """
    from trapd.cli.daemon import leave_if_left_behind, stop_on_signal
    from trapd.config import Here, find
    from trapd.host import logs
    from trapd.remote.start import in_force
    from trapd.walktest import walk

    stop = stop_on_signal()
    loaded = in_force(find(config), Here()).loaded
    logs.set_up("warning", {})
    timer = threading.Timer(seconds, stop.set) if seconds is not None else None
    if timer is not None:
        timer.daemon = True
        timer.start()
    try:
        if as_json:
            summary = walk(loaded, stop=stop, tell=_tell_json)
        else:
            summary = walk(loaded, stop=stop, tell=_tell, begins=_invite)
    finally:
        if timer is not None:
            timer.cancel()
    click.echo(json.dumps({"summary": _fields(summary)}) if as_json else _sentence(summary))
    if summary.failed:
        click.echo(f"trapd: {summary.failed}", err=True)
    status = 1 if summary.alerts or summary.failed else 0
    leave_if_left_behind(status)
    ctx.exit(status)


def _invite() -> None:
    click.echo("Walk before the unit. Ctrl-C ends the test; nothing is published, nothing is kept.")


def _tell_json(step: Step) -> None:
    from trapd.wire.codec import rfc3339

    event = step.event
    if event is None:
        click.echo(json.dumps({"refused": step.refused, "times": step.times}))
        return
    verdict = event.verdict
    fields = {
        "ts": rfc3339(event.moment.wall_ms),
        "sensor": event.trigger.sensor,
        "source": event.trigger.source,
        "frames": len(event.media),
        "verdict": verdict.verdict if verdict else None,
        "score": verdict.score if verdict else None,
        "kept": verdict is None or verdict.keep,
        "ms": verdict.ms if verdict else None,
    }
    click.echo(json.dumps(fields))


def _tell(step: Step) -> None:
    from datetime import datetime

    event = step.event
    if event is None:
        times = f" ({step.times} times)" if step.times > 1 else ""
        stamp = datetime.now().astimezone().strftime("%H:%M:%S")
        click.echo(f"{stamp}  refused: {step.refused}{times}")
        return
    stamp = datetime.fromtimestamp(event.moment.wall_ms / 1000).astimezone().strftime("%H:%M:%S")
    verdict = event.verdict
    name = verdict.verdict if verdict else "unknown"
    score = "   -" if verdict is None or verdict.score is None else f"{verdict.score:.2f}"
    fate = "would be sent" if verdict is None or verdict.keep else "would be discarded"
    click.echo(
        f"{stamp}  {event.trigger.sensor:6} {counted(len(event.media), 'frame'):8}  {name:12} {score}  {fate}"
    )


def _fields(summary: Summary) -> dict[str, Any]:
    return {
        "bursts": summary.bursts,
        "kept": summary.kept,
        "discarded": summary.discarded,
        "unjudged": summary.unjudged,
        "refused": dict(summary.refused),
        "alerts": list(summary.alerts),
        "failed": summary.failed or None,
        "seconds": round(summary.seconds, 1),
    }


def _sentence(summary: Summary) -> str:
    refused = ", ".join(f"{n} {reason}" for reason, n in summary.refused.items())
    unjudged = f", {summary.unjudged} of them not judged" if summary.unjudged else ""
    alerts = f"; trouble: {', '.join(summary.alerts)} (trapd doctor says more)" if summary.alerts else ""
    bursts = counted(summary.bursts, "burst")
    return (
        f"{bursts} in {summary.seconds:.0f} s: {summary.kept} would be sent{unjudged}, "
        f"{summary.discarded} discarded" + (f"; refused: {refused}" if refused else "") + alerts
    )
