"""Screen: judge what was captured, oldest first, and settle it: due for delivery, or discarded.

One thread owns the classifier. Bursts wait on disk; their small frames are in memory only while there is
room. Whatever goes wrong here keeps the burst as `unknown`: the filter may fail, the animal may not be lost.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from trapd.errors import BadInput, ModelUnavailable, StoreError, StoreFull
from trapd.frozen import Frozen, replace
from trapd.ports import Classifier, Clock, Scene
from trapd.records import Event, FrameScore, Look, ModelInfo, Small, State, Verdict
from trapd.rules import NS_PER_S, is_uncertain, judge_burst, limit_of, unjudged
from trapd.sampling import chosen, fraction_of, heap_of
from trapd.stages.alerts import Alerts
from trapd.stages.base import Stage
from trapd.stages.capture.doubt import Judged
from trapd.stages.capture.waiting import WaitingFrames
from trapd.store import Session, Store

log = logging.getLogger("trapd.screen")

_TURN_S = 1.0
_RETRY_MODEL_S = (60.0, 120.0, 300.0, 600.0)  # a model that nobody vouches for costs a process each time
_RETRY_STORE_S = 5.0
_SECOND_LOOK_S = 2.0  # for the tiles of one burst
_BACKLOG = 10  # with more bursts waiting nobody looks twice
_HIDDEN_ALERT = 5  # bursts in a row in which nothing can be seen
_LOOKED_AT = 8  # frames of a burst that are held against each other
_FINISH_WITHIN_S = 1.5  # what is left of a burst when the stop comes


class _ToldToStop(Exception):
    """In the middle of a burst, or of opening a model."""


class ScreenPlan(Frozen):
    """What the configuration says of the filter. `threshold` None: the model's own;
    `threshold_night` None: as by day.

    Events of the `alert_classes` go before everything else. `send_media`: photographs go without being asked
    for.
    """

    threshold: float | None
    classes: tuple[str, ...]
    audit_fraction: float
    thumbnail_bytes: int
    discard_at_once: bool
    alert_classes: tuple[str, ...] = ()
    send_media: bool = False
    threshold_night: float | None = None


class Screen(Stage):
    """Captured events to kept or discarded ones. `classifier` None keeps everything unjudged.

    `announce` is told which model is at work: once at start, and whenever that changes. It may raise
    StoreFull, and is then told again later. `keep_more`: whether the threshold is lowered now.
    `scene` adds what the whole burst shows; None: the scores alone.
    """

    name = "screen"
    patience_s = 120.0

    def __init__(
        self,
        plan: ScreenPlan,
        *,
        classifier: Classifier | None,
        store: Store,
        waiting: WaitingFrames,
        alerts: Alerts,
        clock: Clock,
        announce: Callable[[ModelInfo | None], None],
        keep_more: Callable[[], bool] = lambda: False,
        scene: Scene | None = None,
    ) -> None:
        super().__init__()
        self._plan = plan
        self._announce = announce
        self._keep_more = keep_more
        self._scene = scene
        self._hidden = 0
        self._backlog: Callable[[], int] = lambda: 0
        self._classifier = classifier
        self._store = store
        self._waiting = waiting
        self._alerts = alerts
        self._clock = clock
        self._info: ModelInfo | None = None
        self._announced: tuple[ModelInfo | None] | None = None
        self._retry_ns = 0
        self._model_failures = 0
        self._judged = Judged()

    @property
    def judged(self) -> Judged:
        """How far it has come. From any thread."""
        return self._judged

    @property
    def model_ready(self) -> bool:
        """Whether the filter is as the configuration wants it: a sound model, or none. From any thread."""
        return self._classifier is None or self._info is not None

    def run(self) -> None:
        """Until told to stop."""
        with self._store.session() as session, suppress(_ToldToStop):
            try:
                self._open_model()
                while not self.stop.is_set():
                    self.beat()
                    self._turn(session)
            finally:
                if self._classifier is not None:
                    self._classifier.close()

    def _turn(self, session: Session) -> None:
        # Cleared before the look: a burst recorded after it sets it again, and the wait ends at once.
        self._waiting.news.clear()
        event = session.events.oldest_captured()
        if event is None:
            self._judged = replace(self._judged, caught_up_ns=self._clock.boot_ns())
        self._backlog = session.events.captured_count
        try:
            self._tell_model()
            if event is not None:
                self._screen(session, event)
            elif self._info is None:
                self._open_model()  # it may be there by now, and then the alert is over
        except _ToldToStop:
            log.info("%s is left for the next start", event.id if event is not None else "")
        except StoreFull as error:
            # What is captured stays captured, on disk; nothing is lost by judging it later.
            log.warning("Screen waits for space: %s", error)
            self._clock.wait(self.stop, _RETRY_STORE_S)
        else:
            if event is None:
                self._clock.wait(self._waiting.news, _TURN_S)

    def _screen(self, session: Session, event: Event) -> None:
        if event.id in self._store.recovered.give_up:
            # Its photographs have ended two processes: they are not looked at again, nor is a thumbnail made.
            verdict = unjudged("judging it has ended two processes", self._info)
            self._settle(session, event, verdict, may_look=False)
            return
        if self._info is None:
            self._open_model()
            self._tell_model()
        verdict, damaged = self._judge(event)
        if verdict.score is None and not damaged:
            damaged = self._damaged(event)  # nobody has looked at them
        damaged = max(damaged, self._settle(session, event, verdict))
        if damaged:
            # Counted once the burst is settled: one that waits for space is judged again.
            session.counters.add("photographs_bad", damaged)

    def _damaged(self, event: Event) -> int:
        """How many of its photographs are missing, empty or cannot be decoded; each is named in the log."""
        damaged = 0
        for medium in event.media:
            self.beat()
            try:
                self._store.check(medium)
            except BadInput as error:
                damaged += 1
                log.warning("%s: %s", medium.id, error)
        return damaged

    def _tell_model(self) -> None:
        if self._announced != (self._info,):
            self._announce(self._info)
            self._announced = (self._info,)

    def _open_model(self) -> None:
        if self._classifier is None or self._clock.boot_ns() < self._retry_ns:
            return
        self.may_be_left = True  # a library is read from a slow card, or a child process tries the file
        try:
            found: ModelInfo | ModelUnavailable = self._classifier.open()
        except ModelUnavailable as error:
            found = error
        self.may_be_left = False
        if self.stop.is_set():  # it may have left us behind, and closed the store
            raise _ToldToStop
        if isinstance(found, ModelUnavailable):
            self._model_failed(found)
            return
        self._info = found
        self._model_failures = 0
        self._alerts.clear("model")
        log.info("model %s, threshold %.2f", found.name, found.threshold)

    def _model_failed(self, error: ModelUnavailable) -> None:
        if self._classifier is not None:
            self._classifier.close()
        self._info = None
        wait_s = _RETRY_MODEL_S[min(self._model_failures, len(_RETRY_MODEL_S) - 1)]
        self._model_failures += 1
        self._retry_ns = self._clock.boot_ns() + int(wait_s * NS_PER_S)
        self._alerts.raise_("model", error.message, error.hint or "every burst is kept unjudged meanwhile")

    def _judge(self, event: Event) -> tuple[Verdict, int]:
        """The verdict, and how many photographs are missing, empty or cannot be decoded."""
        smalls = self._waiting.take(event.id)
        if self._classifier is None:
            return unjudged(""), 0
        if self._info is None:
            return unjudged("the model is not available"), 0
        info = self._info
        begin_s = time.monotonic()
        try:
            if smalls is not None:
                self._classifier.prepare(smalls)
            look = Look() if self._scene is None else self._scene.look(self._pictures(event, smalls))
            scores, damaged = self._scores(self._classifier, event, smalls)
            verdict = self._weigh(self._classifier, info, event, scores, look)
        except ModelUnavailable as error:
            self._model_failed(error)
            return unjudged(error.message, info), 0
        if damaged and not verdict.keep:
            # The frame nobody could look at may be the one with the animal.
            verdict = unjudged(f"{damaged} of {len(event.media)} photographs cannot be decoded", info)
        return replace(verdict, ms=round((time.monotonic() - begin_s) * 1000)), damaged

    def _weigh(
        self,
        classifier: Classifier,
        info: ModelInfo,
        event: Event,
        scores: Sequence[FrameScore | None],
        look: Look,
    ) -> Verdict:
        """The verdict by the whole burst: scores, change, light, and a second look where it is uncertain."""
        if self._scene is not None:
            look = replace(look, shift=self._scene.shift(scores))
        limit = limit_of(self._configured(look.night), info, keep_more=self._keep_more())

        def judged(second: float = 0.0) -> Verdict:
            return judge_burst(
                scores, info, threshold=limit, classes=self._plan.classes, look=look, second=second
            )

        verdict = judged()
        if is_uncertain(verdict):
            verdict = judged(self._second_look(classifier, event, scores))
        return self._unless_hidden(verdict, look, info)

    def _pictures(self, event: Event, smalls: Sequence[Small] | None) -> Iterator[Small | bytes]:
        """Frames from all over the burst, one at a time: photographs of a long one do not fit into memory."""
        step = max(1, -(-len(event.media) // _LOOKED_AT))
        for index in range(0, len(event.media), step):
            if smalls is not None:
                yield smalls[index]
                continue
            try:
                yield self._store.read(event.media[index])
            except BadInput:
                continue  # it is counted where it is judged

    def _second_look(
        self, classifier: Classifier, event: Event, scores: Sequence[FrameScore | None]
    ) -> float:
        """The best score of the best frame's tiles; 0 where there is no time, or nothing finer to see."""
        if self._scene is None or self.stop.is_set() or self._backlog() > _BACKLOG:
            return 0.0
        best = max(range(len(scores)), key=lambda at: -1.0 if (one := scores[at]) is None else one.score)
        until_ns = self._clock.boot_ns() + int(_SECOND_LOOK_S * NS_PER_S)
        found = 0.0
        try:
            for tile in self._scene.tiles(self._store.read(event.media[best])):
                self.beat()
                score = classifier.judge(tile).score
                found = max(found, score if math.isfinite(score) else 1.0)
                if self._clock.boot_ns() >= until_ns:
                    break
        except BadInput as error:
            log.warning("%s: no second look: %s", event.id, error)
        return found

    def _unless_hidden(self, verdict: Verdict, look: Look, info: ModelInfo) -> Verdict:
        """What cannot be seen is not empty: kept as unknown, and reported when it goes on."""
        if not look.hidden:
            self._hidden = 0
            self._alerts.clear("view")
            return verdict
        self._hidden += 1
        if self._hidden >= _HIDDEN_ALERT:
            self._alerts.raise_(
                "view",
                f"nothing can be seen in the newest bursts: {look.hidden}",
                "clean the lens, look at what is before it and at the infrared light",
            )
        if verdict.keep:
            return verdict
        return replace(unjudged(f"nothing can be seen: {look.hidden}", info), night=look.night)

    def _scores(
        self, classifier: Classifier, event: Event, smalls: Sequence[Small] | None
    ) -> tuple[list[FrameScore | None], int]:
        """The score of each frame, None where it cannot be judged; and how many cannot."""
        scores: list[FrameScore | None] = []
        begin_ns = self._clock.boot_ns()
        for index, medium in enumerate(event.media):
            self.beat()
            self._leave_if_told(index, len(event.media), begin_ns)
            try:
                picture = smalls[index] if smalls is not None else self._store.read(medium)
                scores.append(classifier.judge(picture))
            except (BadInput, OSError) as error:
                scores.append(None)
                log.warning("%s: %s", medium.id, error)
        return scores, scores.count(None)

    def _leave_if_told(self, done: int, frames: int, begin_ns: int) -> None:
        """A stop does not wait for a slow model: the burst stays captured, for the next process to judge."""
        if not self.stop.is_set() or not done:
            return
        left_s = (self._clock.boot_ns() - begin_ns) / NS_PER_S / done * (frames - done)
        if left_s > _FINISH_WITHIN_S:
            raise _ToldToStop

    def _settle(self, session: Session, event: Event, verdict: Verdict, *, may_look: bool = True) -> int:
        """Kept or discarded, durably; gives how many photographs no thumbnail could be made of."""
        thumb, damaged = None, 0
        heap, is_drawn = self._sampled(session, verdict)
        if is_drawn and not verdict.keep:
            verdict = replace(verdict, keep=True, audit=True)
        if verdict.keep and may_look:
            thumb, damaged = self._thumbnail(event, verdict)
        settled = session.events.settle(
            event.id,
            verdict,
            thumb=thumb,
            urgent=verdict.verdict in self._plan.alert_classes,
            media=self._plan.send_media,
            heap=heap,
            is_drawn=is_drawn,
        )
        self._note_kept(event, verdict)
        if verdict.reason:
            session.counters.add("unjudged")
            log.warning("%s kept unjudged: %s", event.id, verdict.reason)
        else:
            log.info("%s %s %s", event.id, verdict.verdict, _words(settled, verdict))
        if settled.state is State.DISCARDED and self._plan.discard_at_once:
            self._store.space.drop(session, settled)
        return damaged

    def _note_kept(self, event: Event, verdict: Verdict) -> None:
        """A burst of this boot speaks for its sensor; one that nobody judged, or a sample, does not."""
        kept = verdict.keep and not verdict.audit and verdict.score is not None
        if kept and event.moment.boot_id == self._clock.now().boot_id:
            self._judged = replace(self._judged, kept_ns=max(self._judged.kept_ns, event.moment.boot_ns))

    def _sampled(self, session: Session, verdict: Verdict) -> tuple[str | None, bool]:
        """The stratum of a burst of this verdict, and whether it is drawn for audit."""
        if self._classifier is None:
            return None, False
        configured = self._configured(verdict.night)
        fraction = fraction_of(verdict, self._plan.audit_fraction)
        heap = heap_of(verdict, configured=configured, fraction=fraction).name
        nth = session.audits.place(heap)
        return heap, chosen(session.audits.seed(), heap, nth, fraction)

    def _configured(self, night: bool | None) -> float | None:
        at_night = self._plan.threshold_night
        return at_night if night and at_night is not None else self._plan.threshold

    def _thumbnail(self, event: Event, verdict: Verdict) -> tuple[tuple[str, int] | None, int]:
        """A thumbnail of the best frame that can be decoded, and how many could not; an event without one is
        still an event.
        """
        if self._plan.thumbnail_bytes == 0:
            return None, 0
        best = max(verdict.detections, key=lambda box: box.conf).frame if verdict.detections else 0
        frames = sorted(range(len(event.media)), key=lambda frame: frame != best)
        for damaged, frame in enumerate(frames):
            try:
                return self._store.write_thumb(event, frame, self._plan.thumbnail_bytes), damaged
            except BadInput as error:
                log.warning("no thumbnail of %s: %s", event.media[frame].id, error)
            except (StoreError, OSError) as error:
                log.warning("no thumbnail for %s: %s", event.id, error)
                return None, damaged
        return None, len(frames)


def _words(event: Event, verdict: Verdict) -> str:
    score = "" if verdict.score is None else f"{verdict.score:.2f} "
    return f"{score}{event.state}{' as audit sample' if verdict.audit else ''}"
