import fcntl
from pathlib import Path

import pytest

from trapd.errors import StoreError, StoreOlder, UsageError
from trapd.store import Store
from trapd.store.sqlite import schema
from trapd.store.sqlite.database import Database

NEXT = ("CREATE TABLE later (x)", "INSERT INTO later VALUES (1)")


def test_migrations_run_in_order_each_once(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "trapd.db")
    schema.migrate(database)
    schema.migrate(database, (*schema.MIGRATIONS, NEXT))
    schema.migrate(database, (*schema.MIGRATIONS, NEXT))

    assert database.number("PRAGMA user_version") == schema.VERSION + 1
    assert database.number("PRAGMA application_id") == schema.APPLICATION_ID
    assert database.number("SELECT count(*) FROM later") == 1
    database.close()


def test_a_failed_migration_leaves_the_database_usable(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "trapd.db")
    schema.migrate(database)
    with pytest.raises(StoreError, match="no such table"):
        schema.migrate(database, (*schema.MIGRATIONS, (*NEXT, "INSERT INTO nowhere VALUES (1)")))

    assert database.number("PRAGMA user_version") == schema.VERSION
    assert database.number("SELECT count(*) FROM sqlite_master WHERE name = 'later'") == 0
    assert schema.refuse_strange(database) == schema.VERSION
    database.close()


def test_an_older_database_is_not_looked_at_before_it_was_brought_forward(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database.open(tmp_path / "trapd.db")
    schema.migrate(database)
    database.close()
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    with pytest.raises(StoreOlder, match="older trapd") as caught:
        Store.peek(tmp_path)
    assert not isinstance(caught.value, UsageError)


def test_a_store_that_is_half_made_by_a_trapd_that_starts_is_said_to_be(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "trapd.db")
    schema.migrate(database, schema.MIGRATIONS[:1])
    database.close()
    with (tmp_path / "lock").open("w") as lock:
        lock.write("1")  # another process, as it says itself
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StoreOlder, match=r"is being made, or of an older trapd \(ask again"):
            Store.peek(tmp_path)


def test_durability_is_set_on_every_connection(tmp_path: Path) -> None:
    for durable, level in ((True, 2), (False, 1)):
        database = Database.open(tmp_path / "trapd.db", durable=durable)
        assert database.all("PRAGMA journal_mode")[0][0] == "wal"
        assert database.number("PRAGMA synchronous") == level
        assert database.number("PRAGMA foreign_keys") == 1
        assert 0 < database.number("PRAGMA busy_timeout") <= 10_000
        database.close()
