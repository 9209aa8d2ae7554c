"""The sections about the link and the operator: broker, what is published, who may change the unit.

Frozen pydantic models, for `trapd.config` only; what is read everywhere is `trapd.settings`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from trapd.config.device import Section
from trapd.config.kinds import (
    AnyClasses,
    Host,
    KeyPaths,
    LocalPath,
    Protocol,
    ThumbnailBytes,
    Topic,
    TrustedKeys,
    UserName,
)
from trapd.settings.values import LOCKED_BY_DEFAULT


class TlsSection(Section):
    """How the link is encrypted and the broker recognised."""

    enabled: bool = Field(default=True, description="Whether the link is encrypted.")
    ca_file: LocalPath | None = Field(
        default=None, description="PEM file of the authorities to trust. null: the system's."
    )
    cert_file: LocalPath | None = Field(
        default=None, description="PEM file of the unit's certificate; goes with key_file."
    )
    key_file: LocalPath | None = Field(
        default=None, description="PEM file of the certificate's private key; goes with cert_file."
    )


class MqttSection(Section):
    """The broker and how it is spoken to."""

    host: Host = Field(description="Host name or IP address of the broker.")
    port: int = Field(default=8883, ge=1, le=65_535, description="TCP port of the broker.")
    username: UserName | None = Field(default=None, description="User name at the broker. null: unit.id.")
    password_file: LocalPath | None = Field(
        default=None,
        description="File with the password. null: the systemd credential mqtt-password, if any.",
    )
    tls: TlsSection = Field(default_factory=TlsSection)
    protocol: Protocol = Field(default=5, description="MQTT version.")
    keepalive_s: int = Field(
        default=60, ge=5, le=3600, description="Seconds between signs of life on an idle link."
    )
    base_topic: Topic = Field(default="trapd/v1", description="Topic below which every unit has its own.")
    delivery: Literal["puback", "receipt"] = Field(
        default="puback", description="puback: the broker has it. receipt: the receiver has confirmed it."
    )


class PublishSection(Section):
    """What is sent, and how much."""

    thumbnail_bytes: ThumbnailBytes = Field(
        default=24_576, description="Bytes of a thumbnail at most. 0: none."
    )
    media: Literal["on_demand", "all"] = Field(
        default="on_demand", description="on_demand: photographs when asked for. all: every photograph kept."
    )
    chunk_bytes: int = Field(
        default=65_536, ge=1024, le=1_048_576, description="Bytes of one chunk of a photograph."
    )
    bytes_per_day: int | None = Field(
        default=None,
        ge=10_000,
        le=10**12,
        description="Bytes sent in any 24 hours of running time at most. null: no limit.",
    )
    alert_reserve_bytes: int = Field(
        default=200_000, ge=0, le=10**12, description="Bytes of bytes_per_day kept back for alerts."
    )
    alert_classes: AnyClasses = Field(
        default=(), description="Classes whose events go before everything else."
    )


class RemoteSection(Section):
    """Who may change this unit from afar, and what."""

    enabled: bool = Field(
        default=True, description="Whether the unit obeys commands and configurations from afar."
    )
    require_signature: bool = Field(
        default=False, description="Whether every command and configuration must be signed by a trusted key."
    )
    trusted_keys: TrustedKeys = Field(default=(), description="Public keys of operators, at most 16.")
    allow_plaintext: bool = Field(
        default=False, description="Whether unsigned remote control is accepted without TLS."
    )
    locked: KeyPaths = Field(
        default=LOCKED_BY_DEFAULT,
        description="Keys or groups of keys that cannot be changed from afar.",
    )
    confirm_s: float = Field(
        default=900.0,
        ge=10,
        le=86_400,
        description="Seconds of running time a configuration on trial has to prove itself.",
    )
