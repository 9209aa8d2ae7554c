"""What connections to a large database cost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_PREAMBLE = """
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from trapd.store.sqlite.database import Database

def memory_kb(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))

file = Path(sys.argv[1])
with closing(Database.open(file)) as database, database.write() as connection:
    connection.execute("CREATE TABLE some (row INTEGER PRIMARY KEY, what BLOB)")
    connection.executemany("INSERT INTO some (what) VALUES (?)", ((bytes(1000),) for _ in range(5000)))
"""

# As many connections as the daemon has; each looks through all of a database that is larger than any cache.
_LOOKED_THROUGH = (
    _PREAMBLE
    + """
with ExitStack() as stack:
    looking = [stack.enter_context(closing(Database.open(file))) for _ in range(8)]
    assert [one.number("SELECT row FROM some LIMIT 1") for one in looking] == [1] * 8
    before_kb = memory_kb("VmRSS")
    assert [one.number("SELECT sum(length(what)) FROM some") for one in looking] == [5_000_000] * 8
    print(memory_kb("VmRSS") - before_kb)
"""
)


# Written and read through once each; 5 MB.
_COPIED = (
    _PREAMBLE
    + """
with closing(Database.open(file)) as database:
    database.copy_to(file.with_name("first"), lambda: None)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before_kb = memory_kb("VmRSS")
    database.copy_to(file.with_name("copy"), lambda: None)
    with closing(Database.open_read_only(file.with_name("copy"))) as copy:
        copy.check_whole()
    print(memory_kb("VmHWM") - before_kb)
"""
)


def kilobytes(code: str, folder: Path) -> int:
    command = [sys.executable, "-c", code, str(folder / "some.db")]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_what_looks_through_a_large_database_keeps_little_of_it(tmp_path: Path) -> None:
    assert kilobytes(_LOOKED_THROUGH, tmp_path) < 4000


def test_a_copy_of_a_large_database_is_made_and_checked_in_little(tmp_path: Path) -> None:
    assert kilobytes(_COPIED, tmp_path) < 800
