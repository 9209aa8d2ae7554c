"""What trapd asks of the outside: sensor, lamp, camera, classifier, uplink, clock.

Each Protocol is a contract that every backend keeps; `tests/contracts/` holds one suite per port and runs it
over every backend. Backends raise the errors of `trapd.errors` and nothing else.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from trapd.errors import Fault
from trapd.frozen import Frozen, field
from trapd.records import (
    Activity,
    Considered,
    Frame,
    FrameScore,
    Look,
    ModelInfo,
    Moment,
    Note,
    Small,
    Trigger,
    TsQuality,
)


class Clock(Protocol):
    """Time, and waiting. Tests move it by hand."""

    def now(self) -> Moment:
        """Both clocks, read together."""

    def boot_ns(self) -> int:
        """Nanoseconds since boot; never goes back, goes on while suspended."""

    def quality(self) -> TsQuality:
        """How far the wall clock may be trusted now."""

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """Wait for `event`, at most `timeout_s` of this clock's time; True if it is set."""


class Sensor(Protocol):
    """What notices an animal."""

    def start(self, sink: Callable[[Trigger], None]) -> None:
        """Begin to watch. `sink` is called on the backend's own thread, and within `start` for what is active
        already; it neither blocks nor raises.

        Raises SensorUnavailable.
        """

    def active(self) -> tuple[Activity, ...]:
        """What is active now, each with a trigger of the present time; empty when quiet. Cheap."""

    def check(self) -> None:
        """Raise SensorUnavailable if the sensor can no longer notice anything (`partly`: not all that it was
        to, and it goes on with the rest), Broken if it never will.
        """

    def close(self) -> None:
        """Stop watching; may be called twice."""


class Lamp(Protocol):
    """One light that a person in front of the unit sees. One thread owns it."""

    def light(self, on: bool) -> None:
        """Raises Unavailable; a later call tries again."""

    def close(self) -> None:
        """Dark; may be called twice."""


class Camera(Protocol):
    """What takes photographs. One thread owns it."""

    @property
    def passed_over(self) -> int:
        """How many pictures were there and could not be given, since this object was made."""

    def open(self) -> None:
        """Raises CameraUnavailable."""

    def shoot(self, trigger: Trigger, frames: int, interval_s: float) -> Iterator[Frame]:
        """Take a burst, giving each frame as soon as it is there.

        The first frame is newer than the trigger (or, with pre-trigger, the last one before it). Every wait
        is bounded. Raises CameraUnavailable, also half-way: what was given before stays good. Once the unit
        is told to stop, no frame but the first is waited for: the burst ends with what it has.
        """

    def probe(self) -> None:
        """Make sure, cheaply, that the camera still gives frames. Raises CameraUnavailable."""

    def facts(self) -> Mapping[str, float]:
        """What the heartbeat says of it, such as the time between frames; empty where nothing is known.

        From any thread.
        """

    def close(self) -> None:
        """Let go of the camera; may be called twice."""


class Classifier(Protocol):
    """What tells an animal from waving grass. One thread owns it."""

    def open(self) -> ModelInfo:
        """Load the model and test it on itself. Raises ModelUnavailable."""

    def prepare(self, pictures: Sequence[Small]) -> None:
        """A hint: these are judged next. What can be done for several at once is done. Raises nothing."""

    def judge(self, picture: Small | bytes) -> FrameScore:
        """Score one frame, given small from the camera or as a JPEG from disk.

        Raises BadPicture for a JPEG that cannot be decoded, ModelUnavailable when the model fails or gives
        something that is not a score.
        """

    def close(self) -> None:
        """Free the model; may be called twice."""


class Scene(Protocol):
    """What a burst shows beside its scores. Used by the classifier's thread; raises nothing."""

    def look(self, pictures: Iterable[Small | bytes]) -> Look:
        """Light, change and whether anything can be seen; what cannot be told is left open."""

    def shift(self, scores: Sequence[FrameScore | None]) -> float | None:
        """How far what the model made of one frame lies from the others; see Look."""

    def tiles(self, photograph: bytes) -> list[Small]:
        """Four overlapping parts of a photograph, finer than the frame that was judged; none if it is not."""


class Connected(Frozen):
    """The broker took us. `session_present`: it remembers our session and subscriptions."""

    session_present: bool
    receive_maximum: int
    maximum_packet_bytes: int | None


class Acknowledged(Frozen):
    """The broker answered publish `token`. On MQTT 3.1.1 `reason` is always 0x00."""

    token: int
    reason: int


class Received(Frozen):
    """A message for us. `retained`: it lay at the broker before us, or is published as such just now.

    The broker keeps it until `Link.acknowledge`, and gives it `again` with the next link, under the same
    `number`. None: it is of QoS 0, and nobody keeps it. `link`: which of this process's links gave it.
    """

    topic: str
    payload: bytes
    retained: bool
    response_topic: str | None = None
    correlation: bytes | None = None
    number: int | None = field(default=None, compare=False)
    again: bool = field(default=False, compare=False)
    link: int = field(default=0, compare=False)


class Subscribed(Frozen):
    """The broker answered our subscription; `refused` lists the filters it would not take."""

    refused: tuple[str, ...]


class TooLarge(Frozen):
    """A packet of `size_bytes` was on its way to us and is not taken. `topic` None: nobody knows on what."""

    size_bytes: int
    topic: str | None


class Lost(Frozen):
    """The link is gone (or never came to be). `code`: the broker's reason, where it gave one.

    `unreachable`: nobody was there to answer, and later somebody may be. `ended`: the other side ended it, by
    a word or by closing it; not silence, no time-out, and not we. `too_large`: we ended it over this.
    """

    reason: str
    code: int | None = None
    unreachable: bool = False
    ended: bool = False
    too_large: TooLarge | None = None


LinkEvent = Connected | Acknowledged | Received | Subscribed | Lost


class Link(Protocol):
    """One connection, from its first packet to its last. Used by one thread."""

    def next(self, timeout_s: float) -> LinkEvent | None:
        """What happened next; None after `timeout_s`. After Lost there is nothing more.

        The first event is Connected or Lost. Blocking work (DNS, TCP, TLS) happens elsewhere.
        """

    def publish(self, topic: str, payload: bytes, *, retain: bool, correlation: bytes | None = None) -> int:
        """Hand one QoS 1 message to the socket's queue; returns its token. Raises LinkUnavailable.

        `correlation`: what who asked has sent to know the answer by; MQTT 3.1.1 has no place for it.
        """

    def acknowledge(self, message: Received) -> None:
        """This message is noted here: the broker may forget it. Does not raise; of another link: nothing.

        The broker is told in the order in which messages came, whatever the order of these calls is.
        """

    def flush(self) -> None:
        """Send what was handed over, without waiting. `next` does so too; a broken link is told of there."""

    def subscribe(self, filters: tuple[str, ...], *, live: Collection[str] = ()) -> None:
        """Ask for these topics at QoS 1, retain as published; the answer comes as Subscribed.

        On those in `live` only what lay there before is `retained`, however it was published.
        """

    def close(self) -> None:
        """Disconnect cleanly (the will is not sent) and end the link's thread; may be called twice."""


class Overlays(Protocol):
    """The configuration from afar: what is in force, what is on trial. Used by Control's thread alone.

    Everything here may raise StoreError where the disk refuses; nothing has changed then.
    """

    def consider(
        self, document: Mapping[str, Any], *, kid: str | None, ready: bool, retained: bool = False
    ) -> Considered | None:
        """A whole document of `config/desired` whose signature was seen to; None where it changes nothing.

        `ready`: the link has proved itself, and a trial may begin. `retained`: it lay at the broker before.
        """

    def reject(
        self,
        payload: bytes,
        code: int,
        faults: tuple[Fault, ...],
        members: Mapping[str, Any],
        *,
        retained: bool,
    ) -> Considered | None:
        """As `consider`, of one that cannot be read as a whole; `members` are what can."""

    def heard(self, kid: str) -> None:
        """This trusted key has signed what came. Does not raise."""

    def patch(self, txn: str, args: Mapping[str, Any], *, kid: str | None, ready: bool) -> Considered:
        """`config_patch`: a merge patch on what is in force."""

    def confirm(self, args: Mapping[str, Any]) -> Considered:
        """`config_confirm`: the operator keeps what is on trial."""

    def go_back(self, txn: str, *, kid: str | None = None, ready: bool) -> Considered:
        """`config_rollback`: end the trial, or try what was in force before."""

    def watch(self, seen: frozenset[str]) -> Considered | None:
        """Called every turn with what this process has seen so far; what became of the trial, if anything."""

    def report(self) -> bytes:
        """The payload of `config/reported`."""

    def notes(self) -> tuple[Note, ...]:
        """The latest attempts that the configuration's own files know, the oldest first."""

    @property
    def busy(self) -> bool:
        """Whether a trial is not over: on, about to begin, or not settled."""

    @property
    def on_trial(self) -> bool:
        """Whether this process runs on a configuration that has to prove itself."""

    @property
    def version(self) -> int:
        """The version in force; 0 for the local file alone."""

    @property
    def phase(self) -> str:
        """committed, trial, rolled_back, rejected or local."""


class Uplink(Protocol):
    """What reaches the operator."""

    def connect(self, will: tuple[str, bytes] | None, *, fresh: bool = False) -> Link:
        """Begin a connection with this retained will (topic, payload) if any. At once, never raises.

        `fresh`: the broker first forgets what waits for us, and what we had subscribed to.
        """
