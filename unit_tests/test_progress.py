"""How far a stream has come: when parents that are gone or cannot be read fail it, and with which message."""

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Lock

import pytest
from airbyte_cdk.sources.types import StreamSlice

from source_docebo.client import Client
from source_docebo.errors import DoceboError
from source_docebo.progress import FEW_PARENTS, SAME_FAILURES, StreamProgress, parent_keys
from unit_tests.builders import ConfigBuilder


def progress(found: int, succeeded: bool = True) -> StreamProgress:
    """Of a stream that has found so many parents, and had a response for one of them or not."""
    made = StreamProgress("members")
    for _ in range(found):
        made.parent_found()
    made.succeeded = succeeded
    return made


def finish(made: StreamProgress, read: int) -> None:
    """All parents are found, and these are read."""
    made.all_parents_found()
    made.parents_read(read)


def test_is_one_for_all_components_of_a_stream() -> None:
    client = Client({**ConfigBuilder().build(), "num_workers": 1})
    members = StreamProgress.of(client, "members")
    assert StreamProgress.of(client, "members") is members
    assert StreamProgress.of(client, "users") is not members


class TestFirstRequest:
    def test_until_one_succeeds_requests_are_sent_one_at_a_time(self) -> None:
        made, under_way, most, lock = StreamProgress("members"), 0, 0, Lock()

        def send() -> None:
            nonlocal under_way, most
            with lock:
                under_way += 1
                most = max(most, under_way)
            time.sleep(0.005)
            with lock:
                under_way -= 1

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: made.request(send), range(8)))
        assert most == 1

    def test_then_the_others_follow_together(self) -> None:
        made, together = StreamProgress("members"), Barrier(8, timeout=10)

        def send() -> None:
            if made.succeeded:
                together.wait()
            made.succeeded = True

        with ThreadPoolExecutor(9) as pool:
            list(pool.map(lambda _: made.request(send), range(9)))
        assert not together.broken


class TestGone:
    @pytest.mark.parametrize(("found", "gone"), [(10, 3), (79, 3), (80, 4), (100, 5), (119, 5)])
    def test_a_few_are_skipped(self, caplog: pytest.LogCaptureFixture, found: int, gone: int) -> None:
        made = progress(found)
        for number in range(gone):
            made.parent_skipped(f"GET /{number}", "It may have been deleted.", gone=True)
        finish(made, found)
        assert [record.getMessage() for record in caplog.records] == [
            f"Stream members: It may have been deleted. Skipped: GET /{number}" for number in range(gone)
        ]

    @pytest.mark.parametrize(("found", "gone"), [(10, 4), (79, 4), (80, 5), (100, 6)])
    def test_more_fail_the_stream_after_the_others_were_read(self, found: int, gone: int) -> None:
        made = progress(found)
        for number in range(gone):
            made.parent_skipped(f"GET /{number}", "Gone.", gone=True)
        made.all_parents_found()
        made.parents_read(found - 1)
        with pytest.raises(DoceboError, match=f"returned 404 for {gone} of {found} parents") as raised:
            made.parents_read(1)
        assert raised.value.failure_type.value == "transient_error"
        assert str(raised.value).startswith("Stream members: ")

    def test_all_of_them_mean_that_the_platform_does_not_serve_it(self) -> None:
        made = progress(100, succeeded=False)
        for number in range(5):
            made.parent_skipped(f"GET /{number}", "Gone.", gone=True)
        with pytest.raises(DoceboError, match="this platform does not serve it") as raised:
            made.parent_skipped("GET /5", "Gone.", gone=True)
        assert raised.value.failure_type.value == "config_error"
        assert "(GET /0, GET /1, GET /2, GET /3, GET /4, ..)" in str(raised.value)

    @pytest.mark.parametrize("found", [1, 3])
    def test_all_of_few_too(self, found: int) -> None:
        made = progress(found, succeeded=False)
        for number in range(found):
            made.parent_skipped(f"GET /{number}", "Gone.", gone=True)
        with pytest.raises(DoceboError, match="does not serve it"):
            finish(made, found)

    def test_many_do_not_fail_it_at_once_when_another_was_read(self) -> None:
        made = progress(10)
        for number in range(9):
            made.parent_skipped(f"GET /{number}", "Gone.", gone=True)

    def test_the_constant(self) -> None:
        assert FEW_PARENTS == 3


class TestUnreadable:
    def test_one_fails_the_stream_after_the_others_were_read(self) -> None:
        made = progress(10)
        made.parent_skipped("GET /4", "No permission.", gone=False)
        made.all_parents_found()
        made.parents_read(9)
        with pytest.raises(DoceboError) as raised:
            made.parents_read(1)
        assert str(raised.value) == "Stream members: 1 of 10 parents could not be read. No permission. (GET /4)"
        assert raised.value.failure_type.value == "config_error"

    def test_three_are_enough_when_none_was_read(self) -> None:
        assert SAME_FAILURES == 3
        made = progress(10, succeeded=False)
        made.parent_skipped("GET /0", "No permission.", gone=False)
        made.parent_skipped("GET /1", "No permission.", gone=False)
        with pytest.raises(DoceboError) as raised:
            made.parent_skipped("GET /2", "No permission.", gone=False)
        assert str(raised.value) == "Stream members: No permission. (GET /2 and others)"
        assert raised.value.failure_type.value == "config_error"

    def test_five_are_named(self, caplog: pytest.LogCaptureFixture) -> None:
        made = progress(10)
        for number in range(6):
            made.parent_skipped(f"GET /{number}", "No permission.", gone=False)
        assert caplog.records[0].getMessage() == "Stream members: No permission. Skipped: GET /0"
        with pytest.raises(DoceboError, match=r"\(GET /0, GET /1, GET /2, GET /3, GET /4, \.\.\)$"):
            finish(made, 10)

    def test_exactly_five_are_all(self) -> None:
        made = progress(10)
        for number in range(5):
            made.parent_skipped(f"GET /{number}", "No permission.", gone=False)
        with pytest.raises(DoceboError, match=r"GET /4\)$"):
            finish(made, 10)


class TestEnd:
    def test_is_only_reached_when_all_parents_are_found(self) -> None:
        made = progress(1, succeeded=False)
        made.parent_skipped("GET /0", "Gone.", gone=True)
        made.parents_read(1)
        with pytest.raises(DoceboError, match="does not serve it"):
            made.all_parents_found()

    def test_without_parents_nothing_fails(self) -> None:
        finish(progress(0, succeeded=False), 0)

    def test_the_first_failure_counts(self) -> None:
        made = progress(2)
        assert not made.failed
        assert made.fail()
        assert made.failed
        assert not made.fail()

    def test_every_failure_of_a_stream_without_parents_counts(self) -> None:
        made = progress(0)
        assert made.fail()
        assert made.fail()


@pytest.mark.parametrize(
    ("partition", "keys"),
    [({"course_id": 5}, [5]), ({"course_id": [5, 6]}, [5, 6]), ({"group_uuid": "ab"}, ["ab"]), ({}, [])],
)
def test_the_keys_of_a_partition(partition: dict[str, object], keys: list[object]) -> None:
    assert parent_keys(StreamSlice(partition=partition, cursor_slice={})) == keys
