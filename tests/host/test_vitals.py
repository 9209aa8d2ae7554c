"""Small facts about the machine."""

from __future__ import annotations

from pathlib import Path

from trapd.host import vitals


def test_facts_are_plausible_or_absent(tmp_path: Path) -> None:
    assert vitals.disk_free_bytes(tmp_path) > 0
    resident = vitals.resident_bytes()
    assert resident is None or 1_000_000 < resident < 10_000_000_000
    assert vitals.load_1min() >= 0
    celsius = vitals.cpu_celsius()
    assert celsius is None or -60 < celsius < 150
    assert set(vitals.environment()) <= {"cpu_c"}
