"""One paho client, made and connected for one connection. Called by the uplink on that connection's thread.

Everything here may block: reading the password and the certificates, the name, TCP, TLS.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from trapd.backends import uplink_tls
from trapd.backends.uplink_tls import Tls
from trapd.errors import LinkUnavailable, TrapdError

log = logging.getLogger("trapd.uplink")

_LARGEST_INBOUND_BYTES = 2_000_000
_LINGER_S = 1.0


@dataclass(slots=True)
class Account:
    """Where to connect, as whom, and how.

    `password` is called for each connection, so that a renewed one counts without a restart. Session expiry
    is MQTT 5's; 3.1.1 leaves it to the broker. `visitor`: only to look whether the broker takes us; it keeps
    no session.
    """

    host: str
    port: int
    _: KW_ONLY
    client_id: str
    username: str | None
    password: Callable[[], str | None] = field(repr=False)
    tls: Tls | None
    protocol: Literal["5", "3.1.1"]
    keepalive_s: int
    session_expiry_s: int = 7 * 86400
    connect_timeout_s: float = 15.0
    visitor: bool = False

    def __post_init__(self) -> None:
        if self.protocol == "3.1.1":
            log.warning("MQTT 3.1.1 hides what a broker refuses: only with delivery: receipt is nothing lost")


def new_client(account: Account, will: tuple[str, bytes] | None) -> Client:
    """A client that knows all but its callbacks. Raises LinkUnavailable for an unreadable file."""
    five = account.protocol == "5"
    client = Client(
        CallbackAPIVersion.VERSION2,
        account.client_id,
        clean_session=None if five else account.visitor,
        protocol=MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311,
        reconnect_on_failure=False,
    )
    client.connect_timeout = account.connect_timeout_s
    client.max_inflight_messages_set(0)  # without a limit of its own paho keeps no queue of its own
    client.on_socket_register_write = _leave_it  # nothing is written until whoever takes the client reads too
    if will is not None:
        client.will_set(will[0], will[1], qos=1, retain=True)
    if account.username is not None:
        client.username_pw_set(account.username, _password(account))
    if account.tls is not None:
        client.tls_set_context(uplink_tls.context(account.tls))
    return client


def connect(client: Client, account: Account) -> socket.socket:
    """Name, TCP and TLS; CONNECT is left for whoever takes the connection to write. Raises what they raise.

    Gives a second handle on the connection, for `hang_up`.
    """
    if account.protocol == "5":
        client.connect(
            account.host,
            account.port,
            account.keepalive_s,
            clean_start=account.visitor,
            properties=_connect_properties(account),
        )
    else:
        client.connect(account.host, account.port, account.keepalive_s)
    made = client.socket()
    if made is None:
        raise ConnectionResetError
    return socket.socket(fileno=os.dup(made.fileno()))


def hang_up(client: Client, line: socket.socket, *, orderly: bool) -> None:
    """Close the connection. `orderly`: DISCONNECT was written; let the broker read it, at most 1 s.

    A socket closed on unread answers resets the connection, and the broker may lose what it has not read:
    the last messages, and the DISCONNECT that holds back the will.
    """
    paho_has = client.socket()
    if paho_has is not None:
        paho_has.close()
    if orderly:
        with contextlib.suppress(OSError):
            line.shutdown(socket.SHUT_WR)
            until_s = time.monotonic() + _LINGER_S
            while (left_s := until_s - time.monotonic()) > 0:
                line.settimeout(left_s)
                if not line.recv(65536):
                    break
    line.close()


def _password(account: Account) -> str | None:
    try:
        return account.password()
    except TrapdError:
        raise
    except Exception as error:
        # Only the kind of error: its text may hold what was read.
        raise LinkUnavailable(
            f"the password cannot be read: {type(error).__name__}",
            "check mqtt.password_file and who may read it",
        ) from None


def _connect_properties(account: Account) -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
    properties.SessionExpiryInterval = 0 if account.visitor else account.session_expiry_s
    properties.MaximumPacketSize = _LARGEST_INBOUND_BYTES
    return properties


def _leave_it(_client: Client, _data: Any, _socket: Any) -> None:
    """Nothing to do."""
