"""What the unit publishes: the shape of every JSON payload that codec makes. Types only.

`docs/schemas` is made from these (see schemas.py). Receivers should pass over fields that they do not know.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, TypedDict

from trapd.records import TsQuality
from trapd.wire.shape import Only

Count = Annotated[int, Only(minimum=0)]
Share = Annotated[float, Only(minimum=0, maximum=1)]
Time = Annotated[
    str,
    Only(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$"),
    "UTC, to the millisecond.",
]
Quality = Annotated[
    str,
    Only(enum=tuple(quality.value for quality in TsQuality)),
    "How far the time beside it may be trusted.",
]
Id = Annotated[str, Only(pattern=r"^[A-Za-z0-9_-]{1,128}$")]
Epoch = Annotated[str, "Changes only when the store had to be made anew."]
Sha256 = Annotated[str, Only(pattern=r"^[0-9a-f]{64}$")]
ConfigHash = Annotated[str, Only(pattern=r"^sha256:[0-9a-f]{64}$"), "Of the settings in effect."]
Txn = Annotated[str, Only(minLength=1, maxLength=128), "The name that the operator gave."]
Kid = Annotated[str, Only(pattern=r"^[0-9a-f]{16}$"), "The key that signed it."]
Code = Annotated[int, Only(enum=(200, 202, 400, 401, 403, 404, 409, 410, 413, 422, 423, 500, 507))]
Phase = Annotated[str, Only(enum=("committed", "trial", "rolled_back", "rejected", "local"))]
Judgement = Annotated[str, Only(enum=("animal", "person", "vehicle", "unclassified", "empty", "unknown"))]
Category = Annotated[str, Only(enum=("animal", "person", "vehicle", "unclassified"))]
Source = Annotated[str, Only(enum=("pir", "timer", "remote", "schedule"))]
V1 = Annotated[Literal[1], "The version of this shape."]


class Cause(TypedDict):
    """Who or what asked for the burst; `sensor` is the pin, or the group that was told to."""

    source: Source
    sensor: str


class Box(TypedDict):
    """One find in one photograph; `bbox` is x, y, width and height relative to the picture."""

    frame: Count
    category: Category
    conf: Share
    bbox: Annotated[list[float], Only(minItems=4, maxItems=4)]


class Filter(TypedDict):
    """What judged the burst; `model` is "none" where nothing did."""

    model: str
    sha256: str | None
    threshold: float | None
    ms: Count | None


class Photograph(TypedDict):
    """One photograph, to be had with `media_get`; `sha256` is null for one that could not be read."""

    id: Id
    type: str
    bytes: Count
    sha256: Sha256 | None
    width: Count
    height: Count


class Event(TypedDict):
    """A burst that is worth knowing of, or (`audit`) a sample of those that were discarded."""

    v: V1
    id: Annotated[
        str, Only(pattern=r"^[A-Za-z0-9_-]{1,128}$"), "The same in every repeat: drop repeats by it."
    ]
    unit: str
    epoch: Epoch
    seq: Annotated[int, Only(minimum=0), "Numbers bursts; never repeats in an epoch."]
    n: Annotated[int, Only(minimum=1), "Numbers published events and tombstones of an epoch, without gaps."]
    ts: Time
    ts_quality: Quality
    boot_id: str
    mono_ms: Annotated[int, Only(minimum=0), "Time since boot; `clock` turns it into true time."]
    trigger: Cause
    verdict: Judgement
    score: Share | None
    audit: bool
    detections: list[Box]
    filter: Filter
    frames: Count
    media: list[Photograph]
    config: ConfigHash
    env: Annotated[dict[str, float], "Measured when it was taken, such as cpu_c."]


class Tombstone(TypedDict):
    """On `event`, in place of an event that had to be given up: its number stays accounted for."""

    v: V1
    id: Id
    epoch: Epoch
    n: Annotated[int, Only(minimum=1)]
    lost: Annotated[str, "Why."]


class LostFile(TypedDict):
    """In place of a photograph's manifest, or of a thumbnail: it had to be given up, and will not come."""

    v: V1
    id: Id
    lost: Annotated[str, "Why."]


class Model(TypedDict):
    """The model that is loaded; `tells`: the classes it can tell apart."""

    name: str
    sha256: Sha256
    threshold: float
    layout: str
    input: str
    tells: list[str]


class Place(TypedDict):
    """Rounded to `precision_km`."""

    latitude: Annotated[float, Only(minimum=-90, maximum=90)]
    longitude: Annotated[float, Only(minimum=-180, maximum=180)]
    precision_km: Annotated[float, Only(minimum=0)]


class Birth(TypedDict):
    """Who this unit is and what it runs; written when it starts."""

    v: V1
    unit: str
    name: str
    station: str
    groups: list[str]
    version: str
    python: str
    model: Annotated[Model | None, "Null where every burst is kept unjudged."]
    config: ConfigHash
    boot_id: str
    epoch: Epoch
    started: Time
    ts_quality: Quality
    protocol: Annotated[str, Only(enum=("5", "3.1.1"))]
    location: Place | None


class Alert(TypedDict):
    """What stands now. An empty payload means that it is over."""

    since: Time
    message: str
    hint: Annotated[str, "What to do about it; may be empty."]


class ClockOffset(TypedDict):
    """For events of this boot that were sent already: true time is `mono_ms` + `offset_ms`."""

    boot_id: str
    offset_ms: int
    ts_quality: Quality


class Manifest(TypedDict):
    """What the chunks of a photograph come to: chunk n, from 0, on `media/<id>/c/<n>`."""

    id: Id
    bytes: Count
    sha256: Sha256
    chunk_bytes: Annotated[int, Only(minimum=1)]
    chunks: Count


class Fault(TypedDict):
    """One fault of a document: the key, what is wrong with it, what would be right."""

    path: str
    message: str
    hint: str


class Attempt(TypedDict):
    """The latest document that was considered, and what became of it."""

    version: int
    txn: Annotated[str, Only(maxLength=128)]
    code: Code
    errors: list[Fault]


class Reported(TypedDict):
    """`version`, `hash` and `doc`: what is in force. `phase` and `last_attempt`: of the latest attempt.

    `doc` and `locked` are left out where the whole is more than the broker, or a day's budget, takes at all.
    """

    v: V1
    version: Annotated[int, Only(minimum=0), "0: the local file alone."]
    phase: Phase
    hash: ConfigHash
    last_attempt: Attempt | None
    doc: NotRequired[Annotated[dict[str, Any], "The document in force, without what is nobody's business."]]
    locked: NotRequired[Annotated[list[str], "Keys that no document changes."]]


class Trail(TypedDict):
    """One attempt at remote control, obeyed or refused."""

    v: V1
    ts: Time
    ts_quality: Quality
    leaf: Annotated[str, "Where it came in, such as cmd/ping."]
    txn: Txn | None
    version: int | None
    code: Code
    kid: Kid | None
    message: str | None


class TrailMore(TypedDict):
    """How many attempts got no record of their own: too many in an hour, or passed over unread."""

    v: V1
    ts: Time
    ts_quality: Quality
    more: Annotated[int, Only(minimum=1)]


class Answer(TypedDict):
    """What became of a command. `txn` null: the request could not be read so far."""

    unit: Annotated[str, "Whose answer it is: a group's units may all answer to one topic."]
    txn: Txn | None
    status: Literal["ok", "error"]
    code: Code
    data: dict[str, Any] | None
    error: str | None


# --- what stands in an answer's `data`, by command -------------------------------------------------------


class Nothing(TypedDict):
    """Nothing more to say."""


class Pong(TypedDict):
    """The unit's clock: milliseconds since boot, and how far its wall clock may be trusted."""

    epoch: Epoch
    mono_ms: Count
    ts_quality: Quality


class Captured(TypedDict):
    """The burst's event. Whether it is published is the filter's to say."""

    id: Id


class Fetching(TypedDict):
    """What became of each photograph that was asked for: on its way, unknown, or known and gone."""

    queued: list[str]
    unknown: list[str]
    missing: list[str]
    chunk_bytes: Annotated[int, Only(minimum=1)]


class Armed(TypedDict):
    """Whether triggers become bursts."""

    armed: bool


class Considered(TypedDict):
    """The version that it is about; every fault of what was refused."""

    version: int
    errors: list[Fault]


class Configured(TypedDict):
    """The configuration in force, and the phase of the latest attempt."""

    version: Annotated[int, Only(minimum=0)]
    phase: Phase


class Status(TypedDict):
    """The fields of `state`, and the configuration."""

    config: Configured
