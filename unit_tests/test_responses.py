"""What a response holds: pages, the rules by which a list is followed and ends, Retry-After and error messages."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import pytest
import requests
from airbyte_cdk.utils import airbyte_secrets_utils

from source_docebo.responses import (
    FEW_RECORDS,
    MAX_RETRY_AFTER_SECONDS,
    MAX_SURPLUS_PAGES,
    Page,
    PageToken,
    content_type,
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


def page(count: int, first: int = 1, **paging: Any) -> Page:
    """A page of so many records."""
    records = [{"id": number} for number in range(first, first + count)]
    return Page(records, fingerprint=hash((first, count)), **paging)


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
        with pytest.raises(ValueError, match="no list of records"):
            parse(data)

    @pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b'{"version": 1}', b'{"data": {"items": [{"id"'])
    def test_a_body_without_data_is_an_error(self, body: bytes) -> None:
        with pytest.raises(ValueError, match=r"."):
            Page.parse(body)

    @pytest.mark.parametrize("convert", [lambda number: number, str, lambda number: f" {number} "])
    def test_counts_are_numbers_or_text(self, convert: Any) -> None:
        paging = {"current_page": 2, "total_page_count": 3, "current_page_size": 200, "total_count": 401}
        found = parse({"items": [], **{name: convert(number) for name, number in paging.items()}})
        assert (found.number, found.page_count, found.page_size, found.total_count) == (2, 3, 200, 401)

    @pytest.mark.parametrize("value", [None, "", "many", -1, True, 1.5, [], "²"])
    def test_what_is_no_count_says_nothing(self, value: Any) -> None:
        names = ("current_page", "total_page_count", "current_page_size", "total_count")
        found = parse({"items": [], **dict.fromkeys(names, value)})
        assert (found.number, found.page_count, found.page_size, found.total_count) == (None, None, None, None)

    def test_a_count_of_zero(self) -> None:
        names = ("current_page", "total_page_count", "current_page_size", "total_count")
        found = parse({"items": [], **dict.fromkeys(names, 0)})
        assert (found.number, found.page_count, found.page_size, found.total_count) == (0, None, None, 0)

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (True, True),
            (1, True),
            ("true", True),
            (" TRUE ", True),
            ("1", True),
            (False, False),
            (0, False),
            ("False", False),
            ("0", False),
            (None, None),
            ("maybe", None),
            (1.0, None),
            ([], None),
        ],
    )
    def test_has_more_data(self, value: Any, expected: bool | None) -> None:
        assert parse({"items": [], "has_more_data": value}).has_more is expected

    def test_a_bare_list_says_nothing(self) -> None:
        found = parse([{"id": 1}])
        assert (found.number, found.has_more, found.page_count, found.total_count) == (None, None, None, None)

    def test_knows_its_size(self) -> None:
        assert Page.parse(b'{"data": []}').body_size == 12

    def test_equal_keys_make_equal_fingerprints(self) -> None:
        first = parse([{"id": 1, "name": "a"}, {"id": 2}])
        assert first.fingerprint == parse([{"id": "1", "name": "b"}, {"id": 2}]).fingerprint
        assert first.fingerprint != parse([{"id": 2}, {"id": 1}]).fingerprint
        assert first.fingerprint != parse([{"id": 1}]).fingerprint

    @pytest.mark.parametrize("primary_key", [(), ("id",)])
    def test_records_without_a_key_are_compared_whole(self, primary_key: tuple[str, ...]) -> None:
        first = parse([{"name": "a"}], primary_key)
        assert first.fingerprint == parse([{"name": "a"}], primary_key).fingerprint
        assert first.fingerprint != parse([{"name": "b"}], primary_key).fingerprint

    @pytest.mark.parametrize("data", ['[{"id": %d}]', '{"items": [{"id": %d}]}'])
    def test_a_key_beyond_64_bits_stays_exact(self, data: str) -> None:
        number = 2**64 + 1
        found = Page.parse(b'{"data": ' + (data % number).encode() + b"}", ("id",))
        assert found.records == [{"id": number}]


class TestDecodeJson:
    def test_valid_json(self) -> None:
        assert decode_json('{"a": "ü"}'.encode()) == ({"a": "ü"}, False)

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
            (b'{"a": "x\\ud83d"}', {"a": "x\ufffd"}),
            (b'{"a": "\\ud83d\\ude00"}\xef', None),
            (b'{"a": "x\x01y"}', {"a": "x\x01y"}),
            (b'{"a": "x\xffy"}', {"a": "x\ufffdy"}),
            (b'{"a": NaN, "b": -Infinity}', {"a": None, "b": None}),
            (b'{"a": 1e400, "b": NaN, "c": 1.5, "d": -1e400}', {"a": None, "b": None, "c": 1.5, "d": None}),
        ],
    )
    def test_nearly_json(self, body: bytes, expected: Any) -> None:
        if expected is None:
            with pytest.raises(ValueError, match="Extra data"):
                decode_json(body)
        else:
            assert decode_json(body) == (expected, True)

    @pytest.mark.parametrize("body", [b"", b"<html>", b'{"a": "cut', b"{'a': 1}", b"[" * 100_000])
    def test_no_json(self, body: bytes) -> None:
        with pytest.raises(ValueError, match=r"."):
            decode_json(body)

    def test_the_page_says_that_it_was_lenient(self) -> None:
        assert Page.parse(b'\xef\xbb\xbf{"data": []}').lenient
        assert not Page.parse(b'{"data": []}').lenient


class TestNext:
    """Whether a list goes on after a page, from all that it has said."""

    @pytest.mark.parametrize(
        ("token", "received", "goes_on"),
        [
            # Nothing but the page itself: a full page goes on.
            (PageToken(), page(200), True),
            (PageToken(), page(199), False),
            (PageToken(), page(5, page_size=5), True),
            (PageToken(), page(4, page_size=5), False),
            (PageToken(), page(200, page_size=500), True),
            # has_more_data alone
            (PageToken(), page(1, has_more=True), True),
            (PageToken(), page(200, has_more=False), False),
            (PageToken(), page(0, has_more=True), False),
            # A page count
            (PageToken(), page(1, page_count=2), True),
            (PageToken(2), page(1, page_count=2), False),
            (PageToken(2), page(200, page_count=2, has_more=True), True),
            (PageToken(2), page(199, page_count=2, has_more=True), False),
            (PageToken(2), page(200, page_count=2), False),
            (PageToken(2, page_count=3, largest=5), page(5), True),
            (PageToken(2, page_count=3, largest=5), page(5, page_count=2), False),
            (PageToken(2, page_count=2, largest=5), page(5, page_count=3), True),
            (PageToken(), page(5, page_count=3, has_more=False), True),
            (PageToken(2, largest=5), page(4, page_count=3, has_more=False), False),
            (PageToken(2, largest=5), page(5, page_count=3, has_more=False), True),
            # A number of records, of which a page or more is missing
            (PageToken(), page(2, total_count=4, has_more=False, page_count=1), True),
            (PageToken(2, total_count=8, received=4, largest=2), page(2, total_count=5), True),
            (PageToken(2, total_count=8, received=4, largest=2), page(2, has_more=False, page_count=2), True),
            # .. of which less than a page is missing
            (PageToken(), page(3, total_count=4, has_more=False, page_count=1), True),
            (PageToken(2, total_count=6, received=3, largest=3), page(2, has_more=False, page_count=2), False),
            (PageToken(2, total_count=6, received=3, largest=3), page(2, has_more=False, page_count=3), True),
            (PageToken(2, total_count=6, received=3, largest=3), page(2, has_more=False), True),
            (PageToken(2, total_count=6, received=3, largest=3), page(2, has_more=None, page_count=2), True),
            (PageToken(2, total_count=6, received=3, largest=3), page(2, has_more=True, page_count=2), True),
            # .. of which none is missing
            (PageToken(), page(4, total_count=4), False),
            (PageToken(), page(4, total_count=4, has_more=False, page_count=3), False),
            (PageToken(), page(4, total_count=4, has_more=True), True),
            (PageToken(), page(4, total_count=4, has_more=True, page_count=2), True),
            (PageToken(), page(4, total_count=4, has_more=True, page_count=1), False),
            (PageToken(), page(4, total_count=4, page_count=2), True),
            (PageToken(), page(4, total_count=4, page_count=1), False),
            (PageToken(), page(5, total_count=4), False),
        ],
    )
    def test_goes_on(self, token: PageToken, received: Page, goes_on: bool) -> None:
        assert (token.next(received, 200) is not None) == goes_on

    def test_a_list_that_was_not_asked_for_full_pages_ends_where_nothing_says_more(self) -> None:
        assert PageToken().next(page(200), None) is None
        assert PageToken().next(page(200, has_more=True), None) is not None

    def test_the_next_token_holds_all_that_the_list_has_said(self) -> None:
        first = PageToken().next(page(3, body_size=900, total_count=9, page_count=3, has_more=True), 200)
        assert first == PageToken(2, 3, 9, received=3, largest=3, body_size=900, has_more=True)
        second = first.next(page(2, first=4, body_size=700, total_count=8, page_count=2), 200)
        assert second == PageToken(3, 3, 9, received=5, largest=3, body_size=900)
        third = second.next(page(4, first=6, body_size=950, total_count=12, page_count=4), 200)
        assert third == PageToken(4, 4, 12, received=9, largest=4, body_size=950)

    def test_pages_counted_from_zero(self) -> None:
        first = PageToken()
        assert first.problem(page(1, number=0, has_more=True)) is None
        second = first.next(page(1, number=0, has_more=True), 200)
        assert second.counts_from_zero
        assert second.problem(page(1, first=2, number=1)) is None
        assert "page 2 instead of page 2" in str(second.problem(page(1, first=2, number=2)))
        assert second.next(page(1, first=2, number=1, has_more=True), 200).counts_from_zero

    def test_batches_follow_each_other(self) -> None:
        halves = Page([], batches=((1, 2), (3,)))
        first = PageToken(batches=((1, 2, 3), (4,))).next_batch(halves)
        assert first == PageToken(batches=((1, 2), (3,), (4,)))
        second = first.next_batch(page(0))
        assert second == PageToken(batches=((3,), (4,)))
        assert second.next_batch(page(0)).next_batch(page(0)) is None


class TestProblem:
    """What is no page of the list that was requested."""

    def test_another_page(self) -> None:
        assert PageToken(2).problem(page(1, number=1)) == "Docebo sent page 1 instead of page 2."
        assert PageToken(2).problem(page(1, number=0)) == "Docebo sent page 0 instead of page 2."
        assert PageToken(2).problem(page(1, number=2)) is None
        assert PageToken(2).problem(page(1)) is None

    def test_the_records_of_an_earlier_page(self) -> None:
        token = PageToken()
        for first in (1, 3):
            token = token.next(page(2, first=first, has_more=True), 200)
        for first in (1, 3):
            problem = token.problem(page(2, first=first))
            assert problem == "Page 3 holds the same records as an earlier page."
        assert token.problem(page(2, first=5)) is None

    def test_records_far_beyond_their_number(self) -> None:
        limit = 10 + MAX_SURPLUS_PAGES * 2
        token = PageToken(30, total_count=10, received=limit - 1, largest=2)
        assert token.problem(page(1)) is None
        assert token.problem(page(2)) == f"The list does not end: {limit + 1} records were received of 10."
        assert PageToken(30, received=10**6, largest=2).problem(page(2)) is None
        assert PageToken(2, total_count=1).problem(page(2 + MAX_SURPLUS_PAGES)) is not None
        assert PageToken(1).problem(page(500, total_count=1)) is not None

    @pytest.mark.parametrize(
        ("token", "received", "last_try", "accepted"),
        [
            # has_more_data says that there is more.
            (PageToken(), page(0, has_more=True), True, False),
            (PageToken(2, total_count=5, received=5), page(0, has_more=True), False, True),
            (PageToken(2, total_count=5, received=4), page(0, has_more=True), True, False),
            (PageToken(1, total_count=5, received=5), page(0, has_more=True), True, False),
            (PageToken(2), page(0, has_more=True), True, False),
            (PageToken(2, page_count=1), page(0, has_more=True), False, False),
            (PageToken(2, page_count=1), page(0, has_more=True), True, True),
            (PageToken(2, page_count=2), page(0, has_more=True), True, False),
            # The number of records was said by earlier pages only.
            (PageToken(2, total_count=5, received=5, largest=5), page(0), False, True),
            (PageToken(2, total_count=6, received=5, largest=5), page(0), False, False),
            (PageToken(2, total_count=5 + FEW_RECORDS, received=5, largest=5), page(0), True, True),
            (PageToken(2, total_count=6 + FEW_RECORDS, received=5, largest=5), page(0), True, False),
            (PageToken(1, total_count=5), page(0), True, False),
            # .. by this page too: some were deleted only if it says so, and less than a page.
            (PageToken(), page(0, total_count=0), False, True),
            (PageToken(), page(0, total_count=3), True, False),
            (PageToken(3, total_count=9, received=5, largest=5), page(0, total_count=5), False, True),
            (PageToken(3, total_count=9, received=5, largest=5), page(0, total_count=6), True, False),
            (PageToken(3, total_count=10, received=5, largest=5), page(0, total_count=5), True, False),
            (PageToken(3, total_count=9, received=5, largest=5), page(0, total_count=0), True, False),
            (PageToken(3, total_count=9, received=5, largest=5), page(0, total_count=9, page_count=2), False, True),
            (PageToken(3, total_count=9, received=5, largest=5), page(0, total_count=9, page_count=3), True, False),
            (PageToken(3, total_count=5, received=5, largest=5), page(0, total_count=5), False, True),
            (PageToken(2, total_count=9, received=3, largest=3), page(0, total_count=3, page_size=7), False, True),
            (PageToken(2, total_count=9, received=3, largest=3), page(0, total_count=3, page_size=6), True, False),
            (PageToken(3, total_count=9, received=3, largest=3), page(0, total_count=3, page_size=7), True, False),
            (PageToken(3, total_count=2, received=1, largest=2), page(0, total_count=1), False, True),
            (PageToken(3, total_count=9, received=5, largest=5), page(0, total_count=9, page_count=1), True, False),
            (PageToken(3, total_count=5, received=5, largest=5), page(0, total_count=0), False, True),
            # A page count alone
            (PageToken(2, page_count=1), page(0, page_count=2), True, False),
            (PageToken(3, page_count=2), page(0), False, True),
            (PageToken(2, page_count=2), page(0), True, False),
            (PageToken(2, page_count=3), page(0, page_count=2), True, False),
            (PageToken(), page(0, page_count=1), False, True),
            (PageToken(), page(0, page_count=2), True, False),
            (PageToken(2, page_count=2), page(0, page_count=1), False, True),
            (PageToken(3, page_count=4), page(0, page_count=1), True, False),
            # Only the page before said that there is more, or nobody did.
            (PageToken(2, has_more=True), page(0), False, False),
            (PageToken(2, has_more=True), page(0), True, True),
            (PageToken(2, has_more=False), page(0), False, True),
            (PageToken(2), page(0), False, True),
            (PageToken(), page(0), False, True),
        ],
    )
    def test_an_empty_page(self, token: PageToken, received: Page, last_try: bool, accepted: bool) -> None:
        assert (token.problem(received, last_try) is None) == accepted

    @pytest.mark.parametrize(
        ("token", "received", "message"),
        [
            (
                PageToken(3, page_count=5, total_count=900, received=400),
                page(0, has_more=True),
                "Page 3 of 5 is empty although more was announced: 400 of 900 records were received.",
            ),
            (
                PageToken(3, received=400, has_more=True),
                page(0, page_count=4),
                "Page 3 of 4 is empty although more was announced: 400 records were received.",
            ),
            (
                PageToken(2, received=7, has_more=True),
                page(0),
                "Page 2 is empty although more was announced: 7 records were received.",
            ),
        ],
    )
    def test_the_message_holds_the_numbers(self, token: PageToken, received: Page, message: str) -> None:
        assert token.problem(received) == message


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
            ("1e3", 0.0),
            ("١٢", 0.0),
            ("Sat, 01 Jan 2000 00:00:00 GMT", 0.0),
            ("Sat, 99 Jan 2000 00:00:00 GMT", 0.0),
        ],
    )
    def test_seconds(self, text: str, seconds: float) -> None:
        assert retry_after_seconds(response(headers={"Retry-After": text})) == seconds

    def test_is_an_hour_at_most(self) -> None:
        assert MAX_RETRY_AFTER_SECONDS == 3600

    def test_none(self) -> None:
        assert retry_after_seconds(response()) == 0

    @pytest.mark.parametrize(("after", "seconds"), [(90, 90), (7200, 3600), (-90, 0)])
    def test_a_date_counts_from_the_clock_of_the_server(self, after: int, seconds: float) -> None:
        server = datetime(2010, 5, 1, 12, tzinfo=timezone.utc)
        headers = {
            "Date": format_datetime(server, usegmt=True),
            "Retry-After": format_datetime(server + timedelta(seconds=after), usegmt=True),
        }
        assert retry_after_seconds(response(headers=headers)) == seconds

    def test_a_date_without_a_zone_is_utc(self) -> None:
        headers = {"Date": "Sat, 01 May 2010 12:00:00 GMT", "Retry-After": "Sat, 01 May 2010 12:01:00 -0000"}
        assert retry_after_seconds(response(headers=headers)) == 60

    def test_without_a_date_header_our_clock_counts(self) -> None:
        moment = datetime.now(timezone.utc) + timedelta(minutes=10)
        found = retry_after_seconds(response(headers={"Retry-After": format_datetime(moment, usegmt=True)}))
        assert 590 < found <= 600


class TestErrors:
    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            ({"message": "No"}, True),
            ({"name": "Error"}, True),
            ({"error": "x"}, True),
            ({"code": 404}, False),
            (["message"], False),
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

    def test_content_type(self) -> None:
        assert content_type(response(headers={"Content-Type": "text/html; charset=utf-8"})) == "text/html"
        assert content_type(response()) == "no content type"

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
