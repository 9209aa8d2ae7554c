"""A file is found, read and checked, or refused in one clear sentence."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.config.common import LEAST, settings
from trapd.config import find, fingerprint, load
from trapd.errors import ConfigurationError, Fault


def fault(path: Path) -> Fault:
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    [only] = caught.value.faults
    return only


def test_a_sound_file(tmp_path: Path) -> None:
    """Settings, their hash, no warnings; relative paths start at the file's folder, not the process's."""
    path = tmp_path / "config.yaml"
    path.write_text("unit: {id: ridge-07}\nmqtt: {host: b}\nstorage: {path: data}\n")
    loaded = load(path)
    assert loaded.settings.unit.id == "ridge-07"
    assert loaded.settings.storage.path == tmp_path / "data"
    assert loaded.hash == fingerprint(loaded.settings)
    assert loaded.warnings == ()
    assert loaded.path == path


def test_a_path_given_relative_to_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths in the file come out absolute, also where the file's own path is not."""
    (tmp_path / "c.yaml").write_text("unit: {id: ridge-07}\nmqtt: {host: b}\nstorage: {path: data}\n")
    monkeypatch.chdir(tmp_path)
    assert load(Path("c.yaml")).settings.storage.path == tmp_path / "data"


CONTENTS = [
    (b"", "the file is empty", "begin with config.example.yaml"),
    (b"# only this\n", "the file is empty", "begin with config.example.yaml"),
    (b"- a\n- b\n", "the file must hold groups of keys, holds a list of 2", "begin with unit: and mqtt:"),
    (b"hello\n", "the file must hold groups of keys, holds 'hello'", "begin with unit: and mqtt:"),
    (b"unit:\n  name: \xff\xfe\n", "the file is not UTF-8, first in line 2", "save it as UTF-8"),
    ("unit: {}".encode("utf-16"), "the file is not UTF-8, first in line 1", "save it as UTF-8"),
    (b"unit: [1\n", "line 1, column 7: a bracket is opened and not closed, or a comma is missing",
     "write [1, 2] or {a: 1}"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "message", "hint"), CONTENTS)
def test_what_holds_no_configuration(tmp_path: Path, content: bytes, message: str, hint: str) -> None:
    """One sentence, about the file as a whole."""
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    assert fault(path) == Fault("", message, hint)


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    """Some editors write one."""
    path = tmp_path / "config.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + yaml.safe_dump(LEAST).encode())
    assert load(path).settings.unit.id == "ridge-07"


def test_no_file_a_folder_and_a_pipe(tmp_path: Path) -> None:
    """Each is told apart; nothing waits for a pipe's writer."""
    missing, pipe = tmp_path / "missing.yaml", tmp_path / "pipe"
    os.mkfifo(pipe)
    assert fault(missing).message == f"{missing} does not exist"
    assert fault(tmp_path).message == f"{tmp_path} is a folder"
    assert fault(pipe).message == f"{pipe} is no ordinary file"
    assert fault(tmp_path / ("x" * 300)).message.endswith("cannot be read: File name too long")


@contextmanager
def not_root() -> Iterator[None]:
    """Root may read everything: be nobody for a moment."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_file_of_another_user(tmp_path: Path) -> None:
    """Said as what it is."""
    path = tmp_path / "config.yaml"
    path.write_text("unit: {}")
    path.chmod(0)
    with not_root():
        assert fault(path).message == f"{path} may not be read by this user"


def test_a_default_place_that_may_not_be_looked_into(tmp_path: Path) -> None:
    """It is taken, and refused by name, rather than passed over for another file."""
    first, second = tmp_path / "etc" / "config.yaml", tmp_path / "config.yaml"
    first.parent.mkdir()
    first.parent.chmod(0)
    second.touch()
    with not_root():
        assert find(None, (first, second)) == first
    first.parent.chmod(0o700)


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    """Not read to its end."""
    path = tmp_path / "config.yaml"
    path.write_bytes(b"#" * (256 * 1024 + 1))
    assert fault(path).message == f"{path} is larger than 256 KiB"


def test_faults_of_reading_and_checking_come_together(tmp_path: Path) -> None:
    """A key written twice hides neither an unknown key nor a wrong value."""
    path = tmp_path / "config.yaml"
    path.write_text("unit: {id: ridge-07, id: x}\nmqtt: {host: b, prot: 1}\nburst: {frames: 0}\n")
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    assert caught.value.message == f"{path} has 3 faults"
    assert [fault.path for fault in caught.value.faults] == ["unit.id", "mqtt.prot", "burst.frames"]


def test_the_first_place_that_has_a_file_is_taken(tmp_path: Path) -> None:
    """The file that is asked for, else the system's, else the one in the working directory."""
    first, second = tmp_path / "etc" / "config.yaml", tmp_path / "config.yaml"
    second.touch()
    assert find(None, (first, second)) == second
    first.parent.mkdir()
    first.touch()
    assert find(None, (first, second)) == first
    assert find("other.yaml", (first, second)) == Path("other.yaml")


def test_no_configuration_anywhere(tmp_path: Path) -> None:
    """Both places are named, and what to do."""
    first, second = tmp_path / "a", tmp_path / "b"
    with pytest.raises(ConfigurationError) as caught:
        find(None, (first, second))
    hint = "give --config FILE, or begin with config.example.yaml"
    assert caught.value.faults == (Fault("", f"there is neither {first} nor {second}", hint),)


def test_the_default_places_are_the_contracts() -> None:
    """/etc/trapd/config.yaml, else ./config.yaml."""
    assert find.__defaults__ == ((Path("/etc/trapd/config.yaml"), Path("config.yaml")),)


def test_the_hash_is_of_the_settings_in_effect() -> None:
    """Writing a default out changes nothing, a changed value does; 60 and 60.0 are one."""
    plain = fingerprint(settings())
    assert plain.startswith("sha256:")
    assert len(plain) == 71
    assert fingerprint(settings(**{"sensor.warmup_s": 60, "mqtt.port": 8883, "sensor.pins": [17]})) == plain
    assert fingerprint(settings(**{"sensor.warmup_s": 60.0})) == plain
    assert fingerprint(settings(**{"sensor.warmup_s": 61})) != plain


def test_the_hash_is_stable_across_versions() -> None:
    """Two units with the same configuration say so; a change of this value needs a line in the changelog."""
    assert (
        fingerprint(settings()) == "sha256:d81bcedbca7e06d078e4d5a859fe037552a6c22d3eed2f04c45134a844d66528"
    )
