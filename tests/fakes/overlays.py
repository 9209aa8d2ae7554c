"""Overlays without files: whatever is proposed becomes what the test says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trapd.records import Considered


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

    def consider(
        self, document: Mapping[str, Any], *, kid: str | None, ready: bool, retained: bool = False
    ) -> Considered | None:
        self.asked.append(("document", document, kid, ready))
        return self.verdict

    def patch(self, txn: str, args: Mapping[str, Any], *, kid: str | None, ready: bool) -> Considered:
        self.asked.append(("patch", args, kid, ready))
        return self.verdict or Considered(409)

    def confirm(self, args: Mapping[str, Any]) -> Considered:
        self.asked.append(("confirm", args, None, True))
        return Considered(200 if self.trial else 409, 5)

    def go_back(self, txn: str, *, ready: bool) -> Considered:
        self.asked.append(("go back", {}, None, ready))
        return self.verdict or Considered(409)

    def watch(self, seen: frozenset[str]) -> Considered | None:
        self.seen = seen
        ends, self.ends = self.ends, None
        if ends is not None:
            self.trial = False
        return ends

    def report(self) -> bytes:
        return b'{"v":1,"version":%d}' % self.version

    @property
    def on_trial(self) -> bool:
        return self.trial

    @property
    def version(self) -> int:
        return 4

    @property
    def phase(self) -> str:
        return "trial" if self.trial else "committed"
