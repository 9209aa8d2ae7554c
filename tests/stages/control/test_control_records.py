"""Each attempt is one record, and each command that was begun is answered; whatever comes between."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stages.control.test_control import GROUP, answers, command, trail
from tests.stages.control_driver import ControlDriver
from tests.stages.driver import BASE, Bench
from trapd.ports import Received
from trapd.store.queue.obeyed import Begun


@pytest.fixture
def control(bench: Bench) -> Iterator[ControlDriver]:
    driver = ControlDriver(bench)
    yield driver
    driver.close()


def test_a_refused_command_that_is_known_by_its_answer_is_recorded_with_it(control: ControlDriver) -> None:
    control.no_reboot = "no runtime folder"
    for _ in range(2):
        control.say("cmd/reboot", command())
    assert [record["code"] for record in trail(control)] == [422, 422]


def test_a_txn_of_another_command_is_refused_and_not_answered_as_that_one(control: ControlDriver) -> None:
    control.say("cmd/disarm", command())
    control.say("cmd/arm", command())
    assert not control.orders.armed
    (answer,) = answers(control, "arm")
    assert (answer["code"], answer["status"], answer["data"]) == (409, "error", None)
    assert answer["error"] == "this txn is that of cmd/disarm, which was here before"
    assert [record["code"] for record in trail(control)] == [200, 409]


def test_a_command_to_a_group_is_the_same_as_that_to_the_unit(control: ControlDriver) -> None:
    """The units of two groups hear it twice; it is one wish."""
    control.say("cmd/ping", command())
    control.say("cmd/ping", command(), base=GROUP)
    control.turn(31, after_s=1.0)
    assert [answer["code"] for answer in answers(control)] == [200, 200]
    assert trail(control)[-1]["message"] == "again: answered as before"


def test_a_command_that_ended_the_process_is_answered_by_the_next_and_not_obeyed(
    bench: Bench, control: ControlDriver
) -> None:
    """It was noted before it was obeyed; its answer was never written."""
    assert control.session.obeyed.begin(Begun("t1", "cmd/reboot", None))
    for _ in range(2):
        later = ControlDriver(bench)
        later.stage._begin(later.session)
        later.turn(2)
        (answer,) = answers(later, "reboot")
        assert (answer["txn"], answer["code"]) == ("t1", 500)
        (record,) = trail(later)
        assert (record["leaf"], record["txn"], record["code"]) == ("cmd/reboot", "t1", 500)
        later.close()
    last = ControlDriver(bench)
    last.say("cmd/reboot", command())
    assert last.reboots == 0
    assert [answer["code"] for answer in answers(last, "reboot")] == [500, 500]
    last.close()


def test_a_burst_that_was_asked_for_is_answered_by_the_next_process(
    bench: Bench, control: ControlDriver
) -> None:
    control.say("cmd/capture", command())
    later = ControlDriver(bench)
    later.turn()
    assert [answer["code"] for answer in answers(later, "capture")] == [500]
    assert len(trail(later)) == 1
    later.close()


def test_what_came_while_the_process_ended_is_obeyed_by_the_next(
    bench: Bench, control: ControlDriver
) -> None:
    """The broker has been told that it arrived: it does not come again."""
    for leaf, txn in (("cmd/disarm", "t1"), ("cmd/ping", "t2"), ("config/desired", "t3")):
        assert control.stage.offer(Received(f"{BASE}/{leaf}", command(txn), retained=False))
    assert control.stage.offer(Received(f"{GROUP}/cmd/ping", command("t4"), retained=False))
    assert control.stage.offer(Received(f"{BASE}/cmd/arm", command("t5"), retained=True))
    control.stage.ended()
    later = ControlDriver(bench)
    later.stage._begin(later.session)
    later.turn(5)
    assert not later.orders.armed
    assert [record["txn"] for record in trail(later)] == ["t1", "t2"]
    later.turn(31, after_s=1.0)
    assert [record["txn"] for record in trail(later)] == ["t1", "t2", "t4"]
    last = ControlDriver(bench)
    last.stage._begin(last.session)
    last.turn(5)
    assert len(trail(last)) == 3
    last.close()
    later.close()


def test_of_what_came_while_the_process_ended_no_more_is_kept_than_has_room(
    bench: Bench, control: ControlDriver
) -> None:
    for number in range(120):
        assert control.stage.offer(Received(f"{BASE}/cmd/ping", command(f"t{number}"), retained=False))
    control.stage.ended()
    later = ControlDriver(bench)
    later.stage._begin(later.session)
    later.turn(60)
    assert [record["txn"] for record in trail(later)] == [f"t{number}" for number in range(50)]
    later.close()


def test_an_answer_that_the_full_store_does_not_take_waits_for_room(
    bench: Bench, control: ControlDriver, caplog: pytest.LogCaptureFixture
) -> None:
    """It was obeyed, and nobody may say that it was not."""
    bench.store.faults.make("end")
    control.say("cmd/disarm", command())
    assert not control.orders.armed
    assert "cmd/disarm was obeyed, and its answer waits for space" in caplog.text
    control.turn(2)
    assert answers(control, "disarm") == []
    bench.store.faults.end()
    control.turn(2)
    assert [answer["code"] for answer in answers(control, "disarm")] == [200]
    assert [record["code"] for record in trail(control)] == [200]


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("expire_at", "expire_at is not known here: did you mean expires_at?"),
        ("Args", "Args is not known here: did you mean args?"),
        ("v", "v is not known here: there are args, expires_at, issued_at, sig, txn"),
        ("a\nb", '"a\\nb" is not known here: there are args, expires_at, issued_at, sig, txn'),
    ],
)
def test_a_field_that_no_command_has_is_refused_by_its_name(
    control: ControlDriver, field: str, said: str
) -> None:
    """A misspelt expires_at would make a command that never expires."""
    control.say("cmd/reboot", command(**{field: "2001-01-01T00:00:00Z"}))
    (answer,) = answers(control, "reboot")
    assert (control.reboots, answer["code"], answer["error"]) == (0, 400, said)
    assert (trail(control)[0]["txn"], trail(control)[0]["code"]) == ("t1", 400)
    control.say("cmd/reboot", command())
    assert control.reboots == 1  # put right, under the same name


@pytest.mark.parametrize("broken", [b'{"txn":"t9","args":{}', b'{"txn":"t9","args":NaN}', b'{"txn":"t9"}}'])
def test_a_command_that_cannot_be_read_is_answered_by_its_name_where_that_can(
    control: ControlDriver, broken: bytes
) -> None:
    control.say("cmd/ping", broken)
    assert [(answer["txn"], answer["code"]) for answer in answers(control)] == [("t9", 400)]
    assert trail(control)[0]["txn"] == "t9"


def test_a_groups_command_is_noted_before_it_waits(bench: Bench, control: ControlDriver) -> None:
    """In half a minute the process may be gone."""
    control.say("cmd/ping", command(), base=GROUP)
    later = ControlDriver(bench)
    later.turn(40, after_s=1.0)
    assert [answer["code"] for answer in answers(later)] == [500]
    assert [(record["leaf"], record["code"]) for record in trail(later)] == [("_group/valley/cmd/ping", 500)]
    later.close()


def test_more_commands_of_groups_than_may_wait_are_refused_and_recorded(control: ControlDriver) -> None:
    for number in range(55):
        control.say("cmd/ping", command(f"t{number}"), base=GROUP)
    assert [(record["txn"], record["code"]) for record in trail(control)] == [
        (f"t{number}", 409) for number in range(50, 55)
    ]
    assert [(answer["txn"], answer["code"]) for answer in answers(control)] == [
        (f"t{number}", 409) for number in range(50, 55)
    ]


def test_a_flood_is_bounded(control: ControlDriver) -> None:
    for number in range(400):
        control.say("cmd/ping", command(f"t{number}"))
    assert len(answers(control)) <= 201
    assert len(trail(control)) == 60


def test_the_trail_counts_what_was_too_many(control: ControlDriver) -> None:
    for number in range(100):
        control.say("cmd/ping", command(f"t{number}"))
    control.turn(1, after_s=3600.0)
    assert trail(control)[-1]["more"] == 40
    control.say("cmd/ping", command("later"))
    assert trail(control)[-1]["txn"] == "later"
