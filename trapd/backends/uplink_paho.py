"""The Uplink over paho-mqtt 2: one new client and one new thread for each connection.

Deliver's thread owns a Link; the link's own thread connects and reads and writes the socket, so that neither
DNS nor TCP nor TLS ever holds up Deliver. Between the two there is one queue. paho itself never queues, never
reconnects and never repeats: what waits lies in the store, and a publish goes out once per connection.

What comes in is acknowledged as it arrives: a command that crashed the daemon must not come back with every
start. While more than a bounded amount waits to be taken, the socket is not read; nothing is dropped.
"""

from __future__ import annotations

import logging
import queue
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage, error_string
from paho.mqtt.enums import LogLevel, MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from trapd.backends import uplink_client, uplink_reasons
from trapd.backends.uplink_client import Account
from trapd.backends.uplink_tls import Tls
from trapd.errors import BadInput, LinkUnavailable
from trapd.ports import Acknowledged, Connected, Link, LinkEvent, Lost, Received, Subscribed

__all__ = ["PahoLink", "PahoUplink", "Tls"]

log = logging.getLogger("trapd.uplink")

_TURN_S = 1.0
_CLOSE_WITHIN_S = 3.0
_CUT_WITHIN_S = 1.0
_MOST_THREADS = 3  # of earlier connections that are still stuck, in DNS for instance
_ATTEMPT_IN_TIMEOUTS = 4  # name, a few addresses and TLS, each with a time-out, make up one attempt
_MOST_WAITING = 1000
_MOST_WAITING_BYTES = 4_000_000
_ROOM_LOOK_S = 0.05
_ANY_RECEIVE_MAXIMUM = 65535  # MQTT 5: what holds where the broker names none


@dataclass(frozen=True, slots=True)
class _Suback:
    """The broker's answer to SUBSCRIBE `mid`, one code for each filter."""

    mid: int
    codes: tuple[int, ...]


@dataclass(slots=True)
class PahoUplink(Account):
    """The Uplink port over paho."""

    _threads: list[threading.Thread] = field(default_factory=list, init=False, repr=False)

    def connect(self, will: tuple[str, bytes]) -> Link:
        """Begin a connection; its first event tells how it went."""
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        if len(self._threads) >= _MOST_THREADS:
            return _NoLink(
                f"{len(self._threads)} earlier attempts to connect are still stuck (is DNS answering?)"
            )
        link = PahoLink(self, will)
        self._threads.append(link.thread)
        link.thread.start()
        return link


class PahoLink:
    """One connection. The methods belong to one thread; `thread` runs everything that may block."""

    def __init__(self, account: Account, will: tuple[str, bytes]) -> None:
        self._account = account
        self._will = will
        self.thread = threading.Thread(target=self._run, name="uplink", daemon=True)
        self._events: queue.SimpleQueue[LinkEvent | _Suback] = queue.SimpleQueue()
        self._client: Client | None = None
        self._line: socket.socket | None = None
        self._closing = threading.Event()
        # Written by the link's thread only.
        self._connected = False
        self._lost = False
        self._trouble = ""
        self._arrived_bytes = 0
        # Written by the owner's thread only.
        self._taken_bytes = 0
        self._asked: dict[int, tuple[str, ...]] = {}
        self._receive_maximum: int | None = None  # None until connected
        self._unanswered = 0
        self._ended = False
        self._give_up_s = time.monotonic() + _ATTEMPT_IN_TIMEOUTS * account.connect_timeout_s

    # --- the owner's thread -------------------------------------------------------------------------------

    def next(self, timeout_s: float) -> LinkEvent | None:
        """What happened next; None after `timeout_s`, and at once when Lost was given."""
        if self._ended:
            return None
        try:
            event = self._events.get(timeout=timeout_s)
        except queue.Empty:
            return self._overdue()
        match event:
            case _Suback(mid, codes):
                asked = self._asked.pop(mid, ())
                return Subscribed(
                    tuple(name for name, code in zip(asked, codes, strict=False) if code >= 0x80)
                )
            case Connected():
                self._receive_maximum = event.receive_maximum
            case Acknowledged():
                self._unanswered -= 1
            case Received():
                self._taken_bytes += len(event.payload)
            case Lost():
                self._ended = True
        return event

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> int:
        """Hand one message over; returns its token. Raises LinkUnavailable, BadInput for an impossible topic.

        More messages than the broker's Receive Maximum are refused: they would end the connection.
        """
        client, most = self._usable()
        if self._unanswered >= most:
            raise LinkUnavailable(f"the broker takes {most} unanswered messages at once")
        try:
            info = client.publish(topic, payload, qos=1, retain=retain)
        except ValueError as error:
            raise BadInput(f"{topic[:200]!r} cannot be published: {error}") from error
        _check(info.rc)
        self._unanswered += 1
        return info.mid

    def subscribe(self, filters: tuple[str, ...]) -> None:
        """Ask for these topics; the answer comes as Subscribed. Raises LinkUnavailable, BadInput."""
        client, _ = self._usable()
        options = SubscribeOptions(qos=1, retainAsPublished=True)
        try:
            if self._account.protocol == "5":
                code, mid = client.subscribe([(name, options) for name in filters])
            else:
                code, mid = client.subscribe([(name, 1) for name in filters])
        except ValueError as error:
            raise BadInput(f"cannot subscribe to {filters}: {error}") from error
        _check(code)
        if mid is not None:
            self._asked[mid] = filters

    def close(self) -> None:
        """Disconnect after what was handed over, at most 4 s; what does not end by then is left to itself."""
        self._closing.set()
        client, line = self._client, self._line
        if client is not None and line is not None:
            client.disconnect()
            self.thread.join(_CLOSE_WITHIN_S)
            uplink_client.cut(line)
        self.thread.join(_CUT_WITHIN_S)

    def _usable(self) -> tuple[Client, int]:
        client = self._client
        if client is None or self._receive_maximum is None or self._closing.is_set():
            raise LinkUnavailable("the link is not connected")
        return client, self._receive_maximum

    def _overdue(self) -> Lost | None:
        """An attempt ends even where the system's resolver does not."""
        if self._receive_maximum is not None or self._closing.is_set() or time.monotonic() < self._give_up_s:
            return None
        self._ended = True
        host, port = self._account.host, self._account.port
        return Lost(uplink_reasons.of_error(TimeoutError(), host, port))

    # --- the link's thread --------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            client = self._make_client()
            line = uplink_client.connect(client, self._account)
        except Exception as error:  # a thread has no caller: whatever it was, the link is lost
            self._lose(uplink_reasons.of_error(error, self._account.host, self._account.port))
            return
        try:
            self._line, self._client = line, client
            self._serve(client)
        except Exception as error:
            log.exception("the link's thread failed")
            self._lose(f"an error within: {type(error).__name__}: {error}")
        finally:
            self._client = None
            uplink_client.hang_up(client, line, orderly=self._closing.is_set())
            self._lose(self._why_it_ended())

    def _why_it_ended(self) -> str:
        if self._closing.is_set():
            return "closed"
        if self._connected:
            return uplink_reasons.of_break(self._trouble)
        return uplink_reasons.of_rejection(self._trouble, self._account.host, self._account.port)

    def _make_client(self) -> Client:
        client = uplink_client.new_client(self._account, self._will)
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect
        client.on_log = self._on_log
        return client

    def _serve(self, client: Client) -> None:
        answer_by_s = time.monotonic() + self._account.connect_timeout_s
        if self._closing.is_set():
            return  # close() came too early to see the client; nothing was written yet
        while not self._lost and client.socket() is not None:
            code = client.loop(_TURN_S)
            if code == MQTTErrorCode.MQTT_ERR_PROTOCOL:
                self._lose("the broker's answer is not the MQTT that was asked for (is mqtt.protocol right?)")
            elif code != MQTTErrorCode.MQTT_ERR_SUCCESS:
                return
            if not self._connected and time.monotonic() > answer_by_s:
                self._lose(
                    f"{self._account.host}:{self._account.port} took the connection but does not answer"
                )
            self._wait_for_room()

    def _wait_for_room(self) -> None:
        while (
            self._events.qsize() >= _MOST_WAITING
            or self._arrived_bytes - self._taken_bytes >= _MOST_WAITING_BYTES
        ):
            if self._closing.wait(_ROOM_LOOK_S):
                return

    def _lose(self, reason: str, code: int | None = None) -> None:
        if not self._lost:
            self._lost = True
            self._events.put(Lost(reason, code))

    def _on_connect(
        self,
        _client: Client,
        _data: Any,
        flags: ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._lose(uplink_reasons.of_code(reason.value), reason.value)
            return
        self._connected = True
        self._events.put(
            Connected(
                flags.session_present,
                getattr(properties, "ReceiveMaximum", _ANY_RECEIVE_MAXIMUM),
                getattr(properties, "MaximumPacketSize", None),
            )
        )

    def _on_publish(
        self, _client: Client, _data: Any, mid: int, reason: ReasonCode, _properties: Properties
    ) -> None:
        self._events.put(Acknowledged(mid, reason.value))

    def _on_subscribe(
        self, _client: Client, _data: Any, mid: int, reasons: list[ReasonCode], _properties: Properties | None
    ) -> None:
        self._events.put(_Suback(mid, tuple(reason.value for reason in reasons)))

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        self._arrived_bytes += len(message.payload)
        self._events.put(
            Received(
                message.topic,
                bytes(message.payload),
                bool(message.retain),
                getattr(message.properties, "ResponseTopic", None),
                getattr(message.properties, "CorrelationData", None),
            )
        )

    def _on_disconnect(
        self,
        _client: Client,
        _data: Any,
        flags: DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            self._lose(uplink_reasons.of_code(reason.value), reason.value)
        elif reason.value == uplink_reasons.KEEP_ALIVE_TIMEOUT:
            self._lose("the broker has gone silent: no answer within the keep-alive time")

    def _on_log(self, _client: Client, _data: Any, level: int, text: str) -> None:
        if level == LogLevel.MQTT_LOG_ERR and not self._trouble:
            self._trouble = text


class _NoLink:
    """A connection that was never tried."""

    def __init__(self, reason: str) -> None:
        self._lost: Lost | None = Lost(reason)

    def next(self, timeout_s: float) -> LinkEvent | None:  # noqa: ARG002 - what it has, it has at once
        lost, self._lost = self._lost, None
        return lost

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> int:  # noqa: ARG002 - it sends nothing
        raise LinkUnavailable("the link is not connected")

    def subscribe(self, filters: tuple[str, ...]) -> None:  # noqa: ARG002 - it asks nobody
        raise LinkUnavailable("the link is not connected")

    def close(self) -> None:
        """Nothing is open."""


def _check(code: MQTTErrorCode) -> None:
    if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
        raise LinkUnavailable(f"the link does not take it: {error_string(code)}")
