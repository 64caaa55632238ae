"""The requester, directly: which URL it requests, what each response means, prefetch, shared pages and batches."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import pytest
import requests
from airbyte_cdk.sources.streams.concurrent.default_stream import DefaultStream
from airbyte_cdk.sources.types import StreamSlice
from requests_mock import ANY

from source_docebo.errors import DoceboError
from source_docebo.requester import MAX_PREFETCHED_BYTES, MAX_REJECTIONS, DoceboRequester
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
from unit_tests.conftest import Time

USERS = "manage/v1/user"
GROUPS = "audiences/v1/audience"
ENROLLMENTS = "course/v1/courses/enrollments"
Build = Callable[..., DefaultStream]


def requester(stream: DefaultStream) -> DoceboRequester:
    """The requester of a stream."""
    return stream._stream_partition_generator._partition_factory._retriever.requester  # type: ignore[attr-defined,no-any-return]


def partition(**key: Any) -> StreamSlice:
    return StreamSlice(partition=key, cursor_slice={})


def send(made: DoceboRequester, token: PageToken | None = None, key: StreamSlice | None = None) -> Page | None:
    return made.send_request(stream_slice=key or partition(), request_params={"page": token, "page_size": 200})


def rejects(docebo: Platform, meanwhile: Callable[[], None]) -> None:
    """Each request for users is rejected (401), and something happens meanwhile."""

    def respond(_: Any, context: Any) -> dict[str, Any]:
        meanwhile()
        context.status_code = 401
        return {"message": "No"}

    docebo._mocker.get(f"{PLATFORM}/{USERS}", json=respond)


class TestRequest:
    def test_url_and_headers(self, docebo: Platform, build: Build) -> None:
        docebo.serves(USERS, {"user_id": 1})
        assert send(requester(build("users")), PageToken(1)).records == [{"user_id": 1}]
        (sent,) = docebo.requests_for(USERS)
        assert sent.url.endswith(f"/{USERS}?page_size=200&page=1")
        assert sent.headers["Authorization"] == "Bearer the-token"
        assert sent.headers["Accept"] == "application/json"
        assert sent.headers["User-Agent"].startswith("source-docebo ")
        assert sent.headers["Accept-Encoding"] == "gzip, deflate"

    def test_without_a_token_there_is_no_number(self, docebo: Platform, build: Build) -> None:
        docebo.serves("learn/v1/courses/5/los", {"id_org": 1})
        made = requester(build("course_learning_objects"))
        assert made.send_request(stream_slice=partition(course_id=5), request_params={}).records == [{"id_org": 1}]
        assert docebo.queries_for("learn/v1/courses/5/los") == [{}]

    @pytest.mark.parametrize("key", ["a/b", "a?b", "a#b", "%41", "a b", "..", ".", "ä", "a.b", "a+b"])
    def test_a_key_is_quoted(self, docebo: Platform, build: Build, key: str) -> None:
        quoted = quote(key, safe="").replace(".", "%2E") if set(key) == {"."} else quote(key, safe="")
        docebo._mocker.get(ANY, json={"data": []})
        assert send(requester(build("group_members")), PageToken(), partition(group_uuid=key)).records == []
        assert f"/{GROUPS}/{quoted}/users?" in docebo._mocker.last_request.url

    def test_several_keys_are_repeated(self, docebo: Platform, build: Build) -> None:
        docebo.serves(ENROLLMENTS)
        send(requester(build("course_enrollments")), PageToken(), partition(course_id=[1, 2]))
        assert docebo.queries_for(ENROLLMENTS)[0]["course_id[]"] == ["1", "2"]

    def test_a_batch_takes_the_place_of_the_partition(self, docebo: Platform, build: Build) -> None:
        docebo.serves(ENROLLMENTS)
        send(requester(build("course_enrollments")), PageToken(batches=((2, 3),)), partition(course_id=[1, 2, 3]))
        assert docebo.queries_for(ENROLLMENTS)[0]["course_id[]"] == ["2", "3"]


class TestPages:
    def test_another_page_is_retried(self, docebo: Platform, build: Build) -> None:
        right = page_with({"user_id": 2}).page(2, of=2).build()
        docebo.responds(USERS, page_with({"user_id": 1}).build(), right, when={"page": "2"})
        assert send(requester(build("users")), PageToken(2)).records == [{"user_id": 2}]

    def test_a_page_that_contradicts_those_before_is_requested_again(
        self, docebo: Platform, build: Build, clock: Time
    ) -> None:
        token = PageToken(2, page_count=3, total_count=600, received=200, largest=200)
        empty, right = page_with().page(2, of=3).build(), page_with({"user_id": 201}).page(2, of=3).build()
        docebo.responds(USERS, empty, empty, right, when={"page": "2"})
        docebo.serves_pages(USERS)
        assert send(requester(build("users")), token).records == [{"user_id": 201}]
        assert clock.slept > 0

    def test_one_that_stays_so_fails_with_the_numbers(self, docebo: Platform, build: Build) -> None:
        token = PageToken(2, page_count=2, total_count=600, received=200, largest=200)
        docebo.responds(USERS, page_with().page(2, of=2).build(), when={"page": "2"})
        with pytest.raises(DoceboError) as raised:
            send(requester(build("users")), token)
        assert raised.value.failure_type.value == "transient_error"
        assert "Stream users: Page 2 of 2 is empty although more was announced: 200 of 600 records" in str(raised.value)
        assert "(GET /manage/v1/user, page 2) Tried 8 times." in str(raised.value)

    def test_a_few_missing_are_accepted_at_the_last_try(self, docebo: Platform, build: Build) -> None:
        token = PageToken(2, total_count=210, received=200, largest=200)
        docebo.responds(USERS, page_with().without_paging().build(), when={"page": "2"})
        assert send(requester(build("users")), token).records == []
        assert len(docebo.requests_for(USERS)) == 8

    def test_the_last_try_is_that_of_the_request(self, docebo: Platform, build: Build) -> None:
        token = PageToken(2, total_count=210, received=200, largest=200)
        empty = page_with().without_paging().build()
        docebo.responds(USERS, empty, empty, Response("", 503), empty, when={"page": "2"})
        assert send(requester(build("users")), token).records == []

    def test_a_lenient_page_is_warned_of_once(
        self, docebo: Platform, build: Build, caplog: pytest.LogCaptureFixture
    ) -> None:
        docebo.responds(USERS, Response('{"data": {"items": [{"user_id": 1, "name": "a\\ud83d"}]}}'))
        made = requester(build("users"))
        for number in (1, 2):
            assert send(made, PageToken(number)).records == [{"user_id": 1, "name": "a\ufffd"}]
        (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert warning == (
            "Stream users: a response is not valid JSON (GET /manage/v1/user, page 1). Characters that cannot be read "
            "were replaced by U+FFFD, numbers by null. Logged once for each stream."
        )

    def test_no_list_of_records(self, docebo: Platform, build: Build) -> None:
        docebo.responds(USERS, Response("<html>", headers={"Content-Type": "text/html; charset=utf-8"}))
        with pytest.raises(DoceboError, match=r"The response \(6 bytes, text/html\) holds no list of records\."):
            send(requester(build("users")), PageToken())
        assert len(docebo.requests_for(USERS)) == 8


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
        for number in range(2, 10):
            docebo.serves_pages(USERS, *(page_with({"user_id": number}).page(number, of=9) for number in range(1, 10)))
        made = requester(build("users", num_workers=3))
        send(made, PageToken(2, page_count=9, has_more=True, body_size=body_size))
        waiting = [int(url.rpartition("=")[2]) for url in made.client._prefetched]
        assert waiting == expected

    def test_the_bound(self) -> None:
        assert MAX_PREFETCHED_BYTES == 16_000_000

    def test_stops_at_the_last_page_that_was_announced(self, docebo: Platform, build: Build) -> None:
        docebo.serves_pages(USERS, *(page_with({"user_id": number}).page(number, of=3) for number in (1, 2, 3)))
        made = requester(build("users"))
        send(made, PageToken(2, page_count=3, has_more=True))
        assert [url.rpartition("=")[2] for url in made.client._prefetched] == ["3"]

    def test_is_discarded_where_the_list_ends(self, docebo: Platform, build: Build) -> None:
        last = page_with({"user_id": 2}).with_paging(current_page=2, has_more_data=False, total_page_count=2)
        docebo.serves_pages(USERS, page_with(), last, page_with({"user_id": 3}).page(3, of=3))
        made = requester(build("users"))
        send(made, PageToken(2, page_count=4, largest=9))
        assert made.client._prefetched == {}

    def test_is_discarded_where_the_stream_fails(self, docebo: Platform, build: Build) -> None:
        docebo.responds(USERS, error_response(403, "No"))
        made = requester(build("users"))
        with pytest.raises(DoceboError, match="403"):
            send(made, PageToken(2, page_count=4))
        assert made.client._prefetched == {}

    def test_the_connector_builder_gets_one_page_at_a_time_and_sees_each(
        self, docebo: Platform, build: Build, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        docebo.serves_pages(USERS, *(page_with({"user_id": number}).page(number, of=3) for number in (1, 2, 3)))
        made, logged = requester(build("users")), []
        repository = made.authenticator.message_repository
        monkeypatch.setattr(repository, "log_message", lambda level, message: logged.append((level.name, message())))
        params = {"page": PageToken(1, page_count=3)}
        made.send_request(partition(), params, log_formatter=lambda response: response.url)
        assert made.client._prefetched == {}
        assert logged == [("DEBUG", "https://acme.docebosaas.com/manage/v1/user?page=1")]


class TestShared:
    def test_its_own_stream_gets_the_whole_page_and_children_their_fields(self, docebo: Platform, build: Build) -> None:
        group = {"uuid": "a", "id": None, "name": "Everybody"}
        docebo.serves(GROUPS, group)
        own = requester(build("groups", __command={"id": "1", "streams": {"groups": {}}}))
        child = requester(build("groups"))
        child.client, child.for_children = own.client, True
        assert send(own, PageToken()).records == [group]
        (kept,) = send(child, PageToken()).records
        assert kept == {"uuid": "a", "id": None}
        kept["uuid"] = "changed"
        assert send(child, PageToken()).records == [{"uuid": "a", "id": None}]
        assert len(docebo.requests_for(GROUPS)) == 1

    @pytest.mark.parametrize(
        ("streams", "kept"), [({"groups": {}}, True), ({"group_members": {}}, False), (None, True)]
    )
    def test_bodies_are_kept_if_the_stream_is_read(
        self, docebo: Platform, build: Build, streams: Mapping[str, Any] | None, kept: bool
    ) -> None:
        docebo.serves(GROUPS, {"uuid": "a"})
        made = requester(build("groups"))
        made._is_selected = streams is None or "groups" in streams
        made.for_children = True
        send(made, PageToken())
        (future,) = made.client._shared.values()
        assert (future.result().body is not None) == kept

    def test_a_shared_page_that_contradicts_those_before_is_replaced_for_all(
        self, docebo: Platform, build: Build
    ) -> None:
        empty, right = page_with().page(2, of=2).build(), page_with({"uuid": "b"}).page(2, of=2).build()
        docebo.responds(GROUPS, empty, right)
        made = requester(build("groups"))
        for _ in range(2):
            token = PageToken(2, page_count=2, total_count=400, received=200, largest=200)
            assert send(made, token).records == [{"uuid": "b"}]
        assert len(docebo.requests_for(GROUPS)) == 2

    def test_a_whole_page_has_the_fingerprint_of_its_keys(self, docebo: Platform, build: Build) -> None:
        docebo.serves(GROUPS, {"uuid": "a", "name": "x"})
        made = requester(build("groups"))
        expected = Page.parse(b'{"data": [{"uuid": "a", "name": "y"}]}', ["uuid"]).fingerprint
        assert send(made, PageToken()).fingerprint == expected


class TestErrors:
    @pytest.mark.parametrize(
        ("stream", "status", "body", "action", "failure_type", "words"),
        [
            ("users", 401, {"message": "x"}, "REFRESH_TOKEN_THEN_RETRY", "config_error", "access tokens"),
            ("users", 401, "<html>", "REFRESH_TOKEN_THEN_RETRY", "config_error", "access tokens"),
            ("users", 403, {"message": "x"}, "FAIL", "config_error", "not allowed to read this (403)"),
            ("users", 403, "<html>", "RETRY", "transient_error", "a firewall, returned 403 (application/json)."),
            ("users", 404, {"message": "x"}, "FAIL", "config_error", "does not serve it (404)"),
            ("users", 404, "<html>", "RETRY", "transient_error", "a firewall, returned 404"),
            ("users", 400, {"message": "Odd"}, "FAIL", "system_error", "status 400. Docebo says: Odd"),
            ("users", 400, "<html>", "RETRY", "transient_error", "in front of Docebo"),
            ("users", 408, "<html>", "RETRY", "transient_error", "overloaded"),
            ("users", 425, "<html>", "RETRY", None, "overloaded"),
            ("users", 500, "<html>", "RETRY", "transient_error", "overloaded"),
            ("users", 507, {"message": "Full"}, "RETRY", "transient_error", "status 507. Docebo says: Full"),
            ("group_members", 404, {"message": "x"}, "IGNORE", None, "returned 404"),
            ("group_members", 404, "<html>", "RETRY", "transient_error", "in front of Docebo"),
            ("sessions", 400, {"message": "Course does not have sessions"}, "SUCCESS", None, ""),
        ],
    )
    def test_what_a_response_means(
        self,
        docebo: Platform,
        build: Build,
        stream: str,
        status: int,
        body: Any,
        action: str,
        failure_type: str | None,
        words: str,
    ) -> None:
        docebo.responds("x", Response(body, status))
        found = requester(build(stream)).judge_error(requests.get("https://acme.docebosaas.com/x", timeout=1))
        assert found.response_action.name == action
        assert failure_type is None or found.failure_type.value == failure_type
        assert words in (found.error_message or "")

    def test_a_course_without_sessions_has_none(self, docebo: Platform, build: Build) -> None:
        path = "course/v1/courses/5/sessions"
        docebo.responds(path, error_response(400, "Course with id 5 does not have sessions"))
        made = requester(build("sessions"))
        assert send(made, PageToken(), partition(course_id=5)).records == []
        assert made.progress.succeeded

    @pytest.mark.parametrize(
        ("status", "gone", "message"), [(404, True, "Docebo returned 404"), (403, False, "The API user is not allowed")]
    )
    def test_a_parent_that_cannot_be_read_is_reported(
        self,
        docebo: Platform,
        build: Build,
        caplog: pytest.LogCaptureFixture,
        status: int,
        gone: bool,
        message: str,
    ) -> None:
        docebo.responds(f"{GROUPS}/a/users", error_response(status, "No"))
        made = requester(build("group_members"))
        assert send(made, PageToken(), partition(group_uuid="a")) == Page([])
        assert not made.progress.succeeded
        label = "GET /audiences/v1/audience/a/users, page 1"
        assert (made.progress._gone, made.progress._unreadable) == (([label], []) if gone else ([], [label]))
        assert f"Stream group_members: {message}" in caplog.text
        assert f"Skipped: {label}" in caplog.text

    def test_a_parent_of_a_batch_is_named(
        self, docebo: Platform, build: Build, caplog: pytest.LogCaptureFixture
    ) -> None:
        docebo.responds(ENROLLMENTS, error_response(404, "No"))
        made = requester(build("course_enrollments"))
        send(made, PageToken(batches=((7,), (8,))), partition(course_id=[7, 8]))
        assert made.progress._gone == [f"GET /{ENROLLMENTS}, page 1, course_id 7"]

    def test_a_batch_with_one_that_is_gone_is_split(self, docebo: Platform, build: Build) -> None:
        docebo.responds(ENROLLMENTS, error_response(404, "No"))
        made = requester(build("course_enrollments"))
        assert send(made, PageToken(), partition(course_id=[1, 2, 3])).batches == ((1,), (2, 3))
        assert send(made, PageToken(batches=((2, 3),)), partition(course_id=[1, 2, 3])).batches == ((2,), (3,))
        assert send(made, PageToken(batches=((2,), (3,))), partition(course_id=[1, 2, 3])) == Page([])

    def test_a_stream_that_has_failed_sends_nothing_for_its_parents(self, docebo: Platform, build: Build) -> None:
        made = requester(build("group_members"))
        made.progress.fail()
        assert send(made, PageToken(), partition(group_uuid="a")) is None
        assert docebo.paths_requested == []

    def test_only_the_first_of_several_parents_says_why(self, docebo: Platform, build: Build) -> None:
        docebo.responds(f"{GROUPS}/a/users", Response("<html>"))
        made = requester(build("group_members"))
        for _ in range(2):
            made.progress.parent_found()
        with pytest.raises(DoceboError, match="no list of records"):
            send(made, PageToken(), partition(group_uuid="a"))
        assert made.progress.failed
        made.progress.failed = False
        made.progress.fail()
        made.progress.failed = True
        assert send(made, PageToken(), partition(group_uuid="a")) is None


class TestTokens:
    @pytest.fixture(autouse=True)
    def tokens(self, docebo: Platform) -> None:
        docebo.issues(*(token_response(str(number)) for number in range(50)))

    def test_a_path_that_always_rejects_fails_its_stream_alone(self, docebo: Platform, build: Build) -> None:
        docebo.responds(USERS, error_response(401, "No"))
        made = requester(build("users"))
        made.authenticator.shared_token.accept("another", 0.0)
        with pytest.raises(DoceboError, match="rejects the access tokens") as raised:
            send(made, PageToken())
        assert raised.value.failure_type.value == "config_error"
        assert len(docebo.requests_for(USERS)) <= MAX_REJECTIONS == 10
        assert made.authenticator.token

    def test_a_path_at_fault_shows_when_its_token_is_accepted_for_another(
        self, docebo: Platform, build: Build, clock: Time
    ) -> None:
        made = requester(build("users"))
        shared = made.authenticator.shared_token
        shared.accept("another", 0.0)

        def accept() -> None:
            clock.sleep(1)
            shared.accept(shared._value or "", clock.monotonic())

        rejects(docebo, accept)
        with pytest.raises(DoceboError, match=r"^Stream users: Docebo rejects the access tokens.*page 1\)$") as raised:
            send(made, PageToken())
        assert raised.value.failure_type.value == "config_error"
        assert (len(docebo.requests_for(USERS)), len(docebo.token_forms())) == (3, 2)

    def test_a_token_that_is_rejected_twice_is_renewed_where_nothing_else_is_accepted(
        self, docebo: Platform, build: Build, clock: Time
    ) -> None:
        rejected = error_response(401, "No")
        docebo.responds(USERS, rejected, rejected, rejected, page_with({"user_id": 1}).build())
        made = requester(build("users"))
        made.authenticator.shared_token.accept("another", 0.0)
        assert send(made, PageToken()).records == [{"user_id": 1}]
        assert len(docebo.token_forms()) == 3
        assert clock.slept > 0

    def test_ten_rejections_are_final(self, docebo: Platform, build: Build) -> None:
        made = requester(build("users"))
        shared = made.authenticator.shared_token
        rejects(docebo, lambda: shared.accept("another", 0.0))
        with pytest.raises(DoceboError, match="rejects the access tokens"):
            send(made, PageToken())
        assert len(docebo.requests_for(USERS)) == MAX_REJECTIONS == 10

    def test_what_was_accepted_and_when(self, docebo: Platform, build: Build, clock: Time) -> None:
        docebo.serves(USERS)
        made = requester(build("users"))
        send(made, PageToken())
        shared = made.authenticator.shared_token
        assert shared.was_accepted_after("Bearer 0", clock.monotonic() - 1)
        assert not shared.was_accepted_after("Bearer 0", clock.monotonic())

    def test_three_tokens_before_any_was_accepted_are_final_for_the_sync(self, docebo: Platform, build: Build) -> None:
        docebo.responds(USERS, error_response(401, "No"))
        made = requester(build("users"))
        with pytest.raises(DoceboError, match="rejects the access tokens"):
            send(made, PageToken())
        assert len(docebo.requests_for(USERS)) == 3
        with pytest.raises(DoceboError, match="rejects the access tokens"):
            made.authenticator.get_auth_header()

    def test_one_rejection_costs_one_token(self, docebo: Platform, build: Build) -> None:
        docebo.responds(USERS, error_response(401, "No"), page_with({"user_id": 1}).build())
        made = requester(build("users"))
        assert send(made, PageToken()).records == [{"user_id": 1}]
        assert len(docebo.token_forms()) == 2

    def test_a_child_stream_whose_tokens_are_rejected_stops(self, docebo: Platform, build: Build) -> None:
        for group in "ab":
            docebo.responds(f"{GROUPS}/{group}/users", error_response(401, "No"))
        made = requester(build("group_members"))
        made.authenticator.shared_token.accept("another", 0.0)
        for _ in range(2):
            made.progress.parent_found()
        with pytest.raises(DoceboError, match="access tokens"):
            send(made, PageToken(), partition(group_uuid="a"))
        assert made.progress.failed
        assert send(made, PageToken(), partition(group_uuid="b")) is None
        assert docebo.requests_for(f"{GROUPS}/b/users") == []


def test_the_pages_of_a_list_are_followed_to_its_end(docebo: Platform, build: Build) -> None:
    pages: list[PageBuilder] = [page_with({"user_id": number}).page(number, of=4) for number in range(1, 5)]
    docebo.serves_pages(USERS, *pages)
    made, token, records = requester(build("users")), PageToken(), []
    while token:
        page = send(made, token)
        records += page.records
        token = token.next(page, 200)
    assert records == [{"user_id": number} for number in range(1, 5)]
    assert len(docebo.requests_for(USERS)) == 4
