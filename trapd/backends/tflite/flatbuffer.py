"""What TFLite metadata says of a model: names of its label files, and how its input is normalised.

TFLite metadata is a flatbuffer within a flatbuffer (schemas: TensorFlow Lite's schema.fbs and
metadata_schema.fbs). Read here by hand, for a few fields do not earn a dependency. The bytes may be hostile:
every offset is checked, every vector bounded, and what does not fit is as if it were not there.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from trapd.frozen import Frozen

_IDENTIFIER: Final = b"TFL3"
_ENTRY: Final = b"TFLITE_METADATA"
_MOST_ENTRIES: Final = 10_000
_MOST_BYTES: Final = 500_000_000

# Places of the fields in their tables.
_MODEL_BUFFERS, _MODEL_METADATA = 4, 6
_BUFFER_DATA = 0
_METADATA_NAME, _METADATA_BUFFER = 0, 1
_SUBGRAPHS = 3
_SUBGRAPH_INPUTS, _SUBGRAPH_OUTPUTS = 2, 3
_TENSOR_UNITS, _TENSOR_FILES = 4, 6
_FILE_NAME, _FILE_TYPE = 0, 2
_UNIT_TYPE, _UNIT_OPTIONS = 0, 1
_NORMALISATION = 1
_MEAN, _STD = 0, 1
_LABEL_FILE_TYPES: Final = (0, 2, 3)  # unknown, labels of an axis, labels of a value


class Described(Frozen):
    """What the metadata says. `mean` and `std`: of bytes, one or three values; empty: not said."""

    label_files: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


def described(path: Path) -> Described:
    """Of the model in this file; nothing where it has no such metadata. Raises OSError."""
    if path.stat().st_size > _MOST_BYTES:
        return Described()
    data = path.read_bytes()
    if data[4:8] != _IDENTIFIER or _ENTRY not in data:
        return Described()
    try:
        inner = _metadata_buffer(_Table.root(data))
        return Described() if inner is None else _described(_Table.root(inner))
    except (struct.error, IndexError, ValueError, RecursionError):
        return Described()


def _metadata_buffer(model: _Table) -> bytes | None:
    buffers = list(model.tables(_MODEL_BUFFERS))
    for entry in model.tables(_MODEL_METADATA):
        if entry.text(_METADATA_NAME) == _ENTRY:
            return buffers[entry.unsigned(_METADATA_BUFFER)].text(_BUFFER_DATA)
    return None


def _described(root: _Table) -> Described:
    files: list[str] = []
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    for subgraph in list(root.tables(_SUBGRAPHS))[:1]:
        for tensor in subgraph.tables(_SUBGRAPH_OUTPUTS):
            for file in tensor.tables(_TENSOR_FILES):
                if file.byte(_FILE_TYPE) in _LABEL_FILE_TYPES:
                    files.append(file.text(_FILE_NAME).decode("utf-8", "replace"))
        for tensor in list(subgraph.tables(_SUBGRAPH_INPUTS))[:1]:
            for unit in tensor.tables(_TENSOR_UNITS):
                options = unit.table(_UNIT_OPTIONS)
                if unit.byte(_UNIT_TYPE) == _NORMALISATION and options is not None:
                    mean, std = options.floats(_MEAN), options.floats(_STD)
    sound = all(map(math.isfinite, (*mean, *std))) and all(value > 0 for value in std)
    if not (sound and len(mean) in (1, 3) and len(std) in (1, 3)):
        mean, std = (), ()
    return Described(tuple(files), mean, std)


class _Table:
    """One table of a flatbuffer. Fields that are absent are empty, zero or None."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self._at = at
        self._vtable = at - _read("<i", data, at)
        self._size = _read("<H", data, self._vtable)

    @staticmethod
    def root(data: bytes) -> _Table:
        return _Table(data, _read("<I", data, 0))

    def _field(self, number: int) -> int | None:
        place = 4 + 2 * number
        if place + 2 > self._size:
            return None
        offset = _read("<H", self._data, self._vtable + place)
        return self._at + offset if offset else None

    def byte(self, number: int) -> int:
        at = self._field(number)
        return 0 if at is None else _read("<B", self._data, at)

    def unsigned(self, number: int) -> int:
        at = self._field(number)
        return 0 if at is None else _read("<I", self._data, at)

    def table(self, number: int) -> _Table | None:
        at = self._field(number)
        return None if at is None else _Table(self._data, at + _read("<I", self._data, at))

    def _vector(self, number: int) -> tuple[int, int]:
        """Where its elements begin, and how many they are."""
        at = self._field(number)
        if at is None:
            return 0, 0
        at += _read("<I", self._data, at)
        return at + 4, _read("<I", self._data, at)

    def text(self, number: int) -> bytes:
        begin, length = self._vector(number)
        return self._data[begin : begin + length]

    def floats(self, number: int) -> tuple[float, ...]:
        begin, length = self._vector(number)
        if length > _MOST_ENTRIES:
            raise ValueError("a vector beyond all measure")
        return struct.unpack_from(f"<{length}f", self._data, begin)

    def tables(self, number: int) -> Iterator[_Table]:
        begin, length = self._vector(number)
        if length > _MOST_ENTRIES:
            raise ValueError("a vector beyond all measure")
        for at in range(begin, begin + 4 * length, 4):
            yield _Table(self._data, at + _read("<I", self._data, at))


def _read(form: str, data: bytes, at: int) -> int:
    if at < 0:
        raise IndexError("before the beginning")
    value: int = struct.unpack_from(form, data, at)[0]
    return value
