"""The receiver of the demo: an MQTT client of its own that writes down what really arrives.

It shares no code with the unit's uplink. Its callbacks run on paho's thread and only put into a queue, which
needs no bound: it holds what one unit sends in a minute. All else happens in the demo's thread, in `take`.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from trapd.errors import Unavailable

_RETRY_S = 0.1
_QUIET_S = 0.3


@dataclass(slots=True)
class Arrivals:
    """What came. `events`: for each event id its photographs' sha256 by media id, from its first arrival.

    `alerts`: what the unit complains of now, by name.
    """

    events: dict[str, dict[str, str]] = field(default_factory=dict)
    messages: int = 0
    repeats: int = 0
    thumbnails: set[str] = field(default_factory=set)
    alerts: dict[str, str] = field(default_factory=dict)
    malformed: int = 0

    def note(self, leaf: str, payload: bytes) -> None:
        """Write down one message; `leaf` is its topic below the unit's."""
        self.messages += 1
        if leaf == "event":
            self._note_event(payload)
        elif leaf.startswith("thumb/"):
            self.thumbnails.add(leaf.removeprefix("thumb/"))
        elif leaf.startswith("alert/"):
            self._note_alert(leaf.removeprefix("alert/"), payload)

    def _note_event(self, payload: bytes) -> None:
        try:
            event = json.loads(payload)
            event_id, media = event["id"], {medium["id"]: medium["sha256"] for medium in event["media"]}
        except (ValueError, LookupError, TypeError):
            self.malformed += 1
            return
        if event_id in self.events:
            self.repeats += 1
        else:
            self.events[event_id] = media

    def _note_alert(self, name: str, payload: bytes) -> None:
        if not payload:
            self.alerts.pop(name, None)
            return
        try:
            self.alerts[name] = str(json.loads(payload)["message"])
        except (ValueError, LookupError, TypeError):
            self.malformed += 1


class Subscriber:
    """One subscription to everything a unit writes, over as many connections as the broker has lives."""

    def __init__(self, port: int, topic: str) -> None:
        """`topic` is the unit's own, `<base>/<unit>`, without a slash at its end."""
        self.arrivals = Arrivals()
        self.port = port
        self._topic = topic
        self._came: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
        self._subscribed = threading.Event()
        self._client: mqtt.Client | None = None

    def connect(self, timeout_s: float) -> None:
        """Returns when the broker has confirmed the subscription. Raises Unavailable after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        self._subscribed.clear()
        self._client = client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id="trapd-demo-subscriber",
            protocol=mqtt.MQTTv5,
            reconnect_on_failure=False,
        )
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        while True:
            try:
                client.connect("127.0.0.1", self.port, keepalive=30, clean_start=True)
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    raise Unavailable(f"the demo's subscriber cannot reach its broker: {error}") from error
                time.sleep(_RETRY_S)
        client.loop_start()
        if not self._subscribed.wait(max(0.0, deadline - time.monotonic())):
            self.disconnect()
            raise Unavailable("the demo's broker did not confirm the subscription in time")

    def disconnect(self) -> None:
        """End the connection and its thread; may be called twice."""
        if self._client is not None:
            self._client.disconnect()
            self._client.loop_stop()
            self._client = None

    def take(self) -> int:
        """Write down what has come since; returns how many messages that were."""
        taken = 0
        while True:
            try:
                topic, payload = self._came.get_nowait()
            except queue.Empty:
                return taken
            self.arrivals.note(topic.removeprefix(f"{self._topic}/"), payload)
            taken += 1

    def settle(self, timeout_s: float) -> None:
        """Take until nothing has come for a moment, at most `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            try:
                topic, payload = self._came.get(timeout=_QUIET_S)
            except queue.Empty:
                return
            self.arrivals.note(topic.removeprefix(f"{self._topic}/"), payload)

    def _on_connect(self, client: mqtt.Client, _userdata: Any, _flags: Any, reason: Any, _props: Any) -> None:
        if not reason.is_failure:
            client.subscribe(f"{self._topic}/#", qos=1)

    def _on_subscribe(self, _client: Any, _userdata: Any, _mid: int, reasons: Any, _props: Any) -> None:
        if not any(reason.is_failure for reason in reasons):
            self._subscribed.set()

    def _on_message(self, _client: Any, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        self._came.put((message.topic, bytes(message.payload)))
