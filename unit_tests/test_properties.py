"""What must hold for any input: every date is a date, and every record of a list comes once."""

import re
from collections import Counter
from datetime import datetime
from typing import Any

import requests_mock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unit_tests.builders import PageBuilder, Platform, a_page_with, read

USERS = "manage/v1/user"
FEW = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)

_numbers = st.integers(min_value=0, max_value=10**4).map(str)
_date_like = st.from_regex(
    re.compile(
        r"\A-?\d{4}[-/]\d{1,2}[-/]\d{1,2}([T ]\d{1,2}:\d{2}(:\d{2}([.,]\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})?)?\Z", re.ASCII
    )
)
_near_a_date = st.builds(
    lambda text, place, letter: text[: place % len(text)] + letter + text[place % len(text) :],
    _date_like,
    st.integers(0, 30),
    st.characters(exclude_categories=["Cs"]),
)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
_values = st.lists(_json | _date_like | _near_a_date | _numbers, min_size=20, max_size=60)


class TestDates:
    """Any JSON value in a date field gives a date in the form of RFC 3339, or null; and the record is not lost."""

    @FEW
    @given(values=_values)
    def test_any_value(self, values: list[Any]) -> None:
        with requests_mock.Mocker(case_sensitive=True) as mocker:
            users = [{"user_id": str(number), "last_update": value} for number, value in enumerate(values)]
            Platform(mocker).lists(USERS, a_page_with(*users))
            output = read("users")

        records = output.records("users")
        assert [record["user_id"] for record in records] == [user["user_id"] for user in users]
        assert output.is_complete("users")
        for record in records:
            date = record.get("last_update")
            if date is not None:
                assert re.fullmatch(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z", date, re.ASCII)
                assert datetime.fromisoformat(date[:-1]).isoformat() == date[:-1]


@st.composite
def _lists(draw: st.DrawFn) -> tuple[list[PageBuilder], list[str]]:
    """A list in pages, each well formed, that tells its end in one of the ways that Docebo has; and its keys."""
    sizes = draw(st.lists(st.sampled_from([0, 1, 2, 7, 199, 200]), min_size=1, max_size=6))
    tells_more = draw(st.sampled_from(["rightly", "always", "never"]))
    tells_count = draw(st.booleans()) if tells_more == "rightly" else True
    if not tells_count:
        # Two empty pages in a row are equal, which without a count is taken for a list that has no end.
        sizes = [size for place, size in enumerate(sizes) if size or not place or sizes[place - 1]]
    has_silent_pages = tells_more == "rightly" and tells_count
    spelt = draw(
        st.sampled_from([lambda value: value, lambda value: str(value).lower(), lambda value: str(int(value))])
    )
    counted = draw(st.sampled_from([int, str]))
    pages, keys = [], []
    for number, size in enumerate(sizes, start=1):
        records = [{"user_id": f"{number}-{place}"} for place in range(size)]
        keys += [record["user_id"] for record in records]
        more = {"rightly": spelt(number < len(sizes)), "always": spelt(True), "never": None}[tells_more]
        if has_silent_pages and draw(st.booleans()):
            more = None
        pages.append(
            a_page_with(*records).saying(
                current_page=counted(number),
                current_page_size=draw(st.sampled_from([None, counted(200)])),
                has_more_data=more,
                total_page_count=counted(len(sizes)) if tells_count else None,
                total_count=draw(st.sampled_from([None, counted(sum(sizes))])),
            )
        )
    if tells_count or tells_more == "always":
        # What Docebo answers to a request beyond the end; nobody should read it.
        pages.append(a_page_with({"user_id": "beyond the end"}).saying(has_more_data=spelt(True)))
    return pages, keys


@st.composite
def _silent_lists(draw: st.DrawFn) -> tuple[list[PageBuilder], list[str]]:
    """A list that says nothing about its end: full pages, then one that is not. It may be bare."""
    bare = draw(st.booleans())
    full, rest = draw(st.integers(0, 3)), draw(st.integers(0, 199))
    pages, keys = [], []
    for number, size in enumerate([*[200] * full, rest], start=1):
        records = [{"user_id": f"{number}-{place}"} for place in range(size)]
        keys += [record["user_id"] for record in records]
        page = a_page_with(*records).saying(
            current_page=None, current_page_size=None, has_more_data=None, total_page_count=None
        )
        pages.append(page.as_bare_list() if bare else page)
    return pages, keys


class TestPages:
    """Any sequence of well-formed pages gives every record once, in its order, and ends."""

    @FEW
    @given(drawn=_lists() | _silent_lists())
    def test_any_list(self, drawn: tuple[list[PageBuilder], list[str]]) -> None:
        pages, keys = drawn
        with requests_mock.Mocker(case_sensitive=True) as mocker:
            docebo = Platform(mocker).lists(USERS, *pages)
            output = read("users")

        assert output.errors() == []
        assert [record["user_id"] for record in output.records("users")] == keys
        assert output.is_complete("users")
        asked = Counter(query["page"][0] for query in docebo.queries_for(USERS))
        assert set(asked.values()) == {1}
