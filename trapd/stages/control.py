"""Control: the operator's word, judged and obeyed, or refused and recorded. One thread.

Deliver hands over what arrives; all that Control says goes through the outbox. A command is noted before it
is obeyed, so that one that comes again, or that ended the process, is not obeyed twice; what was noted and
not answered the next process answers. A configuration goes on trial by a restart of the process.
"""

from __future__ import annotations

import logging
import queue
import random
from collections.abc import Callable
from contextlib import suppress

from trapd.errors import BadDocument, StoreError, StoreFull
from trapd.frozen import Frozen, replace
from trapd.ports import Clock, Received
from trapd.records import Kind, Moment, Trigger
from trapd.rules import NS_PER_S
from trapd.stages import unheard
from trapd.stages.answering import Answers, Caller
from trapd.stages.base import Stage
from trapd.stages.commands import COMMANDS, Asked, Means, Outcome
from trapd.stages.desired import Desired
from trapd.stages.fetch import Answer
from trapd.stages.trail import Trail
from trapd.store import Session, Store
from trapd.wire import inbound
from trapd.wire.authority import (
    CANNOT,
    CONFLICT,
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
from trapd.wire.unreadable import Unreadable

log = logging.getLogger("trapd.control")

_TURN_S = 0.2
_MOST_WAITING = 200
_MOST_WAITING_BYTES = 4_000_000
_MOST_LATER = 50
_GROUP_WITHIN_S = 30.0
_SHOWN = 80
_BURST_WITHIN_S = 120.0


class _Order(Frozen):
    """A command that may be obeyed."""

    obey: Callable[[Means, Session, Asked], Outcome]
    request: inbound.Request
    source: str


class _Judged(Frozen):
    """What is to become of a command: `order` is noted and obeyed; `refused`; else it was here before."""

    caller: Caller
    order: _Order | None = None
    refused: Refused | None = None


class _Burst(Frozen):
    """A command that waits for the burst it asked for."""

    caller: Caller
    until_ns: int


class _Later(Frozen):
    """A group's command, which waits so that the units do not all answer at once. It is judged and noted."""

    due_ns: int
    judged: _Judged


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
        self._answers = Answers(topics.unit, trail=trail, desired=desired)
        self._schema = schema
        self._draw = draw
        self._inbox: queue.Queue[Received] = queue.Queue(_MOST_WAITING)
        self._held: Received | None = None
        self._waiting_bytes = 0  # put by Deliver, taken by Control: only ever a guard
        self._passed_over = 0  # counted by Deliver
        self._passed_over_noted = 0
        self._later: list[_Later] = []
        self._bursts: dict[Trigger, _Burst] = {}

    def offer(self, message: Received) -> bool:
        """Take what arrived, on Deliver's thread; False where too much waits."""
        if self._waiting_bytes + len(message.payload) > _MOST_WAITING_BYTES and self._waiting_bytes:
            self._passed_over += 1
            return False
        try:
            self._inbox.put_nowait(message)
        except queue.Full:
            self._passed_over += 1
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

    def ended(self) -> None:
        """Commands that Deliver has passed on meanwhile are for the next process: they will not come again.

        A configuration does, with the next connection; so does what is retained.
        """
        left = [] if self._held is None else [self._held]
        with suppress(queue.Empty):
            while True:
                left.append(self._inbox.get_nowait())
        prefix = self._topics.full("cmd/")
        asked = [each for each in left if not each.retained and _is_for_a_command(each, prefix)]
        try:
            with self._store.session() as session:
                unheard.keep(session, asked)
        except StoreError as error:
            log.warning("%d commands that came while trapd ended are lost: %s", len(asked), error)

    def _begin(self, session: Session) -> None:
        schema = self._schema()
        with suppress(StoreFull):
            for message in unheard.take(session):
                self.offer(message)
        with suppress(StoreFull):
            self._answers.settle(session)
        with suppress(StoreFull):  # the schema is told by the next start, all else when there is room
            self._desired.report(session)
            if session.outbox.retained(CONFIG_SCHEMA).get(CONFIG_SCHEMA) != schema:
                session.outbox.put(Kind.CONTROL, CONFIG_SCHEMA, schema, retain=True)

    def _turn(self, session: Session, timeout_s: float) -> None:
        try:
            self._work(session, timeout_s)
        except StoreFull as error:
            # What could not be noted has not been obeyed, and is looked at again. What was obeyed is answered
            # and recorded when there is room (see Answers and Desired).
            log.warning("Control waits for space: %s", error)
            self._clock.wait(self.stop, 1.0)

    def _work(self, session: Session, timeout_s: float) -> None:
        """Each of its steps, whatever another finds no room for: a trial has to end in time.

        Raises StoreFull.
        """
        full: StoreFull | None = None
        steps: tuple[Callable[[], None], ...] = (
            lambda: self._answers.settle(session),
            lambda: self._answers.look(session),
            lambda: self._take_next(session, timeout_s),
            lambda: self._take_later(session),
            lambda: self._answer_bursts(session),
            lambda: self._desired.look(session),
            lambda: self._trail.look(session),
            lambda: self._tell_passed_over(session),
        )
        for step in steps:
            try:
                step()
            except StoreFull as error:
                full = full or error
        if full is not None:
            raise full

    def _tell_passed_over(self, session: Session) -> None:
        if (passed_over := self._passed_over) > self._passed_over_noted:
            session.obeyed.pass_over(passed_over - self._passed_over_noted)
            self._passed_over_noted = passed_over
            self._trail.is_under_way()

    def _take_next(self, session: Session, timeout_s: float) -> None:
        """The next message; the same one again where there was no room to note what came of it."""
        message, self._held = self._held, None
        if message is None:
            try:
                message = self._inbox.get(timeout=timeout_s) if timeout_s else self._inbox.get_nowait()
            except queue.Empty:
                return
            self._waiting_bytes -= len(message.payload)
        try:
            self._take(session, message)
        except StoreFull:
            self._held = message
            raise

    def _take(self, session: Session, message: Received) -> None:
        asked = self._topics.parse(message.topic)
        if asked is None:
            error = Refused(NOT_FOUND, "no command has such a name")
            self._answers.refuse(session, Caller("cmd/?", ()), error)
        elif asked.asks is Asks.CONFIG:
            self._desired.take(session, message)
        elif message.retained:
            self._retained(session, message, asked)
        elif asked.group is None:
            self._do(session, self._judged(session, message, asked))
        elif len(self._later) < _MOST_LATER:
            judged = self._judged(session, message, asked)
            if judged.order is not None:  # now: in half a minute this process may be gone
                self._note(session, judged.caller, judged.order)
            wait_ns = int(self._draw.uniform(0, _GROUP_WITHIN_S) * NS_PER_S)
            self._later.append(_Later(self._clock.boot_ns() + wait_ns, judged))
        else:
            error = Refused(CONFLICT, "too many commands of groups wait already")
            self._answers.refuse(session, Caller(_leaf(asked), ()), error)

    def _take_later(self, session: Session) -> None:
        now_ns = self._clock.boot_ns()
        for entry in [entry for entry in self._later if entry.due_ns <= now_ns]:
            self._do(session, entry.judged, is_noted=True)
            self._later.remove(entry)

    def _retained(self, session: Session, message: Received, asked: Operator) -> None:
        """It would be obeyed again with every connection; nor is it answered, with every connection."""
        if not message.payload:
            return  # somebody clears it at the broker
        log.warning("a retained %s is refused; clear it at the broker", asked.command)
        session.counters.add("commands_refused")
        session.obeyed.tell((), self._trail.record(_leaf(asked), INVALID, message="retained"))

    def _judged(self, session: Session, message: Received, asked: Operator) -> _Judged:
        """What is to become of a command; nothing has yet."""
        name = asked.command or ""
        caller = Caller(_leaf(asked), self._answers_to(name, message))
        try:
            document = inbound.document(message.payload)
            caller = replace(caller, txn=inbound.txn_of(document))
            caller = replace(caller, kid=self._authority.check(message.topic, document))
            if caller.kid is not None:
                self._means.overlays.heard(caller.kid)
            if caller.txn is not None and session.obeyed.known(caller.txn) is not None:
                return _Judged(caller)
            obey = self._allowed(name, asked)
            request = inbound.request(document, signed=caller.kid is not None)
            self._refuse_late(session, request, name, caller.kid, self._clock.now())
        except Unreadable as error:
            code = TOO_LARGE if isinstance(error, inbound.TooLarge) else INVALID
            caller = replace(caller, txn=inbound.txn_of(error.members))
            said = str(error) if code == TOO_LARGE else error.message
            return _Judged(caller, refused=Refused(code, said))
        except BadDocument as error:
            return _Judged(caller, refused=Refused(INVALID, error.message))
        except Refused as error:
            return _Judged(caller, refused=error)
        return _Judged(caller, _Order(obey, request, asked.group or ""))

    def _do(self, session: Session, judged: _Judged, *, is_noted: bool = False) -> None:
        caller = judged.caller
        if judged.refused is not None:
            self._answers.refuse(session, caller, judged.refused)
        elif judged.order is None:
            if (known := session.obeyed.known(caller.txn or "")) is not None:
                self._answers.again(session, caller, known)
        elif is_noted or self._note(session, caller, judged.order):
            self._obey(session, caller, judged.order)

    def _note(self, session: Session, caller: Caller, order: _Order) -> bool:
        return session.obeyed.begin(order.request.txn, caller.leaf, order.request.period.issued_ms)

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

    def _obey(self, session: Session, caller: Caller, order: _Order) -> None:
        """It is noted."""
        log.info("%s %s", caller.leaf, order.request.txn[:_SHOWN])
        asked = Asked(order.request, caller.kid, self._desired.ready, order.source)
        try:
            outcome = order.obey(self._means, session, asked)
        except StoreFull as error:
            outcome = Outcome(Answer(NO_ROOM, error=error.message))
        if outcome.waits_for is not None:
            until_ns = self._clock.boot_ns() + int(_BURST_WITHIN_S * NS_PER_S)
            self._bursts[outcome.waits_for] = _Burst(caller, until_ns)
            return
        self._answers.end(session, caller, outcome.answer or Answer(OK), outcome.considered)
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
                self._answers.end(session, burst.caller, Answer(OK, {"id": taken.event_id}))
            else:
                self._answers.end(session, burst.caller, Answer(CANNOT, error=f"no burst: {taken.refusal}"))
        now_ns = self._clock.boot_ns()
        for trigger, burst in [pair for pair in self._bursts.items() if pair[1].until_ns < now_ns]:
            del self._bursts[trigger]
            self._answers.end(session, burst.caller, Answer(ROLLED_BACK, error="no burst came of it in time"))

    def _answers_to(self, name: str, message: Received) -> tuple[str, ...]:
        leaves = [answer(name)]
        if message.response_topic is not None:
            elsewhere = self._topics.elsewhere(message.response_topic)
            if elsewhere is not None:
                leaves.append(elsewhere)
        return tuple(leaves)


def _is_for_a_command(message: Received, prefix: str) -> bool:
    return message.topic.startswith(prefix) or "/_group/" in message.topic


def _leaf(asked: Operator) -> str:
    """Of a command, as the trail has it."""
    leaf = command(asked.command or "")
    return leaf if asked.group is None else f"_group/{asked.group}/{leaf}"
