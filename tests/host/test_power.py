"""A request to reboot is a file that root's unit looks for."""

from __future__ import annotations

from pathlib import Path

from trapd.host.power import Reboot


def test_what_was_asked_for_stands_until_it_is_taken_back(tmp_path: Path) -> None:
    reboot = Reboot({"RUNTIME_DIRECTORY": str(tmp_path)})
    assert reboot.why_not() == ""
    reboot.ask()
    assert (tmp_path / "reboot").exists()
    reboot.forget()
    reboot.forget()
    assert not (tmp_path / "reboot").exists()


def test_a_request_from_before_this_start_is_taken_back(tmp_path: Path) -> None:
    """A process that begins anew keeps its runtime folder."""
    Reboot({"RUNTIME_DIRECTORY": str(tmp_path)}).ask()
    Reboot({"RUNTIME_DIRECTORY": str(tmp_path)})
    assert not (tmp_path / "reboot").exists()


def test_without_a_service_manager_it_says_why_not(tmp_path: Path) -> None:
    assert "no runtime folder" in Reboot({}).why_not()
    assert "is not there" in Reboot({"RUNTIME_DIRECTORY": str(tmp_path / "gone")}).why_not()
