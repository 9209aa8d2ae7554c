"""The settings as frozen values, and the tree of their keys. Pure; shared between threads.

What a value may be, and its default, stands in `trapd.config` alone; a test holds the two to the same keys
and types.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, cast

from trapd.frozen import Frozen

Class = Literal["animal", "person", "vehicle"]


class UnitSettings(Frozen):
    """Which unit this is and where it hangs."""

    id: str
    name: str | None
    latitude: float | None
    longitude: float | None
    location_precision_km: float
    timezone: str | None
    station: str | None
    groups: tuple[str, ...]


class SensorSettings(Frozen):
    """What notices an animal."""

    backend: Literal["gpiozero", "timer"]
    pins: tuple[int, ...]
    active_high: bool
    min_pulse_ms: int
    warmup_s: float
    stuck_s: float
    every_s: float


class TriggerSettings(Frozen):
    """Which triggers become bursts."""

    while_active: bool
    cooldown_s: float
    max_per_hour: int


class CameraSettings(Frozen):
    """What takes the photographs."""

    backend: Literal["picamera2", "replay"]
    path: Path | None
    size: tuple[int, int]
    filter_size: tuple[int, int]
    quality: int
    rotation: Literal[0, 180]
    focus: Literal["auto"] | float
    tuning_file: Path | None


class BurstSettings(Frozen):
    """What one trigger takes."""

    frames: int
    interval_s: float
    pre_trigger: bool


class FilterSettings(Frozen):
    """What tells an animal from waving grass."""

    backend: Literal["tflite", "none"]
    model: str
    threshold: float | None
    threshold_night: float | None
    labels: Path | None
    classes: tuple[Class, ...]
    threads: int
    audit_fraction: float
    auto_keep: bool
    discard: Literal["when_needed", "at_once"]


class StorageSettings(Frozen):
    """Where everything lies, and how much of it."""

    path: Path
    max_bytes: int
    min_free_bytes: int


class TlsSettings(Frozen):
    """How the link is encrypted and the broker recognised."""

    enabled: bool
    ca_file: Path | None
    cert_file: Path | None
    key_file: Path | None


class MqttSettings(Frozen):
    """The broker and how it is spoken to."""

    host: str
    port: int
    username: str | None
    password_file: Path | None
    tls: TlsSettings
    protocol: Literal[5, "3.1.1"]
    keepalive_s: int
    base_topic: str
    delivery: Literal["puback", "receipt"]


class PublishSettings(Frozen):
    """What is sent, and how much."""

    thumbnail_bytes: int
    media: Literal["on_demand", "all"]
    chunk_bytes: int
    bytes_per_day: int | None
    alert_reserve_bytes: int
    alert_classes: tuple[Class, ...]


class RemoteSettings(Frozen):
    """Who may change this unit from afar, and what."""

    enabled: bool
    require_signature: bool
    trusted_keys: tuple[str, ...]
    allow_plaintext: bool
    locked: tuple[str, ...]
    confirm_s: float


class IndicatorSettings(Frozen):
    """What a person standing in front of the unit sees."""

    led_pin: int | None


class Settings(Frozen):
    """Everything an operator can set. Times in seconds, sizes in bytes or pixels, as the names say."""

    unit: UnitSettings
    sensor: SensorSettings
    trigger: TriggerSettings
    camera: CameraSettings
    burst: BurstSettings
    filter: FilterSettings
    storage: StorageSettings
    mqtt: MqttSettings
    publish: PublishSettings
    remote: RemoteSettings
    indicator: IndicatorSettings
    heartbeat_s: float
    log_level: Literal["debug", "info", "warning", "error"]

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


GROUPS: Final[Mapping[str, Any]] = {
    "": Settings,
    "unit": UnitSettings,
    "sensor": SensorSettings,
    "trigger": TriggerSettings,
    "camera": CameraSettings,
    "burst": BurstSettings,
    "filter": FilterSettings,
    "storage": StorageSettings,
    "mqtt": MqttSettings,
    "mqtt.tls": TlsSettings,
    "publish": PublishSettings,
    "remote": RemoteSettings,
    "indicator": IndicatorSettings,
}
"""Every group of keys by its dotted path; the whole is ""."""

PATHS: Final = frozenset(
    {
        "camera.path",
        "camera.tuning_file",
        "filter.labels",
        "storage.path",
        "mqtt.password_file",
        "mqtt.tls.ca_file",
        "mqtt.tls.cert_file",
        "mqtt.tls.key_file",
    }
)
"""The keys that hold a path."""

LOCKED_BY_DEFAULT: Final = ("mqtt.host", "mqtt.base_topic")
STORAGE_BY_DEFAULT: Final = Path("/var/lib/trapd")


@cache
def key_paths() -> tuple[str, ...]:
    """Every key that holds a value, by its dotted path, in the order of the documentation."""
    return tuple(_walk(""))


def value_of(settings: Any, path: str) -> Any:
    """The value at a dotted path of `key_paths()`."""
    for name in path.split("."):
        settings = getattr(settings, name)
    return settings


def made(value: Callable[[str], Any]) -> Settings:
    """The settings whose keys have these values."""
    return cast(Settings, _made("", value))


def plain(settings: Settings) -> dict[str, Any]:
    """As JSON has it: groups are objects, lists are lists, paths are text."""
    return cast(dict[str, Any], _plain(settings))


def read_plain(document: Mapping[str, Any]) -> Settings:
    """What `plain` gave, from JSON. Raises KeyError, TypeError for anything else."""

    def value(path: str) -> Any:
        found: Any = document
        for name in path.split("."):
            found = found[name]
        if isinstance(found, list):
            return tuple(found)
        return Path(found) if path in PATHS and found is not None else found

    return made(value)


def _walk(group: str) -> Iterator[str]:
    for path in _below(group).values():
        if path in GROUPS:
            yield from _walk(path)
        else:
            yield path


def _below(group: str) -> dict[str, str]:
    """The names in a group, and their paths."""
    return {name: f"{group}.{name}" if group else name for name in GROUPS[group].__match_args__}


def _made(group: str, value: Callable[[str], Any]) -> Any:
    return GROUPS[group](
        **{
            name: _made(path, value) if path in GROUPS else value(path)
            for name, path in _below(group).items()
        }
    )


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    if type(value) in GROUPS.values():
        return {name: _plain(getattr(value, name)) for name in value.__match_args__}
    return str(value) if isinstance(value, Path) else value
