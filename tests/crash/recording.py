"""A process recorded by strace: every system call that changes files below a folder, in order.

Fails loudly on whatever it does not know: a call that changes a file in a way that the model of the disk
lacks must not pass unseen. What is written through memory strace does not see: a shared writable mapping of
anything but SQLite's -shm is an error. The -shm itself is left out: SQLite makes it anew when nobody has it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.crash import operations as op

ROOT = Path(__file__).parents[2]
_SECONDS = 120
# "?": a call that this machine's kernel does not have is passed over.
_TRACED = (
    "?open,openat,?openat2,?creat,close,?dup,?dup2,dup3,lseek,write,writev,pwrite64,?pwritev,?pwritev2,ftruncate,"
    "?truncate,fallocate,?link,linkat,?symlink,symlinkat,?rename,?renameat,renameat2,?unlink,unlinkat,?mkdir,"
    "mkdirat,?rmdir,fsync,fdatasync,sync,syncfs,sync_file_range,msync,mmap,sendfile,copy_file_range,clone,?clone3,"
    "?fork,?vfork"
)
_WITHOUT_PATHS = frozenset({"write", "pwrite64", "writev", "pwritev", "pwritev2"})
_INDEX = "-shm"
_CALL = re.compile(
    r"(?P<pid>\d+) +(?P<name>\w+)\((?P<args>.*)\) += (?P<result>-?\d+|0x[0-9a-f]+|\?)(?P<rest>.*)"
)
_HEX = r"(?:\\x[0-9a-f]{2})*"
_STRING = re.compile(rf'"({_HEX})"(\.\.\.)?')
_DESCRIPTOR = re.compile(rf"(AT_FDCWD|-?\d+)<({_HEX})>")
_PIECE = re.compile(rf'iov_base="({_HEX})"(\.\.\.)?')


class Unknown(Exception):
    """The trace holds something that this parser or the model of the disk does not know."""


@dataclass(frozen=True, slots=True)
class Call:
    """One system call below the folder. `ordinal`: it is the n-th of its name in the whole process."""

    name: str
    path: str
    ordinal: int
    creates: bool
    failed: bool
    injected: bool


@dataclass(frozen=True, slots=True)
class Recording:
    """What one process did. `said`: its standard output; `exit_code` negative where a signal ended it."""

    operations: tuple[op.Operation, ...]
    calls: tuple[Call, ...]
    said: tuple[str, ...]
    exit_code: int
    errors: str


@cache
def cannot_record() -> str | None:
    """Why no process can be recorded on this machine; None where one can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    tried = subprocess.run(["strace", "-qq", "-o", os.devnull, "true"], capture_output=True, check=False)
    if tried.returncode == 0:
        return None
    return f"no process may be traced here: {tried.stderr.decode(errors='replace').strip()}"


def record(arguments: Sequence[str], folder: Path, trace: Path, *, inject: Sequence[str] = ()) -> Recording:
    """Run `python ARGUMENTS` under strace. `folder` exists. `inject` is strace's: fsync:error=EIO:when=3."""
    command = ["strace", "-f", "-y", "-xx", "-qq", "-s", "100000000", "-o", str(trace)]
    command += ["-e", f"trace={_TRACED}"]
    if not any("signal=" in injection for injection in inject):
        command.append("--seccomp-bpf")  # three times as fast; with it, strace 6.1 never sends the signal
    for injection in inject:
        command += ["-e", f"inject={injection}"]
    ended = subprocess.run(
        [*command, sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"},
        capture_output=True,
        timeout=_SECONDS,
        check=False,
    )
    parser = _Parser(str(folder.resolve()))
    with trace.open(encoding="ascii") as lines:
        for line in lines:
            parser.take(line)
    return Recording(
        operations=tuple(parser.operations),
        calls=tuple(parser.calls),
        said=tuple(ended.stdout.decode().splitlines()),
        exit_code=ended.returncode,
        errors=ended.stderr.decode(errors="replace"),
    )


class _Parser:
    def __init__(self, folder: str) -> None:
        self.operations: list[op.Operation] = []
        self.calls: list[Call] = []
        self._folder = folder
        self._counts: dict[str, int] = {}
        self._pid: str | None = None
        self._handlers: dict[str, Callable[[_Line], Iterator[op.Operation]]] = {
            "open": _open,
            "openat": _open,
            "close": lambda line: iter([op.Closed(line.fd)]),
            "lseek": lambda line: iter([op.Sought(line.fd, line.result)]),
            "write": lambda line: iter([op.Written(line.fd, line.data()[: line.result], None)]),
            "pwrite64": lambda line: iter(
                [op.Written(line.fd, line.data()[: line.result], int(line.args[-1]))]
            ),
            "ftruncate": lambda line: iter([op.Resized(line.fd, int(line.args[-1]))]),
            "fsync": lambda line: iter([op.Synced(line.fd, not line.failed)]),
            "fdatasync": lambda line: iter([op.Synced(line.fd, not line.failed)]),
            "link": lambda line: iter([op.Linked(*line.two_paths())]),
            "linkat": lambda line: iter([op.Linked(*line.two_paths())]),
            "rename": lambda line: iter([op.Renamed(*line.two_paths())]),
            "renameat": lambda line: iter([op.Renamed(*line.two_paths())]),
            "renameat2": lambda line: iter([op.Renamed(*line.two_paths())]),
            "unlink": lambda line: iter([op.Unlinked(line.one_path())]),
            "unlinkat": _unlinkat,
            "rmdir": lambda line: iter([op.FolderRemoved(line.one_path())]),
            "mkdir": lambda line: iter([op.FolderMade(line.one_path())]),
            "mkdirat": lambda line: iter([op.FolderMade(line.one_path())]),
        }

    def take(self, text: str) -> None:
        match = _CALL.match(text)
        if match is None:
            if "+++" in text or "---" in text or "<unfinished" in text:
                return  # a signal, or the process's end
            raise Unknown(f"not a system call: {text[:200]}")
        name = match["name"]
        self._counts[name] = self._counts.get(name, 0) + 1
        line = _Line(self._folder, match)
        if name == "writev" and line.args[0].startswith("1<"):
            self._listen(line)
            return
        if name in ("clone", "clone3", "fork", "vfork") or self._pid not in (None, match["pid"]):
            raise Unknown("the process has begun another: their calls may not stand in order")
        self._pid = match["pid"]
        if not line.concerns_folder() or match["result"] == "?":
            return
        self.calls.append(
            Call(
                name,
                str(line.named[-1]),
                self._counts[name],
                "O_CREAT" in line.text,
                line.failed,
                "(INJECTED)" in match["rest"],
            )
        )
        if name == "mmap":
            if "MAP_SHARED" in match["args"] and "PROT_WRITE" in match["args"]:
                raise Unknown(f"a file is written through memory: {line.named}")
            return
        if line.failed and name not in ("fsync", "fdatasync"):
            return
        handler = self._handlers.get(name)
        if handler is None:
            raise Unknown(f"{name} of {line.named}")
        self.operations.extend(handler(line))

    def _listen(self, line: _Line) -> None:
        said = b"".join(_bytes(*piece) for piece in _PIECE.findall(line.text))
        if not line.failed:
            self.operations.append(op.Said(json.loads(said)))


class _Line:
    """One system call and its arguments."""

    def __init__(self, folder: str, match: re.Match[str]) -> None:
        self._folder = folder
        self.text = match["args"]
        self._has_paths = match["name"] not in _WITHOUT_PATHS
        self.args = self.text.split(", ")  # strings are all hex: no comma of theirs is met
        self.failed = match["result"].startswith("-")
        self.result = int(match["result"], 0) if match["result"] != "?" else -1
        self._paths = list(self._given())
        descriptors = [_bytes(match[2]).decode() for match in map(_DESCRIPTOR.match, self.args) if match]
        self.named = [_path(folder, name) for name in (*descriptors, *self._paths)]

    def _given(self) -> Iterator[str]:
        """The paths among the arguments, each from the descriptor before it. For calls that have paths."""
        at = ""
        for piece in self.args if self._has_paths else ():
            if descriptor := _DESCRIPTOR.match(piece):
                at = _bytes(descriptor[2]).decode()
            elif string := _STRING.match(piece):
                path = Path(at) / os.fsdecode(_bytes(string[1], string[2]))
                if not path.is_absolute():
                    raise Unknown(f"a path relative to a working folder that is not known: {path}")
                yield str(path)

    @property
    def fd(self) -> int:
        return int(self.args[0].partition("<")[0])

    def data(self) -> bytes:
        match = _STRING.match(self.args[1])
        if match is None:
            raise Unknown(f"no bytes in {self.text[:200]}")
        return _bytes(match[1], match[2])

    def concerns_folder(self) -> bool:
        return any(name is not None and not name.endswith(_INDEX) for name in self.named)

    def one_path(self) -> str:
        (path,) = self._inside()
        return path

    def two_paths(self) -> tuple[str, str]:
        old, new = self._inside()
        return old, new

    def _inside(self) -> list[str]:
        inside = [name for name in (_path(self._folder, path) for path in self._paths) if name is not None]
        if len(inside) < len(self._paths):
            raise Unknown(f"a path leads out of the folder: {self.text[:200]}")
        return inside


def _open(line: _Line) -> Iterator[op.Operation]:
    flags = line.text
    if "O_TMPFILE" in flags:
        raise Unknown("O_TMPFILE")
    yield op.Opened(
        line.result,
        line.one_path(),
        create="O_CREAT" in flags,
        truncate="O_TRUNC" in flags,
        append="O_APPEND" in flags,
    )


def _unlinkat(line: _Line) -> Iterator[op.Operation]:
    made = op.FolderRemoved if "AT_REMOVEDIR" in line.text else op.Unlinked
    yield made(line.one_path())


def _bytes(escaped: str, cut: str = "") -> bytes:
    if cut:
        raise Unknown("strace has cut a string short")
    return bytes.fromhex(escaped.replace("\\x", ""))


def _path(folder: str, path: str) -> str | None:
    """The path below the folder; None for one outside."""
    if path == folder:
        return ""
    return path.removeprefix(folder + "/") if path.startswith(folder + "/") else None
