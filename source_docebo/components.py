"""
The custom components that manifest.yaml names, each saying why the CDK's own does not do.

The CDK builds them from the class's type hints: a field that the manifest sets must be annotated here.
"""

import logging
import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from concurrent.futures import TimeoutError as NoAnswerYet
from dataclasses import InitVar, dataclass, field
from itertools import islice
from threading import Lock
from typing import Any, ClassVar
from urllib.parse import urlencode

import orjson
import requests
from airbyte_cdk.models import FailureType
from airbyte_cdk.sources.declarative.auth.declarative_authenticator import DeclarativeAuthenticator
from airbyte_cdk.sources.declarative.auth.oauth import DeclarativeOauth2Authenticator
from airbyte_cdk.sources.declarative.extractors.record_extractor import RecordExtractor
from airbyte_cdk.sources.declarative.extractors.type_transformer import TypeTransformer
from airbyte_cdk.sources.declarative.interpolation.interpolated_mapping import InterpolatedMapping
from airbyte_cdk.sources.declarative.interpolation.interpolated_string import InterpolatedString
from airbyte_cdk.sources.declarative.partition_routers.substream_partition_router import SubstreamPartitionRouter
from airbyte_cdk.sources.declarative.requesters.error_handlers.backoff_strategy import BackoffStrategy
from airbyte_cdk.sources.declarative.requesters.error_handlers.default_error_handler import DefaultErrorHandler
from airbyte_cdk.sources.declarative.requesters.paginators.strategies.pagination_strategy import PaginationStrategy
from airbyte_cdk.sources.declarative.requesters.requester import HttpMethod, Requester
from airbyte_cdk.sources.declarative.transformations import RecordTransformation
from airbyte_cdk.sources.streams.http.error_handlers.response_models import ErrorResolution, ResponseAction
from airbyte_cdk.sources.types import Config, Record, StreamSlice, StreamState
from requests.utils import default_user_agent

from source_docebo.answers import (
    NoListError,
    Page,
    cause,
    host,
    json_object,
    page_of,
    retry_after_seconds,
    said,
    unparsed,
    where,
)
from source_docebo.calls import Calls
from source_docebo.conformity import Conformer, MissingKeyError
from source_docebo.failures import Failure, to_configure, transient, unexpected

logger = logging.getLogger("airbyte.source_docebo")

LONGEST_RETRYING_SECONDS = 300.0
MOST_TRIES_FOR_A_TOKEN = 20  # where Retry-After sets the waits
MOST_TOKENS_FOR_A_CALL = 10  # each may be revoked while the call is under way


@dataclass
class SharedTokenAuthenticator(DeclarativeOauth2Authenticator):
    """
    One access token for the whole sync. The built-in OAuthAuthenticator asks for one per stream and per parent, sets no
    timeout, and blames a refresh token that Docebo's grants do not have.

    Source: https://help.docebo.com/hc/en-us/articles/360020082180 (grants), docs/BEHAVIOR.md (answers).
    """

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        super().__post_init__(parameters)
        self._calls = Calls.of(self.config)

    def get_access_token(self) -> str:
        """The access token in force."""
        return self._calls.token.get(self._request_token)

    def refuse(self, token: str) -> bool:
        """Gives up a token that Docebo refused; False if it refuses every new one, so that another is no use."""
        return self._calls.token.refuse(token)

    def _request_token(self) -> tuple[str, float]:
        request = requests.Request(
            "POST", self.get_token_refresh_endpoint(), data=self.build_refresh_request_body(), headers=_HEADERS
        )
        attempt, waited, without_token = 0, 0.0, 0
        while True:
            attempt += 1
            try:
                response = self._calls.send(request)
            except requests.RequestException as error:
                problem, told = f"{host(request.url)} did not answer: {cause(error)}. Check base_url.", None
                waited += self._calls.read_timeout if isinstance(error, requests.Timeout) else 0
            else:
                status, answer, told = response.status_code, json_object(response), retry_after_seconds(response)
                if status == 200 and answer.get("access_token"):
                    return str(answer["access_token"]), _lifetime(answer)
                if status == 429:
                    continue
                if status < 500 and status != 408:
                    without_token += 1
                    if status != 200 or without_token > 2:
                        raise self._refusal(response, answer)
                problem = f"{host(request.url)} answered with status {status} and no token."
            pause = told or min(60.0, 2.0 ** (attempt - 1)) * random.uniform(0.8, 1)
            waited += 0 if told else pause
            problem = f"Signing in to Docebo failed. {problem}"
            if waited > LONGEST_RETRYING_SECONDS or attempt >= MOST_TRIES_FOR_A_TOKEN:
                raise transient(f"{problem} Tried {attempt} times. Sync again later.")
            logger.info("%s Trying again in %.1f seconds.", problem, pause)
            self._calls.clock.pause(pause, problem)

    def _refusal(self, response: requests.Response, answer: Mapping[str, Any]) -> Failure:
        error, status, grant = str(answer.get("error", "")), response.status_code, self.get_grant_type()
        if error == "invalid_client":
            why = "Docebo does not know this client_id with this client_secret. Copy both again from the OAuth app."
        elif error in ("invalid_grant", "access_denied") and grant == "password":
            why = "Docebo refuses this username with this password. Check both by signing in to the platform."
        elif error:
            why = (
                f"Docebo refuses the grant {grant} ({re.sub('[^a-z_]', '', error)[:40]}). Enable that grant type in "
                "the OAuth app (Settings, API and SSO), or choose the other one in the connection."
            )
        elif 300 <= status < 400:
            why = _redirected(response.headers.get("Location"))
        else:
            why = (
                f"{host(response.url)} answered with status {status} and no token: base_url seems not to be the "
                "address of a Docebo platform. Copy it from the browser's address bar."
            )
        return to_configure(f"Signing in to Docebo failed. {why}")


@dataclass
class RetryAfter(BackoffStrategy):
    """Waits as Retry-After tells. The built-in WaitTimeFromHeader reads no dates, and adds a second."""

    def backoff_time(
        self,
        response_or_exception: requests.Response | requests.RequestException | None,
        attempt_count: int,
    ) -> float | None:
        """Seconds to wait; None without the header."""
        if isinstance(response_or_exception, requests.Response):
            return retry_after_seconds(response_or_exception)
        return None


@dataclass
class DoceboRequester(Requester):
    """
    Makes every call of every stream, and is the one place where an answer is judged.

    The built-in HttpRequester takes any body for a page, gives up after 31 seconds of 429, lets each stream and each
    parent copy ask for the same pages again, reads the pages of a list one after the other, and costs 2 ms a call.
    """

    config: Config
    parameters: InitVar[Mapping[str, Any]]
    name: str
    url_base: str
    path: str
    authenticator: SharedTokenAuthenticator
    error_handler: DefaultErrorHandler
    request_parameters: Mapping[str, Any] | None = None
    shared: bool = False  # several streams read these pages: they are kept until the sync ends

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        self._calls = Calls.of(self.config)
        self._base = str(InterpolatedString.create(self.url_base, parameters=parameters or {}).eval(self.config))
        self._path = InterpolatedString.create(self.path, parameters=parameters or {})
        self._parameters = InterpolatedMapping(self.request_parameters or {}, parameters=parameters or {})
        self._page_counts: dict[str, int] = {}
        self._lock = Lock()
        self._failed = False
        self._answered = False
        self._missing = 0

    def send_request(
        self,
        stream_state: StreamState | None = None,
        stream_slice: StreamSlice | None = None,
        next_page_token: Mapping[str, Any] | None = None,
        path: str | None = None,
        request_headers: Mapping[str, Any] | None = None,
        request_params: Mapping[str, Any] | None = None,
        request_body_data: Mapping[str, Any] | str | None = None,
        request_body_json: Mapping[str, Any] | None = None,
        log_formatter: Any | None = None,
    ) -> requests.Response | None:
        """
        The answer that holds a page, or None where there is nothing to read (a course without sessions, a group that
        was deleted meanwhile). Raises Failure, for the person in the Airbyte UI, if there is no answer.
        """
        if self._failed:
            return None  # the stream has failed already: more calls would only cost
        params = {**self._parameters.eval(self.config, stream_slice=stream_slice), **(request_params or {})}
        page = int(params.pop("page", 0))
        address = f"{self._base}/{self._path.eval(self.config, stream_slice=stream_slice)}"
        if params:
            address += f"?{urlencode(params, doseq=True)}"
        parents = stream_slice.extra_fields.get(EachParentOnce.COUNT) if stream_slice else None
        try:
            response = self._page(address, page, lambda url: self._ask(url, parents))
        except Failure:
            self._failed = True
            self._expect_pages(address, page, 0)
            raise
        if page:
            self._expect_pages(address, page, page_of(response).last if response is not None else 0)
        elif response is not None and page_of(response).has_more and page_of(response).last > 1:
            raise unexpected(
                f"Stream {self.name}: {where(address)} answers in pages, of which the connector reads one only. Please "
                "tell the connector's authors, and deselect the stream until then."
            )
        return response

    def _page(
        self, address: str, page: int, ask: Callable[[str], requests.Response | None]
    ) -> requests.Response | None:
        def ask_for(number: int) -> tuple[str, Callable[[], requests.Response | None]]:
            url = f"{address}&page={number}" if number else address
            return url, lambda: ask(url)

        future = self._calls.page(*ask_for(page), keep=self.shared)
        last = min(self._page_counts.get(address, 0), page + self._calls.workers)
        for number in range(page + 1, last + 1):
            self._calls.read_ahead(*ask_for(number), keep=self.shared)
        remaining = self._calls.clock.remaining()
        try:
            response = future.result(None if remaining == float("inf") else max(0.0, remaining) + 1)
        except NoAnswerYet:
            raise transient(f"{host(address)} did not answer in time. Check base_url, or try again later.") from None
        return unparsed(response) if self.shared and response is not None else response

    def _expect_pages(self, address: str, page: int, last: int) -> None:
        """Notes how many pages a list has, after one of them was read; gives up those read ahead in vain."""
        for number in range(max(page, last) + 1, self._page_counts.pop(address, 0) + 1):
            self._calls.drop(f"{address}&page={number}")
        if last > page:
            self._page_counts[address] = last

    def _ask(self, url: str, parents: int | None) -> requests.Response | None:
        """Calls until there is an answer that can be judged for good."""
        tries = tokens = 0
        waited = 0.0
        while True:
            token = self.authenticator.get_access_token()
            headers = {**_HEADERS, "Authorization": f"Bearer {token}"}
            answer: requests.Response | requests.RequestException
            try:
                answer = self._calls.send(requests.Request("GET", url, headers=headers))
                resolution = self._judge(answer)
            except requests.RequestException as error:
                answer = error
                resolution = ErrorResolution(
                    ResponseAction.RETRY, FailureType.transient_error, f"Docebo did not answer: {cause(error)}."
                )
            action = resolution.response_action
            if action == ResponseAction.RATE_LIMITED:
                continue
            if action == ResponseAction.SUCCESS:
                self._answered = True
                self._calls.token.accept()
                if not isinstance(answer, requests.Response) or not answer.ok:
                    return None
                return unparsed(answer) if self.shared else answer
            if action == ResponseAction.IGNORE:
                self._skip(url, resolution, parents)
                return None
            if action == ResponseAction.REFRESH_TOKEN_THEN_RETRY and tokens < MOST_TOKENS_FOR_A_CALL:
                tokens += 1
                if self.authenticator.refuse(token):
                    continue
            if action != ResponseAction.RETRY:
                raise self._failure(url, resolution)
            tries += 1
            pause = self.error_handler.backoff_time(answer, tries) or 0.0
            if isinstance(answer, requests.Timeout):
                waited += self._calls.read_timeout
            elif not (isinstance(answer, requests.Response) and retry_after_seconds(answer)):
                waited += pause
            if tries > int(self.error_handler.max_retries or 0) or waited > LONGEST_RETRYING_SECONDS:
                raise self._failure(url, resolution, tries)
            problem = f"Stream {self.name}: {resolution.error_message} ({where(url)})"
            logger.info("%s Trying again in %.1f seconds.", problem, pause)
            self._calls.clock.pause(pause, problem)

    def _judge(self, response: requests.Response) -> ErrorResolution:
        if response.history and host(response.url) != host(response.history[0].url):
            return ErrorResolution(ResponseAction.FAIL, FailureType.config_error, _redirected(response.url))
        if not response.ok:
            for response_filter in self.error_handler.response_filters or ():
                if resolution := response_filter.matches(response):
                    return resolution
            # The error handler itself would tell the body of an answer that it does not know, persons and all.
            message = f"Docebo answers with status {response.status_code}.{said(response)}"
            if response.status_code < 500:
                return ErrorResolution(ResponseAction.FAIL, FailureType.system_error, message)
            return ErrorResolution(ResponseAction.RETRY, FailureType.transient_error, message)
        try:
            page_of(response)
        except NoListError:
            content_type = response.headers.get("Content-Type", "no content type").split(";")[0]
            return ErrorResolution(
                ResponseAction.RETRY,
                FailureType.transient_error,
                f"The answer ({len(response.content)} bytes, {content_type}) holds no list of records.",
            )
        return ErrorResolution(ResponseAction.SUCCESS)

    def _skip(self, url: str, resolution: ErrorResolution, parents: int | None) -> None:
        """
        A single parent may be deleted during the sync. Three of them, or all if there are fewer, and no answer: nobody
        serves this path.
        """
        with self._lock:
            self._missing += 1
            if self._missing >= (parents or 3) and not self._answered:
                raise to_configure(
                    f"Stream {self.name}: Docebo answers 404 for everything that was asked ({where(url)} and others): "
                    "this platform does not serve it. Activate the app that it belongs to, or deselect the stream."
                )
        logger.warning("Stream %s: %s Skipped: %s", self.name, resolution.error_message, where(url))

    def _failure(self, url: str, resolution: ErrorResolution, tries: int = 1) -> Failure:
        message = f"Stream {self.name}: {resolution.error_message} ({where(url)})"
        if tries > 1:
            message += f" Tried {tries} times."
        if resolution.response_action == ResponseAction.RETRY:
            message += " Sync again later; if it goes on, ask Docebo's support about this address."
        return Failure(message, resolution.failure_type or FailureType.system_error)

    def get_authenticator(self) -> DeclarativeAuthenticator:
        """The authenticator, as declared."""
        return self.authenticator

    def get_url(self, **_: Any) -> str:
        """Nothing: the CDK's newer way, in one piece, could not hold a path that is a parameter of the stream."""
        return ""

    def get_url_base(self, **_: Any) -> str:
        """The address of the platform."""
        return self._base

    def get_path(self, **_: Any) -> str:
        """The path, as declared."""
        return self.path

    def get_method(self) -> HttpMethod:
        """The connector only reads."""
        return HttpMethod.GET

    def get_request_params(self, **_: Any) -> MutableMapping[str, Any]:
        """Nothing beyond what send_request adds itself."""
        return {}

    def get_request_headers(self, **_: Any) -> Mapping[str, Any]:
        """Nothing beyond what send_request adds itself."""
        return {}

    def get_request_body_data(self, **_: Any) -> Mapping[str, Any]:
        """A GET has no body."""
        return {}

    def get_request_body_json(self, **_: Any) -> Mapping[str, Any]:
        """A GET has no body."""
        return {}


@dataclass
class ItemsExtractor(RecordExtractor):
    """Records from `data.items`, or from a bare `data`. DpathExtractor knows one of both, and costs 40 µs a record."""

    def extract_records(self, response: requests.Response) -> Iterable[MutableMapping[str, Any]]:
        """The records of a page."""
        return page_of(response).items


class PageToken(int):
    """A page's number, with the print of the page before it where only that can tell an endless list."""

    print_before: int | None = None


@dataclass
class PageNumber(PaginationStrategy):
    """
    Goes on until Docebo says that there is no more. PageIncrement ends on a short page, CursorPagination trusts
    `has_more_data` for ever; both take an answer without a list for the end.
    """

    config: Config
    parameters: InitVar[Mapping[str, Any]]
    page_size: int

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        self._name = (parameters or {}).get("name", "")

    @property
    def initial_token(self) -> Any | None:
        """Docebo counts pages from 1."""
        return PageToken(1)

    def next_page_token(
        self,
        response: requests.Response,
        last_page_size: int,
        last_record: Record | None,
        last_page_token_value: Any | None,
        page_size_override: int | None = None,
        stream_slice: StreamSlice | None = None,
    ) -> Any | None:
        """The number of the next page; None after the last. Raises Failure if the list cannot end."""
        page = page_of(response)
        current = last_page_token_value or PageToken(1)
        following = PageToken(current + 1)
        if page.page_count is not None:
            return following if current < page.page_count and page.has_more is not False else None
        if not (self._seems_to_go_on(page, current) if page.has_more is None else page.has_more):
            return None
        following.print_before = hash(orjson.dumps(page.items))
        if following.print_before == current.print_before:
            raise transient(
                f"Stream {self._name}: Docebo sends the same page again and again (pages {current - 1} and {current} "
                "are equal, and the number of pages is not given): the list has no end. Sync again later; if it goes "
                "on, ask Docebo's support."
            )
        return following

    def _seems_to_go_on(self, page: Page, current: int) -> bool:
        """Where nothing is said of more pages: by the number of records, or else because the page is full."""
        size = min(self.page_size, page.page_size or self.page_size)
        if page.total_count is not None:
            return current * size < page.total_count
        return len(page.items) >= size

    def get_page_size(self) -> int | None:
        """Records on a page, at most."""
        return self.page_size


@dataclass
class EachParentOnce(SubstreamPartitionRouter):
    """
    A slice for each parent, once. The built-in asks again for a parent that its list gave twice, as it does when rows
    move while pages are read; and does not tell if there are so few that each of them may have been deleted.
    """

    COUNT: ClassVar[str] = "parents"  # the extra field of a slice with the number of parents, if there are fewer than 3

    def stream_slices(self) -> Iterable[StreamSlice]:
        """The slices; those of one or two parents say so."""
        different = self._different()
        first = list(islice(different, 3))
        for stream_slice in first:
            count = {self.COUNT: len(first)} if len(first) < 3 else {}
            yield StreamSlice(partition=stream_slice.partition, cursor_slice={}, extra_fields=count)
        yield from different

    def _different(self) -> Iterator[StreamSlice]:
        seen = set()
        for stream_slice in super().stream_slices():
            key = orjson.dumps(_partition(stream_slice))
            if key not in seen:
                seen.add(key)
                yield stream_slice


@dataclass
class AddParentKey(RecordTransformation):
    """Adds the key of the parent that a record was read from. AddFields does the same for 60 µs a record."""

    def transform(
        self,
        record: dict[str, Any],
        config: Config | None = None,
        stream_state: StreamState | None = None,
        stream_slice: StreamSlice | None = None,
    ) -> None:
        """Sets each field of the slice's partition on the record."""
        record.update(_partition(stream_slice))


@dataclass
class SchemaConformity(TypeTransformer):
    """
    Makes records what the stream's schema says: dates mended, types as declared, keys there. The built-in
    normalization repairs no dates, turns no `[]` into `{}`, and costs 350 µs a record.
    """

    config: Config
    parameters: InitVar[Mapping[str, Any]]
    name: str = ""
    _conformer: Conformer | None = field(init=False, default=None)
    _schema: Mapping[str, Any] | None = field(init=False, default=None)

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        self._calls = Calls.of(self.config)

    def transform(self, record: dict[str, Any], schema: Mapping[str, Any]) -> None:
        """Changes the record in place. Raises Failure for a record without its key."""
        if self._conformer is None or self._schema is not schema:
            self._conformer, self._schema = Conformer(schema, self._report), schema
        try:
            self._conformer.conform(record)
        except MissingKeyError as missing:
            raise unexpected(
                f"Stream {self.name}: a record came without its key, the field {missing}. It has the fields "
                f"{', '.join(sorted(record))}. Docebo may have renamed it: please tell the connector's authors."
            ) from None

    def _report(self, path: str, expected: str, value: Any) -> None:
        if self._calls.first_time(self.name, path):
            logger.warning(
                "Stream %s: the field %s holds something other than %s, of the form %s. It is told once; if it is "
                "frequent, Docebo may have changed its format.",
                self.name,
                path,
                expected,
                _form(value),
            )


_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
    "User-Agent": f"source-docebo {default_user_agent()}",
}


def _partition(stream_slice: StreamSlice | None) -> dict[str, Any]:
    partition = stream_slice.partition if stream_slice else {}
    return {name: value for name, value in partition.items() if name != "parent_slice"}


def _redirected(target: str | None) -> str:
    address = host(target) or "another address"
    return f"base_url redirects to {address}. Set base_url to the address of the platform itself."


def _lifetime(answer: Mapping[str, Any]) -> float:
    try:
        return max(0.0, float(answer.get("expires_in", 3600)))
    except (TypeError, ValueError):
        return 3600.0


def _form(value: Any) -> str:
    """The shape of a value without its content, which may be somebody's: letters as a, digits as 9."""
    if isinstance(value, str):
        return re.sub(r"[^\W\d_]", "a", re.sub(r"\d", "9", value[:40]))
    return type(value).__name__
