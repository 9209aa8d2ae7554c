"""Commands: obeyed once, refused with a reason, recorded either way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fakes.clock import FakeClock
from tests.stages.control_driver import ControlDriver
from tests.stages.driver import BASE, UNIT, Bench
from trapd.records import Considered, Kind, Refusal, TsQuality
from trapd.stages.capture.orders import Orders, Taken
from trapd.stages.control.commands import COMMANDS
from trapd.wire import codec, signing
from trapd.wire.authority import Authority

SEED = bytes(range(32))
GROUP = "trapd/v1/_group/valley"


@pytest.fixture
def control(bench: Bench) -> Iterator[ControlDriver]:
    driver = ControlDriver(bench)
    yield driver
    driver.close()


def command(txn: str = "t1", **fields: Any) -> bytes:
    return json.dumps({"txn": txn, "args": {}} | fields).encode()


def answers(control: ControlDriver, name: str = "ping") -> list[dict[str, Any]]:
    return [json.loads(payload) for payload in control.bench.leaf(f"res/{name}")]


def trail(control: ControlDriver) -> list[dict[str, Any]]:
    return [json.loads(payload) for payload in control.session.obeyed.trail(1000)]


def at(clock: FakeClock, after_s: float) -> str:
    return codec.rfc3339(clock.now().wall_ms + round(after_s * 1000))


def test_a_ping_is_answered_and_recorded(control: ControlDriver) -> None:
    control.say("cmd/ping", command())
    (answer,) = answers(control)
    assert (answer["txn"], answer["status"], answer["code"]) == ("t1", "ok", 200)
    assert answer["data"]["epoch"] == control.session.epoch
    (record,) = trail(control)
    assert (record["leaf"], record["txn"], record["code"], record["kid"]) == ("cmd/ping", "t1", 200, None)
    assert [json.loads(payload) for payload in control.bench.leaf("trail")] == [record]


def test_every_command_of_the_contract_is_there() -> None:
    assert set(COMMANDS) == {
        "ping", "capture", "status", "media_get", "config_patch", "config_confirm", "config_rollback", "arm",
        "disarm", "rebirth", "reboot",
    }  # fmt: skip


def test_a_command_that_comes_again_is_answered_again_and_obeyed_once(control: ControlDriver) -> None:
    for _ in range(3):
        control.say("cmd/reboot", command())
    assert control.reboots == 1
    assert answers(control, "reboot") == [answers(control, "reboot")[0]] * 3
    assert [(record["code"], record["message"]) for record in trail(control)] == [
        (200, None), (200, "again: answered as before"), (200, "again: answered as before"),
    ]  # fmt: skip


def test_a_full_store_obeys_nothing_and_ends_nothing(bench: Bench, control: ControlDriver) -> None:
    bench.store.faults.make("begin")
    control.say("cmd/reboot", command())
    assert control.reboots == 0
    bench.store.faults.end()
    control.turn(2)
    assert control.reboots == 1
    assert [record["code"] for record in trail(control)] == [200]


@pytest.mark.parametrize("leaf", ["cmd/format_disk", "cmd/..", "config/desired"])
def test_what_a_full_store_has_no_room_to_refuse_is_refused_when_there_is(
    bench: Bench, control: ControlDriver, leaf: str
) -> None:
    control.overlays.verdict = Considered(409, 5, "t1")
    bench.store.faults.make("tell")
    control.say(leaf, command())
    control.turn(3)
    bench.store.faults.end()
    control.turn(2)
    assert [record["code"] for record in trail(control)] == [409 if leaf == "config/desired" else 404]


def test_an_unknown_command_is_answered(control: ControlDriver) -> None:
    control.say("cmd/format_disk", command())
    assert answers(control, "format_disk")[0]["code"] == 404
    assert trail(control)[0]["code"] == 404


def test_a_retained_command_is_refused_recorded_and_not_answered(control: ControlDriver) -> None:
    control.say("cmd/reboot", command(), retained=True)
    assert control.reboots == 0
    assert answers(control, "reboot") == []
    assert trail(control)[0]["message"] == "retained"


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"media_get", "config_patch", "config_confirm"}))
def test_arguments_that_nobody_asked_for_are_refused(control: ControlDriver, name: str) -> None:
    control.say(f"cmd/{name}", command(args={"path": "../../etc/passwd"}))
    assert answers(control, name)[0]["code"] == 400
    assert (control.reboots, control.restarts, control.orders.armed) == (0, 0, True)


# --- when --------------------------------------------------------------------------------------------------


def test_what_is_past_its_time_is_refused(bench: Bench, control: ControlDriver) -> None:
    bench.clock.set_quality(TsQuality.SYNCED)
    issued, expires = at(bench.clock, -60), at(bench.clock, -1)
    control.say("cmd/reboot", command(issued_at=issued, expires_at=expires))
    assert answers(control, "reboot")[0]["code"] == 410
    control.say("cmd/reboot", command("t2", issued_at=issued, expires_at=at(bench.clock, 60)))
    assert control.reboots == 1


def test_without_a_clock_nothing_expires_and_a_reboot_must_be_signed(bench: Bench) -> None:
    bench.clock.set_quality(TsQuality.UNSET)
    control = ControlDriver(bench, trusting())
    period: dict[str, Any] = {"issued_at": "2026-11-25T00:00:00Z", "expires_at": "2026-11-25T00:01:00Z"}
    control.say("cmd/disarm", command("t1", **period))
    assert not control.orders.armed
    control.say("cmd/reboot", command("t2", **period))
    assert answers(control, "reboot")[0]["code"] == 401
    control.say("cmd/reboot", signed("cmd/reboot", "t3", **period))
    assert control.reboots == 1
    control.close()


def test_what_may_be_forgotten_is_too_old(bench: Bench, control: ControlDriver) -> None:
    """Else a signed command could be said again once its name is forgotten."""
    bench.clock.set_quality(TsQuality.SYNCED)
    now_ms = bench.clock.now().wall_ms
    with control.session.database.write() as connection:
        connection.execute("INSERT INTO meta VALUES ('commands_forgotten_ms', ?)", (str(now_ms),))
    issued = codec.rfc3339(now_ms)
    control.say("cmd/reboot", command(issued_at=issued, expires_at="2200-01-01T00:00:00Z"))
    assert answers(control, "reboot")[0]["code"] == 410
    assert control.reboots == 0


# --- who ---------------------------------------------------------------------------------------------------


def trusting(*, signed_only: bool = False, open_: bool = True) -> Authority:
    from nacl.signing import SigningKey

    line = signing.public_line(bytes(SigningKey(SEED).verify_key))
    return Authority(signing.Keyring([line]), signed_only=signed_only, open_=open_)


def signed(leaf: str, txn: str = "t1", topic: str = BASE, seed: bytes = SEED, **fields: Any) -> bytes:
    document = json.loads(command(txn, **fields))
    return json.dumps(signing.sign(f"{topic}/{leaf}", document, seed)).encode()


PERIOD: dict[str, Any] = {"issued_at": "2023-11-01T00:00:00Z", "expires_at": "2126-11-25T00:00:00Z"}


@pytest.mark.parametrize(("signed_only", "open_"), [(True, True), (False, False), (True, False)])
def test_where_it_must_be_signed_only_a_signed_command_is_obeyed(
    bench: Bench, signed_only: bool, open_: bool
) -> None:
    control = ControlDriver(bench, trusting(signed_only=signed_only, open_=open_))
    control.say("cmd/reboot", command("t1", **PERIOD))
    assert (control.reboots, answers(control, "reboot")[-1]["code"]) == (0, 401)
    control.say("cmd/reboot", signed("cmd/reboot", "t2", **PERIOD))
    assert (control.reboots, answers(control, "reboot")[-1]["code"]) == (1, 200)
    assert [record["kid"] is not None for record in trail(control)] == [False, True]
    control.close()


@pytest.mark.parametrize(
    "forged",
    [
        signed("cmd/ping", "t1", **PERIOD),  # another leaf
        signed("cmd/reboot", "t1", topic="trapd/v1/ridge-08", **PERIOD),  # another unit
        signed("cmd/reboot", "t1", seed=bytes(32), **PERIOD),  # another key
        signed("cmd/reboot", "t1", **PERIOD).replace(b'"t1"', b'"t2"'),  # another command
        command("t1", sig={"kid": "0" * 16, "b64": "AAAA"}, **PERIOD),
    ],
    ids=["leaf", "unit", "key", "txn", "nonsense"],
)
def test_a_wrong_signature_is_refused_even_where_none_is_needed(bench: Bench, forged: bytes) -> None:
    control = ControlDriver(bench, trusting())
    control.say("cmd/reboot", forged)
    assert control.reboots == 0
    assert answers(control, "reboot")[0]["code"] == 401
    assert [record["code"] for record in trail(control)] == [401]
    assert control.session.obeyed.known("t1") is None  # never remembered
    control.close()


def test_what_is_signed_says_until_when(bench: Bench) -> None:
    control = ControlDriver(bench, trusting())
    control.say("cmd/reboot", signed("cmd/reboot", "t1"))
    assert (control.reboots, answers(control, "reboot")[0]["code"]) == (0, 400)
    control.close()


# --- groups ------------------------------------------------------------------------------------------------


def test_a_groups_units_answer_within_half_a_minute_and_not_at_once(control: ControlDriver) -> None:
    control.say("cmd/ping", command(), base=GROUP)
    assert answers(control) == []
    control.turn(31, after_s=1.0)
    assert answers(control)[0]["txn"] == "t1"
    assert trail(control)[0]["leaf"] == "_group/valley/cmd/ping"


def test_a_groups_command_that_came_in_time_is_not_late_for_having_waited(
    bench: Bench, control: ControlDriver
) -> None:
    """Half a minute of waiting is the unit's own doing."""
    for number in range(10):
        made = command(f"t{number}", expires_at=at(bench.clock, 1.0))
        control.say("cmd/ping", made, base=GROUP)
    control.turn(31, after_s=1.0)
    assert [answer["code"] for answer in answers(control)] == [200] * 10
    control.say("cmd/ping", command("late", expires_at=at(bench.clock, -1.0)), base=GROUP)
    control.turn(31, after_s=1.0)
    assert answers(control)[-1]["code"] == 410


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"ping", "rebirth", "capture"}))
def test_a_group_is_told_only_what_harms_nobody(control: ControlDriver, name: str) -> None:
    control.say(f"cmd/{name}", command(), base=GROUP)
    control.turn(31, after_s=1.0)
    assert answers(control, name)[0]["code"] == 403
    assert (control.reboots, control.orders.armed) == (0, True)


# --- what they do ------------------------------------------------------------------------------------------


def test_disarm_outlasts_the_process(bench: Bench, control: ControlDriver) -> None:
    control.say("cmd/disarm", command("t1"))
    orders = Orders()
    orders.recall(bench.session)
    assert not orders.armed
    control.say("cmd/arm", command("t2"))
    orders.recall(bench.session)
    assert orders.armed


def test_a_burst_that_is_asked_for_is_answered_with_its_event(control: ControlDriver) -> None:
    control.say("cmd/capture", command())
    trigger = control.orders.next()
    assert trigger is not None
    assert trigger.source == "remote"
    control.say("cmd/capture", command())  # again, meanwhile: its answer comes
    assert answers(control, "capture") == []
    assert [record["code"] for record in trail(control)] == [409]
    control.orders.done(Taken(trigger, event_id="ridge-07-3f9a-000007"))
    control.turn()
    assert [answer["data"] for answer in answers(control, "capture")] == [{"id": "ridge-07-3f9a-000007"}]


def test_a_burst_that_cannot_be_is_answered_with_the_reason(control: ControlDriver) -> None:
    control.say("cmd/capture", command())
    trigger = control.orders.next()
    assert trigger is not None
    control.orders.done(Taken(trigger, refusal=Refusal.CAMERA))
    control.turn()
    (answer,) = answers(control, "capture")
    assert (answer["code"], answer["error"]) == (422, "no burst: camera")


def test_a_burst_that_never_comes_is_answered_too(control: ControlDriver) -> None:
    control.say("cmd/capture", command())
    control.turn(3, after_s=60.0)
    assert answers(control, "capture")[0]["code"] == 500


def test_a_unit_that_cannot_reboot_says_so(control: ControlDriver) -> None:
    control.no_reboot = "no runtime folder"
    control.say("cmd/reboot", command())
    assert (control.reboots, answers(control, "reboot")[0]["code"]) == (0, 422)


def test_rebirth_says_everything_again(bench: Bench, control: ControlDriver) -> None:
    row = bench.session.outbox.put(Kind.CONTROL, "birth", b"{}", retain=True)
    bench.session.outbox.acknowledge([row])
    control.say("cmd/rebirth", command())
    assert bench.leaf("birth") == [b"{}"]
    assert control.rebirths == 1


@pytest.mark.parametrize("name", ["config_patch", "config_rollback"])
def test_what_changes_the_configuration_is_answered_reported_and_begun_anew(
    control: ControlDriver, name: str
) -> None:
    control.say(f"cmd/{name}", command())
    (answer,) = answers(control, name)
    assert (answer["code"], answer["data"]["version"]) == (202, 5)
    assert control.bench.leaf("config/reported") == [b'{"v":1,"version":4}']
    assert control.restarts == 1
    assert trail(control)[0]["version"] == 5


def test_before_the_link_has_proved_itself_nothing_goes_on_trial(control: ControlDriver) -> None:
    control.standing = frozenset({"link"})
    control.overlays.verdict = Considered(0, 5, "t1")
    control.say("cmd/config_patch", command())
    assert answers(control, "config_patch")[0]["code"] == 409
    assert control.restarts == 0
    assert control.overlays.asked[0][3] is False


# --- where the answer goes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("topic", "honoured"),
    [("trapd/v1/_reply/me", True), (f"{BASE}/mine", True), ("trapd/v1/ridge-08/cmd/reboot", False)],
)
def test_an_answer_goes_where_it_may(control: ControlDriver, topic: str, honoured: bool) -> None:
    control.say("cmd/ping", command(), response_topic=topic)
    assert len(answers(control)) == 1
    assert len(control.bench.leaf(f"@{topic}")) == int(honoured)


@pytest.mark.parametrize("name", ["ping", "config_patch"])
def test_an_answer_goes_to_no_other_commands_place_and_to_its_own_once(
    control: ControlDriver, name: str
) -> None:
    topic = f"{BASE}/res/{name}"
    control.say("cmd/ping", command(), response_topic=topic, correlation=b"who")
    own, there = control.bench.leaf("res/ping"), control.bench.leaf(f"@{topic}")
    assert (len(own), len(there)) == ((0, 1) if name == "ping" else (1, 0))


@pytest.mark.parametrize("name", ["ping", "no_such"])
def test_every_answer_says_whose_it_is(control: ControlDriver, name: str) -> None:
    """Those of a group's units come to one topic."""
    control.say(f"cmd/{name}", command(), base=GROUP, response_topic="trapd/v1/_reply/desk")
    control.turn(31, after_s=1.0)
    (shared,) = control.bench.leaf("@trapd/v1/_reply/desk")
    assert json.loads(shared)["unit"] == UNIT
    assert answers(control, name)[0]["unit"] == UNIT


def test_what_is_too_much_at_once_is_not_taken(control: ControlDriver) -> None:
    from trapd.ports import Received

    taken = [
        control.stage.offer(Received(f"{BASE}/cmd/ping", bytes(100_000), retained=False)) for _ in range(100)
    ]
    assert 30 <= sum(taken) <= 45
    control.turn(100)
    assert control.stage.offer(Received(f"{BASE}/cmd/ping", command(), retained=False))
