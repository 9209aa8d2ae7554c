"""The Raspberry Pi's GPIO chip: found by its label, opened through lgpio, with a sentence for each refusal.

Sensor and LED open it each for itself, `doctor` looks at it. Any thread. gpiozero's own choice of a library
is never asked for: where lgpio does not work it falls back to another one, and says so to nobody.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from trapd.backends.device_files import DEVICES, who_may
from trapd.errors import PinInUse, SensorUnavailable

LABELS = ("pinctrl-bcm2835", "pinctrl-bcm2711", "pinctrl-rp1")
"""Of the chips that the 40-pin header hangs on: Zero 2 and 3, 4, 5. Their numbers change with the kernel."""

# linux/gpio.h: struct gpiochip_info and struct gpio_v2_line_info
_CHIP_INFO, _CHIP_INFO_BYTES = 0x8044B401, 68
_LINE_INFO, _LINE_INFO_BYTES = 0xC100B405, 256
_NO_LIBRARY = "apt install python3-gpiozero python3-lgpio; the environment must see the system's packages"


def find(folder: Path = DEVICES, label_of: Callable[[Path], str] | None = None) -> Path:
    """The device of the chip that the header hangs on. Raises SensorUnavailable."""
    # A link is an old name for a chip that is there under its own.
    chips = sorted(chip for chip in folder.glob("gpiochip*") if not chip.is_symlink())
    if not chips:
        raise SensorUnavailable(
            f"this machine has no GPIO chip ({folder}/gpiochip*)",
            "on a machine that is no Raspberry Pi use sensor.backend: timer",
        )
    locked, seen = [], []
    for chip in chips:
        try:
            label = (label_of or _label)(chip)
        except PermissionError:
            locked.append(chip)
        except OSError as error:
            seen.append(f"{chip.name}: {error.strerror}")
        else:
            if label in LABELS:
                return chip
            seen.append(f"{chip.name}: {label}")
    if locked:
        raise SensorUnavailable(f"no permission to use {locked[0]}", who_may(locked[0]))
    raise SensorUnavailable(
        f"no GPIO chip of a Raspberry Pi is here ({'; '.join(seen)})",
        "on a machine that is no Raspberry Pi use sensor.backend: timer",
    )


def holder(chip: Path, pin: int) -> str:
    """The name under which somebody uses a pin; empty where nobody does, or nobody knows."""
    request = struct.pack("64xI188x", pin)
    with suppress(OSError), chip.open("rb") as device:
        answer = fcntl.ioctl(device, _LINE_INFO, request)
        return _text(answer[32:64])
    return ""


def open_factory() -> Any:
    """gpiozero's pins on that chip, by lgpio and nothing else; close it. Raises SensorUnavailable."""
    chip = find()
    try:
        with _folder_for_the_pipe():
            import lgpio
        from gpiozero.pins.lgpio import LGPIOFactory, LGPIOPin
        from gpiozero.pins.pi import PiFactory
    except ImportError as error:
        raise SensorUnavailable(f"the library {error.name or error} is not here", _NO_LIBRARY) from error
    except OSError as error:
        raise SensorUnavailable(
            f"lgpio found no folder for its pipe: {error.strerror or error}",
            "name a folder that trapd may write in the environment variable LG_WD",
        ) from error
    except Exception as error:  # one of the two is damaged, or they do not fit each other
        raise SensorUnavailable(
            f"lgpio and gpiozero cannot be imported: {type(error).__name__}: {_words(error)}",
            "apt update && apt install --reinstall python3-gpiozero python3-lgpio",
        ) from error

    class Factory(LGPIOFactory):  # type: ignore[misc]  # gpiozero has no types
        """gpiozero 2.0 throws the number of the chip away and takes the one it believes in.

        And all its local factories share their pins: closing the LED's would end the sensor's edges.
        """

        def __init__(self) -> None:
            PiFactory.__init__(self)
            number = int(chip.name.removeprefix("gpiochip"))
            self._handle = lgpio.gpiochip_open(number)
            self._chip = number
            self.pin_class = LGPIOPin

    try:
        return Factory()
    except Exception as error:  # lgpio.error, and whatever gpiozero thinks of this board
        raise SensorUnavailable(f"{chip} cannot be opened: {_words(error)}", who_may(chip)) from error


def edges_come() -> bool:
    """Whether the thread that hands lgpio's edges on still lives; where there is none, they come without."""
    import sys

    thread = getattr(sys.modules.get("lgpio"), "_notify_thread", None)
    return thread is None or bool(thread.is_alive())


def refused(pin: int, error: Exception, chip: Path | None = None) -> SensorUnavailable:
    """What gpiozero or lgpio said of a pin, as a sentence with what to do."""
    kind, words = type(error).__name__, _words(error)
    if words == "GPIO busy" or "InUse" in kind:
        name = holder(chip, pin) if chip is not None else ""
        return PinInUse(
            f"pin {pin} is in use" + (f" by {name}" if name else ""),
            "end the other program, or take out what claims it in config.txt; gpioinfo lists all",
        )
    if kind in ("PinInvalidPin", "PinUnsupported") or words == "bad GPIO number":
        hint = "pins have BCM numbers: the command pinout shows them"
        return SensorUnavailable(f"pin {pin} is no GPIO pin of this board", hint)
    if kind == "PinFixedPull":
        return SensorUnavailable(
            f"pin {pin} has a resistor of its own that pulls the other way", "use another pin than 2 and 3"
        )
    if kind == "PinUnknownPi":
        return SensorUnavailable(
            "gpiozero does not recognise this board",
            "on a Raspberry Pi the unit file must let it read /proc (no ProcSubset=pid)",
        )
    return SensorUnavailable(f"pin {pin} cannot be used: {words}", "trapd doctor looks at the pins")


def _words(error: Exception) -> str:
    return str(error).strip("'") or type(error).__name__


def _label(chip: Path) -> str:
    with chip.open("rb") as device:
        return _text(fcntl.ioctl(device, _CHIP_INFO, bytes(_CHIP_INFO_BYTES))[32:64])


def _text(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode("utf-8", "replace")


@contextmanager
def _folder_for_the_pipe() -> Iterator[None]:
    """Importing lgpio makes a pipe in LG_WD, opens it, and leaves the process in that folder.

    The folder is a temporary one, gone as soon as both ends are open; the process goes back to where it was,
    for it may begin anew by a command line with relative paths.
    """
    if os.environ.get("LG_WD"):
        folder = None
    else:
        runtime = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0] or None
        folder = tempfile.mkdtemp(prefix="lgpio-", dir=runtime)
        os.environ["LG_WD"] = folder
    try:
        here = os.open(".", os.O_PATH | os.O_CLOEXEC)
    except PermissionError:  # begun by `sudo -u trapd` in somebody's home: it could find nothing there either
        here = os.open("/", os.O_PATH | os.O_CLOEXEC)
    try:
        yield
    finally:
        os.fchdir(here)
        os.close(here)
        if folder is not None:
            del os.environ["LG_WD"]
            shutil.rmtree(folder, ignore_errors=True)
