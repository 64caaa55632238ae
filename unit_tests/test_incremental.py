"""The stream `enrollments` since its last sync: which changes it requests, which state it saves, and bad states."""

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from airbyte_cdk.models import (
    AirbyteStateBlob,
    AirbyteStateMessage,
    AirbyteStateType,
    AirbyteStreamState,
    FailureType,
    StreamDescriptor,
    SyncMode,
)
from airbyte_cdk.test import entrypoint_wrapper
from airbyte_cdk.test.catalog_builder import CatalogBuilder
from airbyte_cdk.test.entrypoint_wrapper import EntrypointOutput, ExpectedOutcome

from source_docebo.components import BoundedState
from source_docebo.errors import DoceboError
from source_docebo.source import SourceDocebo
from unit_tests import builders
from unit_tests.builders import ConfigBuilder, PageBuilder, Platform, page_with

PATH = "learn/v1/enrollments"
LONG_AGO = "2024-06-30T12:00:00Z"


def enrollment(number: int, date: str | None) -> dict[str, Any]:
    return {"type": "elearning", "id": number, "user_id": 7, "date_last_updated": date}


def read(
    state: Mapping[str, Any] | None = None,
    stream: str = "enrollments",
    mode: SyncMode = SyncMode.incremental,
    **fields: str,
) -> EntrypointOutput:
    """A sync from a state of a stream. `fields`: more of the configuration."""
    config = {**ConfigBuilder().build(), **fields}
    catalog = CatalogBuilder().with_stream("enrollments", mode).build()
    blob = AirbyteStreamState(
        stream_descriptor=StreamDescriptor(name=stream), stream_state=AirbyteStateBlob(state or {})
    )
    states = [] if state is None else [AirbyteStateMessage(type=AirbyteStateType.STREAM, stream=blob)]
    source = SourceDocebo(catalog=catalog, config=config, state=states)
    return entrypoint_wrapper.read(source, config, catalog, states, expected_outcome=ExpectedOutcome.ALLOW_ANY)


def saved(output: EntrypointOutput) -> dict[str, Any]:
    """The state that the next sync gets."""
    state = output.most_recent_state.stream_state
    return dict(state.__dict__)


def updated_from(docebo: Platform) -> list[str | None]:
    """The filter of each request."""
    return [query.get("updated_from", [None])[0] for query in docebo.queries_for(PATH)]


def warnings(output: EntrypointOutput) -> list[str]:
    return [line for line in builders.Output(output).warnings() if "state of the last sync" in line]


def utc(ahead: timedelta = timedelta()) -> str:
    return f"{datetime.now(timezone.utc) + ahead:%Y-%m-%dT%H:%M:%SZ}"


class TestWhichChangesAreRequested:
    def test_all_at_first_and_then_from_an_hour_before_the_newest(self, docebo: Platform) -> None:
        docebo.serves(PATH, enrollment(1, "2024-06-30 12:00:00"), enrollment(2, "2024-01-01 00:00:00"))
        first = read()
        read(saved(first))
        assert updated_from(docebo) == [None, "2024-06-30 11:00:00"]
        assert "updated_from" not in docebo.requests_for(PATH)[0].url

    def test_rows_without_a_date_neither_fail_nor_move_the_state_back(self, docebo: Platform) -> None:
        odd = [None, "0000-00-00 00:00:00", "", "2023-02-30 10:00:00", "1969-01-01 00:00:00"]
        docebo.serves(PATH, *(enrollment(number, date) for number, date in enumerate(odd)))
        output = read({"date_last_updated": LONG_AGO})
        assert builders.Output(output).is_complete("enrollments")
        assert len(output.records) == len(odd)
        assert saved(output)["date_last_updated"] == LONG_AGO

    def test_only_rows_without_a_date_leave_the_next_sync_without_a_filter(self, docebo: Platform) -> None:
        docebo.serves(PATH, enrollment(1, None))
        second = read(saved(read()))
        assert updated_from(docebo) == [None, None]
        assert warnings(second) == []

    def test_a_full_refresh_reads_everything_whatever_the_state(self, docebo: Platform) -> None:
        docebo.serves(PATH, enrollment(1, LONG_AGO))
        read({"date_last_updated": LONG_AGO}, mode=SyncMode.full_refresh)
        assert updated_from(docebo) == [None]

    def test_a_sync_without_news_keeps_the_state(self, docebo: Platform) -> None:
        docebo.serves(PATH)
        assert saved(read({"date_last_updated": LONG_AGO}))["date_last_updated"] == LONG_AGO

    def test_a_row_that_changed_after_its_page_was_read_comes_with_the_next_sync(self, docebo: Platform) -> None:
        """A sync of some hours: a later page holds a newer change than that row, which must not be skipped."""
        started, newest = "2024-06-30T12:00:00Z", "2024-06-30T16:00:00Z"
        docebo.serves(PATH)
        read({"date_last_updated": newest, "sync_started_at": started})
        assert updated_from(docebo) == ["2024-06-30 11:00:00"]

    def test_the_start_of_the_sync_is_saved_with_the_newest_change(self, docebo: Platform) -> None:
        docebo.serves(PATH, enrollment(1, "2024-06-30 12:00:00"))
        before = utc()
        for state in (None, {"date_last_updated": LONG_AGO, "sync_started_at": LONG_AGO}):
            assert before <= saved(read(state))["sync_started_at"] <= utc()

    def test_one_row_with_a_date_in_the_future_hides_no_later_change(self, docebo: Platform) -> None:
        docebo.serves(PATH, enrollment(1, "2999-01-01 00:00:00"))
        before = datetime.now(timezone.utc).replace(microsecond=0, tzinfo=None)
        second = read(saved(read()))
        since = datetime.fromisoformat(f"{updated_from(docebo)[1]}")
        assert before - timedelta(hours=1) <= since <= before - timedelta(minutes=59)
        assert warnings(second) == []
        assert len(second.records) == 1


class TestStartDate:
    """With `start_date` no sync asks for older changes, the first one and a full refresh included."""

    start_date = "2024-01-01T00:00:00Z"

    def test_the_first_sync_reads_from_it_and_the_next_from_the_newest_change(self, docebo: Platform) -> None:
        docebo.serves(PATH, enrollment(1, "2024-06-30 12:00:00"))
        first = read(start_date=self.start_date)
        read(saved(first), start_date=self.start_date)
        assert updated_from(docebo) == ["2024-01-01 00:00:00", "2024-06-30 11:00:00"]

    def test_a_full_refresh_reads_from_it(self, docebo: Platform) -> None:
        docebo.serves(PATH)
        read(mode=SyncMode.full_refresh, start_date=self.start_date)
        assert updated_from(docebo) == ["2024-01-01 00:00:00"]

    @pytest.mark.parametrize("newest", ["2023-05-01T00:00:00Z", "2024-01-01T00:00:00Z", "2024-01-01T00:59:59Z"])
    def test_no_sync_goes_back_behind_it(self, docebo: Platform, newest: str) -> None:
        docebo.serves(PATH)
        read({"date_last_updated": newest}, start_date=self.start_date)
        assert updated_from(docebo) == ["2024-01-01 00:00:00"]

    def test_a_first_sync_without_a_change_is_repeated_from_it(self, docebo: Platform) -> None:
        docebo.serves(PATH)
        read(saved(read(start_date=self.start_date)), start_date=self.start_date)
        assert updated_from(docebo) == ["2024-01-01 00:00:00"] * 2

    def test_a_first_sync_that_fails_is_repeated_from_it(self, docebo: Platform) -> None:
        docebo.responds(PATH, builders.error_response(403), page_with(enrollment(1, None)).build())
        broken = read(start_date=self.start_date)
        assert builders.Output(broken).is_incomplete("enrollments")
        read(saved(broken), start_date=self.start_date)
        assert updated_from(docebo) == ["2024-01-01 00:00:00"] * 2

    def test_one_that_is_set_earlier_later_on_reads_nothing_again(self, docebo: Platform) -> None:
        docebo.serves(PATH, enrollment(1, "2024-06-30 12:00:00"))
        state = saved(read(start_date=self.start_date))
        read(state, start_date="2020-01-01T00:00:00Z")
        read(state)
        assert updated_from(docebo)[1:] == ["2024-06-30 11:00:00"] * 2

    def test_the_epoch_is_no_filter(self, docebo: Platform) -> None:
        docebo.serves(PATH)
        read(start_date="1970-01-01T00:00:00Z")
        assert updated_from(docebo) == [None]


class TestLookbackWindow:
    """How far a sync goes back behind the newest change that was read before."""

    @pytest.mark.parametrize(
        ("window", "since"),
        [
            ("PT1H", "2024-06-30 11:00:00"),
            ("P1D", "2024-06-29 12:00:00"),
            ("P2W", "2024-06-16 12:00:00"),
            ("P1DT2H30M5S", "2024-06-29 09:29:55"),
            ("PT90M", "2024-06-30 10:30:00"),
            ("PT0S", "2024-06-30 12:00:00"),
        ],
    )
    def test_is_an_iso_8601_duration(self, docebo: Platform, window: str, since: str) -> None:
        docebo.serves(PATH)
        read({"date_last_updated": LONG_AGO}, lookback_window=window)
        assert updated_from(docebo) == [since]

    def test_one_that_goes_back_behind_1970_reads_everything(self, docebo: Platform) -> None:
        docebo.serves(PATH)
        read({"date_last_updated": LONG_AGO}, lookback_window="P99999W")
        assert updated_from(docebo) == [None]

    def test_does_not_change_the_first_sync(self, docebo: Platform) -> None:
        docebo.serves(PATH)
        read(lookback_window="P1D")
        read(lookback_window="P1D", start_date="2024-01-01T00:00:00Z")
        assert updated_from(docebo) == [None, "2024-01-01 00:00:00"]


class TestSyncsThatBreakOff:
    def test_500_on_page_3_moves_nothing(self, docebo: Platform) -> None:
        rows = [enrollment(number, "2024-09-01 00:00:00") for number in range(600)]
        pages = [PageBuilder().with_records(*rows[at : at + 200]).page(at // 200 + 1, of=3) for at in (0, 200, 400)]
        docebo.serves_pages(PATH, *pages)
        docebo.responds(PATH, builders.error_response(500), when={"page": "3"})
        broken = read({"date_last_updated": LONG_AGO})
        assert builders.Output(broken).is_incomplete("enrollments")
        assert saved(broken)["date_last_updated"] == LONG_AGO
        docebo.serves_pages(PATH, *pages)
        last = read(saved(broken))
        assert len(last.records) == 600
        assert set(updated_from(docebo)) == {"2024-06-30 11:00:00"}
        assert saved(last)["date_last_updated"] == "2024-09-01T00:00:00Z"

    def test_a_first_sync_that_fails_is_repeated_without_a_filter(self, docebo: Platform) -> None:
        docebo.responds(PATH, builders.error_response(403), page_with(enrollment(1, None)).build())
        broken = read()
        assert builders.Output(broken).is_incomplete("enrollments")
        last = read(saved(broken))
        assert updated_from(docebo) == [None, None]
        assert warnings(last) == []
        assert len(last.records) == 1


class TestStates:
    """A state that cannot be used fails the sync, or has everything read: no row is skipped because of it."""

    @pytest.mark.parametrize(
        "value", ["yesterday", "0000-00-00 00:00:00", 7, True, {"value": LONG_AGO}, [LONG_AGO], "2024-13-01 00:00:00"]
    )
    def test_what_is_no_date_is_an_error_of_one_line(self, docebo: Platform, value: Any) -> None:
        docebo.serves(PATH, enrollment(1, None))
        output = read({"date_last_updated": value})
        (error,) = builders.Output(output).errors()
        assert error[0] == FailureType.config_error
        assert error[1].startswith("Stream enrollments: the state of the last sync holds a value that is not a date.")
        assert "\n" not in error[1]
        assert output.records == []
        assert updated_from(docebo) == []

    def test_a_start_of_the_sync_that_is_no_date(self) -> None:
        with pytest.raises(DoceboError, match="not a date"):
            migrated({"date_last_updated": LONG_AGO, "sync_started_at": "soon"})

    @pytest.mark.parametrize("ahead", [timedelta(minutes=5), timedelta(days=400)])
    def test_a_date_in_the_future_has_everything_read(self, docebo: Platform, ahead: timedelta) -> None:
        docebo.serves(PATH, enrollment(1, "2024-06-30 12:00:00"))
        output = read({"date_last_updated": utc(ahead)})
        assert updated_from(docebo) == [None]
        (warning,) = warnings(output)
        assert "holds a date in the future, so everything is read again" in warning
        assert saved(output)["date_last_updated"] == "2024-06-30T12:00:00Z"

    @pytest.mark.parametrize(
        "state",
        [
            {"updated_at": LONG_AGO},
            {"pages": [1, 2]},
            {"date_last_updated": None},
            {"sync_started_at": LONG_AGO},
            {"__ab_no_cursor_state_message": True},
            {"states": [{"partition": {}, "cursor": {"date_last_updated": LONG_AGO}}]},
            {"state_type": "date-range", "slices": [{"start": LONG_AGO, "end": utc()}]},
        ],
    )
    def test_a_state_of_another_shape_has_everything_read(self, docebo: Platform, state: dict[str, Any]) -> None:
        docebo.serves(PATH, enrollment(1, "2024-06-30 12:00:00"))
        output = read(state)
        assert updated_from(docebo) == [None]
        (warning,) = warnings(output)
        assert "holds no date, so everything is read again" in warning
        assert saved(output)["date_last_updated"] == "2024-06-30T12:00:00Z"

    def test_a_state_of_another_stream_has_everything_read(self, docebo: Platform) -> None:
        docebo.serves(PATH)
        read({"date_last_updated": LONG_AGO}, stream="course_enrollments")
        assert updated_from(docebo) == [None]

    @pytest.mark.parametrize("text", ["2024-06-30 12:00:00", "2024-06-30T12:00:00.000Z", "2024-06-30T14:00:00+02:00"])
    def test_other_forms_of_a_date_are_accepted(self, text: str) -> None:
        assert migrated({"date_last_updated": text})["date_last_updated"] == LONG_AGO


def migrated(state: Mapping[str, Any]) -> Mapping[str, Any]:
    command = {"id": "1", "streams": {"enrollments": []}, "incremental": ["enrollments"]}
    config = {**ConfigBuilder().build(), "num_workers": 2, "__command": command}
    return BoundedState(config=config, cursor_field="date_last_updated", name="enrollments").migrate(state)


def test_discover_says_that_the_stream_can_be_read_since_the_last_sync(docebo: Platform) -> None:
    docebo.serves("learn/v1/courses/field")
    stream = builders.discover().discovered("enrollments")
    assert stream.supported_sync_modes == [SyncMode.full_refresh, SyncMode.incremental]
    assert stream.source_defined_cursor
    assert stream.default_cursor_field == ["date_last_updated"]
