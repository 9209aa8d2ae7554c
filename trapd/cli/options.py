"""Options that several verbs share. Imported by every verb, so it imports nothing but click."""

from __future__ import annotations

import click

config_option = click.option(
    "--config",
    metavar="FILE",
    type=click.Path(),
    help="The configuration file. Default: /etc/trapd/config.yaml, else ./config.yaml.",
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")

# For verbs that print nothing but JSON: a program may ask every verb in the same way.
always_json_option = click.option(
    "--json", is_flag=True, expose_value=False, help="Accepted for uniformity: the output is JSON anyway."
)
