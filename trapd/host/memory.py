"""Keeping the process small: the C library gives back what it does not need. Main thread, before any other.

glibc gives each thread an arena of its own, and each keeps what was freed in it: on a machine with 512 MB
that is a fifth of the daemon. One arena serves all (Python's threads take turns anyway), large blocks are
mapped apart, and what is free at the end goes back at once; what is free in the middle, when asked.
"""

from __future__ import annotations

import ctypes

# mallopt(3)
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_KEEP_BYTES = 131_072
_MAPPED_FROM_BYTES = 65_536


def keep_small() -> bool:
    """Tell the C library; False where it is another that knows none of it."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    told = [
        mallopt(parameter, value)
        for parameter, value in (
            (_ARENA_MAX, 1),
            (_MMAP_THRESHOLD, _MAPPED_FROM_BYTES),
            (_TRIM_THRESHOLD, _KEEP_BYTES),
        )
    ]
    return all(told)


def give_back() -> bool:
    """Free pages in the middle of the arena go back too: some megabytes after a start. Takes milliseconds.

    Called now and then, on Heartbeat's thread. False where the C library knows none of it.
    """
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return False
    trim(ctypes.c_size_t(0))
    return True
