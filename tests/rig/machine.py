"""A whole Debian 13 with real systemd as its first process, on the rig's root; commands are run inside it.

Nothing that happens in it lasts: what it writes goes to memory. It has no network but its own loopback.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

LONGEST_S = 900  # then it is killed, whatever became of the tests
WITHIN_S = 60.0
_LOOK_S = 0.1
_BOOT = """
mount --make-rprivate /
mount -t tmpfs tmpfs /run
exec timeout -s KILL "$3" systemd-nspawn -D "$1" --volatile=overlay --bind="$2":/shared --private-network \\
    --register=no --keep-unit --capability=CAP_SYS_TIME -q -b
"""
_ENVIRONMENT = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "HOME=/root", "LANG=C.UTF-8")


def missing_tools() -> list[str]:
    """What booting it needs and is not on this machine."""
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    return [
        tool for tool in ("systemd-nspawn", "unshare", "nsenter") if shutil.which(tool, path=path) is None
    ]


class Machine:
    """Booted by `with`. `shared` is /shared inside, and may be written from both sides."""

    def __init__(self, root: Path, shared: Path) -> None:
        self._root = root
        self.shared = shared
        self._leader = 0
        self._closing = ExitStack()

    def __enter__(self) -> Machine:
        console = self._closing.enter_context((self.shared / "console").open("wb"))
        nspawn = subprocess.Popen(
            [
                *as_root(), "unshare", "--mount", "sh", "-euc", _BOOT, "sh",
                str(self._root), str(self.shared), str(LONGEST_S),
            ],
            stdin=subprocess.DEVNULL, stdout=console, stderr=console,
        )  # fmt: skip
        self._closing.callback(self._end, nspawn)
        self.until(lambda: self._found(nspawn), "a first process")
        self.until(self._is_up, "systemd is up")
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def run(
        self, *command: str, check: bool = True, timeout_s: float = 180, given: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as root, and wait for it. `given` is what it reads."""
        done = subprocess.run(
            self._inside(command),
            input=given,
            stdin=subprocess.DEVNULL if given is None else None,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def told(self, *command: str) -> str:
        """What a command says that must succeed."""
        return self.run(*command).stdout.strip()

    def begin(self, *command: str, out: Path) -> None:
        """A command that goes on until the machine ends; what it says is in `out`."""
        file = self._closing.enter_context(out.open("wb"))
        process = subprocess.Popen(
            self._inside(command), stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
        )
        self._closing.callback(process.wait, 20)
        self._closing.callback(process.kill)

    def write(self, path: str, text: str) -> None:
        """A file inside, with the folders it needs."""
        self.run("sh", "-c", 'mkdir -p "$(dirname "$1")" && cat >"$1"', "sh", path, given=text)

    def property(self, unit: str, name: str) -> str:
        """What systemd says of a unit."""
        return self.told("systemctl", "show", "--value", "--property", name, unit)

    def until(self, condition: Callable[[], bool], what: str, within_s: float = WITHIN_S) -> None:
        """Look until `condition` holds; fails the test, naming `what`, when it does not in time."""
        end_s = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < end_s, f"not within {within_s:.0f} s: {what}\n{self._console()}"
            time.sleep(_LOOK_S)  # another process works at its own pace

    def _inside(self, command: Sequence[str]) -> list[str]:
        enter = (
            "nsenter",
            "--target",
            str(self._leader),
            "--mount",
            "--uts",
            "--ipc",
            "--net",
            "--pid",
            "--cgroup",
        )
        return [*as_root(), *enter, "env", "-i", *_ENVIRONMENT, *command]

    def _found(self, nspawn: subprocess.Popen[bytes]) -> bool:
        """Find the machine's first process among the descendants of `nspawn`."""
        assert nspawn.poll() is None, f"systemd-nspawn ended with {nspawn.returncode}\n{self._console()}"
        waiting = [nspawn.pid]
        while waiting:
            pid = waiting.pop()
            try:
                status = Path(f"/proc/{pid}/status").read_text()
                waiting += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
            except OSError:  # it has just ended
                continue
            numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
            if len(numbers) > 1 and numbers[-1] == "1":
                self._leader = pid
                return True
        return False

    def _is_up(self) -> bool:
        state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        return state in ("running", "degraded")

    def _end(self, nspawn: subprocess.Popen[bytes]) -> None:
        if self._leader:
            subprocess.run([*as_root(), "kill", "-KILL", str(self._leader)], check=False, capture_output=True)
        try:
            nspawn.wait(20)
        except subprocess.TimeoutExpired:
            nspawn.send_signal(signal.SIGKILL)
            nspawn.wait(20)

    def _console(self) -> str:
        """What helps to see why: the end of the console, and of the journal."""
        console = (self.shared / "console").read_text("utf-8", errors="replace")[-1000:]
        if not self._leader:
            return console
        return f"{console}\n{self.run('journalctl', '--no-pager', '--lines=60', check=False).stdout}"


def as_root() -> tuple[str, ...]:
    """What goes before a command of root's."""
    return () if os.geteuid() == 0 else ("sudo", "-n")
