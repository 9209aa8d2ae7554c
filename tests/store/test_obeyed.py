"""What the unit was told: a command is obeyed once, and its answer and its line in the trail go together."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.clock import FakeClock
from tests.store.common import open_store, running
from trapd.errors import StoreError
from trapd.records import Kind, TsQuality
from trapd.store import Session, Store, obeyed
from trapd.store.obeyed import Known, Outgoing

ANSWER = Outgoing(Kind.CONTROL, "res/ping", b'{"ok":1}')
REPORT = Outgoing(Kind.CONTROL, "config/reported", b'{"v":1}', retain=True)
DAY_MS = 86_400_000


def waiting(session: Session) -> list[tuple[str, bytes | None, bool]]:
    return [(m.leaf, m.payload, m.retain) for m in session.outbox.next(100, max_bytes=10**9)]


def test_a_command_is_here_before_it_is_obeyed_and_its_answer_after(tmp_path: Path) -> None:
    with running(tmp_path) as (_, session):
        assert session.obeyed.known("t1") is None
        assert session.obeyed.begin("t1", "ping", None)
        assert session.obeyed.known("t1") == Known(None)
        assert not session.obeyed.begin("t1", "reboot", 5)
        session.obeyed.end("t1", b"answer", [ANSWER], b"line")
        assert session.obeyed.known("t1") == Known(b"answer")
        assert sorted(waiting(session)) == [("res/ping", b'{"ok":1}', False), ("trail", b"line", False)]
    with running(tmp_path) as (_, session):
        assert session.obeyed.known("t1") == Known(b"answer")
        assert session.obeyed.trail(10) == [b"line"]


def test_a_command_that_ended_the_process_is_known_to_the_next(tmp_path: Path) -> None:
    """A reboot that comes again must not loop."""
    store = open_store(tmp_path)
    session = store.session()
    session.obeyed.begin("t1", "reboot", 5)
    session.close()
    store.close(clean=False)
    with running(tmp_path) as (_, session):
        assert session.obeyed.known("t1") == Known(None)
        assert not session.obeyed.begin("t1", "reboot", 5)


def test_answer_what_goes_out_and_trail_are_one_transaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tmp_path) as (_, session):
        session.obeyed.begin("t1", "ping", None)
        right = obeyed.queue_leaf

        def fails_at_the_trail(*args: object) -> int:
            if args[2].leaf == "trail":  # type: ignore[attr-defined]  # an Outgoing
                raise StoreError("no")
            return right(*args)  # type: ignore[arg-type]  # handed on as they came

        monkeypatch.setattr(obeyed, "queue_leaf", fails_at_the_trail)
        with pytest.raises(StoreError):
            session.obeyed.end("t1", b"answer", [ANSWER, REPORT], b"line")
        assert session.obeyed.known("t1") == Known(None)
        assert waiting(session) == []
        assert session.obeyed.trail(10) == []


def test_a_retained_leaf_takes_the_place_of_the_one_that_waits(tmp_path: Path) -> None:
    with running(tmp_path) as (_, session):
        session.obeyed.tell([REPORT, Outgoing(Kind.CONTROL, "config/reported", b"2", retain=True)])
        assert waiting(session) == [("config/reported", b"2", True)]
        session.obeyed.tell([Outgoing(Kind.CONTROL, "config/reported", b"3", retain=True)], b"line")
        assert sorted(waiting(session)) == [("config/reported", b"3", True), ("trail", b"line", False)]


@given(st.lists(st.sampled_from("abcdefgh"), max_size=40), st.integers(1, 6))
def test_of_commands_the_newest_are_known_and_of_the_others_how_far_they_reached(
    tmp_path_factory: pytest.TempPathFactory, told: list[str], kept: int
) -> None:
    """A name that comes again moves nothing."""
    with running(tmp_path_factory.mktemp("store")) as (_, session), pytest.MonkeyPatch.context() as patch:
        patch.setattr(obeyed, "_COMMANDS_KEPT", kept)
        model: dict[str, int | None] = {}
        forgotten = 0
        for number, txn in enumerate(told, 1):
            issued = None if number % 3 == 0 else number
            assert session.obeyed.begin(txn, "ping", issued) == (txn not in model)
            if txn not in model:
                model[txn] = issued
                while len(model) > kept:
                    forgotten = max(forgotten, model.pop(next(iter(model))) or 0)
            assert {name for name in "abcdefgh" if session.obeyed.known(name)} == set(model)
            assert session.obeyed.forgotten_ms() == forgotten


@pytest.mark.parametrize(
    ("quality", "far"), [(TsQuality.SYNCED, False), (TsQuality.RTC, False), (TsQuality.UNSET, True)]
)
def test_a_command_of_the_far_future_closes_nothing_when_it_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quality: TsQuality, far: bool
) -> None:
    """Else every later one would count as forgotten. Only a unit that knows the time can tell."""
    monkeypatch.setattr(obeyed, "_COMMANDS_KEPT", 1)
    clock = FakeClock(quality=quality)
    now_ms = clock.now().wall_ms
    with running(tmp_path, clock) as (_, session):
        session.obeyed.begin("t1", "ping", now_ms + 1000 * DAY_MS)
        session.obeyed.begin("t2", "ping", now_ms)
        assert session.obeyed.forgotten_ms() == now_ms + (1000 if far else 1) * DAY_MS


def test_of_the_trail_the_newest_lines_are_kept_the_oldest_of_them_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(obeyed, "_TRAIL_KEPT", 5)
    with running(tmp_path) as (_, session):
        for number in range(12):
            session.obeyed.tell([], b"%d" % number)
        assert session.obeyed.trail(100) == [b"7", b"8", b"9", b"10", b"11"]
        assert session.obeyed.trail(2) == [b"10", b"11"]
        assert len(waiting(session)) == 12


def test_who_only_looks_sees_the_trail_and_writes_nothing(tmp_path: Path) -> None:
    with running(tmp_path) as (_, session):
        session.obeyed.tell([], b"line")
        with Store.peek(tmp_path) as looking:
            assert looking.obeyed.trail(10) == [b"line"]
            with pytest.raises(StoreError, match="readonly"):
                looking.obeyed.begin("t1", "ping", None)
