"""Topics: which leaf lies where, and what a topic that an operator wrote asks for.

Pure and frozen; any thread. The outbox stores leaves (what comes after `<base>/<unit>/`), never whole topics,
so that a changed base topic takes with it what still waits.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from enum import StrEnum

from trapd.errors import BadInput
from trapd.frozen import Frozen

AVAILABILITY = "availability"
BIRTH = "birth"
STATE = "state"
EVENT = "event"
CLOCK = "clock"
CONFIG_REPORTED = "config/reported"
CONFIG_SCHEMA = "config/schema"
TRAIL = "trail"
PROBE = "probe"

CONFIG_DESIRED = "config/desired"
RECEIPT = "receipt"
GROUP_COMMANDS = frozenset({"ping", "rebirth", "capture"})
"""The only commands that may be given to a group."""

PROOF = frozenset({AVAILABILITY, PROBE})
"""What shows that a link works."""

CONFIGURED = frozenset({CONFIG_REPORTED}) | {
    f"res/config_{name}" for name in ("patch", "confirm", "rollback")
}
"""What says what became of a configuration."""

OWN = PROOF | CONFIGURED
"""What keeps the unit within reach: it goes also when `publish.bytes_per_day` is spent."""

_UNIT = r"[a-z0-9][a-z0-9_-]{2,31}"
_GROUP_NAME = r"[a-z0-9][a-z0-9_-]{0,31}"
_NAME = r"[a-z0-9_]{1,64}"  # of an alert or a command
_ID = r"[A-Za-z0-9_-]{1,128}"  # of an event or a photograph
_LONGEST_BASE_BYTES = 256
_MOST_LEVELS_BELOW = 16  # the base, where an answer may go
_TAKEN = frozenset(
    {
        AVAILABILITY, BIRTH, STATE, "alert", EVENT, "thumb", "media", CLOCK, "config", TRAIL, PROBE,
        "cmd", RECEIPT,
    }
)  # fmt: skip
"""What has its place below a unit: an answer that somebody wants elsewhere never goes there."""
_ELSEWHERE = "@"  # begins a leaf that is a whole topic
_FORBIDDEN = r"[#+\x00-\x1f\x7f-\x9f\ud800-\udfff]"


class Asks(StrEnum):
    """What an operator's topic is for."""

    COMMAND = "command"
    CONFIG = "config"
    RECEIPT = "receipt"
    PROBE = "probe"  # the unit's own, come back
    AVAILABILITY = "availability"  # the unit's own


_OWN = {
    CONFIG_DESIRED: Asks.CONFIG,
    RECEIPT: Asks.RECEIPT,
    PROBE: Asks.PROBE,
    AVAILABILITY: Asks.AVAILABILITY,
}


class Operator(Frozen):
    """A topic that an operator writes. `command` and `group` are set for commands only."""

    asks: Asks
    command: str | None = None
    group: str | None = None


def alert(name: str) -> str:
    """The leaf of alert `name`."""
    return f"alert/{_allowed(_NAME, name, 'alert name')}"


def thumb(event_id: str) -> str:
    """The leaf of an event's thumbnail."""
    return f"thumb/{_allowed(_ID, event_id, 'event id')}"


def manifest(media_id: str) -> str:
    """The leaf of a photograph's manifest."""
    return f"media/{_allowed(_ID, media_id, 'media id')}/manifest"


def chunk(media_id: str, n: int) -> str:
    """The leaf of a photograph's chunk `n`, from 0."""
    return f"media/{_allowed(_ID, media_id, 'media id')}/c/{n}"


def answer(command: str) -> str:
    """The leaf of the answer to `command`."""
    return f"res/{_allowed(_NAME, command, 'command')}"


def command(name: str) -> str:
    """The leaf on which a command comes."""
    return f"cmd/{_allowed(_NAME, name, 'command')}"


class Topics(Frozen):
    """All topics of one unit. Raises BadInput for a base or a unit that cannot stand in a topic."""

    base: str
    unit: str

    def __post_init__(self) -> None:
        _check_base(self.base)
        _allowed(_UNIT, self.unit, "unit id")

    def full(self, leaf: str) -> str:
        """`<base>/<unit>/<leaf>`; the topic itself of a leaf that `elsewhere` made."""
        return leaf[1:] if leaf.startswith(_ELSEWHERE) else f"{self.base}/{self.unit}/{leaf}"

    def elsewhere(self, topic: str) -> str | None:
        """A leaf for an answer to a topic that who asked has named; None where none may go there."""
        return f"{_ELSEWHERE}{topic}" if self.may_answer_to(topic) else None

    def operator_filters(self, groups: Iterable[str] = ()) -> tuple[str, ...]:
        """What to subscribe to in order to hear the operator."""
        of_groups = (f"{self.base}/_group/{_allowed(_GROUP_NAME, group, 'group')}/cmd/+" for group in groups)
        own = (CONFIG_DESIRED, "cmd/+", RECEIPT, PROBE, AVAILABILITY)
        return (*(self.full(leaf) for leaf in own), *of_groups)

    def left_of(self, pattern: str, without: Collection[str], names: Iterable[str]) -> tuple[str, ...]:
        """What to subscribe to in the place of `pattern` in order not to hear the topics `without`.

        Of a pattern of commands their `names` remain, one by one; any other goes if it is among them.
        """
        above, _, last = pattern.rpartition("/")
        if last != "+":
            return () if pattern in without else (pattern,)
        if not any(topic.rpartition("/")[0] == above for topic in without):
            return (pattern,)
        each = (f"{above}/{name}" for name in sorted(names))
        return tuple(topic for topic in each if topic not in without)

    def leaf(self, topic: str) -> str:
        """What stands below the unit, or below the base, of a topic; the whole topic of any other."""
        for above in (f"{self.base}/{self.unit}/", f"{self.base}/"):
            if topic.startswith(above):
                return topic.removeprefix(above)
        return topic

    def parse(self, topic: str) -> Operator | None:
        """What an operator's topic asks for; None where it is none, or holds what no name may hold."""
        prefix = f"{self.base}/"
        if not topic.startswith(prefix):
            return None
        match topic.removeprefix(prefix).split("/"):
            case [self.unit, *leaf] if "/".join(leaf) in _OWN:
                return Operator(_OWN["/".join(leaf)])
            case [self.unit, "cmd", command] if re.fullmatch(_NAME, command):
                return Operator(Asks.COMMAND, command)
            case ["_group", group, "cmd", command] if re.fullmatch(_GROUP_NAME, group) and re.fullmatch(
                _NAME, command
            ):
                return Operator(Asks.COMMAND, command, group)
        return None

    def is_command(self, topic: str) -> bool:
        """Whether it lies where commands come, whatever its name is."""
        return topic.startswith(self.full("cmd/"))

    def may_answer_to(self, response_topic: str) -> bool:
        """Whether an answer may go there: below this unit or the common place for replies, nowhere else.

        Nor to a leaf that has its own meaning: the unit must not command itself, nor speak out of turn. Nor
        to one of many levels: a broker ends the link of who publishes there (Mosquitto takes 200), and the
        answer would go again and again.
        """
        own = self.full("")
        if response_topic.startswith(own) and response_topic[len(own) :].partition("/")[0] in _TAKEN:
            return False
        return (
            response_topic.startswith((own, f"{self.base}/_reply/"))
            and not re.search(_FORBIDDEN, response_topic)
            and len(response_topic.encode()) <= 2 * _LONGEST_BASE_BYTES
            and response_topic.count("/") <= self.base.count("/") + _MOST_LEVELS_BELOW
        )


def topic_of(leaf: str) -> str:
    """The whole topic of a leaf that `elsewhere` made."""
    return leaf.removeprefix(_ELSEWHERE)


def is_elsewhere(leaf: str) -> bool:
    """Whether this leaf is a whole topic, which who asked has named for the answer."""
    return leaf.startswith(_ELSEWHERE)


def _allowed(pattern: str, value: str, what: str) -> str:
    if not re.fullmatch(pattern, value):
        raise BadInput(f"{value!r} cannot be part of a topic as {what}", f"allowed is {pattern}")
    return value


def _check_base(base: str) -> None:
    if not base or base.startswith("$") or re.search(_FORBIDDEN, base) or "" in base.split("/"):
        raise BadInput(
            f"{base!r} cannot be a base topic",
            "levels between single slashes, none empty, no #, + or control character, no $ at the start",
        )
    if len(base.encode()) > _LONGEST_BASE_BYTES:
        raise BadInput("the base topic is too long", f"at most {_LONGEST_BASE_BYTES} bytes")
