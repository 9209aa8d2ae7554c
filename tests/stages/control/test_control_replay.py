"""Commands that come again, dated as they like; and the hour of the trail, from process to process."""

from __future__ import annotations

from typing import Any

import pytest

from tests.stages.control.test_control import answers, at, command, signed, trail, trusting
from tests.stages.control_driver import ControlDriver
from tests.stages.driver import Bench
from trapd.records import TsQuality
from trapd.store.queue import obeyed
from trapd.store.queue.obeyed import Begun

FAR: dict[str, Any] = {"issued_at": "2031-01-01T00:00:00Z", "expires_at": "2036-01-01T00:00:00Z"}


def test_a_command_of_years_ahead_is_refused_by_who_knows_the_time(bench: Bench) -> None:
    """An estimated clock may be as far behind: it stood still while the unit was off."""
    for quality, code in ((TsQuality.SYNCED, 400), (TsQuality.ESTIMATED, 200), (TsQuality.UNSET, 200)):
        bench.clock.set_quality(quality)
        control = ControlDriver(bench, trusting())
        control.say("cmd/reboot", signed("cmd/reboot", f"far-{quality}", **FAR))
        assert answers(control, "reboot")[-1]["code"] == code
        assert control.reboots == int(code == 200)
        control.close()


@pytest.mark.parametrize("is_signed", [True, False])
def test_a_command_of_years_ahead_is_never_obeyed_twice(
    bench: Bench, is_signed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a clock it is taken; then many others come, and it again, with and without a clock."""
    monkeypatch.setattr(obeyed, "_COMMANDS_KEPT", 20)
    monkeypatch.setattr(obeyed, "_FORGETS_EVERY", 3)
    bench.clock.set_quality(TsQuality.ESTIMATED)
    control = ControlDriver(bench, trusting())
    made = signed("cmd/reboot", "far", **FAR) if is_signed else command("far", **FAR)
    control.say("cmd/reboot", made)
    assert control.reboots == 1
    for number in range(60):
        control.session.obeyed.begin(Begun(f"t{number}", "cmd/ping", bench.clock.now().wall_ms + number))
        control.session.obeyed.begin(Begun(f"u{number}", "cmd/ping", None))
    for quality in TsQuality:
        bench.clock.set_quality(quality)
        control.say("cmd/reboot", made)
    assert control.reboots == 1
    control.say("cmd/ping", command("new", issued_at=at(bench.clock, 5.0)))
    assert answers(control)[-1]["code"] == 200
    control.close()


def test_an_hour_of_the_trail_goes_on_in_the_next_process(bench: Bench) -> None:
    """A process that ends again and again begins none of its own."""
    control = ControlDriver(bench)
    for number in range(40):
        control.say("cmd/ping", command(f"a{number}"))
    for process in range(3):
        later = ControlDriver(bench)
        bench.clock.advance(600.0)
        for number in range(40):
            later.say("cmd/ping", command(f"b{process}-{number}"))
        later.close()
    assert len(trail(control)) == 60
    control.turn(1, after_s=1700.0)
    assert len(trail(control)) == 60
    latest = ControlDriver(bench)
    latest.turn(1, after_s=100.0)
    latest.close()
    assert trail(control)[60:] == [{**trail(control)[60], "more": 100}]
    control.close()
