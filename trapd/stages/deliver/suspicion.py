"""Which row the broker ends the link over: suspected, tried alone, and in the end held. Deliver's thread.

A broker may answer a row by ending the link, and would end the next one over it, and so for ever. But a bad
link ends over anything, and holds nothing back for it:

1. Three links in a row are ended by the other side, each soon after the same rows were sent and before they
   were answered. Those rows are suspects.
2. On the next link all else goes first. When it has lived for a while, the suspects go one at a time, with
   nothing else under way. What is answered is free. A link that ends without a suspect under way frees them
   all: it is the link. Where others of their kind were under way it may have been those: the next time none
   of that kind goes with the others.
3. One that answered something, and ends soon after a suspect was sent, counts against it; before its next
   turn a link has to live half as long again as this one did. With the third such end the row is held: an
   alert names it, it is counted with what is held back, and everything else goes on. Ten held rows of a kind
   hold the kind: each would cost six links.

A held row is tried again, alone, after a day (a retained leaf, which may say something else by then, after an
hour), an hour after a restart, with a new session at the broker, and when the operator says `rebirth`. It
never goes from the store for it. What is suspected and held is known to the next process.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable
from enum import Enum, auto

from trapd.errors import StoreCorrupt, StoreError
from trapd.frozen import Frozen, Slotted, asdict
from trapd.ports import Lost
from trapd.records import Kind, Message
from trapd.rules import NS_PER_S
from trapd.stages.deliver.declined import Declined
from trapd.store import Session
from trapd.wire.topics import PROOF

log = logging.getLogger("trapd.deliver")

_KEY = "suspicion"
_ENDS = 3  # in a row, over the same rows: then they are suspects
_ENDS_ALONE = 3  # over one of them alone: then it is held
_SLOWEST_BYTES_PER_S = 2000  # a large row takes its time before the broker can say no
_CALM = 3.0  # times as long as an end may be laid to a row a link has to live before
_LONGER = 1.5
_AGAIN_S, _AGAIN_RETAINED_S = 24 * 3600.0, 3600.0
_SOON_S = 3600.0
_SHOWN = 80
_HELD_MOST = 50  # every look-up passes over them
_HELD_OF_A_KIND = 10
_OF_MANY_LEAVES = frozenset({Kind.CONTROL})  # no kind in this sense
_NOT_OVER_A_ROW = frozenset({0x88, 0x89, 0x8B, 0x8D, 0x8E, 0x93, 0x96, 0x98, 0x9C, 0x9D, 0x9F})
"""Reasons that a broker gives for ending a link, which speak of itself or of the link."""


class UnderWay(Frozen):
    """A publish that was not answered when its link ended."""

    message: Message
    age_s: float
    size_bytes: int


class Stand(Enum):
    """Whether a row may go."""

    FREE = auto()
    WAITS = auto()  # it is suspected
    HELD = auto()


class Suspect(Slotted):
    """`name` is for people. `ended`: links that it has ended, sent alone. `part`: of a photograph."""

    name: str
    kind: Kind
    size_bytes: int
    part: int = 0
    ended: int = 0


class _Held(Slotted):
    suspect: Suspect
    since_ns: int
    due_ns: int


class Suspicion:
    """`within_s`: how soon after a small row was sent an end of the link may be laid to it."""

    def __init__(self, declined: Declined, *, epoch: str, within_s: float) -> None:
        self._declined = declined
        self._epoch = epoch
        self._within_s = within_s
        self._ends = 0
        self._common: dict[str, Suspect] = {}  # unanswered at each of the last `_ends` ends
        self._suspects: dict[str, Suspect] = {}  # in the order in which they are tried
        self._held: dict[str, _Held] = {}
        self._aside: dict[int, str] = {}  # rows that were met on this link, by their key
        self._alone: str | None = None
        self.kinds: frozenset[Kind] = frozenset()  # of which so many are held that no row goes
        self._wide: frozenset[Kind] = frozenset()  # of which no row goes while some are suspected
        self._calm_ns = 0
        self._lived_s = 0.0  # the link that last ended over one of them
        self._stored = ""

    # --- what Sending asks ---------------------------------------------------------------------------------

    @property
    def active(self) -> bool:
        """Whether any row is suspected or held; all else here is asked only then."""
        return bool(self._suspects or self._held)

    def stand(self, message: Message) -> Stand:
        """Whether this row may go with the others."""
        key = _key(message)
        if key in self._held:
            return Stand.HELD
        if key not in self._suspects:
            return Stand.FREE
        self._aside[message.row] = key
        return Stand.WAITS

    def aside(self) -> set[int]:
        """Rows that were met and wait: no look-up need find them."""
        return {row for row, key in self._aside.items() if key in self._suspects}

    @property
    def resting(self) -> frozenset[Kind]:
        """Kinds of which no row may go with the others now."""
        return self.kinds | self._wide if self._suspects else self.kinds

    @property
    def has_one_alone(self) -> bool:
        """Whether one of them is under way: nothing else may go."""
        return self._alone is not None

    def next_alone(self, now_ns: int) -> int | str | None:
        """The row, by its number or its retained leaf, that is to go alone now."""
        if self._alone is not None or now_ns < self._calm_ns:
            return None
        key = next(iter(self._suspects), None)
        if key is None:
            key = next((key for key, held in self._held.items() if held.due_ns <= now_ns), None)
        if key is None:
            return None
        return int(key[1:]) if key.startswith("#") else key

    def sent_alone(self, message: Message) -> None:
        """It is under way."""
        self._alone = _key(message)

    def cannot_try(self, which: int | str, now_ns: int) -> None:
        """It is gone, or may not go for another reason, which then holds it."""
        key = which if isinstance(which, str) else f"#{which}"
        self._suspects.pop(key, None)
        if (held := self._held.get(key)) is not None:
            held.due_ns = now_ns + int(_SOON_S * NS_PER_S)

    def gone(self, which: int | str) -> None:
        """There is no such row any more."""
        key = which if isinstance(which, str) else f"#{which}"
        self._suspects.pop(key, None)
        self._free(key)

    # --- what happens --------------------------------------------------------------------------------------

    def answered(self, message: Message) -> None:
        """The broker has answered this row, whatever it said: the link has outlived it."""
        if not (self._common or self._suspects or self._held):
            return
        key = _key(message)
        if key == self._alone:
            self._alone = None
        self._common.pop(key, None)
        if self._suspects.pop(key, None) is not None and not self._suspects:
            self._wide = frozenset()  # none of them was it
        self._free(key)

    def link_begins(self, now_ns: int, *, new_session: bool) -> None:
        """The broker took us."""
        self._alone = None
        self._aside.clear()
        if new_session:
            self._make_due(now_ns, held_for_s=_SOON_S)
        due = [held.suspect for held in self._held.values() if held.due_ns <= now_ns]
        calm_s = max(
            (_CALM * self._blame_s(one.size_bytes) for one in (*self._suspects.values(), *due)), default=0.0
        )
        if self._suspects:
            calm_s = max(calm_s, _LONGER * self._lived_s)
        self._calm_ns = now_ns + int(calm_s * NS_PER_S)

    def link_ended(
        self,
        under_way: Iterable[UnderWay],
        lost: Lost,
        now_ns: int,
        *,
        lived_s: float,
        answered: bool,
        taken_bytes: int,
    ) -> int | None:
        """The link ended after `lived_s`. `taken_bytes`: what is no larger is not too large.

        `answered`: something was, on this link; where nothing is the broker may end it over whatever comes.

        Gives the bytes of a chunk that the broker takes no better alone, and that may only be too large.
        """
        alone, self._alone = self._alone, None
        self._aside.clear()
        blamed: dict[str, Suspect] = {}
        if lost.ended and lost.code not in _NOT_OVER_A_ROW:
            for one in under_way:
                if one.age_s <= self._blame_s(one.size_bytes):
                    message = one.message
                    suspect = Suspect(_name(message), message.kind, one.size_bytes, message.part)
                    blamed.setdefault(_key(message), suspect)
        if alone is not None and alone in blamed and not answered:
            self._put_last(alone)
            return None
        if alone is not None and alone in blamed:
            self._lived_s = lived_s
            return self._count_against(alone, blamed[alone], now_ns, taken_bytes)
        if self._suspects:
            log.info("the link ended over none of %s: they go with the others again", self._names())
            kinds = {one.kind for one in self._suspects.values()} & {one.kind for one in blamed.values()}
            self._wide = frozenset(kinds - _OF_MANY_LEAVES)
            self._forget()
        else:
            self._count(blamed)
        return None

    def explained(self) -> None:
        """What ended the last links is known: nobody is suspected."""
        self._forget()

    def try_all(self, now_ns: int) -> None:
        """The operator says that something is put right: what is held is tried again."""
        self._make_due(now_ns, held_for_s=0.0)

    # --- across restarts -----------------------------------------------------------------------------------

    def load(self, session: Session, now_ns: int) -> None:
        """What earlier processes have found. Damaged, or of another store: nothing."""
        text = session.meta.get(_KEY)
        if text is not None:
            try:
                self._read(json.loads(text), now_ns)
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                log.warning("which rows end the link is not known any more: %s", error)
        self._tell()

    def remember(self, session: Session) -> None:
        """Write down what has changed. No sync: a power cut costs some links more, and no row."""
        known = {
            "epoch": self._epoch,
            "ends": self._ends,
            "common": {key: asdict(one) for key, one in self._common.items()},
            "suspects": {key: asdict(one) for key, one in self._suspects.items()},
            "held": {key: asdict(held.suspect) for key, held in self._held.items()},
        }
        text = json.dumps(known) if self._common or self.active else ""
        if text == self._stored:
            return
        try:
            session.counters.remember(_KEY, text or "{}")
        except StoreCorrupt:
            raise
        except StoreError as error:
            log.warning("which rows end the link is not written down: %s", error)
        self._stored = text

    def _read(self, found: dict[str, object], now_ns: int) -> None:
        if found.get("epoch") != self._epoch:
            return
        self._ends = int(str(found["ends"]))
        self._common = _suspects(found["common"])
        self._suspects = _suspects(found["suspects"])
        due_ns = now_ns + int(_SOON_S * NS_PER_S)
        self._held = {key: _Held(one, now_ns, due_ns) for key, one in _suspects(found["held"]).items()}

    # --- within --------------------------------------------------------------------------------------------

    def _count(self, blamed: dict[str, Suspect]) -> None:
        """One more end that may be laid to these rows."""
        blamed = {key: one for key, one in blamed.items() if key not in self._held}
        both = {key: one for key, one in self._common.items() if key in blamed}
        self._ends = self._ends + 1 if both else min(1, len(blamed))
        self._common = both or blamed
        if self._ends < _ENDS or len(self._held) >= _HELD_MOST:
            return
        # What is said at the beginning of each link comes first: once it is answered, the rest tells more.
        first = [key for key in self._common if key in PROOF]
        self._suspects = {key: self._common[key] for key in (*first, *self._common)}
        self._common, self._ends = {}, 0
        log.warning(
            "%d links were ended soon after %s went out: they go one by one now, after all else",
            _ENDS,
            self._names(),
        )

    def _count_against(self, key: str, blamed: Suspect, now_ns: int, taken_bytes: int) -> int | None:
        if (held := self._held.get(key)) is not None:
            held.due_ns = now_ns + _again_ns(key)
            return None
        suspect = self._suspects.pop(key, blamed)
        suspect.ended += 1
        log.warning("the link was ended over %s alone, %d times now", suspect.name, suspect.ended)
        if suspect.ended < _ENDS_ALONE:
            self._suspects = {key: suspect, **self._suspects}
            return None
        self._forget()  # the others only stood behind it
        if suspect.part and blamed.size_bytes > taken_bytes:
            return blamed.size_bytes
        self._held[key] = _Held(suspect, now_ns, now_ns + _again_ns(key))
        self._tell()
        return None

    def _put_last(self, key: str) -> None:
        """Others may be answered, and show what this one does."""
        if (suspect := self._suspects.pop(key, None)) is not None:
            self._suspects[key] = suspect

    def _blame_s(self, size_bytes: int) -> float:
        return self._within_s + size_bytes / _SLOWEST_BYTES_PER_S

    def _make_due(self, now_ns: int, *, held_for_s: float) -> None:
        for held in self._held.values():
            if now_ns - held.since_ns >= held_for_s * NS_PER_S:
                held.due_ns = min(held.due_ns, now_ns)

    def _forget(self) -> None:
        self._suspects, self._common, self._ends, self._lived_s = {}, {}, 0, 0.0

    def _free(self, key: str) -> None:
        if self._held.pop(key, None) is not None:
            self._tell()

    def _tell(self) -> None:
        found = Counter(held.suspect.kind for held in self._held.values())
        many = (kind for kind, count in found.items() if count >= _HELD_OF_A_KIND)
        self.kinds = frozenset(many) - _OF_MANY_LEAVES
        self._declined.ends_link([held.suspect.name for held in self._held.values()])

    def _names(self) -> str:
        names = [one.name for one in self._suspects.values()]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return ", ".join(names[:3]) + more


def _key(message: Message) -> str:
    """A retained leaf has a new row for each value; all else keeps its row."""
    return message.leaf if message.retain else f"#{message.row}"


def _name(message: Message) -> str:
    leaf = message.leaf[:_SHOWN]
    return leaf if message.event_id is None or message.event_id in leaf else f"{leaf} {message.event_id}"


def _again_ns(key: str) -> int:
    return int((_AGAIN_S if key.startswith("#") else _AGAIN_RETAINED_S) * NS_PER_S)


def _suspects(found: object) -> dict[str, Suspect]:
    if not isinstance(found, dict):
        raise TypeError("no table of rows")
    return {
        str(key): Suspect(
            str(one["name"]), Kind(one["kind"]), int(one["size_bytes"]), int(one["part"]), int(one["ended"])
        )
        for key, one in found.items()
    }
