"""The kinds of value a configuration may hold, with the words an operator reads when one is wrong.

Used by the section models only. Each kind is an Annotated alias: its constraints go into the JSON Schema, its
`Says` into the fault "must be …". A check that no constraint can express raises through `refuse`.
"""

from __future__ import annotations

import base64
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, NoReturn, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo
from pydantic_core import PydanticCustomError

from trapd.config.words import Says
from trapd.settings.text import printable, shown
from trapd.settings.values import Class

REFUSED = "trapd"  # the type of a pydantic error whose words are already ours

Items = TypeVar("Items", bound=tuple[object, ...])


def refuse(message: str, hint: str = "") -> NoReturn:
    """Refuse the value under validation, in our own words."""
    # The words travel as values: a brace in what the operator wrote must not be read as a placeholder.
    raise PydanticCustomError(REFUSED, "{message}", {"message": message, "hint": hint})


def _distinct(items: Items) -> Items:
    for place, item in enumerate(items):
        if item in items[:place]:
            refuse(f"names {printable(str(item))} twice", "once is enough")
    return items


def _not_a_look_alike(value: object) -> object:
    # Python holds False == 0 and 180.0 == 180, and a Literal of numbers would take them.
    return repr(value) if isinstance(value, bool | float) else value


def _host(value: str) -> str:
    name, colon, port = value.rpartition(":")
    if colon and ":" not in name:
        where = f"put {port} into mqtt.port" if port.isdecimal() else "the port goes into mqtt.port"
        refuse("must be a host name or IP address alone, without a port", where)
    if not colon and value.rstrip(".").rpartition(".")[2].isdecimal():  # no host name ends in a number
        from ipaddress import IPv4Address

        try:
            IPv4Address(value)
        except ValueError:
            refuse("is no IP address", "four numbers from 0 to 255, such as 192.168.1.20")
    return value


def _timezone(name: str) -> str:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        from difflib import get_close_matches

        known = _time_zones()
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else "a name such as Asia/Shanghai"
        if not known:
            hint = "this machine has no time zone data: install the package tzdata"
        refuse(f"must be a time zone of the IANA list, is {shown(name)}", hint)
    return name


@cache
def _time_zones() -> tuple[str, ...]:
    """Looked for once: it opens hundreds of files."""
    from zoneinfo import available_timezones

    return tuple(sorted(available_timezones()))


def _path(value: object, info: ValidationInfo) -> object:
    """Take a path relative to the folder of the configuration file."""
    if not isinstance(value, str):
        return value
    if value.startswith("~"):
        refuse("must be a path without ~", "a daemon has no home folder: write the path out")
    if not value or "\0" in value or len(value) > 1024:
        refuse("must be a path of 1 to 1024 characters")
    return Path((info.context or {}).get("folder", "/"), value)


def _model_name(value: str) -> str:
    """A file would be looked for in the working folder, and may come from anywhere."""
    if value.endswith(".tflite"):
        refuse("must be the name of a model, and not of a file", f"write {value.removesuffix('.tflite')}")
    return value


def _key(value: str) -> str:
    text = value.removeprefix("ed25519:")
    # Decoded and encoded again: the last character has spare bits, and only one spelling is standard.
    if base64.b64encode(base64.b64decode(text)).decode("ascii") != text:
        refuse("must be standard base64 of 32 bytes; its last character is not", "copy the key again")
    return value


Name = Annotated[
    str,
    Field(pattern=r"^[a-z0-9][a-z0-9_-]{2,31}$"),
    Says("3 to 32 characters of a-z, 0-9, - and _, the first a letter or a digit"),
]
Label = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,64}$"), Says("1 to 64 characters on one line")]
TimeZone = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9_+/-]{1,64}$"),
    AfterValidator(_timezone),
    Says("a time zone of the IANA list"),
]
ModelName = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"),
    AfterValidator(_model_name),
    Says("default or the name of an installed model, without a path"),
]
LocalPath = Annotated[Path, BeforeValidator(_path, json_schema_input_type=str), Says("a path")]
Host = Annotated[
    str,
    Field(pattern=r"^[^\s\x00-\x1f\x7f/@\[\]]{1,253}$"),
    AfterValidator(_host),
    Says("a host name or IP address, without scheme, port or spaces"),
]
UserName = Annotated[
    str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,128}$"), Says("1 to 128 characters on one line")
]
Topic = Annotated[
    str,
    Field(pattern=r"^[^\s\x00-\x1f\x7f/+#$]+(/[^\s\x00-\x1f\x7f/+#$]+)*$", max_length=128),
    Says("a topic of at most 128 characters without +, #, $, spaces, or a / at either end"),
]
Names = Annotated[
    tuple[Name, ...],
    Field(strict=False, max_length=16, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_distinct),
    Says("a list of at most 16 names"),
]

Pin = Annotated[int, Field(ge=0, le=27), Says("a BCM pin number from 0 to 27")]
Pins = Annotated[
    tuple[Pin, ...],
    Field(strict=False, min_length=1, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_distinct),
    Says("a list of one or more BCM pin numbers, such as [17]"),
]
Side = Annotated[int, Field(ge=32, le=10_000, multiple_of=2), Says("an even whole number from 32 to 10000")]
Size = Annotated[
    tuple[Side, Side],
    Field(strict=False),
    Says("two even whole numbers [width, height], each from 32 to 10000"),
]
Rotation = Annotated[Literal[0, 180], BeforeValidator(_not_a_look_alike)]
Protocol = Annotated[Literal[5, "3.1.1"], BeforeValidator(_not_a_look_alike)]
Metres = Annotated[float, Field(gt=0, le=1000)]
Focus = Annotated[Literal["auto"] | Metres, Says("auto, or a distance in metres above 0 and up to 1000")]
Fraction = Annotated[float, Field(ge=0, le=1)]

SomeClasses = Annotated[
    tuple[Class, ...],
    Field(strict=False, min_length=1, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_distinct),
    Says("a list of one or more of animal, person, vehicle"),
]
AnyClasses = Annotated[
    tuple[Class, ...],
    Field(strict=False, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_distinct),
    Says("a list of any of animal, person, vehicle"),
]

ThumbnailBytes = Annotated[
    Annotated[Literal[0], BeforeValidator(_not_a_look_alike)] | Annotated[int, Field(ge=2048, le=1_048_576)],
    Says("0 for none, or a whole number from 2048 to 1048576"),
]
TrustedKey = Annotated[
    str,
    Field(pattern=r"^ed25519:[A-Za-z0-9+/]{43}=$"),
    AfterValidator(_key),
    Says("ed25519: and the standard padded base64 of 32 bytes, as trapd keygen prints it"),
]
TrustedKeys = Annotated[
    tuple[TrustedKey, ...],
    Field(strict=False, max_length=16, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_distinct),
    Says("a list of at most 16 public keys"),
]
KeyPaths = Annotated[
    tuple[str, ...],
    Field(strict=False, max_length=128, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_distinct),
    Says("a list of configuration keys, such as [mqtt.host]"),
]
