"""Capture: a trigger becomes a burst on disk, durably, before anything judges it; or a counted refusal.

One thread owns the camera and is the only writer of new events. It waits for nothing but the trigger, the
camera and the card: not for the filter, not for clean-up, not for the network.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Mapping
from contextlib import suppress

from trapd.errors import BadPicture, CameraUnavailable, SensorUnavailable, StoreCorrupt, StoreError, StoreFull
from trapd.frozen import Frozen
from trapd.ports import Camera, Clock, Sensor
from trapd.records import Event, Refusal, Small, Trigger
from trapd.rules import NS_PER_S, TriggerGate
from trapd.stages.alerts import Alerts
from trapd.stages.base import Stage
from trapd.stages.capture.camera_watch import CameraWatch
from trapd.stages.capture.doubt import Doubt, Judged, nothing_judged
from trapd.stages.capture.orders import REMOTE, Orders, Taken
from trapd.stages.capture.rare_reboot import RareReboot
from trapd.stages.capture.refusals import Refusals
from trapd.stages.capture.waiting import WaitingFrames
from trapd.store import BurstFiles, ExifContext, Session, Store

log = logging.getLogger("trapd.capture")

_TURN_S = 0.2
_SENSOR_LOOK_S = 10.0
_DISK_RETRY_S = 5.0
_FIRST_GUESS_BYTES = 300_000  # of one photograph, until the first one tells
_PASSED_OVER = "photographs_passed_over"
_NO_ROOM = "no room for a burst: triggers are refused"
_MAKE_ROOM = "let the queue drain, raise storage.max_bytes, or free space on the card"


class CapturePlan(Frozen):
    """What the configuration says of a burst."""

    frames: int
    interval_s: float
    while_active: bool
    cooldown_s: float
    max_per_hour: int
    probe_s: float
    config: str
    warmup_s: float = 0.0
    stuck_s: float | None = None


class Capture(Stage):
    """Sensor and camera to store."""

    name = "capture"
    patience_s = 120.0

    def __init__(
        self,
        plan: CapturePlan,
        *,
        sensor: Sensor,
        camera: Camera,
        store: Store,
        exif: ExifContext,
        clock: Clock,
        waiting: WaitingFrames,
        alerts: Alerts,
        environment: Callable[[], dict[str, float]],
        refusals: Refusals | None = None,
        orders: Orders | None = None,
        judged: Callable[[], Judged] = nothing_judged,
        reboot: RareReboot | None = None,
    ) -> None:
        super().__init__()
        self._plan = plan
        self._sensor = sensor
        self._camera = camera
        self._watch = CameraWatch(
            camera,
            clock=clock,
            alerts=alerts,
            probe_s=plan.probe_s,
            reboot=reboot,
            stopping=self.stop.is_set,
        )
        self._first_frame_ms: float | None = None
        self._store = store
        self._exif = exif
        self._clock = clock
        self._waiting = waiting
        self._alerts = alerts
        self._environment = environment
        self._gate = TriggerGate(plan.cooldown_s, plan.max_per_hour)
        # One trigger may wait while a burst is taken; the animal that goes on moving needs no third.
        self._inbox: queue.Queue[Trigger] = queue.Queue(maxsize=1)
        # What an earlier run of the stages could not write down comes along.
        self._refusals = refusals or Refusals(clock)
        self._orders = orders or Orders()
        self._doubt = Doubt(
            warmup_s=plan.warmup_s,
            stuck_s=plan.stuck_s,
            sensor=sensor,
            judged=judged,
            clock=clock,
            alerts=alerts,
        )
        self._taking = False
        self._begun = 0
        self._level_due_ns = 0
        self._sensor_started = False
        self._sensor_due_ns = 0
        self._photograph_bytes = _FIRST_GUESS_BYTES
        self._no_photographs = 0  # frames the camera gave that were none, and the store has not counted
        self._passed_over: int | None = None  # what the store says of the camera; None: not looked yet

    @property
    def camera_seen(self) -> bool:
        """Whether the camera has given a frame to this process. From any thread."""
        return self._watch.seen

    def facts(self) -> Mapping[str, float]:
        """What the heartbeat says of the camera. From any thread."""
        first_ms = self._first_frame_ms
        return {**self._camera.facts(), **({} if first_ms is None else {"first_frame_ms": first_ms})}

    @property
    def taking(self) -> bool:
        """Whether a burst is being taken. From any thread."""
        return self._taking

    @property
    def begun(self) -> int:
        """How many bursts were begun. From any thread."""
        return self._begun

    def offer(self, trigger: Trigger) -> None:
        """Take a trigger from a sensor's own thread; neither blocks nor raises."""
        try:
            self._inbox.put_nowait(trigger)
        except queue.Full:
            self._refusals.add(Refusal.BUSY)

    def run(self) -> None:
        """Until told to stop; a burst under way ends with its present frame."""
        with self._store.session() as session:
            try:
                while not self.stop.is_set():
                    self.beat()
                    self._turn(session)
                self._leave_traces(session)
            except Exception:
                with suppress(StoreError):  # what counts is what has ended it
                    self._leave_traces(session)
                raise
            finally:
                self._sensor.close()
                self._watch.close()

    def _turn(self, session: Session) -> None:
        self._keep_sensor_ready()
        self._watch.look(session)
        trigger = self._next_trigger()
        if trigger is not None:
            self._answer(session, trigger)
        self._refusals.store(session)
        self._count_passed_over(session)

    def _keep_sensor_ready(self) -> None:
        """Start the sensor, look after it now and then, start it again when it has died."""
        now_ns = self._clock.boot_ns()
        if now_ns < self._sensor_due_ns:
            return
        self._sensor_due_ns = now_ns + int(_SENSOR_LOOK_S * NS_PER_S)
        try:
            if not self._sensor_started:
                self._sensor.start(self.offer)
                self._sensor_started = True
            self._sensor.check()
        except SensorUnavailable as error:
            if not error.partly:
                self._sensor.close()
                self._sensor_started = False
                self._alerts.raise_("sensor", error.message, error.hint)
                return
            self._alerts.raise_("sensor_pin", error.message, error.hint)
        else:
            self._alerts.clear("sensor_pin")
        self._alerts.clear("sensor")

    def _next_trigger(self) -> Trigger | None:
        if (asked := self._orders.next()) is not None:
            return asked
        with suppress(queue.Empty):
            return self._inbox.get(timeout=_TURN_S)
        return self._still_active()

    def _still_active(self) -> Trigger | None:
        """No edge, yet a sensor may still be active: the mother has passed, here come the cubs.

        What would be refused is asked again at a later turn and not counted: a level is not a new trigger.
        """
        now_ns = self._clock.boot_ns()
        activities = self._doubt.look() if self._sensor_started else ()
        if not (activities and self._watch.ready and self._orders.armed):
            return None
        if now_ns < self._level_due_ns or self._gate.refusal(now_ns) is not None:
            return None
        trigger = self._doubt.level(activities, while_active=self._plan.while_active)
        if trigger is None or self._room():
            return trigger
        self._level_due_ns = now_ns + int(_DISK_RETRY_S * NS_PER_S)
        return None

    def _answer(self, session: Session, trigger: Trigger) -> None:
        began_ns = self._clock.boot_ns()
        refusal = self._refusal(trigger, began_ns)
        if refusal is not None:
            self._refuse(trigger, refusal)
            return
        self._taking = True
        self._begun += 1
        try:
            event, smalls = self._take(session, trigger)
        except CameraUnavailable as error:
            self._watch.failed(error)
            self._refuse(trigger, Refusal.CAMERA)
        except StoreError as error:
            log.error("no burst: %s", error)
            self._refuse(trigger, Refusal.DISK)
            self._disk_refused(error)
        else:
            if trigger.source == REMOTE:
                self._orders.done(Taken(trigger, event_id=event.id))
            self._doubt.believed(trigger)
            # Only a burst that is on the card counts against the hour and begins the cool-down.
            self._gate.began(began_ns)
            self._gate.ended(self._clock.boot_ns())
            self._waiting.put(event.id, smalls)
            self._photograph_bytes = max(medium.bytes for medium in event.media)
        finally:
            self._taking = False

    def _refusal(self, trigger: Trigger, now_ns: int) -> Refusal | None:
        """Why this trigger becomes no burst. The operator's own is not held to what holds for sensors."""
        refusal = None
        if trigger.source != REMOTE:
            refusal = Refusal.DISARMED
            if self._orders.armed:
                refusal = self._doubt.refusal(trigger) or self._gate.refusal(now_ns)
        if refusal is None and not self._watch.ready:
            refusal = Refusal.CAMERA
        if refusal is None and not self._room():
            refusal = Refusal.DISK
        return refusal

    def _refuse(self, trigger: Trigger, refusal: Refusal) -> None:
        self._refusals.add(refusal)
        if trigger.source == REMOTE:
            self._orders.done(Taken(trigger, refusal=refusal))

    def _take(self, session: Session, trigger: Trigger) -> tuple[Event, tuple[Small | None, ...]]:
        """Frames to disk, then one transaction. A camera that fails half-way leaves a shorter burst."""
        moment = self._clock.now()
        seq = self._store.next_seq()
        files = self._store.burst_files(seq, moment, self._exif, trigger=trigger, config=self._plan.config)
        try:
            smalls = self._shoot(trigger, files)
            media = files.commit()
            event = session.events.record(
                seq=seq,
                moment=moment,
                trigger=trigger,
                media=media,
                config=self._plan.config,
                env=self._environment(),
            )
        except (CameraUnavailable, StoreFull):
            files.abandon()
            raise
        return event, tuple(smalls)

    def _shoot(self, trigger: Trigger, files: BurstFiles) -> list[Small | None]:
        """Each frame to disk as it comes. Raises CameraUnavailable only where there is none at all."""
        smalls: list[Small | None] = []
        try:
            for frame in self._camera.shoot(trigger, self._plan.frames, self._plan.interval_s):
                self.beat()
                if not smalls:
                    self._first_frame_ms = round((frame.boot_ns - trigger.boot_ns) / 1e6, 1)
                try:
                    files.add(frame)
                except BadPicture as error:
                    self._no_photographs += 1
                    log.warning("a frame was no photograph and is left out: %s", error)
                else:
                    smalls.append(frame.small)
                if smalls and self.stop.is_set():
                    break
        except CameraUnavailable as error:
            if not smalls:
                raise
            self._watch.failed(error)
        else:
            self._watch.worked()
        if not smalls:
            raise CameraUnavailable("no frame of the burst was a photograph", "look at the camera's cable")
        return smalls

    def _count_passed_over(self, session: Session) -> None:
        """Pictures that were there and are in no burst; the log has named each.

        Of a folder's files it is a level: the same ones are there at the next start.
        """
        now = self._camera.passed_over
        if self._passed_over is None and (now or self._watch.seen):
            self._passed_over = session.counters.all().get(_PASSED_OVER, 0)
        with suppress(StoreFull):  # not counted yet: the next turn tries again
            if self._passed_over not in (None, now):
                session.counters.put(_PASSED_OVER, now)
                self._passed_over = now
            if self._no_photographs:
                session.counters.add("photographs_bad", self._no_photographs)
                self._no_photographs = 0

    def _room(self) -> bool:
        """Whether a burst may be written; raises the alert where not."""
        try:
            if self._store.space.admit(self._photograph_bytes * self._plan.frames):
                return True
        except StoreError as error:
            self._disk_refused(error)
        else:
            self._alerts.raise_("disk", _NO_ROOM, _MAKE_ROOM)
        return False

    def _disk_refused(self, error: StoreError) -> None:
        """Raise the alert for what the disk refused; damage of the database ends the process."""
        if isinstance(error, StoreCorrupt):
            raise error
        self._level_due_ns = self._clock.boot_ns() + int(_DISK_RETRY_S * NS_PER_S)
        if isinstance(error, StoreFull):
            self._alerts.raise_("disk", _NO_ROOM, _MAKE_ROOM)
        else:
            self._alerts.raise_("disk", "a burst cannot be written: triggers are refused", error.hint)

    def _leave_traces(self, session: Session) -> None:
        """No trigger comes any more, and each that came is counted: one that waits, too."""
        self._sensor.close()
        with suppress(queue.Empty):
            while True:
                self._inbox.get_nowait()
                self._refusals.add(Refusal.BUSY)
        self._refusals.store(session, last=True)
