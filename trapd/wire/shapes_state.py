"""The shape of `state`, the heartbeat: flat, every value a number or a short text. Types only.

One line for each field, with its meaning: the schema has it, and docs/operating.md has the same fields.
"""

from __future__ import annotations

from typing import Annotated, TypedDict

from trapd.wire.shape import Only
from trapd.wire.shapes import V1, Count, Epoch, Phase, Quality, Time

Flat = float | Annotated[str, Only(maxLength=200)]
"""What a field may be that a later version adds."""

Yes = Annotated[int, Only(enum=(0, 1))]
Portion = Annotated[float, Only(minimum=0, maximum=1)]
Seconds = Annotated[float, Only(minimum=0)]


class Always(TypedDict):
    """What every heartbeat says."""

    v: V1
    ts: Time
    ts_quality: Quality
    version: Annotated[str, "Of trapd."]
    epoch: Epoch
    running_s: Annotated[Seconds, "How long this process runs."]
    online: Annotated[Yes, "Whether the broker had the unit when this was written."]
    alerts: Annotated[Count, "How many alerts stand."]
    armed: Annotated[Yes, "Whether triggers become bursts."]
    config_version: Annotated[Count, "The configuration in force; 0 is the local file alone."]
    config_phase: Phase
    load_1min: Annotated[Seconds, "Load average."]
    disk_free_bytes: Annotated[Count, "Free on the card."]
    disk_used_bytes: Annotated[Count, "What trapd keeps there."]
    awaiting_receipt: Annotated[Count, "Events that the broker has and no receipt has confirmed."]
    held_back_rows: Annotated[Count, "Messages that do not go although there is a link."]
    held_back_bytes: Count
    captured: Annotated[Count, "Bursts that are not judged yet."]
    kept: Annotated[Count, "Bursts that are due for delivery."]
    discarded: Annotated[Count, "Bursts that were clearly empty."]
    delivered: Annotated[Count, "Bursts whose event has arrived."]
    bursts: Annotated[Count, "All of them."]


class State(Always, total=False):
    """The unit's heartbeat. Counts are since the store was made; a count that is not there is 0."""

    uptime_s: Annotated[Seconds, "Since the machine started."]
    cpu_c: Annotated[float, "The processor's temperature."]
    cma_free_bytes: Annotated[Count, "Left of the memory that the camera's buffers come from."]
    camera_frame_ms: Annotated[Seconds, "Mean time between two frames of the camera."]
    camera_frame_age_s: Annotated[Seconds, "Since the camera's newest frame."]
    first_frame_ms: Annotated[
        float, "From the last trigger to its first frame; below 0 with burst.pre_trigger."
    ]
    resident_bytes: Annotated[Count, "Memory of this process."]
    oldest_unsent_s: Annotated[Seconds, "Age of the oldest event that waits."]
    held_back_reason: Annotated[str, Only(maxLength=200), "Why: one or several reasons."]
    queue_alert: Count
    queue_control: Annotated[Count, "Answers, reports, birth, availability that wait."]
    queue_trail: Count
    queue_event: Count
    queue_clock: Count
    queue_thumb: Count
    queue_media_requested: Annotated[Count, "Photographs that were asked for."]
    queue_media_bulk: Annotated[Count, "Photographs, where all are sent."]
    queue_state: Count
    refused_busy: Annotated[Count, "Triggers during a burst."]
    refused_cooldown: Count
    refused_rate: Annotated[Count, "Triggers beyond trigger.max_per_hour."]
    refused_disk: Annotated[Count, "Triggers for which there was no room."]
    refused_camera: Annotated[Count, "Triggers without a working camera."]
    refused_disarmed: Count
    refused_warmup: Count
    refused_stuck: Count
    evicted_discarded: Annotated[Count, "Discarded bursts whose files made room."]
    evicted_delivered: Annotated[Count, "Delivered bursts whose files made room."]
    evicted_orphans: Annotated[Count, "Files that start-up could not take up or read, and that made room."]
    evicted_undelivered: Annotated[Count, "Bursts whose full-size photographs went before they were fetched."]
    evicted_thumbs: Count
    evicted_audit: Count
    evicted_rows: Annotated[Count, "Old entries that were removed."]
    evicted_events: Annotated[Count, "Events given up before they arrived; each left a tombstone."]
    links_refused: Annotated[Count, "Connections that the broker refused, or ended with a reason."]
    photographs_bad: Annotated[Count, "Photographs that could not be decoded."]
    photographs_missing: Annotated[Count, "Photographs that a start found gone from the disk."]
    files_orphaned: Annotated[Count, "Files that a start could not take up, and put into orphans."]
    photographs_passed_over: Annotated[
        Count, "Files that lie in the replay camera's folder and cannot be used."
    ]
    unjudged: Annotated[Count, "Bursts kept because the filter failed on them."]
    audit_waiting: Annotated[Count, "Samples that nobody has judged yet (trapd audit)."]
    audit_judged: Count
    audit_lost: Annotated[Count, "Samples that went, to make room, before anybody judged them."]
    miss_rate: Annotated[Portion, "Of the bursts worth keeping, the part that was discarded; as judged."]
    miss_rate_low: Annotated[Portion, "Its interval of 95 %."]
    miss_rate_high: Portion
    false_keep: Annotated[Portion, "Of the other bursts, the part that was kept; as judged."]
    false_keep_low: Annotated[Portion, "Its interval of 95 %."]
    false_keep_high: Portion
    auto_keep: Annotated[Yes, "Whether more is kept because the miss rate is rising."]
    gone: Annotated[Count, "Messages whose photograph had gone when their turn came."]
    unsendable: Annotated[Count, "Attempts to send what is damaged."]
    commands_refused: Count
    commands_dropped: Annotated[Count, "Messages passed over: too many waited, or no command has that name."]
    inbound_too_large: Annotated[Count, "Links that the unit ended over a message too large for it."]
    receipts_bad: Annotated[Count, "Receipts that could not be read."]
    receipts_unknown: Annotated[Count, "Receipts for events that the unit does not know."]
