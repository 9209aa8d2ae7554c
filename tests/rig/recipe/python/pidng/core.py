"""See camdefs."""


class PICAM2DNG:
    """Never made."""
