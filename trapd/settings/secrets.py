"""The broker's password: from the file the configuration names, or from systemd's credential.

Read anew for each connection, on the uplink's thread, so that a changed password needs no restart. Its value
stands in no message, no log and no repr.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from trapd.errors import CredentialUnavailable
from trapd.settings.values import Settings

CREDENTIAL = "mqtt-password"
MAX_BYTES = 4096


class Secret(str):
    """Text that shows itself to `str` alone: not in a repr, an f-string, a log record or a traceback."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret(hidden)"

    def __format__(self, spec: str) -> str:
        return "hidden"


def mqtt_password(settings: Settings, environ: Mapping[str, str]) -> Secret | None:
    """The password for the broker; None where none is configured.

    `mqtt.password_file` if set, else `mqtt-password` in the folder CREDENTIALS_DIRECTORY of `environ`. Raises
    CredentialUnavailable where a file is named or there, and cannot be used.
    """
    if settings.mqtt.password_file is not None:
        return _read(settings.mqtt.password_file, "the file of mqtt.password_file")
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return None
    path = Path(folder, CREDENTIAL)
    return _read(path, "the systemd credential mqtt-password") if os.path.lexists(path) else None


def _read(path: Path, what: str) -> Secret:
    try:
        # Not to wait for a pipe's other end.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise CredentialUnavailable(f"{what} is no ordinary file: {path}", "make it one")
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        hint = "check the path, its owner and its mode"
        raise CredentialUnavailable(f"{what} cannot be read: {path}: {error.strerror}", hint) from None
    if len(content) > MAX_BYTES:
        raise CredentialUnavailable(f"{what} is larger than 4 KiB: {path}", "it holds the password alone")
    content = content.removesuffix(b"\n").removesuffix(b"\r")
    if not content:
        raise CredentialUnavailable(f"{what} is empty: {path}", "write the password into it")
    if not _is_text(content):
        raise CredentialUnavailable(f"{what} is not UTF-8 text: {path}", "write it as text")
    return Secret(content.decode("utf-8"))


def _is_text(content: bytes) -> bool:
    # Apart from the raise above: a UnicodeDecodeError holds the bytes, and would travel as its context.
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
