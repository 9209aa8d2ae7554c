"""A seeded bug turns the suite red: a row that is deleted before its PUBACK."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck

from tests.machines import find
from tests.stages.deliver import test_deliver, test_deliver_troubles, test_receipts
from tests.stages.deliver.test_deliver_any_order import AnyOrder
from tests.stages.deliver.test_receipts import PLAN
from tests.stages.driver import DeliverDriver
from tests.stages.driver import bench as make_bench
from trapd.ports import Acknowledged
from trapd.records import Message
from trapd.stages.deliver.answers import Answers
from trapd.stages.deliver.connection import Connection
from trapd.stages.deliver.stage import Deliver
from trapd.store import Session


@pytest.fixture
def deleted_before_puback(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if handing a row to the socket were its delivery."""
    real = Deliver._exchange

    def hasty(stage: Deliver, session: Session, connection: Connection, timeout_s: float) -> None:
        stage._sending.pump(session, connection)
        for message in connection.in_flight.values():
            session.outbox.acknowledge([message.row])
        real(stage, session, connection, timeout_s)

    monkeypatch.setattr(Deliver, "_exchange", hasty)


@pytest.fixture
def refusals_taken_for_success(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(stage: Answers, connection: Connection, answer: Acknowledged) -> None:
        message: Message | None = connection.answered(answer.token, stage._clock.boot_ns())
        if message is not None:
            connection.taken(message)

    monkeypatch.setattr(Answers, "take", careless)


@pytest.mark.usefixtures("deleted_before_puback")
def test_a_row_deleted_before_its_puback_is_found(tmp_path: Path) -> None:
    for number, test in enumerate(
        (
            test_deliver.test_what_was_in_flight_goes_again_on_the_next_link,
            test_deliver.test_a_row_goes_once_per_link_while_it_is_unanswered,
        )
    ):
        with make_bench(tmp_path / str(number)) as bench:
            link = DeliverDriver(bench)
            with pytest.raises(AssertionError):
                test(bench, link)
            link.close()


@pytest.mark.usefixtures("deleted_before_puback")
def test_an_event_deleted_before_its_receipt_is_found(tmp_path: Path) -> None:
    with make_bench(tmp_path / "store") as bench:
        link = DeliverDriver(bench, plan=PLAN)
        with pytest.raises(AssertionError):
            test_receipts.test_an_event_stays_until_its_receipt_and_goes_once(bench, link)
        link.close()


@pytest.mark.slow
@pytest.mark.usefixtures("deleted_before_puback")
def test_the_state_machine_finds_it_too() -> None:
    find(
        AnyOrder,
        "a row is deleted before its PUBACK",
        walks=300,
        steps=50,
        suppress_health_check=list(HealthCheck),
    )


@pytest.mark.usefixtures("refusals_taken_for_success")
def test_a_refusal_taken_for_success_is_found(tmp_path: Path) -> None:
    with make_bench(tmp_path / "store") as bench:
        link = DeliverDriver(bench)
        with pytest.raises(AssertionError):
            test_deliver_troubles.test_what_the_broker_refuses_waits_and_is_an_alert_and_the_others_go_on(
                bench, link
            )
        link.close()
