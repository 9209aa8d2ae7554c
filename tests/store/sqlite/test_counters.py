from pathlib import Path

import pytest

from tests.store.common import running
from trapd.errors import StoreError
from trapd.store import Store


def test_counts_add_up_over_sessions_and_starts(tmp_path: Path) -> None:
    with running(tmp_path) as (store, session):
        session.counters.add("refused.rate", 3)
        session.counters.add("refused.rate")
        with store.session() as other:
            other.counters.add("unsendable")
        assert session.counters.all() == {"refused.rate": 4, "unsendable": 1}
    with running(tmp_path) as (_, session):
        session.counters.add("refused.rate", 1)
        assert session.counters.all() == {"refused.rate": 5, "unsendable": 1}


def test_a_session_that_only_looks_does_not_count(tmp_path: Path) -> None:
    with running(tmp_path), Store.peek(tmp_path) as session, pytest.raises(StoreError, match="only reads"):
        session.counters.add("x")
