"""What must hold for any list, however it says its end and however its rows move while it is read."""

import json
import math
from collections.abc import Iterable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from source_docebo.client import MAX_TRIES
from source_docebo.responses import Page, PageToken
from unit_tests.builders import PageBuilder, page_with

SAYS = ("more", "pages", "total")
SIZE = 5
SOME = settings(max_examples=100, deadline=None, derandomize=True)
Event = tuple[str, int, int]  # what happens, at which row, to how many


class MovingList:
    """
    A list of keys in pages. Before a request that is named by its number, rows are deleted, inserted, or moved to the
    end, as in a list in order of update.
    """

    def __init__(self, count: int, says: Iterable[str], events: dict[int, Event], repeats_last: bool = False) -> None:
        self.keys = list(range(count))
        self.requests: list[int] = []
        self._says = set(says)
        self._events = events
        self._repeats_last = repeats_last  # beyond its end, as some frameworks do

    def request(self, number: int) -> Page:
        """The response to the next request."""
        self._change(*self._events.get(len(self.requests), ("", 0, 0)))
        self.requests.append(number)
        count = max(1, math.ceil(len(self.keys) / SIZE))
        place = min(number, count) if self._repeats_last else number
        builder = page_with(*({"id": key} for key in self.keys[(place - 1) * SIZE : place * SIZE]))
        said = {"has_more_data": number < count, "total_page_count": count, "total_count": len(self.keys)}
        names = dict(zip(said, ("more", "pages", "total"), strict=True))
        builder.with_paging(**{name: value if names[name] in self._says else None for name, value in said.items()})
        return parsed(builder)

    def _change(self, kind: str, place: int, count: int) -> None:
        place = place % (len(self.keys) + 1)
        changed = self.keys[place : place + count]
        if kind == "inserted":
            self.keys[place:place] = range(1000 * len(self.requests), 1000 * len(self.requests) + count)
        elif kind:
            self.keys[place : place + count] = []
            self.keys += changed if kind == "moved" else []


def parsed(builder: PageBuilder) -> Page:
    return Page.parse(json.dumps(builder.content()).encode(), ("id",))


def read(rows: MovingList, ahead: int = 0) -> set[Any]:
    """The keys of all records, read as the requester does, with so many pages requested before their turn."""
    token: PageToken | None = PageToken()
    prefetched: dict[int, Page] = {}
    received: set[Any] = set()
    while token:
        page = prefetched.pop(token.number, None)
        if page is None or token.number <= token.highest:
            page = rows.request(token.number)
        for number in range(token.number + 1, min(token.page_count, token.number + ahead) + 1):
            if number > token.highest and number not in prefetched:
                prefetched[number] = rows.request(number)
        tries = 0
        while problem := token.problem(page, is_second=tries > 0):
            tries += 1
            assert tries < MAX_TRIES, problem
            page = rows.request(token.number)
        received.update(record["id"] for record in page.records)
        token = token.next(page, SIZE)
        assert len(rows.requests) < 100, "the read does not end"
    return received


def events(*kinds: str, most_rows: int) -> st.SearchStrategy[dict[int, Event]]:
    event = st.tuples(st.sampled_from(kinds), st.integers(0, 50), st.integers(1, most_rows))
    return st.dictionaries(st.integers(1, 10), event, max_size=3)


@SOME
@given(
    count=st.integers(0, 30),
    says=st.sets(st.sampled_from(SAYS)),
    as_text=st.booleans(),
    repeats_last=st.booleans(),
    ahead=st.integers(0, 3),
)
def test_a_list_that_stays_is_read_without_a_request_too_many(
    count: int, says: set[str], as_text: bool, repeats_last: bool, ahead: int
) -> None:
    rows = MovingList(count, says, {}, repeats_last and bool(says))
    assert read(rows, ahead) == set(range(count))
    # Where it says nothing, only an empty page shows that a full one was the last.
    assert len(rows.requests) == (count // SIZE + 1 if not says else max(1, math.ceil(count / SIZE)))


@SOME
@given(
    count=st.integers(10, 50),
    says=st.sampled_from([("total", "pages", "more"), ("total", "pages"), ("total", "more")]),
    happens=events("deleted", most_rows=9),
    ahead=st.integers(0, 3),
)
def test_deletions_lose_nobody_else(count: int, says: tuple[str, ...], happens: dict[int, Event], ahead: int) -> None:
    rows = MovingList(count, says, happens)
    received = read(rows, ahead)
    assert set(rows.keys) <= received
    # For each time that rows were deleted: the pages that they filled, one that is rounded up, and those in flight.
    assert len(rows.requests) <= math.ceil(count / SIZE) + len(happens) * (2 + 1 + 1 + ahead)


@SOME
@given(
    count=st.integers(10, 50),
    place=st.integers(0, 50),
    number=st.integers(1, 9),
    moved=st.integers(1, SIZE - 1),
    says=st.sampled_from([("total", "pages", "more"), ("total", "pages"), ("total", "more"), ("total",)]),
    ahead=st.integers(0, 3),
)
def test_rows_that_move_to_the_end_lose_nobody(
    count: int, place: int, number: int, moved: int, says: tuple[str, ...], ahead: int
) -> None:
    rows = MovingList(count, says, {number: ("moved", place, moved)})
    assert read(rows, ahead) == set(range(count))
    assert len(rows.requests) <= 2 * math.ceil(count / SIZE) + 3 + ahead


@SOME
@given(
    count=st.integers(10, 50),
    happens=events("inserted", most_rows=SIZE - 1),
    says=st.sampled_from([("total", "pages", "more"), ("total", "pages"), ("total", "more"), ("total",)]),
    ahead=st.integers(0, 3),
)
def test_insertions_lose_nobody_who_was_there(
    count: int, happens: dict[int, Event], says: tuple[str, ...], ahead: int
) -> None:
    happens = dict(list(happens.items())[:1])  # several, together, may be a page
    rows = MovingList(count, says, happens)
    assert read(rows, ahead) >= set(range(count))
    assert len(rows.requests) <= 2 * math.ceil((count + SIZE) / SIZE) + 3 + ahead


@SOME
@given(count=st.integers(10, 50), place=st.integers(0, 50), number=st.integers(1, 9), ahead=st.integers(0, 3))
def test_an_import_of_pages_loses_nobody_who_was_there(count: int, place: int, number: int, ahead: int) -> None:
    rows = MovingList(count, SAYS, {number: ("inserted", place, 3 * SIZE)})
    assert read(rows, ahead) >= set(range(count))


@SOME
@given(
    count=st.integers(10, 50),
    happens=events("deleted", "inserted", "moved", most_rows=3),
    says=st.sampled_from([("total", "pages", "more"), ("total", "pages"), ("total", "more"), ("total",)]),
)
def test_every_read_ends(count: int, happens: dict[int, Event], says: tuple[str, ...]) -> None:
    read(MovingList(count, says, happens, repeats_last=True))
