"""What the store's tests share: small real JPEGs, bursts, and a store that a test ends as it likes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from tests.fakes.clock import FakeClock
from trapd.errors import StoreFull
from trapd.records import Detection, Event, Frame, Moment, Trigger, Verdict
from trapd.store import ExifContext, Session, Store

UNIT = "unit-1"
CONFIG = "sha256:" + "ab" * 32
CONTEXT = ExifContext(UNIT, "replay", 43.3123, 129.7712, 2.0, "Asia/Shanghai")
ANIMAL = Verdict(
    "animal",
    keep=True,
    score=0.91,
    detections=(
        Detection(1, "animal", 0.91, (0.1, 0.2, 0.3, 0.4)),
        Detection(2, "animal", 0.4, (0, 0, 1, 1)),
    ),
    model="default",
    sha256="cd" * 32,
    threshold=0.35,
    ms=41,
)
EMPTY = Verdict("empty", keep=False, score=0.02, model="default", sha256="cd" * 32, threshold=0.35, ms=40)


def jpeg(width: int = 64, height: int = 48, *, shade: int = 120, quality: int = 85, **save: object) -> bytes:
    """A real photograph of nothing much: a gradient, so that it is not all one block."""
    picture = Image.linear_gradient("L").resize((width, height))
    picture = Image.merge("RGB", (picture, picture.point(lambda v: (v + shade) % 256), picture))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality, **save)
    return out.getvalue()


_JPEG = jpeg()


def frame(moment: Moment, number: int = 0, data: bytes = _JPEG) -> Frame:
    return Frame(data, 64, 48, moment.boot_ns + number * 300_000_000)


def open_store(
    root: Path, clock: FakeClock | None = None, *, max_bytes: int = 10**9, min_free_bytes: int = 0
) -> Store:
    return Store.open(
        root, UNIT, clock=clock or FakeClock(), max_bytes=max_bytes, min_free_bytes=min_free_bytes
    )


@contextmanager
def running(root: Path, clock: FakeClock | None = None, **limits: int) -> Iterator[tuple[Store, Session]]:
    """A store and a session, closed in good order."""
    store = open_store(root, clock, **limits)
    try:
        with store.session() as session:
            yield store, session
    finally:
        store.close(clean=True)


def capture(
    store: Store,
    session: Session,
    clock: FakeClock,
    *,
    frames: int = 3,
    data: bytes = _JPEG,
    context: ExifContext = CONTEXT,
) -> Event:
    """One burst, from its frames to its row, as Capture does it."""
    clock.advance(1.0)
    moment = clock.now()
    trigger = Trigger("pir", "17", moment.boot_ns)
    seq = store.next_seq()
    files = store.burst_files(seq, moment, context, trigger=trigger, config=CONFIG)
    try:
        for number in range(frames):
            files.add(frame(moment, number, data))
        media = files.commit()
        return session.events.record(
            seq=seq, moment=moment, trigger=trigger, media=media, config=CONFIG, env={"cpu_c": 31.2}
        )
    except StoreFull:
        files.abandon()
        raise


def keep(store: Store, session: Session, event: Event) -> Event:
    """Settle as an animal, with a thumbnail."""
    return session.events.settle(event.id, ANIMAL, thumb=store.write_thumb(event, 0, 20_000))


def rows(session: Session) -> list[int]:
    return [message.row for message in session.outbox.next(1000, max_bytes=10**9)]


def files_below(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
