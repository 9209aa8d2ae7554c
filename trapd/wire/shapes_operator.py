"""What the operator writes: the shape of configurations, commands and receipts. Types only.

A key that is not named here is a mistake.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, TypedDict

from trapd.wire.shape import Only
from trapd.wire.shapes import Kid, Txn

Version = Annotated[int, Only(minimum=1, maximum=2**53)]
When = Annotated[str, "Such as 2026-11-22T05:13:22Z; with its offset from UTC."]
Name = Annotated[str, Only(minLength=1, maxLength=128)]
Number = Annotated[int, Only(minimum=0, maximum=2**53)]
Range = Annotated[list[Number], Only(minItems=2, maxItems=2)]


class Signature(TypedDict):
    """Ed25519 over the topic, a line feed and the RFC 8785 form of the document without `sig`."""

    kid: Kid
    b64: Annotated[str, Only(minLength=88, maxLength=88)]


class Desired(TypedDict):
    """`config/desired`: everything that is to differ from the local file. Never a patch."""

    v: Literal[1]
    version: Annotated[int, Only(minimum=1, maximum=2**53), "Higher than every one before it."]
    txn: Txn
    issued_at: NotRequired[Annotated[str, "Required where it is signed."]]
    expires_at: NotRequired[When]
    confirm: NotRequired[
        Annotated[Literal["auto", "operator"], "operator: kept only once `config_confirm` has come, too."]
    ]
    doc: Annotated[dict[str, Any], "Keys as in the configuration file, see `config/schema`; all optional."]
    sig: NotRequired[Signature]


class Request(TypedDict):
    """A command. What is signed says `issued_at` and `expires_at`."""

    txn: Annotated[
        str, Only(minLength=1, maxLength=128), "A name of your own; one that was used is not obeyed."
    ]
    args: NotRequired[dict[str, Any]]
    issued_at: NotRequired[When]
    expires_at: NotRequired[When]
    sig: NotRequired[Signature]


class NoArgs(TypedDict):
    """This command takes none."""


class MediaGet(TypedDict):
    """Photographs by id; `chunks` asks for some parts of one only, each range from first to last."""

    ids: Annotated[list[Name], Only(minItems=1)]
    chunks: NotRequired[dict[str, Annotated[list[Range], Only(minItems=1, maxItems=1000)]]]


class ConfigPatch(TypedDict):
    """A merge patch (RFC 7396) on the document of version `base`, which has to be the one in force."""

    base: Annotated[int, Only(minimum=0, maximum=2**53)]
    version: Version
    patch: dict[str, Any]


class ConfigConfirm(TypedDict):
    """Which version is meant; without it, whatever is on trial."""

    version: NotRequired[Version]


class ReceiptOfIds(TypedDict):
    """The receiver has these events."""

    ids: list[Name]


class ReceiptUpTo(TypedDict):
    """The receiver has every event and tombstone of `epoch` with a number `n` up to `upto`."""

    epoch: Name
    upto: Number
