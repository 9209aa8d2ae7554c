"""Why a link failed, in words for the person who has to mend it. Pure; no library of MQTT is needed here.

Called by the uplink on its own thread. No word of it repeats a credential.
"""

from __future__ import annotations

import errno
import logging
import socket
import ssl

from trapd.errors import TrapdError
from trapd.ports import TooLarge

_SHOWN = 200
CLIENT_ID_TAKEN = 0x8E
"""MQTT 5: another client has connected under our name."""

CLIENT_ID_REFUSED = 0x85
"""The broker does not take clients of this id."""

PASSING = frozenset({0x88, 0x89, 0x8B, 0x97, 0x9F})
"""Refusals that speak of the broker's own state; the same unit may be taken later."""

KEEP_ALIVE_TIMEOUT = 0x8D
"""MQTT 5: nothing was heard from the other side in time."""

_REASONS: dict[int, tuple[str, str]] = {
    0x00: ("the broker ended the connection", ""),
    0x80: ("the broker refused without saying why", "its log says more"),
    0x81: ("the broker could not read our packet", "is something between the unit and the broker?"),
    0x82: ("the broker calls this a protocol error", "its log says more"),
    0x84: ("the broker does not speak this version of MQTT", "set mqtt.protocol to the other one"),
    CLIENT_ID_REFUSED: (
        "the broker does not accept the client id",
        "its log or ACL says which ids it allows",
    ),
    0x86: ("the broker does not accept user name or password", "check mqtt.username and mqtt.password_file"),
    0x87: (
        "the broker does not authorise this unit",
        "check the password, and the broker's ACL for this user",
    ),
    0x88: ("the broker is not available", "it is up but does not serve; its log says more"),
    0x89: ("the broker is busy", "trying again will help"),
    0x8A: ("the broker has banned this unit", "ask who runs the broker"),
    0x8B: ("the broker is shutting down", ""),
    0x8C: ("the broker wants another method of authentication", "trapd knows user name and certificate"),
    KEEP_ALIVE_TIMEOUT: (
        "the broker did not hear from us in time",
        "the link is very slow, or was cut for a while",
    ),
    CLIENT_ID_TAKEN: (
        "another client has connected under this unit's name",
        "two units must not share one unit.id: was the card copied?",
    ),
    0x90: ("the broker does not accept a topic", "check mqtt.base_topic and the broker's ACL"),
    0x93: ("the broker got more messages at once than it takes", ""),
    0x95: (
        "the broker found a packet too large",
        "publish.chunk_bytes must be below its maximum packet size",
    ),
    0x97: ("the broker's quota for this unit is used up", "ask who runs the broker"),
    0x98: ("an administrator ended the connection", ""),
    0x9A: ("the broker keeps no retained messages", "trapd needs a broker that does"),
    0x9B: ("the broker does not support QoS 1", "trapd needs a broker that does"),
    0x9C: ("the broker says to use another server", "set mqtt.host to that one"),
    0x9D: ("the broker has moved", "set mqtt.host to the new one"),
    0x9F: ("the broker takes fewer new connections than come", "trying again will help"),
}

# OpenSSL's numbers, X509_V_ERR_*.
_CERTIFICATE: dict[int, tuple[str, str]] = {
    9: ("the broker's certificate is not valid yet", "is the unit's clock right?"),
    10: ("the broker's certificate has expired", "renew it on the broker; is the unit's clock right?"),
    18: ("the broker's certificate is self-signed", "give it in mqtt.tls.ca_file"),
    19: ("the broker's chain ends in an unknown CA", "give that CA in mqtt.tls.ca_file"),
    20: ("the broker's certificate comes from an unknown CA", "give that CA in mqtt.tls.ca_file"),
    21: ("the broker's certificate comes from an unknown CA", "give that CA in mqtt.tls.ca_file"),
    62: ("the broker's certificate is for another name", "mqtt.host must be a name that stands in it"),
    64: ("the broker's certificate is for another address", "mqtt.host must be a name that stands in it"),
}

# What OpenSSL's messages hold; alerts come from the other side.
_TLS: tuple[tuple[str, str, str], ...] = (
    (
        "certificate required",
        "the broker asks for a client certificate",
        "set mqtt.tls.cert_file and key_file",
    ),
    ("unknown ca", "the broker does not know the CA of our certificate", "check mqtt.tls.cert_file"),
    ("certificate expired", "our client certificate has expired", "renew mqtt.tls.cert_file"),
    ("certificate unknown", "the broker does not accept our certificate", "check mqtt.tls.cert_file"),
    ("bad certificate", "the broker does not accept our certificate", "check mqtt.tls.cert_file"),
    ("handshake failure", "the broker broke off the TLS handshake", "it may ask for a client certificate"),
    ("wrong version number", "no TLS is spoken there", "check mqtt.port and mqtt.tls.enabled"),
    ("unsupported protocol", "the broker's TLS is older than 1.2", "it has to offer TLS 1.2 or 1.3"),
    ("key values mismatch", "mqtt.tls.key_file is not the key of mqtt.tls.cert_file", "give the pair"),
)


class Complaints(logging.Handler):
    """The first error that a client logs; nothing else of what it says."""

    def __init__(self) -> None:
        super().__init__()
        self.first = ""
        self.logger = logging.Logger("client", logging.ERROR)  # noqa: LOG001 - one for each client
        self.logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Called by the logger."""
        self.first = self.first or record.getMessage()


def words_of(code: int) -> tuple[str, str]:
    """What a reason code of CONNACK or DISCONNECT says, and what to do about it (may be empty)."""
    return _REASONS.get(code, (f"the broker gave reason 0x{code:02X}", "its log says more"))


def of_code(code: int) -> str:
    """A reason code of CONNACK or DISCONNECT in words."""
    return str(TrapdError(*words_of(code)))


def of_error(error: Exception, host: str, port: int) -> str:
    """What went wrong before there was a connection: name, route, TCP or TLS."""
    message, hint = _unreachable(error, host, port)
    return str(TrapdError(message, hint))


def is_unreachable(error: Exception) -> bool:
    """Whether nobody was there: no name, no way, nobody listening. Later there may be."""
    if isinstance(error, socket.gaierror | TimeoutError | ConnectionRefusedError):
        return True
    return isinstance(error, OSError) and error.errno in _NO_ROUTE


def of_break(detail: str) -> str:
    """A connection that broke off after the broker took us; `detail` is what was seen last, if anything."""
    found = _in_tls_message(detail)
    if found is not None:
        return str(TrapdError(*found))
    return f"the connection broke off: {detail}" if detail else "the broker closed the connection"


def is_ended(detail: str) -> bool:
    """Whether a connection that broke off was ended by the other side, and did not just fall silent."""
    return not detail or any(word in detail for word in _ENDED)


def of_too_large(found: TooLarge, most_bytes: int) -> str:
    """A packet that is not taken in."""
    where = f"on {found.topic[:_SHOWN]!r}" if found.topic is not None else "without a topic that can be read"
    message = f"a message of {found.size_bytes} bytes {where}: the unit takes {most_bytes} at most"
    return str(TrapdError(message, "clear it at the broker if it is retained there"))


def of_rejection(detail: str, host: str, port: int) -> str:
    """A connection that ended before the broker had said anything."""
    message, hint = _in_tls_message(detail) or _closed(host, port)
    return str(TrapdError(message, hint))


def _closed(host: str, port: int) -> tuple[str, str]:
    return f"{host}:{port} closed the connection", "check mqtt.port, mqtt.tls.enabled and mqtt.protocol"


_ENDED = (f"[Errno {errno.ECONNRESET}]", f"[Errno {errno.EPIPE}]", "EOF")
_NO_ROUTE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN})


def _unreachable(error: Exception, host: str, port: int) -> tuple[str, str]:
    if isinstance(error, ssl.SSLError):
        return _tls(error)
    if isinstance(error, TrapdError):
        return error.message, error.hint
    message, hint = f"connecting to {host}:{port} failed: {type(error).__name__}: {error}", ""
    if isinstance(error, socket.gaierror):
        message, hint = f"the name {host} cannot be resolved", "check mqtt.host, and the unit's network"
    elif isinstance(error, TimeoutError):
        message, hint = f"{host}:{port} does not answer", "check mqtt.host, mqtt.port, network and firewalls"
    elif isinstance(error, ConnectionRefusedError):
        message, hint = f"nothing listens on {host}:{port}", "is the broker running, and mqtt.port right?"
    elif isinstance(error, ConnectionError):
        message, hint = _closed(host, port)
    elif isinstance(error, OSError) and error.errno in _NO_ROUTE:
        message, hint = f"there is no way to {host}", "the unit has no network now"
    return message, hint


def _tls(error: ssl.SSLError) -> tuple[str, str]:
    if isinstance(error, ssl.SSLCertVerificationError):
        known = _CERTIFICATE.get(error.verify_code)
        return known or (
            f"the broker's certificate is not good: {error.verify_message}",
            "check mqtt.tls.ca_file",
        )
    if isinstance(error, ssl.SSLEOFError):
        return "the connection was closed within the TLS handshake", "check mqtt.port and mqtt.tls.enabled"
    return _in_tls_message(str(error)) or (f"TLS failed: {error}", "check mqtt.port and mqtt.tls")


def _in_tls_message(text: str) -> tuple[str, str] | None:
    text = text.lower().replace("_", " ")
    for part, message, hint in _TLS:
        if part in text:
            return message, hint
    return None
