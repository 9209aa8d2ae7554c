"""Errors in words that tell a person what to do."""

from __future__ import annotations

import errno
import socket
import ssl

import pytest

from trapd.backends import uplink_reasons
from trapd.errors import LinkUnavailable


def certificate_error(code: int, message: str = "?") -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, f"certificate verify failed: {message}")
    error.verify_code, error.verify_message = code, message
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (socket.gaierror(-2, "Name or service not known"), "the name b cannot be resolved"),
        (TimeoutError("timed out"), "b:1 does not answer"),
        (ConnectionRefusedError(111, "Connection refused"), "nothing listens on b:1"),
        (ConnectionResetError(104, "Connection reset"), "b:1 closed the connection"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "no network"),
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files"),
        (certificate_error(10), "expired"),
        (certificate_error(9), "clock"),
        (certificate_error(18), "self-signed"),
        (certificate_error(62), "another name"),
        (certificate_error(99, "strange"), "strange"),
        (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), "TLS handshake"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), "no TLS is spoken there"),
        (ssl.SSLError(1, "[SSL] something new"), "something new"),
        (LinkUnavailable("no password", "write one"), "no password (write one)"),
        (ValueError("Invalid host."), "Invalid host."),
    ],
)
def test_an_error_says_what_is_wrong(error: Exception, words: str) -> None:
    assert words in uplink_reasons.of_error(error, "b", 1)


def test_every_reason_code_has_words() -> None:
    for code in range(256):
        assert len(uplink_reasons.of_code(code)) > 10
    assert "0xC3" in uplink_reasons.of_code(0xC3)


def test_a_break_says_what_was_seen_last() -> None:
    assert uplink_reasons.of_break("") == "the broker closed the connection"
    assert "reset by peer" in uplink_reasons.of_break("[Errno 104] Connection reset by peer")
    assert "client certificate" in uplink_reasons.of_break(
        "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert"
    )


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (socket.gaierror(-2, "Name or service not known"), True),
        (TimeoutError(), True),
        (ConnectionRefusedError(), True),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), True),
        (ConnectionResetError(), False),
        (OSError(errno.EMFILE, "Too many open files"), False),
        (certificate_error(10), False),
        (LinkUnavailable("no password", "write one"), False),
        (ValueError("Invalid host."), False),
    ],
)
def test_who_is_not_there_may_come_what_is_wrong_stays(error: Exception, expected: bool) -> None:
    assert uplink_reasons.is_unreachable(error) is expected
