"""What the budget counts beside what is published."""

from __future__ import annotations

from tests.fakes.clock import FakeClock
from trapd.rules import Budget
from trapd.stages.deliver.spending import Spending
from trapd.wire.window import PING_BYTES, PUBACK_BYTES, link_bytes

FILTERS = ("trapd/v1/site-01/cmd/+", "trapd/v1/site-01/receipt")


def spending(clock: FakeClock, *, alerts_bytes: int = 0, own_bytes: int = 0) -> tuple[Spending, Budget]:
    budget = Budget(100_000, alerts_bytes, own_bytes)
    return Spending(budget, clock, keepalive_s=60.0), budget


def test_each_link_each_ping_and_each_answer_counts() -> None:
    clock = FakeClock()
    spent, budget = spending(clock)
    spent.link_began(FILTERS)
    assert budget.spent_bytes(0) == link_bytes(FILTERS) > sum(map(len, FILTERS))
    spent.answered()
    assert budget.spent_bytes(0) == link_bytes(FILTERS) + PUBACK_BYTES
    for _ in range(10):
        clock.advance(59)
        spent.link_stands()
    assert budget.spent_bytes(590) == link_bytes(FILTERS) + PUBACK_BYTES + 9 * PING_BYTES


def test_what_had_no_link_was_not_asked_for_a_sign_of_life() -> None:
    clock = FakeClock()
    spent, budget = spending(clock)
    spent.link_began(())
    clock.advance(6000)
    spent.link_began(())
    spent.link_stands()
    assert budget.spent_bytes(6000) == 2 * link_bytes(())


def test_links_that_come_and_go_use_up_no_reserve() -> None:
    spent, budget = spending(FakeClock(), alerts_bytes=20_000, own_bytes=8_000)
    for _ in range(1000):
        spent.link_began(FILTERS)
    assert budget.spent_bytes(0) == 72_000
    assert not budget.allows(1, 0, alert=False)
    assert budget.allows(8_000, 0, alert=False, own=True)
    assert budget.allows(20_000, 0, alert=True)
