"""Drives a Control turn by turn, beside a Deliver or alone."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from tests.fakes.overlays import FakeOverlays
from tests.stages.driver import BASE, UNIT, Bench
from trapd.ports import Received
from trapd.stages.capture.orders import Orders
from trapd.stages.control.commands import Means
from trapd.stages.control.desired import Desired, Eyes
from trapd.stages.control.stage import Control
from trapd.stages.control.trail import Trail
from trapd.wire.authority import Authority
from trapd.wire.signing import Keyring
from trapd.wire.topics import Topics

OPEN = Authority(Keyring([]), signed_only=False, open_=True)
PROVED = frozenset({"link", "heard", "puback"})


class ControlDriver:
    """Knobs: `standing`, `echo`, `camera_seen`, `model_ready` (what the process has seen), `no_reboot`,
    `reboot_fails`. `noted`: what the broker may forget.
    """

    def __init__(
        self,
        bench: Bench,
        authority: Authority = OPEN,
        *,
        chunk_bytes: Callable[[], int] = lambda: 65_536,
        overlays: Any = None,
    ) -> None:
        self.bench = bench
        self.session = bench.store.session()
        self.overlays = overlays or FakeOverlays()
        self.orders = Orders()
        self.standing = PROVED
        self.echo: bytes | None = None
        self.camera_seen = self.model_ready = True
        self.no_reboot = ""
        self.reboot_fails: OSError | None = None
        self.restarts = self.reboots = self.rebirths = self.forgotten = 0
        self.noted: list[Received] = []
        self.chunk_bytes = chunk_bytes
        self.trail = Trail(bench.clock)
        topics = Topics("trapd/v1", UNIT)
        means = Means(
            clock=bench.clock,
            overlays=self.overlays,
            orders=self.orders,
            facts=lambda session: {"armed": int(self.orders.armed)},
            rebirth=lambda: self._count("rebirths"),
            reboot=self._reboot,
            no_reboot=lambda: self.no_reboot,
            forget_reboot=lambda: self._count("forgotten"),
            chunk_bytes=lambda: self.chunk_bytes(),  # noqa: PLW0108 - the test gives another later
        )
        eyes = Eyes(
            standing=lambda: self.standing,
            echo=lambda: self.echo,
            camera_seen=lambda: self.camera_seen,
            model_ready=lambda: self.model_ready,
        )
        self.desired = Desired(
            topic=topics.full("config/desired"),
            clock=bench.clock,
            authority=authority,
            overlays=self.overlays,
            eyes=eyes,
            trail=self.trail,
            restart=lambda: self._count("restarts"),
        )
        self.stage = Control(
            topics=topics,
            store=bench.store,
            clock=bench.clock,
            authority=authority,
            means=means,
            desired=self.desired,
            trail=self.trail,
            schema=lambda: b'{"title":"schema"}',
            draw=random.Random(1),
            noted=self.noted.append,
        )

    def turn(self, times: int = 1, *, after_s: float = 0.0) -> None:
        for _ in range(times):
            self.bench.clock.advance(after_s)
            self.stage._turn(self.session, 0.0)

    def say(
        self, leaf: str, payload: bytes, *, retained: bool = False, base: str = BASE, **more: Any
    ) -> None:
        """A message arrives, and the turn that takes it."""
        assert self.stage.offer(Received(f"{base}/{leaf}", payload, retained, **more))
        self.turn()

    def close(self) -> None:
        self.session.close()

    def _reboot(self) -> None:
        if self.reboot_fails is not None:
            raise self.reboot_fails
        self._count("reboots")

    def _count(self, name: str) -> None:
        setattr(self, name, getattr(self, name) + 1)
