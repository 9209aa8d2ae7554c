"""The files below `config/`: whole or not at all, and whatever a card does to one, no start ends of it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.remote.common import Unit, document, mark
from trapd.errors import Fault, StoreError, StoreFull
from trapd.remote.files import ConfigFiles, Damaged
from trapd.remote.ledger import Attempt, Ledger, Overlay, Trial
from trapd.store.files import durable

OLD = Overlay(1, {"burst": {"frames": 2}}, "one")
NEW = Overlay(2, {"burst": {"frames": 3}}, "two")
TRIAL = Trial(NEW, OLD, "t2", 900.0, ("link", "camera"), confirm=True, starts=1, ran_s=1.5)
NAMES = ("committed.json", "previous.json", "trial.json", "attempts.json")

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


def filled(root: Path) -> ConfigFiles:
    """With something in each file, as if cut before the trial was counted."""
    root.mkdir(exist_ok=True)
    files = ConfigFiles(root)
    begun = Ledger().began(Attempt(1, "t1", 202, "trial", "one"))
    files.promote(
        Trial(OLD, Overlay(), "t1", 900.0, ()), begun.noted(Attempt(1, "t1", 200, "committed", "one"))
    )
    files.begin(TRIAL, files.ledger().began(TRIAL.attempt(202, "trial")))
    return files


def read(files: ConfigFiles, name: str) -> object:
    return {
        "committed.json": files.committed,
        "previous.json": files.previous,
        "trial.json": files.trial,
        "attempts.json": files.ledger,
    }[name]()


def sealed(content: object) -> bytes:
    """With the right checksum, whatever it is."""
    text = json.dumps(content, sort_keys=True)
    return json.dumps({"sha256": hashlib.sha256(text.encode()).hexdigest(), "content": content}).encode()


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    files = filled(tmp_path)
    again = ConfigFiles(tmp_path)
    assert (again.committed(), again.previous(), again.trial()) == (OLD, Overlay(), TRIAL)
    assert again.ledger().last == TRIAL.attempt(202, "trial")
    rolled = again.ledger().failed(TRIAL.attempt(500, "rolled_back", (Fault("a", "b", "c"),)))
    files.roll_back(TRIAL, rolled)
    assert (again.ledger(), again.trial(), again.committed()) == (rolled, None, OLD)


def test_a_new_card_has_nothing_and_gets_nothing_written_by_a_look(tmp_path: Path) -> None:
    files = ConfigFiles(tmp_path)
    assert (files.committed(), files.previous(), files.trial(), files.settle()) == (
        Overlay(),
        Overlay(),
        None,
        None,
    )
    assert files.ledger() == Ledger()
    assert list(tmp_path.iterdir()) == []


def deep(levels: int) -> Any:
    return json.loads('{"a":' * levels + "1" + "}" * levels)


def _flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "a flipped bit": lambda data: _flip(data, data.index(b'"content"') + 30),
    "zeros": lambda data: bytes(len(data)),
    "cut short": lambda data: data[: len(data) // 2],
    "empty": lambda _: b"",
    "not UTF-8": lambda data: b"\xff\xfe" + data,
    "no object": lambda _: b"[]",
    "a text": lambda _: b'"x"',
    "a number": lambda _: b"5",
    "no content": lambda _: b'{"sha256": "x"}',
    "deep": lambda _: b"[" * 100_000,
    "a deep content": lambda _: b'{"sha256": "", "content": ' + b'{"a":' * 900 + b"1" + b"}" * 900 + b"}",
    "a huge integer": lambda _: b'{"sha256": "x", "content": ' + b"9" * 10_000 + b"}",
    "much too large": lambda data: data + b"x" * 5_000_000,
    "wrong types": lambda _: sealed({"version": "1", "doc": [], "hash": None}),
    "a float": lambda _: sealed({"version": 1.5, "doc": {}, "hash": ""}),
    "infinite": lambda _: sealed(float("inf")),
    "a doc too deep": lambda _: sealed({"version": 1, "hash": "", "doc": deep(300)}),
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_file_counts_as_damaged_and_the_unit_starts(tmp_path: Path, how: str, name: str) -> None:
    """And ends in committed or rolled back; what is written there next is read again."""
    unit = Unit(tmp_path)
    unit.commit(document(1))
    assert unit.desire(document(2)) == 202
    file = unit.config / name
    file.write_bytes(DAMAGE[how](file.read_bytes()))
    if name != "attempts.json":
        with pytest.raises(Damaged):
            read(ConfigFiles(unit.root), name)
    unit.start()
    allowed = {"committed.json": (mark(2), 600), "trial.json": (mark(1),)}.get(name, (mark(2),))
    assert unit.settings.trigger.max_per_hour in allowed
    unit.watch()
    unit.start()
    assert unit.report["phase"] in ("committed", "rolled_back")
    unit.commit(document(3))
    assert (unit.settings.trigger.max_per_hour, unit.report["version"]) == (mark(3), 3)


@pytest.mark.parametrize("name", [*NAMES, *(f"{name}.new" for name in NAMES)])
def test_a_folder_in_a_files_place_is_moved_aside(tmp_path: Path, name: str) -> None:
    unit = Unit(tmp_path)
    unit.commit(document(1))
    for _ in range(2):
        (unit.config / name).unlink(missing_ok=True)
        (unit.config / name).mkdir()
        (unit.config / name / "inside").write_text("kept")
        unit.start()
        version = unit.report["version"]
        unit.commit(document(unit.remote._ledger.stored_version + 1))
        assert unit.report["version"] > version
    aside = sorted(unit.config.glob("*.set-aside*/inside"))
    assert len(aside) == 2


def test_a_file_in_the_folders_place_is_moved_aside(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    (root / "config").write_text("not a folder")
    files = filled(root)
    assert files.trial() == TRIAL
    assert (root / "config.set-aside").read_text() == "not a folder"


@pytest.mark.parametrize("name", NAMES)
@given(content=values)
def test_any_content_with_its_checksum_is_taken_strictly_or_counts_as_damaged(
    tmp_path_factory: pytest.TempPathFactory, name: str, content: object
) -> None:
    root = tmp_path_factory.mktemp("files")
    files = filled(root)
    (root / "config" / name).write_bytes(sealed(content))
    try:
        read(files, name)
    except Damaged:
        files.settle()


@pytest.mark.parametrize("field", sorted(asdict(TRIAL)))
@given(value=values)
@settings(max_examples=20)
def test_a_trial_with_any_value_in_any_field_can_be_begun_or_counts_as_damaged(
    tmp_path_factory: pytest.TempPathFactory, field: str, value: object
) -> None:
    unit = Unit(tmp_path_factory.mktemp("unit"))
    assert unit.desire(document(1)) == 202
    held: dict[str, Any] = json.loads((unit.config / "trial.json").read_text())["content"]
    (unit.config / "trial.json").write_bytes(sealed(held | {field: value}))
    for _ in range(4):
        unit.start()
        unit.watch(frozenset(), 10.0)
    assert unit.report["phase"] in ("committed", "rolled_back", "trial")


def test_a_committed_file_that_is_gone_is_missed_where_there_is_one_before_it(tmp_path: Path) -> None:
    files = filled(tmp_path)
    (tmp_path / "config" / "committed.json").unlink()
    with pytest.raises(Damaged, match="is gone"):
        files.committed()


def test_a_lost_ledger_still_knows_the_versions_that_were_in_force(tmp_path: Path) -> None:
    """Else an old document could be sent again, or one above a million be out of reach."""
    unit = Unit(tmp_path)
    for version in (900_000, 1_800_000):
        unit.commit(document(version))
    (unit.config / "attempts.json").write_bytes(b"")
    unit.start()
    assert unit.desire(document(900_000)) == 409
    assert unit.desire(document(1_800_001)) == 202


def test_a_trial_that_is_lost_on_the_card_has_failed_and_is_told(tmp_path: Path) -> None:
    unit = Unit(tmp_path)
    unit.commit(document(1))
    assert unit.desire(document(2)) == 202
    (unit.config / "trial.json").unlink()
    unit.start()
    assert unit.report["phase"] == "rolled_back"
    assert (unit.attempt, unit.report["version"]) == ((2, 500), 1)
    assert unit.desire(document(2, txn="again")) == 423


def test_a_trial_that_is_lost_behind_its_line_is_committed(tmp_path: Path) -> None:
    unit = Unit(tmp_path)
    assert unit.desire(document(1)) == 202
    trial = unit.began.files.trial()
    assert trial is not None
    unit.began.files._write("committed.json", asdict(trial.overlay))
    (unit.config / "trial.json").write_bytes(b"")
    unit.start()
    assert (unit.report["phase"], unit.attempt, unit.report["version"]) == ("committed", (1, 200), 1)


def refuses_from(patch: pytest.MonkeyPatch, call: int, code: int) -> Callable[[], int]:
    """From this sync, rename or removal on (0 is the first), the disk refuses; gives how many were asked."""
    asked = 0

    def counted(right: Callable[..., Any]) -> Callable[..., Any]:
        def maybe(*args: Any, **more: Any) -> Any:
            nonlocal asked
            asked += 1
            if asked > call:
                raise OSError(code, os.strerror(code))
            return right(*args, **more)

        return maybe

    for owner, name in (
        (durable, "write_new"),
        (durable, "sync_folder"),
        (Path, "replace"),
        (Path, "unlink"),
    ):
        patch.setattr(owner, name, counted(getattr(owner, name)))
    return lambda: asked


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO])
@pytest.mark.parametrize("call", range(10))
def test_a_promotion_that_the_disk_refuses_half_way_can_be_done_again_or_undone(
    tmp_path: Path, call: int, code: int
) -> None:
    for undo in (False, True):
        root = tmp_path / f"{undo}"
        files = filled(root)
        kept = files.ledger().noted(TRIAL.attempt(200, "committed"))
        with pytest.MonkeyPatch.context() as patch:
            refuses_from(patch, call, code)
            with pytest.raises(StoreFull if code == errno.ENOSPC else StoreError):
                files.promote(TRIAL, kept)
        if undo:
            files.roll_back(TRIAL, files.ledger().failed(TRIAL.attempt(500, "rolled_back")))
            assert (files.committed(), files.trial(), files.settle()) == (OLD, None, None)
        else:
            files.promote(TRIAL, kept)
            assert (files.committed(), files.previous(), files.trial()) == (NEW, OLD, None)


def test_the_promotion_has_more_calls_than_are_tried_to_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = filled(tmp_path)
    asked = refuses_from(monkeypatch, 10**6, errno.EIO)
    files.promote(TRIAL, files.ledger())
    assert asked() >= 10


@pytest.mark.parametrize("write", [1, 2])
@pytest.mark.parametrize("named", [False, True])
def test_a_trial_that_could_not_begin_does_not_begin_with_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: int, named: bool
) -> None:
    """The disk refuses the first or second write, also with the name there and its sync failed."""
    unit = Unit(tmp_path)
    unit.commit(document(1))
    right, asked = ConfigFiles._write, 0

    def _write(self: ConfigFiles, name: str, content: dict[str, Any]) -> None:
        nonlocal asked
        asked += 1
        if asked != write or named:
            right(self, name, content)
        if asked == write:
            raise StoreError("cannot write: no")

    monkeypatch.setattr(ConfigFiles, "_write", _write)
    with pytest.raises(StoreError):
        unit.desire(document(2))
    assert (unit.report["phase"], unit.attempt) == ("committed", (1, 200))
    assert unit.desire(document(2), ready=False) == 0
    unit.start()
    assert unit.began.trial is None
    assert unit.report["version"] == 1


def test_a_folder_that_this_user_cannot_read_is_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "store").write_text("a file where the folder should be")
    files = ConfigFiles(tmp_path / "store")
    for read in (files.committed, files.previous, files.trial):
        with pytest.raises(Damaged):
            read()
    assert files.keys() is None
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / 'store' / 'config'} cannot be read: Not a directory (call trapd as the unit's user)"
    ]
