"""The pages of a mapped file go, and come again when they are looked at."""

from __future__ import annotations

import mmap
import os
import sys
from pathlib import Path

import pytest

from trapd.backends.tflite.mapping import let_go

PAGES = 64
SIZE = PAGES * mmap.PAGESIZE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is mapped")


def resident_kb(path: Path) -> int:
    """Of this file's mappings."""
    found, inside = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first = line.split()[0]
        if "-" in first and not first.endswith(":"):
            inside = line.endswith(f" {path}")
        elif inside and first == "Rss:":
            found += int(line.split()[1])
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "a model.tflite"
    file.write_bytes(os.urandom(SIZE))
    return file


def test_pages_that_are_not_looked_at_again_are_given_back(path: Path) -> None:
    with path.open("rb") as file, mmap.mmap(file.fileno(), SIZE, prot=mmap.PROT_READ) as mapped:
        before = bytes(mapped)
        assert resident_kb(path) * 1024 == SIZE
        assert let_go(path) == SIZE
        assert resident_kb(path) == 0
        assert bytes(mapped) == before


def test_what_was_written_into_a_mapping_is_not_lost(path: Path) -> None:
    with path.open("rb") as file, mmap.mmap(file.fileno(), SIZE, access=mmap.ACCESS_COPY) as mapped:
        mapped[0:4] = b"mine"
        assert let_go(path) == 0
        assert mapped[0:4] == b"mine"


def test_a_file_that_is_not_mapped_is_no_matter(path: Path) -> None:
    assert let_go(path) == 0
