"""`trapd demo`: the whole system on any machine, to look at."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from trapd.cli.options import ANY_PATH, FiniteRange
from trapd.cli.words import counted
from trapd.frozen import asdict

if TYPE_CHECKING:
    from trapd.demo.tally import Summary

_EXIT_FAILED = 1


@click.command()
@click.option(
    "--seconds",
    type=FiniteRange(min=1, max=3600),
    default=30,
    show_default=True,
    help="How long triggers fire. The outage and the catch-up take their time even when it is short.",
)
@click.option(
    "--images",
    type=ANY_PATH,
    metavar="DIR",
    help="Your own photographs: a folder of them, or of one sub-folder per burst.",
)
@click.option(
    "--port", type=click.IntRange(1, 65535), help="The port the unit connects to. Default: a free one."
)
@click.option(
    "--broker",
    type=click.Choice(["auto", "embedded", "mosquitto"]),
    default="auto",
    show_default=True,
    help="auto: the embedded one, or Mosquitto where that is not installed.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line; the last one is the summary.")
def demo(seconds: float, images: Path | None, port: int | None, broker: str, as_json: bool) -> int:
    """The whole system on this machine, with real photographs and a real broker.

    Triggers fire, bursts are captured and judged, empties are discarded, the broker's process is ended and
    started again, and a subscriber counts what arrives. Ends with 0 when all that was kept was delivered.
    """
    from trapd.demo.narrator import JsonLines, Lines
    from trapd.demo.scenario import Plan, play

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    outcome = play(Plan(seconds, images, port or 0, broker), JsonLines() if as_json else Lines())
    if as_json:
        click.echo(json.dumps(asdict(outcome.summary)))
    else:
        _print_summary(outcome.summary)
    if outcome.failure is None:
        return 0
    click.echo(f"trapd: the demo did not succeed: {outcome.failure}", err=True)
    return _EXIT_FAILED


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal's signature
    """End the demo and every process it started; also where the shell made it ignore Ctrl-C."""
    raise KeyboardInterrupt


def _print_summary(summary: Summary) -> None:
    refused = summary.triggers - summary.bursts
    arrived = f"{summary.delivered} of the {summary.kept} kept arrived, each with the checksums of its files"
    click.echo(
        f"\n{counted(summary.triggers, 'trigger')}: {counted(summary.bursts, 'burst')}, {refused} refused.\n"
        f"{counted(summary.bursts, 'burst')}: {summary.kept} kept, {summary.discarded} discarded as empty.\n"
        f"{arrived}; {summary.lost} lost, {summary.duplicates} repeated.\n"
        f"The broker was away for {summary.outage_s:.1f} s. All this took {summary.seconds:.0f} s."
    )
