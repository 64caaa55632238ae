"""How far a stream has come: when parents that cannot be read fail it, and with which message."""

import pytest
from airbyte_cdk.models import FailureType
from airbyte_cdk.sources.types import StreamSlice

from source_docebo.client import Client
from source_docebo.errors import DoceboError, RequestError
from source_docebo.progress import StreamProgress, parent_keys
from unit_tests.builders import ConfigBuilder


def client(**fields: int) -> Client:
    """A client of its own."""
    return Client({**ConfigBuilder().build(), "num_workers": 1, **fields})


def progress(found: int, succeeded: bool = True, **fields: int) -> StreamProgress:
    """Of a stream that has found so many parents, and was served a request or not."""
    made = StreamProgress(client(**fields), "members")
    for key in range(found):
        made.parent_found(key)
    made.succeeded = succeeded
    return made


def unreadable(made: StreamProgress, *keys: int, status: int | None = 404) -> None:
    """The requests for these parents have failed."""
    failure_type = FailureType.transient_error if status is None else FailureType.config_error
    for key in keys:
        made.parent_unreadable(f"GET /{key}", RequestError(f"Stream members: No (GET /{key})", failure_type, status))


def failure(made: StreamProgress, found: int) -> tuple[str, str] | None:
    """The failure type and the message at the end of the stream; None if it succeeds."""
    made.all_parents_found()
    made.parents_read(range(found - 1))
    try:
        made.parents_read([found - 1])
    except DoceboError as error:
        return error.failure_type.value, str(error)
    return None


def test_is_one_for_all_components_of_a_stream() -> None:
    shared = client()
    members = StreamProgress.of(shared, "members")
    assert StreamProgress.of(shared, "members") is members
    assert StreamProgress.of(shared, "users") is not members
    members.parent_found(0)
    unreadable(members, 0)
    assert "Stream members: 1 of 1 parents" in str(failure(members, 1))


def test_nothing_has_happened_yet() -> None:
    made = StreamProgress(client(), "members")
    assert (made.error, made.succeeded) == (None, False)


class TestUnreadable:
    def test_is_skipped_with_a_warning(self, caplog: pytest.LogCaptureFixture) -> None:
        unreadable(progress(10), 4)
        assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
            ("WARNING", "Stream members: No (GET /4) Its parent is skipped.")
        ]

    @pytest.mark.parametrize(("status", "failure_type"), [(403, "config_error"), (None, "transient_error")])
    def test_fails_the_stream_after_the_others_were_read(self, status: int | None, failure_type: str) -> None:
        made = progress(10)
        unreadable(made, 4, status=status)
        assert failure(made, 10) == (
            failure_type,
            "Stream members: 1 of 10 parents could not be read: GET /4. No (GET /4) To accept that so many are "
            "missing, raise max_unreadable_parents.",
        )

    @pytest.mark.parametrize(("count", "names"), [(5, "GET /4. "), (6, "GET /4, ... ")])
    def test_five_are_named(self, count: int, names: str) -> None:
        made = progress(10)
        unreadable(made, *range(count), status=403)
        _, message = failure(made, 10) or ("", "")
        assert f"{count} of 10 parents could not be read: GET /0, GET /1, GET /2, GET /3, {names}" in message

    def test_a_deleted_one_is_not_among_those_that_fail_the_stream(self) -> None:
        made = progress(10)
        unreadable(made, 1, status=404)
        unreadable(made, 2, status=403)
        _, message = failure(made, 10) or ("", "")
        assert "1 of 10 parents could not be read: GET /2. No (GET /2)" in message


class TestDeleted:
    @pytest.mark.parametrize(("found", "gone"), [(2, 1), (10, 5), (11, 5), (100, 50)])
    def test_half_of_the_parents_fail_nothing(self, found: int, gone: int) -> None:
        made = progress(found)
        unreadable(made, *range(gone))
        assert failure(made, found) is None

    @pytest.mark.parametrize(("found", "gone"), [(1, 1), (10, 6), (11, 6), (100, 51)])
    def test_most_of_them_fail_the_stream(self, found: int, gone: int) -> None:
        made = progress(found)
        unreadable(made, *range(gone))
        failure_type, message = failure(made, found) or ("", "")
        assert failure_type == "config_error"
        assert f"{gone} of {found} parents could not be read: GET /0" in message

    def test_few_of_which_none_was_read_fail_it_too(self) -> None:
        made = progress(10, succeeded=False)
        unreadable(made, *range(5))
        assert failure(made, 10) is not None


class TestFirst:
    @pytest.mark.parametrize("status", [404, 403, None])
    def test_ten_fail_the_stream_at_once(self, status: int | None) -> None:
        made = progress(100, succeeded=False)
        unreadable(made, *range(9), status=status)
        with pytest.raises(DoceboError, match=r"^Stream members: 10 of 100 parents could not be read: GET /0, "):
            unreadable(made, 9, status=status)

    def test_unless_another_was_read(self) -> None:
        made = progress(100)
        unreadable(made, *range(99))


class TestEnd:
    def test_is_only_reached_when_all_parents_are_found(self) -> None:
        made = progress(1)
        unreadable(made, 0)
        made.parents_read([0])
        with pytest.raises(DoceboError, match="1 of 1 parents"):
            made.all_parents_found()

    def test_is_only_reached_when_all_of_them_are_read(self) -> None:
        made = progress(2)
        unreadable(made, 0, status=403)
        made.all_parents_found()
        for _ in range(2):
            made.parents_read([0])
        with pytest.raises(DoceboError, match="1 of 2 parents"):
            made.parents_read(["1"])

    def test_without_parents_nothing_fails(self) -> None:
        progress(0, succeeded=False).all_parents_found()

    def test_without_an_unreadable_one_nothing_fails(self) -> None:
        assert failure(progress(2), 2) is None

    def test_only_the_first_failure_counts(self) -> None:
        made = progress(2)
        assert made.fail(DoceboError("The first."))
        assert not made.fail(DoceboError("The second."))
        assert str(made.error) == "The first."


@pytest.mark.parametrize(
    ("partition", "keys"),
    [({"course_id": 5}, [5]), ({"course_id": [5, 6]}, [5, 6]), ({"group_uuid": "ab"}, ["ab"]), ({}, [])],
)
def test_the_keys_of_a_partition(partition: dict[str, object], keys: list[object]) -> None:
    assert parent_keys(StreamSlice(partition=partition, cursor_slice={})) == keys


class TestAccepted:
    @pytest.mark.parametrize(("accepted", "fails"), [(1, True), (2, False)])
    def test_so_many_fail_nothing(self, accepted: int, fails: bool) -> None:
        made = progress(10, max_unreadable_parents=accepted)
        unreadable(made, 3, 4, status=500)
        assert bool(failure(made, 10)) == fails

    def test_the_setting_is_named_where_it_helps(self) -> None:
        made = progress(10)
        unreadable(made, 4, status=403)
        assert str(failure(made, 10)).endswith(" To accept that so many are missing, raise max_unreadable_parents.')")

    def test_where_none_was_read_it_does_not_help(self) -> None:
        made = progress(10, succeeded=False, max_unreadable_parents=20)
        unreadable(made, 1, 2, status=403)
        assert "max_unreadable_parents" not in str(failure(made, 10))
