"""The facts of a heartbeat: flat, numeric where they can be, cheap to gather. Heartbeat's thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from trapd.host import vitals
from trapd.ports import Clock
from trapd.stages.alerts import Alerts
from trapd.stages.deliver.connection import HeldBack
from trapd.stages.upkeep.missed import Missed
from trapd.store import Session, Store


class Facts:
    """Gathers what the unit says of itself."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        alerts: Alerts,
        online: Callable[[], bool],
        version: str,
        more: Callable[[], Mapping[str, int | float | str]] = dict,
        held_back: Callable[[], HeldBack] = HeldBack,
        missed: Missed | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._alerts = alerts
        self._online = online
        self._held_back = held_back
        self._version = version
        self._missed = missed
        self._more = more
        self._began_ns = clock.boot_ns()

    def read(self, session: Session) -> Mapping[str, int | float | str | bool]:
        """One flat mapping; what the machine does not tell is left out."""
        now_ns = self._clock.boot_ns()
        disk = self._store.space.disk()
        facts: dict[str, int | float | str | bool | None] = {
            "version": self._version,
            "epoch": self._store.epoch,
            "uptime_s": vitals.uptime_s(),
            "running_s": round((now_ns - self._began_ns) / 1e9, 1),
            "online": self._online(),
            "alerts": len(self._alerts.names()),
            **self._more(),
            "cpu_c": vitals.cpu_celsius(),
            "cma_free_bytes": vitals.cma_free_bytes(),
            "load_1min": vitals.load_1min(),
            "resident_bytes": vitals.resident_bytes(),
            "disk_free_bytes": disk.free_bytes,
            "disk_used_bytes": disk.used_bytes,
            "oldest_unsent_s": session.outbox.oldest_unsent_s(self._clock.now()),
        }
        depth = session.outbox.depth()
        facts.update({f"queue_{kind}": count for kind, count in depth.items()})
        facts.update(self._what_is_held_back(session, depth))
        facts.update({name.replace(".", "_"): count for name, count in session.counters.all().items()})
        facts.update(session.events.totals())
        if self._missed is not None:
            facts.update(self._missed.read(session))
        return {name: value for name, value in facts.items() if value is not None}

    def _what_is_held_back(self, session: Session, depth: Mapping[str, int]) -> dict[str, int | str]:
        """What does not go although there is a link, and why; and what the receiver has yet to confirm."""
        held = self._held_back()
        kinds = {kind.value: why for kind, why in held.kinds.items() if kind.value in depth}
        sizes = session.outbox.bytes_waiting()
        facts: dict[str, int | str] = {"awaiting_receipt": session.outbox.awaiting_count()}
        facts["held_back_rows"] = held.rows + sum(depth[kind] for kind in kinds)
        facts["held_back_bytes"] = held.bytes + sum(sizes.get(kind, 0) for kind in kinds)
        if reasons := held.why | set(kinds.values()):
            facts["held_back_reason"] = ", ".join(sorted(reasons))
        return facts
