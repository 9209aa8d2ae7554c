"""Whether the camera works, and what is done when it does not. Capture's thread, but for `seen`.

A camera that has never worked in this process is tried again, ever more seldom; after an hour of that the
machine is asked to begin anew, at most once a day. One that has worked and fails is opened anew, once: when
it fails again before it has proved itself, the process ends and says why, for start-up is recovery for the
camera's library too. Both only where it may help: photographs that have gone from a folder are waited for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from trapd.errors import CameraLost, CameraUnavailable
from trapd.ports import Camera, Clock
from trapd.rules import NS_PER_S
from trapd.stages.alerts import Alerts
from trapd.stages.capture.rare_reboot import RareReboot
from trapd.store import Session

log = logging.getLogger("trapd.capture")

_RETRY_S = (5.0, 10.0, 20.0, 40.0, 60.0)
_REBOOT_AFTER_S = 3600.0


class CameraWatch:
    """Opens the camera, looks after it now and then, and closes it."""

    def __init__(
        self,
        camera: Camera,
        *,
        clock: Clock,
        alerts: Alerts,
        probe_s: float,
        reboot: RareReboot | None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._camera = camera
        self._clock = clock
        self._alerts = alerts
        self._probe_s = probe_s
        self._reboot = reboot
        self._stopping = stopping
        self._began_ns = clock.boot_ns()
        self._open = False
        self._seen = False
        self._failures = 0
        self._unproved: CameraUnavailable | None = (
            None  # why it is opened anew; None once it has proved itself
        )
        self._lost: CameraLost | None = None
        self._due_ns = 0

    @property
    def ready(self) -> bool:
        """Whether a burst may be asked of it."""
        return self._open

    @property
    def seen(self) -> bool:
        """Whether it has given a frame to this process. From any thread."""
        return self._seen

    def look(self, session: Session) -> None:
        """At every turn: open it, or see whether it still gives frames, when due. Raises CameraLost."""
        if self._lost is not None:
            raise self._lost
        if self._reboot is not None:
            self._reboot.count_down(session)
        now_ns = self._clock.boot_ns()
        if now_ns < self._due_ns:
            return
        proved = self._open
        try:
            if not self._open:
                self._camera.open()
                self._open = True
            # A camera that opens and gives no frame has not recovered.
            self._camera.probe()
        except CameraUnavailable as error:
            self.failed(error)
            self._perhaps_reboot(session, error)
        else:
            self._seen = True
            self._failures = 0
            if proved:
                self._unproved = None
            self._due_ns = now_ns + int(self._probe_s * NS_PER_S)
            self._alerts.clear("camera")

    def worked(self) -> None:
        """It gave a whole burst."""
        self._unproved = None

    def failed(self, error: CameraUnavailable) -> None:
        """Let go of it, say so, and try again later. Where that was tried already, the next look ends all."""
        self._camera.close()
        self._open = False
        if self._stopping():  # it was not waited for: that says nothing of the camera
            log.info("camera: %s", error)
            return
        first, self._unproved = self._unproved, error if self._seen else None
        if first is not None and error.restart_helps:
            # The first failure says more: the second may only be what it has left behind.
            self._lost = CameraLost(
                f"the camera failed: {first.message}; then, opened anew: {error.message}",
                first.hint or error.hint,
            )
        wait_s = _RETRY_S[min(self._failures, len(_RETRY_S) - 1)]
        self._failures += 1
        self._due_ns = self._clock.boot_ns() + int(wait_s * NS_PER_S)
        log.warning("camera: %s; next try in %.0f s", error, wait_s)
        self._alerts.raise_("camera", error.message, error.hint)

    def close(self) -> None:
        """Let go of it; may be called twice."""
        self._camera.close()

    def _perhaps_reboot(self, session: Session, error: CameraUnavailable) -> None:
        """For a camera that this process has never seen, and that a reboot may bring back."""
        absent_s = (self._clock.boot_ns() - self._began_ns) / NS_PER_S
        if self._reboot is None or self._seen or not error.restart_helps or absent_s < _REBOOT_AFTER_S:
            return
        if self._stopping():  # whoever stops the unit may have it open
            return
        self._reboot.ask(session, f"the camera has been absent for {absent_s:.0f} s")
