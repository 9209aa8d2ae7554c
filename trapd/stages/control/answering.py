"""Answers to commands, each with its record, in one transaction. Control's thread.

A command that was begun is answered once, whatever comes between: an answer that the full store does not take
waits, and what a process left unanswered its successor answers, to where it was asked.
"""

from __future__ import annotations

import json
import logging

from trapd.errors import StoreFull
from trapd.frozen import Frozen, replace
from trapd.ports import Clock
from trapd.records import Considered, Kind
from trapd.stages.control.desired import Desired
from trapd.stages.control.fetch import Answer
from trapd.stages.control.trail import Trail
from trapd.store import Session
from trapd.store.queue.obeyed import Begun, Known, Outgoing
from trapd.wire import codec
from trapd.wire.authority import CONFLICT, OK, ROLLED_BACK, Refused
from trapd.wire.topics import Topics, answer, topic_of

log = logging.getLogger("trapd.control")

_MOST_ANSWERS = 200  # waiting to be sent; what asks faster gets none, and is obeyed all the same
_SHOWN = 80
REBOOT = "reboot"
_INTERRUPTED = "the unit began with it and was interrupted"


class Caller(Frozen):
    """Whom to answer: the command's leaf for the trail, and the leaves that the answer goes to.

    `answer` is the one below `res/`, `reply` the one that who asked has named, and `correlation`
    what they know it by.
    """

    leaf: str
    answer: str | None = None
    reply: str | None = None
    correlation: bytes | None = None
    txn: str | None = None
    kid: str | None = None

    @property
    def unanswered(self) -> Caller:
        """The same, whom nobody answers now."""
        return replace(self, answer=None, reply=None)

    @property
    def command(self) -> str:
        """Its name, whoever it was for."""
        return name_of(self.leaf)


class _Owed(Frozen):
    """A command that was obeyed, and whose answer the store has not taken."""

    caller: Caller
    found: Answer
    considered: Considered | None


def name_of(leaf: str) -> str:
    """Of the command that came there: the last level."""
    return leaf.rpartition("/")[2]


class Answers:
    """`desired` tells what the configuration's files have noted of a command."""

    def __init__(self, topics: Topics, clock: Clock, *, trail: Trail, desired: Desired) -> None:
        self._topics = topics
        self._unit = topics.unit
        self._clock = clock
        self._trail = trail
        self._desired = desired
        self._owed: list[_Owed] = []
        self._is_settled = False

    def settle(self, session: Session) -> None:
        """Answer what the process before this one has not, once. Raises StoreFull; then again."""
        if self._is_settled:
            return
        for begun in session.obeyed.unanswered():
            self._answer_for_the_dead(session, begun)
        self._is_settled = True

    def end(
        self, session: Session, caller: Caller, found: Answer, considered: Considered | None = None
    ) -> None:
        """What became of a command. Where the store is full it is answered when there is room."""
        owed = _Owed(caller, found, considered)
        try:
            if found.error:
                session.counters.add("commands_refused")
            self._end(session, owed)
        except StoreFull as error:
            log.warning("%s was obeyed, and its answer waits for space: %s", caller.leaf[:_SHOWN], error)
            self._owed.append(owed)
        finally:
            if considered is not None:
                self._desired.follow(considered)  # see Desired: also where the disk takes no word of it

    def look(self, session: Session) -> None:
        """Every turn: answers that waited. Raises StoreFull."""
        while self._owed:
            self._end(session, self._owed[0])
            del self._owed[0]

    def refuse(self, session: Session, caller: Caller, error: Refused, *, recorded: bool = False) -> None:
        """Answered and recorded, if it is not yet; nothing else has come of it."""
        payload = codec.answer(self._unit, caller.txn, error.code, error=error.message)
        outgoing = self._outgoing(session, payload, caller)
        if recorded:
            session.obeyed.tell(outgoing)
            return
        log.warning("%s refused with %d: %s", caller.leaf[:_SHOWN], error.code, error)
        session.counters.add("commands_refused")
        session.obeyed.tell(outgoing, self._record(caller, error.code, error.message))

    def again(self, session: Session, caller: Caller, known: Known, *, recorded: bool = False) -> None:
        """A command that was here before is answered as it was, and not obeyed.

        One of another name is not answered as that: it was never here, and cannot be told apart from it.
        """
        if name_of(known.command) != caller.command:
            message = f"this txn is that of {known.command}, which was here before"
            error = Refused(CONFLICT, message, "give each command a txn of its own")
            self.refuse(session, caller, error, recorded=recorded)
            return
        code, said, outgoing = CONFLICT, "again: it is under way, its answer comes", list[Outgoing]()
        if known.answer is not None:
            code, said = _code_of(known.answer), "again: answered as before"
            outgoing = self._outgoing(session, known.answer, caller)
        session.obeyed.tell(outgoing, *(() if recorded else (self._record(caller, code, said),)))

    def _answer_for_the_dead(self, session: Session, begun: Begun) -> None:
        reply = begun.reply
        if reply is not None and not self._topics.may_answer_to(topic_of(reply)):
            reply = None  # it was, under another configuration
        name = name_of(begun.command)
        caller = Caller(begun.command, answer(name), reply, begun.correlation, begun.txn, begun.kid)
        untold = self._desired.untold(session)
        for note in untold.notes:
            if (note.leaf, note.txn) == (caller.leaf, caller.txn):
                # The files were written, and the process ended before it could say so.
                considered = Considered(note.code, note.version, note.txn, changed=True)
                data = {"version": note.version, "errors": []}
                self._end(session, _Owed(caller, Answer(note.code, data, note.message), considered))
                return
        found = Answer(ROLLED_BACK, error=_INTERRUPTED)
        if name == REBOOT and begun.boot_id not in (None, self._clock.now().boot_id):
            found = Answer(OK, {})  # it was asked for, and has happened before that could be said
        self._end(session, _Owed(caller, found, None))

    def _end(self, session: Session, owed: _Owed) -> None:
        caller, found, considered = owed.caller, owed.found, owed.considered
        payload = codec.answer(self._unit, caller.txn, found.code, data=found.data, error=found.error)
        outgoing = self._outgoing(session, payload, caller)
        if considered is None or not considered.changed:
            version = None if considered is None else considered.version
            record = self._record(caller, found.code, found.error, version)
            session.obeyed.end(caller.txn or "", payload, outgoing, record)
            return
        outgoing.append(self._desired.reported())
        untold = self._desired.untold(session)
        session.obeyed.end(
            caller.txn or "", payload, outgoing, *map(self._trail.of, untold.notes), told=untold.keys
        )

    def _record(self, caller: Caller, code: int, message: str, version: int | None = None) -> bytes:
        return self._trail.record(
            caller.leaf, code, txn=caller.txn, kid=caller.kid, version=version, message=message
        )

    def _outgoing(self, session: Session, payload: bytes, caller: Caller) -> list[Outgoing]:
        waiting = session.outbox.depth().get(Kind.CONTROL.value, 0)
        if waiting >= _MOST_ANSWERS:
            log.warning("a command is not answered: too many answers wait already")
            return []
        # A broker may never take what goes to a response topic: there is room left for `res/`.
        outgoing = []
        if caller.answer is not None:
            outgoing.append(Outgoing(Kind.CONTROL, caller.answer, payload))
        if caller.reply is not None and waiting < _MOST_ANSWERS // 2:
            outgoing.append(Outgoing(Kind.CONTROL, caller.reply, payload, correlation=caller.correlation))
        return outgoing


def _code_of(payload: bytes) -> int:
    return int(json.loads(payload)["code"])
