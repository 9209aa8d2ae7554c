"""Which configuration a process begins with: on trial, committed, previous, local; it begins with one."""

from __future__ import annotations

import errno
import fcntl
from pathlib import Path
from typing import Any

import pytest

from tests.remote.common import ALL, CONFIRM_S, LOCAL, Unit, document, mark
from tests.remote.test_files import refuses_from
from trapd.config import Here
from trapd.errors import ConfigurationError, StoreError
from trapd.remote.files import ConfigFiles
from trapd.remote.start import begin, took_back


def local(**groups: Any) -> dict[str, Any]:
    return {**LOCAL, **groups}


@pytest.fixture
def unit(tmp_path: Path) -> Unit:
    """With version 1 committed and version 2 about to be tried."""
    unit = Unit(tmp_path)
    unit.commit(document(1))
    assert unit.desire(document(2)) == 202
    return unit


def test_without_anything_from_afar_it_is_the_local_file(tmp_path: Path) -> None:
    unit = Unit(tmp_path)
    assert (unit.began.overlay.version, unit.began.trial, unit.began.set_aside) == (0, None, "")
    assert unit.report["phase"] == "local"
    assert unit.report["last_attempt"] is None


def test_two_starts_are_on_trial_and_the_third_ends_it(unit: Unit) -> None:
    for starts in (1, 2):
        unit.start()
        assert unit.began.trial is not None
        assert (unit.began.trial.starts, unit.settings.trigger.max_per_hour) == (starts, mark(2))
    unit.start()
    assert (unit.began.trial, unit.settings.trigger.max_per_hour) == (None, mark(1))
    assert (unit.report["phase"], unit.attempt) == ("rolled_back", (2, 500))
    assert "3 times" in unit.report["last_attempt"]["errors"][0]["message"]
    unit.start()
    assert unit.desire(document(2)) is None
    assert unit.desire(document(2, txn="again")) == 423


def test_a_trial_that_became_invalid_with_the_local_file_is_rolled_back_by_its_start(tmp_path: Path) -> None:
    unit = Unit(tmp_path)
    assert unit.desire(document(1, {"indicator": {"led_pin": 5}})) == 202
    unit.edit(local(sensor={"pins": [5]}))
    unit.start()
    assert (unit.began.trial, unit.began.overlay.version) == (None, 0)
    assert (unit.report["phase"], unit.attempt) == ("rolled_back", (1, 500))
    assert unit.report["last_attempt"]["errors"][0]["path"] == "indicator.led_pin"


def test_an_overlay_that_became_invalid_is_set_aside_for_the_one_before_and_comes_back(
    tmp_path: Path,
) -> None:
    unit = Unit(tmp_path)
    unit.commit(document(1))
    unit.commit(document(2, {"indicator": {"led_pin": 5}}))
    unit.edit(local(sensor={"pins": [5]}))
    unit.start()
    assert unit.settings.trigger.max_per_hour == mark(1)
    assert unit.report["version"] == 1
    assert (
        "version 2 cannot be used: indicator.led_pin" in unit.report["last_attempt"]["errors"][-1]["message"]
    )
    unit.edit(LOCAL)
    unit.start()
    assert (unit.report["version"], unit.report["last_attempt"]["errors"]) == (2, [])


def test_what_is_kept_over_one_that_was_set_aside_has_what_was_in_force_before_it(tmp_path: Path) -> None:
    """And not the one that could not be used: there would be no way back."""
    unit = Unit(tmp_path)
    unit.commit(document(1))
    unit.commit(document(2, {"indicator": {"led_pin": 5}}))
    unit.edit(local(sensor={"pins": [5]}))
    unit.start()
    unit.commit(document(3))
    assert ConfigFiles(unit.root).previous().version == 1


def test_where_no_overlay_can_be_used_it_is_the_local_file_and_never_an_end(tmp_path: Path) -> None:
    unit = Unit(tmp_path)
    for version in (1, 2):
        unit.commit(document(version, {"indicator": {"led_pin": 5}}))
    unit.edit(local(sensor={"pins": [5]}))
    unit.start()
    assert (unit.report["version"], unit.report["doc"]) == (0, {})
    assert len(unit.began.set_aside.split(";")) == 2


def test_only_a_local_file_that_cannot_be_used_ends_the_start(unit: Unit) -> None:
    unit.path.write_text("unit: [")
    with pytest.raises(ConfigurationError):
        begin(unit.path, Here())
    unit.edit(LOCAL)
    assert begin(unit.path, Here()).trial is not None


def test_a_fault_of_the_local_file_that_the_overlay_makes_good_is_none(tmp_path: Path) -> None:
    unit = Unit(tmp_path)
    unit.commit(document(1))
    unit.edit(local(trigger={"max_per_hour": "many"}))
    unit.start()
    assert unit.settings.trigger.max_per_hour == mark(1)


def test_an_empty_document_is_a_version_like_any_other(tmp_path: Path) -> None:
    unit = Unit(tmp_path)
    unit.commit(document(1))
    unit.commit(document(2, {}))
    unit.start()
    assert unit.settings.trigger.max_per_hour == 600
    assert (unit.report["version"], unit.report["doc"], unit.report["phase"]) == (2, {}, "committed")


def test_a_damaged_overlay_is_told_in_the_report(tmp_path: Path) -> None:
    unit = Unit(tmp_path)
    for version in (1, 2):
        unit.commit(document(version))
    (unit.config / "committed.json").write_bytes(b"")
    unit.start()
    assert unit.report["version"] == 1
    assert "committed.json" in unit.report["last_attempt"]["errors"][-1]["message"]
    (unit.config / "previous.json").write_bytes(b"")
    (unit.config / "attempts.json").write_bytes(b"")
    unit.start()
    assert (unit.report["version"], unit.report["phase"], unit.attempt) == (0, "local", (0, 500))
    unit.commit(document(3))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO])
@pytest.mark.parametrize("call", range(8))
def test_a_trial_that_the_disk_does_not_let_count_is_left_aside_and_ended_when_it_does(
    unit: Unit, call: int, code: int
) -> None:
    """At each call of a start; what cannot be counted could go on for ever."""
    with pytest.MonkeyPatch.context() as patch:
        asked = refuses_from(patch, call, code)
        began = unit.start()
        if asked() <= call:
            assert began.trial is not None
            return
        assert (began.unsettled, began.trial, unit.settings.trigger.max_per_hour) == (True, None, mark(1))
        assert unit.desire(document(3)) == 409
        assert unit.watch() is None
        assert unit.watch(after_s=60.0) is None
    considered = unit.watch(after_s=60.0)
    assert considered is not None
    assert (considered.code, considered.version, considered.restart) == (500, 2, False)
    assert (unit.report["phase"], unit.attempt) == ("rolled_back", (2, 500))
    assert unit.watch(after_s=60.0) is None
    assert unit.desire(document(3)) == 202
    unit.start()
    assert unit.began.trial is not None


@pytest.mark.parametrize("call", range(8))
def test_a_start_that_cannot_end_a_trial_goes_on_without_it(unit: Unit, call: int) -> None:
    unit.start()
    unit.start()
    with pytest.MonkeyPatch.context() as patch:
        refuses_from(patch, call, errno.EROFS)
        unit.start()
        assert (unit.began.trial, unit.settings.trigger.max_per_hour) == (None, mark(1))
    unit.start()
    assert (unit.began.trial, unit.report["phase"], unit.attempt) == (None, "rolled_back", (2, 500))


def test_a_promotion_that_was_cut_is_finished_by_a_start_that_can_and_stands_meanwhile(unit: Unit) -> None:
    unit.start()
    with pytest.MonkeyPatch.context() as patch:
        refuses_from(patch, 4, errno.EROFS)  # committed.json is there, and nothing else
        with pytest.raises(StoreError):
            trial = unit.began.trial
            assert trial is not None
            unit.began.files.promote(trial, unit.began.files.ledger())
        unit.start()
        assert (unit.began.trial, unit.settings.trigger.max_per_hour) == (None, mark(2))
    considered = unit.watch(after_s=60.0)
    assert considered is not None
    assert considered.code == 200
    assert (unit.report["phase"], unit.attempt) == ("committed", (2, 200))
    assert ConfigFiles(unit.root).previous().version == 1


def test_the_time_of_a_trial_is_counted_over_its_starts(unit: Unit) -> None:
    unit.start()
    for _ in range(8):
        assert unit.watch(frozenset(), CONFIRM_S / 10) is None
    unit.start()
    assert unit.watch(frozenset(), CONFIRM_S / 10) is None
    considered = unit.watch(ALL - {"probe"}, CONFIRM_S / 10 + 1)
    assert considered is not None
    assert considered.code == 500
    assert [fault.message for fault in considered.faults] == ["its own probe did not come back"]


def test_a_start_beside_the_daemon_counts_nothing(unit: Unit) -> None:
    """Somebody who types `trapd run` by hand must not end a trial with it."""
    with (unit.root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for _ in range(5):
            assert begin(unit.path, Here()).trial is None
    trial = ConfigFiles(unit.root).trial()
    assert trial is not None
    assert trial.starts == 0


def test_a_process_that_fails_on_trial_takes_it_back(unit: Unit) -> None:
    unit.start()
    assert took_back(unit.began, RuntimeError("a stage failed"))
    assert not took_back(unit.began, RuntimeError("again"))
    unit.start()
    assert (unit.began.trial, unit.attempt) == (None, (2, 500))
    assert "a stage failed" in unit.report["last_attempt"]["errors"][0]["message"]
    assert not took_back(unit.began, RuntimeError("with what was committed"))
