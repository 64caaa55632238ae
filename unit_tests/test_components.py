"""The custom components, directly: paging strategy, parents, normalizer, and the loader of additional fields."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

import pytest
from airbyte_cdk.sources.streams.concurrent.default_stream import DefaultStream
from airbyte_cdk.sources.types import StreamSlice

from source_docebo.client import Client
from source_docebo.components import AddParentKey, PageExtractor, PageNumber, SchemaNormalizer
from source_docebo.errors import DoceboError
from source_docebo.progress import StreamProgress
from source_docebo.responses import Page, PageToken
from unit_tests.builders import ConfigBuilder, Platform, error_response, page_with

GROUPS = "audiences/v1/audience"
FIELDS = "manage/v1/user_fields"
Build = Callable[..., DefaultStream]


@pytest.fixture
def config() -> Mapping[str, Any]:
    return {**ConfigBuilder().build(), "num_workers": 2, "id": uuid4().hex}


@pytest.fixture
def progress(config: Mapping[str, Any]) -> StreamProgress:
    return StreamProgress.of(Client.of(config), "members")


def partition(*keys: int) -> StreamSlice:
    key = {"course_id": keys[0] if len(keys) == 1 else list(keys)} if keys else {}
    return StreamSlice(partition=key, cursor_slice={})


def test_the_extractor_yields_the_records_of_the_page() -> None:
    assert list(PageExtractor().extract_records(Page([{"id": 1}]))) == [{"id": 1}]


class TestPageNumber:
    def test_first_token(self, config: Mapping[str, Any]) -> None:
        assert PageNumber(config=config).initial_token == PageToken(1)
        assert PageNumber(config=config, inject_on_first_request=False).initial_token is None

    def test_page_size(self, config: Mapping[str, Any]) -> None:
        assert PageNumber(config=config).get_page_size() is None
        assert PageNumber(config=config, page_size=200).get_page_size() == 200

    def test_follows_the_page(self, config: Mapping[str, Any], progress: StreamProgress) -> None:
        strategy = PageNumber(config=config, name="members")
        following = PageToken(2)
        assert strategy.next_page_token(Page([], following=following), partition(1)) is following
        assert progress._read == set()

    def test_at_the_end_the_parents_are_read(self, config: Mapping[str, Any], progress: StreamProgress) -> None:
        strategy = PageNumber(config=config, name="members")
        for keys in ((1,), (2, 3, 4), ()):
            assert strategy.next_page_token(Page([]), partition(*keys)) is None
        assert progress._read == {"1", "2", "3", "4"}


class TestParents:
    def slices(self, stream: DefaultStream) -> list[Mapping[str, Any]]:
        router = stream._stream_partition_generator._stream_slicer  # type: ignore[attr-defined]
        return [stream_slice.partition for stream_slice in router.stream_slices()]

    def progress_of(self, stream: DefaultStream) -> StreamProgress:
        retriever = stream._stream_partition_generator._partition_factory._retriever  # type: ignore[attr-defined]
        found: StreamProgress = retriever.requester.progress
        return found

    def test_each_is_read_once(self, docebo: Platform, build: Build) -> None:
        docebo.serves(GROUPS, {"uuid": "a"}, {"uuid": "b"}, {"uuid": "a"})
        stream = build("group_members")
        assert self.slices(stream) == [{"group_uuid": "a"}, {"group_uuid": "b"}]
        progress = self.progress_of(stream)
        assert (progress._found, progress._all_found, progress.error) == ({"a", "b"}, True, None)

    def test_a_list_of_parents_that_cannot_be_read_fails_the_children(self, docebo: Platform, build: Build) -> None:
        docebo.serves_pages(GROUPS, page_with({"uuid": "a"}).page(1, of=2))
        docebo.responds(GROUPS, error_response(403, "No"), when={"page": "2"})
        stream = build("group_members")
        with pytest.raises(DoceboError, match="403"):
            self.slices(stream)
        progress = self.progress_of(stream)
        assert (progress._all_found, bool(progress.error)) == (False, True)

    def test_their_key_is_added_to_the_record(self) -> None:
        record = {"id": 5}
        AddParentKey().transform(record, stream_slice=partition(7))
        assert record == {"id": 5, "course_id": 7}


SCHEMA = {
    "required": ["id"],
    "properties": {"id": {"type": "integer"}, "at": {"type": ["string", "null"], "format": "date-time"}},
}


class TestNormalizer:
    def test_changes_the_record_in_place(self, config: Mapping[str, Any]) -> None:
        record = {"id": "5", "at": "2024-05-01"}
        SchemaNormalizer(config=config, name="members").transform(record, SCHEMA)
        assert record == {"id": 5, "at": "2024-05-01T00:00:00Z"}

    def test_a_record_without_its_key_fails_the_stream(
        self, config: Mapping[str, Any], progress: StreamProgress
    ) -> None:
        with pytest.raises(DoceboError) as raised:
            SchemaNormalizer(config=config, name="members").transform({"at": None, "who": "Ada"}, SCHEMA)
        assert raised.value.failure_type.value == "system_error"
        assert str(raised.value) == (
            "Stream members: a record has no key id. It has the fields at, who. Docebo may have renamed it: "
            "please tell the connector's authors."
        )
        assert progress.error

    def test_a_value_that_does_not_fit_is_warned_of_once(
        self, config: Mapping[str, Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        normalizer = SchemaNormalizer(config=config, name="members")
        for number in range(3):
            normalizer.transform({"id": number, "at": "Ada, May"}, SCHEMA)
        assert not caplog.records
        for _ in range(2):
            StreamProgress.of(Client.of(config), "members").warn()
        (message,) = [record.getMessage() for record in caplog.records]
        assert message == (
            "Stream members: values that do not fit the schema: at (no calendar date: XXX, XXX). # stands for any "
            "digit, X for any letter. A date became the epoch, other values stay as they are. If there are many, "
            "Docebo may have changed its format."
        )

    def test_an_additional_field_that_is_not_declared_is_warned_of_once(
        self, config: Mapping[str, Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        normalizer = SchemaNormalizer(config=config, name="members")
        schema = {**SCHEMA, "x-additional-fields": True}
        for number in range(3):
            normalizer.transform({"id": number, "field_7": "Sales", "field_8": number}, schema)
        StreamProgress.of(Client.of(config), "members").warn()
        assert [record.getMessage() for record in caplog.records] == [
            "Stream members: most destinations drop field_7, field_8, since the schema of the connection lacks them. "
            "Refresh the schema."
        ]


class TestAdditionalFields:
    def properties(self, stream: DefaultStream) -> dict[str, Any]:
        found: dict[str, Any] = stream.get_json_schema()["properties"]
        return found

    def test_of_two_pages_come_after_the_known_fields(self, docebo: Platform, build: Build) -> None:
        docebo.serves_pages(
            FIELDS,
            page_with({"id": "7", "title": "Department", "type": "dropdown"}).page(1, of=2),
            page_with({"id": "9", "title": "Hired", "type": "date"}).page(2, of=2),
        )
        declared = self.properties(build("users"))
        assert list(declared)[-2:] == ["field_7", "field_9"]
        assert declared["field_7"]["type"] == ["string", "null"]
        assert declared["field_7"]["title"] == "Department"
        assert "user_id" in declared
        assert len(docebo.requests_for(FIELDS)) == 2

    def test_are_requested_once(self, docebo: Platform, build: Build) -> None:
        stream = build("users")
        assert stream.get_json_schema() is not None
        assert self.properties(stream) == self.properties(stream)
        assert len(docebo.requests_for(FIELDS)) == 1

    def test_of_a_read_are_those_of_its_catalog(self, docebo: Platform, build: Build) -> None:
        command = {"id": "1", "streams": {"users": ["user_id", "field_3"]}}
        declared = self.properties(build("users", __command=command))
        assert [name for name in declared if name.startswith("field_")] == ["field_3"]
        assert not docebo.was_requested

    @pytest.mark.parametrize("status", [403, 404])
    def test_without_permission_there_are_none(self, docebo: Platform, build: Build, status: int) -> None:
        docebo.responds(FIELDS, error_response(status, "No"))
        assert not [name for name in self.properties(build("users")) if name.startswith("field_")]

    @pytest.mark.parametrize(("status", "failure_type"), [(400, "system_error"), (500, "transient_error")])
    def test_any_other_failure_is_an_error(
        self, docebo: Platform, build: Build, status: int, failure_type: str
    ) -> None:
        docebo.responds(FIELDS, error_response(status, "No"))
        with pytest.raises(DoceboError, match="Stream user_fields: ") as raised:
            build("users").get_json_schema()
        assert raised.value.failure_type.value == failure_type
