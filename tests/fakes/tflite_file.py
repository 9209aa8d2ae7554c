"""TFLite files made in a test: any input, any outputs, run by the real interpreter, without TensorFlow.

Every output is `values + gain * seen`, where `seen` is the mean of the input within a window, in the real
numbers that the model gets. So what a model is fed can be read from its outputs, and outputs can be whatever
a layout has. `busy` layers without meaning make a model take its time. Knobs for the hostile ones: `random`
(other values each time), `endless` (a graph that calls itself).
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

_TYPES = {"float32": 0, "int32": 2, "uint8": 3, "int64": 4, "int8": 9}


@dataclass
class Value:
    """An input or output: `values` real numbers; quantised as `dtype` by scale and zero point.

    Without a scale they are cast to it. `scales`: said of each channel of what is cast so.
    """

    values: Any
    dtype: str = "float32"
    scale: float = 0.0
    zero_point: int = 0
    gain: Any = 0.0
    name: str = ""
    scales: Sequence[float] = ()


@dataclass
class Made:
    """What a file is to be. `shape` of the input; `window`: (top, bottom, left, right) of what is seen."""

    shape: tuple[int, ...] = (1, 32, 32, 3)
    dtype: str = "float32"
    scale: float = 0.0
    zero_point: int = 0
    outputs: Sequence[Value] = ()
    window: tuple[int, int, int, int] | None = None
    signature: tuple[int, ...] | None = None
    inputs: int = 1
    busy: int = 0
    random: bool = False
    endless: bool = False
    files: dict[str, str | bytes] = field(default_factory=dict)
    metadata: bytes | None = None


def write(path: Path, made: Made) -> Path:
    """The file at `path`."""
    path.write_bytes(_Graph(made).bytes())
    if made.files:
        with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
            for name, content in made.files.items():
                archive.writestr(name, content)
    return path


class _Graph:
    """One subgraph, put together with the schema's own objects."""

    def __init__(self, made: Made) -> None:
        self.tensors: list[Any] = []
        self.buffers: list[Any] = [schema.BufferT()]
        self.operators: list[Any] = []
        self.codes: list[int] = []
        self.made = made
        tensor = self.tensor(made.shape, made.dtype, made.scale, made.zero_point, "picture")
        if made.signature is not None:
            self.tensors[tensor].shapeSignature = list(made.signature)
        self.inputs = [tensor] + [self.tensor((1, 4), "float32", name="more") for _ in range(made.inputs - 1)]
        self.outputs: list[int] = []
        seen = self.seen(tensor)
        for value in made.outputs:
            self.outputs.append(self.output(value, seen))

    def seen(self, picture: int) -> int:
        """The mean of the window, a float of shape [1]."""
        made = self.made
        real = picture
        if made.dtype != "float32":
            if not made.scale:
                # Not quantised: cast, as models with their own rescaling do.
                real = self.run(schema.BuiltinOperator.CAST, [picture], made.shape)
            else:
                real = self.run(schema.BuiltinOperator.DEQUANTIZE, [picture], made.shape)
        if made.window is not None:
            mask = np.zeros(made.shape, np.float32)
            top, bottom, left, right = made.window
            planar = made.shape[1] == 3
            rows = (slice(None), slice(None)) if planar else (slice(None),)
            mask[(*rows, slice(top, bottom), slice(left, right))] = 1
            mask *= mask.size / mask.sum()
            real = self.run(schema.BuiltinOperator.MUL, [real, self.constant(mask)], made.shape)
        for _ in range(made.busy):
            lazy = self.run(schema.BuiltinOperator.LOGISTIC, [real], made.shape)
            # Its outcome is added at a weight that rounding takes away.
            little = self.run(
                schema.BuiltinOperator.MUL,
                [lazy, self.constant(np.array([1e-9], dtype=np.float32))],
                made.shape,
            )
            real = self.run(schema.BuiltinOperator.ADD, [real, little], made.shape)
        axes = self.constant(np.arange(len(made.shape), dtype=np.int32))
        return self.run(schema.BuiltinOperator.MEAN, [real, axes], ())

    def output(self, value: Value, seen: int) -> int:
        values = np.asarray(value.values, np.float32)
        gain = np.broadcast_to(np.asarray(value.gain, np.float32), values.shape)
        scaled = self.run(schema.BuiltinOperator.MUL, [seen, self.constant(gain)], values.shape)
        if self.made.random:
            shape = self.constant(np.array(values.shape, np.int32))
            noise = self.run(schema.BuiltinOperator.RANDOM_UNIFORM, [shape], values.shape)
            scaled = self.run(schema.BuiltinOperator.MUL, [scaled, noise], values.shape)
        total = self.run(schema.BuiltinOperator.ADD, [scaled, self.constant(values)], values.shape)
        if value.dtype != "float32" and not value.scale:
            total = self.cast(total, value)
        elif value.dtype != "float32":
            total = self.run(
                schema.BuiltinOperator.QUANTIZE,
                [total],
                values.shape,
                (value.dtype, value.scale, value.zero_point),
            )
        self.tensors[total].name = (value.name or f"output_{total}").encode()
        return total

    def cast(self, real: int, value: Value) -> int:
        found = self.run(schema.BuiltinOperator.CAST, [real], np.shape(value.values), (value.dtype, 0.0, 0))
        if value.scales:
            said = schema.QuantizationParametersT()
            said.scale, said.zeroPoint = list(value.scales), [0] * len(value.scales)
            said.quantizedDimension = 1
            self.tensors[found].quantization = said
        return found

    def tensor(
        self, shape: Sequence[int], dtype: str, scale: float = 0.0, zero_point: int = 0, name: str = ""
    ) -> int:
        tensor = schema.TensorT()
        tensor.shape, tensor.type, tensor.buffer = list(shape), _TYPES[dtype], 0
        tensor.name = (name or f"t{len(self.tensors)}").encode()
        if scale:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = [scale], [zero_point]
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def constant(self, values: Any) -> int:
        values = np.ascontiguousarray(values)
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self.buffers.append(buffer)
        tensor = self.tensor(values.shape, values.dtype.name)
        self.tensors[tensor].buffer = len(self.buffers) - 1
        return tensor

    def run(
        self, code: int, inputs: list[int], shape: Sequence[int], kind: tuple[str, float, int] | None = None
    ) -> int:
        out = self.tensor(shape, *(kind or ("float32", 0.0, 0)))
        self.operate(code, inputs, [out])
        return out

    def operate(self, code: int, inputs: list[int], outputs: list[int]) -> None:
        if code not in self.codes:
            self.codes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = self.codes.index(code)
        operator.inputs, operator.outputs = inputs, outputs
        kinds = {
            schema.BuiltinOperator.ADD: (schema.BuiltinOptions.AddOptions, schema.AddOptionsT),
            schema.BuiltinOperator.MUL: (schema.BuiltinOptions.MulOptions, schema.MulOptionsT),
            schema.BuiltinOperator.MEAN: (schema.BuiltinOptions.ReducerOptions, schema.ReducerOptionsT),
            schema.BuiltinOperator.CAST: (schema.BuiltinOptions.CastOptions, schema.CastOptionsT),
            schema.BuiltinOperator.RANDOM_UNIFORM: (
                schema.BuiltinOptions.RandomOptions,
                schema.RandomOptionsT,
            ),
            schema.BuiltinOperator.IF: (schema.BuiltinOptions.IfOptions, schema.IfOptionsT),
        }
        if code in kinds:
            operator.builtinOptionsType, made = kinds[code]
            operator.builtinOptions = made()
        self.operators.append(operator)

    def bytes(self) -> bytes:
        if self.made.endless:
            yes = self.constant(np.array([True]).astype(np.uint8))
            self.tensors[yes].type = schema.TensorType.BOOL
            self.operate(schema.BuiltinOperator.IF, [yes, *self.inputs], list(self.outputs))
        model = schema.ModelT()
        model.version = 3
        model.description = b"made in a test"
        model.operatorCodes = []
        for code in self.codes:
            one = schema.OperatorCodeT()
            one.builtinCode, one.version = code, 1
            one.deprecatedBuiltinCode = min(code, 127)
            model.operatorCodes.append(one)
        graph = schema.SubGraphT()
        graph.tensors, graph.inputs, graph.outputs = self.tensors, self.inputs, self.outputs
        graph.operators, graph.name = self.operators, b"main"
        model.subgraphs = [graph]
        model.buffers = self.buffers
        if self.made.metadata is not None:
            entry, buffer = schema.MetadataT(), schema.BufferT()
            buffer.data = np.frombuffer(self.made.metadata, np.uint8)
            self.buffers.append(buffer)
            entry.name, entry.buffer = b"TFLITE_METADATA", len(self.buffers) - 1
            model.metadata = [entry]
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def described(
    *,
    label_files: Sequence[str] = (),
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
) -> bytes:
    """TFLite metadata: the label files of the first output, and how the input is normalised."""
    builder = flatbuffers.Builder(256)

    def vector(items: Sequence[int]) -> int:
        builder.StartVector(4, len(items), 4)
        for item in reversed(items):
            builder.PrependUOffsetTRelative(item)
        end: int = builder.EndVector()
        return end

    def floats(values: Sequence[float]) -> int:
        builder.StartVector(4, len(values), 4)
        for value in reversed(values):
            builder.PrependFloat32(value)
        end: int = builder.EndVector()
        return end

    def table(slots: int, **fields: tuple[str, int]) -> int:
        builder.StartObject(slots)
        for name, (kind, value) in fields.items():
            slot = int(name.removeprefix("at"))
            if kind == "byte":
                builder.PrependUint8Slot(slot, value, 0)
            else:
                builder.PrependUOffsetTRelativeSlot(slot, value, 0)
        end: int = builder.EndObject()
        return end

    files = []
    for name in label_files:
        text = builder.CreateString(name)
        files.append(table(5, at0=("offset", text), at2=("byte", 2)))
    output = table(7, at6=("offset", vector(files)))
    units = []
    if mean:
        means, stds = floats(mean), floats(std)
        options = table(2, at0=("offset", means), at1=("offset", stds))
        units.append(table(2, at0=("byte", 1), at1=("offset", options)))
    entry = table(7, at4=("offset", vector(units)))
    inputs, outputs = vector([entry]), vector([output])
    graph = table(7, at2=("offset", inputs), at3=("offset", outputs))
    root = table(8, at3=("offset", vector([graph])))
    builder.Finish(root, b"M001")
    return bytes(builder.Output())
