"""Finding, listing and installing models; what a power cut leaves."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from trapd.backends import model_files, model_install
from trapd.backends.tflite.classifier import TfliteClassifier
from trapd.errors import ModelUnavailable, UsageError

DEFAULT = model_files.find("default", None)
OTHER = model_files.find("trapd-lite0-256", None)


def test_the_shipped_models_are_what_they_are_said_to_be() -> None:
    for one in model_files.listing(None):
        assert one.note is not None
        assert one.note.sha256 == hashlib.sha256(one.path.read_bytes()).hexdigest()


def test_a_name_is_a_file_of_the_folder_and_a_path_is_itself(tmp_path: Path) -> None:
    assert model_files.find("mine", tmp_path) == tmp_path / "mine.tflite"
    assert model_files.find("default", tmp_path) == DEFAULT
    assert model_files.find("./mine.tflite", tmp_path) == Path("mine.tflite")
    assert model_files.find("/somewhere/else", tmp_path) == Path("/somewhere/else")


@pytest.mark.parametrize("name", ["", "Mine", "..", "a b", "x" * 65, "-x"])
def test_a_name_that_no_model_can_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelUnavailable, match="no model"):
        model_files.find(name, tmp_path)


def test_without_a_folder_only_shipped_models_have_names() -> None:
    with pytest.raises(ModelUnavailable, match="no model"):
        model_files.find("mine", None)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"sha256": 3}', "\xff"])
def test_a_damaged_note_vouches_for_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.tflite"
    path.write_bytes(b"x")
    assert model_files.vouched_sha256(path) is None
    path.with_suffix(".json").write_text(text, "utf-8")
    assert model_files.vouched_sha256(path) is None


def test_an_installed_file_that_has_changed_since_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.tflite"
    path.write_bytes(DEFAULT.read_bytes())
    note = {"sha256": "0" * 64, "source": "x", "installed": "y"}
    path.with_suffix(".json").write_text(json.dumps(note), "utf-8")
    with pytest.raises(ModelUnavailable, match="not the file that was installed"):
        TfliteClassifier(path, name="mine", threads=1).open()


class PowerCut(Exception):
    """The machine is gone."""


def install(folder: Path, source: Path, *, labels: Path | None = None, replace: bool = False) -> None:
    model_install.install(str(source), "mine", folder, sha256=None, labels=labels, replace=replace)


@pytest.mark.slow
def test_a_power_cut_while_replacing_leaves_a_model_that_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, DEFAULT)
    path = tmp_path / "mine.tflite"
    wanted = {path_.read_bytes() for path_ in (DEFAULT, OTHER)}
    calls = 0
    real = model_install._sync_folder

    for cut_at in range(1, 4):

        def sync(folder: Path, cut_at: int = cut_at) -> None:
            nonlocal calls
            calls += 1
            if calls == cut_at:
                raise PowerCut
            real(folder)

        calls = 0
        monkeypatch.setattr(model_install, "_sync_folder", sync)
        with pytest.raises(PowerCut):
            install(tmp_path, OTHER, replace=True)
        assert path.read_bytes() in wanted
        info = TfliteClassifier(path, name="mine", threads=1).open()
        assert info.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(model_install, "_sync_folder", real)
    install(tmp_path, OTHER, replace=True)
    assert path.read_bytes() == OTHER.read_bytes()
    assert model_files.vouched_sha256(path) == hashlib.sha256(OTHER.read_bytes()).hexdigest()
    assert sorted(found.name for found in tmp_path.iterdir()) == ["mine.json", "mine.tflite"]


@pytest.mark.slow
def test_a_failed_replacement_leaves_the_old_model_as_it_was(tmp_path: Path) -> None:
    install(tmp_path, DEFAULT)
    broken = tmp_path / "broken.bin"
    broken.write_bytes(DEFAULT.read_bytes()[:2000])
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    shown = model_install.install(str(broken), "mine", tmp_path, sha256=None, replace=True)
    assert not shown.ok
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ModelUnavailable, match="cannot be stored"):
        install(tmp_path / "file" / "models", DEFAULT)


def test_a_source_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="cannot be read"):
        install(tmp_path, tmp_path / "absent.tflite")
    with pytest.raises(UsageError, match="sha256"):
        model_install.install("https://example.org/m.tflite", "mine", tmp_path, sha256=None)


@pytest.mark.parametrize("address", ["https://user:secret@[bad/m.tflite", "http://[::1"])
def test_an_address_that_cannot_be_one_is_said(tmp_path: Path, address: str) -> None:
    with pytest.raises(UsageError, match="cannot be one") as caught:
        model_install.install(address, "mine", tmp_path, sha256="0" * 64)
    assert "secret" not in str(caught.value)


@pytest.mark.slow
def test_secrets_in_an_address_are_noted_nowhere(tmp_path: Path) -> None:
    address = "http://user:secret@127.0.0.1:9/m.tflite?token=secret"
    with pytest.raises(ModelUnavailable, match="cannot be fetched") as caught:
        model_install.install(address, "mine", tmp_path, sha256="0" * 64)
    assert "secret" not in str(caught.value)
