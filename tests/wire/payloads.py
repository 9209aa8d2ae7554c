"""Records and documents of every kind that may be, for the tests of the schemas."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, get_type_hints

from hypothesis import strategies as st

from trapd.errors import Fault
from trapd.records import (
    Alert,
    Detection,
    Event,
    Medium,
    ModelInfo,
    Moment,
    State,
    Trigger,
    TsQuality,
    Verdict,
)
from trapd.wire import codec, schemas
from trapd.wire.shape import closed

COUNTED = re.compile(r'(?:counters\.add|[( ]count)\([^)"]*"([a-z_.]+)"')
MOMENT = Moment(1_795_324_402_120, 1, "b", TsQuality.SYNCED)


@cache
def strict(name: str) -> Any:
    """A validator of a schema that takes no field but those it names."""
    from jsonschema import Draft202012Validator

    # `state` is open to flat fields of later versions; of this version there is none.
    schema = closed({**schemas.documents()[name]})
    return Draft202012Validator(schema | ({"additionalProperties": False} if name == "state" else {}))


def fields_of(shape: Any) -> set[str]:
    return set(get_type_hints(shape))


ids = st.from_regex(r"[a-z0-9][a-z0-9_-]{2,31}-[0-9a-f]{4}-[0-9]{6}", fullmatch=True)
txns = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=128)
sums = st.binary(min_size=32, max_size=32).map(bytes.hex)
_text = st.text(st.characters(codec="utf-8"), max_size=40)
_share = st.floats(0, 1)
_counts = st.integers(0, 2**40)
_times_ms = st.integers(0, 4_000_000_000_000)
_names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=128)

moments = st.builds(Moment, _times_ms, st.integers(0, 2**60), st.uuids().map(str), st.sampled_from(TsQuality))
media = st.builds(
    Medium, ids, st.just("image/jpeg"), _counts, sums, _counts, _counts, st.none() | st.just("p")
)
_categories = st.sampled_from(["animal", "person", "vehicle", "unclassified"])
_boxes = st.builds(
    Detection, st.integers(0, 9), _categories, _share, st.tuples(_share, _share, _share, _share)
)
_verdicts = st.builds(
    Verdict,
    st.sampled_from(["animal", "person", "vehicle", "unclassified", "empty", "unknown"]),
    st.booleans(),
    score=st.none() | _share,
    audit=st.booleans(),
    detections=st.lists(_boxes, max_size=3).map(tuple),
    model=st.none() | _text,
    sha256=st.none() | sums,
    threshold=st.none() | _share,
    ms=st.none() | _counts,
)
_triggers = st.builds(Trigger, st.sampled_from(["pir", "timer", "remote", "schedule"]), _text, _counts)
_unsummed = st.builds(Medium, ids, st.just("image/jpeg"), _counts, st.just(""), _counts, _counts, st.none())
events = st.builds(
    Event,
    id=ids,
    unit=_text,
    epoch=st.just("3f9a"),
    seq=_counts,
    n=st.integers(1, 2**40),
    state=st.just(State.KEPT),
    moment=moments,
    trigger=_triggers,
    verdict=_verdicts,
    media=st.lists(media | _unsummed, max_size=4).map(tuple),
    config=sums.map("sha256:{}".format),
    env=st.dictionaries(st.just("cpu_c"), st.floats(-40, 120)),
)
alerts = st.builds(Alert, st.just("disk"), _times_ms.map(codec.rfc3339), _text, _text)
_models = st.builds(
    ModelInfo, _text, sums, _share, st.frozensets(st.sampled_from(["animal", "person"])), _text, _text
)
births = st.fixed_dictionaries(
    {
        "unit": _text, "name": _text, "station": _text, "groups": st.lists(_text, max_size=3),
        "version": _text, "python": _text, "model": st.none() | _models,
        "config": sums.map("sha256:{}".format), "epoch": st.just("3f9a"), "started": moments,
        "protocol": st.sampled_from(["5", "3.1.1"]),
        "location": st.none() | st.tuples(st.floats(-90, 90), st.floats(-180, 180)),
        "location_precision_km": st.floats(0.1, 100),
    }
)  # fmt: skip
_faults = st.lists(st.builds(Fault, _text, _text, _text), max_size=3)
_versions = st.integers(0, 2**53)
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _text,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(_text, below, max_size=3),
    max_leaves=6,
)
_documents = st.dictionaries(_text, _json, max_size=3)
reports = st.fixed_dictionaries(
    {
        "version": _versions,
        "phase": st.sampled_from(["committed", "trial", "rolled_back", "rejected", "local"]),
        "hash_": sums.map("sha256:{}".format),
        "attempt": st.none()
        | st.tuples(
            st.integers(-(2**53), 2**53),
            st.text(st.characters(codec="utf-8"), max_size=128),
            st.sampled_from([200, 202, 400, 500]),
            _faults,
        ),
        "doc": _documents,
        "locked": st.lists(_text, max_size=3),
    }
)

_FLOATS = {"running_s", "load_1min"}
_SAID_BY_CODEC = {"v", "ts", "ts_quality"}
LEAST_FACTS: dict[str, Any] = {
    name: 1.5 if name in _FLOATS else 1
    for name in schemas.documents()["state"]["required"]
    if name not in _SAID_BY_CODEC
} | {"version": "0.1.0", "epoch": "3f9a", "config_phase": "local", "online": True, "armed": 1}
states = st.fixed_dictionaries(
    {
        "online": st.booleans(), "armed": st.sampled_from([0, 1]), "alerts": _counts,
        "running_s": st.floats(0, 1e9),
        "config_phase": st.sampled_from(["committed", "trial", "rolled_back", "rejected", "local"]),
    },
    optional={
        "cpu_c": st.floats(-40, 120), "oldest_unsent_s": st.floats(0, 1e9), "queue_event": _counts,
        "held_back_reason": st.just("budget, damaged, nobody subscribes, refused, too large"),
        "refused_busy": _counts, "evicted_undelivered": _counts, "uptime_s": st.none() | st.floats(0, 1e9),
    },
).map(lambda facts: LEAST_FACTS | facts)  # fmt: skip

_times = _times_ms.map(codec.rfc3339)
_signatures = st.just({"kid": "0" * 16, "b64": "A" * 86 + "=="})
desired = st.fixed_dictionaries(
    {"v": st.just(1), "version": st.integers(1, 2**53), "txn": txns, "doc": _documents},
    optional={"confirm": st.sampled_from(["auto", "operator"]), "issued_at": _times, "sig": _signatures},
)
_ranges = st.lists(st.tuples(_counts, _counts).map(sorted), min_size=1, max_size=3)
_ARGS: dict[str, Any] = {
    "media_get": st.lists(_names, min_size=1, max_size=3).flatmap(
        lambda names: st.fixed_dictionaries(
            {"ids": st.just(names)},
            optional={"chunks": st.dictionaries(st.sampled_from(names), _ranges, max_size=2)},
        )
    ),
    "config_patch": st.fixed_dictionaries(
        {"base": _versions, "version": st.integers(1, 2**53), "patch": _documents}
    ),
    "config_confirm": st.fixed_dictionaries({}, optional={"version": st.integers(1, 2**53)}),
}


def _request(name: str) -> Any:
    must, may = {"txn": txns}, {"issued_at": _times, "sig": _signatures}
    (must if name in ("media_get", "config_patch") else may)["args"] = _ARGS.get(name, st.just({}))
    return st.tuples(st.just(name), st.fixed_dictionaries(must, optional=may))


requests = st.sampled_from(sorted(schemas.COMMANDS)).flatmap(_request)
receipts = st.fixed_dictionaries({"ids": st.lists(_names, max_size=3)}) | st.fixed_dictionaries(
    {"epoch": _names, "upto": _versions}
)
