"""The demo's eye on the unit's store, beside the running daemon. Reads only; called by the demo's thread."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from trapd.demo.narrator import Narrator
from trapd.demo.subscriber import Arrivals
from trapd.frozen import Frozen, field
from trapd.records import Event, State, Verdict
from trapd.store import Store
from trapd.wire import codec

_MOST_EVENTS = 100_000  # more than a demo of any length takes
_REFUSED = "refused."


class Look(Frozen):
    """The store at one moment: every burst by id in order, refusals by reason, waiting messages by kind."""

    events: Mapping[str, Event] = field(default_factory=dict)
    refused: Mapping[str, int] = field(default_factory=dict)
    queue: Mapping[str, int] = field(default_factory=dict)

    @property
    def due(self) -> set[str]:
        """Ids of the bursts that have to arrive."""
        return {event.id for event in self.events.values() if event.state in (State.KEPT, State.DELIVERED)}

    @property
    def settled(self) -> bool:
        """Nothing waits: every burst is judged, and all that was kept is delivered, thumbnails too."""
        waiting = any(event.state in (State.CAPTURED, State.KEPT) for event in self.events.values())
        return not waiting and not self.queue.get("event") and not self.queue.get("thumb")

    def accounts_for(self, arrivals: Arrivals) -> bool:
        """Each event and thumbnail that is due has arrived, or waits here to be sent."""
        thumbs = {event_id for event_id in self.due if self.events[event_id].thumb}
        return len(self.due - arrivals.events.keys()) <= self.queue.get("event", 0) and len(
            thumbs - arrivals.thumbnails
        ) <= self.queue.get("thumb", 0)


def look_at(root: Path) -> Look:
    """Read the store at `root`, which a unit has made."""
    with Store.peek(root) as session:
        queue = session.outbox.depth()  # first: what comes to wait meanwhile counts as missing, not as sent
        return Look(
            events={event.id: event for event in session.events.page(limit=_MOST_EVENTS)},
            refused={
                name.removeprefix(_REFUSED): count
                for name, count in session.counters.all().items()
                if name.startswith(_REFUSED)
            },
            queue=queue,
        )


class Follower:
    """Tells each verdict and each refusal once, as soon as the store has it."""

    def __init__(self, root: Path, narrator: Narrator) -> None:
        self.look = Look()
        self.link_up = True  # as the demo knows it; only for the sentence
        self._root = root
        self._tell = narrator.tell
        self._begun = False
        self._told: set[str] = set()
        self._told_refused: Mapping[str, int] = {}

    def begin(self) -> None:
        """The unit has made its store: look into it from now on."""
        self._begun = True

    def follow(self) -> None:
        """Look, and tell what is new."""
        if not self._begun:
            return
        self.look = look_at(self._root)
        for event in self.look.events.values():
            if event.state is not State.CAPTURED and event.id not in self._told:
                self._told.add(event.id)
                self._tell_burst(event)
        for reason, count in self.look.refused.items():
            if count > self._told_refused.get(reason, 0):
                self._tell(
                    "refused", f"trigger refused: {reason}", style="yellow", reason=reason, count=count
                )
        self._told_refused = self.look.refused

    def _tell_burst(self, event: Event) -> None:
        verdict = event.verdict.verdict if event.verdict else "unknown"
        score = event.verdict.score if event.verdict else None
        audit = bool(event.verdict and event.verdict.audit)
        kept = event.state is not State.DISCARDED
        fate, style = _fate(event.verdict, kept, self.link_up)
        self._tell(
            "burst",
            f"burst {event.seq:<3} {verdict:<12} {'   -' if score is None else f'{score:.2f}'}  {fate}",
            style=style,
            id=event.id,
            seq=event.seq,
            ts=codec.rfc3339(event.moment.wall_ms),
            verdict=verdict,
            score=score,
            audit=audit,
            kept=kept,
        )


def _fate(verdict: Verdict | None, kept: bool, link_up: bool) -> tuple[str, str]:
    """What became of a burst, in words, and the style of its line."""
    if not kept:
        return "discarded", "dim"
    waits = "" if link_up else ", waits for the broker"
    if verdict is None or verdict.verdict == "unknown":
        why = f" ({verdict.reason})" if verdict and verdict.reason else ""
        return f"kept, not judged{why}{waits}", "yellow"
    if verdict.audit:
        return f"kept as an audit sample{waits}", "cyan"
    return f"kept{waits}", "green"
