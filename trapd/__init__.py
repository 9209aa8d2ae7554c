"""trapd: sense, capture, screen, deliver; obey the operator; keep everything through a power cut."""

__version__ = "0.1.0"
