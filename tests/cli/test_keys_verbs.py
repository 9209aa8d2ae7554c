"""`trapd keygen` and `trapd sign` as an operator uses them."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from trapd.cli.keys import keygen, sign
from trapd.config import settings_from
from trapd.errors import UsageError
from trapd.wire.signing import Keyring, public_key

TOPIC = "trapd/v1/ridge-07/cmd/reboot"


def make(name: Path, *options: str) -> Result:
    return CliRunner(catch_exceptions=False).invoke(keygen, [str(name), *options])


def signed(folder: Path, document: str, key: str = "op.key", topic: str = TOPIC) -> Result:
    arguments = ["--key", str(folder / key), "--topic", topic, "-"]
    return CliRunner(catch_exceptions=False).invoke(sign, arguments, input=document)


def test_a_pair_whose_line_the_configuration_takes(tmp_path: Path) -> None:
    result = make(tmp_path / "op")
    line = result.stdout.strip()
    assert public_key(line)
    assert (tmp_path / "op.pub").read_text() == line + "\n"
    assert stat.S_IMODE((tmp_path / "op.key").stat().st_mode) == 0o600
    document = {"unit": {"id": "ridge-07"}, "mqtt": {"host": "b"}, "remote": {"trusted_keys": [line]}}
    assert settings_from(document, tmp_path).remote.trusted_keys == (line,)
    assert (tmp_path / "op.key").read_text().strip() not in result.output


def test_as_json(tmp_path: Path) -> None:
    told = json.loads(make(tmp_path / "op", "--json").stdout)
    assert set(told) == {"key", "pub", "kid", "trusted_key"}
    assert len(told["kid"]) == 16


def test_no_key_is_ever_replaced(tmp_path: Path) -> None:
    make(tmp_path / "op")
    before = (tmp_path / "op.key").read_text()
    with pytest.raises(UsageError, match="is there already"):
        make(tmp_path / "op")
    assert (tmp_path / "op.key").read_text() == before


@pytest.mark.parametrize("name", [".", "/"])
def test_a_folder_is_no_name_for_a_pair(name: str) -> None:
    with pytest.raises(UsageError, match="no name for a key pair"):
        make(Path(name))


@pytest.mark.parametrize(
    ("topic", "document", "missing"),
    [
        (TOPIC, '{"txn":"a"}', "issued_at and expires_at"),
        (TOPIC, '{"txn":"a","issued_at":"2026-11-22T05:13:22Z"}', "expires_at"),
        ("trapd/v1/ridge-07/config/desired", '{"v":1}', "issued_at"),
    ],
)
def test_what_every_unit_would_refuse_is_said(
    tmp_path: Path, topic: str, document: str, missing: str
) -> None:
    make(tmp_path / "op")
    result = signed(tmp_path, document, topic=topic)
    assert result.stderr == f"every unit will refuse it there: it does not say {missing}\n"
    assert json.loads(result.stdout)["sig"]


def test_what_says_its_times_is_signed_without_a_word(tmp_path: Path) -> None:
    make(tmp_path / "op")
    times = '"issued_at":"2026-11-22T05:13:22Z","expires_at":"2026-11-22T06:13:22Z"'
    assert signed(tmp_path, f'{{"txn":"a",{times}}}').stderr == ""


def test_a_program_may_ask_for_json_of_what_is_json_anyway(tmp_path: Path) -> None:
    make(tmp_path / "op")
    arguments = ["--key", str(tmp_path / "op.key"), "--topic", "a", "--json", "-"]
    result = CliRunner(catch_exceptions=False).invoke(sign, arguments, input="{}")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["sig"]


def test_what_is_signed_is_verified_by_the_unit(tmp_path: Path) -> None:
    line = make(tmp_path / "op").stdout.strip()
    result = signed(tmp_path, '{"txn": "a", "args": {}, "sig": "an old one"}')
    document = json.loads(result.stdout)
    assert Keyring([line]).verify(TOPIC, document) == document["sig"]["kid"]
    assert list(document) == ["txn", "args", "sig"]


@pytest.mark.parametrize("document", ["", "[]", "no JSON", '{"a":NaN}', '{"a":1,"a":2}', '{"a":1e999}'])
def test_what_cannot_be_signed_is_said_in_a_sentence(tmp_path: Path, document: str) -> None:
    make(tmp_path / "op")
    with pytest.raises(UsageError, match="cannot be signed"):
        signed(tmp_path, document)


@pytest.mark.parametrize("key", ["op.pub", "missing.key", "empty.key"])
def test_a_file_that_is_no_key_is_said_to_be_none(tmp_path: Path, key: str) -> None:
    make(tmp_path / "op")
    (tmp_path / "empty.key").write_bytes(b"")
    with pytest.raises(UsageError, match=key):
        signed(tmp_path, "{}", key)


@pytest.mark.parametrize("topic", ["", "a/#", "a/+/b", "a\nb"])
def test_a_topic_that_nothing_can_be_published_to(tmp_path: Path, topic: str) -> None:
    make(tmp_path / "op")
    with pytest.raises(UsageError, match="no topic"):
        signed(tmp_path, "{}", topic=topic)
