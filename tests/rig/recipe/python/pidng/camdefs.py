"""Stands in for PiDNG, which writes raw files and has no wheel: picamera2 imports it, trapd never uses it."""


class Picamera2Camera:
    """Never made."""
