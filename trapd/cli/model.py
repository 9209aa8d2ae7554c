"""`trapd model`: which models are installed, install one, try one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trapd.cli.options import ANY_PATH, config_option, json_option
from trapd.errors import ConfigurationError, UsageError
from trapd.frozen import asdict

if TYPE_CHECKING:
    from trapd.backends.model_probe import Probe

_models_option = click.option(
    "--models",
    metavar="DIR",
    type=ANY_PATH,
    help="The models folder. Default: models/ below the configuration's storage.path.",
)
_labels_option = click.option(
    "--labels",
    metavar="FILE",
    type=ANY_PATH,
    help="Labels, one a line, for a model without.",
)


@click.group()
def model() -> None:
    """Installed models: list them, install one, try one."""


@model.command("list")
@config_option
@_models_option
@json_option
def listing(config: str | None, models: Path | None, as_json: bool) -> None:
    """The models that filter.model can name."""
    from trapd.backends import model_files

    found = model_files.listing(_folder(config, models))
    if as_json:
        entries = [
            {
                "name": one.name,
                "file": str(one.path),
                "bytes": one.bytes,
                "labels": str(one.labels) if one.labels else None,
                "sha256": one.note.sha256 if one.note else None,
                "source": one.note.source if one.note else None,
                "installed": one.note.installed if one.note else None,
            }
            for one in found
        ]
        click.echo(json.dumps({"models": entries}))
        return
    for one in found:
        source = one.note.source if one.note else "put there by hand"
        click.echo(f"{one.name:24} {one.bytes / 1e6:6.1f} MB  {source}")


@model.command()
@click.argument("source", metavar="FILE|URL")
@click.option("--name", metavar="NAME", help="What to call it. Default: the file's name.")
@click.option("--sha256", metavar="HEX", help="What its sha256 must be; needed for a URL.")
@click.option("--replace", is_flag=True, help="Take the place of an installed model of that name.")
@_labels_option
@config_option
@_models_option
@json_option
@click.pass_context
def install(
    ctx: click.Context,
    source: str,
    name: str | None,
    sha256: str | None,
    replace: bool,
    labels: Path | None,
    config: str | None,
    models: Path | None,
    as_json: bool,
) -> None:
    """Install a model from a file or a URL, once its self-test has passed in three processes."""
    from trapd.backends import model_install
    from trapd.config import find

    folder = models or _configured_folder(find(config))
    if labels is not None and not labels.is_file():
        raise UsageError(f"there is no label file {labels}")
    chosen = name or Path(source).stem.lower()
    shown = model_install.install(
        source, chosen, folder, sha256=sha256, labels=labels, replace=replace, progress=_progress(source)
    )
    _tell(shown, folder / f"{chosen}.tflite", as_json)
    if shown.ok and not as_json:
        click.echo(f"installed as {chosen}: set filter.model: {chosen}")
    ctx.exit(0 if shown.ok else 1)


@model.command()
@click.argument("which", metavar="FILE|NAME")
@_labels_option
@config_option
@_models_option
@json_option
@click.pass_context
def test(
    ctx: click.Context,
    which: str,
    labels: Path | None,
    config: str | None,
    models: Path | None,
    as_json: bool,
) -> None:
    """Say what a model is, self-test it in three processes, time it. Exits with 1 if it is not usable."""
    from trapd.backends import model_files
    from trapd.backends.model_probe import probe

    path = Path(which) if Path(which).is_file() else model_files.find(which, _folder(config, models))
    shown = probe(path, labels=labels or model_files.labels_of(path))
    _tell(shown, path, as_json)
    ctx.exit(0 if shown.ok else 1)


def _folder(config: str | None, models: Path | None) -> Path | None:
    """The models folder; None where nothing names one, and only the models of the package are known."""
    from trapd.config import find

    if models is not None:
        return models
    try:
        path = find(config)
    except ConfigurationError:
        if config is not None:
            raise
        return None
    return _configured_folder(path)


def _configured_folder(config: Path) -> Path:
    from trapd.config import load

    return Path(load(config).settings.storage.path) / "models"


def _tell(shown: Probe, path: Path, as_json: bool) -> None:
    if as_json:
        fields: dict[str, Any] = asdict(shown)
        del fields["values"]
        click.echo(json.dumps({**fields, "file": str(path)}))
        return
    if not shown.ok:
        click.echo(f"not usable: {shown.reason}" + (f" ({shown.hint})" if shown.hint else ""))
        return
    labels = "none: set filter.labels" if shown.labels is None else ", ".join(shown.labels[:8])
    more = "" if shown.labels is None or len(shown.labels) <= 8 else f" and {len(shown.labels) - 8} more"
    means = ", ".join(f"{count} {name}" for name, count in shown.means.items())
    lines = (
        ("layout", shown.layout),
        ("input", f"{shown.input}, pixels {shown.pixels}, {shown.fit}"),
        ("labels", labels + more),
        ("meaning", means or "not known"),
        ("tells", ", ".join(shown.tells) or "empty or not, no classes"),
        ("threshold", shown.threshold),
        ("time", f"{shown.ms} ms a frame on one thread"),
    )
    for name, text in lines:
        click.echo(f"{name:10} {text}")
    if shown.note:
        click.echo(f"{'note':10} {shown.note}")
    click.echo("the self-test passed in three processes")


def _progress(source: str) -> Any:
    """Bytes so far, on a terminal, for what comes over a link."""
    if not source.startswith(("http://", "https://")) or not sys.stderr.isatty():
        return lambda _: None
    return lambda fetched: click.echo(f"\r{fetched / 1e6:.1f} MB", nl=False, err=True)
