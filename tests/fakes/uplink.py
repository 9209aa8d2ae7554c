"""An Uplink without a network: a broker in memory, with knobs for what real ones do.

It keeps the contract of `trapd.ports.Uplink` (it runs through the same suite) and may be used from several
threads.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from trapd.errors import BadInput, LinkUnavailable
from trapd.ports import Acknowledged, Connected, Link, LinkEvent, Lost, Received, Subscribed, TooLarge

_LINKS = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Published:
    """What reached the broker, by which client."""

    client_id: str
    topic: str
    payload: bytes
    retain: bool
    correlation: bytes | None = None


class FakeBroker:
    """Retained messages, sessions, wills and subscriptions, as MQTT 5 has them.

    Knobs: `refusal` (every connect ends in this Lost), `silent` (connects are never answered), `reason`
    (topic to reason code of its answer; what is refused is not passed on), `withhold` (no publish is
    answered until `release`), `slow` (nor one whose topic holds this), `forbidden` (filters it will not
    subscribe), `receive_maximum`, `maximum_packet_bytes`, `ends_over_bytes` (a larger payload ends the
    link, without a word), `ends_over` (so does one that holds this, or whose topic does, with the word
    `end_code`; `ended_over` counts), `unit_takes_bytes` (what is larger ends the link on the unit's side,
    `refused_by_unit` counts; `names_topic` is what the unit then knows of its topic), `most_unacknowledged`
    (so many messages to a unit wait for its answer; None: any number). `published` lists what arrived,
    refused or not; `answered` what was answered, with the reason, in that order; `unacknowledged` what a
    client was given and has not acknowledged: it comes again with its next link.
    """

    def __init__(self) -> None:
        self.refusal: Lost | None = None
        self.silent = False
        self.reason: Callable[[str], int] = lambda topic: 0x00
        self.withhold = False
        self.slow = ""
        self.forbidden: frozenset[str] = frozenset()
        self.receive_maximum = 65535
        self.maximum_packet_bytes: int | None = None
        self.ends_over_bytes: int | None = None
        self.ends_over = b""
        self.end_code: int | None = None
        self.ended_over = 0
        self.unit_takes_bytes: int | None = None
        self.names_topic: Callable[[str], str | None] = lambda topic: topic
        self.refused_by_unit = 0
        self.most_unacknowledged: int | None = None
        self.published: list[Published] = []
        self.answered: list[tuple[Published, int]] = []
        self.retained: dict[str, bytes] = {}
        self.connects = 0
        self._running = True
        self._lock = threading.RLock()
        self._links: dict[str, FakeLink] = {}
        self._sessions: dict[str, list[str]] = {}
        self._live: dict[str, frozenset[str]] = {}
        self._missed: dict[str, list[Received]] = {}
        self._given: dict[str, dict[int, Received]] = {}
        self._numbers = 0
        self._held: list[tuple[FakeLink, Acknowledged, Published]] = []
        self._watchers: list[tuple[str, queue.SimpleQueue[Received]]] = []

    def stop(self) -> None:
        """The broker ends: every link is lost, no will is sent."""
        with self._lock:
            self._running = False
            self._break_links(Lost("the broker closed the connection", ended=True), wills=False)

    def start(self, *, keep: bool = True) -> None:
        """The broker runs again, with its database or (`keep` false) without. Nothing if it runs already."""
        with self._lock:
            if self._running:
                return
            self._running = True
            if not keep:
                self.retained.clear()
                self._sessions.clear()
                self._missed.clear()
                self._given.clear()

    def drop(self) -> None:
        """The network breaks every link; the broker sends the wills."""
        with self._lock:
            self._break_links(Lost("the connection broke off", ended=True), wills=True)

    def fall_silent(self) -> None:
        """Every link takes the broker for dead; nobody has ended it."""
        with self._lock:
            self._break_links(Lost("the broker has gone silent"), wills=True)

    def release(self) -> None:
        """Answer what was withheld, and withhold no more."""
        with self._lock:
            self.withhold = False
            held, self._held = self._held, []
            for link, answer, message in held:
                self._answer(link, answer, message)

    def watch(self, pattern: str) -> queue.SimpleQueue[Received]:
        """All messages from now on whose topic matches, and the retained ones at once."""
        with self._lock:
            messages: queue.SimpleQueue[Received] = queue.SimpleQueue()
            for topic, payload in self.retained.items():
                if matches(pattern, topic):
                    messages.put(Received(topic, payload, retained=True))
            self._watchers.append((pattern, messages))
            return messages

    def say(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = False,
        response_topic: str | None = None,
        correlation: bytes | None = None,
    ) -> None:
        """An operator publishes."""
        with self._lock:
            if retain and payload:
                self.retained[topic] = payload
            elif retain:
                self.retained.pop(topic, None)
            message = Received(topic, payload, retain, response_topic, correlation)
            for client_id, filters in self._sessions.items():
                if not any(matches(pattern, topic) for pattern in filters):
                    continue
                link = self._links.get(client_id)
                theirs = (
                    replace(message, retained=False) if topic in self._live.get(client_id, ()) else message
                )
                if link is not None:
                    self._pass_on(link, theirs)
                else:
                    self._missed.setdefault(client_id, []).append(theirs)
            for pattern, messages in self._watchers:
                if matches(pattern, topic):
                    messages.put(message)

    def unacknowledged(self, client_id: str) -> list[Received]:
        """What this client was given, in order, and has not acknowledged."""
        with self._lock:
            return list(self._given.get(client_id, {}).values())

    # --- what links call -----------------------------------------------------------------------------------

    def joined(self, link: FakeLink) -> None:
        with self._lock:
            self.connects += 1
            if self.silent:
                return
            if self.refusal is not None or not self._running:
                link.give(self.refusal or Lost("nothing listens there", unreachable=True))
                return
            earlier = self._links.pop(link.client_id, None)
            if earlier is not None:
                earlier.give(Lost("another client has connected under this unit's name", 0x8E))
            if link.fresh:
                self._sessions.pop(link.client_id, None)
                self._missed.pop(link.client_id, None)
                self._given.pop(link.client_id, None)
            present = link.client_id in self._sessions
            self._sessions.setdefault(link.client_id, [])
            self._links[link.client_id] = link
            link.give(Connected(present, self.receive_maximum, self.maximum_packet_bytes))
            for number, message in list(self._given.get(link.client_id, {}).items()):
                self._given[link.client_id][number] = again = replace(message, again=True)
                link.give(again)
            for message in self._missed.pop(link.client_id, ()):
                self._pass_on(link, message)

    def acknowledged(self, link: FakeLink, number: int) -> None:
        with self._lock:
            self._given.get(link.client_id, {}).pop(number, None)
            if self._links.get(link.client_id) is link:
                for message in self._missed.pop(link.client_id, ()):
                    self._pass_on(link, message)

    def took(
        self,
        link: FakeLink,
        token: int,
        topic: str,
        payload: bytes,
        retain: bool,
        correlation: bytes | None = None,
    ) -> None:
        with self._lock:
            if self._links.get(link.client_id) is not link:
                raise LinkUnavailable("the link is lost")
            if self.ends_over_bytes is not None and len(payload) > self.ends_over_bytes:
                self._break_links(Lost("the connection broke off", ended=True), wills=True)
                return
            if self.ends_over and self.ends_over in payload + topic.encode():
                self.ended_over += 1
                self._break_links(Lost("the broker ended it", self.end_code, ended=True), wills=True)
                return
            message = Published(link.client_id, topic, payload, retain, correlation)
            self.published.append(message)
            reason = self.reason(topic)
            if reason < 0x80:
                self.say(topic, payload, retain=retain, correlation=correlation)
            answer = Acknowledged(token, reason)
            if self.withhold or (self.slow and self.slow in message.topic):
                self._held.append((link, answer, message))
            else:
                self._answer(link, answer, message)

    def asked(self, link: FakeLink, filters: tuple[str, ...], live: Collection[str]) -> None:
        with self._lock:
            if self._links.get(link.client_id) is not link:
                raise LinkUnavailable("the link is lost")
            granted = [pattern for pattern in filters if pattern not in self.forbidden]
            session = self._sessions.setdefault(link.client_id, [])
            session.extend(pattern for pattern in granted if pattern not in session)
            self._live[link.client_id] = frozenset(live)
            link.give(Subscribed(tuple(pattern for pattern in filters if pattern in self.forbidden)))
            for topic, payload in self.retained.items():
                if any(matches(pattern, topic) for pattern in granted):
                    self._pass_on(link, Received(topic, payload, retained=True))

    def left(self, link: FakeLink) -> None:
        with self._lock:
            if self._links.get(link.client_id) is link:
                del self._links[link.client_id]
                link.give(Lost("closed"))

    def _pass_on(self, link: FakeLink, message: Received) -> None:
        """To a unit that ends the link over what is too large; then it has not got it, and gets it again."""
        size_bytes = len(message.payload)
        if self.unit_takes_bytes is not None and size_bytes > self.unit_takes_bytes:
            self.refused_by_unit += 1
            if self._links.pop(link.client_id, None) is link:
                link.give(Lost("too large", too_large=TooLarge(size_bytes, self.names_topic(message.topic))))
            self._missed.setdefault(link.client_id, []).append(message)
            return
        given = self._given.setdefault(link.client_id, {})
        if self.most_unacknowledged is not None and len(given) >= self.most_unacknowledged:
            self._missed.setdefault(link.client_id, []).append(message)
            return
        self._numbers += 1
        given[self._numbers] = message = replace(message, number=self._numbers)
        link.give(message)

    def _answer(self, link: FakeLink, answer: Acknowledged, message: Published) -> None:
        self.answered.append((message, answer.reason))
        link.give(answer)

    def _break_links(self, lost: Lost, *, wills: bool) -> None:
        links, self._links = list(self._links.values()), {}
        self._held = []
        for link in links:
            link.give(lost)
            if wills and link.will is not None:
                self.say(link.will[0], link.will[1], retain=True)


@dataclass(frozen=True, slots=True)
class FakeUplink:
    """The Uplink port over a FakeBroker."""

    broker: FakeBroker
    client_id: str = "unit"

    def connect(self, will: tuple[str, bytes] | None, *, fresh: bool = False) -> Link:
        link = FakeLink(self.broker, self.client_id, will, fresh=fresh)
        self.broker.joined(link)
        return link


class FakeLink:
    """The Link port over a FakeBroker."""

    def __init__(
        self, broker: FakeBroker, client_id: str, will: tuple[str, bytes] | None, *, fresh: bool
    ) -> None:
        self.client_id = client_id
        self.fresh = fresh
        self.will = will
        self._broker = broker
        self._events: queue.SimpleQueue[LinkEvent] = queue.SimpleQueue()
        self._connected = False
        self._ended = False
        self._closed = False
        self._token = 0
        self._unanswered = 0
        self._unwritten: list[tuple[int, str, bytes, bool, bytes | None]] = []
        self._link = next(_LINKS)
        self._unacknowledged: dict[int, bool] = {}

    def give(self, event: LinkEvent) -> None:
        """What happens to this link next."""
        self._events.put(event)

    def next(self, timeout_s: float) -> LinkEvent | None:
        if self._ended:
            return None
        self.flush()
        try:
            event = self._events.get(timeout=timeout_s)
        except queue.Empty:
            return None
        match event:
            case Connected():
                self._connected = True
            case Acknowledged():
                self._unanswered -= 1
            case Received():
                if event.number is not None:
                    self._unacknowledged[event.number] = False
                return replace(event, link=self._link)
            case Lost():
                self._ended = True
        return event

    def acknowledge(self, message: Received) -> None:
        waiting = self._unacknowledged
        if message.link != self._link or message.number not in waiting or self._ended or self._closed:
            return
        waiting[message.number] = True
        while waiting and waiting[first := next(iter(waiting))]:
            del waiting[first]
            self._broker.acknowledged(self, first)

    def publish(self, topic: str, payload: bytes, *, retain: bool, correlation: bytes | None = None) -> int:
        self._check_usable()
        if "#" in topic or "+" in topic or not topic:
            raise BadInput(f"{topic!r} cannot be published")
        if self._unanswered >= self._broker.receive_maximum:
            raise LinkUnavailable("the broker takes no more unanswered messages")
        self._token += 1
        self._unanswered += 1
        self._unwritten.append((self._token, topic, payload, retain, correlation))
        return self._token

    def flush(self) -> None:
        with contextlib.suppress(LinkUnavailable):  # `next` says so
            while self._unwritten and not (self._ended or self._closed):
                self._broker.took(self, *self._unwritten.pop(0))

    def subscribe(self, filters: tuple[str, ...], *, live: Collection[str] = ()) -> None:
        self._check_usable()
        self._broker.asked(self, filters, live)

    def close(self) -> None:
        self.flush()
        self._closed = True
        self._broker.left(self)

    def _check_usable(self) -> None:
        if not self._connected or self._ended or self._closed:
            raise LinkUnavailable("the link is not connected")


def matches(pattern: str, topic: str) -> bool:
    """Whether `topic` falls under the subscription `pattern`. MQTT 5.0, section 4.7."""
    wanted, given = pattern.split("/"), topic.split("/")
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index >= len(given) or level not in ("+", given[index]):
            return False
    return len(wanted) == len(given)
