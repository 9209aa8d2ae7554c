"""One line that the runtime writes whenever it loads its first model, of no use to anybody, kept from stderr.

The runtime writes through the C library's `stderr`, a pointer, which stands for a file in memory meanwhile.
What Python and other programs write goes to descriptor 2, and is not touched: other threads do not matter.
One thread at a time; another one waits.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Iterator
from typing import Final

_NOTICE: Final = b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU."
_lock = threading.Lock()
_kept: list[tuple[int, int]] = []  # the file in memory and its stream: never closed, a thread may be writing


@contextlib.contextmanager
def without_notice() -> Iterator[None]:
    """What else comes is passed on at the end. Where the C library has no such pointer, all of it comes."""
    with _lock:
        try:
            library = ctypes.CDLL(None)
            pointer = ctypes.c_void_p.in_dll(library, "stderr")
            file, stream = _aside(library)
        except (OSError, ValueError, AttributeError):
            yield
            return
        before, pointer.value = pointer.value, stream
        try:
            yield
        finally:
            pointer.value = before
            library.fflush(ctypes.c_void_p(stream))
            _pass_on(file)


def _aside(library: ctypes.CDLL) -> tuple[int, int]:
    if not _kept:
        file = os.memfd_create("trapd-stderr")
        library.fdopen.restype = ctypes.c_void_p
        stream = library.fdopen(file, b"a+")
        if not stream:
            os.close(file)
            raise OSError("no stream")
        _kept.append((file, stream))
    return _kept[0]


def _pass_on(file: int) -> None:
    said = os.pread(file, 1 << 20, 0)
    os.ftruncate(file, 0)
    others = [line for line in said.splitlines(keepends=True) if line.strip() != _NOTICE]
    if others:
        with contextlib.suppress(OSError):  # a closed stderr is no reason to be without a model
            os.write(2, b"".join(others))
