"""The machine's clocks."""

from __future__ import annotations

import threading
import time

from trapd.host.clock import SystemClock
from trapd.records import TsQuality


def test_both_clocks_move_forward_and_agree_with_the_machines() -> None:
    clock = SystemClock()
    first, second = clock.now(), clock.now()
    assert second.boot_ns >= first.boot_ns
    assert abs(first.wall_ms - time.time() * 1000) < 5000
    assert first.boot_id == second.boot_id
    assert first.boot_id


def test_quality_is_one_of_the_contracts_words() -> None:
    assert SystemClock().quality() in set(TsQuality)


def test_waiting_ends_with_the_event_or_the_time() -> None:
    event = threading.Event()
    assert not SystemClock().wait(event, 0.001)
    event.set()
    assert SystemClock().wait(event, 30)
