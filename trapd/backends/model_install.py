"""Installing a model: fetched whole, its sha256 compared, tried in child processes, and only then in place.

Called by `trapd model install`. The note is taken away first and written last, so that after a power cut at
any line there is the old model or the new one; at worst without its note, and then the classifier tries it in
a child process before it loads it. A temporary file that is left is overwritten by the next installation.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final

from trapd.backends import model_files
from trapd.backends.model_probe import Probe, probe
from trapd.errors import ModelUnavailable, UsageError
from trapd.frozen import asdict, replace

LARGEST_BYTES: Final = 500_000_000
"""Of a model; none that a Raspberry Pi can run is near it."""

_PIECE_BYTES: Final = 1 << 18
_TIMEOUT_S: Final = 30.0  # the longest wait for the next bytes
_DEADLINE_S: Final = 3600.0  # for all of them
_PART: Final = ".part"

Progress = Callable[[int], None]


def install(
    source: str,
    name: str,
    models: Path,
    *,
    sha256: str | None,
    labels: Path | None = None,
    replace: bool = False,
    progress: Progress = lambda _: None,
) -> Probe:
    """Put the model at `source` (a file, or an http or https address) below `models` as `name`.

    What the trial showed comes back; where it is not ok nothing was installed. `progress` is told the bytes
    fetched so far. Raises UsageError for a name or source that cannot be, ModelUnavailable for one that
    cannot be fetched or is not what `sha256` says.
    """
    _check_name(name, models, replace)
    if _is_address(source) and sha256 is None:
        raise UsageError("a model from afar needs --sha256", "its publisher states it beside the file")
    _check_address(source)
    try:
        models.mkdir(parents=True, exist_ok=True)
        return _install(source, models / f"{name}.tflite", sha256, labels, progress)
    except OSError as error:
        raise ModelUnavailable(
            f"the model cannot be stored in {models}: {error.strerror or error}",
            "is there space, and may you write there?",
        ) from error


def _install(source: str, final: Path, sha256: str | None, labels: Path | None, progress: Progress) -> Probe:
    part = final.with_name(f".{final.name}{_PART}")
    given = Path(urllib.parse.urlsplit(source).path).name if _is_address(source) else Path(source).name
    try:
        found = _fetch(source, part, progress)
        if sha256 is not None and found != sha256.lower():
            raise ModelUnavailable(
                f"{_public(source)} is not the file that was meant: its sha256 is {found}",
                "fetch it again, or compare the sha256 with its publisher's",
            )
        shown = probe(part, labels=labels)
        if shown.ok and shown.labels is None and (loose := _loose(source)) is not None:
            labels = loose
            shown = probe(part, labels=labels)
        if shown.ok:
            note = model_files.Note(found, _public(source), datetime.now(UTC).isoformat(timespec="seconds"))
            _put_in_place(part, final, note, labels)
        # What was tried is the copy; the person knows the file they gave.
        return replace(shown, reason=shown.reason.replace(str(part), given).replace(part.name, given))
    finally:
        part.unlink(missing_ok=True)


def _loose(source: str) -> Path | None:
    """Labels that lie beside a model that carries none."""
    if _is_address(source):
        return None
    return model_files.labels_of(Path(source)) or model_files.beside(Path(source))


def _check_name(name: str, models: Path, replace: bool) -> None:
    if not re.fullmatch(model_files.NAME, name):
        raise UsageError(
            f"{name!r} is no name for a model", "1 to 64 of a-z 0-9 . _ -, the first a letter or a digit"
        )
    if name in model_files.SHIPPED:
        raise UsageError(f"the model {name} comes with trapd", "choose another name")
    if (models / f"{name}.tflite").exists() and not replace:
        raise UsageError(f"a model {name} is installed already", "give --replace, or another name")


def _check_address(source: str) -> None:
    try:
        scheme = urllib.parse.urlsplit(source).scheme
    except ValueError:  # its words would be those of the address
        raise UsageError("this address cannot be one", "such as https://example.org/m.tflite") from None
    if "://" in source and not _is_address(source):
        raise UsageError(f"a model cannot be fetched by {scheme}", "take an address with https, or a file")


def _is_address(source: str) -> bool:
    return source.startswith(("http://", "https://"))


def _public(source: str) -> str:
    """An address without what may be secret in it: user, password, query."""
    if not _is_address(source):
        return source
    parts = urllib.parse.urlsplit(source)
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _fetch(source: str, part: Path, progress: Progress) -> str:
    """Copy to `part`, durably; the sha256 of what came."""
    digest = hashlib.sha256()
    fetched = 0
    end_s = time.monotonic() + _DEADLINE_S
    with _opened(source) as reader, part.open("wb") as file:
        os.fchmod(file.fileno(), 0o644)  # the daemon is another user than who installs
        while piece := reader.read(_PIECE_BYTES):
            fetched += len(piece)
            if fetched > LARGEST_BYTES:
                raise ModelUnavailable(
                    f"{_public(source)} is larger than {LARGEST_BYTES} bytes", "it is no model"
                )
            if time.monotonic() > end_s:
                raise ModelUnavailable(f"{_public(source)} has not come in {_DEADLINE_S:.0f} s", "try again")
            digest.update(piece)
            file.write(piece)
            progress(fetched)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


@contextmanager
def _opened(source: str) -> Iterator[IO[bytes]]:
    try:
        if _is_address(source):
            # The scheme was looked at: no file: or ftp: address gets here.
            with urllib.request.urlopen(source, timeout=_TIMEOUT_S) as answer:  # noqa: S310
                yield answer
        else:
            with Path(source).open("rb") as file:
                yield file
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it holds the connection
        raise ModelUnavailable(
            f"{_public(source)} cannot be fetched: {_why(error)}", "look at the address and the link"
        ) from error
    except OSError as error:
        if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError):
            raise ModelUnavailable(
                f"{source} cannot be read: {error.strerror}", "look at the path"
            ) from error
        raise


def _why(error: Exception) -> str:
    """What a fetch failed of, in the words of the server or the system."""
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answers {error.code} {error.reason}"
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    return getattr(cause, "strerror", None) or str(cause) or type(cause).__name__


def _put_in_place(part: Path, final: Path, note: model_files.Note, labels: Path | None) -> None:
    """In the order that the module promises."""
    model_files.note_path(final).unlink(missing_ok=True)
    for old in model_files.labels_paths(final):
        old.unlink(missing_ok=True)
    _sync_folder(final.parent)
    if labels is not None:
        data = labels.read_bytes()
        _write(model_files.labels_paths(final)[data.lstrip().startswith(b"{")], data)
    part.replace(final)
    _sync_folder(final.parent)
    _write(model_files.note_path(final), json.dumps(asdict(note)).encode() + b"\n")


def _write(path: Path, data: bytes) -> None:
    """Durably, and whole or not at all."""
    part = path.with_name(f".{path.name}{_PART}")
    with part.open("wb") as file:
        os.fchmod(file.fileno(), 0o644)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
