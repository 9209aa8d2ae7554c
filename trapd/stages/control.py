"""Control: the operator's word, judged and obeyed, or refused and recorded. One thread.

Deliver hands over what arrives; all that Control says goes through the outbox. A command is noted before it
is obeyed, so that one that comes again, or that ended the process, is not obeyed twice. A configuration goes
on trial by a restart of the process.
"""

from __future__ import annotations

import logging
import queue
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from trapd.errors import BadDocument, StoreFull
from trapd.frozen import frozen
from trapd.ports import Clock, Received
from trapd.records import Considered, Kind, Moment, Trigger
from trapd.rules import NS_PER_S
from trapd.stages.base import Stage
from trapd.stages.commands import COMMANDS, Asked, Means, Outcome
from trapd.stages.desired import Desired
from trapd.stages.fetch import Answer
from trapd.stages.trail import Trail
from trapd.store import Session, Store
from trapd.store.obeyed import Outgoing
from trapd.wire import codec, inbound
from trapd.wire.authority import (
    CANNOT,
    EXPIRED,
    FORBIDDEN,
    INVALID,
    NO_ROOM,
    NOT_FOUND,
    OK,
    ROLLED_BACK,
    TOO_LARGE,
    UNAUTHORISED,
    Authority,
    Refused,
    refuse_early,
    refuse_expired,
)
from trapd.wire.topics import CONFIG_SCHEMA, GROUP_COMMANDS, Asks, Operator, Topics, answer, command

log = logging.getLogger("trapd.control")

_TURN_S = 0.2
_MOST_WAITING = 200
_MOST_WAITING_BYTES = 4_000_000
_MOST_LATER = 50
_GROUP_WITHIN_S = 30.0
_MOST_ANSWERS = 200  # waiting to be sent; what asks faster gets none, and is obeyed all the same
_SHOWN = 80
_BURST_WITHIN_S = 120.0


@frozen
class _Caller:
    """Whom to answer: the command's leaf for the trail, and the leaves that the answer goes to."""

    leaf: str
    answers: tuple[str, ...]
    txn: str | None = None
    kid: str | None = None


@frozen
class _Burst:
    """A command that waits for the burst it asked for."""

    caller: _Caller
    until_ns: int


@frozen
class _Later:
    """A group's command, which waits so that the units do not all answer at once. `came`: when it arrived."""

    due_ns: int
    message: Received
    asked: Operator
    came: Moment


class Control(Stage):
    """`authority`: who may. `means`: what commands work with. `desired`: the configuration's own leaf."""

    name = "control"
    patience_s = 120.0  # a model's self-test on a small machine is part of a proposal

    def __init__(
        self,
        *,
        topics: Topics,
        store: Store,
        clock: Clock,
        authority: Authority,
        means: Means,
        desired: Desired,
        trail: Trail,
        schema: Callable[[], bytes],
        draw: random.Random,
    ) -> None:
        super().__init__()
        self._topics = topics
        self._store = store
        self._clock = clock
        self._authority = authority
        self._means = means
        self._desired = desired
        self._trail = trail
        self._schema = schema
        self._draw = draw
        self._inbox: queue.Queue[Received] = queue.Queue(_MOST_WAITING)
        self._waiting_bytes = 0  # put by Deliver, taken by Control: only ever a guard
        self._later: list[_Later] = []
        self._bursts: dict[Trigger, _Burst] = {}

    def offer(self, message: Received) -> bool:
        """Take what arrived, on Deliver's thread; False where too much waits."""
        if self._waiting_bytes + len(message.payload) > _MOST_WAITING_BYTES and self._waiting_bytes:
            return False
        try:
            self._inbox.put_nowait(message)
        except queue.Full:
            return False
        self._waiting_bytes += len(message.payload)
        return True

    def run(self) -> None:
        """Until told to stop."""
        with self._store.session() as session:
            self._begin(session)
            while not self.stop.is_set():
                self.beat()
                self._turn(session, _TURN_S)

    def _begin(self, session: Session) -> None:
        schema = self._schema()
        with suppress(StoreFull):  # what is not told now is told by the next start
            self._desired.report(session)
            if session.outbox.retained(CONFIG_SCHEMA).get(CONFIG_SCHEMA) != schema:
                session.outbox.put(Kind.CONTROL, CONFIG_SCHEMA, schema, retain=True)

    def _turn(self, session: Session, timeout_s: float) -> None:
        try:
            self._work(session, timeout_s)
        except StoreFull as error:
            # What was not noted was not obeyed either: the operator hears nothing, and asks again.
            log.warning("Control waits for space: %s", error)
            self._clock.wait(self.stop, 1.0)

    def _work(self, session: Session, timeout_s: float) -> None:
        with suppress(queue.Empty):
            message = self._inbox.get(timeout=timeout_s) if timeout_s else self._inbox.get_nowait()
            self._waiting_bytes -= len(message.payload)
            self._take(session, message)
        self._take_later(session)
        self._answer_bursts(session)
        self._desired.look(session)
        self._trail.look(session)

    def _take(self, session: Session, message: Received) -> None:
        asked = self._topics.parse(message.topic)
        if asked is None:
            error = Refused(NOT_FOUND, "no command has such a name")
            self._refuse(session, _Caller("cmd/?", ()), error)
        elif asked.asks is Asks.CONFIG:
            self._desired.take(session, message)
        elif asked.group is None:
            self._command(session, message, asked, self._clock.now())
        elif len(self._later) < _MOST_LATER:
            now = self._clock.now()
            due_ns = now.boot_ns + int(self._draw.uniform(0, _GROUP_WITHIN_S) * NS_PER_S)
            self._later.append(_Later(due_ns, message, asked, now))
        else:
            session.counters.add("commands_dropped")

    def _take_later(self, session: Session) -> None:
        now_ns = self._clock.boot_ns()
        due = [entry for entry in self._later if entry.due_ns <= now_ns]
        self._later = [entry for entry in self._later if entry.due_ns > now_ns]
        for entry in due:
            self._command(session, entry.message, entry.asked, entry.came)

    def _command(self, session: Session, message: Received, asked: Operator, came: Moment) -> None:
        """`came`: when it arrived, which is what its expiry is judged by."""
        name = asked.command or ""
        shown = command(name) if asked.group is None else f"_group/{asked.group}/{command(name)}"
        if message.retained and not message.payload:
            return  # somebody clears it at the broker
        if message.retained:
            # It would be obeyed again with every connection; nor is it answered, with every connection.
            log.warning("a retained %s is refused; clear it at the broker", name)
            session.counters.add("commands_refused")
            session.obeyed.tell((), self._trail.record(shown, INVALID, message="retained"))
            return
        caller = _Caller(shown, self._answers_to(name, message))
        try:
            document = inbound.document(message.payload)
            caller = replace(caller, txn=inbound.txn_of(document))
            caller = replace(caller, kid=self._authority.check(message.topic, document))
            if caller.txn is not None and (known := session.obeyed.known(caller.txn)) is not None:
                self._again(session, caller, known.answer)
                return
            obey = self._allowed(name, asked)
            request = inbound.request(document, signed=caller.kid is not None)
            self._refuse_late(session, request, name, caller.kid, came)
        except inbound.TooLarge as error:
            self._refuse(session, caller, Refused(TOO_LARGE, str(error)))
        except BadDocument as error:
            self._refuse(session, caller, Refused(INVALID, error.message))
        except Refused as error:
            self._refuse(session, caller, error)
        else:
            source = asked.group or ""
            self._obey(session, caller, obey, Asked(request, caller.kid, self._desired.ready, source))

    def _allowed(self, name: str, asked: Operator) -> Callable[[Means, Session, Asked], Outcome]:
        obey = COMMANDS.get(name)
        if obey is None:
            raise Refused(NOT_FOUND, "there is no such command", f"there are {', '.join(sorted(COMMANDS))}")
        if asked.group is not None and name not in GROUP_COMMANDS:
            raise Refused(FORBIDDEN, f"a group cannot be told to {name}")
        return obey

    def _refuse_late(
        self, session: Session, request: inbound.Request, name: str, kid: str | None, now: Moment
    ) -> None:
        refuse_expired(request.period, now)
        refuse_early(request.period, now)
        issued_ms = request.period.issued_ms
        if issued_ms is not None and issued_ms <= session.obeyed.forgotten_ms():
            raise Refused(EXPIRED, "it is older than what the unit remembers", "issue it again")
        if name == "reboot" and kid is None and now.quality == "unset":
            raise Refused(UNAUTHORISED, "while the clock is not set a reboot must be signed", "sign it")

    def _obey(
        self,
        session: Session,
        caller: _Caller,
        obey: Callable[[Means, Session, Asked], Outcome],
        asked: Asked,
    ) -> None:
        request = asked.request
        if not session.obeyed.begin(request.txn, caller.leaf, request.period.issued_ms):
            return
        log.info("%s %s", caller.leaf, request.txn[:_SHOWN])
        try:
            outcome = obey(self._means, session, asked)
        except StoreFull as error:
            outcome = Outcome(Answer(NO_ROOM, error=error.message))
        if outcome.waits_for is not None:
            until_ns = self._clock.boot_ns() + int(_BURST_WITHIN_S * NS_PER_S)
            self._bursts[outcome.waits_for] = _Burst(caller, until_ns)
            return
        self._end(session, caller, outcome.answer or Answer(OK), outcome.considered)
        if outcome.after is not None:
            self._do_after(outcome.after)

    def _do_after(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:  # it was answered: what fails now is told, and ends nothing
            log.error("what was asked for cannot be done: %s", error)

    def _answer_bursts(self, session: Session) -> None:
        while (taken := self._means.orders.taken()) is not None:
            burst = self._bursts.pop(taken.trigger, None)
            if burst is None:
                continue
            if taken.event_id is not None:
                self._end(session, burst.caller, Answer(OK, {"id": taken.event_id}))
            else:
                self._end(session, burst.caller, Answer(CANNOT, error=f"no burst: {taken.refusal}"))
        now_ns = self._clock.boot_ns()
        for trigger, burst in [pair for pair in self._bursts.items() if pair[1].until_ns < now_ns]:
            del self._bursts[trigger]
            self._end(session, burst.caller, Answer(ROLLED_BACK, error="no burst came of it in time"))

    def _end(
        self, session: Session, caller: _Caller, found: Answer, considered: Considered | None = None
    ) -> None:
        payload = codec.answer(self._topics.unit, caller.txn, found.code, data=found.data, error=found.error)
        record = self._trail.record(
            caller.leaf,
            found.code,
            txn=caller.txn,
            kid=caller.kid,
            version=considered.version if considered is not None else None,
            message=found.error,
        )
        outgoing = self._outgoing(session, payload, caller)
        if considered is not None and considered.changed:
            outgoing.append(self._desired.reported())
        if found.error:
            session.counters.add("commands_refused")
        try:
            session.obeyed.end(caller.txn or "", payload, outgoing, record)
        finally:
            if considered is not None:
                self._desired.follow(considered)  # see Desired: also where the disk takes no word of it

    def _refuse(self, session: Session, caller: _Caller, error: Refused) -> None:
        log.warning("%s refused with %d: %s", caller.leaf[:_SHOWN], error.code, error.message)
        session.counters.add("commands_refused")
        payload = codec.answer(self._topics.unit, caller.txn, error.code, error=error.message)
        record = self._trail.record(
            caller.leaf, error.code, txn=caller.txn, kid=caller.kid, message=error.message
        )
        session.obeyed.tell(self._outgoing(session, payload, caller), record)

    def _again(self, session: Session, caller: _Caller, payload: bytes | None) -> None:
        """A command that was here before is answered as it was, and not obeyed."""
        if payload is None:
            if any(burst.caller.txn == caller.txn for burst in self._bursts.values()):
                return  # its answer comes
            error = "the unit began with it and was interrupted"
            payload = codec.answer(self._topics.unit, caller.txn, ROLLED_BACK, error=error)
        session.obeyed.tell(self._outgoing(session, payload, caller))

    def _answers_to(self, name: str, message: Received) -> tuple[str, ...]:
        leaves = [answer(name)]
        if message.response_topic is not None:
            elsewhere = self._topics.elsewhere(message.response_topic)
            if elsewhere is not None:
                leaves.append(elsewhere)
        return tuple(leaves)

    def _outgoing(self, session: Session, payload: bytes, caller: _Caller) -> list[Outgoing]:
        if session.outbox.depth().get(Kind.CONTROL.value, 0) >= _MOST_ANSWERS:
            log.warning("a command is not answered: too many answers wait already")
            return []
        return [Outgoing(Kind.CONTROL, leaf, payload) for leaf in caller.answers]
