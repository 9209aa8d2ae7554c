"""`trapd keygen` and `trapd sign`: on the operator's machine, never on a unit."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import IO, Any

import click

from trapd.cli.options import ANY_PATH, always_json_option, json_option
from trapd.errors import BadDocument, UsageError

_SEED_BYTES = 32


@click.command()
@click.argument("name", type=ANY_PATH)
@json_option
def keygen(name: Path, as_json: bool) -> None:
    """Make a key pair: NAME.key, which stays secret, and NAME.pub.

    Prints the line for remote.trusted_keys. Never replaces a file.
    """
    from trapd.wire import signing

    if not name.name:
        raise UsageError(f"{name} is a folder, and no name for a key pair", "such as valley")
    secret, public = name.with_name(f"{name.name}.key"), name.with_name(f"{name.name}.pub")
    for file in (secret, public):
        if file.exists():
            raise UsageError(f"{file} is there already", "give another name; a key is never replaced")
    seed, key = signing.generate()
    line = signing.public_line(key)
    _write(secret, base64.b64encode(seed).decode("ascii") + "\n", 0o600)
    _write(public, line + "\n", 0o644)
    if as_json:
        kid = signing.kid_of(key)
        click.echo(json.dumps({"key": str(secret), "pub": str(public), "kid": kid, "trusted_key": line}))
        return
    click.echo(line)
    click.echo(f"{secret} is secret: it is what lets its owner change your units.", err=True)


@click.command()
@click.option("--key", "key_file", metavar="FILE", required=True, type=ANY_PATH)
@click.option("--topic", metavar="T", required=True, help="Where the document will be published.")
@click.argument("document", type=click.File("rb"))
@always_json_option
def sign(key_file: Path, topic: str, document: IO[bytes]) -> None:
    """Print DOCUMENT (a JSON object, - for standard input) with its signature, ready to publish to T."""
    from trapd.wire import inbound, signing

    if not topic or any(sign in topic for sign in "+#\n\0"):
        raise UsageError(f"{topic!r} is no topic to publish to", "give it in full, without wildcards")
    try:
        signed: dict[str, Any] = signing.sign(topic, inbound.document(document.read()), _seed(key_file))
    except BadDocument as error:
        raise UsageError(f"the document cannot be signed: {error.message}", error.hint) from error
    click.echo(json.dumps(signed, ensure_ascii=False, separators=(",", ":")))
    missing = [field for field in _times_of(topic) if field not in signed]
    if missing:
        click.echo(f"every unit will refuse it there: it does not say {' and '.join(missing)}", err=True)


def _times_of(topic: str) -> tuple[str, ...]:
    """What a unit asks of a signed document on this topic."""
    if "/cmd/" in topic:
        return ("issued_at", "expires_at")
    return ("issued_at",) if topic.endswith("/config/desired") else ()


def _write(file: Path, text: str, mode: int) -> None:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}", "") from error
    with os.fdopen(descriptor, "w", encoding="ascii") as out:
        out.write(text)


def _seed(file: Path) -> bytes:
    """Of a NAME.key. No message holds what was read."""
    wrong = UsageError(f"{file} is no key that trapd keygen wrote", "give the .key file, not the .pub")
    try:
        content = file.read_bytes()[:1024]
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}", "") from error
    try:
        seed = base64.b64decode(content.strip(), validate=True)
    except ValueError:
        raise wrong from None
    if len(seed) != _SEED_BYTES:
        raise wrong
    return seed
