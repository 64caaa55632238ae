"""What must hold for any list: every record comes once, in its order, whatever the list says of itself."""

import json

import requests_mock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from source_docebo.responses import Page, PageToken
from unit_tests.builders import PageBuilder, Platform, page_with, read

BRANCHES = "manage/v1/orgchart"
MANY = settings(max_examples=200, deadline=None, derandomize=True)
FEW = settings(
    max_examples=5,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@st.composite
def lists(draw: st.DrawFn) -> tuple[list[PageBuilder], list[int]]:
    """A list in pages, each well formed, that says its end in one of the ways that Docebo has; and its keys."""
    full = draw(st.sampled_from([1, 2, 7, 200]))
    last = draw(st.integers(1, full))
    sizes = [*[full] * draw(st.integers(0, 5)), last]
    says = draw(st.sets(st.sampled_from(["more", "pages", "records"]), min_size=1))
    always_more = draw(st.booleans()) and "pages" in says
    as_text = draw(st.booleans())
    counts_from = draw(st.sampled_from([0, 1, 1]))
    pages, keys = [], []
    for number, size in enumerate(sizes, start=1):
        records = [{"id": len(keys) + place} for place in range(size)]
        keys += [record["id"] for record in records]
        paging = {
            "current_page": number - 1 + counts_from,
            "current_page_size": draw(st.sampled_from([None, full])),
            "has_more_data": (always_more or number < len(sizes)) if "more" in says else None,
            "total_page_count": len(sizes) if "pages" in says else None,
            "total_count": sum(sizes) if "records" in says else None,
        }
        if as_text:
            paging = {name: None if value is None else str(value).lower() for name, value in paging.items()}
        pages.append(page_with(*records).with_paging(**paging))
    return pages, keys


@st.composite
def silent_lists(draw: st.DrawFn) -> tuple[list[PageBuilder], list[int]]:
    """A list that says nothing about its end: full pages, then one that is not. It may be bare."""
    bare = draw(st.booleans())
    pages, keys = [], []
    for size in [*[200] * draw(st.integers(0, 3)), draw(st.integers(0, 199))]:
        records = [{"id": len(keys) + place} for place in range(size)]
        keys += [record["id"] for record in records]
        page = page_with(*records).without_paging()
        pages.append(page.as_bare_list() if bare else page)
    return pages, keys


@MANY
@given(drawn=lists() | silent_lists())
def test_every_record_comes_once_without_a_request_too_many(drawn: tuple[list[PageBuilder], list[int]]) -> None:
    pages, keys = drawn
    token, received = PageToken(), []
    for builder in pages:
        assert token is not None
        page = Page.parse(json.dumps(builder.content()).encode(), ("id",))
        assert token.problem(page) is None
        received += [record["id"] for record in page.records]
        token = token.next(page, 200)
    assert token is None
    assert received == keys


@FEW
@given(drawn=lists() | silent_lists())
def test_at_the_front_door(drawn: tuple[list[PageBuilder], list[int]]) -> None:
    pages, keys = drawn
    with requests_mock.Mocker(case_sensitive=True) as mocker:
        docebo = Platform(mocker).serves_pages(BRANCHES, *pages)
        output = read("branches")

    assert output.errors() == []
    assert [record["id"] for record in output.records("branches")] == keys
    assert len(docebo.requests_for(BRANCHES)) == len(pages)
