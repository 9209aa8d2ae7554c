"""The subscriber is subscribed when connect returns, over every life of a real broker."""

from __future__ import annotations

from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.system.daemon import until
from trapd.demo.broker import EmbeddedBroker, free_port
from trapd.demo.subscriber import Subscriber
from trapd.errors import Unavailable

WAIT_S = 60.0  # only so that nothing hangs


def publish(port: int, topic: str, payload: bytes) -> None:
    """Send one message as a unit would, and wait until the broker has it."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.connect("127.0.0.1", port)
    client.loop_start()
    client.publish(topic, payload, qos=1).wait_for_publish(WAIT_S)
    client.disconnect()
    client.loop_stop()


def test_what_is_published_right_after_connect_arrives_in_each_life_of_the_broker(tmp_path: Path) -> None:
    subscriber = Subscriber(free_port(), "trapd/v1/unit")
    broker = EmbeddedBroker(subscriber.port, tmp_path)
    try:
        for life in (1, 2):
            broker.start()
            subscriber.connect(WAIT_S)
            publish(broker.port, "trapd/v1/unit/event", b'{"id": "%d", "media": []}' % life)
            publish(broker.port, "trapd/v1/other/event", b'{"id": "not ours", "media": []}')
            until(lambda: bool(subscriber.take()), "the message")
            subscriber.settle(WAIT_S)
            subscriber.disconnect()
            broker.stop()
    finally:
        subscriber.disconnect()
        broker.stop()
    assert list(subscriber.arrivals.events) == ["1", "2"]
    assert subscriber.arrivals.messages == 2


def test_without_a_broker_it_gives_up_in_time() -> None:
    with pytest.raises(Unavailable, match="cannot reach its broker"):
        Subscriber(free_port(), "trapd/v1/unit").connect(0.3)
