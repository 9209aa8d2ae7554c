"""Children that go wrong, each in its way: what one does is told by the path that it is asked for."""

from __future__ import annotations

import json
import os
import signal
import socket
import time


def main() -> None:
    """One answer, or none."""
    with socket.socket(fileno=0) as link, link.makefile("rb") as questions:
        for question in questions:
            asked = json.loads(question)
            match asked["path"]:
                case "ends":
                    os._exit(3)
                case "is killed":
                    os.kill(os.getpid(), signal.SIGKILL)
                case "hangs":
                    time.sleep(3600)
                case "says no JSON":
                    link.sendall(b"hello\n")
                case "says a list":
                    link.sendall(b"[]\n")
                case "says too little":
                    link.sendall(b"{}\n")
                case "says half":
                    link.sendall(b'{"path"')
                    os._exit(0)
                case "says too much":
                    while True:
                        link.sendall(b"x" * 65_536)
                case path:
                    link.sendall(json.dumps({"path": f"{path} by {os.getpid()}"}).encode() + b"\n")


if __name__ == "__main__":
    main()
