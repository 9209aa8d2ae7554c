"""The model of the disk loses what POSIX lets a disk lose, and keeps what it promises."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import pytest

from tests.crash import operations as op
from tests.crash.disk import MIXED, Disk, Way

TRIES = 60


def disk(*operations: op.Operation) -> Disk:
    made = Disk()
    made.replay([op.Opened(1, ""), *operations])
    return made


def files(disk: Disk, way: Way, place: Path, seed: int = 0) -> dict[str, bytes]:
    """What lies there after a cut."""
    there = Path(tempfile.mkdtemp(dir=place))
    disk.cut(way, random.Random(seed)).write(there)
    return {str(f.relative_to(there)): f.read_bytes() for f in sorted(there.rglob("*")) if f.is_file()}


def all_states(disk: Disk, place: Path, *ways: Way) -> list[dict[str, bytes]]:
    """Each state that some draw gives, once."""
    states: list[dict[str, bytes]] = []
    for way in ways or tuple(Way):
        for seed in range(TRIES):
            state = files(disk, way, place, seed)
            if state not in states:
                states.append(state)
    return states


NEW_FILE = (op.Opened(3, "a", create=True), op.Written(3, b"one", None))
SYNC_FILE, SYNC_FOLDER = op.Synced(3, ok=True), op.Synced(1, ok=True)


def test_what_is_not_synced_is_lost(tmp_path: Path) -> None:
    assert files(disk(*NEW_FILE), Way.SYNCED, tmp_path) == {}
    assert files(disk(*NEW_FILE), Way.ALL, tmp_path) == {"a": b"one"}


def test_a_synced_file_without_a_synced_name_is_lost(tmp_path: Path) -> None:
    assert files(disk(*NEW_FILE, SYNC_FILE), Way.SYNCED, tmp_path) == {}


def test_a_synced_name_without_synced_bytes_is_empty_or_zeros(tmp_path: Path) -> None:
    made = disk(*NEW_FILE, SYNC_FOLDER)
    assert files(made, Way.SYNCED, tmp_path) == {"a": b""}
    assert files(made, Way.NAMES_ONLY, tmp_path) == {"a": bytes(3)}
    assert {"a": b"one"} in all_states(made, tmp_path, Way.ANY)


def test_what_is_synced_stays_in_every_state(tmp_path: Path) -> None:
    assert all_states(disk(*NEW_FILE, SYNC_FILE, SYNC_FOLDER), tmp_path) == [{"a": b"one"}]


def test_unsynced_names_are_lost_each_by_itself(tmp_path: Path) -> None:
    made = disk(*NEW_FILE, SYNC_FILE, op.Linked("a", "b"), op.Unlinked("a"), op.Linked("b", "c"))
    names = {tuple(state) for state in all_states(made, tmp_path, Way.ANY)}
    assert {("a",), ("b",), ("c",), (), ("a", "b", "c")} <= names


def test_names_come_in_order_where_the_file_system_keeps_it(tmp_path: Path) -> None:
    made = disk(*NEW_FILE, SYNC_FILE, op.Linked("a", "b"), op.Unlinked("a"))
    names = {tuple(state) for state in all_states(made, tmp_path, Way.ORDERED)}
    assert names == {(), ("a",), ("a", "b"), ("b",)}


def test_a_removed_file_may_come_back(tmp_path: Path) -> None:
    made = disk(*NEW_FILE, SYNC_FILE, SYNC_FOLDER, op.Unlinked("a"))
    assert files(made, Way.SYNCED, tmp_path) == {"a": b"one"}
    assert {tuple(state) for state in all_states(made, tmp_path)} == {(), ("a",)}
    made.apply(SYNC_FOLDER)
    assert all_states(made, tmp_path) == [{}]


def test_a_rename_is_one_step_but_where_halves_are_tried(tmp_path: Path) -> None:
    made = disk(*NEW_FILE, SYNC_FILE, SYNC_FOLDER, op.FolderMade("d"), SYNC_FOLDER, op.Renamed("a", "d/a"))
    whole = {tuple(state) for state in all_states(made, tmp_path, Way.ORDERED, Way.ANY)}
    assert whole == {("a",), ("d/a",)}
    assert {tuple(state) for state in all_states(made, tmp_path, Way.HALVES)} == whole | {(), ("a", "d/a")}


def test_a_rename_is_durable_with_either_folder(tmp_path: Path) -> None:
    renamed = (*NEW_FILE, SYNC_FILE, op.FolderMade("d"), SYNC_FOLDER, op.Renamed("a", "d/a"))
    for folder in ("", "d"):
        made = disk(*renamed, op.Opened(4, folder), op.Synced(4, ok=True))
        assert all_states(made, tmp_path, *MIXED) == [{"d/a": b"one"}]


def test_a_name_given_again_is_the_newer_file(tmp_path: Path) -> None:
    opened = op.Opened(5, "a", create=True)
    second = (op.Unlinked("a"), opened, op.Written(5, b"two", 0), op.Synced(5, ok=True))
    made = disk(*NEW_FILE, SYNC_FILE, SYNC_FOLDER, *second)
    assert files(made, Way.SYNCED, tmp_path) == {"a": b"one"}
    made.apply(SYNC_FOLDER)
    assert files(made, Way.SYNCED, tmp_path) == {"a": b"two"}


def test_pages_are_lost_each_by_itself_and_some_are_torn(tmp_path: Path) -> None:
    old, new = bytes(8192), b"x" * 8192
    made = disk(op.Opened(3, "a", create=True), op.Written(3, old, 0), SYNC_FILE, SYNC_FOLDER)
    made.apply(op.Written(3, new, 0))
    states = [state["a"] for state in all_states(made, tmp_path, Way.ANY)]
    assert {len(state) for state in states} == {8192}
    whole = {(state[:4096], state[4096:]) for state in states}
    assert {(old[:4096], new[4096:]), (new[:4096], old[4096:])} <= whole
    torn = [state for state in states if len(set(state[:4096])) == 2]
    assert torn
    assert all(len(set(state[n : n + 512])) == 1 for state in torn for n in range(0, 8192, 512))


def test_a_page_may_hold_any_write_since_the_last_sync(tmp_path: Path) -> None:
    made = disk(op.Opened(3, "a", create=True), op.Written(3, b"1", 0), SYNC_FILE, SYNC_FOLDER)
    made.replay([op.Written(3, b"2", 0), op.Written(3, b"3", 0)])
    assert {state["a"] for state in all_states(made, tmp_path, Way.ANY)} == {b"1", b"2", b"3"}


def test_a_failed_sync_gives_its_pages_up_until_they_are_written_again(tmp_path: Path) -> None:
    made = disk(op.Opened(3, "a", create=True), op.Written(3, b"old", 0), SYNC_FILE, SYNC_FOLDER)
    made.replay([op.Written(3, b"new", 0), op.Synced(3, ok=False), SYNC_FILE])
    assert files(made, Way.SYNCED, tmp_path) == {"a": b"old"}
    assert files(made, Way.ALL, tmp_path) == {"a": b"new"}
    made.replay([op.Written(3, b"new", 0), SYNC_FILE])
    assert files(made, Way.SYNCED, tmp_path) == {"a": b"new"}


def test_a_file_cut_short_may_be_long_again(tmp_path: Path) -> None:
    made = disk(*NEW_FILE, SYNC_FILE, SYNC_FOLDER, op.Resized(3, 1))
    assert files(made, Way.SYNCED, tmp_path) == {"a": b"one"}
    assert files(made, Way.ALL, tmp_path) == {"a": b"o"}
    made.replay([SYNC_FILE, op.Resized(3, 3)])
    assert files(made, Way.ALL, tmp_path) == {"a": b"o\0\0"}


def test_a_folder_is_lost_with_all_in_it(tmp_path: Path) -> None:
    inside = (op.FolderMade("d"), op.Opened(3, "d/a", create=True), op.Synced(3, ok=True), op.Opened(4, "d"))
    made = disk(*inside, op.Synced(4, ok=True))
    assert files(made, Way.SYNCED, tmp_path) == {}
    made.apply(SYNC_FOLDER)
    assert files(made, Way.SYNCED, tmp_path) == {"d/a": b""}


def test_two_names_of_one_file_stay_one_file(tmp_path: Path) -> None:
    made = disk(*NEW_FILE, op.Linked("a", "b"))
    made.cut(Way.ALL, random.Random(0)).write(tmp_path)
    assert (tmp_path / "a").samefile(tmp_path / "b")


def test_it_begins_with_what_lies_there(tmp_path: Path) -> None:
    (tmp_path / "there" / "d").mkdir(parents=True)
    (tmp_path / "there" / "d" / "a").write_bytes(b"one")
    made = Disk.load(tmp_path / "there")
    made.replay([op.Opened(3, "d/a"), op.Written(3, b"two", 0)])
    assert files(made, Way.SYNCED, tmp_path) == {"d/a": b"one"}
    assert files(made, Way.ALL, tmp_path) == {"d/a": b"two"}


def test_what_cannot_have_happened_is_an_error() -> None:
    with pytest.raises(KeyError):
        disk(op.Renamed("nowhere", "b"))
    with pytest.raises(FileNotFoundError):
        disk(op.Opened(3, "nowhere"))
    with pytest.raises(KeyError):
        disk(op.Written(9, b"x", 0))
