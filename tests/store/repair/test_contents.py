"""A bit that flips within a text, a number or JSON: SQLite does not see it, and nothing ends for ever."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.fakes.clock import FakeClock
from tests.figures import PROVE, tell
from tests.store.common import ANIMAL, EMPTY, capture, keep, open_store, running
from trapd.errors import BadInput, BadPicture, StoreCorrupt
from trapd.parts import TOMBSTONES
from trapd.records import Kind, Message
from trapd.stages.deliver.payloads import Payloads
from trapd.stages.upkeep.standby import may_be_damage
from trapd.store import Session, Store
from trapd.wire import codec

FLIPS = 2000 if PROVE else 30
BURSTS = 12


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a little of everything, closed in good order."""
    root = tmp_path_factory.mktemp("sound")
    clock = FakeClock()
    with running(root, clock) as (store, session):
        for number in range(BURSTS):
            event = capture(store, session, clock, frames=2)
            if number % 4 == 1:
                session.events.settle(event.id, EMPTY, heap="h", is_drawn=number % 8 == 1)
            elif number % 4:
                event = keep(store, session, event)
        for number in range(4):
            payload = b'{"since":"","message":"","hint":""}'
            session.outbox.put(Kind.ALERT, f"alert/a{number}", payload, retain=True)
            session.outbox.put(Kind.TRAIL, "trail", bytes(100), retain=False)
        session.outbox.acknowledge([m.row for m in session.outbox.next(6, max_bytes=10**9)])
        session.outbox.request_media({event.media[0].id: None}, chunk_bytes=500)
        session.counters.add("refused.busy", 3)
    return root


def copy(sound: Path, root: Path, change: Callable[[bytearray], None]) -> None:
    """The same store, its photographs shared, its database changed."""
    shutil.copytree(sound, root, copy_function=os.link)
    (root / "lock").unlink()
    data = bytearray((root / "trapd.db").read_bytes())
    (root / "trapd.db").unlink()
    change(data)
    (root / "trapd.db").write_bytes(data)


def use(root: Path) -> set[str]:
    """Open it and do what the stages do; the ids of all events. Raises what would end a stage."""
    clock = FakeClock()
    store = open_store(root, clock)
    try:
        with store.session() as session:
            while (event := session.events.oldest_captured()) is not None:
                thumb = None
                with suppress(BadPicture):
                    thumb = store.write_thumb(event, 0, 20_000)
                session.events.settle(event.id, ANIMAL, thumb=thumb)
            look(store, session, clock)
            send(store, session)
            return {event.id for event in session.events.page(limit=1000)}
    finally:
        store.close(clean=False)


def look(store: Store, session: Session, clock: FakeClock) -> None:
    session.events.totals()
    session.outbox.depth()
    session.outbox.oldest_unsent_s(clock.now())
    session.outbox.last_delivery_ms()
    session.counters.all()
    session.outbox.replay_retained()
    session.audits.samples()
    session.sums.some(100)
    session.timeline.correct(clock.now(), codec.clock)
    session.outbox.receipt_upto(store.epoch, 5)
    store.space.tidy(session, 5, TOMBSTONES)


def send(store: Store, session: Session) -> None:
    payloads = Payloads(store, codec.event)
    for _ in range(50):
        rows = session.outbox.next(50, max_bytes=10**7, chunk_bytes=500)
        parts: dict[tuple[int, int], list[int]] = {}
        for message in rows:
            make(payloads, session, message)
            if message.chunk_bytes:
                parts.setdefault((message.row, message.chunk_bytes), []).append(message.part)
        session.outbox.acknowledge([m.row for m in rows if not m.chunk_bytes], parts=parts)
        if not rows:
            return


def make(payloads: Payloads, session: Session, message: Message) -> None:
    with suppress(BadInput):  # that row is held, and the others go on
        payloads.leaf(message)
        payloads.make(session, message)


def starts_until_it_works(root: Path) -> int:
    """As the daemon does: what ends a stage makes the next start look closely."""
    for number in range(1, 4):
        try:
            found = use(root)
        except Exception as error:
            assert may_be_damage(error), error
            (root / "trapd.db.suspect").touch()
        else:
            assert len(found) >= BURSTS
            return number
    raise AssertionError("it ends again and again")


@pytest.fixture
def roots(tmp_path: Path) -> Iterator[Path]:
    def several() -> Iterator[Path]:
        number = 0
        while True:
            number += 1
            yield tmp_path / str(number)
            shutil.rmtree(tmp_path / str(number), ignore_errors=True)

    return several()


def test_whatever_bit_flips_it_works_at_the_second_start(sound: Path, roots: Iterator[Path]) -> None:
    draw = random.Random(20)
    starts = {1: 0, 2: 0}
    for _, root in zip(range(FLIPS), roots, strict=False):

        def flip(data: bytearray) -> None:
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)

        copy(sound, root, flip)
        starts[starts_until_it_works(root)] += 1
    tell(f"{FLIPS} flipped bits in the database: {starts[1]} starts at once, {starts[2]} at the second time")


def replaced(old: bytes, new: bytes, *, everywhere: bool = False) -> Callable[[bytearray], None]:
    def change(data: bytearray) -> None:
        assert len(old) == len(new)
        assert old in data
        data[:] = data.replace(old, new, -1 if everywhere else 1)

    return change


UNSEEN = {
    "a text that is none": replaced(b"sha256:ababab", b"sha256:ab\xe1bab"),
    "JSON that is none": replaced(b'{"cpu_c":31.2}', b'{"cpu_c":31.2]'),
    "JSON without its key": replaced(b'"threshold":', b'"thresxold":'),
    "a number that is none": replaced(b"last_n", b"lart_n"),
    "a count of nobody": replaced(b"outbox.event", b"outbox.evdnt"),
    "a trigger that counts elsewhere": replaced(b"'outbox.' || NEW", b"'outbnx.' || NEW"),
}


@pytest.mark.parametrize("name", UNSEEN)
def test_what_no_check_of_sqlite_sees_is_found_when_it_is_looked_for(
    sound: Path, tmp_path: Path, name: str
) -> None:
    root = tmp_path / "store"
    copy(sound, root, UNSEEN[name])
    (root / "trapd.db.suspect").touch()
    store = open_store(root)
    try:
        assert store.recovered.set_aside is not None
        assert store.recovered.rebuilt is not None
        assert store.recovered.adopted == BURSTS
    finally:
        store.close(clean=True)


def test_a_sound_database_is_found_sound(sound: Path, tmp_path: Path) -> None:
    root = tmp_path / "store"
    copy(sound, root, lambda data: None)
    (root / "trapd.db.suspect").touch()
    store = open_store(root)
    try:
        assert store.recovered.set_aside is None
        assert not (root / "trapd.db.suspect").exists()
    finally:
        store.close(clean=True)


def test_a_row_that_cannot_be_read_is_damage(sound: Path, tmp_path: Path) -> None:
    root = tmp_path / "store"
    copy(sound, root, replaced(b'{"cpu_c":31.2}', b'{"cpu_c":31.2]', everywhere=True))
    store = open_store(root)
    try:
        with store.session() as session, pytest.raises(StoreCorrupt, match="row of an event"):
            session.events.oldest_captured()
    finally:
        store.close(clean=False)


def test_damage_that_only_recovery_meets_does_not_keep_the_unit_from_starting(
    sound: Path, tmp_path: Path
) -> None:
    root = tmp_path / "store"
    copy(sound, root, replaced(b"thumbs/unit-1", b"thumbs/uni\xf4-1", everywhere=True))
    store = open_store(root)
    try:
        assert store.recovered.set_aside is not None
    finally:
        store.close(clean=True)


def test_a_backup_with_damage_of_that_kind_is_not_restored(sound: Path, tmp_path: Path) -> None:
    root = tmp_path / "store"
    copy(sound, root, replaced(b'{"cpu_c":31.2}', b'{"cpu_c":31.2]'))
    (root / "trapd.db").rename(root / "trapd.db.backup")
    store = open_store(root)
    try:
        assert store.recovered.rebuilt is not None
        assert (store.recovered.rebuilt.restored, store.recovered.adopted) == (0, BURSTS)
    finally:
        store.close(clean=True)
