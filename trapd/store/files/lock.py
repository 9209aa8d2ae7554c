"""The lock of one storage.path: one process has it, and it goes with the process. Any thread."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from trapd.errors import StoreLocked
from trapd.store.files.durable import disk_errors

LOCK = "lock"


def take(root: Path) -> int:
    """The file that holds the lock until it is closed. Raises StoreLocked, StoreError."""
    with disk_errors(f"lock {root}"):
        lock = os.open(root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(OSError):  # who has it is said for people; a full disk need not stop us
                os.pwrite(lock, f"{os.getpid():<15}\n".encode(), 0)
        except BlockingIOError:
            holder = _holder(lock) or "unknown"
            os.close(lock)
            raise StoreLocked(
                f"another trapd (process {holder}) uses {root}",
                "stop it, or give this one its own storage.path",
            ) from None
        except BaseException:
            os.close(lock)
            raise
        return lock


def in_use(root: Path) -> bool:
    """Whether another process has the store at `root` now."""
    try:
        lock = os.open(root / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return _holder(lock) != str(os.getpid())
    finally:
        os.close(lock)
    return False


def _holder(lock: int) -> str:
    return os.pread(lock, 32, 0).decode("ascii", "replace").strip()
