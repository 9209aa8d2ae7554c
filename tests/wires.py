"""A stretch of network between a client and a broker's port: it can be slow and far, be cut and be frozen."""

from __future__ import annotations

import contextlib
import queue
import selectors
import socket
import threading
import time
from collections import deque

from trapd.demo.broker import HOST

_WITHIN_S = 60.0  # only so that nothing hangs
_BITE_BYTES = 65_536
_SLOW_BITE_BYTES = 512  # of a slow wire, so that it gives evenly
_ROOM_BYTES = 1_000_000  # on the way at once, each way
_SLOW_ROOM_BYTES = 8192  # as a modem has it: beyond this nothing is read
_KERNEL_BYTES = 4096  # what the kernel is asked to hold beside it; it takes twice as much
_AGAIN_S = 0.005


class _Way:
    """One direction: what `source` has said and `sink` has not heard yet."""

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self.source = source
        self.sink = sink
        self.transit: deque[tuple[float, bytes]] = deque()  # due at, what; nothing: the end
        self.bytes = 0
        self.free_s = 0.0  # when the last of it will have been put on the wire
        self.silent = False  # the source has said all it had to say
        self.over = False  # and the sink has heard it


class Wire:
    """Connections to `port` go to `to_port`: at `rate` bytes a second each way, `delay_s` later."""

    def __init__(self, to_port: int, *, rate: float | None = None, delay_s: float = 0.0) -> None:
        self.up_bytes = 0  # what the broker was given, of all connections together
        self.up_s = 0.0  # and when last
        self._to_port = to_port
        self._rate = rate
        self._delay_s = delay_s
        self._bite_bytes = _SLOW_BITE_BYTES if rate else _BITE_BYTES
        self._room_bytes = _SLOW_ROOM_BYTES + int(rate * delay_s) if rate else _ROOM_BYTES
        self._listening = socket.create_server((HOST, 0))
        if rate:
            self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _KERNEL_BYTES)
        self.port: int = self._listening.getsockname()[1]
        self._ways: dict[socket.socket, _Way] = {}  # by source
        self._ups: set[socket.socket] = set()  # the sources on the client's side
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._wake, wake = socket.socketpair()
        self._selector.register(wake, selectors.EVENT_READ)
        self._woken = wake
        self._orders: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._done = threading.Event()
        self._frozen = False
        self._thread = threading.Thread(target=self._run, name="wire")
        self._thread.start()

    def cut(self) -> None:
        """Break every connection now, what is on its way is lost; new ones get through."""
        self._order("cut")

    def freeze(self) -> None:
        """Let nothing through any more, in either direction, and break nothing."""
        self._order("freeze")

    def thaw(self) -> None:
        """Let what waits through, and all that comes."""
        self._order("thaw")

    def close(self) -> None:
        if self._thread.is_alive():
            self._order("close")
            self._thread.join(_WITHIN_S)

    def _order(self, order: str) -> None:
        self._done.clear()
        self._orders.put(order)
        self._wake.send(b"!")
        assert self._done.wait(_WITHIN_S)

    def _run(self) -> None:
        closing = False
        while not closing:
            for key, _ in self._selector.select(self._pause_s()):
                end = key.fileobj
                assert isinstance(end, socket.socket)
                if end is self._listening:
                    self._accept()
                elif end is self._woken:
                    end.recv(1)
                    closing = self._obey(self._orders.get())
                elif end in self._ways:
                    self._take(self._ways[end])
            for way in list(self._ways.values()):
                if not self._frozen and self._ways.get(way.source) is way:
                    self._give(way)
        self._break_all()
        for end in (self._listening, self._wake, self._woken):
            end.close()
        self._selector.close()
        self._done.set()

    def _pause_s(self) -> float:
        """Until the next of what is on its way is due."""
        due_s = [way.transit[0][0] for way in self._ways.values() if way.transit and not self._frozen]
        return min(1.0, max(0.0, min(due_s) - time.monotonic())) if due_s else 1.0

    def _obey(self, order: str) -> bool:
        if order == "close":
            return True
        if order == "cut":
            self._break_all()
        else:
            self._frozen = order == "freeze"
            for way in self._ways.values():
                self._watch(way)
        self._done.set()
        return False

    def _accept(self) -> None:
        near, _ = self._listening.accept()
        try:
            far = socket.create_connection((HOST, self._to_port), timeout=_WITHIN_S)
        except OSError:
            near.close()
            return
        self._ups.add(near)
        for source, sink in ((near, far), (far, near)):
            source.setblocking(False)
            self._ways[source] = _Way(source, sink)
            self._watch(self._ways[source])

    def _watch(self, way: _Way) -> None:
        """Read from its source while there is something to read and room for it."""
        wanted = not (self._frozen or way.silent) and way.bytes < self._room_bytes
        watched = way.source in self._selector.get_map()
        if wanted and not watched:
            self._selector.register(way.source, selectors.EVENT_READ)
        elif watched and not wanted:
            self._selector.unregister(way.source)

    def _take(self, way: _Way) -> None:
        try:
            data = way.source.recv(self._bite_bytes)
        except OSError:
            self._break(way)
            return
        now_s = time.monotonic()
        if self._rate:
            way.free_s = max(way.free_s, now_s) + len(data) / self._rate
            now_s = way.free_s
        way.transit.append((now_s + self._delay_s, data))
        way.bytes += len(data)
        way.silent = not data
        self._watch(way)

    def _give(self, way: _Way) -> None:
        """Hand over what is due."""
        now_s = time.monotonic()
        try:
            while way.transit and way.transit[0][0] <= now_s:
                data = way.transit[0][1]
                if not data:
                    way.transit.popleft()
                    self._end(way)
                    return
                gone = way.sink.send(data)
                if way.source in self._ups:
                    self.up_bytes += gone
                    self.up_s = now_s
                way.bytes -= gone
                way.transit[0] = (now_s, data[gone:])
                if gone == len(data):
                    way.transit.popleft()
        except BlockingIOError:
            way.transit[0] = (now_s + _AGAIN_S, way.transit[0][1])
        except OSError:
            self._break(way)
            return
        self._watch(way)

    def _end(self, way: _Way) -> None:
        """Its source has said all, and now its sink knows."""
        way.over = True
        if self._ways[way.sink].over:
            self._break(way)
        else:
            way.sink.shutdown(socket.SHUT_WR)

    def _break_all(self) -> None:
        while self._ways:
            self._break(next(iter(self._ways.values())))

    def _break(self, way: _Way) -> None:
        for end in (way.source, way.sink):
            self._ways.pop(end, None)
            self._ups.discard(end)
            with contextlib.suppress(KeyError):  # one that is not read is not registered
                self._selector.unregister(end)
            end.close()
