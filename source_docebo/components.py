"""
The custom components that manifest.yaml names, each saying why the built-in one is not enough.

The CDK builds them from the class's type hints: a field that the manifest sets must be annotated here. It calls their
methods with keywords only, so a signature names what it uses.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from airbyte_cdk.sources.declarative.extractors.record_extractor import RecordExtractor
from airbyte_cdk.sources.declarative.extractors.type_transformer import TypeTransformer
from airbyte_cdk.sources.declarative.migrations.state_migration import StateMigration
from airbyte_cdk.sources.declarative.partition_routers.substream_partition_router import SubstreamPartitionRouter
from airbyte_cdk.sources.declarative.requesters.paginators.strategies.pagination_strategy import PaginationStrategy
from airbyte_cdk.sources.declarative.schema import InlineSchemaLoader, SchemaLoader
from airbyte_cdk.sources.declarative.transformations import RecordTransformation
from airbyte_cdk.sources.streams.concurrent.default_stream import DefaultStream
from airbyte_cdk.sources.types import Config, StreamSlice

from source_docebo.client import Client
from source_docebo.errors import DoceboError, RequestError, UnreadableParentsError, config_error
from source_docebo.progress import StreamProgress, parent_keys
from source_docebo.records import RecordNormalizer, UnusableKeyError, additional_field_properties, to_utc
from source_docebo.responses import Page, PageToken

_STARTED_AT = "sync_started_at"


@dataclass
class PageExtractor(RecordExtractor):
    """The records of a page. DpathExtractor knows only one form of list, and costs 40 µs a record."""

    def extract_records(self, response: Page) -> Iterable[Mapping[str, Any]]:  # type: ignore[override]
        """The records of a page."""
        return response.records


@dataclass
class PageNumber(PaginationStrategy):
    """
    Requests pages until the list itself says that it has ended. PageIncrement ends on a short page, CursorPagination
    trusts `has_more_data` forever.
    """

    config: Config
    name: str = ""
    reader: str = ""
    page_size: int | None = None
    inject_on_first_request: bool = True

    def __post_init__(self) -> None:
        self._progress = StreamProgress.of(Client.of(self.config), self.name, self.reader)

    @property
    def initial_token(self) -> PageToken | None:
        """The token of the first page; None where that is requested without a number."""
        return PageToken() if self.inject_on_first_request else None

    def next_page_token(  # type: ignore[override]
        self, response: Page, stream_slice: StreamSlice, **_: Any
    ) -> PageToken | None:
        """The token of the next page; None after the last. Raises DoceboError if the stream must fail at its end."""
        if response.following is None:
            if stream_slice.partition:
                self._progress.parents_read(parent_keys(stream_slice))
            else:
                self._progress.warn()
        return response.following

    def get_page_size(self) -> int | None:
        """Records on a page, at most; None if requests do not say."""
        return self.page_size


@dataclass
class UniqueParentRouter(SubstreamPartitionRouter):
    """
    A partition for each parent, once. The built-in router repeats a parent that its list holds twice, as it does when
    rows move while pages are read; and its children are still read when the list of parents has failed.
    """

    def stream_slices(self) -> Iterable[StreamSlice]:
        """The partitions. Raises DoceboError if the parents cannot be read."""
        name, reader = self._parameters.get("name", ""), self._parameters.get("reader", "")
        progress = StreamProgress.of(Client.of(self.config), name, reader)
        seen = set()
        try:
            for stream_slice in super().stream_slices():
                # Without the partition of the parent itself: for sessions, that is their course.
                key = {name: value for name, value in stream_slice.partition.items() if name != "parent_slice"}
                if str(key) not in seen:
                    seen.add(str(key))
                    progress.parent_found(*key.values())
                    yield StreamSlice(partition=key, cursor_slice={})
        except UnreadableParentsError:
            raise  # the children of those that were read are read
        except DoceboError as error:
            progress.fail(error)
            raise
        progress.all_parents_found()


@dataclass
class AddParentKey(RecordTransformation):
    """Adds the key of the parent that a record was read from. AddFields does the same for 60 µs a record."""

    def transform(  # type: ignore[override]
        self, record: dict[str, Any], stream_slice: StreamSlice, **_: Any
    ) -> None:
        """Sets each field of the partition on the record."""
        record.update(stream_slice.partition)


@dataclass
class SchemaNormalizer(TypeTransformer):
    """
    Normalizes records to the stream's schema. The built-in normalization does not know Docebo's dates, turns no `[]`
    into `{}`, and costs 350 µs a record.
    """

    config: Config
    name: str = ""
    reader: str = ""
    _normalizer: RecordNormalizer | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._progress = StreamProgress.of(Client.of(self.config), self.name, self.reader)

    def transform(self, record: dict[str, Any], schema: Mapping[str, Any]) -> None:
        """Changes the record in place. Raises DoceboError for a record without its key."""
        if self._normalizer is None:
            self._normalizer = RecordNormalizer(schema, self._progress.differs)
        try:
            self._normalizer.normalize(record)
        except UnusableKeyError as error:
            failure = DoceboError(
                f"Stream {self.name}: a record has no key {error}. It has the fields {', '.join(sorted(record))}. "
                "Docebo may have renamed it: please tell the connector's authors."
            )
            self._progress.fail(failure)
            raise failure from None


@dataclass
class AdditionalFieldsSchemaLoader(SchemaLoader):
    """
    The schema of a stream, and in it the additional fields that a platform has defined. DynamicSchemaLoader knows
    neither required fields nor titles, and reads the first page only.
    """

    config: Config
    schema_loader: InlineSchemaLoader
    definitions_stream: DefaultStream
    name: str = ""

    def get_json_schema(self) -> Mapping[str, Any]:
        """
        The schema. A read takes the additional fields from its catalog. Raises DoceboError if discover cannot read the
        definitions, unless the user has no right to (403) or the platform does not serve them (404).
        """
        schema, client = self.schema_loader.get_json_schema(), Client.of(self.config)
        if (streams := client.selected_streams) is not None:
            definitions = [{"id": name[6:]} for name in streams.get(self.name, ()) if name.startswith("field_")]
        else:
            partitions = self.definitions_stream.generate_partitions()
            try:
                definitions = [{**record.data} for partition in partitions for record in partition.read()]
            except RequestError as error:
                if error.status_code not in (403, 404):
                    raise
                client.warn(f"{error} Stream {self.name} is shown without its additional fields.")
                definitions = []
        return {**schema, "properties": {**schema["properties"], **additional_field_properties(definitions)}}


@dataclass
class BoundedState(StateMigration):
    """
    Bounds the newest change, which the CDK's cursor saves, by the moment at which that sync started: a record that
    changes after its page was read must not be skipped because a later page holds a newer change. The CDK saves the
    additional field of the state together with its own.
    """

    config: Config
    cursor_field: str
    name: str = ""

    def should_migrate(self, stream_state: Mapping[str, Any]) -> bool:
        """True: the moment is needed in every sync, the first one too."""
        return True

    def migrate(self, stream_state: Mapping[str, Any]) -> Mapping[str, Any]:
        """
        The state to read from, without a date if everything must be read: in a full refresh, and where the running
        command does not say that it is none. Raises DoceboError (config_error) if the state holds text that is not a
        date.
        """
        now = f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
        client = Client.of(self.config)
        if self.name not in client.incremental_streams:  # the CDK would skip all rows before the state
            if stream_state and client.selected_streams is None:
                client.warn(
                    f"Stream {self.name}: this command does not tell the sync mode, so the state is ignored and "
                    "everything is read. The command source-docebo reads incrementally."
                )
            return {_STARTED_AT: now}
        try:
            newest, started_at = (to_utc(stream_state.get(name)) for name in (self.cursor_field, _STARTED_AT))
        except ValueError:
            raise config_error(
                f"Stream {self.name}: the state of the last sync holds a value that is not a date. Clear the data of "
                "the stream, or start without the state, to read everything again."
            ) from None
        since = newest and min(newest, started_at or newest)
        if since and since <= now:
            return {self.cursor_field: since, _STARTED_AT: now}
        if stream_state:
            problem = "a date in the future" if since else "no date"
            client.warn_once(
                (self.name, "state"),
                f"Stream {self.name}: the state of the last sync holds {problem}, so everything is read again. If that "
                "happens at every sync, check the clock of this computer.",
            )
        return {_STARTED_AT: now}
