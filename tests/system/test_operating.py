"""docs/operating.md, done as it says: a real Mosquitto with TLS, certificates and its rules, a real unit."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.brokers import Listener
from tests.system import page
from tests.system.daemon import BASE, until
from tests.system.desk import OTHER, Desk, taken
from tests.wire import payloads
from trapd.ports import Received
from trapd.records import State
from trapd.wire import schemas
from trapd.wire.codec import Availability

pytestmark = [pytest.mark.rig, pytest.mark.slow]

jsonschema = pytest.importorskip("jsonschema")

_KEY = re.compile(r"^ed25519:\S+$", re.MULTILINE)
_LISTENS, _KEYGEN, _RECEIPT, _REBOOT, _LEAVES = (
    "mosquitto_sub -v", "trapd keygen", "/receipt", "cmd/reboot", "--remove-retained"
)  # fmt: skip


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.close()


KEY = "ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="


def begin(desk: Desk, steps: Iterator[page.Step]) -> str:
    """The page up to the listening terminal: certificates, the key; then the broker runs. Gives the key."""
    key = ""
    for step in map(desk.step, steps):
        if step.script.startswith(_LISTENS):
            desk.broker.start()
            desk.show(step.script)
            return key
        done = desk.run(step.script)
        assert done.returncode == 0, done.stderr
        if _KEYGEN in step.script:
            key = _KEY.findall(done.stdout)[0]
    raise AssertionError("nothing listens on the page")


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_the_page_from_top_to_bottom(desk: Desk, photographs: Path, protocol: str, tmp_path: Path) -> None:
    """Each example gives what the page promises, and all that the unit sends has the published shape."""
    steps = page.steps()
    key = begin(desk, steps)
    daemon = desk.unit(photographs, key, mqtt={"protocol": 5 if protocol == "5" else protocol})
    everything = desk.listen("receiver")
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    daemon.start({"RUNTIME_DIRECTORY": str(runtime)})
    heard: list[Received] = []

    def events() -> list[dict[str, Any]]:
        heard.extend(taken(everything))
        said = [json.loads(each.payload) for each in heard if each.topic == f"{BASE}/event"]
        return [event for event in said if event["media"]]

    until(lambda: len(events()) >= 2, "events")
    desk.know(events()[-1])
    for step in map(desk.step, steps):
        if step.kind == "rr" and protocol != "5":
            continue
        if _LEAVES in step.script:
            assert daemon.stop() == 0
            until(lambda: said_last(desk, "availability") == b"stopped", "the goodbye")
        _run(desk, step, protocol)
        if _RECEIPT in step.script:
            wanted = desk.here("ridge-07-3f9a-000123")
            until(lambda: _delivered(desk, wanted), "the receipt noted")  # noqa: B023 - used at once
        if _REBOOT in step.script:
            until((runtime / "reboot").exists, "the word to whoever reboots")
    heard.extend(taken(everything))
    _nothing_is_retained(desk)
    _all_has_its_shape(heard)


def _run(desk: Desk, step: page.Step, protocol: str) -> None:
    before = len(desk.shown())
    done = desk.run(step.script)
    if _LEAVES not in step.script:
        assert done.returncode == 0, f"{step.script}\n{done.stderr}"
    if step.kind == "rr":
        answer = json.loads(done.stdout)
        assert (answer["txn"], answer["code"]) == ("ping-2", 200)
    for topic, promised in step.promised:
        if "/_reply/" in topic and protocol != "5":
            continue  # 3.1.1 has no response topic
        until(lambda: _was_shown(desk, before, topic, promised), f"{topic} {promised}")  # noqa: B023


def _was_shown(desk: Desk, before: int, topic: str, promised: dict[str, Any]) -> bool:
    return any(
        page.fits(promised, json.loads(payload))
        for name, payload in desk.shown()[before:]
        if name == topic and payload
    )


def said_last(desk: Desk, leaf: str) -> bytes | None:
    said = [payload for topic, payload in desk.shown() if topic == f"{BASE}/{leaf}"]
    return said[-1] if said else None


def _delivered(desk: Desk, event_id: str) -> bool:
    assert desk.daemon is not None
    return any(event.id == event_id and event.state is State.DELIVERED for event in desk.daemon.events())


def _nothing_is_retained(desk: Desk) -> None:
    """What comes to a new subscriber before its own word does."""
    late = desk.listen("keeper")
    late.say(f"{BASE}/probe", b"last")
    assert [each.topic for each in until_heard(late, b"last") if each.topic.startswith(BASE)] == []


def _all_has_its_shape(heard: list[Received]) -> None:
    seen: set[str] = set()
    for message in heard:
        base, _, leaf = message.topic.removeprefix("trapd/v1/").partition("/")
        if base not in ("ridge-07", "_reply"):
            continue
        seen.add(leaf.split("/")[0] if leaf.startswith(("thumb", "media", "alert")) else leaf)
        wrong = _wrong(leaf, message.payload)
        assert wrong == [], f"{message.topic} {message.payload[:500]!r}"
    answers = {f"res/{name}" for name in schemas.COMMANDS}
    assert seen >= answers | {
        "availability", "birth", "state", "event", "thumb", "media", "config/reported", "config/schema",
        "trail", "probe",
    }  # fmt: skip


def _wrong(leaf: str, payload: bytes) -> list[str]:
    """What is wrong with a message on this leaf."""
    match leaf.split("/"):
        case ["availability"]:
            return [] if not payload or payload.decode() in set(Availability) else ["no availability"]
        case ["thumb", _]:
            return [] if payload.startswith(b"\xff\xd8") else _faults("lost", payload)
        case ["media", _, "c", _] | ["probe"]:
            return []
        case ["config", "schema"]:
            if payload:
                jsonschema.Draft202012Validator.check_schema(json.loads(payload))
            return []
        case ["desk-1"] | ["desk-2"]:
            return _faults("res-ping", payload)
    name = schemas.name_of(leaf)
    if not payload:
        return []  # cleared
    if b'"lost"' in payload:
        name = {"event": "tombstone", "manifest": "lost"}.get(name or "", name)
    return ["no schema"] if name is None else _faults(name, payload)


def _faults(name: str, payload: bytes) -> list[str]:
    return [error.message for error in payloads.strict(name).iter_errors(json.loads(payload))]


# --- who may what ----------------------------------------------------------------------------------------

_NOT_THEIRS = [
    *((OTHER, f"{BASE}/{leaf}") for leaf in (
        "availability", "birth", "state", "alert/disk", "event", "thumb/x", "media/x/manifest", "media/x/c/0",
        "clock", "config/reported", "config/schema", "config/desired", "res/ping", "trail", "probe",
        "cmd/ping", "receipt",
    )),
    (OTHER, "trapd/v1/_group/valley/cmd/ping"), (OTHER, "trapd/v1/operator/event"), (OTHER, "trapd/v1"),
    ("operator", f"{BASE}/event"), ("operator", f"{BASE}/receipt"), ("operator", f"{BASE}/config/reported"),
    ("receiver", f"{BASE}/cmd/ping"), ("receiver", f"{BASE}/config/desired"), ("receiver", f"{BASE}/event"),
    ("receiver", "trapd/v1/_group/valley/cmd/ping"),
]  # fmt: skip


@pytest.fixture
def running(desk: Desk) -> Desk:
    """A broker as on the page, and no unit."""
    begin(desk, page.steps())
    return desk


def until_heard(ear: Listener, payload: bytes) -> list[Received]:
    """What `ear` has heard when `payload` comes, without that."""
    heard: list[Received] = []

    def has_come() -> bool:
        heard.extend(taken(ear))
        return any(each.payload == payload for each in heard)

    until(has_come, repr(payload))
    return [each for each in heard if each.payload != payload]


def test_nobody_writes_what_is_not_theirs(running: Desk) -> None:
    ear = running.listen("keeper")
    writers = {who: running.listen(who, "trapd/v1/none") for who in (OTHER, "operator", "receiver")}
    for who, topic in _NOT_THEIRS:
        writers[who].say(topic, f"{who} on {topic}".encode())
        writers[who].say(topic, f"{who} on {topic}, retained".encode(), retain=True)
    writers[OTHER].say(f"trapd/v1/{OTHER}/event", b"its own")
    assert until_heard(ear, b"its own") == []


def test_a_unit_hears_what_is_meant_for_it_and_nothing_else(running: Desk) -> None:
    unit, operator = running.listen(OTHER, "#"), running.listen("operator", "trapd/v1/none")
    keeper = running.listen("keeper", "trapd/v1/none")
    for leaf in ("cmd/ping", "config/desired"):
        operator.say(f"{BASE}/{leaf}", b"for ridge-07")
    for leaf in ("receipt", "probe", "availability", "event", "state", "config/reported", "res/ping"):
        keeper.say(f"{BASE}/{leaf}", b"for ridge-07")
    keeper.say("trapd/v1/_reply/desk-1", b"for the desk")
    own = [f"trapd/v1/{OTHER}/{leaf}" for leaf in ("cmd/ping", "config/desired", "receipt", "availability")]
    for topic in (*own, "trapd/v1/_group/valley/cmd/ping"):
        keeper.say(topic, b"for ridge-08")
    keeper.say(f"trapd/v1/{OTHER}/probe", b"last")
    heard = until_heard(unit, b"last")
    assert [each.topic for each in heard] == [*own, "trapd/v1/_group/valley/cmd/ping"]


def test_nobody_comes_in_without_a_certificate(running: Desk) -> None:
    for options in ("", "--cafile ca.crt", "--cafile ca.crt -u operator -P x"):
        script = f"env XDG_CONFIG_HOME=. mosquitto_pub -h localhost -p {running.port} {options} -t a -m b"
        assert running.run(script).returncode != 0


def test_a_stolen_unit_is_shut_out(running: Desk) -> None:
    ear, stolen = running.listen("keeper"), running.listen(OTHER, f"trapd/v1/{OTHER}/#")
    operator = running.listen("operator", "trapd/v1/none")
    stolen.say(f"trapd/v1/{OTHER}/event", b"before")
    assert until_heard(ear, b"before") == []
    running.rob()

    def is_shut_out() -> bool:
        """Mosquitto reads its rules in its own time."""
        operator.say(f"{BASE}/cmd/ping", b"begin")
        until_heard(ear, b"begin")
        stolen.say(f"trapd/v1/{OTHER}/event", b"after")
        operator.say(f"{BASE}/cmd/ping", b"end")
        return until_heard(ear, b"end") == []

    until(is_shut_out, "the new rules")
    operator.say(f"trapd/v1/{OTHER}/cmd/ping", b"for the thief")
    operator.say(f"{BASE}/cmd/ping", b"done")
    until_heard(ear, b"done")
    assert b"for the thief" not in [each.payload for each in taken(stolen)]


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_unit_works_fully_within_its_own(running: Desk, photographs: Path, protocol: str) -> None:
    """No leaf is refused, and what an earlier link's will says late is put right."""
    daemon = running.unit(photographs, KEY, mqtt={"protocol": 5 if protocol == "5" else protocol})
    ear = running.listen("keeper")
    daemon.start()
    heard: list[Received] = []

    def said(leaf: str) -> list[bytes]:
        heard.extend(taken(ear))
        return [each.payload for each in heard if each.topic == f"{BASE}/{leaf}"]

    until(lambda: len(said("event")) >= 2, "events")
    late_will = running.listen("ridge-07", "trapd/v1/none")
    late_will.say(f"{BASE}/availability", b"offline", retain=True)
    until(lambda: b"offline" in said("availability"), "the late will")
    until(lambda: said("availability")[-1] == b"online", "the unit's own word")
    assert daemon.stop() == 0
    until(lambda: said("availability")[-1] == b"stopped", "the goodbye")
    assert [each.topic for each in heard if "/alert/" in each.topic] == []
