import errno
import hashlib
import os
import shutil
from pathlib import Path

import pytest

from tests.fakes.clock import FakeClock
from tests.store.common import CONFIG, CONTEXT, capture, files_below, frame, jpeg, running
from trapd.errors import BadPicture, StoreError, StoreFull, UsageError
from trapd.records import Frame, Moment, Trigger, TsQuality
from trapd.store import BurstFiles, ExifContext, Store
from trapd.store.photographs import exif
from trapd.store.photographs import jpeg as segments

TEN_YEARS_MS = 10 * 365 * 86_400_000


def begin(store: Store, clock: FakeClock, seq: int | None = None) -> tuple[BurstFiles, Moment]:
    moment = clock.now()
    files = store.burst_files(
        store.next_seq() if seq is None else seq,
        moment,
        CONTEXT,
        trigger=Trigger("pir", "17", moment.boot_ns),
        config=CONFIG,
    )
    return files, moment


def test_files_are_what_the_media_say(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        event = capture(store, session, clock)

        assert len(event.media) == 3
        for medium in event.media:
            assert medium.path is not None
            data = (tmp_path / medium.path).read_bytes()
            assert len(data) == medium.bytes
            assert hashlib.sha256(data).hexdigest() == medium.sha256
            assert segments.size(data) == (medium.width, medium.height) == (64, 48)
            assert exif.read(data).medium_id == medium.id
            assert store.read(medium) == data
        assert files_below(tmp_path / "tmp") == []
        assert event.media[0].path == (
            f"media/2023-11-15/unit-1__2023-11-15__06-13-21__{store.epoch}-000001_0.jpg"
        )


def test_names_do_not_collide_when_the_clock_jumps_back(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        paths = set()
        for jump_ms in (0, 0, -TEN_YEARS_MS, TEN_YEARS_MS, 0):
            clock.set_wall(1_700_000_000_000 + jump_ms)
            paths |= {medium.path for medium in capture(store, session, clock).media}

        assert len(paths) == 15
        assert len(files_below(tmp_path / "media")) == 15


def test_a_clock_that_jumps_within_a_burst_changes_nothing(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, _):
        files, moment = begin(store, clock)
        files.add(frame(moment, 0))
        clock.set_wall(moment.wall_ms + TEN_YEARS_MS)
        files.add(frame(moment, 1))
        media = files.commit()

        assert len({os.path.dirname(str(medium.path)) for medium in media}) == 1  # noqa: PTH120 - a relative path
        assert [exif.read(store.read(medium)).moment for medium in media] == [moment, moment]


def test_a_burst_over_midnight_lies_in_one_folder(tmp_path: Path) -> None:
    clock = FakeClock(wall_ms=1_700_063_999_900)  # 0.1 s before midnight in the configured zone
    with running(tmp_path, clock) as (store, _):
        files, moment = begin(store, clock)
        for number in range(3):
            files.add(frame(moment, number))
        files.commit()

    assert {path.split("/")[0] for path in files_below(tmp_path / "media")} == {"2023-11-15"}


def test_a_file_is_never_replaced(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        event = capture(store, session, clock)
        before = {medium.id: store.read(medium) for medium in event.media}
        clock.set_wall(event.moment.wall_ms)
        files, moment = begin(store, clock, seq=event.seq)
        files.add(Frame(jpeg(shade=7), 64, 48, moment.boot_ns))

        with pytest.raises(StoreError, match="File exists"):
            files.commit()
        assert {medium.id: store.read(medium) for medium in event.media} == before
        assert files_below(tmp_path / "tmp") == []


def test_a_frame_that_is_no_jpeg_is_refused_and_the_burst_goes_on(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, _):
        files, moment = begin(store, clock)
        files.add(frame(moment, 0))
        with pytest.raises(BadPicture):
            files.add(frame(moment, 1, b"no picture"))
        files.add(frame(moment, 2))

        assert [medium.id[-2:] for medium in files.commit()] == ["-0", "-1"]
        assert len(files_below(tmp_path / "media")) == 2


def test_abandoning_leaves_nothing_behind_before_or_after_the_commit(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, _):
        used = store.space.disk().used_bytes
        for committed in (False, True):
            files, moment = begin(store, clock)
            files.add(frame(moment))
            if committed:
                files.commit()
            files.abandon()
            files.abandon()
            assert files_below(tmp_path / "media") == files_below(tmp_path / "tmp") == []
        assert store.space.disk().used_bytes == used


@pytest.mark.parametrize("call", ["os.write", "os.fsync", "os.link"])
@pytest.mark.parametrize(
    "code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EUCLEAN, errno.EBADMSG, errno.ENODEV]
)
def test_a_disk_that_refuses_leaves_nothing_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        capture(store, session, clock)
        before = files_below(tmp_path / "media")
        files, moment = begin(store, clock)
        files.add(frame(moment, 0))

        def refuse(*_: object, **__: object) -> int:
            raise OSError(code, os.strerror(code))

        with monkeypatch.context() as broken:
            broken.setattr(call, refuse)
            with pytest.raises(StoreError) as caught:
                files.add(frame(moment, 1))
                files.commit()

        assert isinstance(caught.value, StoreFull) == (code in (errno.ENOSPC, errno.EDQUOT))
        assert files_below(tmp_path / "media") == before
        assert files_below(tmp_path / "tmp") == []
        assert session.events.totals()["bursts"] == 1
        capture(store, session, clock)  # and it goes on when the disk does
        assert session.events.totals()["bursts"] == 2


def test_a_short_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_write = os.write
    monkeypatch.setattr("os.write", lambda fd, data: real_write(fd, bytes(data)[:100]))
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        event = capture(store, session, clock, frames=1)

        assert hashlib.sha256(store.read(event.media[0])).hexdigest() == event.media[0].sha256


def test_the_exif_of_another_unit_is_a_mistake(tmp_path: Path) -> None:
    with running(tmp_path) as (store, _), pytest.raises(UsageError, match="unit-2"):
        store.burst_files(
            1,
            Moment(0, 0, "boot", TsQuality.UNSET),
            ExifContext("unit-2", "replay"),
            trigger=Trigger("timer", "", 0),
            config="",
        )


def test_the_names_of_a_burst_that_failed_are_removed_durably(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power cut could bring them back, long after their number was given to another burst."""
    clock = FakeClock()
    synced: list[int] = []
    real = os.fsync

    def fails_once(fd: int) -> None:
        at = Path(f"/proc/self/fd/{fd}").readlink()
        if at.parent.name == "media" and at.is_dir():
            synced.append(len(files_below(at)))
            if len(synced) == 1:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(fd)

    with running(tmp_path, clock) as (store, _):
        files, moment = begin(store, clock)
        for number in range(3):
            files.add(frame(moment, number))
        with monkeypatch.context() as disk, pytest.raises(StoreError):
            disk.setattr("trapd.store.files.durable.os.fsync", fails_once)
            files.commit()
        assert synced == [3, 0]


@pytest.mark.parametrize("gone", ["tmp", "media", "media/2023-11-15"])
@pytest.mark.parametrize("in_its_place", [False, True])
def test_a_folder_that_somebody_takes_away_is_made_again(
    tmp_path: Path, gone: str, in_its_place: bool
) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        capture(store, session, clock)
        day = next((tmp_path / "media").iterdir()).name
        folder = tmp_path / gone.replace("2023-11-15", day)
        shutil.rmtree(folder)
        if in_its_place:
            folder.write_text("somebody's")
        event = capture(store, session, clock)
        assert all((tmp_path / str(medium.path)).is_file() for medium in event.media)
        assert files_below(tmp_path / "tmp") == []
