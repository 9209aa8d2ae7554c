"""Whoever may publish, and means ill: nothing changes, one record of each attempt, no log line of theirs."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.figures import tell
from tests.stages.driver import BASE, Bench
from tests.stages.remote_driver import GROUP, RemoteDriver, local_file
from trapd.wire import signing

SEED, OTHER_SEED = bytes(range(32)), bytes(32)
DESIRED = "config/desired"
PERIOD = {"issued_at": "2023-11-01T00:00:00Z", "expires_at": "2126-11-25T00:00:00Z"}
LONGEST_LOG_LINE = 2000
ATTACKS = [0]

TEXTS = {
    "dots": "../../../etc/passwd",
    "null": "a\0b",
    "lone surrogate": "a\ud800b",
    "format": "%s%n%d {0.__class__} ${PATH} {session}",
    "ansi": "\x1b[2J\x1b]0;owned\x07\x1b[31m",
    "c1": "\x9b31m\x85next",
    "line feed": "x\n<0>kernel: all is well\r\nmore",
    "bidi": "\u202egnp.exe\u2066",
    "shell": "; rm -rf / & $(reboot) `reboot` | tee 'x' \"y\"",
    "wildcards": "#/+/$SYS",
    "sql": "'); DROP TABLE command; --",
    "long": "A" * 50_000,
}


def public(seed: bytes) -> str:
    from nacl.signing import SigningKey

    return signing.public_line(bytes(SigningKey(seed).verify_key))


@pytest.fixture
def remote(bench: Bench, tmp_path: Path) -> Iterator[RemoteDriver]:
    driver = RemoteDriver(bench, local_file(bench, tmp_path, trusted_keys=[public(SEED)]))
    yield driver
    driver.close()


@pytest.fixture(scope="module", autouse=True)
def figure_is_told() -> Iterator[None]:
    yield
    tell(f"control, hostile: {ATTACKS[0]} attacks, 0 had an effect, one record of each")


@pytest.fixture(autouse=True)
def log_stays_clean(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Of what arrives nothing reaches a log line that a terminal or a journal would obey, or drown in."""
    caplog.set_level(logging.DEBUG)
    yield
    for record in caplog.get_records("call"):
        line = record.getMessage()
        assert len(line) <= LONGEST_LOG_LINE, line[:200]
        assert all(character.isprintable() for character in line), ascii(line[:200])
        assert record.exc_info is None, line


def document(version: Any = 1, **fields: Any) -> dict[str, Any]:
    return {"v": 1, "version": version, "txn": "t", "doc": {"heartbeat_s": 77}} | fields


def command(**fields: Any) -> dict[str, Any]:
    return {"txn": "t", "args": {}} | fields


def state(remote: RemoteDriver) -> tuple[object, ...]:
    """All that somebody might want to change."""
    root = remote.bench.store.root
    files = [name for name in remote.bench.files() if name != "config/attempts.json"]
    config = {name: (root / name).read_bytes() for name in files if name.startswith("config/")}
    overlays, orders = remote.overlays, remote.orders
    present = (overlays.version, overlays.on_trial, orders.armed, orders.next())
    return files, config, present, remote.restarts, remote.reboots


def refused(remote: RemoteDriver, act: Callable[[], None], *codes: int) -> dict[str, Any]:
    """`act` has no effect, and leaves exactly one record, with one of `codes`. Gives that record."""
    before, records = state(remote), remote.records()
    ATTACKS[0] += 1
    act()
    for _ in range(3):
        remote.pass_by(20.0)
    assert state(remote) == before
    new = remote.records()[len(records) :]
    assert len(new) == 1, new
    assert new[0]["code"] in codes, new
    assert len(json.dumps(new[0])) < 4000
    _still_obeys(remote)
    return new[0]


def _still_obeys(remote: RemoteDriver) -> None:
    txn = f"alive-{len(remote.records())}"
    remote.say("cmd/ping", command(txn=txn))
    assert remote.records()[-1]["txn"] == txn
    assert remote.records()[-1]["code"] == 200


def committed(remote: RemoteDriver, version: int) -> None:
    """Bring a document into force, the regular way."""
    remote.say(DESIRED, document(version, txn=f"v{version}", doc={"heartbeat_s": 60 + version}))
    remote.settle()
    assert remote.overlays.version == version


# --- replay and forgery ------------------------------------------------------------------------------------


def test_an_old_version_said_again_changes_nothing(remote: RemoteDriver) -> None:
    old = signing.sign(f"{BASE}/{DESIRED}", document(1, txn="v1", doc={"log_level": "error"}, **PERIOD), SEED)
    remote.say(DESIRED, old)
    remote.settle()
    committed(remote, 2)
    refused(remote, lambda: remote.say(DESIRED, old, retained=True), 409)
    assert remote.overlays.version == 2


@pytest.mark.parametrize("retained", [False, True])
@pytest.mark.parametrize("forged", ["key", "unit", "leaf", "changed", "nonsense", "empty"])
def test_a_forged_document(remote: RemoteDriver, forged: str, retained: bool) -> None:
    topic = {"unit": "trapd/v1/ridge-08/config/desired", "leaf": f"{BASE}/cmd/config_patch"}.get(
        forged, f"{BASE}/{DESIRED}"
    )
    made = signing.sign(topic, document(3, **PERIOD), OTHER_SEED if forged == "key" else SEED)
    forgeries: dict[str, dict[str, Any]] = {
        "changed": {"version": 4},
        "nonsense": {"sig": {"kid": "%s\x1b[0m", "b64": "../.."}},
        "empty": {"sig": {}},
    }
    made |= forgeries.get(forged, {})
    refused(remote, lambda: remote.say(DESIRED, made, retained=retained), 401)


def test_another_units_topic_is_not_ours(remote: RemoteDriver) -> None:
    """A broker without access rules hands over nothing of it; should it all the same, nothing is obeyed."""
    before, records = state(remote), remote.records()
    for topic in ("trapd/v1/ridge-08/cmd/reboot", "trapd/v1/ridge-08/config/desired", "trapd/v1/#", "", "/"):
        remote.hear(topic, json.dumps(command()).encode())
    assert (state(remote), remote.records()) == (before, records)


def test_a_retained_command(remote: RemoteDriver) -> None:
    for name in ("reboot", "disarm", "config_rollback"):
        record = refused(remote, partial(remote.say, f"cmd/{name}", command(), retained=True), 400)
        assert record["message"] == "retained"


def test_clearing_a_retained_command_is_no_attempt(remote: RemoteDriver) -> None:
    """The operator does what the log told them to."""
    remote.hear(f"{BASE}/cmd/reboot", b"", retained=True)
    assert remote.records() == []


# --- what is in it -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "place",
    [
        "txn",
        "issued_at",
        "expires_at",
        "confirm",
        "v",
        "key",
        "doc key",
        "deep key",
        "value",
        "choice",
        "host",
    ],
)
def test_strings_in_a_document(remote: RemoteDriver, place: str) -> None:
    for text in TEXTS.values():
        made = {
            "key": document(**{text: 1}),
            "doc key": document(doc={text: 1}),
            "deep key": document(doc={"mqtt": {text: {text: text}}}),
            "value": document(doc={"heartbeat_s": text}),
            "choice": document(doc={"log_level": text}),
            "host": document(doc={"mqtt": {"host": f"{text} x"}}),
        }.get(place) or document(**{place: text})
        if place == "txn" and text.isprintable() and len(text) <= 128:
            made["doc"] = {"heartbeat_s": text}  # such a name is good; what it names must not be
        refused(remote, partial(remote.say, DESIRED, made), 400)


@pytest.mark.parametrize(
    "name", ["config_patch", "config_confirm", "config_rollback", "capture", "media_get"]
)
def test_strings_in_a_command(remote: RemoteDriver, name: str) -> None:
    for number, text in enumerate(TEXTS.values()):
        args = {
            "config_patch": {"base": 0, "version": 1, "patch": {text: {text: text}}},
            "config_confirm": {"version": text},
            "media_get": {"ids": [text[:128]], "chunks": {text[:128]: [[0, 1]]}},
        }.get(name, {text: text})
        made = command(txn=f"t{number}", args=args)
        refused(remote, partial(remote.say, f"cmd/{name}", made), 400, 404, 409)


def test_strings_as_a_commands_name(remote: RemoteDriver) -> None:
    """One level of a topic, whatever a broker lets through."""
    for text in TEXTS.values():
        topic = f"{BASE}/cmd/{text.replace('/', '')}"
        record = refused(remote, partial(remote.hear, topic, json.dumps(command()).encode()), 404)
        assert record["leaf"] == "cmd/?"


def test_strings_in_a_txn_and_a_response_topic(remote: RemoteDriver) -> None:
    for text in TEXTS.values():
        made = command(txn=text, args={"x": text})
        refused(remote, partial(remote.say, "cmd/reboot", made, response_topic=f"{BASE}/{text}"), 400)


def test_strings_in_a_receipt(remote: RemoteDriver) -> None:
    """A receipt is no attempt at control: counted, and nothing else."""
    event = remote.bench.kept()
    for text in TEXTS.values():
        short = text[:128]
        for made in ({"ids": [text]}, {"ids": [short]}, {"epoch": short, "upto": 10**9}, {text: text}):
            remote.say("receipt", made)
    assert [found.id for found in remote.bench.events()] == [event.id]
    assert remote.records() == []
    _still_obeys(remote)


@pytest.mark.parametrize("topic", ["cmd/reboot", DESIRED, "event", "availability", "receipt", "probe"])
def test_an_answer_goes_to_nobody_elses_leaf(remote: RemoteDriver, topic: str) -> None:
    """The unit must not be made to command itself, nor to speak where something else is told."""
    remote.say("cmd/ping", command(), response_topic=f"{BASE}/{topic}")
    assert [row for row in remote.link.waiting() if row.startswith("@")] == []


# --- how much of it ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("leaf", [DESIRED, "cmd/config_patch", "cmd/reboot", "cmd/media_get"])
@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"A" * 2**20, 413),
        (b'{"txn":"' + b"A" * 200_000 + b'"}', 400),
        (b"[" * 200_000, 400),
        (b'{"a":' * 40_000 + b"1" + b"}" * 40_000, 400),
        (b'{"txn":"t","args":' + b'{"a":' * 300 + b"1" + b"}" * 301, 400),
        (b'{"v":1,"version":1,"txn":"t","doc":' + b'{"a":' * 300 + b"1" + b"}" * 301, 400),
        (b"\xff\xfe\0\0", 400),
        (b'{"txn":"t","txn":"u"}', 400),
        (b'{"txn":NaN}', 400),
        (b'{"version":' + b"9" * 5000 + b"}", 400),
        (b'{"version":1e999}', 400),
    ],
    ids=["1 MiB", "long", "brackets", "nested", "args", "doc", "bytes", "twice", "nan", "digits", "float"],
)
def test_payloads(remote: RemoteDriver, leaf: str, payload: bytes, code: int) -> None:
    refused(remote, lambda: remote.hear(f"{BASE}/{leaf}", payload), code)


@pytest.mark.parametrize(
    "version",
    [10**15, 1_000_001, 2**53 - 1, 2**53, -1, 0, -(10**15), 1.0, 1e15, True, None, "1", "1; reboot", [1], {}],
    ids=repr,
)
def test_versions(remote: RemoteDriver, version: Any) -> None:
    refused(remote, lambda: remote.say(DESIRED, document(version)), 400, 409)
    committed(remote, 1)  # the way is not closed


@pytest.mark.parametrize(("faults", "code"), [(900, 400), (15_000, 413)])
def test_many_faults_are_not_as_many_lines(remote: RemoteDriver, faults: int, code: int) -> None:
    doc = {f"k{number}": number for number in range(faults)}
    refused(remote, lambda: remote.say(DESIRED, document(doc=doc)), code)
    assert len(remote.overlays.report()) < 50_000
    patch = command(args={"base": 0, "version": 1, "patch": doc})
    refused(remote, lambda: remote.say("cmd/config_patch", patch), code)
    assert all(len(payload) < 50_000 for payload in remote.bench.leaf("res/config_patch"))


def test_an_answer_to_a_patch_is_short(remote: RemoteDriver) -> None:
    """Every fault at once, and still something that a thin link carries."""
    doc = {f"k{number}": number for number in range(300)}
    remote.say("cmd/config_patch", command(args={"base": 0, "version": 1, "patch": doc}))
    (found,) = [json.loads(payload) for payload in remote.bench.leaf("res/config_patch")]
    assert len(found["data"]["errors"]) == 51


def test_a_flood_of_groups(remote: RemoteDriver) -> None:
    for number in range(200):
        made = json.dumps(command(txn=f"t{number}")).encode()
        remote.hear(f"trapd/v1/_group/{GROUP}/cmd/capture", made)
    remote.pass_by(31.0)
    remote.pass_by(31.0)
    assert sum(remote.orders.next() is not None for _ in range(100)) <= 4
