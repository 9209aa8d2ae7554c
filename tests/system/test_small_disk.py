"""The whole daemon on a real disk of 8 MiB: filled to the last byte, freed, read-only, writable again.

Mounts as root; skipped elsewhere.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.figures import tell
from tests.system.daemon import WITHIN_S, Daemon, Heard, until
from trapd.records import State
from trapd.store import Store

pytestmark = [pytest.mark.rig, pytest.mark.slow]

_QUIET_S = 6.0


class Disk:
    """8 MiB of memory as a disk of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._mount("-t", "tmpfs", "-o", "size=8m", "tmpfs")

    def _mount(self, *words: str) -> None:
        subprocess.run(["mount", *words, str(self.folder)], check=True, capture_output=True)

    def fill(self) -> None:
        """Somebody else takes all that is left, to the last byte, again and again."""
        with (self.folder / "ballast").open("ab", buffering=0) as ballast, suppress(OSError):
            while True:
                ballast.write(bytes(4096))

    def free(self) -> None:
        (self.folder / "ballast").unlink()

    def writable(self, *, yes: bool) -> None:
        self._mount("-o", f"remount,{'rw' if yes else 'ro'}")

    def close(self) -> None:
        subprocess.run(["umount", "-l", str(self.folder)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small disk needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        made = Disk(folder)
    except subprocess.CalledProcessError:
        pytest.skip("this machine does not let a test mount a small disk")
    yield made
    made.close()


@pytest.fixture
def unit(disk: Disk, tmp_path: Path, photographs: Path, request: pytest.FixtureRequest) -> Iterator[Daemon]:
    broker = request.getfixturevalue("embedded")
    folder = tmp_path / "unit"
    folder.mkdir()
    made = Daemon(
        folder,
        photographs,
        broker.port,
        storage={"path": str(disk.folder / "store"), "min_free_bytes": 1_000_000},
    )
    made.root = disk.folder / "store"
    yield made
    made.close()


@pytest.fixture
def listening(embedded: Any) -> Iterator[Heard]:
    from tests.brokers import Listener
    from tests.system.daemon import BASE

    listener = Listener(embedded.port, f"{BASE}/#")
    yield Heard(listener)
    listener.close()


def bursts(unit: Daemon) -> int:
    return len(unit.events())


def refused(unit: Daemon) -> int:
    with Store.peek(unit.root) as session:
        return session.counters.all().get("refused.disk", 0)


def stays_up(unit: Daemon) -> None:
    """For a while nothing ends, whatever the disk says."""
    assert unit.process is not None
    end_s = time.monotonic() + _QUIET_S
    until(lambda: time.monotonic() > end_s or unit.process.poll() is not None, "a while")  # type: ignore[union-attr]  # is there
    assert unit.process.poll() is None, unit.log.read_text()[-3000:]


def assert_all_there(unit: Daemon, heard: Heard) -> None:
    """Every event that was kept arrived, once or more, its numbers without a gap.

    Those of the last moment before the stop may wait for the next start.
    """
    stored = [event for event in unit.events() if event.n is not None and event.state is not State.KEPT]
    heard.await_all({event.id for event in stored})
    arrived = {event["id"]: event for event in heard.events}
    assert {event.id for event in stored} <= set(arrived)
    assert sorted(event["n"] for event in arrived.values()) == list(range(1, len(arrived) + 1))
    tell(f"a disk of 8 MiB, full or read-only: {len(stored)} events kept, 0 lost, {refused(unit)} refused")


def test_filled_to_the_last_byte_it_stays_up_and_goes_on_when_there_is_room(
    unit: Daemon, disk: Disk, listening: Heard
) -> None:
    unit.start()
    until(lambda: bursts(unit) >= 4, "bursts")
    disk.fill()
    before = bursts(unit)
    end_s = time.monotonic() + 12
    while time.monotonic() < end_s:
        disk.fill()  # also what the unit frees
        time.sleep(0.2)
    stays_up(unit)
    disk.free()
    until(lambda: bursts(unit) >= before + 6, "bursts after it was freed")
    until(lambda: refused(unit) > 0, "counted refusals")
    until(lambda: bool(listening.take().leaves.get("alert/disk")), "the alert")
    assert json.loads(listening.leaves["alert/disk"][-1])["message"]
    until(unit.caught_up(), "the queue")
    assert unit.stop() == 0
    assert_all_there(unit, listening)


def test_a_full_disk_is_no_reason_not_to_start(unit: Daemon, disk: Disk, listening: Heard) -> None:
    unit.start()
    until(lambda: bursts(unit) >= 4, "bursts")
    unit.kill()
    disk.fill()
    before = bursts_of_file(unit)
    unit.start()
    stays_up(unit)
    disk.free()
    until(lambda: bursts(unit) >= before + 4, "bursts after it was freed")
    until(unit.caught_up(), "the queue")
    assert unit.stop() == 0
    assert_all_there(unit, listening)


def bursts_of_file(unit: Daemon) -> int:
    """Without opening the database: on a full disk that needs room too."""
    return len({file.name.rpartition("_")[0] for file in (unit.root / "media").glob("*/*.jpg")})


def test_a_read_only_disk_is_waited_for(unit: Daemon, disk: Disk, listening: Heard) -> None:
    unit.start()
    until(lambda: bursts(unit) >= 4, "bursts")
    assert unit.stop() == 0
    before = bursts(unit)
    disk.writable(yes=False)
    unit.start()
    until(lambda: "Read-only file system" in unit.log.read_text(), "the word on the disk")
    stays_up(unit)
    disk.writable(yes=True)
    until(lambda: bursts(unit) >= before + 4, "bursts after it was writable again")
    until(lambda: refused(unit) > 0, "triggers counted meanwhile")

    def is_told() -> bool:
        """Where the filter was slow the disk may have been full before."""
        said = listening.take().leaves.get("alert/disk", [])
        return any("took no writes" in json.loads(payload)["message"] for payload in said if payload)

    until(is_told, "the alert")
    until(unit.caught_up(), "the queue")
    assert unit.stop() == 0
    assert_all_there(unit, listening)


_INJECT = "inject=pwrite64,fsync,fdatasync,link,linkat,unlink,unlinkat,rename,mkdir,ftruncate:error=EROFS"


def test_a_disk_that_becomes_read_only_under_the_daemon_is_waited_for(unit: Daemon, listening: Heard) -> None:
    """As a file system does that has met an error: what is open for writing refuses as well."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    unit.start()
    until(lambda: bursts(unit) >= 4, "bursts")
    assert unit.process is not None
    strace = subprocess.Popen(
        ["strace", "-f", "-q", "-o", "/dev/null", "-e", _INJECT, "-p", str(unit.process.pid)]
    )
    try:
        until(lambda: "no store" in unit.log.read_text(), "standing by")
        stays_up(unit)
    finally:
        strace.terminate()
        strace.wait(WITHIN_S)
    before = bursts(unit)
    until(lambda: bursts(unit) >= before + 4, "bursts after it was writable again")
    until(unit.caught_up(), "the queue")
    assert unit.stop() == 0
    assert_all_there(unit, listening)
