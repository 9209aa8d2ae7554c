"""The Uplink over paho-mqtt 2: one new client for each connection, driven by the thread that owns the link.

A thread of the link's own connects (name, TCP, TLS: whatever may block) and hands the connection over. Then
all of it happens within the link's methods, on Deliver's thread: what is published is written with the next
flush, answers are read while Deliver waits for them, and nothing has to pass between threads. paho itself
never waits, never reconnects and never repeats: what waits lies in the store, and a publish goes out once per
connection.

What comes in is acknowledged when its taker has noted it (ADR 24), in the order in which it came, as MQTT
asks. Nothing is read while something waits to be taken; nothing is dropped.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections import deque
from collections.abc import Collection
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage, error_string
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from trapd.backends import uplink_reasons, uplink_socket
from trapd.backends.uplink_account import Account
from trapd.backends.uplink_attempt import Attempt, NoLink
from trapd.backends.uplink_client import LARGEST_INBOUND_BYTES, BoundedClient, Made, hang_up, make
from trapd.backends.uplink_tls import Tls
from trapd.errors import BadInput, LinkUnavailable
from trapd.ports import Acknowledged, Connected, Link, LinkEvent, Lost, Received, Subscribed

__all__ = ["Account", "PahoLink", "PahoUplink", "Tls"]

log = logging.getLogger("trapd.uplink")

_TURN_S = 1.0
_CLOSE_WITHIN_S = 1.5
_CUT_WITHIN_S = 1.0
_MOST_THREADS = 3  # of earlier connections that are still stuck, in DNS for instance
_ATTEMPT_IN_TIMEOUTS = 4  # name, a few addresses and TLS, each with a time-out, make up one attempt
_SILENT_KEEPALIVES = 1.5  # paho asks after one, and would wait for the answer for another
_REFUSED = 0x80  # reason codes from here on
_STRANGE = Lost(
    "the broker's answer is not the MQTT that was asked for (is mqtt.protocol right?)", ended=True
)
_SILENT = Lost("the broker has gone silent: no answer within the keep-alive time")
_ANY_RECEIVE_MAXIMUM = 65535  # MQTT 5: what holds where the broker names none
_LINKS = itertools.count(1)
_WRITE_BYTES = 32_768  # that much need not wait for more


class PahoUplink:
    """The Uplink port over paho."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._attempts: list[Attempt[Made]] = []
        if account.protocol == "3.1.1":
            log.warning("MQTT 3.1.1 hides what a broker refuses: only with delivery: receipt is nothing lost")
            log.warning(
                "MQTT 3.1.1 has no response topic, and does not show that a command which comes now is"
                " retained: it is obeyed once, and refused when it comes with the next connection"
            )

    def connect(self, will: tuple[str, bytes] | None, *, fresh: bool = False) -> Link:
        """Begin a connection; its first event tells how it went."""
        self._attempts = [attempt for attempt in self._attempts if attempt.is_alive()]
        if len(self._attempts) >= _MOST_THREADS:
            stuck = len(self._attempts)
            return NoLink(f"{stuck} earlier attempts to connect are still stuck (is DNS answering?)")
        attempt = Attempt(
            lambda: make(self._account, will, fresh=fresh),
            lambda made: hang_up(made, orderly=False),
            within_s=_ATTEMPT_IN_TIMEOUTS * self._account.connect_timeout_s,
        )
        self._attempts.append(attempt)
        attempt.start()
        return PahoLink(self._account, attempt)


class PahoLink:
    """One connection. Its methods belong to one thread; `attempt` makes the connection on its own."""

    def __init__(self, account: Account, attempt: Attempt[Made]) -> None:
        self._account = account
        self._attempt = attempt
        self._line: Made | None = None
        self._answer_by_s = 0.0
        self._misc_s = 0.0
        self._heard_s = 0.0
        self._events: deque[LinkEvent] = deque()
        self._complaints = uplink_reasons.Complaints()
        self._lost = False
        self._asked: dict[int, tuple[str, ...]] = {}
        self._receive_maximum: int | None = None  # None until connected
        self._unanswered = 0
        self._unwritten_bytes = 0
        self._link = next(_LINKS)
        self._unacknowledged: dict[int, bool] = {}  # in the order in which they came; whether each is noted
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

    def publish(self, topic: str, payload: bytes, *, retain: bool, correlation: bytes | None = None) -> int:
        """Hand one message over; returns its token. Raises LinkUnavailable, BadInput for an impossible topic.

        More messages than the broker's Receive Maximum are refused: they would end the connection.
        """
        client, most = self._usable()
        if self._unanswered >= most:
            raise LinkUnavailable(f"the broker takes {most} unanswered messages at once")
        try:
            info = client.publish(topic, payload, 1, retain, self._properties(correlation))
        except ValueError as error:
            raise BadInput(f"{topic[:200]!r} cannot be published: {error}") from error
        _check(info.rc)
        self._unanswered += 1
        self._unwritten_bytes += len(payload)
        if self._unwritten_bytes >= _WRITE_BYTES:
            self.flush()
        return info.mid

    def acknowledge(self, message: Received) -> None:
        """Tell the broker, with the next flush, that it may forget this message and those before it."""
        number, line, waiting = message.number, self._line, self._unacknowledged
        if message.link != self._link or number not in waiting or line is None or self._lost:
            return
        waiting[number] = True
        while waiting and waiting[first := next(iter(waiting))]:
            del waiting[first]
            line.client.ack(first, 1)  # what it says of a broken link, the next read says too

    def flush(self) -> None:
        """Write what was handed over, as far as the socket takes it now; the rest follows with `next`."""
        line = self._line
        self._unwritten_bytes = 0
        if line is None or self._lost or not line.client.want_write():
            return
        try:
            uplink_socket.cork(line.socket, on=True)
            line.client.loop_write()  # what it says of a broken link, the next read says too
            uplink_socket.cork(line.socket, on=False)
        except Exception as error:
            self._failed_within(error)

    def subscribe(self, filters: tuple[str, ...], *, live: Collection[str] = ()) -> None:
        """Ask for these topics; the answer comes as Subscribed. Raises LinkUnavailable, BadInput.

        MQTT 3.1.1 has all of them as those in `live`.
        """
        client, _ = self._usable()
        five = self._account.protocol == "5"
        wanted: list[Any] = [
            (name, SubscribeOptions(qos=1, retainAsPublished=name not in live) if five else 1)
            for name in filters
        ]
        try:
            code, mid = client.subscribe(wanted)
        except ValueError as error:
            raise BadInput(f"cannot subscribe to {filters}: {error}") from error
        _check(code)
        if mid is not None:
            self._asked[mid] = filters

    def close(self) -> None:
        """Disconnect after what was handed over, at most 3.5 s; what does not end by then is left alone."""
        self._attempt.abandon()
        self._take_over(0.0)
        line, self._line = self._line, None
        if line is not None:
            hang_up(line, orderly=not self._lost and _say_goodbye(line.client))
        self._lose(Lost("closed"))
        self._attempt.join(_CUT_WITHIN_S)

    def _properties(self, correlation: bytes | None) -> Properties | None:
        if correlation is None or self._account.protocol != "5":
            return None
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho leaves it untyped
        properties.CorrelationData = correlation
        return properties

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
                self._serve(self._line, min(left_s, _TURN_S, self._silence_left_s()))
            now_s = time.monotonic()
            if self._events or now_s >= end_s:
                return
            left_s = end_s - now_s

    def _silence_left_s(self) -> float:
        """How long the broker may still say nothing."""
        silent_at_s = self._heard_s + _SILENT_KEEPALIVES * self._account.keepalive_s
        return max(silent_at_s - time.monotonic(), 0.0)

    def _take_over(self, timeout_s: float) -> None:
        """The connection, as soon as it is made; or the attempt's end."""
        if self._line is not None or self._lost:
            return
        made = self._attempt.result(timeout_s)
        if made is None:
            return
        if isinstance(made, Exception):
            reason = uplink_reasons.of_error(made, self._account.host, self._account.port)
            self._lose(Lost(reason, unreachable=uplink_reasons.is_unreachable(made)))
            return
        self._line = made
        self._heard_s = time.monotonic()
        self._answer_by_s = self._heard_s + self._account.connect_timeout_s
        self._give_callbacks(made.client)

    def _serve(self, line: Made, timeout_s: float) -> None:
        """Write what waits, read what comes within `timeout_s`; whatever goes wrong is a lost link."""
        client = line.client
        try:
            if timeout_s > 0 and self._unanswered > 1:
                uplink_socket.confirm(line.socket)
            code, heard = _exchange(client, timeout_s)
            now_s = time.monotonic()
            if heard:
                self._heard_s = now_s
            if now_s - self._misc_s >= _TURN_S:
                self._misc_s = now_s
                client.loop_misc()  # keep-alive
        except Exception as error:
            self._failed_within(error)
            return
        if code == MQTTErrorCode.MQTT_ERR_PROTOCOL:
            self._lose(_STRANGE)
        elif client.socket() is None or code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._lose(self._how_it_ended(client))
        elif self._receive_maximum is None and now_s > self._answer_by_s:
            self._lose(Lost(f"{self._account.where} took the connection but does not answer"))
        elif self._silence_left_s() == 0:
            self._lose(_SILENT)

    def _failed_within(self, error: Exception) -> None:
        log.error("the link failed", exc_info=error)
        self._lose(Lost(f"an error within: {type(error).__name__}: {error}"))

    def _lose(self, lost: Lost) -> None:
        if not self._lost:
            self._lost = True
            self._events.append(lost)

    def _how_it_ended(self, client: BoundedClient) -> Lost:
        first = self._complaints.first
        if client.too_large is not None:
            reason = uplink_reasons.of_too_large(client.too_large, LARGEST_INBOUND_BYTES)
            return Lost(reason, too_large=client.too_large)
        if self._receive_maximum is not None:
            return Lost(uplink_reasons.of_break(first), ended=uplink_reasons.is_ended(first))
        return Lost(uplink_reasons.of_rejection(first, self._account.host, self._account.port))

    def _give_callbacks(self, client: Client) -> None:
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect
        # Not on_log: paho would make a sentence of every packet.
        client.enable_logger(self._complaints.logger)

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

    def _on_message(self, client: Client, _data: Any, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:  # nobody can ask anything there; kept, it would end every link
            log.warning("a message with an impossible topic is passed over")
            client.ack(message.mid, message.qos)
            return
        received = Received(
            topic,
            bytes(message.payload),
            bool(message.retain),
            getattr(message.properties, "ResponseTopic", None),
            getattr(message.properties, "CorrelationData", None),
            number=message.mid if message.qos else None,
            again=bool(message.dup),
            link=self._link,
        )
        if received.number is not None:
            self._unacknowledged[received.number] = False
        self._events.append(received)

    def _on_disconnect(
        self,
        _client: Client,
        _data: Any,
        flags: DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            self._lose(Lost(uplink_reasons.of_code(reason.value), reason.value, ended=True))
        elif reason.value == uplink_reasons.KEEP_ALIVE_TIMEOUT:
            self._lose(_SILENT)


# --- one connection, on its owner's thread ------------------------------------------------------------------


def _exchange(client: Client, timeout_s: float) -> tuple[MQTTErrorCode, bool]:
    """Read what comes within `timeout_s`, then write what waits; how it went, and whether anything came.

    In this order: a broker that refuses has said why before it closes, and a write then finds only the end.
    """
    line = client.socket()
    if line is None:
        return MQTTErrorCode.MQTT_ERR_NO_CONN, False
    code = MQTTErrorCode.MQTT_ERR_SUCCESS
    heard = uplink_socket.readable(line, timeout_s, writing=client.want_write())
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


def _check(code: MQTTErrorCode) -> None:
    if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
        raise LinkUnavailable(f"the link does not take it: {error_string(code)}")
