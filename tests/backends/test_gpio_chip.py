"""The chip of the header, found by its label; and what every refusal is told as."""

from __future__ import annotations

import grp
import os
import re
import sys
import tempfile
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trapd.backends import gpio_chip
from trapd.errors import SensorUnavailable


def devices(folder: Path, **labels: str | type[OSError]) -> Callable[[Path], str]:
    """Chips in a folder of their own, and what each says it is."""
    for name in labels:
        (folder / name).write_bytes(b"")

    def label_of(chip: Path) -> str:
        label = labels[chip.name]
        if isinstance(label, str):
            return label
        raise label(13 if label is PermissionError else 5, "refused")

    return label_of


@pytest.mark.parametrize("label", gpio_chip.LABELS)
def test_the_chip_is_known_by_its_label_whatever_its_number(tmp_path: Path, label: str) -> None:
    labels = devices(tmp_path, gpiochip0="gpio-brcmstb", gpiochip4=label, gpiochip10="raspberrypi-exp-gpio")
    assert gpio_chip.find(tmp_path, labels).name == "gpiochip4"


def test_an_old_name_of_a_chip_is_passed_over(tmp_path: Path) -> None:
    labels = devices(tmp_path, gpiochip4="pinctrl-rp1")
    (tmp_path / "gpiochip0").symlink_to("gpiochip4")
    assert gpio_chip.find(tmp_path, labels).name == "gpiochip4"


def test_a_chip_that_may_not_be_used_names_its_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grp, "getgrgid", lambda gid: types.SimpleNamespace(gr_name="gpio"))
    labels = devices(tmp_path, gpiochip0=PermissionError, gpiochip1="other")
    with pytest.raises(SensorUnavailable, match=r"no permission to use .*gpiochip0") as found:
        gpio_chip.find(tmp_path, labels)
    assert "group gpio" in found.value.hint


def test_one_that_may_be_used_counts_beside_one_that_may_not(tmp_path: Path) -> None:
    labels = devices(tmp_path, gpiochip0=PermissionError, gpiochip1="pinctrl-bcm2835")
    assert gpio_chip.find(tmp_path, labels).name == "gpiochip1"


def test_a_machine_without_a_chip_is_told_of_the_timer(tmp_path: Path) -> None:
    several: tuple[dict[str, Any], ...] = ({}, {"gpiochip0": "INT3450:00", "gpiochip1": OSError})
    for labels in several:
        label_of = devices(tmp_path, **labels)
        with pytest.raises(SensorUnavailable, match="no GPIO chip") as found:
            gpio_chip.find(tmp_path, label_of)
        assert "sensor.backend: timer" in found.value.hint


def test_a_file_that_is_no_chip_is_none(tmp_path: Path) -> None:
    """By the real question to the kernel."""
    (tmp_path / "gpiochip0").write_bytes(b"")
    with pytest.raises(SensorUnavailable, match="gpiochip0: Inappropriate ioctl"):
        gpio_chip.find(tmp_path)
    assert gpio_chip.holder(tmp_path / "gpiochip0", 17) == ""


def chip_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpio_chip, "find", lambda: Path("/dev/gpiochip4"))


def library(
    monkeypatch: pytest.MonkeyPatch, open_: Callable[[int], int], claimed: list[tuple[int, int]] | None = None
) -> list[int]:
    """lgpio as gpiozero wants it, without its C part. Gives the chips that were opened.

    `claimed`: each handle and pin that became an input, which ends its edges.
    """
    opened: list[int] = []
    claimed = [] if claimed is None else claimed

    def gpiochip_open(number: int) -> int:
        opened.append(number)
        return open_(number)

    names = dict.fromkeys(("SET_PULL_NONE", "BOTH_EDGES", "RISING_EDGE", "FALLING_EDGE"), 0)
    made = types.ModuleType("lgpio")
    made.__dict__.update(
        names, gpiochip_open=gpiochip_open, gpiochip_close=lambda handle: None, error=Exception
    )
    made.__dict__["gpio_claim_input"] = lambda handle, pin, flags: claimed.append((handle, pin))
    monkeypatch.setitem(sys.modules, "lgpio", made)
    monkeypatch.delitem(sys.modules, "gpiozero.pins.lgpio", raising=False)
    return opened


def test_the_chip_that_was_found_is_opened_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """gpiozero 2.0 opens the one that it believes in."""
    chip_is_there(monkeypatch)
    opened = library(monkeypatch, lambda number: 3)
    factory = gpio_chip.open_factory()
    assert (opened, factory.chip, type(factory).__mro__[1].__name__) == ([4], 4, "LGPIOFactory")
    factory.close()


def test_sensor_and_led_have_pins_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """gpiozero gives the pins of all its local factories back as soon as one of them is closed."""
    chip_is_there(monkeypatch)
    claimed: list[tuple[int, int]] = []
    handles = iter((3, 4))
    library(monkeypatch, lambda number: next(handles), claimed)
    sensor, led = gpio_chip.open_factory(), gpio_chip.open_factory()
    for factory, pin in ((sensor, 17), (led, 24)):
        monkeypatch.setattr(factory, "_get_revision", lambda: 0xC03114)
        factory.pin(pin)
        factory.reserve_pins(factory, pin)
    assert claimed == [(3, 17), (4, 24)]
    led.close()
    assert claimed[2:] == [(4, 24)]
    assert [pin.info.name for pin in sensor.pins.values()] == ["GPIO17"]
    sensor.close()
    assert claimed[3:] == [(3, 17)]


def test_a_chip_that_cannot_be_opened_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    chip_is_there(monkeypatch)

    def refuses(number: int) -> int:
        raise ValueError("'can not open gpiochip'")

    library(monkeypatch, refuses)
    with pytest.raises(SensorUnavailable, match="/dev/gpiochip4 cannot be opened: can not open gpiochip"):
        gpio_chip.open_factory()


@pytest.mark.parametrize("name", ["lgpio", "gpiozero.pins.lgpio"])
def test_a_library_that_is_missing_names_its_packages(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """And nothing else steps in: a fall-back that polls would miss the animal."""
    chip_is_there(monkeypatch)
    library(monkeypatch, lambda number: 3)
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SensorUnavailable, match=r"the library .* is not here") as found:
        gpio_chip.open_factory()
    assert "apt install python3-gpiozero python3-lgpio" in found.value.hint


@pytest.mark.parametrize("source", ["raise RuntimeError('no notifications')", "error = Exception"])
def test_a_library_that_is_damaged_or_of_another_time_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    """It ends no thread: the unit stays up and tries again."""
    chip_is_there(monkeypatch)
    (tmp_path / "lgpio.py").write_text(source + "\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("lgpio", "gpiozero.pins.lgpio"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    try:
        with pytest.raises(SensorUnavailable, match=r"cannot be imported: (Runtime|Attribute)Error") as found:
            gpio_chip.open_factory()
    finally:
        for name in ("lgpio", "gpiozero.pins.lgpio"):
            sys.modules.pop(name, None)
    assert "--reinstall" in found.value.hint


def test_lgpios_pipe_gets_a_folder_and_the_process_stays_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LG_WD", raising=False)
    (tmp_path / "run").mkdir()
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    with gpio_chip._folder_for_the_pipe():
        folder = Path(os.environ["LG_WD"])
        assert folder.parent == tmp_path / "run"
        os.chdir(folder)  # as importing lgpio does
        (folder / ".lgd-nfy0").write_bytes(b"")
    assert Path.cwd() == tmp_path
    assert list((tmp_path / "run").iterdir()) == []
    assert "LG_WD" not in os.environ


def test_lgpios_pipe_is_had_from_a_folder_that_this_user_may_not_look_into(tmp_path: Path) -> None:
    """As where somebody in a home of his own says `sudo -u trapd trapd doctor`."""
    (tmp_path / "home").mkdir()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, _pipe_of_a_stranger(tmp_path / "home").encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading) as told:
        assert told.read() == "/ True"


def _pipe_of_a_stranger(home: Path) -> str:
    """Where the process is at last, and whether nothing is left of the pipe's folder. In a child."""
    for name in ("LG_WD", "RUNTIME_DIRECTORY"):
        os.environ.pop(name, None)
    try:
        os.chdir(home)
        home.chmod(0o000)
        if os.geteuid() == 0:
            os.setgroups([])
            os.setuid(65534)
        tempfile.tempdir = "/tmp"
        with gpio_chip._folder_for_the_pipe():
            folder = Path(os.environ["LG_WD"])
            os.chdir(folder)
        return f"{Path.cwd()} {not folder.exists() and 'LG_WD' not in os.environ}"
    except BaseException as error:
        return repr(error)


def test_a_folder_that_somebody_named_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LG_WD", str(tmp_path))
    with gpio_chip._folder_for_the_pipe():
        pass
    assert os.environ["LG_WD"] == str(tmp_path)
    assert tmp_path.is_dir()


def test_no_folder_for_the_pipe_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    chip_is_there(monkeypatch)
    monkeypatch.delenv("LG_WD", raising=False)
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/nowhere/at/all")
    with pytest.raises(SensorUnavailable, match="no folder for its pipe") as found:
        gpio_chip.open_factory()
    assert "LG_WD" in found.value.hint


class PinFixedPull(Exception):
    pass


class PinUnknownPi(Exception):
    pass


class PinInvalidPin(Exception):
    pass


class GPIOPinInUse(Exception):
    pass


@pytest.mark.parametrize(
    ("error", "message", "hint"),
    [
        (ValueError("'GPIO busy'"), "pin 17 is in use", "gpioinfo"),
        (GPIOPinInUse("pin 17 is already in use"), "pin 17 is in use", "gpioinfo"),
        (PinInvalidPin("99 is not a valid pin"), "pin 17 is no GPIO pin of this board", "BCM"),
        (ValueError("'bad GPIO number'"), "pin 17 is no GPIO pin of this board", "BCM"),
        (PinFixedPull("GPIO2 has a physical pull-up"), "pin 17 has a resistor of its own", "2 and 3"),
        (PinUnknownPi("no revision"), "gpiozero does not recognise this board", "ProcSubset"),
        (OSError(5, "Input/output error"), "pin 17 cannot be used: .*Input/output error", "doctor"),
        (ZeroDivisionError(), "pin 17 cannot be used: ZeroDivisionError", "doctor"),
    ],
)
def test_every_refusal_is_a_sentence_with_what_to_do(error: Exception, message: str, hint: str) -> None:
    said = gpio_chip.refused(17, error)
    assert re.match(message, said.message)
    assert hint in said.hint


def test_the_thread_of_edges_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    made = types.ModuleType("lgpio")
    monkeypatch.setitem(sys.modules, "lgpio", made)
    assert gpio_chip.edges_come()
    for lives in (True, False):
        made._notify_thread = types.SimpleNamespace(is_alive=lambda lives=lives: lives)  # type: ignore[attr-defined]  # a stand-in
        assert gpio_chip.edges_come() is lives
