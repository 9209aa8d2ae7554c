"""How the verbs speak to people."""

from __future__ import annotations

import pytest

from trapd.cli.words import counted


@pytest.mark.parametrize(("number", "said"), [(0, "0 bursts"), (1, "1 burst"), (2, "2 bursts")])
def test_a_number_is_told_with_what_it_is_of(number: int, said: str) -> None:
    assert counted(number, "burst") == said
