"""
The custom components that manifest.yaml names. Each says why the CDK's own does not do.

The CDK builds them from the class's type hints: a field that the manifest sets must be annotated here. It calls their
methods with keywords only, so a signature names what it uses.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import InitVar, dataclass, field
from itertools import islice
from threading import Lock
from typing import Any, ClassVar
from urllib.parse import urlencode

import orjson
import requests
from airbyte_cdk.models import FailureType
from airbyte_cdk.sources.declarative.extractors.record_extractor import RecordExtractor
from airbyte_cdk.sources.declarative.extractors.type_transformer import TypeTransformer
from airbyte_cdk.sources.declarative.partition_routers.substream_partition_router import SubstreamPartitionRouter
from airbyte_cdk.sources.declarative.requesters.error_handlers.default_error_handler import DefaultErrorHandler
from airbyte_cdk.sources.declarative.requesters.http_requester import HttpRequester
from airbyte_cdk.sources.declarative.requesters.paginators.strategies.pagination_strategy import PaginationStrategy
from airbyte_cdk.sources.declarative.requesters.request_options import InterpolatedRequestOptionsProvider
from airbyte_cdk.sources.declarative.transformations import RecordTransformation
from airbyte_cdk.sources.streams.http.error_handlers.response_models import ErrorResolution, ResponseAction
from airbyte_cdk.sources.types import Config, StreamSlice

from source_docebo.authenticator import SharedTokenAuthenticator
from source_docebo.client import HEADERS, Client, logger
from source_docebo.errors import DoceboError, config_error, system_error, transient_error
from source_docebo.records import MissingKeyError, RecordNormalizer
from source_docebo.responses import Page, error_message, host, redirect_problem, request_label

MAX_TOKENS_PER_REQUEST = 10  # each may be revoked while the request is under way


@dataclass(kw_only=True)
class DoceboRequester(HttpRequester):
    """
    Sends every request for records, and is the one place where a response is judged.

    The built-in HttpRequester accepts any body as a page, logs the bodies of errors, gives up after 31 seconds of 429,
    lets each stream and each parent copy request the same pages again, one after the other, and costs 2 ms a request.
    """

    authenticator: SharedTokenAuthenticator
    error_handler: DefaultErrorHandler
    request_parameters: Mapping[str, Any] | None = None
    shared: bool = False  # several streams read these pages: they are kept until the sync ends

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        self.request_options_provider = InterpolatedRequestOptionsProvider(
            config=self.config, parameters=parameters or {}, request_parameters=self.request_parameters
        )
        super().__post_init__(parameters or {})
        self._client = Client.of(self.config)
        self._lock = Lock()
        self._failed = False
        self._succeeded = False
        self._missing = 0

    def send_request(  # type: ignore[override]
        self,
        stream_slice: StreamSlice | None = None,
        request_params: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> Page | None:
        """
        A page; None where there is nothing to read (a course without sessions, a group that was deleted during the
        sync). Raises DoceboError if there is no such response.
        """
        if self._failed:
            return None  # the stream has failed already: more requests would only cost
        params = dict(self._request_params(None, stream_slice, None, request_params))
        token: PageToken = params.pop("page", PageToken(0))
        url = self._get_url(stream_slice=stream_slice)
        url += f"?{urlencode(params, doseq=True)}" if params else ""
        parents = stream_slice.extra_fields.get(EachParentOnce.COUNT) if stream_slice else None
        following = [_numbered(url, number) for number in range(token.number + 1, token.page_count + 1)]
        page = None
        try:
            found = self._client.page(
                _numbered(url, token.number),
                following[: self._client.workers],
                lambda page_url: self._fetch(page_url, parents),
                self.shared,
            )
            page = Page.parse(found) if isinstance(found, bytes) else found
            if page and page.has_more and not token.number and (page.page_count or 0) > 1:
                raise system_error(
                    f"Stream {self.name}: {request_label(url)} answers in pages, of which the connector reads one "
                    "only. Please tell the connector's authors, and deselect the stream until then."
                )
        except DoceboError:
            self._failed = True
            raise
        finally:
            if page is None or page.has_more is False:
                self._client.discard(following)
        return page

    def _fetch(self, url: str, parents: int | None) -> Page | bytes | None:
        """A page, as bytes if several streams will parse it. Runs in a thread of the client."""
        token, tokens = "", 0
        page: Page | None = None

        def prepare() -> requests.Request:
            nonlocal token
            token = self.authenticator.get_access_token()
            return requests.Request("GET", url, headers={**HEADERS, "Authorization": f"Bearer {token}"})

        def judge(response: requests.Response) -> ErrorResolution:
            nonlocal page, tokens
            if response.ok and not _left(response):
                try:
                    page = Page.parse(response.content)
                except ValueError:
                    kind = response.headers.get("Content-Type", "no content type").split(";")[0]
                    message = f"The answer ({len(response.content)} bytes, {kind}) holds no list of records."
                    return ErrorResolution(ResponseAction.RETRY, FailureType.transient_error, message)
                return ErrorResolution(ResponseAction.SUCCESS)
            resolution = self._judge_error(response)
            if resolution.response_action == ResponseAction.REFRESH_TOKEN_THEN_RETRY:
                tokens += 1
                if tokens > MAX_TOKENS_PER_REQUEST or not self.authenticator.reject(token):
                    return ErrorResolution(ResponseAction.FAIL, FailureType.config_error, resolution.error_message)
            return resolution

        handler = self.error_handler
        response, resolution = self._client.request(
            prepare,
            judge,
            backoff=lambda tries: handler.backoff_time(None, tries) or 0.0,
            max_tries=1 + int(handler.max_retries or 0),
            describe=lambda problem: f"Stream {self.name}: {problem} ({request_label(url)})",
        )
        if resolution.response_action == ResponseAction.IGNORE:
            self._skip(url, resolution, parents)
            return None
        self._succeeded = True
        self._client.token.accept()
        return response.content if page and self.shared else page

    def _judge_error(self, response: requests.Response) -> ErrorResolution:
        if _left(response):
            return ErrorResolution(ResponseAction.FAIL, FailureType.config_error, redirect_problem(response.url))
        for response_filter in self.error_handler.response_filters or ():
            if resolution := response_filter.matches(response):
                return resolution
        # The error handler itself would show the body of a response that it does not know, personal data and all.
        message = f"Docebo answers with status {response.status_code}.{error_message(response)}"
        if response.status_code < 500:
            return ErrorResolution(ResponseAction.FAIL, FailureType.system_error, message)
        return ErrorResolution(ResponseAction.RETRY, FailureType.transient_error, message)

    def _skip(self, url: str, resolution: ErrorResolution, parents: int | None) -> None:
        """
        A single parent may be deleted during the sync. Three of them, or all if there are fewer, and no success: this
        platform does not serve the path.
        """
        with self._lock:
            self._missing += 1
            if self._missing >= (parents or 3) and not self._succeeded:
                raise config_error(
                    f"Stream {self.name}: Docebo answers 404 for everything that was asked ({request_label(url)} and "
                    "others): this platform does not serve it. Activate the app that it belongs to, or deselect the "
                    "stream."
                )
        logger.warning("Stream %s: %s Skipped: %s", self.name, resolution.error_message, request_label(url))


@dataclass
class PageExtractor(RecordExtractor):
    """The records of a page. DpathExtractor knows only one form of list, and costs 40 µs a record."""

    def extract_records(self, response: Page) -> Iterable[Mapping[str, Any]]:  # type: ignore[override]
        """The records of a page."""
        return response.records


@dataclass(frozen=True)
class PageToken:
    """A page number, and what the page before it said: the number of pages, or else (0) a hash of its records."""

    number: int
    page_count: int = 0
    previous_hash: int | None = None


@dataclass
class PageNumber(PaginationStrategy):
    """
    Goes on until Docebo says that there is no more. PageIncrement ends on a short page, CursorPagination trusts
    `has_more_data` for ever.
    """

    config: Config
    parameters: InitVar[Mapping[str, Any]]
    page_size: int
    initial_token: ClassVar[PageToken] = PageToken(1)

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        self._name = (parameters or {}).get("name", "")

    def next_page_token(  # type: ignore[override]
        self, response: Page, last_page_token_value: PageToken | None, **_: Any
    ) -> PageToken | None:
        """The token of the next page; None after the last. Raises DoceboError if the list has no end."""
        token = last_page_token_value or self.initial_token
        if response.is_last(token.number, self.page_size):
            return None
        if response.page_count is not None:
            return PageToken(token.number + 1, response.page_count)
        records_hash = hash(orjson.dumps(response.records))
        if records_hash == token.previous_hash:
            raise transient_error(
                f"Stream {self._name}: Docebo sends the same page again and again (pages {token.number - 1} and "
                f"{token.number} are equal, and the number of pages is not given): the list has no end. Sync again "
                "later; if it goes on, ask Docebo's support."
            )
        return PageToken(token.number + 1, 0, records_hash)

    def get_page_size(self) -> int | None:
        """Records on a page, at most."""
        return self.page_size


@dataclass
class EachParentOnce(SubstreamPartitionRouter):
    """
    A slice for each parent, once. The built-in repeats a parent that its list gave twice, as it does when rows move
    while pages are read; and does not say if there are so few that each of them may have been deleted.
    """

    COUNT: ClassVar[str] = "parents"  # extra field of a slice: the number of parents, if there are fewer than 3

    def stream_slices(self) -> Iterable[StreamSlice]:
        """The slices; those of one or two parents say so."""
        distinct = self._distinct()
        first = list(islice(distinct, 3))
        for stream_slice in first:
            count = {self.COUNT: len(first)} if len(first) < 3 else {}
            yield StreamSlice(partition=stream_slice.partition, cursor_slice={}, extra_fields=count)
        yield from distinct

    def _distinct(self) -> Iterator[StreamSlice]:
        seen = set()
        for stream_slice in super().stream_slices():
            key = orjson.dumps(_parent_key(stream_slice))
            if key not in seen:
                seen.add(key)
                yield stream_slice


@dataclass
class AddParentKey(RecordTransformation):
    """Adds the key of the parent that a record was read from. AddFields does the same for 60 µs a record."""

    def transform(self, record: dict[str, Any], stream_slice: StreamSlice | None = None, **_: Any) -> None:  # type: ignore[override]
        """Sets each field of the slice's partition on the record."""
        record.update(_parent_key(stream_slice))


@dataclass
class SchemaNormalizer(TypeTransformer):
    """
    Normalizes records to the stream's schema. The built-in normalization repairs no dates, turns no `[]` into `{}`, and
    costs 350 µs a record.
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
        except MissingKeyError as missing:
            raise system_error(
                f"Stream {self.name}: a record came without its key, the field {missing}. It has the fields "
                f"{', '.join(sorted(record))}. Docebo may have renamed it: please tell the connector's authors."
            ) from None

    def _report(self, path: str, expected: str, shape: str) -> None:
        self._client.warn_once(
            (self.name, path),
            f"Stream {self.name}: the field {path} holds something other than {expected}, of the form {shape}. It is "
            "told once; if it is frequent, Docebo may have changed its format.",
        )


def _parent_key(stream_slice: StreamSlice | None) -> dict[str, Any]:
    partition = stream_slice.partition if stream_slice else {}
    return {name: value for name, value in partition.items() if name != "parent_slice"}


def _numbered(url: str, number: int) -> str:
    return f"{url}&page={number}" if number else url


def _left(response: requests.Response) -> bool:
    """Whether redirects led to another host."""
    return bool(response.history) and host(response.url) != host(response.history[0].url)
