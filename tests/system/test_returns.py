"""A broker that is away for 20 s: how soon units are back once it is."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import pytest

from tests.figures import PROVE, tell
from tests.system.daemon import until
from tests.system.sender import Sender
from trapd.demo.broker import MosquittoBroker

pytestmark = [pytest.mark.slow, pytest.mark.rig, pytest.mark.alone]

OUTAGE_S = 20.0
UNITS = 30  # thrice the ten that are asked for: a median of ten is a matter of luck
OUTAGES = 10 if PROVE else 1
MEDIAN_S = 2.5
WORST_S = 6.0


def test_after_an_outage_of_20_s(tmp_path: Path, mosquitto: MosquittoBroker) -> None:
    """Units with a back-off drawn as the daemon's is; each goes through the outage on its own."""
    units = [Sender(tmp_path / f"{n}", mosquitto.port, unit=f"unit-{n:02d}") for n in range(UNITS)]
    returns: list[float] = []
    try:
        for unit in units:
            unit.start()
        for _ in range(OUTAGES):
            returns += outage(mosquitto, units)
    finally:
        for unit in units:
            unit.stop()
    median_s, worst_s = statistics.median(returns), max(returns)
    tell(
        f"back after an outage of {OUTAGE_S:.0f} s: {len(returns)} returns,"
        f" median {median_s:.2f} s, worst {worst_s:.2f} s"
    )
    assert median_s <= MEDIAN_S
    assert worst_s <= WORST_S


def outage(broker: MosquittoBroker, units: list[Sender]) -> list[float]:
    """Seconds from the broker's return to each unit's."""
    # An outage is over for the back-off when a publish was answered.
    until(lambda: all(unit.stage.online and answered(unit) for unit in units), "all units online")
    broker.stop()
    gone_s = time.monotonic()
    until(lambda: not any(unit.stage.online for unit in units), "the outage noticed", OUTAGE_S)
    until(lambda: time.monotonic() - gone_s > OUTAGE_S, "the outage")
    broker.start()
    back_s = time.monotonic()
    taken: dict[str, float] = {}

    def all_back() -> bool:
        for unit in units:
            if unit.stage.online:
                taken.setdefault(unit.unit, time.monotonic() - back_s)
        return len(taken) == len(units)

    until(all_back, "every unit")
    return list(taken.values())


def answered(unit: Sender) -> bool:
    return bool(unit.uplink.handed) and unit.uplink.handed[-1].answered_s is not None
