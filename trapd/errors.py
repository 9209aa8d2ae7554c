"""Every error trapd raises, branched by what the caller can do about it.

TrapdError
 +-- ConfigurationError   the local file cannot be used: say every fault, exit 78, do not restart
 +-- UsageError           the command line asks for something that is not there: exit 2
 +-- Unavailable          not now, perhaps later: raise the alert, back off, try again
 |    +-- CameraUnavailable
 |    |    +-- CameraInUse   another process has it
 |    +-- SensorUnavailable
 |    |    +-- PinInUse      another process, or the kernel, has it
 |    +-- ModelUnavailable
 |    +-- LinkUnavailable
 |    +-- CredentialUnavailable
 |    +-- SourceUnavailable
 +-- BadInput             this one thing is damaged: name it, count it, go on with the next
 |    +-- BadPicture
 |    +-- BadDocument
 +-- StoreError
 |    +-- StoreLocked     another process has it
 |    +-- StoreOlder      trapd run brings it forward, and is perhaps just doing so: ask again later
 |    +-- StoreFull       refuse the trigger, raise the alert, try again when there is space
 |    +-- StoreUnwritable the disk is read-only or fails: wait, then open the store anew
 |    +-- StoreCorrupt    set it aside and rebuild
 +-- Broken               this process cannot go on: end it, start-up is recovery
      +-- CameraLost
      +-- StageFailed
      +-- StageStuck

Each carries a sentence that says what is wrong and a hint that says what to do.
"""

from __future__ import annotations

from trapd.frozen import Frozen


class TrapdError(Exception):
    """What is wrong, and what the person reading it can do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class Fault(Frozen):
    """One fault of a configuration: where, what, and what would be right."""

    path: str
    message: str
    hint: str = ""


class ConfigurationError(TrapdError):
    """The local configuration file cannot be used; `faults` names every fault at once."""

    def __init__(self, message: str, faults: tuple[Fault, ...] = (), hint: str = "") -> None:
        super().__init__(message, hint)
        self.faults = faults


class UsageError(TrapdError):
    """The caller named something that does not exist or does not fit."""


class Unavailable(TrapdError):
    """A part is missing or does not answer; trying again later may help."""


class CameraUnavailable(Unavailable):
    """No camera, or no frame in time. `restart_helps`: a new process, or a reboot, may bring it back."""

    def __init__(self, message: str, hint: str = "", *, restart_helps: bool = False) -> None:
        super().__init__(message, hint)
        self.restart_helps = restart_helps


class CameraInUse(CameraUnavailable):
    """Another process has it."""


class SensorUnavailable(Unavailable):
    """No sensor, or its pin cannot be read. `partly`: the others of its pins go on."""

    def __init__(self, message: str, hint: str = "", *, partly: bool = False) -> None:
        super().__init__(message, hint)
        self.partly = partly


class PinInUse(SensorUnavailable):
    """Another process, or the kernel, has it."""


class ModelUnavailable(Unavailable):
    """No model that can be trusted: missing, unreadable, of unknown layout, or failing its self-test."""


class LinkUnavailable(Unavailable):
    """The broker cannot be reached, or it refused us."""


class CredentialUnavailable(Unavailable):
    """A password is named in the configuration and cannot be read; no message ever holds its value."""


class SourceUnavailable(Unavailable):
    """The process that reads the configuration failed: that says nothing of the configuration."""


class BadInput(TrapdError):
    """One item from outside is damaged; the others are not."""


class BadPicture(BadInput):
    """A photograph that cannot be decoded."""


class BadDocument(BadInput):
    """A payload that is not what its topic promises."""


class StoreError(TrapdError):
    """The store cannot do what was asked."""


class StoreLocked(StoreError):
    """Another process uses this storage.path."""


class StoreOlder(StoreError):
    """Its database is of an older trapd, or just being made: `trapd run` brings it forward as it starts."""


class StoreFull(StoreError):
    """No space left for this write; nothing was changed."""


class StoreUnwritable(StoreError):
    """The disk takes no writes; what was being written may be there or not."""


class StoreCorrupt(StoreError):
    """The database failed its check."""


class Broken(TrapdError):
    """The process cannot go on."""


class CameraLost(Broken):
    """A camera that worked in this process does not work any more, opened anew or not."""


class StageFailed(Broken):
    """A stage raised; `__cause__` is what it raised."""


class StageStuck(Broken):
    """A stage has shown no progress for longer than it may."""
