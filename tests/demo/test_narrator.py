"""News is a sentence for people or an object for programs, one a line."""

from __future__ import annotations

import json
import re

import pytest

from trapd.demo.narrator import JsonLines, Lines


def test_people_get_the_time_and_the_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    Lines().tell("burst", "burst 1 [animal] " + "x" * 200, style="green", seq=1)
    assert re.fullmatch(r"\d\d:\d\d:\d\d  burst 1 \[animal\] x{200}\n", capsys.readouterr().out)


def test_programs_get_the_fields(capsys: pytest.CaptureFixture[str]) -> None:
    JsonLines().tell("burst", "burst 1", style="green", seq=1, score=None)
    assert json.loads(capsys.readouterr().out) == {"kind": "burst", "seq": 1, "score": None}
