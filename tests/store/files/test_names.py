from hypothesis import given
from hypothesis import strategies as st

from trapd.store.files import names

UNITS = st.from_regex(r"[a-z0-9][a-z0-9_-]{2,31}", fullmatch=True)
NAMES = st.builds(
    names.PhotographName,
    UNITS,
    st.from_regex(r"[0-9a-f]{4}", fullmatch=True),
    st.integers(1, 10**9),
    st.integers(0, 99),
)
MILLISECONDS = st.integers(0, 4_000_000_000_000)


@given(NAMES, MILLISECONDS)
def test_a_file_name_says_what_it_was_made_of(name: names.PhotographName, wall_ms: int) -> None:
    file = names.photograph_file(name, names.local_time(wall_ms, "UTC"))

    assert names.parse_photograph(file) == name


@given(NAMES, NAMES, MILLISECONDS, MILLISECONDS)
def test_two_photographs_never_share_a_name_whatever_the_clock_says(
    first: names.PhotographName, second: names.PhotographName, first_ms: int, second_ms: int
) -> None:
    one = names.photograph_file(first, names.local_time(first_ms, "UTC"))
    other = names.photograph_file(second, names.local_time(second_ms, "UTC"))

    assert (one == other) == (first == second and first_ms // 1000 == second_ms // 1000)


def test_names_are_those_of_the_contract() -> None:
    name = names.PhotographName("wangqing-07", "3f9a", 123, 2)
    local = names.local_time(1_795_324_402_120, "Asia/Shanghai")

    assert name.event_id == "wangqing-07-3f9a-000123"
    assert name.medium_id == "wangqing-07-3f9a-000123-2"
    assert names.day_folder(local) == "media/2026-11-22"
    assert names.photograph_file(name, local) == "wangqing-07__2026-11-22__13-13-22__3f9a-000123_2.jpg"
    assert names.thumb_path(name.event_id) == "thumbs/wangqing-07-3f9a-000123.jpg"


def test_what_is_no_photograph_of_ours_has_no_name() -> None:
    for file in ("IMG_0001.JPG", "x.jpg", "unit-1__2026-11-22__13-13-22__3f9a-12_0.jpg", "../unit-1.jpg", ""):
        assert names.parse_photograph(file) is None
