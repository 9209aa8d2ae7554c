"""What the unit was told: a command is obeyed once, and its answer and its line in the trail go together."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.clock import FakeClock
from tests.store.common import open_store, running
from trapd.errors import StoreError
from trapd.records import Kind
from trapd.rules import NS_PER_S
from trapd.store import Session, Store
from trapd.store.queue import obeyed
from trapd.store.queue.obeyed import Begun, Known, Outgoing

ANSWER = Outgoing(Kind.CONTROL, "res/ping", b'{"ok":1}')
REPORT = Outgoing(Kind.CONTROL, "config/reported", b'{"v":1}', retain=True)
DAY_MS = 86_400_000


def waiting(session: Session) -> list[tuple[str, bytes | None, bool]]:
    return [(m.leaf, m.payload, m.retain) for m in session.outbox.next(100, max_bytes=10**9)]


def test_a_command_is_here_before_it_is_obeyed_and_its_answer_after(tmp_path: Path) -> None:
    with running(tmp_path) as (_, session):
        assert session.obeyed.known("t1") is None
        assert session.obeyed.begin(Begun("t1", "ping", None))
        assert session.obeyed.known("t1") == Known("ping", None)
        assert [(one.txn, one.command) for one in session.obeyed.unanswered()] == [("t1", "ping")]
        assert not session.obeyed.begin(Begun("t1", "reboot", 5))
        session.obeyed.end("t1", b"answer", [ANSWER], b"line")
        assert session.obeyed.known("t1") == Known("ping", b"answer")
        assert session.obeyed.unanswered() == []
        assert sorted(waiting(session)) == [("res/ping", b'{"ok":1}', False), ("trail", b"line", False)]
    with running(tmp_path) as (_, session):
        assert session.obeyed.known("t1") == Known("ping", b"answer")
        assert session.obeyed.trail(10) == [b"line"]


def test_a_command_that_ended_the_process_is_known_to_the_next(tmp_path: Path) -> None:
    """A reboot that comes again must not loop."""
    store = open_store(tmp_path)
    session = store.session()
    session.obeyed.begin(Begun("t1", "reboot", 5))
    session.close()
    store.close(clean=False)
    with running(tmp_path) as (_, session):
        assert session.obeyed.known("t1") == Known("reboot", None)
        assert not session.obeyed.begin(Begun("t1", "reboot", 5))


def test_answer_what_goes_out_and_trail_are_one_transaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tmp_path) as (_, session):
        session.obeyed.begin(Begun("t1", "ping", None))
        right = obeyed.queue_leaf

        def fails_at_the_trail(*args: object) -> int:
            if args[2].leaf == "trail":  # type: ignore[attr-defined]  # an Outgoing
                raise StoreError("no")
            return right(*args)  # type: ignore[arg-type]  # handed on as they came

        monkeypatch.setattr(obeyed, "queue_leaf", fails_at_the_trail)
        with pytest.raises(StoreError):
            session.obeyed.end("t1", b"answer", [ANSWER, REPORT], b"line", told=["1"])
        assert session.obeyed.known("t1") == Known("ping", None)
        assert session.obeyed.told() == frozenset()
        assert waiting(session) == []
        assert session.obeyed.trail(10) == []


def test_a_retained_leaf_takes_the_place_of_the_one_that_waits(tmp_path: Path) -> None:
    with running(tmp_path) as (_, session):
        session.obeyed.tell([REPORT, Outgoing(Kind.CONTROL, "config/reported", b"2", retain=True)])
        assert waiting(session) == [("config/reported", b"2", True)]
        session.obeyed.tell([Outgoing(Kind.CONTROL, "config/reported", b"3", retain=True)], b"line")
        assert sorted(waiting(session)) == [("config/reported", b"3", True), ("trail", b"line", False)]


@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.none() | st.integers(1, 9)), max_size=40),
    st.integers(1, 4),
)
def test_what_is_not_known_any_more_is_known_by_its_time(
    tmp_path_factory: pytest.TempPathFactory, told: list[tuple[str, int | None]], kept: int
) -> None:
    """However it is dated: a command that was here is known, or issued no later than what is forgotten."""
    with running(tmp_path_factory.mktemp("store")) as (_, session), pytest.MonkeyPatch.context() as patch:
        patch.setattr(obeyed, "_COMMANDS_KEPT", kept)
        patch.setattr(obeyed, "_FORGETS_EVERY", 1)
        timed: dict[str, int] = {}
        untimed: list[str] = []
        for txn, issued in told:
            was_known = session.obeyed.known(txn) is not None
            assert session.obeyed.begin(Begun(txn, "ping", issued)) == (not was_known)
            if was_known:
                continue
            if issued is None:
                untimed.append(txn)
                assert all(session.obeyed.known(name) for name in untimed[-kept:])
            else:
                timed[txn] = issued
                untimed = [name for name in untimed if name != txn]
            forgotten_ms = session.obeyed.forgotten_ms()
            assert all(session.obeyed.known(name) or at <= forgotten_ms for name, at in timed.items())
            known = [name for name in "abcdefgh" if session.obeyed.known(name)]
            assert len(known) <= 2 * kept


def test_a_command_of_the_far_future_is_known_as_long_as_it_could_come_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any number of later ones does not push it out, nor does it bar their way."""
    monkeypatch.setattr(obeyed, "_COMMANDS_KEPT", 5)
    monkeypatch.setattr(obeyed, "_FORGETS_EVERY", 1)
    clock = FakeClock()
    now_ms = clock.now().wall_ms
    with running(tmp_path, clock) as (_, session):
        session.obeyed.begin(Begun("far", "reboot", now_ms + 1000 * DAY_MS))
        for number in range(30):
            session.obeyed.begin(Begun(f"t{number}", "ping", now_ms + number))
            session.obeyed.begin(Begun(f"u{number}", "ping", None))
        assert session.obeyed.known("far") is not None
        assert session.obeyed.forgotten_ms() == now_ms + 25


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


def test_what_the_trail_has_of_notes_is_remembered_with_its_lines(tmp_path: Path) -> None:
    with running(tmp_path) as (_, session):
        session.obeyed.tell([], b"a", b"b", told=["1", "2"])
        session.obeyed.tell([], b"c")
    with running(tmp_path) as (_, session):
        assert session.obeyed.told() == {"1", "2"}
        session.obeyed.tell([], told=["2"])
        assert session.obeyed.told() == {"2"}
        assert session.obeyed.trail(10) == [b"a", b"b", b"c"]


def test_an_hour_of_the_trail_holds_sixty_lines_through_a_reboot(tmp_path: Path) -> None:
    """Time before the boot counts as far as it was noted."""
    clock = FakeClock()
    with running(tmp_path, clock) as (_, session):
        for _ in range(50):
            session.obeyed.tell([], b"line")
        clock.advance(3000.0)
        session.obeyed.tell([], b"line")
    again = FakeClock(boot_id="next-boot")
    with running(tmp_path, again) as (_, session):
        for _ in range(50):
            session.obeyed.tell([], b"line")
        assert len(session.obeyed.trail(100)) == 60
        ends_ns = session.obeyed.trail_hour_ends_ns()
        assert ends_ns == 600 * NS_PER_S
        session.obeyed.end_trail_hour(lambda more: b"%d more" % more)
        assert session.obeyed.trail_hour_ends_ns() is None
        session.obeyed.tell([], b"next")
        assert session.obeyed.trail(2) == [b"41 more", b"next"]


def test_an_hour_without_too_many_ends_in_silence(tmp_path: Path) -> None:
    with running(tmp_path) as (_, session):
        session.obeyed.tell([], b"line")
        session.obeyed.end_trail_hour(lambda more: b"%d more" % more)
        assert session.obeyed.trail(2) == [b"line"]


def test_who_only_looks_sees_the_trail_and_writes_nothing(tmp_path: Path) -> None:
    with running(tmp_path) as (_, session):
        session.obeyed.tell([], b"line")
        with Store.peek(tmp_path) as looking:
            assert looking.obeyed.trail(10) == [b"line"]
            with pytest.raises(StoreError, match="readonly"):
                looking.obeyed.begin(Begun("t1", "ping", None))
