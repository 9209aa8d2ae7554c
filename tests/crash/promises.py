"""What a process has said about the store before its disk lost power: the words, and what follows from them.

The workload says `will` before a call and `did` once the call has returned. Whatever it did must be found
again; whatever it only said it will do may be found or not, but nothing else may be there. Each word leaves
by one writev on standard output: the store never uses that call, so words stand in order between its system
calls and no injected fault meets them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from trapd.records import State

_CHANNEL = 1


def say(tense: str, deed: str, **what: Any) -> None:
    """Write one word. `tense`: will or did."""
    line = json.dumps({"tense": tense, "deed": deed, **what}, separators=(",", ":")) + "\n"
    os.writev(_CHANNEL, [line.encode()])


@dataclass(slots=True)
class Row:
    """An outbox row that was promised."""

    leaf: str
    event: str | None
    retained: bool


@dataclass(slots=True)
class Promises:
    """All words so far, together."""

    epoch: str | None = None
    photographs: dict[str, dict[str, set[str]]] = field(default_factory=dict)
    """Event -> medium -> sha256, said before the photographs got their names.

    Several where a burst failed: the next process may give its number again.
    """
    recorded: dict[str, int] = field(default_factory=dict)
    """Event -> seq."""
    settling: dict[str, set[bool]] = field(default_factory=dict)
    """Event -> whether it is to be kept.

    Both where the store refused and it was judged again: a transaction whose sync failed may come to pass.
    """
    settled: dict[str, int | None] = field(default_factory=dict)
    """Event -> n."""
    thumbs: set[str] = field(default_factory=set)
    rows: dict[int, Row] = field(default_factory=dict)
    retained: dict[str, list[str]] = field(default_factory=dict)
    """Leaf -> the payload promised last, and what was only begun since."""
    acknowledging: set[int] = field(default_factory=set)
    acknowledged: set[int] = field(default_factory=set)
    requesting: set[str] = field(default_factory=set)
    evicting: bool = False
    evicting_undelivered: bool = False
    counting: int = 0
    counted: int = 0
    failures: list[str] = field(default_factory=list)
    kept: int = 0
    """How many words were of things done: what a crash may not undo grows only with it."""

    def take(self, word: dict[str, Any]) -> None:
        """One word more."""
        getattr(self, f"_{word['tense']}_{word['deed']}")(word)
        self.kept += word["tense"] == "did"

    def evictable(self) -> frozenset[State]:
        """The states of events whose photographs may be given up by now."""
        if not self.evicting:
            return frozenset()
        seen = frozenset({State.DISCARDED, State.DELIVERED})
        return seen | {State.KEPT} if self.evicting_undelivered else seen

    def may_be_gone(self) -> frozenset[int]:
        """The outbox rows that may have left: the receiver has them, or what they send was given up."""
        given_up = [row for row, known in self.rows.items() if known.leaf in self.requesting]
        return frozenset(self.acknowledging).union(given_up if self.evicting_undelivered else ())

    @classmethod
    def of(cls, lines: Iterable[str | bytes]) -> Promises:
        """What all these lines say; one cut short was never said."""
        promises = cls()
        for line in lines:
            if line.rstrip()[-1:] in ("}", b"}"):
                promises.take(json.loads(line))
        return promises

    def _did_open(self, word: dict[str, Any]) -> None:
        self.epoch = word["epoch"]

    def _will_record(self, word: dict[str, Any]) -> None:
        taken = self.photographs.setdefault(word["event"], {})
        for medium, sha256 in word["photographs"].items():
            taken.setdefault(medium, set()).add(sha256)

    def _did_record(self, word: dict[str, Any]) -> None:
        self.recorded[word["event"]] = word["seq"]
        for medium, sha256 in word["photographs"].items():
            self.photographs[word["event"]][medium] = {sha256}

    def _will_settle(self, word: dict[str, Any]) -> None:
        self.settling.setdefault(word["event"], set()).add(word["keep"])

    def _did_settle(self, word: dict[str, Any]) -> None:
        self.settled[word["event"]] = word["n"]
        self.settling[word["event"]] = {word["n"] is not None}
        if word["thumb"]:
            self.thumbs.add(word["event"])
        self._queue(word)

    def _will_put(self, word: dict[str, Any]) -> None:
        self.retained.setdefault(word["leaf"], []).append(word["payload"])

    def _did_put(self, word: dict[str, Any]) -> None:
        self.retained[word["leaf"]] = [word["payload"]]
        for row, known in list(self.rows.items()):
            if known.retained and known.leaf == word["leaf"]:
                del self.rows[row]
        self._queue(word)

    def _will_acknowledge(self, word: dict[str, Any]) -> None:
        self.acknowledging.update(word["rows"])

    def _did_acknowledge(self, word: dict[str, Any]) -> None:
        self.acknowledged.update(word["rows"])

    def _will_request(self, word: dict[str, Any]) -> None:
        self.requesting.add(f"media/{word['medium']}")

    def _did_request(self, word: dict[str, Any]) -> None:
        self._queue(word)

    def _will_evict(self, word: dict[str, Any]) -> None:
        self.evicting = True
        self.evicting_undelivered |= word["undelivered"]

    def _did_evict(self, word: dict[str, Any]) -> None:
        """What is evicted may come back: nobody was promised that it is gone."""

    def _will_count(self, word: dict[str, Any]) -> None:
        self.counting += 1

    def _did_count(self, word: dict[str, Any]) -> None:
        self.counted += 1

    def _did_close(self, word: dict[str, Any]) -> None:
        """A good end promises nothing that was not promised before."""

    def _did_fail(self, word: dict[str, Any]) -> None:
        self.failures.append(f"{word['what']}: {word['error']}")

    def _queue(self, word: dict[str, Any]) -> None:
        for row, leaf, event, retained in word["rows"]:
            self.rows[row] = Row(leaf, event, retained)
