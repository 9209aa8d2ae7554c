"""`trapd run`, for whoever asks for its help or gives it what it does not know; see `trapd.cli.daemon`."""

from __future__ import annotations

import click

from trapd.cli.options import config_option


@click.command()
@config_option
def run(config: str | None) -> None:
    """The daemon: sense, capture, screen, deliver.

    Ends with 0 on SIGTERM or Ctrl-C, 1 when a part failed (the service manager starts it again, and
    start-up is recovery), 78 when the local configuration cannot be used.
    """
    from trapd.cli.daemon import run as daemon

    daemon(config)
