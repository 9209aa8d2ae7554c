"""Control: the operator's word, judged and obeyed, or refused and recorded. One thread.

Deliver hands over what arrives, and acknowledges it when Control has noted what came of it; all that Control
says goes through the outbox. A command is noted before it is obeyed, so that one that comes again, or that
ended the process, is not obeyed twice; what was noted and not answered the next process answers. A
configuration goes on trial by a restart of the process.
"""

from __future__ import annotations

import logging
import queue
import random
from collections.abc import Callable
from contextlib import suppress

from trapd.errors import StoreError, StoreFull
from trapd.frozen import Frozen, replace
from trapd.ports import Clock, Received
from trapd.records import Kind, Trigger
from trapd.rules import NS_PER_S
from trapd.stages.base import Stage
from trapd.stages.control import unheard
from trapd.stages.control.answering import Answers, Caller
from trapd.stages.control.commands import Asked, Means, Outcome
from trapd.stages.control.desired import Desired
from trapd.stages.control.fetch import Answer
from trapd.stages.control.judging import Judge, Judged, Order, caller_of, leaf_of
from trapd.stages.control.looking import ENDS_PROCESS, Looking, delivery_of
from trapd.stages.control.trail import Trail
from trapd.store import Session, Store
from trapd.store.queue.obeyed import Begun
from trapd.wire.authority import (
    CANNOT,
    CONFLICT,
    INVALID,
    NO_ROOM,
    NOT_FOUND,
    OK,
    ROLLED_BACK,
    Authority,
    Refused,
)
from trapd.wire.topics import CONFIG_DESIRED, CONFIG_SCHEMA, Asks, Operator, Topics

log = logging.getLogger("trapd.control")

_TURN_S = 0.2
_MOST_WAITING = 200
_MOST_WAITING_BYTES = 4_000_000
_MOST_LATER = 50
_GROUP_WITHIN_S = 30.0
_SHOWN = 80
_BURST_WITHIN_S = 120.0
_TOO_MANY = "too many commands of groups wait already"
_NOT_BEGUN_ANEW = "it was asked for, and nobody did it: is trapd-reboot.path enabled?"


class _Burst(Frozen):
    """A command that waits for the burst it asked for."""

    caller: Caller
    until_ns: int


class _Promised(Frozen):
    """A command that was answered: the machine begins anew. If it has not by then, that was not so."""

    caller: Caller
    by_ns: int


class _Later(Frozen):
    """A group's command, which waits so that the units do not all answer at once. It is judged and noted."""

    due_ns: int
    judged: Judged


class Control(Stage):
    """`authority`: who may. `means`: what commands work with. `desired`: the configuration's own leaf.

    `noted` is told, message by message, that the broker may forget it.
    """

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
        noted: Callable[[Received], None],
    ) -> None:
        super().__init__()
        self._topics = topics
        self._store = store
        self._clock = clock
        self._judge = Judge(topics, clock, authority, means.overlays.heard)
        self._noted = noted
        self._looking = Looking("control")
        self._means = means
        self._desired = desired
        self._trail = trail
        self._answers = Answers(topics, clock, trail=trail, desired=desired)
        self._schema = schema
        self._draw = draw
        self._inbox: queue.Queue[Received] = queue.Queue(_MOST_WAITING)
        self._held: Received | None = None
        self._waiting_bytes = 0  # put by Deliver, taken by Control: only ever a guard
        self._later: list[_Later] = []
        self._bursts: dict[Trigger, _Burst] = {}
        self._promised: list[_Promised] = []

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

    def ended(self) -> None:
        """Commands that Deliver has passed on meanwhile are for the next process: not every broker gives them
        again.

        A configuration comes with the next connection; so does what is retained.
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
        self._desired.begin(session)
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
            lambda: self._take_back(session),
            lambda: self._desired.look(session),
            lambda: self._take_due(session),
            lambda: self._trail.look(session),
        )
        for step in steps:
            try:
                step()
            except StoreFull as error:
                full = full or error
        if full is not None:
            raise full

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
            self._hear(session, message)
        except StoreFull:
            self._held = message
            raise
        self._noted(message)

    def _hear(self, session: Session, message: Received) -> None:
        """Note what comes of a message; nothing where that was done, and our acknowledgement lost."""
        delivery = delivery_of(message)
        if message.again and delivery is not None and session.obeyed.heard(delivery):
            log.info("a message came again that is noted already")
            return
        with session.obeyed.hearing(delivery):
            self._look_at(session, message)

    def _look_at(self, session: Session, message: Received) -> None:
        """Unless it has ended two processes already. Raises StoreFull."""
        if not self._looking.begin(session, message):
            self._answers.refuse(session, self._caller(message), Refused(ROLLED_BACK, ENDS_PROCESS))
            return
        try:
            self._take(session, message)
        except StoreError:
            self._looking.failed(session)
            raise
        self._looking.end(session)

    def _caller(self, message: Received) -> Caller:
        """Who asked, as far as the topic tells."""
        asked = self._topics.parse(message.topic)
        if asked is None:
            return Caller("cmd/?")
        if asked.asks is Asks.CONFIG:
            return Caller(CONFIG_DESIRED)
        return Caller(leaf_of(asked)) if message.retained else caller_of(self._topics, message, asked)

    def _take_due(self, session: Session) -> None:
        """A configuration that had to wait, and may be considered now."""
        message = self._desired.due()
        if message is None:
            return
        self._look_at(session, message)
        self._desired.was_due(session)

    def _take(self, session: Session, message: Received) -> None:
        asked = self._topics.parse(message.topic)
        if asked is None:
            error = Refused(NOT_FOUND, "no command has such a name")
            self._answers.refuse(session, Caller("cmd/?"), error)
        elif asked.asks is Asks.CONFIG:
            self._desired.take(session, message)
        elif message.retained:
            self._retained(session, message, asked)
        else:
            judged = self._judge.look(session, message, asked)
            if asked.group is None:
                self._do(session, judged)
            elif len(self._later) < _MOST_LATER:
                self._put_off(session, judged)
            elif judged.order is not None:
                self._answers.refuse(session, judged.caller, Refused(CONFLICT, _TOO_MANY, "ask again later"))
            else:
                self._do(session, judged)

    def _put_off(self, session: Session, judged: Judged) -> None:
        """What comes of it is noted now: in half a minute this process may be gone. The answer comes then."""
        if judged.order is not None:
            self._note(session, judged.caller, judged.order)
        else:
            self._do(session, replace(judged, caller=judged.caller.unanswered))
        wait_ns = int(self._draw.uniform(0, _GROUP_WITHIN_S) * NS_PER_S)
        self._later.append(_Later(self._clock.boot_ns() + wait_ns, judged))

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
        session.obeyed.tell((), self._trail.record(leaf_of(asked), INVALID, message="retained"))

    def _do(self, session: Session, judged: Judged, *, is_noted: bool = False) -> None:
        caller = judged.caller
        if judged.refused is not None:
            self._answers.refuse(session, caller, judged.refused, recorded=is_noted)
        elif judged.order is None:
            if (known := session.obeyed.known(caller.txn or "")) is not None:
                self._answers.again(session, caller, known, recorded=is_noted)
        elif is_noted or self._note(session, caller, judged.order):
            self._obey(session, caller, judged.order)

    def _note(self, session: Session, caller: Caller, order: Order) -> bool:
        request = order.request
        return session.obeyed.begin(
            Begun(
                request.txn,
                caller.leaf,
                request.period.issued_ms,
                caller.reply,
                caller.correlation,
                caller.kid,
            )
        )

    def _obey(self, session: Session, caller: Caller, order: Order) -> None:
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
        if outcome.ends_within_s is not None:
            by_ns = self._clock.boot_ns() + int(outcome.ends_within_s * NS_PER_S)
            self._promised.append(_Promised(caller, by_ns))

    def _take_back(self, session: Session) -> None:
        """The machine was to begin anew, and this process is still here: who asked is told so."""
        now_ns = self._clock.boot_ns()
        for promised in [each for each in self._promised if each.by_ns < now_ns]:
            self._promised.remove(promised)
            self._means.forget_reboot()
            self._answers.end(session, promised.caller, Answer(ROLLED_BACK, error=_NOT_BEGUN_ANEW))

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


def _is_for_a_command(message: Received, prefix: str) -> bool:
    return message.topic.startswith(prefix) or "/_group/" in message.topic
