"""Small facts about the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from trapd.host import vitals


def test_facts_are_plausible_or_absent(tmp_path: Path) -> None:
    assert vitals.disk_free_bytes(tmp_path) > 0
    resident = vitals.resident_bytes()
    assert resident is None or 1_000_000 < resident < 10_000_000_000
    assert vitals.load_1min() >= 0
    celsius = vitals.cpu_celsius()
    assert celsius is None or -60 < celsius < 150
    assert set(vitals.environment()) <= {"cpu_c"}


@pytest.mark.parametrize(
    ("text", "free"),
    [
        ("MemTotal: 437440 kB\nCmaTotal: 262144 kB\nCmaFree:  120000 kB\n", 120_000 * 1024),
        ("MemTotal: 437440 kB\n", None),
        ("CmaFree:\n", None),
        ("CmaFree: much kB\n", None),
    ],
)
def test_the_cameras_memory_is_read_where_the_kernel_keeps_some(
    tmp_path: Path, text: str, free: int | None
) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text(text)
    assert vitals.cma_free_bytes(meminfo) == free
    assert vitals.cma_free_bytes(tmp_path / "absent") is None
