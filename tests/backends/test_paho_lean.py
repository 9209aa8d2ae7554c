"""What paho would import and does not need comes when somebody needs it."""

from __future__ import annotations

import subprocess
import sys

import pytest

_BEFORE = "from trapd.backends.paho_lean import lean; lean(); import sys, paho.mqtt.client; "


def said(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", _BEFORE + code], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_with_paho_come_neither_http_nor_e_mail() -> None:
    assert said("print({'http.client', 'email'} & sys.modules.keys())") == "set()"


@pytest.mark.parametrize(
    "code",
    [
        "from urllib.request import Request; print(Request.__name__)",
        "import urllib.request; print(urllib.request.Request.__name__)",
        "import urllib; print(urllib.request.Request.__name__)",
        "print(paho.mqtt.client.urllib.request.Request.__name__)",
    ],
)
def test_whoever_asks_for_it_later_gets_the_real_one(code: str) -> None:
    assert said(code) == "Request"


def test_where_it_is_there_already_it_stays() -> None:
    code = "import urllib.request as there; lean(); import urllib.request; print(urllib.request is there)"
    assert said(code) == "True"
