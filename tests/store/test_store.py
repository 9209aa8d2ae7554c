import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes.clock import FakeClock
from tests.store.common import ANIMAL, UNIT, capture, jpeg, keep, open_store, running
from trapd.errors import BadPicture, StoreError, StoreLocked, UsageError
from trapd.records import Kind
from trapd.store import Store


def test_folders_are_made_and_a_new_store_is_empty(tmp_path: Path) -> None:
    root = tmp_path / "var" / "lib" / "trapd"
    with running(root) as (store, session):
        assert sorted(path.name for path in root.iterdir() if path.is_dir()) == [
            "media",
            "orphans",
            "thumbs",
            "tmp",
        ]
        assert len(store.epoch) == 4
        assert int(store.epoch, 16) >= 0
        assert session.epoch == store.epoch
        assert store.recovered.clean
        assert store.next_seq() == 1


def test_a_second_process_gets_one_clear_sentence(tmp_path: Path) -> None:
    with running(tmp_path), pytest.raises(StoreLocked) as caught:
        open_store(tmp_path)

    assert f"process {os.getpid()}" in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_the_lock_goes_with_its_process(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path;"
        "from trapd.host.clock import SystemClock; from trapd.store import Store;"
        "s = Store.open(Path(sys.argv[1]), 'unit-1', clock=SystemClock(), max_bytes=10**9, min_free_bytes=0);"
        "print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"open\n"
        with pytest.raises(StoreLocked, match=str(child.pid)):
            open_store(tmp_path)
        child.kill()
    store = open_store(tmp_path)
    assert not store.recovered.clean
    store.close(clean=True)


def test_numbers_go_on_after_a_restart_and_epoch_stays(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        epoch = store.epoch
        first = [keep(store, session, capture(store, session, clock)) for _ in range(3)]
    with running(tmp_path, clock) as (store, session):
        assert store.epoch == epoch
        event = keep(store, session, capture(store, session, clock))
        assert (event.seq, event.n) == (4, 4)
        assert len({event.id, *(old.id for old in first)}) == 4


def test_closing_twice_is_harmless(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.close(clean=True)
    store.close(clean=False)
    again = open_store(tmp_path)
    assert again.recovered.clean
    again.close(clean=True)


def test_looking_works_beside_the_daemon_and_without_it(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        event = keep(store, session, capture(store, session, clock))
        with Store.peek(tmp_path) as peek:
            assert peek.events.get(event.id) == event
            assert peek.outbox.depth() == {"event": 1, "thumb": 1}
            assert peek.epoch == store.epoch
            capture(store, session, clock)  # the daemon is not held up
            assert peek.events.totals()["bursts"] == 2
    with Store.peek(tmp_path) as peek:
        assert peek.events.totals()["bursts"] == 2


def test_looking_changes_nothing(tmp_path: Path) -> None:
    with running(tmp_path), Store.peek(tmp_path) as peek:
        with pytest.raises(StoreError, match="readonly"):
            peek.meta.put("x", "y")
        with pytest.raises(StoreError):
            peek.outbox.put(Kind.TRAIL, "trail", b"", retain=False)


def test_looking_works_after_a_crash_before_any_recovery(tmp_path: Path) -> None:
    clock = FakeClock()
    store = open_store(tmp_path, clock)
    with store.session() as session:
        capture(store, session, clock)
        crashed = tmp_path.parent / "crashed"
        subprocess.run(["cp", "-a", tmp_path, crashed], check=True)
    store.close(clean=True)

    with Store.peek(crashed) as peek:
        assert peek.events.totals()["bursts"] == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to look as somebody who may not write")
@pytest.mark.parametrize("runs", [True, False])
def test_somebody_who_may_not_write_may_look(runs: bool) -> None:
    clock = FakeClock()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)
        with running(root, clock) as (store, session):
            capture(store, session, clock)
            if runs:
                assert _bursts_as_nobody(root) == "1"
        if not runs:
            assert _bursts_as_nobody(root) == "1"


def _bursts_as_nobody(root: Path) -> str:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            with Store.peek(root) as peek:
                os.write(write, str(peek.events.totals()["bursts"]).encode())
        except BaseException as error:
            os.write(write, repr(error).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        return answer.read().decode()


def test_where_trapd_never_ran_there_is_nothing_to_look_at(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no store in"):
        Store.peek(tmp_path)
    (tmp_path / "trapd.db").touch()
    with pytest.raises(UsageError, match="is empty"):
        Store.peek(tmp_path)


def test_each_thread_has_a_session_of_its_own(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        failures: list[BaseException] = []

        def work(name: str) -> None:
            try:
                with store.session() as mine:
                    for number in range(30):
                        mine.outbox.put(Kind.TRAIL, "trail", f"{name} {number}".encode(), retain=False)
                        mine.counters.add("done")
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert failures == []
        assert session.outbox.depth() == {"trail": 90}
        assert session.counters.all() == {"done": 90}
        with pytest.raises(StoreError, match="thread"):
            _on_another_thread(session.events.totals)


def _on_another_thread(call: Callable[[], object]) -> None:
    caught: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(10)
    raise caught[0]


def test_a_photograph_that_is_not_there_is_a_bad_picture(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        medium = capture(store, session, clock).media[0]
        assert medium.path is not None
        file = tmp_path / medium.path
        for spoil in (lambda: file.write_bytes(b""), file.unlink, file.mkdir):
            spoil()
            with pytest.raises(BadPicture, match=medium.id):
                store.read(medium)
        with pytest.raises(BadPicture, match="evicted"):
            store.read(replace(medium, path=None))


def test_a_lost_or_torn_thumbnail_is_made_again_the_same(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        event = capture(store, session, clock, data=jpeg(1600, 900))
        event = session.events.settle(event.id, ANIMAL, thumb=store.write_thumb(event, 1, 9000))
        assert event.thumb is not None
        file = tmp_path / event.thumb[0]
        original = file.read_bytes()
        assert len(original) == event.thumb[1] <= 9000
        assert store.thumb(event) == original
        for spoil in (
            lambda: file.write_bytes(bytes(len(original))),
            lambda: file.write_bytes(b""),
            file.unlink,
        ):
            spoil()
            assert store.thumb(event) == original
        for medium in event.media:
            assert medium.path is not None
            (tmp_path / medium.path).unlink()
        assert store.thumb(event) is None


@pytest.mark.parametrize("best", ["gone", "never there"])
def test_a_lost_thumbnail_is_made_again_from_another_photograph(tmp_path: Path, best: str) -> None:
    """A verdict's box may point at a photograph that is evicted, or that a cut took with its burst."""
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        event = capture(store, session, clock, frames=1 if best == "never there" else 3)
        event = session.events.settle(event.id, ANIMAL, thumb=store.write_thumb(event, 0, 9000))
        assert event.thumb is not None
        (tmp_path / event.thumb[0]).unlink()
        if best == "gone":
            (tmp_path / str(event.media[1].path)).unlink()  # the one that ANIMAL's best box is in
        again = store.thumb(event)
        assert again is not None
        assert again.startswith(b"\xff\xd8")


def test_no_thumbnail_where_none_fits(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path, clock) as (store, session):
        event = capture(store, session, clock)

        assert store.write_thumb(event, 0, 50) is None
        assert store.thumb(event) is None


def test_meta_is_kept(tmp_path: Path) -> None:
    with running(tmp_path) as (_, session):
        assert session.meta.get("armed") is None
        session.meta.put("armed", "no")
    with Store.peek(tmp_path) as peek:
        assert peek.meta.get("armed") == "no"


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot make the folders"):
        Store.open(tmp_path / "file" / "x", UNIT, clock=FakeClock(), max_bytes=1, min_free_bytes=0)
