"""Stands in for pykms, which draws on a monitor: picamera2 imports it, trapd shows nothing."""


class PixelFormat:
    """Only the names are asked for."""

    RGB888 = BGR888 = XRGB8888 = XBGR8888 = YUV420 = YVU420 = NV12 = NV21 = MJPEG = None
