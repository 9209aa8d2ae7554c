"""What the runtime says at its first model is not shown; what anybody else says is, whatever the threads."""

from __future__ import annotations

import subprocess
import sys

import pytest

_PROGRAM = """
import ctypes, os, threading, sys
from trapd.backends.model_files import find
from trapd.backends.tflite.interpreter import Interpreter
from trapd.backends.tflite.notice import without_notice

waiting = threading.Event()
threading.Thread(target=waiting.wait, daemon=True).start()
C = ctypes.CDLL(None)
say = lambda text: C.fputs(text, ctypes.c_void_p.in_dll(C, "stderr"))
with without_notice():
    say(b"from the C library\\n")
    say(b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\\n")
    os.write(2, b"to the descriptor\\n")
    print("from Python", file=sys.stderr, flush=True)
for _ in range(2):
    Interpreter(find("default", None), threads=1)
say(b"afterwards\\n")
waiting.set()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the C library's stderr has another name elsewhere")
def test_the_notice_alone_is_left_out() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines() == [
        "to the descriptor",
        "from Python",
        "from the C library",
        "afterwards",
    ]


def test_a_model_is_loaded_where_stderr_is_closed() -> None:
    program = "import os; os.close(2)\n" + _PROGRAM.replace('os.write(2, b"to the descriptor\\n")', "pass")
    program = program.replace('print("from Python", file=sys.stderr, flush=True)', "pass")
    subprocess.run([sys.executable, "-c", program], check=True)
