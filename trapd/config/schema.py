"""The configuration as pydantic checks it, and the tree of its keys.

Nothing outside trapd.config knows of it: what was checked goes on as `trapd.settings.Settings`.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

from pydantic import Field
from pydantic.fields import FieldInfo

from trapd.config.device import (
    BurstSection,
    CameraSection,
    FilterSection,
    IndicatorSection,
    Section,
    SensorSection,
    StorageSection,
    TriggerSection,
    UnitSection,
)
from trapd.config.link import MqttSection, PublishSection, RemoteSection


class Schema(Section):
    """Everything an operator can set. Times in seconds, sizes in bytes or pixels, as the names say."""

    unit: UnitSection
    sensor: SensorSection = Field(default_factory=SensorSection)
    trigger: TriggerSection = Field(default_factory=TriggerSection)
    camera: CameraSection = Field(default_factory=CameraSection)
    burst: BurstSection = Field(default_factory=BurstSection)
    filter: FilterSection = Field(default_factory=FilterSection)
    storage: StorageSection = Field(default_factory=StorageSection)
    mqtt: MqttSection
    publish: PublishSection = Field(default_factory=PublishSection)
    remote: RemoteSection = Field(default_factory=RemoteSection)
    indicator: IndicatorSection = Field(default_factory=IndicatorSection)
    heartbeat_s: float = Field(default=300.0, ge=1, le=86_400, description="Seconds between two heartbeats.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least severe message that is logged."
    )


def _walk(model: type[Section], prefix: str) -> dict[str, FieldInfo | type[Section]]:
    found: dict[str, FieldInfo | type[Section]] = {}
    for name, field in model.model_fields.items():
        path = f"{prefix}{name}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            found[path] = field.annotation
            found |= _walk(field.annotation, f"{path}.")
        else:
            found[path] = field
    return found


@cache
def keys() -> dict[str, FieldInfo]:
    """Every key that holds a value, by its dotted path, in the order of the documentation."""
    return {path: node for path, node in _walk(Schema, "").items() if isinstance(node, FieldInfo)}


@cache
def sections() -> dict[str, type[Section]]:
    """Every group of keys by its dotted path; the whole is ""."""
    groups = {path: node for path, node in _walk(Schema, "").items() if not isinstance(node, FieldInfo)}
    return {"": Schema, **groups}
