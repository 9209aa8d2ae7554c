"""The zip at the end of a model file, whatever is in it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trapd.backends.model_files import find
from trapd.backends.tflite.metadata import Metadata, read_metadata
from trapd.errors import ModelUnavailable

CARD: dict[str, Any] = {
    "format": 1,
    "task": "camera-trap-filter",
    "name": "mine",
    "labels": ["empty", "animal"],
    "threshold": 0.4,
}


def model(folder: Path, **files: str | bytes) -> Path:
    """A file that begins like a model and ends with these zipped; `_` in a name stands for a dot."""
    path = folder / "made.tflite"
    path.write_bytes(b"\x1c\0\0\0TFL3" + bytes(1000))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("_", "."), content)
    return path


def test_the_default_models_card_is_read() -> None:
    card = read_metadata(find("default", None), None).card
    assert card is not None
    assert (card.name, card.threshold) == ("trapd-lite1", 0.35)
    assert card.labels == ("empty", "unclassified")  # it names nothing


def test_labels_come_from_the_file_or_from_the_user(tmp_path: Path) -> None:
    path = model(tmp_path, labelmap_txt="person\ncar\n", trapd_json=json.dumps(CARD))
    assert read_metadata(path, None).labels == ("person", "car")
    own = tmp_path / "own.txt"
    own.write_text("\ufeffcat\ndog\n", "utf-8")
    found = read_metadata(path, own)
    assert found.labels == ("cat", "dog")
    assert found.card is not None


def test_a_model_without_metadata_has_none(tmp_path: Path) -> None:
    path = tmp_path / "bare.tflite"
    path.write_bytes(b"\x1c\0\0\0TFL3" + bytes(1000))
    assert read_metadata(path, None) == Metadata()


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},  # of it the colours must be said
        {"format": 2, "input": {"colour": "CMYK"}},
        {"format": 3},
        {"task": "other"},
        {"labels": ["animal"]},
        {"labels": ["empty", 3]},
        {"labels": "empty"},
        {"threshold": 1.5},
        {"threshold": "0.4"},
        {"threshold": None},
        {"name": 3},
    ],
)
def test_a_card_that_cannot_be_used_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    with pytest.raises(ModelUnavailable, match=r"trapd\.json"):
        read_metadata(model(tmp_path, trapd_json=json.dumps({**CARD, **change})), None)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_a_card_that_is_no_json_object_is_refused(tmp_path: Path, text: bytes) -> None:
    with pytest.raises(ModelUnavailable, match=r"trapd\.json"):
        read_metadata(model(tmp_path, trapd_json=text), None)


@pytest.mark.parametrize("content", [b"", b"\xff\xff", b"a\n" * 600_000])
def test_a_label_file_that_cannot_be_used_is_refused(tmp_path: Path, content: bytes) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_bytes(content)
    with pytest.raises(ModelUnavailable, match="label file"):
        read_metadata(model(tmp_path), labels)
    with pytest.raises(ModelUnavailable, match="label file"):
        read_metadata(model(tmp_path), tmp_path / "absent.txt")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1"])
def test_labels_in_another_encoding_are_refused_with_the_one_to_use(tmp_path: Path, encoding: str) -> None:
    """UTF-16 without its mark passes for UTF-8: with a zero byte in each name, which no set knows."""
    labels = tmp_path / "labels.txt"
    labels.write_bytes("vide\nbelette à queue\n".encode(encoding))
    with pytest.raises(ModelUnavailable, match="not text in UTF-8"):
        read_metadata(model(tmp_path), labels)


def test_a_zip_that_unpacks_to_too_much_is_passed_over(tmp_path: Path) -> None:
    assert read_metadata(model(tmp_path, labels_txt=b"a\n" * 2_000_000), None).labels is None


@given(st.binary(max_size=80), st.integers(0, 400), st.booleans())
def test_any_damage_gives_metadata_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, damage: bytes, place: int, cut: bool
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    path = model(folder, labels_txt="person\ncar\n", trapd_json=json.dumps(CARD))
    data = path.read_bytes()
    at = max(0, len(data) - place)
    path.write_bytes(data[:at] + damage + (b"" if cut else data[at + len(damage) :]))
    try:
        assert isinstance(read_metadata(path, None), Metadata)
    except ModelUnavailable as error:
        assert str(error)


@pytest.mark.parametrize(
    ("change", "colours"),
    [
        ({}, "RGB"),
        ({"input": {"colour": "RGB"}}, "RGB"),
        ({"format": 2, "input": {"colour": "YCbCr"}}, "YCbCr"),
        ({"format": 2, "input": {"colour": "RGB"}}, "RGB"),
    ],
)
def test_a_card_says_what_the_three_numbers_of_a_pixel_are(
    tmp_path: Path, change: dict[str, Any], colours: str
) -> None:
    found = read_metadata(model(tmp_path, trapd_json=json.dumps({**CARD, **change})), None)
    assert found.card is not None
    assert found.card.colours == colours
