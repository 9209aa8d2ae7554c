"""The C library is told to give back what is not needed."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# Six threads that ask for memory at once; glibc reserves 64 MB of addresses for each further arena.
_THREADS = """
import sys, threading
from trapd.host.memory import keep_small
if sys.argv[1] == "small":
    assert keep_small()
barrier = threading.Barrier(6)
def work():
    barrier.wait()
    for _ in range(40):
        held = [bytes(30_000) for _ in range(300)]
threads = [threading.Thread(target=work) for _ in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
for line in open("/proc/self/status"):
    if line.startswith("VmSize"):
        print(int(line.split()[1]))
"""


def size_kb(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", _THREADS, how], check=True, capture_output=True, text=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is another")
def test_threads_share_one_arena() -> None:
    assert size_kb("small") < size_kb("as it is") - 100_000


_FREED = """
import sys
from trapd.host import memory
memory.keep_small()
held = [bytes(3_000) for _ in range(20_000)]
kept = held[::500]
del held
if sys.argv[1] == "given back":
    assert memory.give_back()
for line in open("/proc/self/status"):
    if line.startswith("VmRSS"):
        print(int(line.split()[1]))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is another")
def test_what_is_free_between_what_is_held_goes_back() -> None:
    def resident_kb(how: str) -> int:
        done = subprocess.run([sys.executable, "-c", _FREED, how], check=True, capture_output=True, text=True)
        return int(done.stdout)

    assert resident_kb("given back") < resident_kb("as it is") - 40_000
