"""A walk before the unit: every trigger with its verdict, nothing published, nothing kept.

Called by the verb `walktest` on the main thread. The sensor, the camera, the filter and the LED are the
unit's, as are the stages Capture, Screen and Indicator; the store is a temporary one, and the photographs of
a burst go as soon as it is judged.
"""

from __future__ import annotations

import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from trapd import parts
from trapd.errors import CameraLost, StageFailed, StoreLocked
from trapd.frozen import Frozen, field, replace
from trapd.host import vitals
from trapd.host.clock import SystemClock
from trapd.ports import Clock
from trapd.records import Event, State
from trapd.rules import NS_PER_S
from trapd.settings import Loaded
from trapd.stages.alerts import Alerts
from trapd.stages.base import Stage, Supervisor
from trapd.stages.capture.stage import Capture
from trapd.stages.capture.waiting import WaitingFrames
from trapd.stages.screen import Screen
from trapd.stages.upkeep.indicator import Indicator, Sight
from trapd.store import Session, Store, in_use
from trapd.wire import codec

_TURN_S = 0.1
_AT_ONCE = 100
_MIN_FREE_BYTES = 20_000_000
_REFUSED = "refused."


class Step(Frozen):
    """One trigger: the burst it became, judged; or why it became none, `times` at once."""

    event: Event | None = None
    refused: str = ""
    times: int = 1


class Summary(Frozen):
    """The whole walk. `alerts`: what stood at its end. `failed`: what ended it before it was told to end."""

    bursts: int = 0
    kept: int = 0
    discarded: int = 0
    unjudged: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    alerts: tuple[str, ...] = ()
    failed: str = ""
    seconds: float = 0.0


def walk(
    loaded: Loaded,
    *,
    stop: threading.Event,
    tell: Callable[[Step], None],
    begins: Callable[[], None] = lambda: None,
) -> Summary:
    """Until `stop` is set. `tell` is called on a thread of its own, for each step as it comes.

    `begins` is called once the camera and the pins are free to be used.

    Raises StoreLocked while the daemon runs: it has the camera and the pins.
    """
    settings = loaded.settings
    if in_use(Path(settings.storage.path)):
        raise StoreLocked(
            "the daemon runs, and has the camera and the sensor",
            "systemctl stop trapd; after the walk: systemctl start trapd",
        )
    begins()
    clock = SystemClock()
    began_ns = clock.boot_ns()
    with tempfile.TemporaryDirectory(prefix="trapd-walktest-") as folder:
        store = Store.open(
            Path(folder) / "store",
            settings.unit.id,
            clock=clock,
            max_bytes=settings.storage.max_bytes,
            min_free_bytes=_MIN_FREE_BYTES,
        )
        try:
            alerts = Alerts(store, codec.alert, lambda: codec.rfc3339(clock.now().wall_ms))
            witness = _Witness(store, clock, tell)
            stages = (*_stages(loaded, store, clock, alerts), witness)
            failed = _until(stop, stages)
            summary = replace(witness.summary, alerts=alerts.names(), failed=failed)
        finally:
            store.close(clean=True)
    return replace(summary, seconds=(clock.boot_ns() - began_ns) / NS_PER_S)


def _until(stop: threading.Event, stages: tuple[Stage, ...]) -> str:
    """Run them; what ended them where it was a camera that is lost to this process."""
    try:
        with Supervisor(stages) as supervisor:
            supervisor.watch(stop, lambda: None)
    except StageFailed as error:
        if not isinstance(error.__cause__, CameraLost):
            raise
        return str(error.__cause__)
    return ""


def _stages(loaded: Loaded, store: Store, clock: Clock, alerts: Alerts) -> tuple[Stage, ...]:
    """As the daemon has them, but for thumbnails and samples."""
    settings = loaded.settings
    waiting = WaitingFrames()
    screen = Screen(
        replace(parts.screen_plan(settings), thumbnail_bytes=0, audit_fraction=0.0, discard_at_once=False),
        classifier=parts.configured_classifier(settings),
        store=store,
        waiting=waiting,
        alerts=alerts,
        clock=clock,
        announce=lambda model: None,  # noqa: ARG005 - nobody is told of the model
        scene=None if settings.filter.backend == "none" else parts.build_scene(),
    )

    def stopping() -> bool:
        return capture.stop.is_set()

    capture = Capture(
        parts.capture_plan(loaded),
        sensor=parts.build_sensor(settings, clock),
        camera=parts.build_camera(settings, clock, stopping),
        store=store,
        exif=parts.exif_context(settings),
        clock=clock,
        waiting=waiting,
        alerts=alerts,
        environment=vitals.environment,
        judged=lambda: screen.judged,
    )
    lamp = parts.build_lamp(settings)
    if lamp is None:
        return capture, screen

    def see() -> Sight:
        return Sight(
            taking=capture.taking, armed=True, online=True, alerts=alerts.names(), bursts=capture.begun
        )

    return capture, screen, Indicator(lamp=lamp, see=see, clock=clock)


class _Witness(Stage):
    """Tells what came of each trigger, and lets its photographs go."""

    name = "witness"

    def __init__(self, store: Store, clock: Clock, tell: Callable[[Step], None]) -> None:
        super().__init__()
        self._store = store
        self._clock = clock
        self._tell = tell
        self._last: str | None = None
        self.summary = Summary()

    def run(self) -> None:
        """Until told to stop; what was judged by then is told."""
        with self._store.session() as session:
            while not self.stop.is_set():
                self.beat()
                self._turn(session)
                self._clock.wait(self.stop, _TURN_S)
            self._turn(session)

    def _turn(self, session: Session) -> None:
        self._tell_refused(session)
        for event in session.events.page(limit=_AT_ONCE, after=self._last):
            if event.state is State.CAPTURED:
                break  # they are judged in their order
            self._last = event.id
            self._count(event)
            self._tell(Step(event))
            self._store.space.drop(session, event)

    def _tell_refused(self, session: Session) -> None:
        counts = session.counters.all().items()
        now = Counter({name.removeprefix(_REFUSED): n for name, n in counts if name.startswith(_REFUSED)})
        for reason, times in (now - self.summary.refused).items():
            self._tell(Step(refused=reason, times=times))
        self.summary = replace(self.summary, refused=now)

    def _count(self, event: Event) -> None:
        told = self.summary
        unjudged = event.verdict is None or event.verdict.score is None
        kept = event.state is not State.DISCARDED
        self.summary = replace(
            told,
            bursts=told.bursts + 1,
            kept=told.kept + kept,
            discarded=told.discarded + (not kept),
            unjudged=told.unjudged + unjudged,
        )
