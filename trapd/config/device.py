"""The sections about the unit itself: where it hangs, what wakes it, what it sees, what it keeps.

Frozen pydantic models, for `trapd.config` only; what is read everywhere is `trapd.settings`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from trapd.config.kinds import (
    Focus,
    Fraction,
    Label,
    LocalPath,
    ModelName,
    Name,
    Names,
    Pin,
    Pins,
    Rotation,
    Size,
    SomeClasses,
    TimeZone,
)
from trapd.settings.values import STORAGE_BY_DEFAULT


class Section(BaseModel):
    """A group of keys: immutable, without unknown keys, without conversions (a "17" is no pin)."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        defer_build=True,  # otherwise each group is compiled twice: alone, and within Settings
    )


class UnitSection(Section):
    """Which unit this is and where it hangs."""

    id: Name = Field(description="Identity of the unit; part of every topic and event id.")
    name: Label | None = Field(default=None, description="Name for people. null: the id.")
    latitude: float | None = Field(
        default=None, ge=-90, le=90, description="Degrees north, for sun times and metadata. null: not known."
    )
    longitude: float | None = Field(
        default=None,
        ge=-180,
        le=180,
        description="Degrees east, for sun times and metadata. null: not known.",
    )
    location_precision_km: float = Field(
        default=2.0,
        ge=0,
        le=1000,
        description="Kilometres to which a published position and EXIF are rounded.",
    )
    timezone: TimeZone | None = Field(
        default=None, description="IANA time zone of file names and EXIF. null: the system's."
    )
    station: Name | None = Field(
        default=None, description="Units that look at one spot share a station. null: the id."
    )
    groups: Names = Field(default=(), description="Groups whose commands this unit obeys, at most 16.")


class SensorSection(Section):
    """What notices an animal."""

    backend: Literal["gpiozero", "timer"] = Field(
        default="gpiozero",
        description="gpiozero: a PIR on GPIO pins. timer: a trigger every every_s seconds.",
    )
    pins: Pins = Field(default=(17,), description="BCM numbers of the sensor pins; any of them triggers.")
    active_high: bool = Field(
        default=True, description="Whether a pin is high while the sensor sees something."
    )
    min_pulse_ms: int = Field(
        default=0, ge=0, le=10_000, description="Milliseconds a pulse must last to count. 0: any pulse."
    )
    warmup_s: float = Field(
        default=60.0, ge=0, le=3600, description="Seconds after power-on during which a PIR is not believed."
    )
    stuck_s: float = Field(
        default=600.0,
        ge=1,
        le=86_400,
        description="Seconds of constant activity with nothing kept, after which an alert is raised and one "
        "trigger an hour is taken.",
    )
    every_s: float = Field(
        default=60.0, ge=0.05, le=86_400, description="Seconds between triggers of the timer."
    )


class TriggerSection(Section):
    """Which triggers become bursts."""

    while_active: bool = Field(
        default=True, description="Whether a sensor still active after a burst triggers the next one."
    )
    cooldown_s: float = Field(
        default=0.0, ge=0, le=86_400, description="Seconds after a burst without another."
    )
    max_per_hour: int = Field(
        default=600,
        ge=1,
        le=1_000_000,
        description="Bursts in any hour; further triggers are refused and counted.",
    )


class CameraSection(Section):
    """What takes the photographs."""

    backend: Literal["picamera2", "replay"] = Field(
        default="picamera2", description="picamera2: the Pi's camera. replay: photographs from camera.path."
    )
    path: LocalPath | None = Field(
        default=None, description="replay: a folder of photographs, or of one sub-folder per burst."
    )
    size: Size = Field(default=(2304, 1296), description="Pixels [width, height] of a photograph.")
    filter_size: Size = Field(
        default=(640, 360),
        description="Pixels [width, height] of the small frame the filter sees; same aspect as size.",
    )
    quality: int = Field(default=90, ge=1, le=100, description="JPEG quality.")
    rotation: Rotation = Field(default=0, description="Degrees by which the picture is turned.")
    focus: Focus = Field(default="auto", description="auto, or the distance in metres.")
    tuning_file: LocalPath | None = Field(
        default=None, description="libcamera tuning file. null: the sensor's own."
    )


class BurstSection(Section):
    """What one trigger takes."""

    frames: int = Field(default=3, ge=1, le=100, description="Photographs in a burst.")
    interval_s: float = Field(
        default=0.3, ge=0, le=60, description="Seconds between two photographs of a burst."
    )
    pre_trigger: bool = Field(
        default=False, description="Whether the last frame before the trigger is the first of the burst."
    )


class FilterSection(Section):
    """What tells an animal from waving grass."""

    backend: Literal["tflite", "none"] = Field(
        default="tflite", description="tflite: a model. none: keep all."
    )
    model: ModelName = Field(default="default", description="default, or the name of an installed model.")
    threshold: Fraction | None = Field(
        default=None, description="Score from which a burst is kept. null: the model's own."
    )
    threshold_night: Fraction | None = Field(
        default=None, description="Score from which a burst taken at night is kept. null: as by day."
    )
    labels: LocalPath | None = Field(default=None, description="Label file for a model that carries none.")
    classes: SomeClasses = Field(
        default=("animal", "person", "vehicle"),
        description="What is worth keeping. Nothing is discarded on a class the model cannot tell.",
    )
    threads: int = Field(default=2, ge=1, le=4, description="Threads the model may use.")
    audit_fraction: Fraction = Field(
        default=0.02, description="Share of discarded bursts that is delivered anyway, marked audit."
    )
    auto_keep: bool = Field(
        default=False,
        description="Whether more is kept while the miss rate is rising: the threshold is then halved.",
    )
    discard: Literal["when_needed", "at_once"] = Field(
        default="when_needed",
        description="when_needed: files of a discarded burst stay until space is needed. at_once: they go.",
    )


class StorageSection(Section):
    """Where everything lies, and how much of it."""

    path: LocalPath = Field(
        default=STORAGE_BY_DEFAULT,
        description="Folder of the database, the photographs and installed models.",
    )
    max_bytes: int = Field(
        default=16_000_000_000, ge=1_000_000, le=10**15, description="Bytes trapd may use below storage.path."
    )
    min_free_bytes: int = Field(
        default=500_000_000,
        ge=1_000_000,
        le=10**15,
        description="Bytes always left free on that file system.",
    )


class IndicatorSection(Section):
    """What a person standing in front of the unit sees."""

    led_pin: Pin | None = Field(default=None, description="BCM number of the LED's pin. null: no LED.")
