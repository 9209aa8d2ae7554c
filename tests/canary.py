"""What must never come out: passwords and keys of the tests' units, looked for in all that was said in a run.

Every daemon and verb that a test starts finds the password as its service manager's credential. Listeners,
child processes and verbs are overheard where they are (`listen`, `overhear`). The folders of the tests, with
the logs, stores and brokers in them, are searched at the end of the run, and earlier where they go earlier
(`look_through`). tests/conftest.py fails the run on any hit. Any thread; the standard library alone.
"""

from __future__ import annotations

import base64
import functools
import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

PASSWORD = "canary-7Q2x of the/unit"
MISPLACED = "canary-9Zk4-misplaced"  # what an operator writes where it does not belong

_PHOTOGRAPH_BYTES = 65_536  # of a photograph: all that is said in it stands before the picture
_PHOTOGRAPHS = (".jpg", ".jpeg")
_NOT_SAID = (".key", ".pyc", ".tflite", ".deb", ".whl")
_NOT_SAID_FOLDERS = frozenset({"site-packages"})
_BROKERS_MEMORY = "mosquitto.db"  # holds what operators said too; what units said was heard
_BY_OPERATORS = ("/config/desired", "/cmd/")

_forms: dict[str, bytes] = {}
_hidden: set[Path] = set()
_hits: list[str] = []
_outputs = [0, 0]


def forms(name: str, text: str) -> dict[str, bytes]:
    """Each form in which a text might come out: name to bytes."""
    raw = text.encode()
    found = {"reversed": raw[::-1], "quoted": quote(text, safe="").encode()} | _of_bytes(raw)
    return {f"{name}, {form}": made for form, made in found.items()}


def forms_of_key(name: str, key: bytes) -> dict[str, bytes]:
    """The same of a private key: one of openssl's for P-256, or one of `trapd keygen`."""
    lines = [line for line in key.splitlines() if b"-----" not in line]
    if b"-----" not in key:
        secret = base64.b64decode(lines[-1].split()[-1])
        return {f"{name}, {form}": made for form, made in _of_bytes(secret).items()}
    der = base64.b64decode(b"".join(lines))
    secret = der[der.index(b"\x04\x20") + 2 :][:32]  # the octet string of an EC key's number
    found = _of_bytes(secret) | {f"line {number}": line for number, line in enumerate(lines[:2])}
    return {f"{name}, {form}": made for form, made in found.items()}


def keep(found: dict[str, bytes]) -> None:
    """From now on these are looked for."""
    _forms.update({name: made.lower() for name, made in found.items()})


def hides(path: Path) -> Path:
    """A file or folder that holds a secret for good reason; it is not searched."""
    _hidden.add(path)
    return path


def leaks(where: str, content: bytes, among: dict[str, bytes] | None = None) -> list[str]:
    """Which of these, or of all that are kept, are in it; in whatever case the letters are."""
    content = content.lower()
    wanted = _forms if among is None else among
    return [f"{name} in {where}" for name, made in list(wanted.items()) if made.lower() in content]


def listen(where: str, content: bytes) -> None:
    """Something came out."""
    _outputs[0] += 1
    _outputs[1] += len(content)
    found = leaks(where, content)
    if found and leaks("", where.encode()):
        found = leaks("something that has it in its name", content)
    _hits.extend(found)


def listen_to_topic(topic: str, payload: bytes) -> None:
    """A message that a broker passed on; what operators say is theirs."""
    if not any(leaf in topic for leaf in _BY_OPERATORS):
        listen(topic, topic.encode() + b"\n" + payload)


def look_through(folder: Path) -> None:
    """Every file below."""
    for file in _files(folder):
        try:
            if not stat.S_ISREG(file.lstat().st_mode):
                continue
            with file.open("rb") as opened:
                listen(str(file), opened.read(_PHOTOGRAPH_BYTES if file.suffix in _PHOTOGRAPHS else -1))
        except OSError:  # it is just going, or is not for us to read
            continue


def _files(folder: Path) -> Iterator[Path]:
    for here, folders, names in os.walk(folder):
        within = Path(here)
        folders[:] = [
            name for name in folders if name not in _NOT_SAID_FOLDERS and within / name not in _hidden
        ]
        for name in names:
            path = within / name
            if path.suffix not in _NOT_SAID and name != _BROKERS_MEMORY and path not in _hidden:
                yield path


def hits() -> list[str]:
    """Which secret came out where; none of the secrets stands in it."""
    return list(_hits)


def report() -> str:
    """One line for the report."""
    return (
        f"canaries of the whole run: {len(_forms)} forms in {_outputs[0]:,} outputs"
        f" of {_outputs[1] / 1e6:.0f} MB: {len(_hits)} hits"
    )


def overhear() -> None:
    """Listen to whatever child processes print to this one, and to verbs that run in it."""
    subprocess.Popen.communicate = _overheard(subprocess.Popen.communicate)  # type: ignore[method-assign]  # for good
    try:
        from click.testing import CliRunner
    except ImportError:  # the small environment of tflite-runtime has none
        return
    invoke = CliRunner.invoke

    @functools.wraps(invoke)
    def invoked(self: Any, *arguments: Any, **more: Any) -> Any:
        result = invoke(self, *arguments, **more)
        listen(f"a verb: {arguments[1:]}", result.output.encode("utf-8", "surrogateescape"))
        return result

    CliRunner.invoke = invoked  # type: ignore[method-assign]  # for good


def _overheard(communicate: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(communicate)
    def heard(self: Any, *arguments: Any, **more: Any) -> Any:
        told = communicate(self, *arguments, **more)
        for said in told:
            if said:
                where = f"what {str(self.args)[:200]} printed"
                listen(where, said.encode("utf-8", "surrogateescape") if isinstance(said, str) else said)
        return told

    return heard


def _of_bytes(secret: bytes) -> dict[str, bytes]:
    return {"plain": secret, "hex": secret.hex().encode()} | _in_base64(secret)


def _in_base64(raw: bytes) -> dict[str, bytes]:
    """As it would stand in any longer text in base64: it may begin at each of three places in a group."""
    found = {}
    for before in range(3):
        made = base64.b64encode(bytes(before) + raw).rstrip(b"=")
        found[f"base64 {before}"] = made[(0, 2, 3)[before] : -1]
    return found


keep(forms("password", PASSWORD) | forms("misplaced password", MISPLACED))
