"""The configuration as one frozen value, and the tree of its keys.

`Settings` is made by `settings_from` and `load` of trapd.config and never changes. Anything may read it by
attribute; nothing outside trapd.config knows that pydantic is behind it.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

from pydantic import Field
from pydantic.fields import FieldInfo

from trapd.config.device import (
    BurstSettings,
    CameraSettings,
    FilterSettings,
    IndicatorSettings,
    Section,
    SensorSettings,
    StorageSettings,
    TriggerSettings,
    UnitSettings,
)
from trapd.config.link import MqttSettings, PublishSettings, RemoteSettings


class Settings(Section):
    """Everything an operator can set. Times in seconds, sizes in bytes or pixels, as the names say."""

    unit: UnitSettings
    sensor: SensorSettings = Field(default_factory=SensorSettings)
    trigger: TriggerSettings = Field(default_factory=TriggerSettings)
    camera: CameraSettings = Field(default_factory=CameraSettings)
    burst: BurstSettings = Field(default_factory=BurstSettings)
    filter: FilterSettings = Field(default_factory=FilterSettings)
    storage: StorageSettings = Field(default_factory=StorageSettings)
    mqtt: MqttSettings
    publish: PublishSettings = Field(default_factory=PublishSettings)
    remote: RemoteSettings = Field(default_factory=RemoteSettings)
    indicator: IndicatorSettings = Field(default_factory=IndicatorSettings)
    heartbeat_s: float = Field(default=300.0, ge=1, le=86_400, description="Seconds between two heartbeats.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least severe message that is logged."
    )

    @property
    def unit_name(self) -> str:
        """The name for people: unit.name, or the id."""
        return self.unit.name or self.unit.id

    @property
    def station(self) -> str:
        """The spot this unit looks at: unit.station, or the id."""
        return self.unit.station or self.unit.id

    @property
    def mqtt_username(self) -> str:
        """The user name at the broker: mqtt.username, or the id."""
        return self.mqtt.username or self.unit.id


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
    return {path: node for path, node in _walk(Settings, "").items() if isinstance(node, FieldInfo)}


@cache
def sections() -> dict[str, type[Section]]:
    """Every group of keys by its dotted path; the whole is ""."""
    groups = {path: node for path, node in _walk(Settings, "").items() if not isinstance(node, FieldInfo)}
    return {"": Settings, **groups}


def value_of(settings: Settings, path: str) -> Any:
    """The value at a dotted path of `keys()`."""
    value: Any = settings
    for name in path.split("."):
        value = getattr(value, name)
    return value
