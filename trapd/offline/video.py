"""Frames of a video as photographs, one a second. Needs PyAV (the extra `trapd[video]`). Main thread."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Iterator
from pathlib import Path

from trapd.errors import BadPicture, Unavailable
from trapd.frozen import Frozen

EVERY_S = 1.0
_QUALITY = 92
_MOST_FRAMES = 3600


class VideoFrame(Frozen):
    """One frame: its number in the video, and the video's frames per second."""

    number: int
    frame_rate: float
    jpeg: bytes


def require_video() -> None:
    """Raises Unavailable without PyAV."""
    if importlib.util.find_spec("av") is None:
        raise Unavailable("videos need PyAV", 'pip install "trapd[video]", or leave videos out')


def frames(path: Path, every_s: float = EVERY_S) -> Iterator[VideoFrame]:
    """A frame every `every_s`, an hour of video at most. Raises BadPicture for what cannot be decoded."""
    require_video()
    import av

    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise BadPicture("the file holds no video")
            stream = container.streams.video[0]
            rate = float(stream.average_rate or 25)
            step = max(1, round(rate * every_s))
            for number, frame in enumerate(container.decode(stream)):
                if number // step >= _MOST_FRAMES:
                    return
                if number % step == 0:
                    out = io.BytesIO()
                    frame.to_image().save(out, "JPEG", quality=_QUALITY)
                    yield VideoFrame(number, rate, out.getvalue())
    except (av.FFmpegError, OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error  # the whole of it repeats the path
        raise BadPicture(f"the video cannot be decoded: {why}") from error
