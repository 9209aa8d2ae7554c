"""Runs a command as root where this machine runs programs for arm64 too: under qemu, as a Cortex-A72.

    python3 scripts/_arm64_programs.py COMMAND...

The list of foreign programs (binfmt_misc) is the command's own and goes with it: the machine's stays.
Exit codes: the command's; 3 where the kernel refuses (it is older than Linux 6.7, or allows no namespaces).
Run by scripts/rig-arm64.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

_LIST = Path("/proc/sys/fs/binfmt_misc")
_NAME = "trapd-arm64"
# An ELF program of 64 bits for AArch64 (183), however it is linked.
_MAGIC = rb"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
_MASK = rb"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
_FLAGS = b"OCF"  # F: qemu is opened once, here; it need not lie in the root that is entered
_NEW_MOUNTS, _NEW_USERS = 0x00020000, 0x10000000
_EVERYBODY = "0 0 4294967295\n"  # is who he was
_REFUSED = 3
# OpenBLAS takes the wrong kernels when it asks qemu what it runs on.
_PROCESSOR = {"QEMU_CPU": "cortex-a72", "OPENBLAS_CORETYPE": "CORTEXA72"}


def refused(why: str) -> int:
    """Says why, in the word that tests/rig looks for."""
    sys.stderr.write(f"Refused: {why}\n")
    return _REFUSED


def enter(command: list[str], parted: int, mapped: int) -> int:
    """In the child: namespaces of its own, the list, then the command."""
    if ctypes.CDLL(None, use_errno=True).unshare(_NEW_USERS | _NEW_MOUNTS):
        return refused("this machine allows no namespaces, which programs for arm64 need")
    os.write(parted, b".")
    os.read(mapped, 1)
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    mounted = subprocess.run(
        ["mount", "-t", "binfmt_misc", "none", str(_LIST)], check=False, capture_output=True
    )
    # An older kernel has one list for all, and refuses it or shows the machine's.
    if mounted.returncode or any(each.name not in ("register", "status") for each in _LIST.iterdir()):
        return refused("this kernel has no binfmt_misc for a process alone (Linux 6.7 has)")
    qemu = shutil.which("qemu-aarch64-static") or "/usr/bin/qemu-aarch64-static"
    line = b":".join([b"", _NAME.encode(), b"M", b"", _MAGIC, _MASK, qemu.encode(), _FLAGS])
    (_LIST / "register").write_bytes(line)
    done = subprocess.run(command, env={**os.environ, **_PROCESSOR}, check=False)
    return done.returncode


def main() -> int:
    """Only the parent may say who is who in the child's namespace."""
    has_parted, parted = os.pipe()
    is_mapped, mapped = os.pipe()
    child = os.fork()
    if child == 0:
        os._exit(enter(sys.argv[1:], parted, is_mapped))
    os.close(parted)
    if os.read(has_parted, 1):
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{child}/{name}").write_text(_EVERYBODY, encoding="ascii")
        os.write(mapped, b".")
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main())
