"""A start after a crash, a burst, and a good end, to be recorded.

`python -m tests.crash.restart ROOT [--bug NAME]`.
"""

from __future__ import annotations

import sys

from tests.crash.workload import AMPLE_BYTES, begin, life
from tests.fakes.clock import FakeClock


def main() -> None:
    """Recover on the day of the first life, take a burst and deliver it."""
    with life(begin().root, FakeClock(), clean=True, max_bytes=AMPLE_BYTES) as it:
        if it is None:
            sys.exit("the store could not start")
        it.record()
        it.settle(keep=True)
        it.acknowledge(1)


if __name__ == "__main__":
    main()
