"""The verbs: each in a file of its own, imported only when it is called."""

from __future__ import annotations

import errno
import importlib
from typing import cast

import click

from trapd import __version__
from trapd.cli import EXIT_INTERRUPTED
from trapd.errors import Unavailable

# verb: where its command stands, and the line that `trapd --help` shows without importing it
_VERBS = {
    "run": ("trapd.cli.run:run", "The daemon: sense, capture, screen, deliver."),
    "demo": (
        "trapd.cli.demo:demo",
        "The whole system on this machine, with real photographs and a real broker.",
    ),
    "replay": ("trapd.cli.offline:replay", "Filter folders of photographs; no store, no broker."),
    "evaluate": ("trapd.cli.offline:evaluate", "Measure a model on labelled photographs."),
    "check": ("trapd.cli.config:check", "Validate a configuration: every error at once."),
    "schema": ("trapd.cli.config:schema", "JSON Schema of the configuration."),
    "doctor": ("trapd.cli.doctor:doctor", "What is missing on this unit, and what to do about it."),
    "walktest": ("trapd.cli.walktest:walktest", "Every trigger with its verdict; nothing published or kept."),
    "status": ("trapd.cli.inspect:status", "Queue, last trigger, last delivery, disk."),
    "events": ("trapd.cli.inspect:events", "Recorded events."),
    "audit": ("trapd.cli.audit:audit", "Judge a sample of the bursts; the miss rate, with its interval."),
    "model": ("trapd.cli.model:model", "Installed models: list, install, test."),
    "keygen": ("trapd.cli.keys:keygen", "A key pair for signing what units are told."),
    "sign": ("trapd.cli.keys:sign", "Sign a document for a topic."),
}


class _LazyGroup(click.Group):
    """Knows its verbs by name; imports one when it is called or asked for its own help."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _VERBS:
            return None
        module, name = _VERBS[cmd_name][0].split(":")
        return cast(click.Command, getattr(importlib.import_module(module), name))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, line) for verb, (_, line) in _VERBS.items()])


@click.command(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="trapd")
def cli() -> None:
    """The camera-trap daemon: a trigger, a burst on disk, a verdict, and delivery when there is a link."""


def call() -> int:
    """The verb that the command line names; its exit code. A reader that has seen enough is click's to see.

    Raises what the verb raises, but for what click itself can say.
    """
    try:
        code = cli.main(prog_name="trapd", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        return EXIT_INTERRUPTED
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise Unavailable(
            f"this cannot be written: {error.strerror}", "make room, or write elsewhere"
        ) from error
    return code if isinstance(code, int) else 0
