"""Pure decisions: no clock, no files, no threads. Stages ask; these answer."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from trapd.frozen import Slotted, field
from trapd.records import Detection, FrameScore, Kind, Look, ModelInfo, Priority, Refusal, Verdict

NS_PER_S = 1_000_000_000
_HOUR_NS = 3600 * NS_PER_S
_KM_PER_DEGREE = 111.32  # one degree of latitude, and of longitude at the equator
_MOST_DETECTIONS = 50  # of one event; keeps its payload small whatever a model says

PRIORITY = {
    Kind.ALERT: Priority.ALERT,
    Kind.CONTROL: Priority.CONTROL,
    Kind.STATE: Priority.CONTROL,
    Kind.TRAIL: Priority.CONTROL,
    Kind.CLOCK: Priority.CONTROL,
    Kind.EVENT: Priority.EVENT,
    Kind.THUMB: Priority.THUMB,
    Kind.MEDIA_REQUESTED: Priority.MEDIA_REQUESTED,
    Kind.MEDIA_BULK: Priority.MEDIA_BULK,
}
"""Which kind goes before which."""


NO_LOOK = Look()


class TriggerGate(Slotted):
    """Cool-down after a burst, and a ceiling on bursts per hour. Times are nanoseconds since boot."""

    cooldown_s: float
    max_per_hour: int
    _ended_ns: int | None = None
    _started: deque[int] = field(default_factory=deque)

    def refusal(self, now_ns: int) -> Refusal | None:
        """Why a trigger at `now_ns` may not become a burst; None if it may."""
        if self._ended_ns is not None and now_ns - self._ended_ns < self.cooldown_s * NS_PER_S:
            return Refusal.COOLDOWN
        while self._started and now_ns - self._started[0] >= _HOUR_NS:
            self._started.popleft()
        if len(self._started) >= self.max_per_hour:
            return Refusal.RATE
        return None

    def began(self, now_ns: int) -> None:
        """A burst begins: it counts against the hour."""
        self._started.append(now_ns)

    def ended(self, now_ns: int) -> None:
        """The burst has ended: the cool-down begins."""
        self._ended_ns = now_ns


def judge_burst(
    frames: Sequence[FrameScore | None],
    info: ModelInfo,
    *,
    threshold: float | None,
    classes: Sequence[str],
    look: Look = NO_LOOK,
    second: float = 0.0,
) -> Verdict:
    """The verdict of a burst: its best frame's, and what `look` adds. `threshold` None takes the model's own.

    `frames`: None for one that could not be judged, so that boxes keep their frame's number.

    A burst is discarded when its score does not reach the threshold, or when all that reaches it is of
    classes that the model can tell and nobody asked for. A threshold or score that is not a finite number
    judges nothing: it would compare as "below" with everything.
    """
    scores = [frame for frame in frames if frame is not None]
    if not scores:
        return unjudged("the burst has no frame that could be judged", info)
    limit = info.threshold if threshold is None else threshold
    if not math.isfinite(limit):
        return unjudged(f"the threshold {limit} is not a finite number", info)
    if not all(_finite(frame) for frame in scores):
        return unjudged("the model gave a score that is not a finite number", info)
    found = {
        name: max(frame.by_class.get(name, 0.0) for frame in scores)
        for name in sorted(info.tells)
        if any(frame.by_class.get(name, 0.0) >= limit for frame in scores)
    }
    score = burst_score(max(frame.score for frame in scores), look, second)
    nameless = any(frame.score >= limit and frame.score > _named(frame) for frame in scores)
    verdict, keep = _name_and_keep(score, limit, found, classes, nameless=nameless)
    return Verdict(
        verdict=verdict,
        keep=keep,
        score=score,
        detections=_strongest(frames),
        model=info.name,
        sha256=info.sha256,
        threshold=limit,
        night=look.night,
    )


_SHIFT = (0.7, 0.015, -0.35, 1.3)  # weight, what is neutral, least and most: of the embedding
_CHANGE = (0.5, 0.2, -0.25, 0.7)  # and of the pixels; log-odds
_SECOND_LOOK = 0.5  # log-odds that a tile's score is worth less than a frame's: there are four of them
_UNCERTAIN = 0.6  # of the threshold


def burst_score(best: float, look: Look, second: float = 0.0) -> float:
    """The best frame's score, or the second look's, and what changed from frame to frame, in log-odds.

    What moves is more likely an animal, what stands still a little less: that is added and never decides
    alone, so its part is bounded. A burst of one frame has no such part.
    """
    odds = _log_odds(best)
    if second > 0:
        odds = max(odds, _log_odds(second) - _SECOND_LOOK)
    found = ((look.shift, _SHIFT), (look.change, _CHANGE))
    known = [(value, scale) for value, scale in found if value is not None and math.isfinite(value)]
    if not known and second <= 0:
        return best
    for value, (weight, neutral, least, most) in known:
        odds += min(most, max(least, weight * math.log(max(value, 1e-6) / neutral)))
    return 1.0 / (1.0 + math.exp(-odds))


def _log_odds(score: float) -> float:
    bounded = min(1 - 1e-6, max(1e-6, score))
    return math.log(bounded / (1 - bounded))


def is_uncertain(verdict: Verdict) -> bool:
    """Whether a second look may change this: a burst to be discarded with a score not far from keeping."""
    score, limit = verdict.score, verdict.threshold
    return not verdict.keep and score is not None and limit is not None and score >= _UNCERTAIN * limit


KEEP_MORE: float = 0.5
"""What the threshold is multiplied by while more is kept."""


def limit_of(configured: float | None, info: ModelInfo, *, keep_more: bool) -> float:
    """The threshold in force. `configured` None takes the model's own."""
    limit = info.threshold if configured is None else configured
    return limit * KEEP_MORE if keep_more else limit


def unjudged(reason: str, info: ModelInfo | None = None) -> Verdict:
    """A burst that nobody judged is kept: the filter may fail, the animal may not be lost."""
    return Verdict(
        verdict="unknown",
        keep=True,
        reason=reason,
        model=info.name if info else "none",
        sha256=info.sha256 if info else None,
        threshold=info.threshold if info and math.isfinite(info.threshold) else None,
    )


def _finite(frame: FrameScore) -> bool:
    boxes = (value for box in frame.detections for value in (box.conf, *box.bbox))
    return all(map(math.isfinite, (frame.score, *frame.by_class.values(), *boxes)))


def _named(frame: FrameScore) -> float:
    return max(frame.by_class.values(), default=0.0)


def _name_and_keep(
    score: float, limit: float, found: dict[str, float], classes: Sequence[str], *, nameless: bool
) -> tuple[str, bool]:
    """`nameless`: in some frame the strongest thing is one that the model cannot name."""
    wanted = {name: conf for name, conf in found.items() if name in classes}
    if wanted:
        return max(wanted, key=lambda name: wanted[name]), True
    if found and not nameless:
        return max(found, key=lambda name: found[name]), False
    if score >= limit:
        return "unclassified", True
    return "empty", False


def _strongest(frames: Sequence[FrameScore | None]) -> tuple[Detection, ...]:
    every = [
        Detection(index, box.category, box.conf, box.bbox)
        for index, frame in enumerate(frames)
        if frame is not None
        for box in frame.detections
    ]
    every.sort(key=lambda box: -box.conf)
    return tuple(sorted(every[:_MOST_DETECTIONS], key=lambda box: (box.frame, -box.conf)))


def round_location(latitude: float, longitude: float, precision_km: float) -> tuple[float, float]:
    """The centre of the grid cell, `precision_km` wide, that the place lies in; degrees.

    Snapped to a fixed grid and not shifted at random: many answers average to nothing more than one does.
    """
    if precision_km <= 0:
        return latitude, longitude
    step = precision_km / _KM_PER_DEGREE
    rounded = max(-90.0, min(90.0, round(latitude / step) * step))
    # Near the poles a degree of longitude shrinks to nothing: one cell then spans the whole circle.
    width = min(360.0, step / max(math.cos(math.radians(rounded)), 1e-6))
    around = round(longitude / width) * width
    around = (around + 180.0) % 360.0 - 180.0
    return round(rounded, 5), round(around, 5)


NOBODY_SUBSCRIBED = 0x10
"""MQTT 5: the broker took the message and threw it away, for nobody had subscribed."""

_PROBE_AFTER_S = (5.0, 10.0, 20.0, 40.0, 60.0)


def probe_delay_s(refusals: int) -> float:
    """How long a leaf that nobody subscribes to rests before its next probe; `refusals` counts from 1."""
    return _PROBE_AFTER_S[min(refusals, len(_PROBE_AFTER_S)) - 1]


def acknowledged(kind: Kind, retain: bool, reason: int) -> bool:
    """Whether this PUBACK reason lets the row go."""
    if reason == 0x00:
        return True
    # A broker keeps a retained message whoever listens; an answer is for the one who asked, if still there.
    return reason == NOBODY_SUBSCRIBED and (retain or kind in (Kind.CONTROL, Kind.STATE))


class Allowance(Slotted):
    """A few times at once, and then once in `every_s`. Seconds of a clock that does not go back."""

    most: int
    every_s: float
    _left: float | None = None
    _as_of_s: float = 0.0

    def take(self, now_s: float) -> bool:
        """Whether it may be done now; it then counts as done."""
        left = self.most if self._left is None else self._left + (now_s - self._as_of_s) / self.every_s
        self._as_of_s = now_s
        self._left = min(left, float(self.most))
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


_SLOT_S = 900
_SLOTS = 86_400 // _SLOT_S
_EVERY = 10


class Turns(Slotted):
    """One send in ten is the turn of the oldest row of the lower classes."""

    _since: int = 0

    @property
    def lower(self) -> bool:
        """Whether the next send is theirs. While alerts wait nobody asks."""
        return self._since >= _EVERY - 1

    def sent(self, *, lower: bool) -> None:
        """One more was sent."""
        self._since = 0 if lower else self._since + 1


_OWN_MOST_BYTES, _OWN_PART, _OWN_LEAST_PART = 16_384, 10, 50


def own_reserve_bytes(per_day_bytes: int, alert_reserve_bytes: int) -> int:
    """What is kept of a budget for the unit itself: some reports of its configuration, a hundred links."""
    part_bytes = (per_day_bytes - alert_reserve_bytes) // _OWN_PART
    return min(_OWN_MOST_BYTES, max(part_bytes, per_day_bytes // _OWN_LEAST_PART))


class Spent(NamedTuple):
    """Bytes of one slot of time; of those for alerts, and of those that were kept for the unit itself."""

    slot: int
    bytes: int = 0
    alerts: int = 0
    own: int = 0


class Budget(Slotted):
    """Bytes that may be sent in any 24 h of running time, a part of them for alerts alone.

    A small part more, `own_bytes`, is for what keeps the unit within reach: it is touched only when all else
    is spent, and goes before what is kept for alerts. What is larger than that saves up for itself (`owe`):
    until it went all else waits. Times are seconds of running time: a clock that stands while trapd does not
    run. What was sent is kept in slots of a quarter of an hour, each counted until its end is 24 h ago: never
    too little.
    """

    per_day_bytes: int
    reserve_bytes: int
    own_bytes: int = 0
    _spent: deque[Spent] = field(default_factory=deque)
    _owed_bytes: int = 0

    def allows(self, size_bytes: int, now_s: float, *, alert: bool, own: bool = False) -> bool:
        """Whether so much may be sent now. `own`: it may touch what is kept for the unit itself."""
        return size_bytes <= self._room_bytes(now_s, alert=alert, own=own)

    def owe(self, size_bytes: int) -> None:
        """So much has to go at once that keeps the unit within reach; no more than a whole day's budget."""
        self._owed_bytes = max(self._owed_bytes, min(size_bytes, self.per_day_bytes))

    def spend_beside(self, size_bytes: int, now_s: float) -> None:
        """So much went for the link itself, allowed or not: what is kept back is left alone."""
        if (room_bytes := self._room_bytes(now_s, alert=False, own=False)) > 0:
            self.spend(min(size_bytes, room_bytes), now_s, alert=False)

    def spend(self, size_bytes: int, now_s: float, *, alert: bool, own: bool = False) -> None:
        """So much was handed to the socket."""
        reserved = own and not self.allows(size_bytes, now_s, alert=alert)
        self._owed_bytes = 0 if own else self._owed_bytes
        slot = int(now_s // _SLOT_S)
        latest = self._spent.pop() if self._spent and self._spent[-1].slot == slot else Spent(slot)
        self._spent.append(
            Spent(
                slot,
                latest.bytes + size_bytes,
                latest.alerts + (size_bytes if alert else 0),
                latest.own + (size_bytes if reserved else 0),
            )
        )

    def spent_bytes(self, now_s: float) -> int:
        """What counts against the budget now."""
        self._forget(now_s)
        return sum(slot.bytes for slot in self._spent)

    def slots(self) -> list[Spent]:
        """What a later process has to know; for `restore`."""
        return list(self._spent)

    def restore(self, slots: Iterable[Iterable[int]]) -> None:
        """What an earlier process has sent. Raises TypeError for what are no slots."""
        self._spent = deque(sorted(Spent(*map(int, slot)) for slot in slots))

    def _room_bytes(self, now_s: float, *, alert: bool, own: bool) -> int:
        left_bytes = self.per_day_bytes - self.spent_bytes(now_s)
        if not alert:
            most_bytes = self.per_day_bytes - max(self.own_bytes, self._owed_bytes)
            reserve_bytes = min(self.reserve_bytes, most_bytes)
            left_bytes -= max(0, reserve_bytes - sum(slot.alerts for slot in self._spent))
        if not own:
            left_bytes -= max(self._owed_bytes, self.own_bytes - sum(slot.own for slot in self._spent))
        return left_bytes

    def _forget(self, now_s: float) -> None:
        while self._spent and self._spent[0].slot < int(now_s // _SLOT_S) - _SLOTS:
            self._spent.popleft()


_RECEIPT_WITHIN_S = 3600


def again_below(first_mark: int, connected_s: float) -> int:
    """Rows whose receipt is awaited with a mark below this go again.

    Marks of this connection begin with `first_mark` and count its seconds; lower ones are of earlier
    connections, and go again at once.
    """
    return max(first_mark, first_mark + int(connected_s) - _RECEIPT_WITHIN_S)
