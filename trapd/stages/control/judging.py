"""What is to become of a command: obeyed, refused, or answered as before. Control's thread."""

from __future__ import annotations

from collections.abc import Callable

from trapd.errors import BadDocument
from trapd.frozen import Frozen, replace
from trapd.ports import Clock, Received
from trapd.records import Moment
from trapd.stages.control.answering import Caller, own_place
from trapd.stages.control.commands import COMMANDS, Asked, Means, Outcome
from trapd.store import Session
from trapd.wire import inbound
from trapd.wire.authority import (
    EXPIRED,
    FORBIDDEN,
    INVALID,
    NOT_FOUND,
    TOO_LARGE,
    UNAUTHORISED,
    Authority,
    Refused,
    refuse_early,
    refuse_expired,
)
from trapd.wire.topics import GROUP_COMMANDS, Operator, Topics, answer, command, topic_of
from trapd.wire.unreadable import Unreadable

_LONGEST_CORRELATION = 256


class Order(Frozen):
    """A command that may be obeyed."""

    obey: Callable[[Means, Session, Asked], Outcome]
    request: inbound.Request
    source: str


class Judged(Frozen):
    """What is to become of a command: `order` is noted and obeyed; `refused`; else it was here before."""

    caller: Caller
    order: Order | None = None
    refused: Refused | None = None


def leaf_of(asked: Operator) -> str:
    """Of a command, as the trail has it."""
    leaf = command(asked.command or "")
    return leaf if asked.group is None else f"_group/{asked.group}/{leaf}"


def caller_of(topics: Topics, message: Received, asked: Operator) -> Caller:
    """Whom to answer; what the message says has not been looked at."""
    reply = None if message.response_topic is None else topics.elsewhere(message.response_topic)
    others = (topics.full(answer(name)) for name in COMMANDS.keys() - {asked.command})
    if reply is not None and topic_of(reply) in others:
        reply = None  # what is said there is another command's
    correlation = message.correlation if reply is not None else None
    if correlation is not None and len(correlation) > _LONGEST_CORRELATION:
        correlation = None  # nobody needs so much to know an answer by
    return Caller(leaf_of(asked), own_place(topics, asked.command or "", reply), reply, correlation)


class Judge:
    """`authority`: who may. `heard` is told which key has signed."""

    def __init__(
        self, topics: Topics, clock: Clock, authority: Authority, heard: Callable[[str], None]
    ) -> None:
        self._topics = topics
        self._clock = clock
        self._authority = authority
        self._heard = heard

    def look(self, session: Session, message: Received, asked: Operator) -> Judged:
        """At one command."""
        name = asked.command or ""
        caller = caller_of(self._topics, message, asked)
        try:
            document = inbound.document(message.payload)
            caller = replace(caller, txn=inbound.txn_of(document))
            caller = replace(caller, kid=self._authority.check(message.topic, document))
            if caller.kid is not None:
                self._heard(caller.kid)
            if caller.txn is not None and session.obeyed.known(caller.txn) is not None:
                return Judged(caller)
            obey = _allowed(name, asked)
            request = inbound.request(document, signed=caller.kid is not None)
            _refuse_late(session, request, name, caller.kid, self._clock.now())
        except Unreadable as error:
            code = TOO_LARGE if isinstance(error, inbound.TooLarge) else INVALID
            caller = replace(caller, txn=inbound.txn_of(error.members))
            said = str(error) if code == TOO_LARGE else error.message
            return Judged(caller, refused=Refused(code, said))
        except BadDocument as error:
            return Judged(caller, refused=Refused(INVALID, error.message))
        except Refused as error:
            return Judged(caller, refused=error)
        return Judged(caller, Order(obey, request, asked.group or ""))


def _allowed(name: str, asked: Operator) -> Callable[[Means, Session, Asked], Outcome]:
    obey = COMMANDS.get(name)
    if obey is None:
        raise Refused(NOT_FOUND, "there is no such command", f"there are {', '.join(sorted(COMMANDS))}")
    if asked.group is not None and name not in GROUP_COMMANDS:
        raise Refused(FORBIDDEN, f"a group cannot be told to {name}")
    return obey


def _refuse_late(session: Session, request: inbound.Request, name: str, kid: str | None, now: Moment) -> None:
    refuse_expired(request.period, now)
    refuse_early(request.period, now)
    issued_ms = request.period.issued_ms
    if issued_ms is not None and issued_ms <= session.obeyed.forgotten_ms():
        raise Refused(EXPIRED, "it is older than what the unit remembers", "issue it again")
    if name == "reboot" and kid is None and now.quality == "unset":
        raise Refused(UNAUTHORISED, "while the clock is not set a reboot must be signed", "sign it")
