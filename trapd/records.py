"""What flows through trapd: frozen values, no behaviour beyond naming.

Times: `*_ns` and `mono_ms` count from boot (CLOCK_BOOTTIME: the clock of picamera2's SensorTimestamp, and
it goes on during suspend); `wall_ms` is Unix time in milliseconds, UTC. Boxes are [x, y, width, height]
relative to the picture, as in MegaDetector's JSON.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Any

from trapd.errors import Fault
from trapd.frozen import Frozen, field


class TsQuality(StrEnum):
    """How far a wall-clock time may be trusted."""

    SYNCED = "synced"
    RTC = "rtc"
    ESTIMATED = "estimated"
    UNSET = "unset"


class Refusal(StrEnum):
    """Why a trigger became no burst."""

    BUSY = "busy"
    COOLDOWN = "cooldown"
    RATE = "rate"
    DISK = "disk"
    CAMERA = "camera"
    DISARMED = "disarmed"
    WARMUP = "warmup"
    STUCK = "stuck"


class State(StrEnum):
    """Where an event stands."""

    CAPTURED = "captured"  # durable, not judged yet
    KEPT = "kept"  # due for delivery, audit samples included
    DISCARDED = "discarded"  # clearly empty: files stay until space is needed
    DELIVERED = "delivered"  # the broker (or the receiver) has it


class Kind(StrEnum):
    """What an outbox row carries; decides its topic leaf and its priority."""

    ALERT = "alert"
    CONTROL = "control"  # config/reported, config/schema, res/<command>, birth, availability
    TRAIL = "trail"
    EVENT = "event"
    CLOCK = "clock"
    THUMB = "thumb"
    MEDIA_REQUESTED = "media_requested"
    MEDIA_BULK = "media_bulk"
    STATE = "state"  # the heartbeat


class Priority(IntEnum):
    """Lower goes first."""

    ALERT = 0
    CONTROL = 1
    EVENT = 2
    THUMB = 3
    MEDIA_REQUESTED = 4
    MEDIA_BULK = 5


class Moment(Frozen):
    """One instant on both clocks."""

    wall_ms: int
    boot_ns: int
    boot_id: str
    quality: TsQuality


class Trigger(Frozen):
    """Somebody or something asked for a burst. `source`: pir, timer, remote or schedule."""

    source: str
    sensor: str
    boot_ns: int


class Activity(Frozen):
    """A sensor that is active now: the trigger it amounts to, and since when, short pauses included."""

    trigger: Trigger
    since_ns: int


class Small(Frozen):
    """A low-resolution frame for the filter: planar 4:2:0, full range (JPEG) colour.

    `data` holds `height` rows of luma, then chroma. `i420`: U plane, V plane, rows of `stride // 2`;
    `nv12`: one plane of interleaved U and V, rows of `stride`. `stride` is bytes per luma row (>= width).
    Width and height are even.
    """

    data: bytes
    width: int
    height: int
    stride: int
    layout: str = "i420"


class Frame(Frozen):
    """One photograph: the JPEG as it will lie on disk but for its EXIF, and its small copy."""

    jpeg: bytes
    width: int
    height: int
    boot_ns: int  # exposure, on the trigger's clock
    small: Small | None = None
    metadata: dict[str, Any] = field(default_factory=dict)  # exposure_s, gain, focus_m, model where known


class Detection(Frozen):
    """One box in one frame. `category`: animal, person, vehicle or unclassified."""

    frame: int
    category: str
    conf: float
    bbox: tuple[float, float, float, float]


class FrameScore(Frozen):
    """What the model says of one frame: the best evidence that it is not empty, and boxes if it has any.

    `score` is in 0..1. `by_class` holds the best evidence for each class the model can tell; empty where it
    cannot tell classes.
    """

    score: float
    by_class: dict[str, float] = field(default_factory=dict)
    detections: tuple[Detection, ...] = ()
    embedding: bytes = b""  # float32: what the model has seen, where it gives that


class Look(Frozen):
    """What a burst shows beside its scores. None and empty: nobody can say.

    `change`: of the hottest place from frame to frame, in units of the frame's own contrast. `shift`: of the
    model's embedding from frame to frame, 1 - cosine. `hidden`: why nothing can be seen at all.
    """

    night: bool | None = None
    change: float | None = None
    shift: float | None = None
    hidden: str = ""


class ModelInfo(Frozen):
    """What is known of a loaded model. `tells` lists the classes it can tell apart reliably.

    `name` is what the configuration calls it; `title` what the model calls itself, empty where it does not.
    """

    name: str
    sha256: str
    threshold: float
    tells: frozenset[str]
    layout: str = ""
    input: str = ""
    labels: tuple[str, ...] | None = None
    title: str = ""


class Verdict(Frozen):
    """The judgement of a burst. `keep`: due for delivery; `audit`: an empty delivered as a sample."""

    verdict: str  # animal, person, vehicle, unclassified, empty, unknown
    keep: bool
    score: float | None = None
    audit: bool = False
    detections: tuple[Detection, ...] = ()
    model: str | None = None
    sha256: str | None = None
    threshold: float | None = None
    ms: int | None = None
    reason: str = ""  # why unknown; for the log, never published
    night: bool | None = None  # taken in the dark; None where nobody looked


class Medium(Frozen):
    """One photograph of a burst on disk. `path` is relative to storage.path; None once evicted.

    `sha256` is empty while an adopted photograph is not summed yet, and for one that could not be read then.
    """

    id: str
    type: str
    bytes: int
    sha256: str
    width: int
    height: int
    path: str | None


class Event(Frozen):
    """One burst as the store knows it and, once `n` is given, as it is published."""

    id: str
    unit: str
    epoch: str
    seq: int
    n: int | None
    state: State
    moment: Moment
    trigger: Trigger
    verdict: Verdict | None
    media: tuple[Medium, ...]
    config: str
    env: dict[str, float]
    attempts: int = 0
    thumb: tuple[str, int] | None = None  # path relative to storage.path, and bytes; None where there is none


class Message(Frozen):
    """One publish of an outbox row. `payload` says with what, else `event_id`; a thumbnail lies in `file`.

    `leaf` is the topic below `<base>/<unit>/`. A row is one publish, but for a photograph's, which is one for
    each of its parts: part 0 is the manifest, part n + 1 the chunk n of `chunk_bytes`, and `leaf` the topic
    above them.
    """

    row: int
    kind: Kind
    leaf: str
    retain: bool
    payload: bytes | None = None
    event_id: str | None = None
    file: str | None = None  # relative to storage.path
    correlation: bytes | None = None  # of an answer, where who asked has sent some
    bytes: int = 0
    priority: Priority = Priority.EVENT
    part: int = 0
    chunk_bytes: int = 0  # of a photograph's parts; 0 for all else


class Considered(Frozen):
    """What became of a document that wants to change the configuration.

    `code` as the contract has it; 0: it is sound, and waits for a link that has proved itself. `changed`: the
    report says something new. `restart`: the next process runs on something else.
    """

    code: int
    version: int = 0
    txn: str = ""
    faults: tuple[Fault, ...] = ()
    changed: bool = False
    restart: bool = False


class Note(Frozen):
    """An attempt on the configuration, as its own files remember it until the trail has it.

    `number` counts them, so that two that are alike are two. `txn`: of the document, or of the command.
    """

    number: int
    leaf: str
    code: int
    version: int
    txn: str
    kid: str | None = None
    message: str = ""

    @property
    def key(self) -> str:
        """What it is known by once it is told."""
        return f"{self.number} {self.leaf} {self.code} {self.version} {self.txn}"


class Alert(Frozen):
    """Something the operator should know. `name` is a topic leaf: [a-z0-9_]+."""

    name: str
    since: str
    message: str
    hint: str
