"""A process that ends in the middle of what it does to the disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from trapd.store.files import durable


class Killed(BaseException):
    """kill -9, as far as one process can play it: nothing below may go on."""


@contextmanager
def killed_at(call: int, *, behind: bool = False) -> Iterator[Callable[[], bool]]:
    """The process ends at this call that changes the disk (0 is the first), or right behind it.

    A file that was being written is there with half of its bytes. Gives whether it has come to that, which is
    not told as an error.
    """
    asked = 0

    def counted(right: Callable[..., Any]) -> Callable[..., Any]:
        def maybe(*args: Any, **more: Any) -> Any:
            nonlocal asked
            asked += 1
            if asked <= call:
                return right(*args, **more)
            if behind:
                right(*args, **more)
            elif right is written:
                file, data = args
                with file.open("wb") as half:
                    half.write(data[: len(data) // 2])
            raise Killed

        return maybe

    written = durable.write_new
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in (
            (durable, "write_new"),
            (durable, "sync_folder"),
            (Path, "replace"),
            (Path, "unlink"),
            (os, "mkdir"),
        ):
            patch.setattr(owner, name, counted(getattr(owner, name)))
        with suppress(Killed):
            yield lambda: asked > call
