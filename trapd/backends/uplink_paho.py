"""The Uplink over paho-mqtt 2: one new client for each connection, driven by the thread that owns the link.

A thread of the link's own connects (name, TCP, TLS: whatever may block) and hands the connection over. Then
all of it happens within the link's methods, on Deliver's thread: a publish is written at once, answers are
read while Deliver waits for them, and nothing has to pass between threads. paho itself never queues, never
reconnects and never repeats: what waits lies in the store, and a publish goes out once per connection.

What comes in is acknowledged as it arrives: a command that crashed the daemon must not come back with every
start. Nothing is read while something waits to be taken; nothing is dropped.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import select
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Collection
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
_CLOSE_WITHIN_S = 1.5
_CUT_WITHIN_S = 1.0
_MOST_THREADS = 3  # of earlier connections that are still stuck, in DNS for instance
_ATTEMPT_IN_TIMEOUTS = 4  # name, a few addresses and TLS, each with a time-out, make up one attempt
_SILENT_KEEPALIVES = 1.5  # paho asks after one, and would wait for the answer for another
_REFUSED = 0x80  # reason codes from here on
_SILENT = Lost("the broker has gone silent: no answer within the keep-alive time")
_ANY_RECEIVE_MAXIMUM = 65535  # MQTT 5: what holds where the broker names none


@dataclass(frozen=True, slots=True)
class _Made:
    """A connection on which CONNECT waits to be written, and a second handle on its socket."""

    client: Client
    socket: socket.socket


@dataclass(slots=True)
class PahoUplink(Account):
    """The Uplink port over paho."""

    _threads: list[threading.Thread] = field(default_factory=list, init=False, repr=False)

    def connect(self, will: tuple[str, bytes] | None) -> Link:
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
    """One connection. Its methods belong to one thread; `thread` only makes the connection."""

    def __init__(self, account: Account, will: tuple[str, bytes] | None) -> None:
        self._account = account
        self._will = will
        self.thread = threading.Thread(target=self._make, name="uplink", daemon=True)
        self._made: queue.SimpleQueue[_Made | Lost] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._give_up_s = time.monotonic() + _ATTEMPT_IN_TIMEOUTS * account.connect_timeout_s
        # Everything below is the owner's.
        self._line: _Made | None = None
        self._answer_by_s = 0.0
        self._misc_s = 0.0
        self._heard_s = 0.0
        self._events: deque[LinkEvent] = deque()
        self._trouble = ""
        self._lost = False
        self._asked: dict[int, tuple[str, ...]] = {}
        self._receive_maximum: int | None = None  # None until connected
        self._unanswered = 0
        self._ended = False

    def next(self, timeout_s: float) -> LinkEvent | None:
        """What happened next; None after `timeout_s`, and at once when Lost was given."""
        if not self._events:
            if self._ended:
                return None
            self._wait(timeout_s)
        if not self._events:
            return None
        event = self._events.popleft()
        self._ended = isinstance(event, Lost)
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

    def subscribe(self, filters: tuple[str, ...], *, live: Collection[str] = ()) -> None:
        """Ask for these topics; the answer comes as Subscribed. Raises LinkUnavailable, BadInput.

        MQTT 3.1.1 has all of them as those in `live`.
        """
        client, _ = self._usable()
        try:
            if self._account.protocol == "5":
                code, mid = client.subscribe(
                    [(name, SubscribeOptions(qos=1, retainAsPublished=name not in live)) for name in filters]
                )
            else:
                code, mid = client.subscribe([(name, 1) for name in filters])
        except ValueError as error:
            raise BadInput(f"cannot subscribe to {filters}: {error}") from error
        _check(code)
        if mid is not None:
            self._asked[mid] = filters

    def close(self) -> None:
        """Disconnect after what was handed over, at most 3.5 s; what does not end by then is left alone."""
        self._closing.set()
        self._take_over(0.0)
        line, self._line = self._line, None
        if line is not None:
            orderly = not self._lost and _say_goodbye(line.client)
            uplink_client.hang_up(line.client, line.socket, orderly=orderly)
        self._lose(Lost("closed"))
        self.thread.join(_CUT_WITHIN_S)

    def _usable(self) -> tuple[Client, int]:
        if self._line is None or self._receive_maximum is None or self._lost:
            raise LinkUnavailable("the link is not connected")
        return self._line.client, self._receive_maximum

    def _wait(self, timeout_s: float) -> None:
        """Until something has happened, at most `timeout_s`."""
        end_s = time.monotonic() + timeout_s
        left_s = timeout_s
        while True:
            if self._line is None:
                self._take_over(left_s)
            if self._line is not None and not self._lost:
                self._serve(self._line.client, min(left_s, _TURN_S))
            now_s = time.monotonic()
            if self._events or now_s >= end_s:
                return
            left_s = end_s - now_s

    def _take_over(self, timeout_s: float) -> None:
        """The connection, as soon as it is made; or the attempt's end, also where the resolver has none."""
        if self._line is not None or self._lost:
            return
        try:
            made = self._made.get(timeout=timeout_s) if timeout_s > 0 else self._made.get_nowait()
        except queue.Empty:
            if time.monotonic() > self._give_up_s and not self._closing.is_set():
                self._lose(self._not_made(TimeoutError()))
            return
        if isinstance(made, Lost):
            self._lose(made)
            return
        self._line = made
        self._heard_s = time.monotonic()
        self._answer_by_s = self._heard_s + self._account.connect_timeout_s
        self._give_callbacks(made.client)
        made.client.on_socket_register_write = None  # from now on publish() writes at once

    def _serve(self, client: Client, timeout_s: float) -> None:
        """Write what waits, read what comes within `timeout_s`; whatever goes wrong is a lost link."""
        try:
            code, heard = _exchange(client, timeout_s)
            now_s = time.monotonic()
            if heard:
                self._heard_s = now_s
            if now_s - self._misc_s >= _TURN_S:
                self._misc_s = now_s
                client.loop_misc()  # keep-alive
        except Exception as error:
            log.exception("the link failed")
            self._lose(Lost(f"an error within: {type(error).__name__}: {error}"))
            return
        if code == MQTTErrorCode.MQTT_ERR_PROTOCOL:
            self._lose(
                Lost("the broker's answer is not the MQTT that was asked for (is mqtt.protocol right?)")
            )
        elif client.socket() is None or code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._lose(Lost(self._why_it_ended()))
        elif self._receive_maximum is None and now_s > self._answer_by_s:
            self._lose(
                Lost(f"{self._account.host}:{self._account.port} took the connection but does not answer")
            )
        elif now_s - self._heard_s > _SILENT_KEEPALIVES * self._account.keepalive_s:
            self._lose(_SILENT)

    def _lose(self, lost: Lost) -> None:
        if not self._lost:
            self._lost = True
            self._events.append(lost)

    def _why_it_ended(self) -> str:
        if self._receive_maximum is not None:
            return uplink_reasons.of_break(self._trouble)
        return uplink_reasons.of_rejection(self._trouble, self._account.host, self._account.port)

    def _give_callbacks(self, client: Client) -> None:
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect
        client.on_log = self._on_log

    def _on_connect(
        self,
        _client: Client,
        _data: Any,
        flags: ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._lose(Lost(uplink_reasons.of_code(reason.value), reason.value))
            return
        self._receive_maximum = getattr(properties, "ReceiveMaximum", _ANY_RECEIVE_MAXIMUM)
        largest_bytes = getattr(properties, "MaximumPacketSize", None)
        self._events.append(Connected(flags.session_present, self._receive_maximum, largest_bytes))

    def _on_publish(
        self, _client: Client, _data: Any, mid: int, reason: ReasonCode, _properties: Properties
    ) -> None:
        self._unanswered -= 1
        self._events.append(Acknowledged(mid, reason.value))

    def _on_subscribe(
        self, _client: Client, _data: Any, mid: int, reasons: list[ReasonCode], _properties: Properties | None
    ) -> None:
        asked = zip(self._asked.pop(mid, ()), reasons, strict=False)
        self._events.append(Subscribed(tuple(name for name, reason in asked if reason.value >= _REFUSED)))

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        self._events.append(
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
            self._lose(Lost(uplink_reasons.of_code(reason.value), reason.value))
        elif reason.value == uplink_reasons.KEEP_ALIVE_TIMEOUT:
            self._lose(_SILENT)

    def _on_log(self, _client: Client, _data: Any, level: int, text: str) -> None:
        if level == LogLevel.MQTT_LOG_ERR and not self._trouble:
            self._trouble = text

    def _not_made(self, error: Exception) -> Lost:
        reason = uplink_reasons.of_error(error, self._account.host, self._account.port)
        return Lost(reason, unreachable=uplink_reasons.is_unreachable(error))

    # --- the link's own thread ----------------------------------------------------------------------------

    def _make(self) -> None:
        try:
            client = uplink_client.new_client(self._account, self._will)
            self._made.put(_Made(client, uplink_client.connect(client, self._account)))
        except Exception as error:  # a thread has no caller: whatever it was, the link is lost
            self._made.put(self._not_made(error))
        if self._closing.is_set():
            # close() may have come too early to see the connection; whoever takes it ends it.
            with contextlib.suppress(queue.Empty):
                left = self._made.get_nowait()
                if isinstance(left, _Made):
                    uplink_client.hang_up(left.client, left.socket, orderly=False)


def _exchange(client: Client, timeout_s: float) -> tuple[MQTTErrorCode, bool]:
    """Read what comes within `timeout_s`, then write what waits; how it went, and whether anything came.

    In this order: a broker that refuses has said why before it closes, and a write then finds only the end.
    """
    line = client.socket()
    if line is None:
        return MQTTErrorCode.MQTT_ERR_NO_CONN, False
    code = MQTTErrorCode.MQTT_ERR_SUCCESS
    # TLS may hold bytes that the socket no longer shows.
    held = line.pending() if isinstance(line, ssl.SSLSocket) else 0
    look = select.poll()
    look.register(line, select.POLLIN | (select.POLLOUT if client.want_write() else 0))
    heard = held > 0 or any(what & ~select.POLLOUT for _, what in look.poll(timeout_s * 1000))
    if heard:
        code = client.loop_read()
    if code == MQTTErrorCode.MQTT_ERR_SUCCESS and client.want_write():
        code = client.loop_write()
    return code, heard


def _say_goodbye(client: Client) -> bool:
    """Write what waits, and DISCONNECT behind it; False where that did not go in time."""
    end_s = time.monotonic() + _CLOSE_WITHIN_S
    try:
        client.disconnect()
        while client.socket() is not None and (left_s := end_s - time.monotonic()) > 0:
            _exchange(client, left_s)
    except Exception as error:
        log.warning("the link was not closed in good order: %s: %s", type(error).__name__, error)
    return client.socket() is None


class _NoLink:
    """A connection that was never tried."""

    def __init__(self, reason: str) -> None:
        self._lost: Lost | None = Lost(reason)

    def next(self, timeout_s: float) -> LinkEvent | None:  # noqa: ARG002 - what it has, it has at once
        lost, self._lost = self._lost, None
        return lost

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> int:  # noqa: ARG002 - it sends nothing
        raise LinkUnavailable("the link is not connected")

    def subscribe(
        self,
        filters: tuple[str, ...],  # noqa: ARG002 - it asks nobody
        *,
        live: Collection[str] = (),  # noqa: ARG002 - as above
    ) -> None:
        raise LinkUnavailable("the link is not connected")

    def close(self) -> None:
        """Nothing is open."""


def _check(code: MQTTErrorCode) -> None:
    if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
        raise LinkUnavailable(f"the link does not take it: {error_string(code)}")
