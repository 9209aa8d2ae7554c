"""What connections to a large database cost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# As many connections as the daemon has; each looks through all of a database that is larger than any cache.
_LOOKED_THROUGH = """
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from trapd.store.sqlite.database import Database

def resident_kb():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))

file = Path(sys.argv[1])
with closing(Database.open(file)) as database, database.write() as connection:
    connection.execute("CREATE TABLE some (row INTEGER PRIMARY KEY, what BLOB)")
    connection.executemany("INSERT INTO some (what) VALUES (?)", ((bytes(1000),) for _ in range(5000)))
with ExitStack() as stack:
    looking = [stack.enter_context(closing(Database.open(file))) for _ in range(8)]
    assert [one.number("SELECT row FROM some LIMIT 1") for one in looking] == [1] * 8
    before_kb = resident_kb()
    assert [one.number("SELECT sum(length(what)) FROM some") for one in looking] == [5_000_000] * 8
    print(resident_kb() - before_kb)
"""


def test_what_looks_through_a_large_database_keeps_little_of_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LOOKED_THROUGH, str(tmp_path / "some.db")],
        check=True,
        capture_output=True,
        text=True,
    )
    assert int(done.stdout) < 4000
