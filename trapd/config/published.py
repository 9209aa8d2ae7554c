"""The configuration's JSON Schema, for editors, for `trapd schema` and for the operator's own tools."""

from __future__ import annotations

from typing import Any

from trapd.config.schema import Schema
from trapd.settings.text import joined

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """A draft 2020-12 JSON Schema; each key has its dotted path as title and a description with its unit.

    It says what one key alone may be. Rules between keys are left to `trapd check`.
    """
    schema = Schema.model_json_schema(mode="validation")
    groups = schema.pop("$defs")
    _name("", schema, groups)
    return {"$schema": DIALECT, **schema, "title": "trapd configuration", "$defs": groups}


def _name(path: str, group: dict[str, Any], groups: dict[str, Any]) -> None:
    for key, field in group["properties"].items():
        field["title"] = joined(path, key)
        if "$ref" in field:
            _name(field["title"], groups[field["$ref"].rpartition("/")[2]], groups)
