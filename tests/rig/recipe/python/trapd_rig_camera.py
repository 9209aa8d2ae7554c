"""What real picamera2 needs on libcamera's virtual pipeline; called at the end of picamera2's `__init__`.

- The pipeline has no raw stream; its processed sizes are given as the sensor's modes, as for a USB camera.
- It takes only buffers that libcamera allocated.
- Version 0.4 leaves a buffer's status unset: what memory held before. All its frames are good ones.
- It completes a request the moment it is queued. A sensor has its pace: requests are queued one a frame time,
  and handed on a little after their time stamp.
- TRAPD_RIG_HANG names a file; while it exists no request is handed on, as with a cable that came loose.
"""

import os
import threading
import time
from collections import deque
from pathlib import Path

import libcamera

FRAME_S = 1 / 30
LATENCY_S = 0.02


class Sensor:
    """Queues what waits, one request a frame time, on a thread of its own."""

    def __init__(self):
        self._waiting = deque()
        self._lock = threading.Lock()
        self._queue = libcamera.Camera.queue_request
        self._stop = libcamera.Camera.stop
        threading.Thread(target=self._run, name="sensor", daemon=True).start()

    def queue(self, camera, request):
        """Instead of libcamera's own."""
        with self._lock:
            self._waiting.append((camera, request))

    def stop(self, camera):
        """Instead of libcamera's own."""
        with self._lock:
            self._waiting.clear()
            return self._stop(camera)

    def _run(self):
        while True:
            time.sleep(FRAME_S)
            with self._lock:
                if self._waiting:
                    self._queue(*self._waiting.popleft())


def _sizes(camera):
    formats = camera.generate_configuration([libcamera.StreamRole.Viewfinder]).at(0).formats
    return [
        {"format": str(pixels), "size": (size.width, size.height)}
        for pixels in formats.pixel_formats
        for size in formats.sizes(pixels)
    ]


def fit(camera_class):
    """Make picamera2's class work here."""
    from picamera2.allocators import LibcameraAllocator

    opened = camera_class.__init__
    manager = type(camera_class._cm)
    hand_on = manager.handle_request

    def open_virtual(self, camera_num=0, verbose_console=None, tuning=None, allocator=None):
        opened(self, camera_num, verbose_console, tuning, allocator)
        self.allocator = LibcameraAllocator(self.camera)

    def hand_on_late(self, flushid=None):
        while (hang := os.environ.get("TRAPD_RIG_HANG")) and Path(hang).exists() and self.running:
            time.sleep(LATENCY_S)
        time.sleep(LATENCY_S)
        hand_on(self, flushid)

    sensor = Sensor()

    def queue_request(camera, request):
        sensor.queue(camera, request)

    def stop(camera):
        return sensor.stop(camera)

    libcamera.Camera.queue_request = queue_request
    libcamera.Camera.stop = stop
    libcamera.FrameMetadata.status = property(lambda self: libcamera.FrameMetadata.Status.Success)
    camera_class._get_raw_modes = lambda self: _sizes(self.camera)
    camera_class.__init__ = open_virtual
    manager.handle_request = hand_on_late
