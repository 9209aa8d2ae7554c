"""The two pictures of one frame: the photograph as JPEG, and the filter's small one. Capture's thread.

Both streams are planar or semi-planar 4:2:0. JPEG is encoded straight from the planes: no colours are
converted, and nothing is copied but, of NV12, the chroma. At 2304 x 1296 that is 1.5 MB beside the JPEG
itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from trapd.errors import CameraUnavailable
from trapd.frozen import Frozen
from trapd.records import Small

if TYPE_CHECKING:
    import numpy.typing as npt

_LAYOUTS = {"YUV420": "i420", "NV12": "nv12"}

Plane: TypeAlias = "npt.NDArray[np.uint8]"


class Stream(Frozen):
    """One stream as libcamera agreed to it. `layout` as in records.Small; `stride` is bytes per luma row."""

    name: str
    layout: str
    width: int
    height: int
    stride: int

    @property
    def bytes(self) -> int:
        """Of one picture, padding included."""
        return self.stride * self.height * 3 // 2


def agreed(configuration: Mapping[str, Any], name: str) -> Stream:
    """What became of the request for a stream. Raises CameraUnavailable for a format that is none of ours."""
    found = configuration[name]
    layout = _LAYOUTS.get(found["format"])
    width, height = found["size"]
    if layout is None or width % 2 or height % 2:
        raise CameraUnavailable(
            f"the camera gives {found['format']} of {width} x {height} for its {name} stream",
            "trapd takes YUV420 and NV12 of even size: use a camera made for the Raspberry Pi",
        )
    stride = found.get("stride") or width
    if stride % 2 or stride < width:
        raise CameraUnavailable(
            f"the camera gives rows of {stride} bytes for the {width} pixels of its {name} stream",
            "make camera.size or camera.filter_size one that the sensor has",
        )
    return Stream(name, layout, width, height, stride)


def jpeg_of(library: Any, request: Any, stream: Stream, quality: int) -> bytes:
    """The stream's picture as JPEG, 4:2:0. Raises CameraUnavailable for a buffer that is too short."""
    with library.picamera2.MappedArray(request, stream.name, reshape=False) as mapped:
        luma, blue, red = _planes(_whole(mapped.array, stream), stream)
        try:
            return bytes(library.simplejpeg.encode_jpeg_yuv_planes(luma, blue, red, quality))
        finally:
            del luma, blue, red  # views of a buffer that is about to be unmapped


def small_of(library: Any, request: Any, stream: Stream) -> Small:
    """The stream's picture, copied as it lies there. Raises CameraUnavailable for a short buffer."""
    with library.picamera2.MappedArray(request, stream.name, reshape=False) as mapped:
        data = _whole(mapped.array, stream).tobytes()
    return Small(data, stream.width, stream.height, stream.stride, stream.layout)


def _whole(flat: Plane, stream: Stream) -> Plane:
    if flat.size < stream.bytes:
        raise CameraUnavailable(
            f"the camera's {stream.name} picture has {flat.size} bytes instead of {stream.bytes}",
            "make camera.size or camera.filter_size one that the sensor has",
        )
    return flat[: stream.bytes]


def _planes(flat: Plane, stream: Stream) -> tuple[Plane, Plane, Plane]:
    """Y, Cb and Cr."""
    width, height, stride = stream.width, stream.height, stream.stride
    luma = flat[: stride * height].reshape(height, stride)[:, :width]
    chroma = flat[stride * height :]
    if stream.layout == "nv12":
        both = chroma.reshape(height // 2, stride)
        return (
            luma,
            np.ascontiguousarray(both[:, 0:width:2]),
            np.ascontiguousarray(both[:, 1 : width + 1 : 2]),
        )
    blue, red = chroma.reshape(2, height // 2, stride // 2)[:, :, : width // 2]
    return luma, blue, red
