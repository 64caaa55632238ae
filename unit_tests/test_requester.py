"""The requester, directly: which URL it requests, what each response means, prefetch, shared pages and batches."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, ClassVar
from urllib.parse import quote

import pytest
import requests
from airbyte_cdk.sources.streams.concurrent.default_stream import DefaultStream
from airbyte_cdk.sources.types import StreamSlice
from requests_mock import ANY

from source_docebo.client import RetryError
from source_docebo.errors import DoceboError, RequestError
from source_docebo.requester import (
    MAX_KEPT_BYTES,
    MAX_PREFETCHED_BYTES,
    MAX_REJECTIONS,
    MAX_TRIES_OF_BATCH,
    DoceboRequester,
    PageRequest,
)
from source_docebo.responses import Page, PageToken
from unit_tests.builders import (
    PLATFORM,
    PageBuilder,
    Platform,
    Response,
    error_response,
    page_with,
    token_response,
)
from unit_tests.builders import read as run
from unit_tests.conftest import Time

USERS = "manage/v1/user"
GROUPS = "audiences/v1/audience"
ENROLLMENTS = "course/v1/courses/enrollments"
Build = Callable[..., DefaultStream]


@pytest.fixture
def build(build: Build, docebo: Platform) -> Iterator[Build]:
    """Builds a stream; no thread of its client outlives the test, whose requests the next would count."""
    streams = []

    def build_stream(name: str, **fields: Any) -> DefaultStream:
        streams.append(build(name, **fields))
        return streams[-1]

    yield build_stream
    for stream in streams:
        requester(stream).client._executor.shutdown(cancel_futures=True)


def requester(stream: DefaultStream) -> DoceboRequester:
    """The requester of a stream."""
    return stream._stream_partition_generator._partition_factory._retriever.requester  # type: ignore[attr-defined,no-any-return]


def partition(**key: Any) -> StreamSlice:
    return StreamSlice(partition=key, cursor_slice={})


def send(
    made: DoceboRequester, token: PageToken | None = None, key: StreamSlice | None = None, page_size: int = 200
) -> Page | None:
    return made.send_request(stream_slice=key or partition(), request_params={"page": token, "page_size": page_size})


def read(made: DoceboRequester, page_size: int) -> list[dict[str, Any]]:
    """The records of a list, to its end."""
    token: PageToken | None = PageToken()
    records = []
    while token:
        page = send(made, token, page_size=page_size)
        assert page is not None
        records += page.records
        token = page.following
    return records


def users(*numbers: int) -> PageBuilder:
    return page_with(*({"user_id": number} for number in numbers))


def middle(number: int = 2, **fields: Any) -> PageToken:
    """The token of page 2 of 3 with two records each, after the first."""
    return PageToken(**{"number": number, "page_count": 3, "highest": number - 1, "keys": set(), **fields})


class TestRequest:
    def test_url_and_headers(self, docebo: Platform, build: Build) -> None:
        docebo.serves(USERS, {"user_id": 1})
        assert send(requester(build("users")), PageToken()).records == [{"user_id": 1}]
        (sent,) = docebo.requests_for(USERS)
        assert sent.url.endswith(f"/{USERS}?page_size=200&page=1")
        assert sent.headers["Authorization"] == "Bearer the-token"
        assert sent.headers["Accept"] == "application/json"
        assert sent.headers["User-Agent"].startswith("source-docebo ")
        assert sent.headers["Accept-Encoding"] == "gzip, deflate"

    def test_without_a_token_there_is_no_number(self, docebo: Platform, build: Build) -> None:
        docebo.serves("learn/v1/courses/5/los", {"id_org": 1})
        made = requester(build("course_learning_objects"))
        page = made.send_request(stream_slice=partition(course_id=5), request_params={})
        assert (page.records, page.following) == ([{"id_org": 1}], None)
        made.send_request(stream_slice=partition(course_id=5))
        assert docebo.queries_for("learn/v1/courses/5/los") == [{}, {}]

    def test_the_only_parameter_may_be_the_number(self, docebo: Platform, build: Build) -> None:
        docebo.serves_pages("learn/v1/courses/5/los", page_with(), page_with({"id_org": 1}))
        made = requester(build("course_learning_objects"))
        page = made.send_request(stream_slice=partition(course_id=5), request_params={"page": PageToken(2)})
        assert page.records == [{"id_org": 1}]

    @pytest.mark.parametrize("key", ["a/b", "a?b", "a#b", "%41", "a b", "ä", "a.b", "a+b"])
    def test_a_key_is_quoted(self, docebo: Platform, build: Build, key: str) -> None:
        docebo._mocker.get(ANY, json={"data": []})
        assert send(requester(build("group_members")), PageToken(), partition(group_uuid=key)).records == []
        assert f"/{GROUPS}/{quote(key, safe='')}/users?" in docebo._mocker.last_request.url

    def test_several_keys_are_repeated(self, docebo: Platform, build: Build) -> None:
        docebo.serves(ENROLLMENTS)
        send(requester(build("course_enrollments")), PageToken(), partition(course_id=[1, 2]))
        assert docebo.queries_for(ENROLLMENTS)[0]["course_id[]"] == ["1", "2"]

    def test_a_batch_takes_the_place_of_the_partition(self, docebo: Platform, build: Build) -> None:
        docebo.serves(ENROLLMENTS)
        send(requester(build("course_enrollments")), PageToken(batches=((2, 3),)), partition(course_id=[1, 2, 3]))
        assert docebo.queries_for(ENROLLMENTS)[0]["course_id[]"] == ["2", "3"]

    def test_the_connector_builder_sees_each_response_and_gets_one_page_at_a_time(
        self, docebo: Platform, build: Build, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        docebo.serves_pages(USERS, *(users(number).page(number, of=3) for number in (1, 2, 3)))
        made, logged = requester(build("users")), []
        repository = made.authenticator.message_repository
        monkeypatch.setattr(repository, "log_message", lambda level, message: logged.append((level.name, message())))
        params = {"page": PageToken(1, page_count=3)}
        made.send_request(partition(), params, log_formatter=lambda response: response.url)
        assert made.client._prefetched == {}
        assert logged == [("DEBUG", f"{PLATFORM}/{USERS}?page=1")]


class TestPages:
    def test_a_list_is_followed_to_its_end(self, docebo: Platform, build: Build) -> None:
        docebo.serves_pages(USERS, *(users(number).page(number, of=4) for number in range(1, 5)))
        made = requester(build("users"))
        assert read(made, 1) == [{"user_id": number} for number in range(1, 5)]
        assert made.client.requests_sent["users"] == 4
        assert len(docebo.requests_for(USERS)) == 4

    def test_the_page_size_says_whether_a_page_is_full(self, docebo: Platform, build: Build) -> None:
        docebo.serves_pages(USERS, users(1, 2).without_paging(), users(3).without_paging())
        assert len(read(requester(build("users")), 2)) == 3

    def test_one_that_is_wrong_is_requested_again(self, docebo: Platform, build: Build, clock: Time) -> None:
        docebo.responds(USERS, page_with().page(2, of=3).build(), users(3).page(2, of=3).build(), when={"page": "2"})
        docebo.serves_pages(USERS)
        assert send(requester(build("users")), middle()).records == [{"user_id": 3}]
        assert 1 <= clock.slept <= 1.2

    def test_one_that_stays_wrong_fails_with_the_numbers_after_nine_tries(self, docebo: Platform, build: Build) -> None:
        docebo.serves_pages(USERS, users(1, 2).page(1, of=2), page_with().page(2, of=2))
        with pytest.raises(RequestError) as raised:
            read(requester(build("users")), 2)
        assert raised.value.failure_type.value == "transient_error"
        assert str(raised.value).startswith(
            f"Stream users: Page 2 is empty, after 1 of 2 pages. (GET /{USERS}, page 2) Tried 9 times."
        )
        assert len(docebo.requests_for(USERS)) == 1 + 9

    def test_one_that_was_prefetched_is_held_against_those_before_in_its_turn(
        self, docebo: Platform, build: Build
    ) -> None:
        first = users(1, 2).page(1, of=3)
        docebo.serves_pages(USERS, first, users(3, 4).page(2, of=3), first)  # a cache
        with pytest.raises(RequestError, match="Page 3 holds no record"):
            read(requester(build("users", num_workers=2)), 2)
        assert len(docebo.requests_for(USERS)) == 2 + 9

    def test_records_are_compared_by_their_key(self, docebo: Platform, build: Build) -> None:
        renamed = page_with({"user_id": 1, "name": "Ada"}).page(2, of=3)
        docebo.serves_pages(USERS, page_with({"user_id": 1}).page(1, of=3), renamed)
        with pytest.raises(RequestError, match="Page 2 holds no record"):
            read(requester(build("users")), 1)

    def test_where_less_than_a_page_is_missing_it_is_believed_the_second_time(
        self, docebo: Platform, build: Build
    ) -> None:
        paging = {"total_count": 3, "has_more_data": None, "total_page_count": None}
        docebo.serves_pages(USERS, users(1, 2).with_paging(**paging), page_with().with_paging(**paging))
        assert len(read(requester(build("users")), 2)) == 2
        assert len(docebo.requests_for(USERS)) == 1 + 2

    def test_what_is_missing_at_the_end_is_warned_of_once(
        self, docebo: Platform, build: Build, caplog: pytest.LogCaptureFixture
    ) -> None:
        pages = users(1, 2).with_paging(total_count=3), page_with().with_paging(total_count=3)
        docebo.serves_pages(USERS, *pages).serves_pages("learn/v1/certification", *pages)
        made, other = requester(build("users")), requester(build("certifications"))
        other.client = made.client
        for each in (made, made, other):
            assert len(read(each, 2)) == 2
        warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert [warning for warning in warnings if not warning.startswith("Configuration")] == [
            f"Stream users: the list announces 1 more records than it returned (GET /{USERS}, page 2). If rows have "
            "moved while it was read, they come with the next full sync.",
            "Stream certifications: the list announces 1 more records than it returned (GET /learn/v1/certification, "
            "page 2). If rows have moved while it was read, they come with the next full sync.",
        ]

    @pytest.mark.parametrize(
        ("response", "problem"),
        [
            (
                Response("<html>", headers={"Content-Type": "text/html"}),
                r"The response \(6 bytes, text/html\) holds no list of records\.",
            ),
            (Response({"data": 1}), r"holds no list of records\."),
            (Response({"success": False, "data": []}), r"holds no list of records\."),
        ],
    )
    def test_what_is_no_list_is_requested_again(
        self, docebo: Platform, build: Build, response: Response, problem: str
    ) -> None:
        docebo.responds(USERS, response, users(1).build())
        made = requester(build("users"))
        assert send(made, PageToken()).records == [{"user_id": 1}]
        docebo.responds(USERS, response)
        with pytest.raises(RequestError, match=problem):
            send(made, PageToken())


class TestMovingList:
    """The rows of a list move while it is read: nobody is lost, at a few requests more."""

    def serves(self, docebo: Platform, keys: list[int], change: dict[int, Callable[[], None]]) -> None:
        """Serves the keys in pages of two; before these requests, something happens to them."""

        def respond(sent: Any, _: Any) -> Any:
            change.get(len(docebo.requests_for(USERS)), lambda: None)()
            number, count = int(sent.qs["page"][0]), (len(keys) + 1) // 2
            page = users(*keys[number * 2 - 2 : number * 2]).page(number, of=count)
            return page.with_paging(total_count=len(keys)).content()

        docebo._mocker.get(f"{PLATFORM}/{USERS}", json=respond)

    def test_a_row_is_deleted(self, docebo: Platform, build: Build) -> None:
        keys = list(range(20))
        self.serves(docebo, keys, {4: lambda: keys.remove(0)})
        received = read(requester(build("users", num_workers=2)), 2)
        assert {record["user_id"] for record in received} == set(range(20))
        assert len(docebo.requests_for(USERS)) <= 10 + 4

    def test_rows_that_are_appended_cost_two_requests_for_each_total_that_comes_too_early(
        self, docebo: Platform, build: Build
    ) -> None:
        """Pages 3 and 4 were requested before page 2 came, and the response to page 2 is the last to be prepared."""
        totals = {"1": 20, "2": 21, "3": 20, "4": 20}

        def respond(sent: Any, _: Any) -> Any:
            number = int(sent.qs["page"][0])
            page = users(*range(number * 2 - 2, min(number * 2, 21))).page(number, of=11)
            return page.with_paging(total_count=totals.get(sent.qs["page"][0], 21)).content()

        docebo._mocker.get(f"{PLATFORM}/{USERS}", json=respond)
        received = read(requester(build("users", num_workers=3)), 2)
        assert [record["user_id"] for record in received] == [*range(21)]
        assert Counter(sent.qs["page"][0] for sent in docebo.requests_for(USERS)) == {
            **{str(number): 1 for number in range(1, 12)},
            "2": 2,
            "3": 2,
        }

    def test_a_row_moves_to_the_end(self, docebo: Platform, build: Build) -> None:
        keys = list(range(20))
        self.serves(docebo, keys, {4: lambda: keys.append(keys.pop(0))})
        received = read(requester(build("users", num_workers=3)), 2)
        assert {record["user_id"] for record in received} == set(range(20))
        assert max(Counter(sent.qs["page"][0] for sent in docebo.requests_for(USERS)).values()) == 2

    def test_nothing_stays_prefetched_where_the_end_comes_nearer(self, docebo: Platform, build: Build) -> None:
        keys = list(range(20))
        self.serves(docebo, keys, {5: lambda: keys.__delitem__(slice(0, 9))})
        made = requester(build("users", num_workers=4))
        read(made, 2)
        assert made.client._prefetched == {}


class TestPrefetch:
    @pytest.mark.parametrize(
        ("body_size", "expected"),
        [
            (0, [3, 4, 5]),
            (MAX_PREFETCHED_BYTES // 3, [3, 4, 5]),
            (MAX_PREFETCHED_BYTES // 2, [3, 4]),
            (MAX_PREFETCHED_BYTES, [3]),
            (MAX_PREFETCHED_BYTES + 1, []),
        ],
    )
    def test_is_bounded_by_workers_and_bytes(
        self, docebo: Platform, build: Build, body_size: int, expected: list[int]
    ) -> None:
        docebo.serves_pages(USERS, *(users(number).page(number, of=9) for number in range(1, 10)))
        made = requester(build("users", num_workers=3))
        send(made, middle(page_count=9, body_size=body_size))
        assert [int(url.rpartition("=")[2]) for url in made.client._prefetched] == expected

    def test_the_bounds(self) -> None:
        assert (MAX_PREFETCHED_BYTES, MAX_KEPT_BYTES) == (16_000_000, 1_000_000)

    def test_stops_at_the_last_page_that_was_announced(self, docebo: Platform, build: Build) -> None:
        docebo.serves_pages(USERS, *(users(number).page(number, of=3) for number in (1, 2, 3)))
        made = requester(build("users"))
        send(made, middle())
        assert list(made.client._prefetched) == [f"{PLATFORM}/{USERS}?page_size=200&page=3"]

    def test_is_discarded_where_the_list_ends(self, docebo: Platform, build: Build) -> None:
        docebo.serves_pages(USERS, users(1), users(2).page(2, of=2), users(3).page(3, of=3))
        made = requester(build("users"))
        send(made, middle())
        assert made.client._prefetched == {}

    def test_is_discarded_where_the_stream_fails(self, docebo: Platform, build: Build) -> None:
        docebo.responds(USERS, error_response(403, "No"))
        made = requester(build("users"))
        with pytest.raises(DoceboError, match="403"):
            send(made, middle())
        assert made.client._prefetched == {}

    def test_is_discarded_where_a_batch_is_halved(self, docebo: Platform, build: Build) -> None:
        docebo.responds(ENROLLMENTS, error_response(403, "No"))
        made = requester(build("course_enrollments"))
        send(made, middle(), partition(course_id=[1, 2]))
        assert made.client._prefetched == {}


class TestShared:
    def test_its_own_stream_gets_the_whole_page_and_children_their_fields(self, docebo: Platform, build: Build) -> None:
        group = {"uuid": "a", "id": None, "name": "Everybody"}
        docebo.serves(GROUPS, group)
        own, child = requester(build("groups")), requester(build("groups"))
        child.client, child.for_children = own.client, True
        assert send(own, PageToken()).records == [group]
        (kept,) = send(child, PageToken()).records
        assert kept == {"uuid": "a", "id": None}
        kept["uuid"] = "changed"
        assert send(child, PageToken()).records == [{"uuid": "a", "id": None}]
        assert len(docebo.requests_for(GROUPS)) == 1
        assert send(own, PageToken()).records == [group]

    @pytest.mark.parametrize(
        ("selected", "size", "requests_sent"), [(True, 10, 1), (False, 10, 2), (True, MAX_KEPT_BYTES, 2)]
    )
    def test_what_children_requested_is_kept_whole_if_its_stream_is_read_and_it_is_small(
        self, docebo: Platform, build: Build, clock: Time, selected: bool, size: int, requests_sent: int
    ) -> None:
        group = {"uuid": "a", "name": "x" * size}
        docebo.serves(GROUPS, group)
        child, own = requester(build("groups")), requester(build("groups"))
        child.client, child.for_children, child.is_selected = own.client, True, selected
        assert send(child, PageToken()).records == [{"uuid": "a"}]
        assert send(own, PageToken()).records == [group]
        assert len(docebo.requests_for(GROUPS)) == requests_sent
        assert clock.slept == 0

    @pytest.mark.parametrize(
        ("command", "is_selected"), [({}, True), ({"streams": {"groups": []}}, True), ({"streams": {}}, False)]
    )
    def test_the_catalog_says_which_streams_are_read(
        self, docebo: Platform, build: Build, command: dict[str, Any], is_selected: bool
    ) -> None:
        assert requester(build("groups", __command=command)).is_selected == is_selected

    def test_one_that_is_wrong_is_replaced_for_all(self, docebo: Platform, build: Build) -> None:
        docebo.responds(GROUPS, page_with().without_paging().build(), page_with({"uuid": "b"}).build())
        own, child = requester(build("groups")), requester(build("groups"))
        child.client, child.for_children = own.client, True
        assert send(child, PageToken(2)).records == []
        for made in (own, child):
            assert send(made, middle(page_count=2)).records == [{"uuid": "b"}]
        assert len(docebo.requests_for(GROUPS)) == 2

    def test_one_that_is_read_again_is_requested_again(self, docebo: Platform, build: Build) -> None:
        docebo.serves(GROUPS, {"uuid": "a"})
        made = requester(build("groups"))
        made.for_children = True
        for token in (PageToken(), PageToken(), PageToken(highest=1)):
            send(made, token)
        assert len(docebo.requests_for(GROUPS)) == 2

    def test_other_lists_are_not_shared(self, docebo: Platform, build: Build) -> None:
        docebo.serves(USERS, {"user_id": 1, "name": "Ada"})
        made = requester(build("users"))
        for _ in range(2):
            assert send(made, PageToken()).records == [{"user_id": 1, "name": "Ada"}]
        assert len(docebo.requests_for(USERS)) == 2


class TestResponses:
    BUILT: ClassVar[dict[str, DoceboRequester]] = {}

    def judge(self, build: Build, stream: str, response: Response) -> Page:
        """What the response means."""
        made = requests.Response()
        made.status_code, made._content = response.status, response.text.encode()
        made.headers.update(response.headers)
        if stream not in self.BUILT:
            self.BUILT[stream] = requester(build(stream))
        return PageRequest(self.BUILT[stream], f"{PLATFORM}/{USERS}", PageToken(), partition(), None)._read(made)

    @pytest.mark.parametrize("status", [403, 404, 400])
    @pytest.mark.parametrize("body", ["<html>", {"message": "x"}, {"error": "Forbidden"}])
    @pytest.mark.parametrize("stream", ["users", "group_members"])
    def test_a_refusal_that_is_not_docebos_is_retried(self, build: Build, stream: str, status: int, body: Any) -> None:
        with pytest.raises(RetryError) as raised:
            self.judge(build, stream, Response(body, status))
        assert str(raised.value) == (
            f"Something in front of Docebo, such as a firewall, returned {status} (application/json)."
        )

    @pytest.mark.parametrize(
        ("stream", "status", "failure_type", "words"),
        [
            ("users", 403, "config_error", "The API user is not allowed to read this (403)."),
            ("users", 404, "config_error", "This platform does not serve it (404)."),
            ("users", 400, "system_error", "Docebo returned status 400. Docebo says: Odd"),
            ("users", 499, "system_error", "Docebo returned status 499. Docebo says: Odd"),
            ("group_members", 404, "config_error", "Docebo returned 404: it was deleted during the sync or"),
        ],
    )
    def test_docebos_refusal_is_final(
        self, build: Build, stream: str, status: int, failure_type: str, words: str
    ) -> None:
        with pytest.raises(RequestError) as raised:
            self.judge(build, stream, error_response(status, "Odd"))
        assert (raised.value.failure_type.value, raised.value.status_code) == (failure_type, status)
        assert str(raised.value).startswith(f"Stream {stream}: {words}")
        assert str(raised.value).endswith(f"(GET /{USERS})")

    @pytest.mark.parametrize(
        ("status", "words"),
        [
            *[(status, "Docebo is overloaded or restarting.") for status in (408, 425, 500, 502, 503, 504)],
            (507, "Docebo returned status 507. Docebo says: Full"),
        ],
    )
    @pytest.mark.parametrize("stream", ["users", "group_members"])
    def test_a_fault_is_retried(self, build: Build, stream: str, status: int, words: str) -> None:
        with pytest.raises(RetryError) as raised:
            self.judge(build, stream, error_response(status, "Full"))
        assert str(raised.value) == words

    def test_a_course_without_sessions_has_none(self, docebo: Platform, build: Build) -> None:
        response = error_response(400, "Course with id 5 does not have sessions")
        assert self.judge(build, "sessions", response) == Page([])
        docebo.responds("course/v1/courses/5/sessions", response)
        made = requester(build("sessions"))
        assert send(made, PageToken(), partition(course_id=5)) == Page([])
        assert made.progress.succeeded

    def test_without_a_content_type(self, build: Build) -> None:
        for response in (Response("", 403), Response("")):
            response.headers = {}
            with pytest.raises(RetryError, match=r"[(, ]no content type\)"):
                self.judge(build, "users", response)


class TestParents:
    @pytest.mark.parametrize(
        ("response", "requests_sent"),
        [
            (error_response(404, "No"), 1),
            (error_response(403, "No"), 1),
            (error_response(400, "No"), 1),
            (Response("<html>", 403), 9),
            (Response("", 500), 9),
            (Response("<html>"), 9),
            (page_with().with_paging(total_count=5).build(), 9),
        ],
    )
    def test_one_that_cannot_be_read_is_skipped_whatever_the_reason(
        self, docebo: Platform, build: Build, response: Response, requests_sent: int
    ) -> None:
        docebo.responds(f"{GROUPS}/a/users", response)
        made = requester(build("group_members"))
        assert send(made, PageToken(), partition(group_uuid="a")) == Page([])
        assert not made.progress.succeeded
        (label,) = made.progress.unreadable
        assert label == f"GET /{GROUPS}/a/users, page 1"
        assert len(docebo.requests_for(f"{GROUPS}/a/users")) == requests_sent

    @pytest.mark.parametrize(
        ("response", "requests_sent"),
        [(error_response(404, "No"), 1), (error_response(400, "No"), 1), (Response("", 504), 3)],
    )
    def test_a_batch_that_fails_is_halved_whatever_the_reason(
        self, docebo: Platform, build: Build, response: Response, requests_sent: int
    ) -> None:
        docebo.responds(ENROLLMENTS, response)
        made, courses = requester(build("course_enrollments")), partition(course_id=[1, 2])
        page = send(made, PageToken(), courses)
        assert (page.records, page.following) == ([], PageToken(batches=((1,), (2,))))
        assert len(docebo.requests_for(ENROLLMENTS)) == requests_sent
        assert made.progress.unreadable == {}
        assert requests_sent <= MAX_TRIES_OF_BATCH == 3

    def test_one_of_a_batch_is_tried_nine_times_and_named_and_the_others_are_read(
        self, docebo: Platform, build: Build
    ) -> None:
        docebo.responds(ENROLLMENTS, Response("", 500), when={"course_id[]": "2"})
        docebo.responds(ENROLLMENTS, page_with({"course_id": 3, "user_id": 1}).build(), when={"course_id[]": "3"})
        made, courses = requester(build("course_enrollments")), partition(course_id=[1, 2, 3])
        page = send(made, PageToken(batches=((2,), (3,))), courses)
        assert list(made.progress.unreadable) == [f"GET /{ENROLLMENTS}, page 1, course_id 2"]
        assert len(docebo.requests_for(ENROLLMENTS)) == 9
        page = send(made, page.following, courses)
        assert (page.records, page.following) == ([{"course_id": 3, "user_id": 1}], None)

    def test_a_batch_that_was_read_is_followed_by_the_next(self, docebo: Platform, build: Build) -> None:
        docebo.serves(ENROLLMENTS)
        page = send(requester(build("course_enrollments")), PageToken(batches=((1,), (2,))), partition(course_id=[1]))
        assert page.following == PageToken(batches=((2,),))

    def test_a_batch_that_fails_after_its_first_page_is_halved_too(self, docebo: Platform, build: Build) -> None:
        docebo.responds(ENROLLMENTS, error_response(404, "No"))
        page = send(requester(build("course_enrollments")), middle(batches=((1, 2), (3,))), partition(course_id=[1]))
        assert page.following == PageToken(batches=((1,), (2,), (3,)))

    def test_a_list_that_cannot_be_read_fails_its_stream(self, docebo: Platform, build: Build) -> None:
        docebo.responds(USERS, error_response(404, "No"))
        made = requester(build("users"))
        for _ in range(2):
            with pytest.raises(RequestError, match="does not serve it"):
                send(made, PageToken())

    def test_a_stream_that_has_failed_sends_nothing_for_its_parents(self, docebo: Platform, build: Build) -> None:
        made = requester(build("group_members"))
        made.progress.fail(DoceboError("The first."))
        assert send(made, PageToken(), partition(group_uuid="a")) is None
        assert docebo.paths_requested == []

    def test_only_the_first_of_several_says_why_the_stream_fails(self, docebo: Platform, build: Build) -> None:
        docebo.responds(f"{GROUPS}/a/users", error_response(401, "No"))
        made = requester(build("group_members"))
        with pytest.raises(DoceboError, match="access tokens"):
            send(made, PageToken(), partition(group_uuid="a"))
        assert made.progress.error

        def fails_meanwhile(*_: Any) -> Page:
            made.progress.fail(DoceboError("The first."))
            raise DoceboError("The second.")

        made.progress.error = None
        made._page = fails_meanwhile  # type: ignore[method-assign]
        assert send(made, PageToken(), partition(group_uuid="b")) is None


@pytest.mark.parametrize("status", [403, 401])
def test_where_a_stream_fails_its_children_do_not_succeed(docebo: Platform, status: int) -> None:
    docebo.serves("learn/v1/courses", *({"id_course": number} for number in range(12)))
    for number in range(12):
        docebo.responds(f"course/v1/courses/{number}/sessions", error_response(status, "No"))
    output = run("sessions", "session_events")
    assert [output.is_incomplete(stream) for stream in ("sessions", "session_events")] == [True, True]


def test_one_course_at_fault_does_not_cost_the_events_of_the_others(docebo: Platform) -> None:
    courses = range(30)
    docebo.serves("learn/v1/courses", *({"id_course": number} for number in courses))
    for number in courses:
        docebo.serves(f"course/v1/courses/{number}/sessions", {"id": 100 + number})
        docebo.serves(f"course/v1/sessions/{100 + number}/events", {"id": 1000 + number})
        docebo.serves(f"course/v1/sessions/{100 + number}/enrollments", {"user_id": 2000 + number})
    docebo.responds("course/v1/courses/20/sessions", error_response(403, "No"))

    output = run("sessions", "session_events", "session_enrollments")

    assert len(output.records("sessions")) == 29
    for stream in ("session_events", "session_enrollments"):
        assert len(output.records(stream)) >= 28  # the CDK holds the last parent back until there is another
        assert output.is_incomplete(stream)
    assert len(docebo.requests_for("course/v1/courses/20/sessions")) == 1
    assert len([warning for warning in output.warnings() if "Its parent is skipped" in warning]) == 1


class TestTokens:
    @pytest.fixture(autouse=True)
    def tokens(self, docebo: Platform) -> None:
        docebo.issues(*(token_response(str(number)) for number in range(50)))

    def test_is_renewed_three_times_for_a_request_then_its_stream_fails_alone(
        self, docebo: Platform, build: Build, clock: Time
    ) -> None:
        docebo.responds(USERS, error_response(401, "No"))
        made = requester(build("users"))
        with pytest.raises(DoceboError) as raised:
            send(made, PageToken())
        assert raised.value.failure_type.value == "config_error"
        assert str(raised.value) == (
            "Stream users: Docebo rejects the access tokens that it issues (401). Check the OAuth app (Settings, API "
            f"and SSO). (GET /{USERS}, page 1)"
        )
        tokens_sent = [sent.headers["Authorization"] for sent in docebo.requests_for(USERS)]
        assert tokens_sent == [f"Bearer {number}" for number in range(1 + MAX_REJECTIONS)]
        assert MAX_REJECTIONS == 3
        assert clock.slept == 0
        assert made.authenticator.token == "Bearer 3"

    def test_a_child_stream_is_not_read_on_without_its_parent(self, docebo: Platform, build: Build) -> None:
        docebo.responds(f"{GROUPS}/a/users", error_response(401, "No"))
        made = requester(build("group_members"))
        with pytest.raises(DoceboError, match="access tokens"):
            send(made, PageToken(), partition(group_uuid="a"))
        assert made.progress.unreadable == {}

    def test_each_request_has_three_of_its_own(self, docebo: Platform, build: Build) -> None:
        rejected = [error_response(401, "No")] * MAX_REJECTIONS
        docebo.responds(USERS, *rejected, users(1).build(), *rejected, users(2).build())
        made = requester(build("users"))
        assert [send(made, PageToken()).records for _ in range(2)] == [[{"user_id": 1}], [{"user_id": 2}]]
        assert len(docebo.token_forms()) == 1 + 2 * MAX_REJECTIONS

    def test_a_token_that_another_worker_has_renewed_is_not_renewed_again(self, docebo: Platform, build: Build) -> None:
        made = requester(build("users"))

        def respond(sent: Any, context: Any) -> Any:
            if sent.headers["Authorization"] == "Bearer 1":
                return users(1).content()
            made.authenticator.shared_token.reject("Bearer 0")
            assert made.authenticator.token == "Bearer 1"
            context.status_code = 401
            return {}

        docebo._mocker.get(f"{PLATFORM}/{USERS}", json=respond)
        assert send(made, PageToken()).records == [{"user_id": 1}]
        assert len(docebo.token_forms()) == 2
