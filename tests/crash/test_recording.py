"""strace and the model of the disk agree with the disk itself, and what neither knows is an error."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.crash import operations as op
from tests.crash.disk import Disk, Way
from tests.crash.recording import Recording, Unknown, cannot_record, record
from tests.crash.sweep import STORE

pytestmark = [
    pytest.mark.rig,
    pytest.mark.skipif(cannot_record() is not None, reason=str(cannot_record())),
]


def program(tmp_path: Path, text: str) -> Recording:
    folder = tmp_path / "disk"
    folder.mkdir()
    return record(["-c", f"import os, mmap\nat = {str(folder)!r} + '/'\n{text}"], folder, tmp_path / "trace")


def lies_there(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes()
        for path in folder.rglob("*")
        if not path.name.endswith("-shm")
    }


def laid_out(recording: Recording, place: Path) -> dict[str, bytes | None]:
    disk = Disk()
    disk.replay(recording.operations)
    place.mkdir()
    disk.cut(Way.ALL, random.Random(0)).write(place)
    return lies_there(place)


def test_every_way_to_change_a_file_is_followed(tmp_path: Path) -> None:
    recording = program(
        tmp_path,
        """
a = os.open(at + "a", os.O_RDWR | os.O_CREAT)
os.write(a, b"0123456789" * 1000)
os.lseek(a, 10, 0)
os.write(a, b"x" * 5)
os.pwrite(a, b"y", 20_000)
os.ftruncate(a, 15_000)
os.mkdir(at + "d")
os.link(at + "a", at + "d/b")
os.rename(at + "a", at + "d/c")
with open(at + "e", "ab") as e:
    e.write(b"one")
with open(at + "e", "ab") as e:
    e.write(b"two")
with open(at + "f", "wb") as f:
    f.write(b"long")
with open(at + "f", "wb") as f:
    f.write(b"new")
os.unlink(at + "d/b")
os.mkdir(at + "g")
os.rmdir(at + "g")
d = os.open(at + "d", os.O_RDONLY)
h = os.open("h", os.O_WRONLY | os.O_CREAT, dir_fd=d)
os.write(h, b"beside")
os.rename("h", "i", src_dir_fd=d, dst_dir_fd=d)
os.unlink("i", dir_fd=d)
os.fsync(d)
""",
    )
    assert recording.exit_code == 0, recording.errors
    assert laid_out(recording, tmp_path / "model") == lies_there(tmp_path / "disk")
    assert isinstance(recording.operations[-1], op.Synced)


@pytest.mark.parametrize(
    "text",
    [
        "a = os.open(at + 'a', os.O_RDWR | os.O_CREAT); os.ftruncate(a, 4096); mmap.mmap(a, 4096)[0] = 1",
        "a = os.open(at + 'a', os.O_RDWR | os.O_CREAT); os.posix_fallocate(a, 0, 100)",
        "a = os.open(at + 'a', os.O_RDWR | os.O_CREAT); os.writev(a, [b'x'])",
        "os.symlink('a', at + 'b')",
        "a = os.open(at + 'a', os.O_RDWR | os.O_CREAT); os.truncate(at + 'a', 100)",
        "os.unlink('nowhere')",
        "os.fork() or os._exit(0)",
        "os.open(at, os.O_RDWR | os.O_TMPFILE)",
    ],
    ids=lambda text: text.partition("os.")[2][:30],
)
def test_what_the_model_does_not_know_is_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(Unknown):
        program(tmp_path, text)


def test_the_model_ends_where_the_real_disk_does(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    recording = record(["-m", "tests.crash.workload", str(folder / STORE)], folder, tmp_path / "trace")
    assert recording.exit_code == 0, recording.errors
    assert laid_out(recording, tmp_path / "model") == lies_there(folder)


@pytest.mark.parametrize("ordinal", [3, 40, 200])
def test_a_killed_process_leaves_what_the_model_says(tmp_path: Path, ordinal: int) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    inject = [f"pwrite64:signal=KILL:when={ordinal}"]
    recording = record(
        ["-m", "tests.crash.workload", str(folder / STORE)], folder, tmp_path / "trace", inject=inject
    )
    assert recording.exit_code < 0
    assert laid_out(recording, tmp_path / "model") == lies_there(folder)


def test_the_database_and_its_log_are_written_by_pwrite_alone(workload: Recording) -> None:
    written = {call.name for call in workload.calls if call.path.endswith(("trapd.db", "trapd.db-wal"))}
    assert written & {"write", "writev", "pwritev", "mmap", "fallocate"} == set()
    assert "pwrite64" in written


def test_the_log_begins_anew_behind_a_checkpoint(workload: Recording) -> None:
    """Else the sweep would never see SQLite write over a log that it has brought back."""
    logs: set[int] = set()
    headers = 0
    for each in workload.operations:
        match each:
            case op.Opened(fd, path):
                (logs.add if path.endswith("trapd.db-wal") else logs.discard)(fd)
            case op.Written(fd, _, 0):
                headers += fd in logs
    starts = sum(isinstance(each, op.Said) and each.word["deed"] == "open" for each in workload.operations)
    assert headers > starts


def test_a_day_that_is_over_and_empty_goes(workload: Recording) -> None:
    """Else no cut and no fault would ever meet it."""
    assert any(isinstance(each, op.FolderRemoved) for each in workload.operations)
