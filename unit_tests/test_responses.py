"""What a response holds: pages, the rules by which a list is followed and ends, Retry-After and error messages."""

import copy
import json
import math
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import pytest
import requests
from airbyte_cdk.utils import airbyte_secrets_utils

from source_docebo.responses import (
    MAX_RETRY_AFTER_SECONDS,
    Page,
    PageToken,
    decode_json,
    error_message,
    host,
    is_from_docebo,
    json_object,
    request_label,
    retry_after_seconds,
)


def response(body: Any = b"", status: int = 200, headers: Mapping[str, str] | None = None) -> requests.Response:
    """A response with this body: bytes as they are, anything else as JSON."""
    made = requests.Response()
    made.status_code, made._content = status, body if isinstance(body, bytes) else json.dumps(body).encode()
    made.headers.update(headers or {})
    return made


def parse(data: Any, primary_key: tuple[str, ...] = ("id",)) -> Page:
    return Page.parse(json.dumps({"data": data}).encode(), primary_key)


def page(*keys: int, **says: Any) -> Page:
    """A page with records of these keys."""
    return Page([{"id": key} for key in keys], keys=frozenset(keys), **says)


def after(*pages: Page, page_size: int | None = None) -> PageToken:
    """The token that follows these pages, each of which was requested by the one before."""
    token = PageToken()
    for each in pages:
        following = token.next(each, page_size)
        assert following is not None
        token = following
    return token


class TestPage:
    @pytest.mark.parametrize(
        ("data", "expected"),
        [
            ({"items": [{"id": 1}, {"id": 2}]}, [{"id": 1}, {"id": 2}]),
            ([{"id": 1}], [{"id": 1}]),
            ([], []),
            ({"items": []}, []),
            ({"items": None}, []),
            ({"items": {"0": {"id": 1}, "7": {"id": 2}}}, [{"id": 1}, {"id": 2}]),
            ({"0": {"id": 1}, "2": {"id": 3}}, [{"id": 1}, {"id": 3}]),
        ],
    )
    def test_forms_of_a_list(self, data: Any, expected: Any) -> None:
        assert parse(data).records == expected

    @pytest.mark.parametrize(
        "data", [None, {}, "text", 5, {"count": 0}, {"items": ["1"]}, ["1"], {"items": "x"}, {"a": {"id": 1}}, [None]]
    )
    def test_anything_else_is_an_error(self, data: Any) -> None:
        with pytest.raises(ValueError, match="^no list of records$"):
            parse(data)

    @pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b'{"version": 1}', b'{"data": {"items": [{"id"'])
    def test_a_body_without_data_is_an_error(self, body: bytes) -> None:
        with pytest.raises(ValueError, match=r"."):
            Page.parse(body)

    @pytest.mark.parametrize("error", [{"success": False}, {"status": 400}, {"status": "500"}])
    def test_an_error_with_status_200_is_no_list(self, error: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="^an error that is told with status 200$"):
            Page.parse(json.dumps({"data": [], **error}).encode())

    @pytest.mark.parametrize("status", [{"success": True}, {"status": 399}, {"status": 200}, {"status": "ok"}])
    def test_any_other_status_is_none(self, status: dict[str, Any]) -> None:
        assert Page.parse(json.dumps({"data": [], **status}).encode()).records == []

    @pytest.mark.parametrize("convert", [lambda number: number, str])
    def test_counts_are_numbers_or_text(self, convert: Any) -> None:
        found = parse({"items": [], "total_page_count": convert(3), "total_count": convert(401)})
        assert (found.page_count, found.total_count) == (3, 401)

    @pytest.mark.parametrize("value", [None, "", "many", -1, True, 1.5, [], "²", 0])
    def test_what_is_no_count_says_nothing(self, value: Any) -> None:
        found = parse({"items": [], "total_page_count": value, "total_count": value})
        assert (found.page_count, found.total_count) == (0, 0)

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            *[(value, True) for value in (True, 1, "true", "TRUE", "1")],
            *[(value, False) for value in (False, 0, "False", "0", "", "maybe", [])],
            (None, None),
        ],
    )
    def test_has_more_data(self, value: Any, expected: bool | None) -> None:
        assert parse({"items": [], "has_more_data": value}).has_more is expected

    def test_a_bare_list_says_nothing(self) -> None:
        found = parse([{"id": 1}])
        assert (found.has_more, found.page_count, found.total_count) == (None, 0, 0)

    def test_knows_its_size(self) -> None:
        assert Page.parse(b'{"data": []}').body_size == 12

    def test_is_whole_until_its_fields_are_dropped(self) -> None:
        assert parse([]).is_whole

    def test_each_record_has_a_key(self) -> None:
        first = parse([{"id": 1, "name": "a"}, {"id": 2}])
        assert len(first.keys) == 2
        assert first.keys == parse([{"id": 2, "name": "c"}, {"id": 1, "name": "b"}]).keys
        assert not first.keys & parse([{"id": 3}]).keys

    def test_a_key_may_have_several_fields(self) -> None:
        both = ("id", "user")
        first = parse([{"id": 1, "user": 1}, {"id": 1, "user": 2}, {"id": 1}], both)
        assert len(first.keys) == 3
        assert parse([{"user": 1, "id": 1, "name": "a"}], both).keys < first.keys

    @pytest.mark.parametrize("primary_key", [(), ("id",)])
    def test_records_without_a_key_are_compared_whole(self, primary_key: tuple[str, ...]) -> None:
        first = parse([{"name": "a"}, {"name": "b"}], primary_key)
        assert len(first.keys) == 2
        assert parse([{"name": "a"}], primary_key).keys < first.keys


class TestDecodeJson:
    def test_valid_json(self) -> None:
        assert decode_json('{"a": "ü"}'.encode()) == {"a": "ü"}

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
            (b'{"a": "x\\ud83d"}', {"a": "x\ufffd"}),
            (b'{"a": "x\x01y"}', {"a": "x\x01y"}),
            ('{"a": "ü'.encode() + b'\xff"}', {"a": "ü\ufffd"}),
        ],
    )
    def test_what_is_no_character_is_replaced(self, body: bytes, expected: Any) -> None:
        assert decode_json(body) == expected

    @pytest.mark.parametrize("body", [b"", b"<html>", b'{"a": "cut', b"{'a': 1}", b'{"a": 1}\xef'])
    def test_no_json(self, body: bytes) -> None:
        with pytest.raises(ValueError, match=r"."):
            decode_json(body)


class TestEnd:
    """A list goes on while anything that it says about itself says that there is more."""

    @pytest.mark.parametrize(
        ("number", "received", "goes_on"),
        [
            # It says nothing: a full page goes on.
            (1, page(1, 2), True),
            (1, page(1), False),
            # One of the three, or several that contradict each other
            (1, page(1, has_more=True), True),
            (1, page(1, 2, has_more=False), False),
            (1, page(1, page_count=2), True),
            (1, page(1, 2, page_count=1), False),
            (2, page(1, 2, page_count=2), False),
            (1, page(1, 2, total_count=3), True),
            (1, page(1, 2, total_count=2), False),
            (1, page(1, 2, total_count=1), False),
            (1, page(1, has_more=False, page_count=2, total_count=1), True),
            (1, page(1, has_more=False, page_count=1, total_count=2), True),
            (2, page(1, has_more=True, page_count=1, total_count=1), True),
            (1, page(1, has_more=False, page_count=1, total_count=1), False),
            # has_more_data that is always true: it counts on a full page, or where a count is not said: it may be the
            # total of this page alone, on a platform that ignores page_size.
            (1, page(1, has_more=True, page_count=1, total_count=1), False),
            (1, page(1, 2, has_more=True, page_count=1, total_count=2), True),
            (1, page(1, has_more=True, total_count=1), True),
            (1, page(1, has_more=True, page_count=1), True),
            # A page without records ends it.
            (1, page(has_more=True), False),
            (1, page(), False),
            (1, page(page_count=2), False),
            (1, page(total_count=3), False),
        ],
    )
    def test_goes_on(self, number: int, received: Page, goes_on: bool) -> None:
        following = PageToken(number, highest=number - 1).next(received, 2)
        assert (following and following.number) == (number + 1 if goes_on else None)

    def test_has_more_data_that_is_always_true_counts_on_a_page_that_is_as_full_as_those_before(self) -> None:
        token = after(page(1, 2, 3, has_more=True, page_count=2, total_count=5))
        assert token.next(page(4, 5, has_more=True), 9) is None
        token = after(page(1, 2, 3, has_more=True, page_count=2, total_count=6))
        assert token.next(page(4, 5, 6, has_more=True), 9).number == 3

    def test_a_list_that_is_requested_without_page_size_ends_where_nothing_says_more(self) -> None:
        assert PageToken().next(page(*range(200)), None) is None

    def test_what_was_announced_last_counts(self) -> None:
        assert after(page(1, page_count=2, total_count=2)).next(page(2), 1) is None
        assert after(page(1, page_count=2, total_count=2)).next(page(2, page_count=3), 1) is not None
        assert after(page(1, page_count=3)).next(page(2, page_count=2), 1) is None

    def test_the_next_token_holds_what_the_list_has_said(self) -> None:
        first = after(page(1, 2, 3, body_size=900, total_count=9, page_count=3))
        assert first == PageToken(2, 3, 9, lowest_total=9, body_size=900, highest=1)
        second = first.next(page(4, 5, 6, body_size=700, total_count=10), 3)
        assert second == PageToken(3, 3, 10, lowest_total=9, body_size=900, highest=2)
        assert second.keys == {1, 2, 3, 4, 5, 6}

    def test_the_first_token_says_nothing(self) -> None:
        token = PageToken()
        assert (token.number, token.page_count, token.total_count, token.lowest_total) == (1, 0, 0, math.inf)
        assert (token.body_size, token.highest, token.moved, token.again) == (0, 0, False, False)
        assert PageToken().keys is not token.keys

    def test_a_copy_shares_its_keys(self) -> None:
        token = PageToken()
        assert copy.deepcopy(token) is token


class TestNewKeys:
    """Each page must bring a new key, unless the total has grown meanwhile."""

    def test_a_page_that_brings_none(self) -> None:
        token = after(page(1, 2, has_more=True))
        for again in (page(1, 2, has_more=True), page(2)):
            assert token.problem(again, is_second=False) == (
                "Page 2 holds no record that the pages before it did not, after 1 of ? pages."
            )
            assert token.problem(again, is_second=True)
        assert token.problem(page(2, 3), is_second=False) is None

    def test_the_message_has_the_numbers(self) -> None:
        token = after(page(1, 2, total_count=9, page_count=5))
        assert "after 2 of 9 records." in str(token.problem(page(1, 2), is_second=False))
        token = after(page(1, 2, page_count=5))
        assert "after 1 of 5 pages." in str(token.problem(page(1, 2), is_second=False))

    def test_the_total_has_grown(self) -> None:
        token = after(page(1, 2, total_count=9))
        assert token.problem(page(1, 2, total_count=10), is_second=False) is None
        assert token.next(page(1, 2, total_count=10), 2).number == 3
        assert token.problem(page(1, 2, total_count=9), is_second=False)
        assert token.problem(page(1, 2, total_count=8), is_second=False)

    def test_the_total_has_grown_before_the_page_before(self) -> None:
        token = after(page(1, 2, total_count=9), page(1, 2, total_count=13))
        assert token.problem(page(1, 2, total_count=13), is_second=False) is None

    def test_a_page_that_is_read_again_brings_none(self) -> None:
        token = PageToken(2, total_count=9, highest=2, keys={1, 2, 3, 4})
        assert token.problem(page(3, 4), is_second=False) is None

    @pytest.mark.parametrize(
        ("total_count", "is_believed"),
        [(4, True), (5, True), (6, False), (9, False)],
    )
    def test_where_less_than_a_page_is_missing_it_is_believed_the_second_time(
        self, total_count: int, is_believed: bool
    ) -> None:
        token, received = PageToken(3, total_count=total_count, highest=2, keys={1, 2, 3, 4}), page(3, 4, has_more=True)
        assert token.problem(received, is_second=False)
        assert (token.problem(received, is_second=True) is None) == is_believed

    def test_a_page_that_is_believed_ends_the_list(self) -> None:
        token = PageToken(3, total_count=5, lowest_total=5, highest=2, keys={1, 2, 3, 4}, again=True)
        assert token.next(page(3, 4, has_more=True), 2) is None

    @pytest.mark.parametrize(("number", "is_believed"), [(3, False), (4, True)])
    def test_beyond_the_pages_that_were_announced_it_is_believed(self, number: int, is_believed: bool) -> None:
        token = PageToken(number, page_count=3, highest=number - 1, keys={1})
        assert token.problem(page(1), is_second=False)
        assert (token.problem(page(1), is_second=True) is None) == is_believed


class TestEmptyPage:
    """A page without records ends a list, unless a page or more is missing."""

    @pytest.mark.parametrize(
        ("token", "received", "first", "second"),
        [
            # Nothing is missing.
            (PageToken(), page(), True, True),
            (PageToken(), page(has_more=True), True, True),
            (PageToken(), page(page_count=1), True, True),
            (PageToken(3, page_count=2, highest=2, keys={1, 2}), page(), True, True),
            (PageToken(3, total_count=2, highest=2, keys={1, 2}), page(), True, True),
            (PageToken(3, total_count=2, highest=2, keys={1, 2, 3}), page(), True, True),
            # Less than a page of `total_count`: requested again once, unless the page was not announced either.
            (PageToken(3, total_count=5, highest=2, keys={1, 2, 3, 4}), page(), False, True),
            (PageToken(3, 3, total_count=5, highest=2, keys={1, 2, 3, 4}), page(), False, True),
            (PageToken(3, 2, total_count=5, highest=2, keys={1, 2, 3, 4}), page(), True, True),
            # A page of it
            (PageToken(3, 2, total_count=6, highest=2, keys={1, 2, 3, 4}), page(), False, False),
            (PageToken(3, total_count=5, highest=2, keys={1, 2, 3, 4}), page(total_count=6), False, False),
            (PageToken(), page(total_count=1), False, False),
            # Pages of `total_page_count`, where there is no `total_count`
            (PageToken(), page(page_count=2), False, False),
            (PageToken(2, page_count=3, highest=1, keys={1}), page(), False, False),
            (PageToken(3, page_count=3, highest=2, keys={1}), page(), False, False),
            (PageToken(3, page_count=3, highest=2, keys={1}), page(page_count=2), True, True),
        ],
    )
    def test_is_believed(self, token: PageToken, received: Page, first: bool, second: bool) -> None:
        assert (token.problem(received, is_second=False) is None) == first
        assert (token.problem(received, is_second=True) is None) == second

    def test_beyond_the_announced_pages_a_page_is_as_large_as_requested(self) -> None:
        """A list of two, one of which is not shown: it is not "a page" that is missing."""
        token = PageToken(2, 1, total_count=2, highest=1, keys={1})
        assert token.problem(page(), is_second=False, page_size=200) is None
        assert token.problem(page(), is_second=True)
        token = PageToken(3, 2, total_count=600, highest=2, keys=set(range(400)))
        assert token.problem(page(), is_second=True, page_size=200)
        assert token.problem(page(total_count=599), is_second=False, page_size=200) is None
        announced = PageToken(2, 2, total_count=2, highest=1, keys={1})
        assert announced.problem(page(), is_second=True, page_size=200)
        assert PageToken(1, 0, total_count=2).problem(page(page_count=1), is_second=True, page_size=200)

    def test_the_message_has_the_numbers(self) -> None:
        token = PageToken(3, total_count=9, highest=2, keys={1, 2, 3, 4})
        assert token.problem(page(), is_second=False) == "Page 3 is empty, after 4 of 9 records."
        assert PageToken(2, 3).problem(page(), is_second=False) == "Page 2 is empty, after 1 of 3 pages."


class TestShorterList:
    """Where the total falls, reading goes back as many pages as the difference fills."""

    @pytest.mark.parametrize(("total", "number"), [(99, 9), (90, 9), (89, 8), (70, 7), (1, 1)])
    def test_goes_back(self, total: int, number: int) -> None:
        token = PageToken(10, 10, 100, lowest_total=100, highest=9, keys=set(range(90)))
        following = token.next(page(*range(90, 100), total_count=total), 10)
        assert (following.number, following.highest, following.total_count, following.lowest_total) == (
            number,
            10,
            total,
            total,
        )

    def test_the_second_page_goes_back_to_the_first_and_the_first_nowhere(self) -> None:
        assert PageToken(2, 2, 20, highest=1, keys={*range(10)}).next(page(10, total_count=19), 10).number == 1
        assert PageToken(1, 3, 30, highest=0).next(page(*range(10), total_count=29), 10).number == 2

    def test_goes_on_where_the_total_is_the_same_or_greater_or_not_said(self) -> None:
        for said in ({"total_count": 100}, {"total_count": 101}, {}):
            token = PageToken(5, 10, 100, highest=4, keys=set(range(40)))
            assert token.next(page(*range(40, 50), **said), 10).number == 6

    def test_from_each_page_only_once_unless_the_total_is_lower_than_ever(self) -> None:
        token = PageToken(5, 10, 100, lowest_total=90, highest=5, keys=set(range(50)))
        assert token.next(page(*range(40, 50), total_count=90), 10).number == 6
        assert token.next(page(*range(40, 50), total_count=89), 10).number == 3

    def test_rows_that_have_come_do_not_come_again(self) -> None:
        """Unless the whole list is read once more: a row that has moved may have changed."""
        for token, expected in (
            (PageToken(2, 3, 6, highest=3, keys={1, 2, 3, 4}), 0),
            (PageToken(2, 3, 6, highest=3, keys={1, 2, 3}), 2),
            (PageToken(2, 3, 6, highest=3, keys={1, 2, 3, 4}, again=True), 2),
        ):
            received = page(3, 4, total_count=6)
            assert token.next(received, 2).number == 3
            assert len(received.records) == expected

    def test_a_page_that_brings_nothing_when_it_is_read_again_does_not_say_what_follows(self) -> None:
        """Its total is newer than that of the pages that were requested before: theirs is no fall."""
        again = PageToken(2, 3, 6, highest=3, keys={1, 2, 3, 4, 5})
        assert again.next(page(3, 4, total_count=9), 2).total_count == 6
        assert again.next(page(3, 6, total_count=9), 2).total_count == 9
        assert after(page(1, 2, total_count=9)).total_count == 9

    def test_keys_of_deleted_rows_do_not_end_the_list(self) -> None:
        """It has 6 rows now, and the first two of 8 were deleted after they had come."""
        token = PageToken(2, 0, 6, lowest_total=6, highest=3, keys={1, 2, 3, 4, 5, 6})
        assert token.next(page(5, 6, total_count=6), 2).number == 3
        assert token.next(page(5, 6, total_count=6), 3) is None

    def test_a_page_that_became_empty_goes_back_too(self) -> None:
        token = PageToken(3, 3, 30, lowest_total=30, highest=2, keys=set(range(20)))
        assert token.problem(page(total_count=20), is_second=False) is None
        assert token.next(page(total_count=20), 10).number == 1


class TestReadAgain:
    """Where a key came twice and others are missing at the end, the list is read once more."""

    @pytest.mark.parametrize("last", [page(5), page()])
    def test_from_its_first_page(self, last: Page) -> None:
        token = PageToken(3, 3, 6, lowest_total=6, highest=2, keys={1, 2, 3, 4}, moved=True)
        following = token.next(last, 2)
        if last.records:  # until it is shown that there is no further page
            assert following.number == 4
            following = following.next(page(), 2)
        assert (following.number, following.again) == (1, True)

    def test_a_key_that_came_twice_is_noticed(self) -> None:
        assert not after(page(1, 2, total_count=9), page(3, 4)).moved
        token = after(page(1, 2, total_count=9), page(2, 3))
        assert token.moved
        assert token.next(page(4, 5), 2).moved

    def test_a_page_that_is_read_again_shows_nothing(self) -> None:
        token = PageToken(2, 9, 20, highest=2, keys={1, 2, 3, 4})
        assert not token.next(page(3, 4), 2).moved

    def test_only_if_records_are_missing(self) -> None:
        token = PageToken(3, 3, 5, highest=2, keys={1, 2, 3, 4}, moved=True)
        assert token.next(page(4, 5), 2) is None

    def test_only_if_a_key_came_twice(self) -> None:
        assert PageToken(4, 3, 6, highest=3, keys={1, 2, 3, 4, 5}).next(page(), 2) is None

    def test_until_none_is_missing(self) -> None:
        token = PageToken(1, 3, 6, highest=3, keys={1, 2, 3, 4, 5}, moved=True, again=True)
        assert token.next(page(1, 2), 2).number == 2
        assert token.next(page(1, 6), 2) is None

    def test_only_once(self) -> None:
        token = PageToken(4, 3, 6, highest=3, keys={1, 2, 3, 4, 5}, moved=True, again=True)
        assert token.next(page(), 2) is None

    @pytest.mark.parametrize(("total", "missing"), [({}, 2), ({"total_count": 8}, 4), ({"total_count": 3}, 0)])
    def test_what_is_still_missing(self, total: dict[str, int], missing: int) -> None:
        token = PageToken(4, 3, 6, highest=3, keys={1, 2, 3, 4})
        assert token.missing(page(**total)) == missing


class TestBatches:
    def test_follow_each_other_each_from_its_first_page(self) -> None:
        whole = PageToken(5, 9, 50, highest=4, keys={1}, moved=True, batches=((1, 2, 3), (4,)))
        first = whole.next_batch((1, 2), (3,))
        assert first == PageToken(batches=((1, 2), (3,), (4,)))
        assert first.keys == set()
        second = first.next_batch()
        assert second == PageToken(batches=((3,), (4,)))
        assert second.next_batch().next_batch() is None
        assert PageToken().next_batch() is None

    def test_stay_while_the_pages_of_one_are_read(self) -> None:
        assert PageToken(batches=((1,), (2,))).next(page(1, has_more=True), 2).batches == ((1,), (2,))


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("0", 0.0),
            ("90", 90.0),
            (" 1.5 ", 1.5),
            ("3599", 3599.0),
            ("3601", MAX_RETRY_AFTER_SECONDS),
            ("1" + "0" * 400, MAX_RETRY_AFTER_SECONDS),
            ("-5", 0.0),
            ("", 0.0),
            ("soon", 0.0),
            ("Sat, 01 Jan 2000 00:00:00 GMT", 0.0),
            ("Sat, 99 Jan 2000 00:00:00 GMT", 0.0),
            ("Sat, 01 Jan 2099 00:00:00 -0000", 0.0),
        ],
    )
    def test_seconds(self, text: str, seconds: float) -> None:
        assert retry_after_seconds(response(headers={"Retry-After": text})) == seconds

    def test_is_an_hour_at_most(self) -> None:
        assert MAX_RETRY_AFTER_SECONDS == 3600

    def test_none(self) -> None:
        assert retry_after_seconds(response()) == 0

    def test_a_date_by_the_clock_of_the_server(self) -> None:
        headers = {"Date": "Sat, 01 Jan 2000 00:00:00 GMT", "Retry-After": "Sat, 01 Jan 2000 00:01:00 GMT"}
        assert retry_after_seconds(response(headers=headers)) == 60

    def test_a_date(self) -> None:
        moment = datetime.now(timezone.utc) + timedelta(minutes=10)
        found = retry_after_seconds(response(headers={"Retry-After": format_datetime(moment, usegmt=True)}))
        assert 590 < found <= 600


class TestErrors:
    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            ({"status": 404}, True),
            ({"code": 0}, True),
            ({"success": False, "errorCode": "A"}, True),
            (b"Report not found", True),
            ({"message": "No", "error": "x"}, False),
            (["status"], False),
            (b"<html>message</html>", False),
        ],
    )
    def test_is_from_docebo(self, body: Any, expected: bool) -> None:
        assert is_from_docebo(response(body)) is expected

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            ({"message": ["No such", "course"]}, " Docebo says: No such course"),
            ({"message": "No"}, " Docebo says: No"),
            ({"message": "User ada@acme.com is gone"}, " Docebo says: User *** is gone"),
            ({"message": "x" * 201}, " Docebo says: " + "x" * 200),
            ({"message": []}, ""),
            ({"message": ""}, ""),
            ({"message": {"a": 1}}, ""),
            ({"message": 5}, ""),
            (b"<html>", ""),
        ],
    )
    def test_error_message(self, body: Any, expected: str) -> None:
        assert error_message(response(body)) == expected

    @pytest.mark.parametrize(
        ("message", "expected"),
        [("x" * 195 + "se cr@et", "x" * 195 + "****"), ("bad se cr@et key", "bad **** key")],
    )
    def test_an_error_message_is_masked_before_it_is_changed(
        self, monkeypatch: pytest.MonkeyPatch, message: str, expected: str
    ) -> None:
        monkeypatch.setattr(airbyte_secrets_utils, "__SECRETS_FROM_CONFIG", ["se cr@et"])
        assert error_message(response({"message": message})) == f" Docebo says: {expected}"

    @pytest.mark.parametrize("body", [b"[]", b"5", b"<html>", b"", b"null"])
    def test_a_body_that_is_no_object(self, body: bytes) -> None:
        assert json_object(response(body)) == {}

    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("https://acme.docebosaas.com:8443/a?b", "acme.docebosaas.com:8443"),
            ("https://ada:secret@acme.docebosaas.com/", "acme.docebosaas.com"),
            (None, ""),
        ],
    )
    def test_host(self, url: str | None, expected: str) -> None:
        assert host(url) == expected

    @pytest.mark.parametrize(
        ("url", "label"),
        [
            ("https://acme.docebosaas.com/a/b?page_size=200&page=12", "GET /a/b, page 12"),
            ("https://acme.docebosaas.com/a/b?page=3&x=1", "GET /a/b, page 3"),
            ("https://acme.docebosaas.com/a/b?page_size=200", "GET /a/b"),
            ("https://acme.docebosaas.com/a/b?homepage=4", "GET /a/b"),
        ],
    )
    def test_request_label(self, url: str, label: str) -> None:
        assert request_label(url) == label
