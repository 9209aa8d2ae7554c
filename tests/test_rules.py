"""Pure decisions."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trapd import rules
from trapd.records import Detection, FrameScore, Kind, Look, ModelInfo, Refusal, Verdict
from trapd.rules import Budget, Turns, again_below

S = rules.NS_PER_S
BLIND = ModelInfo("lite", "0" * 64, 0.35, frozenset())
NAMING = ModelInfo("ssd", "1" * 64, 0.5, frozenset({"animal", "person", "vehicle"}))
ALL = ("animal", "person", "vehicle")


def judge(scores: list[FrameScore], info: ModelInfo, classes: tuple[str, ...] = ALL) -> Verdict:
    return rules.judge_burst(scores, info, threshold=None, classes=classes)


def test_the_best_frame_decides() -> None:
    verdict = judge([FrameScore(0.1), FrameScore(0.36), FrameScore(0.2)], BLIND)
    assert (verdict.verdict, verdict.keep, verdict.score) == ("unclassified", True, 0.36)


def test_a_score_at_the_threshold_is_kept_and_below_it_is_not() -> None:
    assert judge([FrameScore(0.35)], BLIND).keep
    assert not judge([FrameScore(0.3499)], BLIND).keep


def test_the_configured_threshold_goes_before_the_models() -> None:
    verdict = rules.judge_burst([FrameScore(0.5)], BLIND, threshold=0.6, classes=ALL)
    assert (verdict.verdict, verdict.keep, verdict.threshold) == ("empty", False, 0.6)


def test_a_model_that_tells_classes_names_the_strongest_wanted_one() -> None:
    frames = [FrameScore(0.9, {"animal": 0.6, "person": 0.9})]
    assert judge(frames, NAMING).verdict == "person"
    assert judge(frames, NAMING, ("animal",)).verdict == "animal"


def test_only_unwanted_classes_are_discarded_under_their_name() -> None:
    verdict = judge([FrameScore(0.9, {"person": 0.9})], NAMING, ("animal",))
    assert (verdict.verdict, verdict.keep) == ("person", False)


def test_an_unwanted_class_in_one_frame_hides_nothing_in_another() -> None:
    """A person walks out of the picture; what the next frame shows has no name, and is kept."""
    frames = [FrameScore(0.6, {"person": 0.6}), FrameScore(0.9, {"person": 0.1})]
    for order in (frames, frames[::-1]):
        verdict = judge(order, NAMING, ("animal",))
        assert (verdict.verdict, verdict.keep) == ("unclassified", True)


def test_a_model_that_cannot_tell_classes_never_discards_on_one() -> None:
    assert judge([FrameScore(0.9)], BLIND, ("vehicle",)).keep


@pytest.mark.parametrize("nonsense", [math.nan, math.inf, -math.inf])
def test_what_is_not_a_finite_number_judges_nothing(nonsense: float) -> None:
    """Everything is "below" NaN: the animal would be discarded. It is kept as unknown instead."""
    sound = FrameScore(0.9)
    found = [
        rules.judge_burst([sound], BLIND, threshold=nonsense, classes=ALL),
        judge([sound], ModelInfo("lite", "0" * 64, nonsense, frozenset())),
        judge([FrameScore(nonsense)], BLIND),
        judge([FrameScore(0.01), FrameScore(nonsense)], BLIND),
        judge([FrameScore(0.9, {"animal": nonsense})], NAMING),
        judge([FrameScore(0.9, {}, (Detection(0, "animal", nonsense, (0.0, 0.0, 1.0, 1.0)),))], NAMING),
        judge([FrameScore(0.9, {}, (Detection(0, "animal", 0.9, (0.0, nonsense, 1.0, 1.0)),))], NAMING),
    ]
    for verdict in found:
        assert (verdict.verdict, verdict.keep, verdict.score, verdict.detections) == (
            "unknown",
            True,
            None,
            (),
        )
        assert "not a finite number" in verdict.reason
        assert verdict.threshold is None or math.isfinite(verdict.threshold)


def test_keeping_more_halves_whatever_threshold_is_in_force() -> None:
    assert rules.limit_of(None, BLIND, keep_more=False) == 0.35
    assert rules.limit_of(0.6, BLIND, keep_more=False) == 0.6
    assert rules.limit_of(0.6, BLIND, keep_more=True) == 0.3


def test_a_burst_without_a_judged_frame_is_kept_as_unknown() -> None:
    verdict = judge([], BLIND)
    assert (verdict.verdict, verdict.keep, verdict.score) == ("unknown", True, None)


def test_boxes_carry_their_frame_and_are_bounded() -> None:
    box = Detection(0, "animal", 0.5, (0, 0, 1, 1))
    verdict = judge([FrameScore(0.6, {}, (box,) * 40)] * 3, BLIND)
    assert len(verdict.detections) == 50
    assert {found.frame for found in verdict.detections} <= {0, 1, 2}


def test_the_gate_cools_down_after_the_burst_ends() -> None:
    gate = rules.TriggerGate(cooldown_s=10, max_per_hour=100)
    gate.began(0)
    gate.ended(2 * S)
    assert gate.refusal(11 * S) is Refusal.COOLDOWN
    assert gate.refusal(12 * S) is None


@given(st.lists(st.integers(0, 4 * 3600), min_size=1, max_size=200), st.integers(1, 20))
def test_no_hour_holds_more_bursts_than_the_limit(times: list[int], most: int) -> None:
    gate = rules.TriggerGate(cooldown_s=0, max_per_hour=most)
    admitted: list[int] = []
    for second in sorted(times):
        if gate.refusal(second * S) is None:
            gate.began(second * S)
            gate.ended(second * S)
            admitted.append(second)
        else:
            assert len([t for t in admitted if second - t < 3600]) >= most
    for second in admitted:
        assert len([t for t in admitted if 0 <= second - t < 3600]) <= most


@given(st.floats(-90, 90), st.floats(-180, 180), st.floats(0.1, 50))
def test_a_rounded_place_is_near_and_tells_no_more_than_its_cell(lat: float, lon: float, km: float) -> None:
    rounded_lat, rounded_lon = rules.round_location(lat, lon, km)
    assert -90 <= rounded_lat <= 90
    assert -180 <= rounded_lon <= 180
    assert abs(rounded_lat - lat) * 111.32 <= km / 2 + 0.01
    if abs(rounded_lat) < 80:
        east = abs((rounded_lon - lon + 180) % 360 - 180)
        assert east * 111.32 * math.cos(math.radians(rounded_lat)) <= km / 2 + 0.01


def test_precision_zero_publishes_the_place_itself() -> None:
    assert rules.round_location(43.31, 129.77, 0) == (43.31, 129.77)


@pytest.mark.parametrize(
    ("kind", "retain", "reason", "goes"),
    [
        (Kind.EVENT, False, 0x00, True),
        (Kind.EVENT, False, 0x10, False),
        (Kind.THUMB, False, 0x10, False),
        (Kind.TRAIL, False, 0x10, False),
        (Kind.ALERT, True, 0x10, True),
        (Kind.CONTROL, False, 0x10, True),
        (Kind.STATE, True, 0x10, True),
        (Kind.STATE, True, 0x87, False),
        (Kind.EVENT, False, 0x87, False),
    ],
)
def test_which_answers_let_a_row_go(kind: Kind, retain: bool, reason: int, goes: bool) -> None:
    assert rules.acknowledged(kind, retain, reason) is goes


def test_a_leaf_nobody_subscribes_to_is_probed_less_and_less_often() -> None:
    assert [rules.probe_delay_s(n) for n in (1, 2, 3, 4, 5, 6, 99)] == [5, 10, 20, 40, 60, 60, 60]


def test_every_kind_has_a_priority() -> None:
    assert set(rules.PRIORITY) == set(Kind)


# --- turns and budget --------------------------------------------------------------------------------------


def test_one_send_in_ten_is_of_the_lower_classes() -> None:
    turns, order = Turns(), []
    for _ in range(40):
        lower = turns.lower
        order.append(lower)
        turns.sent(lower=lower)
    assert order == ([False] * 9 + [True]) * 4


DAY_S = 86_400.0


@given(st.lists(st.tuples(st.floats(0, 20_000), st.integers(1, 400), st.booleans()), max_size=80))
def test_no_day_of_running_has_more_than_its_budget(steps: list[tuple[float, int, bool]]) -> None:
    budget, now_s, sent = Budget(1000, 300), 0.0, []
    for pause_s, size, alert in steps:
        now_s += pause_s
        if budget.allows(size, now_s, alert=alert):
            budget.spend(size, now_s, alert=alert)
            sent.append((now_s, size, alert))
        last_day = [(s, a) for at_s, s, a in sent if at_s > now_s - DAY_S]
        assert sum(s for s, _ in last_day) <= 1000
        assert sum(s for s, a in last_day if not a) <= 700


def test_the_reserve_is_there_for_alerts_alone() -> None:
    budget = Budget(1000, 300)
    assert budget.allows(700, 0.0, alert=False)
    assert not budget.allows(701, 0.0, alert=False)
    budget.spend(700, 0.0, alert=False)
    assert not budget.allows(1, 0.0, alert=False)
    assert budget.allows(300, 0.0, alert=True)
    budget.spend(300, 0.0, alert=True)
    assert not budget.allows(1, 0.0, alert=True)
    assert budget.spent_bytes(0.0) == 1000


def test_a_day_later_it_is_free_again_and_a_quarter_of_an_hour_at_most_after_it() -> None:
    budget = Budget(1000, 0)
    budget.spend(1000, 100.0, alert=False)
    assert not budget.allows(1, DAY_S + 99.0, alert=False)
    assert budget.allows(1000, DAY_S + 100.0 + 900.0, alert=False)


def test_what_is_kept_for_the_unit_itself_is_touched_last() -> None:
    budget = Budget(1000, 300, own_bytes=100)
    for _ in range(6):
        assert budget.allows(100, 0.0, alert=False, own=True)
        budget.spend(100, 0.0, alert=False, own=True)
    assert not budget.allows(1, 0.0, alert=False)
    assert not budget.allows(101, 0.0, alert=False, own=True)
    budget.spend(60, 0.0, alert=False, own=True)
    assert budget.allows(40, 0.0, alert=False, own=True)
    assert not budget.allows(41, 0.0, alert=False, own=True)
    assert budget.allows(300, 0.0, alert=True)
    assert not budget.allows(301, 0.0, alert=True)


@given(
    st.lists(
        st.tuples(st.floats(0, 20_000), st.integers(1, 300), st.sampled_from(["alert", "own", "other"])),
        max_size=80,
    )
)
def test_no_day_has_more_than_its_budget_whatever_is_kept_for_whom(
    steps: list[tuple[float, int, str]],
) -> None:
    budget, now_s, sent = Budget(1000, 300, own_bytes=100), 0.0, []
    for pause_s, size, what in steps:
        now_s += pause_s
        if budget.allows(size, now_s, alert=what == "alert", own=what == "own"):
            budget.spend(size, now_s, alert=what == "alert", own=what == "own")
            sent.append((now_s, size, what))
        last_day = [(s, w) for at_s, s, w in sent if at_s > now_s - DAY_S]
        assert sum(s for s, _ in last_day) <= 1000
        assert sum(s for s, w in last_day if w != "alert") <= 700
        assert sum(s for s, w in last_day if w == "other") <= 600


@pytest.mark.parametrize(
    ("per_day", "reserve", "own"), [(10**9, 0, 16_384), (20_000, 15_000, 500), (10_000, 10_000, 200)]
)
def test_how_much_is_kept_for_the_unit_itself(per_day: int, reserve: int, own: int) -> None:
    assert rules.own_reserve_bytes(per_day, reserve) == own


@given(st.integers(0, 1000), st.integers(1, 1000), st.integers(1, 300))
def test_what_is_owed_goes_within_a_day_whatever_else_waits(reserve: int, owed: int, size: int) -> None:
    """Alerts and all else take what they get, all the time; up to a whole day's budget can be owed."""
    budget, now_s, went_s = Budget(1000, reserve, own_bytes=100), 0.0, None
    budget.spend(1000, now_s, alert=True)
    while went_s is None:
        now_s += 600.0
        assert now_s < DAY_S + 3600.0
        if budget.allows(owed, now_s, alert=False, own=True):
            budget.spend(owed, now_s, alert=False, own=True)
            went_s = now_s
            break
        budget.owe(owed)
        for alert in (True, False):
            while budget.allows(size, now_s, alert=alert):
                budget.spend(size, now_s, alert=alert)
        assert budget.spent_bytes(now_s) <= 1000
    assert budget.spent_bytes(now_s) <= 1000
    assert budget.allows(900, now_s + 2 * DAY_S, alert=True)  # nothing is owed any more


def test_a_reserve_of_all_there_is_leaves_something_for_the_unit_itself() -> None:
    budget = Budget(1000, 1000, own_bytes=100)
    assert budget.allows(100, 0.0, alert=False, own=True)
    assert not budget.allows(1, 0.0, alert=False)
    assert budget.allows(900, 0.0, alert=True)


@pytest.mark.parametrize("fields", [3, 4])
def test_a_budget_is_handed_on(fields: int) -> None:
    """Also one that a trapd has noted which kept nothing for the unit itself."""
    first, second = Budget(1000, 300), Budget(1000, 300)
    first.spend(500, 10.0, alert=False)
    first.spend(100, 5000.0, alert=True)
    second.restore(slot[:fields] for slot in first.slots())
    for size in (1, 200, 201, 400, 401):
        for alert in (True, False):
            assert first.allows(size, 6000.0, alert=alert) == second.allows(size, 6000.0, alert=alert)


def test_rows_without_a_receipt_go_again_on_the_next_link_or_after_an_hour() -> None:
    assert again_below(7, 0.0) == again_below(7, 3600.0) == 7
    assert again_below(7, 3605.0) == 12


def test_boxes_keep_their_frames_number_where_another_could_not_be_judged() -> None:
    box = Detection(0, "animal", 0.9, (0.1, 0.1, 0.2, 0.2))
    frames = [None, FrameScore(0.2), FrameScore(0.9, {}, (box,))]
    info = ModelInfo("m", "0" * 64, 0.5, frozenset({"animal"}))
    verdict = rules.judge_burst(frames, info, threshold=None, classes=["animal"])
    assert [found.frame for found in verdict.detections] == [2]


def test_change_adds_to_a_score_and_never_decides_alone() -> None:
    moved, still = Look(change=5.0, shift=0.5), Look(change=0.0, shift=0.0)
    assert rules.burst_score(0.2, Look()) == 0.2
    assert rules.burst_score(0.2, moved) > 0.35 > rules.burst_score(0.2, still)
    assert rules.burst_score(0.01, moved) < 0.1
    assert rules.burst_score(0.5, still) > 0.35


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 100), st.floats(0, 2))
def test_a_burst_s_score_rises_with_each_part_of_it(
    low: float, high: float, change: float, shift: float
) -> None:
    low, high = min(low, high), max(low, high)
    look = Look(change=change, shift=shift)
    assert 0 <= rules.burst_score(low, look) <= rules.burst_score(high, look) <= 1
    assert rules.burst_score(low, look) <= rules.burst_score(low, Look(change=change + 1, shift=shift))
    assert rules.burst_score(low, look) <= rules.burst_score(low, look, second=high) + 1e-12


def test_a_look_that_is_not_a_number_adds_nothing() -> None:
    assert rules.burst_score(0.3, Look(change=math.nan, shift=math.inf)) == 0.3


def test_a_second_look_is_for_what_is_nearly_kept() -> None:
    near, far, kept = (judge([FrameScore(score)], BLIND) for score in (0.3, 0.05, 0.5))
    assert [rules.is_uncertain(verdict) for verdict in (near, far, kept)] == [True, False, False]
