"""Deliver: from the outbox to the broker, in order of priority, until the broker has each row.

One thread owns the uplink and its link. A row leaves the store only when the broker has answered its publish
with a reason that lets it go, and where receipts are asked for, an event's only when its receiver has said so
too; whatever is in flight when the link is lost goes again on the next one.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable

from trapd.errors import LinkUnavailable, StoreFull
from trapd.ports import Acknowledged, Clock, Connected, Lost, Received, Subscribed, Uplink
from trapd.records import Event, Kind
from trapd.rules import NS_PER_S, Allowance, Budget, own_reserve_bytes
from trapd.stages.alerts import Alerts
from trapd.stages.base import Stage
from trapd.stages.deliver.answers import Answers
from trapd.stages.deliver.connection import Connection, HeldBack
from trapd.stages.deliver.declined import Declined
from trapd.stages.deliver.flood import Flood
from trapd.stages.deliver.inbound import Inbound
from trapd.stages.deliver.link_ends import LinkEnds
from trapd.stages.deliver.payloads import Payloads
from trapd.stages.deliver.plan import DeliverPlan
from trapd.stages.deliver.sending import Sending
from trapd.stages.deliver.spending import Spending
from trapd.stages.deliver.suspicion import Suspicion
from trapd.store import Session, Store
from trapd.wire.topics import CONFIG_DESIRED, Topics
from trapd.wire.window import Backoff, Window

__all__ = ["Deliver", "DeliverPlan"]

log = logging.getLogger("trapd.deliver")

_TURN_S = 0.2
_CONNECT_WITHIN_S = 45.0
_OUTAGE_ALERT_S = 60.0
_TAKEN_OVER = 0x8E
_TAKEN_OVER_PAUSE_S = 60.0
_NOT_CLONED_S = 600.0  # a link of this length without another under our name: the alert is over
_DRAIN_S = 2.0  # with the goodbye and the link's own end half of what the supervisor allows
_GOODBYE_S = 1.5
_REPLAYS, _REPLAY_EVERY_S = 4, 3600.0
_EVENTS_AT_ONCE = 100
_GATHER_S = 0.001
_DISK_S = 0.002


class Deliver(Stage):
    """Outbox to broker. `encode_event` turns an event into its payload."""

    name = "deliver"
    patience_s = 60.0

    def __init__(
        self,
        plan: DeliverPlan,
        *,
        uplink: Uplink,
        topics: Topics,
        store: Store,
        alerts: Alerts,
        clock: Clock,
        encode_event: Callable[[Event], bytes],
        backoff: Backoff,
        pass_on: Callable[[Received], bool] | None = None,
    ) -> None:
        super().__init__()
        self._plan = plan
        self._uplink = uplink
        self._topics = topics
        self._store = store
        self._alerts = alerts
        self._declined = Declined(alerts)
        self._clock = clock
        self._inbound = Inbound(topics, clock=clock, pass_on=pass_on, groups=plan.groups)
        self._flood = Flood(topics, alerts, clock)
        self._lift_rests = threading.Event()
        budget = None
        if plan.bytes_per_day is not None:
            own_bytes = own_reserve_bytes(plan.bytes_per_day, plan.alert_reserve_bytes)
            budget = Budget(plan.bytes_per_day, plan.alert_reserve_bytes, own_bytes)
        self._spending = Spending(budget, clock, keepalive_s=plan.keepalive_s)
        self._suspicion = Suspicion(self._declined, epoch=store.epoch, within_s=plan.blame_within_s)
        self._sending = Sending(
            topics=topics,
            payloads=Payloads(store, encode_event),
            spending=self._spending,
            declined=self._declined,
            suspicion=self._suspicion,
            clock=clock,
        )
        self._backoff = backoff
        self._answers = Answers(
            receipts=plan.receipts,
            declined=self._declined,
            suspicion=self._suspicion,
            backoff=backoff,
            clock=clock,
        )
        self._connection: Connection | None = None
        self._next_try_ns = 0
        self._down_since_ns: int | None = None
        self._last_reason = ""
        self._cloned = False
        self._link_ends = LinkEnds(plan, self._suspicion, clock)
        self._replays = Allowance(_REPLAYS, _REPLAY_EVERY_S)
        self._replay_due = False
        self._held_back = HeldBack()

    @property
    def online(self) -> bool:
        """Whether the broker has us now. From any thread."""
        connection = self._connection
        return connection is not None and connection.up

    @property
    def standing(self) -> frozenset[str]:
        """What the present link has shown: `link`, `heard` (it is subscribed), `puback`. From any thread."""
        connection = self._connection
        if connection is None or not connection.up:
            return frozenset()
        shown = {"link": True, "heard": connection.heard_by_broker, "puback": connection.proved}
        return frozenset(name for name, is_so in shown.items() if is_so)

    @property
    def echo(self) -> bytes | None:
        """The unit's own probe, as it came back last. From any thread."""
        return self._inbound.echo

    @property
    def chunk_bytes(self) -> int:
        """The chunks in which photographs go now. From any thread."""
        connection = self._connection
        return self._link_ends.chunk_bytes if connection is None else connection.chunk_bytes

    def noted(self, message: Received) -> None:
        """What came of a message is noted: the broker may forget it. From any thread."""
        self._inbound.noted(message)

    def lift_rests(self) -> None:
        """Kinds of rows that nobody subscribed to are tried again at once. From any thread."""
        self._lift_rests.set()

    @property
    def held_back(self) -> HeldBack:
        """What does not go now although there is a link. From any thread."""
        return self._held_back

    def run(self) -> None:
        """Until told to stop; then hand over what is left for a few seconds, and say goodbye."""
        with self._store.session() as session:
            try:
                self._spending.load(session)
                self._suspicion.load(session, self._clock.boot_ns())
                while not self.stop.is_set():
                    self.beat()
                    self._turn(session, _TURN_S)
                self._inbound.tell(session, now=True)
                self._say_goodbye(session)
                self._spending.remember(session, now=True)
            finally:
                self._drop_link()

    def _turn(self, session: Session, timeout_s: float) -> None:
        connection = self._connection
        if connection is None:
            self._try_to_connect()
            return
        try:
            self._exchange(session, connection, timeout_s)
        except StoreFull as error:
            # Answers that cannot be noted are as good as not given: the rows go again on the next link.
            self._lost(session, Lost(f"the store takes no more: {error}"))

    def _exchange(self, session: Session, connection: Connection, timeout_s: float) -> None:
        quiet = self._listen(session, connection, timeout_s)
        if self._connection is not connection:
            return
        if self._lift_rests.is_set():
            self._lift_rests.clear()
            connection.rest_no_more(held_too=True)
            self._suspicion.try_all(self._clock.boot_ns())
            self._flood.try_all()
        self._answers.ask_disk(session, connection)
        if connection.room <= 0:
            self._answers.tell_store(session, connection, all_of_it=quiet)  # nothing else makes room
        self._inbound.look(session, connection)
        self._inbound.acknowledge(connection.link)
        # Rows first, answers after: the broker is at work while the disk is.
        self._sending.pump(session, connection)
        self._note(session, connection)
        self._replay(session, self._clock.boot_ns())
        self._answers.tell_store(session, connection, all_of_it=quiet)
        self._look_for_death(session, connection)

    def _listen(self, session: Session, connection: Connection, timeout_s: float) -> bool:
        """Take what has happened; True when nothing more comes at once."""
        enough = connection.window.messages // 2
        if connection.waits_for_disk:
            timeout_s = min(timeout_s, _DISK_S)
        for count in range(1, _EVENTS_AT_ONCE + 1):
            event = connection.link.next(timeout_s)
            if event is None:
                # While answers are due, what came so far can wait for them: they share one sync.
                return count == 1 or not connection.in_flight
            if isinstance(event, Acknowledged):
                self._answers.take(connection, event)
                # Answers come in quick succession: one look and one transaction serve many of them.
                timeout_s = _GATHER_S if count < enough else 0.0
                continue
            # In the order in which it came: a receipt frees only what was acknowledged before it.
            self._answers.tell_store(session, connection, all_of_it=True, at_once=True)
            if isinstance(event, Lost):
                self._link_ends.ended(connection, event)
                self._lost(session, event)
                return True
            self._happened(session, connection, event)
            self._sending.forget_order()
            timeout_s = 0.0
        return False

    def _look_for_death(self, session: Session, connection: Connection) -> None:
        now_ns = self._clock.boot_ns()
        dead_after_s = self._plan.dead_after_s
        if not connection.up and now_ns - connection.began_ns > _CONNECT_WITHIN_S * NS_PER_S:
            self._lost(session, Lost(f"no answer within {_CONNECT_WITHIN_S:.0f} s"))
        elif connection.window.oldest_age_s(now_ns / NS_PER_S) > dead_after_s:
            self._link_ends.dead(connection)
            self._lost(session, Lost(f"a publish is unanswered for {dead_after_s:.0f} s: the link is dead"))
        elif self._cloned and connection.up and now_ns - connection.up_ns > _NOT_CLONED_S * NS_PER_S:
            self._cloned = False
            self._alerts.clear("cloned")

    def _try_to_connect(self) -> None:
        now_ns = self._clock.boot_ns()
        if now_ns < self._next_try_ns:
            self._clock.wait(self.stop, min(_TURN_S, (self._next_try_ns - now_ns) / NS_PER_S))
            return
        will = (self._topics.full("availability"), b"offline")
        link = self._uplink.connect(will, fresh=self._flood.fresh)
        self._connection = Connection(link, now_ns, Window(self._plan.limit), self._plan.limit.messages)
        self._sending.forget_order()

    def _happened(
        self, session: Session, connection: Connection, event: Connected | Received | Subscribed
    ) -> None:
        if isinstance(event, Connected):
            self._came_up(session, connection, event)
        elif isinstance(event, Received):
            self._spending.answered()
            self._inbound.take(session, connection, event)
        elif event.refused:
            self._alerts.raise_(
                "unheard",
                f"the broker does not let the unit listen to {', '.join(event.refused)}",
                "look at the broker's access rules: receipts and commands do not arrive",
            )
        else:
            connection.heard_by_broker = True
            self._alerts.clear("unheard")

    def _came_up(self, session: Session, connection: Connection, event: Connected) -> None:
        now_ns = self._clock.boot_ns()
        connection.came_up(
            self._link_ends.begun(event),
            self._plan.limit,
            now_ns=now_ns,
            chunk_bytes=self._link_ends.chunk_bytes,
            base=self._topics.full(""),
            last_mark=session.outbox.last_mark(),
        )
        self._last_reason = ""
        down_ns = now_ns - (self._down_since_ns or now_ns)
        log.info("connected%s", f" after {down_ns / NS_PER_S:.1f} s" if down_ns else "")
        self._down_since_ns = None
        # A broker that lost power comes back with what it had saved half an hour ago: our session may be
        # there, and retained leaves gone or old. Where there is no session, all of it is lost for sure.
        self._replay_due = True
        if not event.session_present:
            self._replays = Allowance(_REPLAYS, _REPLAY_EVERY_S)
        self._replay(session, now_ns)
        session.outbox.put(Kind.CONTROL, "availability", b"online", retain=True)
        self._alerts.clear("broker")
        self._flood.link_begins()
        self._inbound.link_begins(new_session=not event.session_present)
        self._subscribe(connection)

    def _subscribe(self, connection: Connection) -> None:
        filters = self._flood.filters(self._inbound.filters())
        self._spending.link_began(filters)
        if not filters:
            return
        try:
            connection.link.subscribe(filters, live=(self._topics.full(CONFIG_DESIRED),))
        except LinkUnavailable as error:
            log.info("not subscribed: %s", error)  # the link has just gone: Lost comes next

    def _replay(self, session: Session, now_ns: int) -> None:
        """Retained leaves again, where that is due and may be: a link that comes and goes must not pay."""
        if self._replay_due and self._replays.take(now_ns / NS_PER_S):
            session.outbox.replay_retained()
            self._replay_due = False

    def _note(self, session: Session, connection: Connection) -> None:
        """For who wants to know: what does not go now, and why; what was sent so far."""
        self._held_back = connection.held_back()
        if connection.short:
            self._alerts.raise_(
                "budget",
                "publish.bytes_per_day is spent: what is due waits",
                "raise it (from afar too), or lower publish.thumbnail_bytes; alerts have"
                " publish.alert_reserve_bytes left",
            )
        elif connection.up:
            self._alerts.clear("budget")
        if connection.up:
            self._spending.link_stands()
        self._spending.remember(session)
        self._suspicion.remember(session)
        self._inbound.tell(session)
        self._answers.forget_replies(session, connection)
        if connection.up and self._flood.look((self._clock.boot_ns() - connection.up_ns) / NS_PER_S):
            self._subscribe(connection)

    def _lost(self, session: Session, event: Lost) -> None:
        was_up = self._connection is not None and self._connection.up
        self._drop_link()
        self._suspicion.remember(session)
        now_ns = self._clock.boot_ns()
        if self._down_since_ns is None:
            self._down_since_ns = now_ns
        wait_s = self._backoff.failed(now_ns / NS_PER_S)
        if event.too_large is not None:
            wait_s = max(wait_s, self._flood.ended(session, event.too_large))
        if event.code == _TAKEN_OVER:
            wait_s = max(wait_s, _TAKEN_OVER_PAUSE_S)  # else the two of us would throw each other out
            self._cloned = True
            self._alerts.raise_(
                "cloned",
                "another unit has connected under this one's id",
                "is its card a copy of this one's? give each unit an id of its own",
            )
        self._next_try_ns = now_ns + int(wait_s * NS_PER_S)
        if was_up:
            log.warning("link lost: %s; next try in %.1f s", event.reason, wait_s)
        elif event.reason != self._last_reason:
            log.warning("no link: %s; trying again until there is one", event.reason)
        else:
            log.debug("no link: %s; next try in %.1f s", event.reason, wait_s)
        self._last_reason = event.reason
        refused = event.code is not None and event.code != _TAKEN_OVER
        if refused:
            with contextlib.suppress(StoreFull):
                session.counters.add("links_refused")
        if refused or now_ns - self._down_since_ns > _OUTAGE_ALERT_S * NS_PER_S:
            # The broker spoke, and will not have us; or nobody has answered for long. Told once it has.
            hint = (
                "the broker's log says more; the unit goes on trying"
                if refused
                else "the unit goes on trying"
            )
            self._alerts.raise_("broker", event.reason, hint)

    def _drop_link(self) -> None:
        if self._connection is not None:
            self._connection.link.close()
            self._connection = None

    def _say_goodbye(self, session: Session) -> None:
        """Hand over what is left for a few seconds; then `stopped`: silence alone would look like a fault."""
        self._drain(session, _DRAIN_S)
        connection = self._connection
        if connection is None or not connection.up:
            return
        connection.leaving = True
        try:
            session.outbox.put(Kind.CONTROL, "availability", b"stopped", retain=True)
        except StoreFull as error:
            log.warning("no goodbye: %s", error)
            return
        self._sending.forget_order()
        self._drain(session, _GOODBYE_S)

    def _drain(self, session: Session, most_s: float) -> None:
        end_ns = self._clock.boot_ns() + int(most_s * NS_PER_S)
        while (connection := self._connection) is not None and connection.up:
            self.beat()
            self._turn(session, 0.05)
            waits = connection.choice(self._clock.boot_ns())
            left = connection.in_flight or connection.unnoted or session.outbox.next(1, max_bytes=1, **waits)
            if not left or self._clock.boot_ns() >= end_ns:
                return
