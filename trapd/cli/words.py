"""How the verbs speak to people."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """A number and what it is of: `1 burst`, `2 bursts`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
