"""The broker's password is read from where it belongs and shown nowhere."""

from __future__ import annotations

import logging
import os
import traceback
from pathlib import Path

import pytest

from tests.config.common import settings
from trapd.errors import CredentialUnavailable, Unavailable
from trapd.settings import Secret, mqtt_password

CANARY = "canary-4711"


def named(path: Path) -> Secret | None:
    return mqtt_password(settings(**{"mqtt.password_file": str(path)}), {})


@pytest.mark.parametrize(
    ("content", "password"),
    [
        (b"pass word", "pass word"),
        (b"pass\n", "pass"),
        (b"pass\r\n", "pass"),
        (b"pass\n\n", "pass\n"),
        ("пароль".encode(), "пароль"),
        (b"x" * 4096, "x" * 4096),
    ],
)
def test_the_named_file(tmp_path: Path, content: bytes, password: str) -> None:
    """Its text, without the one line end that an editor adds."""
    path = tmp_path / "password"
    path.write_bytes(content)
    assert named(path) == password


def test_the_systemd_credential(tmp_path: Path) -> None:
    """Taken where no file is named; the named file goes before it; without either there is none."""
    (tmp_path / "mqtt-password").write_text("of systemd\n")
    (tmp_path / "mine").write_text("of the file\n")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert mqtt_password(settings(), environ) == "of systemd"
    assert mqtt_password(settings(**{"mqtt.password_file": str(tmp_path / "mine")}), environ) == "of the file"
    assert mqtt_password(settings(), {"CREDENTIALS_DIRECTORY": str(tmp_path / "other")}) is None
    assert mqtt_password(settings(), {}) is None


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"canary-4711\xff", "is not UTF-8 text"),
        (CANARY.encode() * 400, "is larger than 4 KiB"),
    ],
)
def test_a_file_that_holds_no_password(tmp_path: Path, content: bytes, sentence: str) -> None:
    """The unit stays up and says so; the message never holds the content."""
    path = tmp_path / "password"
    path.write_bytes(content)
    with pytest.raises(CredentialUnavailable) as caught:
        named(path)
    assert caught.value.message == f"the file of mqtt.password_file {sentence}: {path}"
    assert caught.value.hint
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """Missing, a folder, a pipe without a writer, a dangling credential: one sentence each, no waiting."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "mqtt-password").symlink_to("nowhere")
    for path, words in (("none", "No such file"), (".", "Is a directory"), ("pipe", "no ordinary file")):
        with pytest.raises(Unavailable, match=words):
            named(tmp_path / path)
    with pytest.raises(CredentialUnavailable, match="the systemd credential mqtt-password cannot be read"):
        mqtt_password(settings(), {"CREDENTIALS_DIRECTORY": str(tmp_path)})


def test_a_secret_shows_itself_only_when_asked(caplog: pytest.LogCaptureFixture) -> None:
    """Not in a repr, a container, an f-string or a formatted record; `str` gives the value."""
    secret = Secret(CANARY)
    shown = [repr(secret), repr([secret]), repr({"p": secret}), f"{secret}", f"{secret!r}", f"{secret:>20}"]
    assert not [text for text in shown if CANARY in text]
    logging.getLogger("test").warning("with %r", secret)
    assert CANARY not in caplog.text
    assert str(secret) == CANARY
    assert secret == CANARY
    assert type(str(secret)) is str
