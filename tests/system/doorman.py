"""What stands before some brokers: sees how a client introduces itself, and turns away whom it does not like.

Mosquitto takes every protocol and any keep-alive; hosted brokers do not. Who is let through talks to the real
broker.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass

HOST = "127.0.0.1"
WITHIN_S = 60.0  # only so that nothing hangs
_FIVE = 5
_UNSPECIFIED, _UNACCEPTABLE_PROTOCOL = 0x83, 0x01


@dataclass(frozen=True, slots=True)
class Introduction:
    """Of a CONNECT: the protocol's level (4 is 3.1.1) and the keep-alive."""

    level: int
    keepalive_s: int


class Doorman:
    """On `port` until `close`; `welcome` decides."""

    def __init__(self, to_port: int, welcome: Callable[[Introduction], bool]) -> None:
        self._to_port = to_port
        self._welcome = welcome
        self._ready = threading.Event()
        self._stop: Callable[[], None] = lambda: None
        self.port = 0
        self.turned_away = 0
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="doorman")
        self._thread.start()
        assert self._ready.wait(WITHIN_S)

    def close(self) -> None:
        self._stop()
        self._thread.join(WITHIN_S)

    async def _run(self) -> None:
        loop, over = asyncio.get_running_loop(), asyncio.Event()

        def stop() -> None:
            loop.call_soon_threadsafe(over.set)

        self._stop = stop
        server = await asyncio.start_server(self._take, HOST, 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await over.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _take(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._see_in(near, back)
        finally:
            back.close()

    async def _see_in(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        head = await near.readexactly(2)
        while head[-1] & 0x80:  # the length goes on
            head += await near.readexactly(1)
        body = await near.readexactly(10)  # name, level, flags, keep-alive
        found = Introduction(body[6], int.from_bytes(body[8:10], "big"))
        if not self._welcome(found):
            self.turned_away += 1
            five = found.level == _FIVE
            back.write(bytes((0x20, 3, 0, _UNSPECIFIED, 0) if five else (0x20, 2, 0, _UNACCEPTABLE_PROTOCOL)))
            await back.drain()
            return
        far, forth = await asyncio.open_connection(HOST, self._to_port)
        try:
            forth.write(head + body)
            await asyncio.gather(_pass_on(near, forth), _pass_on(far, back))
        finally:
            forth.close()


async def _pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(65_536):
        target.write(data)
        await target.drain()
    target.write_eof()
