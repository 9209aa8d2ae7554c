"""The AsyncAPI 3.1 document of a unit: every topic, who writes it, retained or not, with which schema. Pure.

For programs that make a receiver, or pages, from it. Seen from the unit: it sends, and receives.
"""

from __future__ import annotations

from typing import Any

from trapd.frozen import Frozen
from trapd.wire.schemas import COMMANDS, documents
from trapd.wire.topics import GROUP_COMMANDS

_JSON, _JPEG, _BYTES, _TEXT = "application/json", "image/jpeg", "application/octet-stream", "text/plain"
_PARAMETERS = {
    "unit": "unit.id",
    "alert": "The alert's name, such as disk.",
    "event": "The event's id.",
    "media": "The photograph's id, as in an event's media.",
    "n": "The chunk's number, from 0.",
    "command": "The command's name.",
    "group": "A name in unit.groups.",
}


class Channel(Frozen):
    """A topic below the base. `schemas`: of its messages that are JSON; `content`: what the others are."""

    address: str
    summary: str
    by_unit: bool
    retained: bool = False
    schemas: tuple[str, ...] = ()
    content: str = _JSON


CHANNELS: dict[str, Channel] = {
    "availability": Channel(
        "{unit}/availability", "online, stopped or offline (the will).", True, True, content=_TEXT
    ),
    "birth": Channel("{unit}/birth", "Who the unit is and what it runs.", True, True, ("birth",)),
    "state": Channel("{unit}/state", "The heartbeat.", True, True, ("state",)),
    "alert": Channel("{unit}/alert/{alert}", "What is wrong; empty: it is over.", True, True, ("alert",)),
    "event": Channel("{unit}/event", "A burst, or one given up.", True, schemas=("event", "tombstone")),
    "thumb": Channel(
        "{unit}/thumb/{event}", "A small picture of a burst.", True, schemas=("lost",), content=_JPEG
    ),
    "manifest": Channel(
        "{unit}/media/{media}/manifest", "What the chunks come to.", True, schemas=("manifest", "lost")
    ),
    "chunk": Channel("{unit}/media/{media}/c/{n}", "A chunk of a photograph.", True, content=_BYTES),
    "clock": Channel("{unit}/clock", "Corrects times that were sent.", True, schemas=("clock",)),
    "reported": Channel(
        "{unit}/config/reported",
        "What is in force, and the last attempt.",
        True,
        True,
        ("reported",),
    ),
    "schema": Channel("{unit}/config/schema", "The JSON Schema of the configuration.", True, True),
    "trail": Channel("{unit}/trail", "Each attempt at remote control.", True, schemas=("trail",)),
    "probe": Channel("{unit}/probe", "The unit's echo to itself.", True, content=_TEXT),
    "desired": Channel(
        "{unit}/config/desired", "What is to lie over the local file.", False, True, ("desired",)
    ),
    "receipt": Channel("{unit}/receipt", "What the receiver has.", False, schemas=("receipt",)),
}


def document(version: str) -> dict[str, Any]:
    """The whole document, with references to the files beside it. `version`: of trapd."""
    channels = {**CHANNELS, **_of_commands()}
    return {
        "asyncapi": "3.1.0",
        "info": {
            "title": "trapd unit",
            "version": version,
            "description": "What a unit publishes and hears over MQTT. All QoS 1, below mqtt.base_topic.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": _JSON,
        "channels": {name: _channel(channel) for name, channel in channels.items()},
        "operations": {name: _operation(name, channel) for name, channel in channels.items()},
        "components": {"messages": {name: _message(name) for name in documents()}},
    }


def _of_commands() -> dict[str, Channel]:
    found = {}
    for name in COMMANDS:
        found[f"cmd-{name}"] = Channel(
            f"{{unit}}/cmd/{name}", f"Tells the unit to {name}.", False, schemas=(f"cmd-{name}",)
        )
        found[f"res-{name}"] = Channel(
            f"{{unit}}/res/{name}", f"The answer to {name}.", True, schemas=(f"res-{name}",)
        )
    for name in sorted(GROUP_COMMANDS):
        found[f"group-{name}"] = Channel(
            f"_group/{{group}}/cmd/{name}", f"Tells a group to {name}.", False, schemas=(f"cmd-{name}",)
        )
    found["res"] = Channel(
        "{unit}/res/{command}", "The answer to a command that there is not.", True, schemas=("answer",)
    )
    return found


def _channel(channel: Channel) -> dict[str, Any]:
    messages: dict[str, Any] = {name: {"$ref": f"#/components/messages/{name}"} for name in channel.schemas}
    if not channel.schemas or channel.content != _JSON:
        messages["payload"] = {"contentType": channel.content}
    named = {
        name: {"description": text} for name, text in _PARAMETERS.items() if f"{{{name}}}" in channel.address
    }
    return {
        "address": f"trapd/v1/{channel.address}",
        "summary": channel.summary,
        "messages": messages,
        "parameters": named,
    }


def _operation(name: str, channel: Channel) -> dict[str, Any]:
    return {
        "action": "send" if channel.by_unit else "receive",
        "channel": {"$ref": f"#/channels/{name}"},
        "bindings": {"mqtt": {"qos": 1, "retain": channel.retained, "bindingVersion": "0.2.0"}},
    }


def _message(name: str) -> dict[str, Any]:
    return {
        "payload": {
            "schemaFormat": "application/schema+json;version=draft-2020-12",
            "schema": {"$ref": f"./schemas/{name}.json"},
        }
    }
