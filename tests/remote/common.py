"""A unit as the tests of remote configuration have it: a folder, a local file, one process after another."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.fakes.clock import FakeClock
from trapd.config import Here, Settings
from trapd.errors import Fault
from trapd.records import Considered
from trapd.remote.configuration import NEEDS, RemoteConfiguration, Surroundings
from trapd.remote.start import Start, begin

LOCAL: dict[str, Any] = {"unit": {"id": "ridge-07"}, "mqtt": {"host": "broker.example.org"}}
ALL = frozenset(NEEDS)
CONFIRM_S = 900.0


def mark(version: int) -> int:
    """What trigger.max_per_hour is with the document of this version; 600 with the local file alone."""
    return 1 + version % 500


def document(version: int, doc: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A document of `config/desired`; without `doc` one that can be told from others by `mark`."""
    doc = {"trigger": {"max_per_hour": mark(version)}} if doc is None else doc
    return {"v": 1, "version": version, "txn": f"t{version}", "doc": doc, **more}


class Unit:
    """Its files, and the process that runs; `start` begins another."""

    def __init__(
        self, folder: Path, local: dict[str, Any] | None = None, *, root: Path | None = None
    ) -> None:
        self.root = root or folder / "data"
        self.root.mkdir(exist_ok=True)
        self.config = self.root / "config"
        self.path = folder / "config.yaml"
        self.clock = FakeClock()
        self.used_bytes = 0
        self.free_bytes = 10**12
        self.cannot: Callable[[Settings], tuple[Fault, ...]] = lambda _: ()
        self.edit(local or LOCAL)
        self.start()

    def edit(self, local: dict[str, Any]) -> None:
        """Somebody stands there and writes another local file."""
        self.local = copy.deepcopy(local)
        storage = {"path": str(self.root)} | local.get("storage", {})
        self.path.write_text(yaml.safe_dump({**local, "storage": storage}))

    def start(self) -> Start:
        """The next process; what the last one had in memory is gone."""
        self.began = begin(self.path, Here())
        around = Surroundings(self._cannot, lambda: self.used_bytes, lambda: self.free_bytes)
        self.remote = RemoteConfiguration(self.began, around, self.clock)
        return self.began

    def _cannot(self, wanted: Settings) -> tuple[Fault, ...]:
        return self.cannot(wanted)  # the one that a test has put there since

    def desire(
        self,
        document: dict[str, Any],
        *,
        kid: str | None = None,
        ready: bool = True,
        retained: bool = False,
    ) -> int | None:
        """The code that the document gets; None where it changes nothing."""
        considered = self.remote.consider(document, kid=kid, ready=ready, retained=retained)
        return None if considered is None else considered.code

    def commit(self, document: dict[str, Any], *, kid: str | None = None) -> None:
        """The whole way of a document that is good."""
        assert self.desire(document, kid=kid) == 202
        self.start()
        considered = self.watch()
        assert considered is not None
        assert considered.code == 200

    def watch(self, seen: frozenset[str] = ALL, after_s: float = 0.0) -> Considered | None:
        """One turn of Control."""
        self.clock.advance(after_s)
        return self.remote.watch(seen)

    def fail(self) -> Considered:
        """The trial's time runs out without the broker."""
        considered = self.watch(frozenset(), CONFIRM_S + 1)
        assert considered is not None
        assert considered.code == 500
        assert considered.restart
        self.start()
        return considered

    @property
    def settings(self) -> Settings:
        """What this process runs on."""
        return self.began.loaded.settings

    @property
    def report(self) -> dict[str, Any]:
        """What stands on `config/reported`."""
        report: dict[str, Any] = json.loads(self.remote.report())
        return report

    @property
    def attempt(self) -> tuple[int, int]:
        """Version and code of the latest attempt."""
        last = self.report["last_attempt"]
        return last["version"], last["code"]
