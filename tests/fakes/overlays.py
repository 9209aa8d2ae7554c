"""Overlays without files: whatever is proposed becomes what the test says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trapd.errors import Fault
from trapd.records import Considered, Note


class FakeOverlays:
    """Knobs: `verdict` (what becomes of the next document, patch or way back), `trial` (whether one runs),
    `ends` (what the next `watch` says). `asked` lists what was proposed, `seen` what was shown last.
    """

    def __init__(self) -> None:
        self.verdict: Considered | None = Considered(202, 5, "x", changed=True, restart=True)
        self.trial = False
        self.ends: Considered | None = None
        self.asked: list[tuple[str, Mapping[str, Any], str | None, bool]] = []
        self.seen: frozenset[str] = frozenset()
        self.noted: list[Note] = []
        self.has_heard: list[str] = []
        self.is_busy = False

    def consider(
        self, document: Mapping[str, Any], *, kid: str | None, ready: bool, retained: bool = False
    ) -> Considered | None:
        self.asked.append(("document", document, kid, ready))
        return self._note(self.verdict, "config/desired")

    def reject(
        self,
        payload: bytes,
        code: int,
        faults: tuple[Fault, ...],
        members: Mapping[str, Any],
        *,
        retained: bool,
    ) -> Considered | None:
        self.asked.append(("broken", members, None, False))
        version, txn = members.get("version", 0), members.get("txn", "")
        if self.busy:
            return Considered(409, version, txn)
        return self._note(Considered(code, version, txn, faults, changed=True), "config/desired")

    def heard(self, kid: str) -> None:
        self.has_heard.append(kid)

    def patch(self, txn: str, args: Mapping[str, Any], *, kid: str | None, ready: bool) -> Considered:
        self.asked.append(("patch", args, kid, ready))
        return self._note(self.verdict, "cmd/config_patch", txn) or Considered(409)

    def confirm(self, args: Mapping[str, Any]) -> Considered:
        self.asked.append(("confirm", args, None, True))
        return Considered(200 if self.trial else 409, 5)

    def go_back(self, txn: str, *, kid: str | None = None, ready: bool) -> Considered:
        self.asked.append(("go back", {}, kid, ready))
        return self._note(self.verdict, "cmd/config_rollback", txn) or Considered(409)

    def watch(self, seen: frozenset[str]) -> Considered | None:
        self.seen = seen
        ends, self.ends = self.ends, None
        if ends is not None:
            self.trial = False
        return self._note(ends, "config/desired")

    def notes(self) -> tuple[Note, ...]:
        return tuple(self.noted)

    def _note(self, considered: Considered | None, leaf: str, txn: str = "") -> Considered | None:
        if considered is not None and considered.changed:
            said = "; ".join(f"{fault.path} {fault.message}".strip() for fault in considered.faults)
            name, number = txn or considered.txn, len(self.noted) + 1
            self.noted.append(Note(number, leaf, considered.code, considered.version, name, None, said))
        return considered

    def report(self) -> bytes:
        return b'{"v":1,"version":%d}' % self.version

    @property
    def on_trial(self) -> bool:
        return self.trial

    @property
    def busy(self) -> bool:
        return self.trial or self.is_busy

    @property
    def version(self) -> int:
        return 4

    @property
    def phase(self) -> str:
        return "trial" if self.trial else "committed"
