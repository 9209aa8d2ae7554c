"""Deliver over a real store and the real uplink, on a thread of its own, and a look over its shoulder."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests.system.daemon import UNIT
from trapd import parts
from trapd.backends.uplink_paho import Account, PahoUplink
from trapd.demo.broker import HOST
from trapd.host.clock import SystemClock
from trapd.ports import Acknowledged, Link, LinkEvent, Uplink
from trapd.records import Event, Frame, Trigger, Verdict
from trapd.stages.alerts import Alerts
from trapd.stages.deliver.stage import Deliver, DeliverPlan
from trapd.store import ExifContext, Session, Store
from trapd.wire import codec
from trapd.wire.topics import Topics
from trapd.wire.window import Backoff

_ENDS_WITHIN_S = 60.0  # only so that nothing hangs


@dataclass(slots=True)
class Handed:
    """One publish that was handed to the socket. `answered_s` is None until the broker has answered it."""

    leaf: str
    at_s: float
    answered_s: float | None = None

    def waited_s(self, now_s: float) -> float:
        return (self.answered_s or now_s) - self.at_s


class WatchedUplink:
    """An Uplink that notes what passes through it: `handed` in order, of all links together."""

    def __init__(self, uplink: Uplink) -> None:
        self._uplink = uplink
        self.handed: list[Handed] = []

    def connect(self, will: tuple[str, bytes] | None, *, fresh: bool = False) -> Link:
        return _WatchedLink(self._uplink.connect(will, fresh=fresh), self.handed)


class _WatchedLink:
    def __init__(self, link: Link, handed: list[Handed]) -> None:
        self._link = link
        self._handed = handed
        self._by_token: dict[int, Handed] = {}
        self.subscribe = link.subscribe
        self.acknowledge = link.acknowledge
        self.flush = link.flush
        self.close = link.close

    def next(self, timeout_s: float) -> LinkEvent | None:
        event = self._link.next(timeout_s)
        if isinstance(event, Acknowledged) and event.token in self._by_token:
            self._by_token.pop(event.token).answered_s = time.monotonic()
        return event

    def publish(self, topic: str, payload: bytes, *, retain: bool, correlation: bytes | None = None) -> int:
        token = self._link.publish(topic, payload, retain=retain, correlation=correlation)
        self._by_token[token] = Handed(topic.split("/", 3)[3], time.monotonic())
        self._handed.append(self._by_token[token])
        return token


class Sender:
    """A unit that only delivers. `failure`: what ended its thread, which nothing ever should.

    `watched`: what it hands over is noted, and kept in memory. `plan`: more of DeliverPlan.
    """

    def __init__(
        self,
        root: Path,
        port: int,
        *,
        unit: str = UNIT,
        backoff: Backoff | None = None,
        watched: bool = True,
        protocol: Literal["5", "3.1.1"] = "5",
        **plan: Any,
    ) -> None:
        self.unit = unit
        self.clock = SystemClock()
        self.store = Store.open(root, unit, clock=self.clock, max_bytes=10**11, min_free_bytes=0)
        account = Account(
            HOST, port, client_id=f"trapd-{unit}", username=None, password=lambda: None, tls=None,
            protocol=protocol, keepalive_s=60,
        )  # fmt: skip
        raw: Uplink = PahoUplink(account)
        self.uplink = WatchedUplink(raw)
        uplink: Uplink = self.uplink if watched else raw
        self.stage = Deliver(
            DeliverPlan(parts.WINDOW, dead_after_s=96.0, limit_is_told=protocol == "5", **plan),
            uplink=uplink,
            topics=Topics("trapd/v1", unit),
            store=self.store,
            alerts=Alerts(self.store, codec.alert, lambda: codec.rfc3339(self.clock.now().wall_ms)),
            clock=self.clock,
            encode_event=codec.event,
            backoff=backoff or Backoff(random.Random()),
        )
        self.failure: BaseException | None = None
        self.thread = threading.Thread(target=self._run, name="sender")

    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        """As the supervisor does it; raises what had ended the thread before."""
        self.stage.stop.set()
        self.thread.join(_ENDS_WITHIN_S)
        self.store.close(clean=True)
        if self.failure is not None:
            raise self.failure

    def session(self) -> Session:
        return self.store.session()

    def event(self, session: Session, photographs: list[bytes], **settling: Any) -> Event:
        """A burst as Capture and Screen leave it, due for delivery."""
        moment = self.clock.now()
        trigger = Trigger("timer", "timer", moment.boot_ns)
        seq = self.store.next_seq()
        files = self.store.burst_files(
            seq, moment, ExifContext(self.unit, "replay"), trigger=trigger, config=""
        )
        for data in photographs:
            files.add(Frame(data, 640, 360, moment.boot_ns))
        event = session.events.record(
            seq=seq, moment=moment, trigger=trigger, media=files.commit(), config="", env={}
        )
        verdict = Verdict("unclassified", keep=True, score=0.9, model="fake", threshold=0.35)
        return session.events.settle(
            event.id, verdict, thumb=self.store.write_thumb(event, 0, 24_576), **settling
        )

    def _run(self) -> None:
        try:
            self.stage.run()
        except BaseException as error:
            self.failure = error
