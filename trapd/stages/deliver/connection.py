"""What is known while one link lasts: what is in flight, what rests, what is held. Deliver's thread."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from trapd.frozen import Frozen, Slotted, field
from trapd.ports import Connected, Link
from trapd.records import Kind, Message, Priority
from trapd.rules import NS_PER_S, PRIORITY, Turns, again_below, probe_delay_s
from trapd.stages.deliver.suspicion import UnderWay
from trapd.wire.topics import OWN, is_elsewhere
from trapd.wire.window import Limit, Window

log = logging.getLogger("trapd.deliver")

_HOLD_S = 3600.0
_REFUSED_MOST = 3  # rows of a kind in a row: then it is no matter of the one row
_HELD_MOST = 100  # rows of a kind: every look-up passes over them
_LEAST_CHUNK_BYTES = 64
_CHUNK_TOPIC_BYTES = 160  # of `media/<id>/c/<n>` at its longest, and the packet's header
_SAME_LEAF = (frozenset({Kind.MEDIA_REQUESTED, Kind.MEDIA_BULK}),)
_OF_MANY_LEAVES = frozenset({Kind.CONTROL})  # an answer that is refused says nothing of the report

UNHEARD, REFUSED, BUDGET = "nobody subscribes", "refused", "budget"
TOO_LARGE, UNSENDABLE, ENDS_LINK = "too large", "damaged", "ends the link"
"""Why rows do not go although there is a link."""


class _Rest(Slotted):
    """A kind of row that does not go: it rests, and probes with one row now and then."""

    why: str
    refusals: int
    until_ns: int


class HeldBack(Frozen):
    """What does not go now: whole kinds, each with the reason, and rows of other kinds held one by one."""

    kinds: Mapping[Kind, str] = field(default_factory=dict)
    rows: int = 0
    bytes: int = 0
    why: frozenset[str] = frozenset()


class Connection(Slotted):
    """One link from its first packet to its last. Times are nanoseconds since boot."""

    link: Link
    began_ns: int
    window: Window
    most_unnoted: int
    up: bool = False
    up_ns: int = 0
    leaving: bool = False
    proved: bool = False  # a publish was answered, and not refused
    heard_by_broker: bool = False  # it took our subscriptions
    largest_bytes: int | None = None
    chunk_bytes: int = 65_536
    first_mark: int = 1
    in_flight: dict[int, Message] = field(default_factory=dict)
    turns: Turns = field(default_factory=Turns)
    over_budget: set[Priority] = field(default_factory=set)
    short: set[Priority] = field(default_factory=set)
    kinds_that_end_it: Collection[Kind] = ()
    own_over: bool = False  # what is kept of the budget for the unit itself is spent too
    _held: dict[int, tuple[Message, str]] = field(default_factory=dict)
    _refused: Counter[Kind] = field(default_factory=Counter)
    _held_since_ns: int = 0
    _rests: dict[Kind, _Rest] = field(default_factory=dict)
    _topic_rests: dict[str, _Rest] = field(default_factory=dict)  # response topics, each for itself
    chunks_through: int = 0
    unsynced: int = 0  # answers that the store has noted and a power cut may still undo
    _out: set[tuple[int, int]] = field(default_factory=set)
    _taken: list[Message] = field(default_factory=list)

    def came_up(
        self, event: Connected, limit: Limit, *, now_ns: int, chunk_bytes: int, base: str, last_mark: int
    ) -> None:
        """The broker took us, on these terms. `base`: the topic above all of the unit's."""
        self.up, self.up_ns = True, now_ns
        self.largest_bytes = event.maximum_packet_bytes
        self.window.limit = limit.within(event.receive_maximum)
        self.chunk_bytes = chunk_bytes
        if self.largest_bytes is not None:
            room_bytes = self.largest_bytes - len(base.encode()) - _CHUNK_TOPIC_BYTES
            self.chunk_bytes = max(_LEAST_CHUNK_BYTES, min(chunk_bytes, room_bytes))
        self.first_mark = last_mark + 1

    def choice(self, now_ns: int) -> dict[str, Any]:
        """What narrows down the next rows, as fields of the store's Choice."""
        parts_out: dict[int, set[int]] = {}
        whole: set[int] = set()
        for message in (*self.in_flight.values(), *self._taken):
            if message.chunk_bytes:
                parts_out.setdefault(message.row, set()).add(message.part)
            else:
                whole.add(message.row)
        return {
            "exclude": whole | self._held.keys(),
            "parts_out": parts_out,
            "resting": self.resting(now_ns),
            "barred": frozenset(self.over_budget),
            "exempt": () if self.own_over else OWN,
            "again_below": again_below(self.first_mark, self._up_s(now_ns)),
            "chunk_bytes": self.chunk_bytes,
        }

    def mark(self, now_ns: int) -> int:
        """What to mark rows with that await their receipt from now on."""
        return self.first_mark + int(self._up_s(now_ns))

    def sent(self, token: int, message: Message, size_bytes: int, now_ns: int) -> None:
        """A publish was handed over. Of a kind that rested, it is the probe: the others rest on."""
        self.in_flight[token] = message
        self._out.add((message.row, message.part))
        self.window.sent(token, size_bytes, now_ns / NS_PER_S)
        if message.kind in self._rests:
            self.rest(message.kind, self._rests[message.kind].why, now_ns)

    def answered(self, token: int, now_ns: int) -> Message | None:
        """The broker answered; None for a token that is not in flight."""
        self.window.answered(token, now_ns / NS_PER_S)
        message = self.in_flight.pop(token, None)
        if message is not None:
            self._out.discard((message.row, message.part))
        return message

    def under_way(self, now_ns: int) -> list[UnderWay]:
        """What is not answered, in the order of sending."""
        sent = self.window.under_way()
        now_s = now_ns / NS_PER_S
        return [
            UnderWay(message, now_s - sent[token].at_s, sent[token].size_bytes)
            for token, message in self.in_flight.items()
            if token in sent
        ]

    def taken(self, message: Message) -> None:
        """The broker has it; the store is yet to know. Until then it counts as sent."""
        self._out.add((message.row, message.part))
        self._taken.append(message)
        self.chunks_through += message.part > 0

    def to_note(self, *, all_of_it: bool) -> list[Message]:
        """What the store should know now: all that was taken, or nothing while more may come at once."""
        # Half of what may be taken: the other half comes while the disk is at work.
        enough = max(1, self.most_unnoted // 4, (self.most_unnoted - self.window.limit.messages) // 2)
        if not all_of_it and len(self._taken) < enough:
            return []
        taken, self._taken = self._taken, []
        self.unsynced += len(taken)
        self._out.difference_update((message.row, message.part) for message in taken)
        return taken

    @property
    def room(self) -> int:
        """How many more publishes may go: what a kill now would send twice is bounded.

        A power cut would send again what is `unsynced` too, which was as much at most when it was noted.
        """
        return min(self.window.limit.messages, self.most_unnoted - len(self._taken)) - len(self.in_flight)

    @property
    def unnoted(self) -> int:
        """Answers that the store is yet to know."""
        return len(self._taken)

    @property
    def waits_for_disk(self) -> bool:
        """Whether the end of a sync lets something go on."""
        return self.unsynced > 0 and (bool(self._taken) or self.room <= 0)

    def may_go(self, message: Message, now_ns: int) -> bool:
        """Whether a row that was chosen a moment ago still is to be sent."""
        return (
            (message.row, message.part) not in self._out
            and message.row not in self._held
            and (message.priority not in self.over_budget or (message.leaf in OWN and not self.own_over))
            and message.kind not in self.resting(now_ns)
        )

    def heard(self, message: Message) -> None:
        """The broker has taken a row of this kind, and to this topic."""
        if self._topic_rests and self._topic_rests.pop(message.leaf, None) is not None:
            self._held = {row: held for row, held in self._held.items() if held[0].leaf != message.leaf}
        if not self._rests and not self._refused:
            return
        for same in _same_leaf(message.kind):
            self._rests.pop(same, None)
            self._refused.pop(same, None)

    def rests_alone(self, leaf: str, now_ns: int) -> bool:
        """Whether the broker has refused this topic, which somebody has named for answers, a moment ago."""
        return bool(self._topic_rests) and (
            (rest := self._topic_rests.get(leaf)) is not None and now_ns < rest.until_ns
        )

    def rest(self, kind: Kind, why: str, now_ns: int) -> None:
        """Rows of this kind wait, the others go on; it probes with one row now and then."""
        earlier = self._rests.get(kind)
        if earlier is not None and now_ns < earlier.until_ns:
            return
        refusals = 1 if earlier is None else earlier.refusals + 1
        for same in _same_leaf(kind):
            self._rests[same] = _Rest(why, refusals, now_ns + int(probe_delay_s(refusals) * NS_PER_S))
        if earlier is None:
            log.info("%s: %s; trying again in %.0f s", kind, why, probe_delay_s(refusals))

    def rest_no_more(self, *, held_too: bool = False) -> None:
        """Somebody is there: every kind is tried again at once; with `held_too` each row that is held."""
        self._rests.clear()
        if held_too:
            self._topic_rests.clear()
            self._held.clear()

    def hold(self, message: Message, why: str, now_ns: int) -> None:
        """This row waits for the next link, or for an hour of this one; with many of its leaf, the leaf."""
        if not self._held:
            self._held_since_ns = now_ns
        self._held[message.row] = (message, why)
        kind = message.kind
        if kind in _OF_MANY_LEAVES:
            if why == REFUSED and is_elsewhere(message.leaf) and not self.rests_alone(message.leaf, now_ns):
                earlier = self._topic_rests.get(message.leaf)
                refusals = 1 if earlier is None else earlier.refusals + 1
                until_ns = now_ns + int(probe_delay_s(refusals) * NS_PER_S)
                self._topic_rests[message.leaf] = _Rest(why, refusals, until_ns)
            return
        self._refused[kind] += why == REFUSED
        if self._refused[kind] >= _REFUSED_MOST or self._held_of(kind) >= _HELD_MOST:
            self.rest(kind, why, now_ns)

    def replies_held(self) -> dict[int, str]:
        """Rows with answers for a topic that somebody has named and that do not go, each with its leaf."""
        return {row: held[0].leaf for row, held in self._held.items() if is_elsewhere(held[0].leaf)}

    def gone(self, rows: Iterable[int]) -> None:
        """These rows are there no more."""
        for row in rows:
            self._held.pop(row, None)

    def release(self, why: str) -> None:
        """What is held for this reason is looked at again."""
        self._held = {row: held for row, held in self._held.items() if held[1] != why}

    def release_held(self, now_ns: int) -> None:
        """A link may last for months, and what was wrong be long put right."""
        if self._held and now_ns - self._held_since_ns > _HOLD_S * NS_PER_S:
            self._held.clear()

    def held_back(self) -> HeldBack:
        """All that does not go now."""
        kinds = {kind: rest.why for kind, rest in self._rests.items()}
        kinds |= dict.fromkeys(self.kinds_that_end_it, ENDS_LINK)
        kinds |= {kind: BUDGET for kind, priority in PRIORITY.items() if priority in self.short}
        single = [(row, why) for row, why in self._held.values() if row.kind not in kinds]
        return HeldBack(
            kinds,
            rows=len(single),
            bytes=sum(row.bytes for row, _ in single),
            why=frozenset(why for _, why in single),
        )

    def resting(self, now_ns: int) -> Collection[Kind]:
        """The kinds of which no row goes now."""
        if self.leaving:
            return frozenset(Kind) - {Kind.CONTROL}
        if not self._rests:
            return ()
        return frozenset(kind for kind, rest in self._rests.items() if now_ns < rest.until_ns)

    def count_anew(self) -> None:
        """What was over budget a moment ago may not be so any more."""
        self.over_budget.clear()
        self.own_over = False

    def too_dear(self, message: Message) -> None:
        """The budget does not have it, nor any other of its priority; but for what is the unit's own."""
        self.over_budget.add(message.priority)
        self.short.add(message.priority)
        self.own_over = self.own_over or message.leaf in OWN

    def paid(self, message: Message) -> None:
        """The budget had it."""
        if message.leaf not in OWN:
            self.short.discard(message.priority)

    def all_looked_at(self) -> None:
        """Nothing more waits that may go: what is not over budget now is not short of it."""
        self.short &= self.over_budget

    def _held_of(self, kind: Kind) -> int:
        return sum(message.kind is kind for message, _ in self._held.values())

    def _up_s(self, now_ns: int) -> float:
        return (now_ns - self.up_ns) / NS_PER_S


def _same_leaf(kind: Kind) -> frozenset[Kind]:
    """The kinds that go to the same leaf as this one, itself included."""
    return next((kinds for kinds in _SAME_LEAF if kind in kinds), frozenset({kind}))
