"""What real picamera2 needs on libcamera's virtual pipeline; called at the end of picamera2's `__init__`.

- The pipeline has no raw stream; its processed sizes are given as the sensor's modes, as for a USB camera.
- It takes only buffers that libcamera allocated.
- Version 0.4 leaves a buffer's status unset: what memory held before. All its frames are good ones.
- It completes a request the moment it is queued. A sensor takes its time: requests are handed on a frame
  time later, their time stamp from before the wait, as from a sensor.
- TRAPD_RIG_HANG names a file; while it exists no request is handed on, as with a cable that came loose.
"""

import os
import time
from pathlib import Path

import libcamera

FRAME_S = 1 / 30


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

    def hand_on_in_time(self, flushid=None):
        while (hang := os.environ.get("TRAPD_RIG_HANG")) and Path(hang).exists() and self.running:
            time.sleep(0.05)
        time.sleep(FRAME_S)
        hand_on(self, flushid)

    libcamera.FrameMetadata.status = property(lambda self: libcamera.FrameMetadata.Status.Success)
    camera_class._get_raw_modes = lambda self: _sizes(self.camera)
    camera_class.__init__ = open_virtual
    manager.handle_request = hand_on_in_time
