"""What an operator might send, and what becomes of it in hostile or broken hands. Seeded: always the same."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any

from tests.stages.driver import BASE
from tests.stages.remote_driver import GROUP
from trapd.wire import signing

SEED = bytes(range(32))
SIGNED_SHARE = 0.1

NASTY: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**31, 2**53, -(2**53), 10**15, 1e308, -0.0, 0.1, 1e-320, "", " ", "0",
    "a" * 129, "a" * 5000,
    "../" * 20, "\0", "\ud800", "\U0001f600", "\x1b[31m", "%s%n", "{0}", "$(reboot)", "#", "+", "a/b",
    "true", "null", "NaN", "2026-11-22T05:13:22Z", "9999-12-31T23:59:59-23:59",
    "0001-01-01T00:00:00+23:59",
    "2026-W01", "nowhere", [], {}, [[]], [{}], {"": {}}, [None] * 50, list(range(300)),
    {"a": {"b": {"c": {}}}},
    {"sig": {}}, "ed25519:" + "A" * 43 + "=",
)  # fmt: skip

DOCS: tuple[dict[str, Any], ...] = (
    {},
    {"heartbeat_s": 60},
    {"log_level": "debug"},
    {"mqtt": {"host": "10.0.0.1", "port": 8883, "keepalive_s": 30}},
    {"trigger": {"cooldown_s": 5, "max_per_hour": 60}, "burst": {"frames": 5, "interval_s": 1}},
    {"filter": {"threshold": 0.5, "classes": ["animal", "person"]}},
    {"publish": {"media": "all", "chunk_bytes": 4096, "bytes_per_day": 10_000_000}},
    {"camera": {"size": [1920, 1080], "filter_size": [640, 360], "focus": 2.5}},
    {"unit": {"name": "Ridge", "groups": ["valley", "ridge"], "timezone": "Asia/Harbin"}},
    {"storage": {"max_bytes": 10**9}},
    {"remote": {"confirm_s": 300, "locked": ["mqtt.host"]}},
    {"remote": {"require_signature": True}},
)
ARGS: dict[str, tuple[dict[str, Any], ...]] = {
    "config_patch": (
        {"base": 0, "version": 1, "patch": {"heartbeat_s": 90}},
        {"base": 0, "version": 2, "patch": {"mqtt": {"port": None}}},
        {"base": 0, "version": 3, "patch": {}},
    ),
    "config_confirm": ({}, {"version": 1}),
    "media_get": (
        {"ids": ["ridge-07-3f9a-000001-0"]},
        {"ids": ["a", "b"], "chunks": {"a": [[0, 3], [7, 7]]}},
    ),
}
NAMES = (
    "ping", "capture", "status", "media_get", "config_patch", "config_confirm", "config_rollback", "arm",
    "disarm", "rebirth", "reboot",
)  # fmt: skip
TOPICS = ("cmd/", "cmd/PING", "cmd/a/b", "cmd/\x1b", "config", "config/reported", "event", "..", "")


@dataclass(frozen=True, slots=True)
class Said:
    """One message."""

    topic: str
    payload: bytes
    retained: bool = False
    response_topic: str | None = None


class Sender:
    """`version` is the one in force and `next_version` above all tried: what is valid follows the unit."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.version = 0
        self.next_version = 1
        self._count = 0
        self._before: list[Said] = []

    def next(self) -> Said:
        """The next message: as it should be, changed a little, changed a lot, said before, or rubbish."""
        draw = self.draw
        if self._before and draw.random() < 0.05:
            return draw.choice(self._before)
        leaf, document, retained = self._sound()
        if draw.random() < SIGNED_SHARE:
            document |= {"issued_at": "2023-11-01T00:00:00Z", "expires_at": "2126-11-01T00:00:00Z"}
            document = signing.sign(f"{BASE}/{leaf}", document, SEED)
        for _ in range(draw.choice((0, 1, 1, 1, 2, 5))):
            document = self._changed(document)
        payload = json.dumps(document, ensure_ascii=draw.random() < 0.5 or _half(document)).encode()
        if draw.random() < 0.15:
            payload = self._broken(payload)
        topic = f"{BASE}/{leaf}"
        if leaf.startswith("cmd/") and draw.random() < 0.1:
            topic = f"trapd/v1/_group/{GROUP}/{leaf}"
        elif draw.random() < 0.03:
            topic = f"{BASE}/{draw.choice(TOPICS)}"
        answer_to = draw.choice((None, None, None, f"{BASE}/x", "trapd/v1/_reply/me", "elsewhere", "#", ""))
        said = Said(topic, payload, retained, answer_to)
        self._before = [*self._before[-20:], said]
        return said

    def _sound(self) -> tuple[str, dict[str, Any], bool]:
        draw = self.draw
        self._count += 1
        kind = draw.random()
        if kind < 0.4:
            version = self.next_version if draw.random() < 0.6 else draw.randrange(self.next_version + 3)
            document = {"v": 1, "version": version, "txn": f"d{self._count}", "doc": draw.choice(DOCS)}
            if draw.random() < 0.2:
                document["confirm"] = "operator"
            return "config/desired", document, draw.random() < 0.7
        if kind < 0.45:
            receipt = draw.choice(({"ids": ["a", "b"]}, {"epoch": "3f9a", "upto": 7}))
            return "receipt", dict(receipt), False
        name = draw.choice(NAMES)
        args = dict(draw.choice(ARGS.get(name, ({},))))
        if name == "config_patch":
            args |= {"base": self.version, "version": self.next_version}
        return f"cmd/{name}", {"txn": f"c{self._count}", "args": args}, draw.random() < 0.02

    def _changed(self, value: Any) -> Any:
        """The same with one thing in it replaced, removed, added, repeated or wrapped; at any depth."""
        draw = self.draw
        below = (
            list(value)
            if isinstance(value, dict)
            else list(range(len(value)))
            if isinstance(value, list)
            else []
        )
        if below and draw.random() < 0.75:
            key = draw.choice(below)
            made = value.copy()
            made[key] = self._changed(made[key])
            return made
        act = draw.randrange(6)
        if isinstance(value, dict) and act < 3:
            made = dict(value)
            if act == 0 and made:
                del made[draw.choice(below)]
            elif act == 1 and made:
                name = str(draw.choice(below))
                made[name[:-1] + draw.choice("sx_")] = made[name]
            else:
                made[str(draw.choice(NASTY))[:2000]] = draw.choice(NASTY)
            return made
        if isinstance(value, list) and act < 3:
            return value * draw.choice((0, 2, 30))
        if isinstance(value, int | float) and not isinstance(value, bool) and act < 4:
            return value + draw.choice((-1, 1, 0.5, 10**6, -(10**6), 2**53))
        if isinstance(value, str) and act < 3:
            at = draw.randrange(len(value) + 1)
            return value[:at] + draw.choice(("\0", "é", "\ud83d", "/", " ", "x" * 200, "\n")) + value[at:]
        if act == 4:
            return {"a": value} if draw.random() < 0.5 else [value]
        return draw.choice(NASTY)

    def _broken(self, payload: bytes) -> bytes:
        draw = self.draw
        act = draw.randrange(8)
        if act == 0:
            return payload[: draw.randrange(len(payload) + 1)]
        if act == 1:
            at = draw.randrange(len(payload))
            return payload[:at] + bytes([draw.randrange(256)]) + payload[at + 1 :]
        if act == 2:
            return draw.randbytes(draw.randrange(300))
        if act == 3:
            return b'{"a":' * draw.choice((20, 40, 900, 20_000)) + payload
        if act == 4:
            return payload[:-1] + b"," + payload[1:]  # every key twice
        if act == 5:
            return payload[:-1] + b',"x":[' + b"1.5," * draw.choice((5, 2000, 50_000)) + b"1]}"
        if act == 6:
            names = ",".join(f'"k{number}":{number}' for number in range(draw.choice((5, 900, 15_000))))
            return payload[:-1] + b',"doc":{' + names.encode() + b"}}"
        return draw.choice((b"", b"null", b"[]", b'""', b"NaN", b"{}", b"\xef\xbb\xbf{}", payload * 2))


def _half(document: Any) -> bool:
    """Whether it holds half a character, which only an escape can say."""
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False
