"""Topics: every leaf of the contract has its place, and nothing of an operator's escapes from it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trapd.errors import BadInput
from trapd.wire import topics
from trapd.wire.topics import Asks, Operator, Topics

UNIT = Topics("trapd/v1", "wangqing-07")


def test_the_leaves_of_the_contract() -> None:
    id_ = "wangqing-07-3f9a-000123"
    assert [UNIT.full(leaf) for leaf in (topics.AVAILABILITY, topics.BIRTH, topics.STATE, topics.EVENT)] == [
        "trapd/v1/wangqing-07/availability",
        "trapd/v1/wangqing-07/birth",
        "trapd/v1/wangqing-07/state",
        "trapd/v1/wangqing-07/event",
    ]
    assert topics.alert("no_space") == "alert/no_space"
    assert topics.thumb(id_) == f"thumb/{id_}"
    assert topics.manifest(f"{id_}-0") == f"media/{id_}-0/manifest"
    assert topics.chunk(f"{id_}-0", 12) == f"media/{id_}-0/c/12"
    assert topics.answer("media_get") == "res/media_get"
    assert (topics.CLOCK, topics.TRAIL, topics.PROBE) == ("clock", "trail", "probe")
    assert (topics.CONFIG_REPORTED, topics.CONFIG_SCHEMA) == ("config/reported", "config/schema")


@pytest.mark.parametrize("name", ["", "a/b", "+", "#", "a b", "../x", "ä", "a\n", "x" * 200])
def test_no_name_escapes_from_its_leaf(name: str) -> None:
    for leaf in (topics.alert, topics.thumb, topics.manifest, topics.answer):
        with pytest.raises(BadInput):
            leaf(name)


@pytest.mark.parametrize(
    "base", ["", "/a", "a/", "a//b", "$SYS", "a/#", "+/a", "a\x00b", "a\nb", "\ud800", "x" * 300]
)
def test_a_base_that_cannot_be_a_topic(base: str) -> None:
    with pytest.raises(BadInput):
        Topics(base, "unit-1")


@pytest.mark.parametrize("unit", ["", "ab", "_group", "-abc", "Abc", "a/b", "a+b", "abc\n", "x" * 33])
def test_a_unit_that_cannot_be_a_topic(unit: str) -> None:
    with pytest.raises(BadInput):
        Topics("trapd/v1", unit)


def test_what_operators_write() -> None:
    assert UNIT.parse("trapd/v1/wangqing-07/config/desired") == Operator(Asks.CONFIG)
    assert UNIT.parse("trapd/v1/wangqing-07/receipt") == Operator(Asks.RECEIPT)
    assert UNIT.parse("trapd/v1/wangqing-07/cmd/ping") == Operator(Asks.COMMAND, "ping")
    assert UNIT.parse("trapd/v1/wangqing-07/cmd/unheard_of") == Operator(Asks.COMMAND, "unheard_of")
    assert UNIT.parse("trapd/v1/_group/valley/cmd/rebirth") == Operator(Asks.COMMAND, "rebirth", "valley")


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "trapd/v1",
        "trapd/v1/",
        "trapd/v1/wangqing-07",
        "trapd/v1/wangqing-08/cmd/ping",
        "trapd/v1/wangqing-07/cmd",
        "trapd/v1/wangqing-07/cmd/",
        "trapd/v1/wangqing-07/cmd/../reboot",
        "trapd/v1/wangqing-07/cmd/ping/x",
        "trapd/v1/wangqing-07/cmd/PING",
        "trapd/v1/wangqing-07/event",
        "trapd/v1/_group//cmd/ping",
        "trapd/v1/_group/../cmd/ping",
        "trapd/v1/_group/valley/config/desired",
        "trapd/v2/wangqing-07/cmd/ping",
        "x/trapd/v1/wangqing-07/cmd/ping",
    ],
)
def test_what_is_not_for_us(topic: str) -> None:
    assert UNIT.parse(topic) is None


@given(st.text())
def test_no_topic_makes_parse_fail(tail: str) -> None:
    for topic in (tail, f"trapd/v1/{tail}", f"trapd/v1/wangqing-07/cmd/{tail}", f"trapd/v1/_group/{tail}"):
        found = UNIT.parse(topic)
        if found is not None and found.command is not None:
            assert topics.answer(found.command)


def test_filters_hear_the_operator_and_the_groups() -> None:
    assert UNIT.operator_filters(["valley"]) == (
        "trapd/v1/wangqing-07/config/desired",
        "trapd/v1/wangqing-07/cmd/+",
        "trapd/v1/wangqing-07/receipt",
        "trapd/v1/wangqing-07/probe",
        "trapd/v1/wangqing-07/availability",
        "trapd/v1/_group/valley/cmd/+",
    )
    with pytest.raises(BadInput):
        UNIT.operator_filters(["#"])


@pytest.mark.parametrize(
    ("topic", "allowed"),
    [
        ("trapd/v1/wangqing-07/res/mine", True),
        ("trapd/v1/_reply/me", True),
        ("trapd/v1/wangqing-08/cmd/reboot", False),
        ("trapd/v1/wangqing-070/x", False),
        ("trapd/v1/_reply/#", False),
        ("trapd/v1/_reply/+", False),
        ("trapd/v1/_reply/\ud800", False),
        ("trapd/v1/_reply/" + "x" * 600, False),
        ("trapd/v1/_reply/" + "a/" * 8, True),
        ("trapd/v1/_reply/" + "a/" * 240, False),
        ("$SYS/x", False),
        ("", False),
    ],
)
def test_answers_go_only_where_they_may(topic: str, allowed: bool) -> None:
    assert UNIT.may_answer_to(topic) is allowed
