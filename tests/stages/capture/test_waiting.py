"""Small frames in memory, while there is room."""

from __future__ import annotations

from tests.fakes.camera import small
from trapd.stages.capture.waiting import WaitingFrames

ONE = len(small().data)


def test_what_was_put_can_be_taken_once() -> None:
    waiting = WaitingFrames()
    frames = (small(), small(shade=3))
    assert waiting.put("a", frames)
    assert waiting.take("a") == frames
    assert waiting.take("a") is None


def test_memory_is_bounded_and_room_comes_back() -> None:
    waiting = WaitingFrames(room_bytes=3 * ONE)
    assert waiting.put("a", [small()] * 3)
    assert not waiting.put("b", [small()])
    assert waiting.take("b") is None
    waiting.take("a")
    assert waiting.put("c", [small()] * 3)


def test_a_burst_with_a_frame_missing_is_read_from_disk_instead() -> None:
    waiting = WaitingFrames()
    assert not waiting.put("a", [small(), None])
    assert waiting.take("a") is None


def test_news_is_told_whether_or_not_there_was_room() -> None:
    waiting = WaitingFrames(room_bytes=0)
    waiting.put("a", [small()])
    assert waiting.news.is_set()
