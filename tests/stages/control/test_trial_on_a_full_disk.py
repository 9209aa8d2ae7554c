"""A trial begins and ends as its files say, also where the disk takes no word of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.stages.control.test_hostile import document
from tests.stages.driver import Bench
from tests.stages.remote_driver import CONFIRM_S, RemoteDriver, local_file

DESIRED = "config/desired"


def driver(bench: Bench, folder: Path) -> RemoteDriver:
    return RemoteDriver(bench, local_file(bench, folder))


def patch(txn: str, base: int, version: int) -> dict[str, Any]:
    return {"txn": txn, "args": {"base": base, "version": version, "patch": {"heartbeat_s": 99}}}


def test_a_trial_ends_at_its_deadline(bench: Bench, tmp_path: Path) -> None:
    remote = driver(bench, tmp_path)
    remote.say(DESIRED, document(1, txn="v1", confirm="operator"))
    remote.pass_by(0.1)
    assert remote.overlays.on_trial
    before = remote.restarts
    bench.store.faults.make("tell")
    remote.pass_by(CONFIRM_S + 30)
    remote.pass_by(1.0)
    bench.store.faults.end()
    assert remote.restarts > before
    assert not remote.overlays.on_trial
    assert remote.overlays.version == 0
    remote.close()


def test_a_trial_ends_at_its_deadline_whatever_else_finds_no_room(bench: Bench, tmp_path: Path) -> None:
    """An answer that is owed, a command that is held, a probe, a report."""
    remote = driver(bench, tmp_path)
    remote.say(DESIRED, document(1, txn="v1", confirm="operator"))
    remote.pass_by(0.1)
    before = remote.restarts
    bench.store.faults.make("end")
    remote.say("cmd/ping", {"txn": "owed"})
    for operation in ("tell", "begin", "put"):
        bench.store.faults.make(operation)
    remote.say("cmd/ping", {"txn": "held"})
    for _ in range(5):
        remote.pass_by(CONFIRM_S / 2)
    bench.store.faults.end()
    assert remote.restarts > before
    assert remote.overlays.version == 0
    remote.pass_by(11.0)
    remote.pass_by(1.0)
    codes = [(record["leaf"], record["code"]) for record in remote.records()]
    assert codes.count((DESIRED, 500)) == 1
    remote.close()


def test_a_document_goes_on_trial(bench: Bench, tmp_path: Path) -> None:
    """Its files are written by then: a process that stayed would refuse all else for the rest of its life."""
    remote = driver(bench, tmp_path)
    bench.store.faults.make("tell")
    remote.say(DESIRED, document(1, txn="v1"))
    bench.store.faults.end()
    for _ in range(5):
        remote.pass_by(1.0)
    assert remote.restarts >= 1
    assert remote.overlays.version == 1
    remote.close()


def test_a_patch_goes_on_trial(bench: Bench, tmp_path: Path) -> None:
    remote = driver(bench, tmp_path)
    bench.store.faults.make("end")
    remote.say("cmd/config_patch", patch("p", 0, 1))
    bench.store.faults.end()
    for _ in range(5):
        remote.pass_by(1.0)
    assert remote.restarts >= 1
    assert remote.overlays.version == 1
    remote.close()
