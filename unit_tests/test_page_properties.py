"""What must hold for any list: every record comes once, in its order."""

from collections import Counter

import requests_mock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unit_tests.builders import PageBuilder, Platform, page_with, read

USERS = "manage/v1/user"
FEW = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@st.composite
def _lists(draw: st.DrawFn) -> tuple[list[PageBuilder], list[str]]:
    """A list in pages, each well formed, that tells its end in one of the ways that Docebo has; and its keys."""
    sizes = draw(st.serves_pages(st.sampled_from([0, 1, 2, 7, 199, 200]), min_size=1, max_size=6))
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
            page_with(*records).with_paging(
                current_page=counted(number),
                current_page_size=draw(st.sampled_from([None, counted(200)])),
                has_more_data=more,
                total_page_count=counted(len(sizes)) if tells_count else None,
                total_count=draw(st.sampled_from([None, counted(sum(sizes))])),
            )
        )
    if tells_count or tells_more == "always":
        # What Docebo answers to a request beyond the end; nobody should read it.
        pages.append(page_with({"user_id": "beyond the end"}).with_paging(has_more_data=spelt(True)))
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
        page = page_with(*records).with_paging(
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
            docebo = Platform(mocker).serves_pages(USERS, *pages)
            output = read("users")

        assert output.errors() == []
        assert [record["user_id"] for record in output.records("users")] == keys
        assert output.is_complete("users")
        asked = Counter(query["page"][0] for query in docebo.queries_for(USERS))
        assert set(asked.values()) == {1}
