"""paho's client as a link begins it: made, connected, CONNECT left to be written. No larger packet comes in
than may.

On the thread of an attempt to connect, but for `BoundedClient`'s own reading, which is the link owner's.
"""

from __future__ import annotations

import socket
import struct
import time
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from trapd.backends import uplink_socket, uplink_tls
from trapd.backends.uplink_account import Account
from trapd.frozen import Frozen
from trapd.ports import TooLarge

LARGEST_INBOUND_BYTES = 2_000_000
MOST_UNACKNOWLEDGED = 32
"""So many messages to us may wait for our answer. MQTT 3.1.1 has no word for it: the broker has a limit."""
_PUBLISH = 3
_TOPIC_BYTES = 65_536  # with its length in front no topic is longer
_TURN_S = 0.2


class BoundedClient(Client):
    """Takes no packet larger than `LARGEST_INBOUND_BYTES`: the link ends before anything of it is kept.

    MQTT 5 tells the broker so; 3.1.1 has no word for it, and paho would put together whatever comes. It asks
    its socket for all that is left of a packet at once: there its length is known, and nothing else is.
    """

    too_large: TooLarge | None = None
    _begun = b""

    def _sock_recv(self, bufsize: int) -> bytes:
        """As paho's. Raises OSError for a packet that is too large, once its topic is known."""
        if bufsize <= LARGEST_INBOUND_BYTES:
            return super()._sock_recv(bufsize)
        more = super()._sock_recv(_TOPIC_BYTES)  # raises where nothing has come; then it is asked again
        self._begun += more
        is_message = self._in_packet["command"] >> 4 == _PUBLISH
        topic = _topic(self._begun) if is_message else ""
        if topic is None and more:
            raise BlockingIOError
        self.too_large, self._begun = TooLarge(bufsize, topic or None), b""
        raise ConnectionAbortedError(f"a packet of {bufsize} bytes")


class Made(Frozen):
    """A connection on which CONNECT waits to be written, and a second handle on its socket."""

    client: BoundedClient
    socket: socket.socket


def _topic(begun: bytes) -> str | None:
    """The topic that a message begins with; None while not all of it is there, empty for none."""
    if len(begun) < 2:
        return None
    (length,) = struct.unpack(">H", begun[:2])
    if len(begun) < 2 + length:
        return None
    try:
        return begun[2 : 2 + length].decode()
    except UnicodeDecodeError:
        return ""


def make(account: Account, will: tuple[str, bytes] | None, *, fresh: bool) -> Made:
    """Name, TCP and TLS; CONNECT is left for the link to write. Raises what they raise.

    `fresh`: the broker forgets first what it keeps for us.
    """
    of_five: dict[str, Any] = {}
    if account.protocol == "5":
        of_five = {"clean_start": account.visitor or fresh, "properties": _connect_properties(account)}
    elif fresh:
        _clear_session(account)
    client = _new_client(account, will, clean=account.visitor)
    client.connect(account.host, account.port, account.keepalive_s, **of_five)
    line = client.socket()
    if line is None:
        raise ConnectionResetError
    made = Made(client, uplink_socket.second_handle(line))
    uplink_socket.no_delay(made.socket)
    return made


def _clear_session(account: Account) -> None:
    """MQTT 3.1.1 clears a session only by a link whose own does not last: one more link, in between."""
    client = _new_client(account, None, clean=True)
    client.connect(account.host, account.port, account.keepalive_s)
    end_s = time.monotonic() + account.connect_timeout_s
    try:
        while client.socket() is not None and not client.is_connected() and time.monotonic() < end_s:
            client.loop(_TURN_S)
        client.disconnect()
        while client.socket() is not None and time.monotonic() < end_s:
            client.loop(_TURN_S)
    finally:
        if (line := client.socket()) is not None:
            line.close()


def _new_client(account: Account, will: tuple[str, bytes] | None, *, clean: bool) -> BoundedClient:
    """A client that knows all but its callbacks. Raises LinkUnavailable for an unreadable file."""
    five = account.protocol == "5"
    client = BoundedClient(
        CallbackAPIVersion.VERSION2,
        account.client_id,
        clean_session=None if five else clean,
        protocol=MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311,
        reconnect_on_failure=False,
    )
    client.connect_timeout = account.connect_timeout_s
    client.manual_ack_set(True)  # a message is acknowledged once it is noted
    client.max_inflight_messages_set(0)  # without a limit of its own paho keeps no queue of its own
    client.on_socket_register_write = lambda *_: None  # else each publish would write at once, and by itself
    if will is not None:
        client.will_set(will[0], will[1], qos=1, retain=True)
    if account.username is not None:
        client.username_pw_set(account.username, account.read_password())
    if account.tls is not None:
        client.tls_set_context(uplink_tls.context(account.tls))
    return client


def _connect_properties(account: Account) -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
    properties.SessionExpiryInterval = 0 if account.visitor else account.session_expiry_s
    properties.MaximumPacketSize = LARGEST_INBOUND_BYTES
    properties.ReceiveMaximum = MOST_UNACKNOWLEDGED
    return properties


def hang_up(made: Made, *, orderly: bool) -> None:
    paho_has = made.client.socket()
    if paho_has is not None:
        paho_has.close()
    uplink_socket.hang_up(made.socket, orderly=orderly)
