"""
The custom components that manifest.yaml names, each saying why the built-in one is not enough.

The CDK builds them from the class's type hints: a field that the manifest sets must be annotated here. It calls their
methods with keywords only, so a signature names what it uses.
"""

from collections.abc import Iterable, Mapping
from dataclasses import InitVar, dataclass, field, replace
from typing import Any
from urllib.parse import quote, urlencode

import requests
from airbyte_cdk.models import FailureType
from airbyte_cdk.sources.declarative.extractors.record_extractor import RecordExtractor
from airbyte_cdk.sources.declarative.extractors.type_transformer import TypeTransformer
from airbyte_cdk.sources.declarative.partition_routers.substream_partition_router import SubstreamPartitionRouter
from airbyte_cdk.sources.declarative.requesters.error_handlers.default_error_handler import DefaultErrorHandler
from airbyte_cdk.sources.declarative.requesters.http_requester import HttpRequester
from airbyte_cdk.sources.declarative.requesters.paginators.strategies.pagination_strategy import PaginationStrategy
from airbyte_cdk.sources.declarative.requesters.request_options import InterpolatedRequestOptionsProvider
from airbyte_cdk.sources.declarative.schema import InlineSchemaLoader, SchemaLoader
from airbyte_cdk.sources.declarative.transformations import RecordTransformation
from airbyte_cdk.sources.streams.concurrent.default_stream import DefaultStream
from airbyte_cdk.sources.streams.http.error_handlers.response_models import ErrorResolution, ResponseAction
from airbyte_cdk.sources.types import Config, StreamSlice

from source_docebo.authenticator import MAX_REJECTED, SharedTokenAuthenticator
from source_docebo.client import HEADERS, Attempt, Client, RetryPolicy
from source_docebo.errors import DoceboError, system_error, transient_error
from source_docebo.progress import StreamProgress
from source_docebo.records import (
    UNDECLARED,
    InexactKeyError,
    MissingKeyError,
    RecordNormalizer,
    additional_field_properties,
)
from source_docebo.responses import (
    Page,
    PageToken,
    content_type,
    error_message,
    is_from_docebo,
    request_label,
)

MAX_TOKENS_PER_REQUEST = 5  # each may be revoked while the request is under way
MAX_PREFETCHED_BYTES = 16_000_000  # of each list
_TOKEN_TRIAL_SECONDS = 60.0


@dataclass(frozen=True)
class Unreadable:
    """What the requester has instead of a page where Docebo knows no such parent (404), or does not let it be read."""

    message: str
    gone: bool


@dataclass(frozen=True)
class SharedPage:
    """A page that several streams need: what children need of it, and the whole of it for its own stream."""

    kept: Page
    body: Any  # as the client's store of bodies gave it


@dataclass(kw_only=True)
class DoceboRequester(HttpRequester):
    """
    Sends every request for records, and is the one place where a response is judged.

    The built-in HttpRequester accepts any body as a page, logs the bodies of errors, gives up after 31 seconds of 429,
    and lets each stream and each parent copy request the same pages again, one after the other.
    """

    authenticator: SharedTokenAuthenticator
    error_handler: DefaultErrorHandler
    request_parameters: Mapping[str, Any] | None = None
    shared: bool = False  # several streams read these pages: they are requested once in a sync
    for_children: bool = False  # of a shared page only the stream's `shared_fields` are needed

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        parameters = parameters or {}
        self.request_options_provider = InterpolatedRequestOptionsProvider(
            config=self.config, parameters=parameters, request_parameters=self.request_parameters
        )
        super().__post_init__(parameters)
        self._client = Client.of(self.config)
        self._progress = _progress(self._client, self.name)
        self._primary_key = _listed(parameters.get("primary_key", ()))
        self._shared_fields = parameters.get("shared_fields", ())
        selected = self._client.selected_streams
        self._is_selected = selected is None or self.name in selected

    def send_request(  # type: ignore[override]
        self,
        stream_slice: StreamSlice | None = None,
        request_params: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> Page | None:
        """
        A page; without records where there is nothing to read (a course without sessions, a group that was deleted
        during the sync). None if the stream has failed. Raises DoceboError if there is no such page.
        """
        parents = _parent_key(stream_slice)
        if self._progress.failed and parents:
            return None
        params = {**(request_params or {})}
        token: PageToken = params.pop("page", None) or PageToken()
        if token.batch:
            stream_slice = StreamSlice(partition=dict.fromkeys(parents, list(token.batch)), cursor_slice={})
        url = self._get_url(stream_slice=_quoted(stream_slice))
        query = urlencode(self._request_params(None, stream_slice, None, params), doseq=True)
        url += f"?{query}" if query else ""
        last = min(token.page_count, token.number + self._prefetchable(token))
        tokens = {_numbered(url, n): replace(token, number=n) for n in range(token.number + 1, last + 1)}
        following = list(tokens)
        first = url if "page" not in (request_params or {}) else _numbered(url, token.number)
        page = None
        try:
            page = self._page(first, following, {**tokens, first: token}, bool(parents))
            if isinstance(page, Unreadable):
                page = self._skipped(page, first, _keys(stream_slice))
        except DoceboError:
            if not self._progress.fail() and parents:
                return None  # another parent of this stream has said why
            raise
        finally:
            if not isinstance(page, Page) or token.next(page, None) is None:
                self._client.discard(following)
        return page

    def _page(
        self, url: str, following: list[str], tokens: dict[str, PageToken], of_parent: bool
    ) -> "Page | Unreadable":
        def fetch(in_order: bool) -> Any:
            return lambda page_url: self._fetch(page_url, tokens[page_url], in_order, of_parent)

        found = self._client.page(url, following, fetch(in_order=False), self.shared)
        page = self._whole(found)
        if isinstance(page, Page) and tokens[url].problem(page):
            # Only in its turn can a page be held against those before it: prefetched, it could not.
            found = self._client.page(url, (), fetch(in_order=True), self.shared, instead_of=found)
            page = self._whole(found)
            if problem := tokens[url].problem(page, last_try=True) if isinstance(page, Page) else None:
                raise transient_error(f"Stream {self.name}: {problem} ({request_label(url)}) Sync again later.")
        if isinstance(page, Page) and page.lenient:
            self._client.warn_once(
                (self.name, "lenient"),
                f"Stream {self.name}: a response is not valid JSON ({request_label(url)}). Characters that cannot be "
                "read were replaced by U+FFFD, numbers by null. Logged once for each stream.",
            )
        return page

    def _whole(self, found: Any) -> "Page | Unreadable":
        """The page that this requester needs, of one that may be shared."""
        if not isinstance(found, SharedPage):
            return found if found is not None else Page([])
        if self.for_children:
            return replace(found.kept, records=[{**record} for record in found.kept.records])
        return Page.parse(self._client.bodies.get(found.body), self._primary_key)

    def _fetch(self, url: str, token: PageToken, in_order: bool, of_parent: bool) -> Any:
        """
        A page, a shared page, Unreadable, or None where there is nothing. Runs in a thread of the client. A page that
        is fetched in order is held against those before it, too.
        """
        page: Page | None = None
        unreadable: Unreadable | None = None
        used, rejections, problems, tries_token = "", 0, 0, False
        handler, progress = self.error_handler, self._progress
        max_tries = 1 + int(handler.max_retries or 0)

        def prepare() -> Attempt:
            nonlocal used
            if not tries_token:
                progress.token_accepted.wait(_TOKEN_TRIAL_SECONDS)
            if progress.failed and of_parent:
                raise transient_error(f"Stream {self.name} has failed.")
            used = token_value = self.authenticator.get_access_token()
            request = requests.Request("GET", url, headers={**HEADERS, "Authorization": f"Bearer {token_value}"})
            return Attempt(request, lambda: self.authenticator.shared_token.is_valid(token_value))

        def judge(response: requests.Response) -> ErrorResolution:
            nonlocal page, unreadable, rejections, problems, tries_token
            if response.ok:
                try:
                    page = Page.parse(response.content, self._primary_key)
                    last_try = problems >= max_tries - 1
                    problem = token.problem(page, last_try) if in_order else token.mismatch(page)
                except ValueError:
                    size = len(response.content)
                    problem = f"The response ({size} bytes, {content_type(response)}) holds no list of records."
                problems += 1
                if problem:
                    return ErrorResolution(ResponseAction.RETRY, FailureType.transient_error, problem)
                return ErrorResolution(ResponseAction.SUCCESS)
            resolution = self._judge_error(response)
            if resolution.response_action == ResponseAction.FAIL and of_parent:
                unreadable = Unreadable(resolution.error_message or "", gone=False)
                return ErrorResolution(ResponseAction.IGNORE)
            if resolution.response_action == ResponseAction.IGNORE:
                unreadable = Unreadable(resolution.error_message or "", gone=True)
            if resolution.response_action != ResponseAction.REFRESH_TOKEN_THEN_RETRY:
                return resolution
            rejections += 1
            self.authenticator.shared_token.reject(used, self.name, f"{resolution.error_message}")
            if progress.token_accepted.is_set() and not progress.succeeded:
                progress.token_accepted.clear()
                tries_token = True
            if rejections < (MAX_TOKENS_PER_REQUEST if progress.succeeded else MAX_REJECTED):
                return resolution
            return ErrorResolution(ResponseAction.FAIL, FailureType.config_error, resolution.error_message)

        try:
            response = self._client.request(
                prepare,
                judge,
                RetryPolicy(max_tries, lambda tries: handler.backoff_time(None, tries) or 0.0),
                describe=lambda problem: f"Stream {self.name}: {problem} ({request_label(url)})",
            )
        except DoceboError:
            progress.failed = progress.failed or (tries_token and of_parent)
            raise
        finally:
            if tries_token:
                progress.token_accepted.set()
        if unreadable:
            return unreadable
        progress.succeeded = True
        self.authenticator.shared_token.accept()
        if page is None or not self.shared:
            return page
        body = self._client.bodies.put(response.content) if self._is_selected else None
        return SharedPage(page.only(self._shared_fields), body)

    def _judge_error(self, response: requests.Response) -> ErrorResolution:
        status = response.status_code
        if status < 500 and status not in (401, 408, 425) and not is_from_docebo(response):
            message = f"Something in front of Docebo, such as a firewall, returned {status} ({content_type(response)})."
            return ErrorResolution(ResponseAction.RETRY, FailureType.transient_error, message)
        for response_filter in self.error_handler.response_filters or ():
            if resolution := response_filter.matches(response):
                return resolution
        # The error handler itself would show the body of a response that it does not know, personal data and all.
        message = f"Docebo returned status {status}.{error_message(response)}"
        if status < 500:
            return ErrorResolution(ResponseAction.FAIL, FailureType.system_error, message)
        return ErrorResolution(ResponseAction.RETRY, FailureType.transient_error, message)

    def _skipped(self, unreadable: Unreadable, url: str, parents: list[Any]) -> Page:
        """A page without records. One of a batch must not cost the others: they are requested in two halves."""
        if len(parents) > 1:
            half = len(parents) // 2
            return Page([], batches=(tuple(parents[:half]), tuple(parents[half:])))
        report = self._progress.parent_gone if unreadable.gone else self._progress.parent_unreadable
        report(request_label(url), unreadable.message)
        return Page([])

    def _prefetchable(self, token: PageToken) -> int:
        return min(self._client.workers, MAX_PREFETCHED_BYTES // max(1, token.body_size))


@dataclass
class PageExtractor(RecordExtractor):
    """The records of a page. DpathExtractor knows only one form of list, and costs 40 µs a record."""

    def extract_records(self, response: Page) -> Iterable[Mapping[str, Any]]:  # type: ignore[override]
        """The records of a page."""
        return response.records


@dataclass
class PageNumber(PaginationStrategy):
    """
    Goes on until a list has ended by its own word. PageIncrement ends on a short page, CursorPagination trusts
    `has_more_data` for ever.
    """

    config: Config
    parameters: InitVar[Mapping[str, Any]]
    page_size: int | None = None
    inject_on_first_request: bool = True

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        self._progress = _progress(Client.of(self.config), (parameters or {}).get("name", ""))

    @property
    def initial_token(self) -> PageToken | None:
        """The token of the first page; None where that is requested without a number."""
        return PageToken() if self.inject_on_first_request else None

    def next_page_token(  # type: ignore[override]
        self,
        response: Page,
        last_page_token_value: PageToken | None,
        stream_slice: StreamSlice | None = None,
        **_: Any,
    ) -> PageToken | None:
        """The token of the next page; None after the last. Raises DoceboError if the stream must fail at its end."""
        token = last_page_token_value or PageToken()
        following = (None if response.batches else token.next(response, self.page_size)) or token.next_batch(response)
        if following is None and _parent_key(stream_slice):
            self._progress.parents_read(len(_keys(stream_slice)))
        return following

    def get_page_size(self) -> int | None:
        """Records on a page, at most; None if Docebo is not told."""
        return self.page_size


@dataclass
class UniqueParentRouter(SubstreamPartitionRouter):
    """
    A partition for each parent, once. The built-in router repeats a parent that its list holds twice, as it does when
    rows move while pages are read; and its children go on when the list of parents has failed.
    """

    def stream_slices(self) -> Iterable[StreamSlice]:
        """The partitions. Raises DoceboError if the parents cannot be read."""
        progress = _progress(Client.of(self.config), self._parameters.get("name", ""))
        seen = set()
        try:
            for stream_slice in super().stream_slices():
                key = str(_parent_key(stream_slice))
                if key not in seen:
                    seen.add(key)
                    progress.parent_found()
                    yield stream_slice
        except DoceboError:
            progress.fail()
            raise
        progress.all_parents_found()


@dataclass
class AddParentKey(RecordTransformation):
    """Adds the key of the parent that a record was read from. AddFields does the same for 60 µs a record."""

    def transform(self, record: dict[str, Any], stream_slice: StreamSlice | None = None, **_: Any) -> None:  # type: ignore[override]
        """Sets each field of the partition on the record."""
        record.update(_parent_key(stream_slice))


@dataclass
class SchemaNormalizer(TypeTransformer):
    """
    Normalizes records to the stream's schema. The built-in normalization does not know Docebo's dates, turns no `[]`
    into `{}`, and costs 350 µs a record.
    """

    config: Config
    parameters: InitVar[Mapping[str, Any]]
    name: str = ""
    _normalizers: dict[int, RecordNormalizer] = field(init=False, default_factory=dict)

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        self._client = Client.of(self.config)

    def transform(self, record: dict[str, Any], schema: Mapping[str, Any]) -> None:
        """Changes the record in place. Raises DoceboError for a record without its key."""
        normalizer = self._normalizers.get(id(schema))
        if normalizer is None:
            normalizer = self._normalizers[id(schema)] = RecordNormalizer(schema, self._report)
        try:
            normalizer.normalize(record)
        except (MissingKeyError, InexactKeyError) as error:
            problem = "a record has no key" if isinstance(error, MissingKeyError) else "a record's key is no integer"
            if not _progress(self._client, self.name).fail():
                return  # another record of this stream has said so
            raise system_error(
                f"Stream {self.name}: {problem}, the field {error}. It has the fields {', '.join(sorted(record))}. "
                "Docebo may have renamed it: please tell the connector's authors."
            ) from None

    def _report(self, path: str, expected: str, shape: str) -> None:
        if expected == UNDECLARED:
            self._client.warn_once(
                (self.name, UNDECLARED),
                f"Stream {self.name}: the additional field {path} is not in the schema, so most destinations drop it. "
                "Refresh the schema of the connection.",
            )
            return
        self._client.warn_once(
            (self.name, path),
            f"Stream {self.name}: the field {path} contains a value that is not {expected} (shape: {shape}). Logged "
            "once per field; if it is frequent, Docebo may have changed its format.",
        )


@dataclass
class AdditionalFieldsSchemaLoader(SchemaLoader):
    """
    The schema of a stream, and in it the additional fields that a platform has defined. DynamicSchemaLoader knows
    neither required fields nor titles, and reads the first page only.
    """

    config: Config
    parameters: InitVar[Mapping[str, Any]]
    schema_loader: InlineSchemaLoader
    definitions_stream: DefaultStream
    _schema: Mapping[str, Any] | None = field(init=False, default=None)

    def get_json_schema(self) -> Mapping[str, Any]:
        """
        The schema. Raises DoceboError if the definitions cannot be read, unless the user has no right to (403) or the
        platform does not serve them (404): the schema is then without them.
        """
        if self._schema is None:
            schema = self.schema_loader.get_json_schema()
            properties = {**schema["properties"], **additional_field_properties(self._definitions())}
            self._schema = {**schema, "properties": properties}
        return self._schema

    def _definitions(self) -> list[Mapping[str, Any]]:
        stream = self.definitions_stream
        try:
            return [record.data for partition in stream.generate_partitions() for record in partition.read()]
        except DoceboError as error:
            if error.status_code not in (403, 404):
                raise
            Client.of(self.config).warn_once(
                (stream.name, "definitions"), f"{error} Additional fields are not declared, so most destinations drop them."
            )
            return []


def _progress(client: Client, stream: str) -> StreamProgress:
    return client.common(f"progress of {stream}", lambda: StreamProgress(stream))


def _parent_key(stream_slice: StreamSlice | None) -> dict[str, Any]:
    partition = stream_slice.partition if stream_slice else {}
    return {name: value for name, value in partition.items() if name != "parent_slice"}


def _keys(stream_slice: StreamSlice | None) -> list[Any]:
    """The keys of the parents of a partition: several if they are grouped."""
    return [key for keys in _parent_key(stream_slice).values() for key in _listed(keys)]


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _quoted(stream_slice: StreamSlice | None) -> StreamSlice | None:
    """The partition for a path: a parent's key may hold any character."""
    if stream_slice is None:
        return None
    keys = {name: quote(str(key), safe="") for name, key in _parent_key(stream_slice).items()}
    dots = {name: key.replace(".", "%2E") if set(key) == {"."} else key for name, key in keys.items()}
    return StreamSlice(partition=dots, cursor_slice=stream_slice.cursor_slice)


def _numbered(url: str, number: int) -> str:
    return f"{url}{'&' if '?' in url else '?'}page={number}"
