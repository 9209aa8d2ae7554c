"""What a process in the daemon's sandbox can do: one JSON object. Run as the service, by its Python."""

from __future__ import annotations

import ctypes
import hashlib
import json
import mmap
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path


def works(deed: Callable[[], object]) -> bool:
    """Whether it can be done."""
    try:
        deed()
    except OSError:
        return False
    return True


def clock_can_be_asked() -> bool:
    """adjtimex(2) with nothing to set."""
    state: int = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(512))
    return state >= 0


def homes() -> list[str]:
    """What is seen of anybody's files."""
    found = []
    for folder in ("/home", "/root"):
        try:
            found += [path.name for path in Path(folder).iterdir()]
        except OSError:
            continue
    return found


def new_namespace() -> None:
    """Python has a word of its own for it from 3.12 on."""
    if ctypes.CDLL(None, use_errno=True).unshare(0x10000000):  # CLONE_NEWUSER
        raise OSError(ctypes.get_errno(), "unshare")


def sum_of(file: Path) -> str:
    """What is said here stands in the journal, where no secret may be."""
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else ""


def main() -> None:
    """Try everything."""
    credential = Path(os.environ.get("CREDENTIALS_DIRECTORY", "/nowhere"), "mqtt-password")
    print(
        json.dumps(
            {
                "user": os.getuid(),
                "etc": works(lambda: Path("/etc/written").write_text("x")),
                "usr": works(lambda: Path("/usr/lib/trapd/written").write_text("x")),
                "configuration": works(lambda: Path("/etc/trapd/config.yaml").open("a").close()),
                "state": works(lambda: Path("/var/lib/trapd/written").touch()),
                "runtime": works(lambda: Path("written").touch()),
                "homes": homes(),
                "inet": works(lambda: socket.socket(socket.AF_INET).close()),
                "inet6": works(lambda: socket.socket(socket.AF_INET6).close()),
                "unix": works(lambda: socket.socket(socket.AF_UNIX).close()),
                "packet": works(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()),
                "bluetooth": works(lambda: socket.socket(socket.AF_BLUETOOTH, socket.SOCK_RAW, 1).close()),
                "code_in_data": works(lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)),
                "namespace": works(new_namespace),
                "set_clock": works(lambda: time.clock_settime(time.CLOCK_REALTIME, time.time())),
                "ask_clock": clock_can_be_asked(),
                "tunables": works(lambda: Path("/proc/sys/kernel/core_pattern").write_text("core")),
                "cpuinfo": works(lambda: Path("/proc/cpuinfo").read_text()),
                "processes_of_others": Path("/proc/1/cmdline").exists(),
                "credential": sum_of(credential),
            }
        )
    )


if __name__ == "__main__":
    main()
