"""What is done about a camera that fails: opened anew once, then the end; one never seen, a rare reboot."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from tests.fakes.camera import FakeCamera
from tests.fakes.machine import FakeMachine
from tests.stages.driver import Bench, CaptureDriver
from trapd.errors import CameraLost, CameraUnavailable, StoreUnwritable
from trapd.records import Refusal, Trigger
from trapd.stages.capture.camera_watch import CameraWatch
from trapd.stages.capture.rare_reboot import REST_S, RareReboot

HOUR_S = 3600.0
TURN_S = 120.0


class Watching:
    """A CameraWatch over a fake camera, turn by turn; `again` is the next process on the same store."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.machine = FakeMachine(bench.clock)
        self.stop = threading.Event()
        self.again()

    def again(self, *, forgotten: bool = False) -> None:
        self.camera = FakeCamera(self.bench.clock)
        self.camera.open_error = CameraUnavailable("no camera is connected", "", restart_helps=True)
        reboot = RareReboot(self.bench.clock, self.machine, forgotten=forgotten)
        self.watch = CameraWatch(
            self.camera,
            clock=self.bench.clock,
            alerts=self.bench.alerts,
            probe_s=300.0,
            reboot=reboot,
            stopping=self.stop.is_set,
        )

    def pass_time(self, seconds: float) -> None:
        for _ in range(int(seconds / TURN_S)):
            self.bench.clock.advance(TURN_S)
            self.watch.look(self.bench.session)


@pytest.fixture
def watching(bench: Bench) -> Watching:
    return Watching(bench)


@pytest.fixture
def unit(bench: Bench) -> Iterator[CaptureDriver]:
    """Armed, with a camera whose library may hang."""
    driver = CaptureDriver(bench)
    driver.camera.restart_helps = True
    driver.turn()
    yield driver
    driver.close()


# --- a camera that has worked ------------------------------------------------------------------------------


def test_a_camera_that_fails_again_after_it_was_opened_anew_ends_the_process(
    bench: Bench, unit: CaptureDriver
) -> None:
    unit.camera.fail_shoot_at = 0
    unit.fire()
    assert bench.alerts.names() == ("camera",)
    unit.turn(after_s=5.1)
    assert (unit.camera.opened, bench.alerts.names()) == (2, ())
    unit.fire()
    with pytest.raises(
        CameraLost, match=r"camera failed: .*timed out; then, opened anew: .*\(cable, power, or time-out\)"
    ):
        unit.turn()
    assert bench.alerts.names() == ("camera",)
    assert bench.refused() == {"camera": 2}


def test_a_camera_that_cannot_be_opened_anew_ends_the_process(bench: Bench, unit: CaptureDriver) -> None:
    unit.camera.fail_shoot_at = 0
    unit.fire()
    unit.camera.fail_open = True
    with pytest.raises(CameraLost, match="timed out; then, opened anew: no camera answers"):
        unit.turn(2, after_s=5.1)


def test_a_whole_burst_proves_a_camera_that_was_opened_anew(bench: Bench, unit: CaptureDriver) -> None:
    for _ in range(4):
        unit.camera.fail_shoot_at = 0
        unit.fire()
        unit.camera.fail_shoot_at = None
        unit.turn(after_s=5.1)
        unit.fire()
    assert len(bench.events()) == 4


def test_a_probe_at_its_time_proves_it_too_and_the_one_after_opening_does_not(
    bench: Bench, unit: CaptureDriver
) -> None:
    for _ in range(3):
        unit.camera.fail_shoot_at = 0
        unit.fire()
        unit.turn(after_s=5.1)
        unit.turn(after_s=301.0)
    assert unit.camera.opened == 4


def test_a_camera_that_a_stop_cut_short_leaves_no_alert(bench: Bench, unit: CaptureDriver) -> None:
    unit.camera.fail_probe = True
    unit.stage.stop.set()
    unit.turn(after_s=300.1)
    assert (unit.camera.probed, unit.camera.is_open, bench.alerts.names()) == (2, False, ())


def test_a_camera_that_is_lost_takes_no_refused_trigger_with_it(bench: Bench, unit: CaptureDriver) -> None:
    """They are written down once a second, and the process ends within that second."""
    unit.camera.fail_shoot_at = 0
    unit.fire()
    unit.turn(after_s=5.1)
    unit.stage._refuse(Trigger("pir", "17", 0), Refusal.COOLDOWN)
    unit.turn()
    unit.fire()
    unit.sensor.fire()
    with pytest.raises(CameraLost):
        unit.stage.run()
    assert bench.refused() == {"camera": 2, "cooldown": 1, "busy": 1}


def test_photographs_that_have_gone_from_their_folder_end_nothing(bench: Bench, unit: CaptureDriver) -> None:
    """To begin anew would not bring them back."""
    unit.camera.restart_helps = False
    unit.camera.fail_shoot_at = 0
    unit.fire()
    unit.camera.fail_open = True
    unit.turn(100, after_s=5.1)
    unit.camera.fail_open, unit.camera.fail_shoot_at = False, None
    unit.turn(after_s=60.1)
    unit.fire()
    assert len(bench.events()) == 1


def test_the_burst_in_which_it_failed_for_the_last_time_is_kept(bench: Bench, unit: CaptureDriver) -> None:
    unit.camera.fail_shoot_at = 2
    unit.fire()
    unit.turn(after_s=5.1)
    unit.fire()
    assert [len(event.media) for event in bench.events()] == [2, 2]
    with pytest.raises(CameraLost):
        unit.turn()


# --- a camera that was never seen --------------------------------------------------------------------------


def test_after_an_hour_without_a_camera_the_machine_is_asked_to_reboot_once_a_day(watching: Watching) -> None:
    watching.pass_time(HOUR_S - 120)
    assert watching.machine.asked == 0
    watching.pass_time(240)
    assert watching.machine.asked == 1
    watching.pass_time(REST_S - HOUR_S)
    assert watching.machine.asked == 1
    watching.pass_time(2 * HOUR_S)
    assert watching.machine.asked == 2


def test_processes_and_reboots_in_between_make_no_day_shorter(watching: Watching) -> None:
    watching.pass_time(HOUR_S + 120)
    for _ in range(15):
        watching.again()
        watching.pass_time(1.5 * HOUR_S)
    assert watching.machine.asked == 1
    watching.again()
    watching.pass_time(3 * HOUR_S)
    assert watching.machine.asked == 2


def test_a_camera_that_was_seen_in_time_leads_to_no_reboot(watching: Watching) -> None:
    watching.pass_time(HOUR_S / 2)
    watching.camera.open_error = None
    watching.pass_time(5 * HOUR_S)
    assert (watching.machine.asked, watching.watch.ready) == (0, True)


def test_what_a_reboot_cannot_mend_leads_to_none(watching: Watching) -> None:
    watching.camera.open_error = CameraUnavailable("picamera2 is not installed", "apt install")
    watching.pass_time(5 * HOUR_S)
    assert watching.machine.asked == 0


def _no_right(machine: FakeMachine) -> None:
    machine.error = PermissionError(13, "Permission denied")


def _no_folder(machine: FakeMachine) -> None:
    machine.reason = "this unit has no runtime folder"


@pytest.mark.parametrize("spoil", [_no_right, _no_folder])
def test_a_machine_that_cannot_be_asked_is_said_once(
    watching: Watching, spoil: Callable[[FakeMachine], None], caplog: pytest.LogCaptureFixture
) -> None:
    spoil(watching.machine)
    watching.pass_time(3 * HOUR_S)
    assert watching.machine.asked == 0
    assert caplog.text.count("no reboot:") == 1


def test_without_a_note_of_it_on_disk_there_is_no_reboot(
    watching: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(key: str, value: str) -> None:
        raise StoreUnwritable("read-only")

    monkeypatch.setattr(watching.bench.session.meta, "put", refuse)
    watching.pass_time(3 * HOUR_S)
    assert watching.machine.asked == 0


def test_a_store_that_was_rebuilt_counts_as_a_reboot_just_now(watching: Watching) -> None:
    """The cut that damaged it may have been the reboot's, and its note is gone with it."""
    watching.again(forgotten=True)
    watching.pass_time(10 * HOUR_S)
    watching.again()
    watching.pass_time(10 * HOUR_S)
    assert watching.machine.asked == 0
    watching.pass_time(6 * HOUR_S)
    assert watching.machine.asked == 1


def test_a_machine_that_refuses_to_be_asked_is_not_waited_for(
    watching: Watching, caplog: pytest.LogCaptureFixture
) -> None:
    watching.machine.error = OSError(28, "No space left on device")
    watching.machine.stands = True  # the file is there, and empty: that is enough for root's unit
    watching.pass_time(2 * HOUR_S)
    assert not watching.machine.stands
    assert "no reboot: [Errno 28]" in caplog.text
    assert "the reboot did not come" not in caplog.text


def test_a_unit_that_was_told_to_stop_asks_for_no_reboot(watching: Watching) -> None:
    watching.pass_time(HOUR_S - TURN_S)
    watching.stop.set()
    watching.pass_time(HOUR_S)
    assert watching.machine.asked == 0


def test_a_note_that_cannot_be_read_counts_as_a_reboot_just_now(watching: Watching) -> None:
    watching.bench.session.meta.put("reboot_rest_s", "nonsense")
    watching.pass_time(10 * HOUR_S)
    assert watching.machine.asked == 0


def test_a_reboot_that_does_not_come_is_taken_back_and_asked_for_a_day_later(
    watching: Watching, caplog: pytest.LogCaptureFixture
) -> None:
    watching.pass_time(10 * HOUR_S)
    assert (watching.machine.asked, watching.machine.stands) == (1, False)
    assert caplog.text.count("the reboot did not come: is trapd-reboot.path enabled?") == 1
    watching.pass_time(24 * HOUR_S)
    assert watching.machine.asked == 2
