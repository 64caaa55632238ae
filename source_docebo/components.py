"""
The custom components that manifest.yaml names, each saying why the CDK's own does not do.

The CDK builds them from the class's type hints: a field that the manifest sets must be annotated here.
"""

import logging
import random
import re
from collections.abc import Iterable, Mapping, MutableMapping
from concurrent.futures import TimeoutError as NoAnswerYet
from dataclasses import InitVar, dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from threading import Lock
from typing import Any
from urllib.parse import urlencode, urlsplit

import orjson
import requests
from airbyte_cdk.models import FailureType
from airbyte_cdk.sources.declarative.auth.declarative_authenticator import DeclarativeAuthenticator
from airbyte_cdk.sources.declarative.auth.oauth import DeclarativeOauth2Authenticator
from airbyte_cdk.sources.declarative.extractors.record_extractor import RecordExtractor
from airbyte_cdk.sources.declarative.extractors.type_transformer import TypeTransformer
from airbyte_cdk.sources.declarative.interpolation.interpolated_mapping import InterpolatedMapping
from airbyte_cdk.sources.declarative.interpolation.interpolated_string import InterpolatedString
from airbyte_cdk.sources.declarative.requesters.error_handlers.backoff_strategy import BackoffStrategy
from airbyte_cdk.sources.declarative.requesters.error_handlers.default_error_handler import DefaultErrorHandler
from airbyte_cdk.sources.declarative.requesters.paginators.strategies.pagination_strategy import PaginationStrategy
from airbyte_cdk.sources.declarative.requesters.requester import HttpMethod, Requester
from airbyte_cdk.sources.declarative.transformations import RecordTransformation
from airbyte_cdk.sources.streams.http.error_handlers.response_models import ErrorResolution, ResponseAction
from airbyte_cdk.sources.types import Config, Record, StreamSlice, StreamState
from requests.utils import default_user_agent

from source_docebo.calls import Calls
from source_docebo.conformity import Conformer, MissingKeyError
from source_docebo.failures import Failure, to_configure, transient, unexpected
from source_docebo.pages import NoListError, Page, page_of

logger = logging.getLogger("airbyte.source_docebo")

LONGEST_RETRYING_SECONDS = 300.0


@dataclass
class SharedTokenAuthenticator(DeclarativeOauth2Authenticator):
    """
    One access token for the whole sync. The built-in OAuthAuthenticator asks for one per stream and per parent, sets no
    timeout, and blames a refresh token that Docebo's grants do not have.

    Source: https://help.docebo.com/hc/en-us/articles/360020082180 (grants), docs/BEHAVIOR.md (answers).
    """

    def token_in_force(self, refused: str | None = None) -> str:
        """The access token in force; a new one if that is the one Docebo refused."""
        return Calls.of(self.config).token.get(self._request_token, refused)

    def get_access_token(self) -> str:
        """The access token, for those parts of the CDK that sign requests themselves."""
        return self.token_in_force()

    def _request_token(self) -> tuple[str, float]:
        calls = Calls.of(self.config)
        request = requests.Request(
            "POST", self.get_token_refresh_endpoint(), data=self.build_refresh_request_body(), headers=_HEADERS
        )
        attempt, waited, pages_of_html = 0, 0.0, 0
        while True:
            attempt += 1
            try:
                response = calls.send(request, retry_after_seconds, allow_redirects=False)
            except requests.RequestException as error:
                problem, told = f"{_host(request.url)} did not answer: {_cause(error)}. Check base_url.", None
                waited += calls.read_timeout if isinstance(error, requests.Timeout) else 0
            else:
                status, answer, told = response.status_code, _json_object(response), retry_after_seconds(response)
                if status == 200 and answer.get("access_token"):
                    return str(answer["access_token"]), _lifetime(answer)
                if status == 429:
                    continue
                if status < 500 and status != 408:
                    pages_of_html += 1
                    if status != 200 or pages_of_html > 2:
                        raise self._refusal(response, answer)
                problem = f"{_host(request.url)} answered with status {status} and no token."
            pause = told or min(60.0, 2.0 ** (attempt - 1)) * random.uniform(0.8, 1)
            waited += 0 if told else pause
            problem = f"Signing in to Docebo failed. {problem}"
            if waited > LONGEST_RETRYING_SECONDS:
                raise transient(f"{problem} Tried {attempt} times. Sync again later.")
            logger.info("%s Trying again in %.1f seconds.", problem, pause)
            calls.clock.pause(pause, problem)

    def _refusal(self, response: requests.Response, answer: Mapping[str, Any]) -> Failure:
        error, status = str(answer.get("error", "")), response.status_code
        if error == "invalid_client":
            cause = "Docebo does not know this client_id with this client_secret. Copy both again from the OAuth app."
        elif error in ("invalid_grant", "access_denied") and self.get_grant_type() == "password":
            cause = "Docebo refuses this username with this password. Check both by signing in to the platform."
        elif error:
            cause = (
                f"Docebo refuses the grant {self.get_grant_type()} ({re.sub('[^a-z_]', '', error)[:40]}). Enable that "
                "grant type in the OAuth app (Settings, API and SSO), or choose the other one in the connection."
            )
        elif 300 <= status < 400:
            target = _host(response.headers.get("Location", "")) or "another address"
            cause = f"base_url redirects to {target}. Set base_url to the address of the platform itself."
        else:
            cause = (
                f"{_host(response.url)} answered with status {status} and no token: base_url seems not to be the "
                "address of a Docebo platform. Copy it from the browser's address bar."
            )
        message = f"Signing in to Docebo failed. {cause}"
        return to_configure(message)


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
        path = self._path.eval(self.config, stream_slice=stream_slice)
        address = f"{self._base}/{path}?{urlencode(params, doseq=True)}"
        try:
            response = self._page(address, page, read_ahead=page > 1)
        except Failure:
            self._failed = True
            self._expect_pages(address, page, 0)
            raise
        if page:
            self._expect_pages(address, page, _last_page(page_of(response)) if response is not None else 0)
        return response

    def _page(self, address: str, page: int, read_ahead: bool) -> requests.Response | None:
        def ask_for(number: int) -> tuple[str, Any]:
            full = f"{address}&page={number}" if number else address
            return full, lambda: self._ask(full)

        future = self._calls.page(*ask_for(page), keep=self.shared)
        if read_ahead:
            last = min(self._page_counts.get(address, 0), page + self._calls.workers)
            for number in range(page + 1, last + 1):
                self._calls.read_ahead(*ask_for(number), keep=self.shared)
        remaining = self._calls.clock.remaining()
        try:
            response = future.result(None if remaining == float("inf") else max(0.0, remaining) + 1)
        except NoAnswerYet:
            raise transient(f"{_host(address)} did not answer in time. Check base_url, or try again later.") from None
        return _unparsed(response) if self.shared and response is not None else response

    def _expect_pages(self, address: str, page: int, last: int) -> None:
        """Notes how many pages a list has, after one of them was read; gives up those read ahead in vain."""
        for number in range(max(page, last) + 1, self._page_counts.pop(address, 0) + 1):
            self._calls.drop(f"{address}&page={number}")
        if last > page:
            self._page_counts[address] = last

    def _ask(self, url: str) -> requests.Response | None:
        """Calls until there is an answer that can be judged for good."""
        attempt = renewals = 0
        waited = 0.0
        while True:
            token = self.authenticator.token_in_force()
            headers = {**_HEADERS, "Authorization": f"Bearer {token}"}
            answer: requests.Response | requests.RequestException
            try:
                answer = self._calls.send(requests.Request("GET", url, headers=headers), retry_after_seconds)
                resolution = self._judge(answer)
            except requests.RequestException as error:
                answer = error
                resolution = ErrorResolution(
                    ResponseAction.RETRY, FailureType.transient_error, f"Docebo did not answer: {_cause(error)}."
                )
            action = resolution.response_action
            if action == ResponseAction.RATE_LIMITED:
                continue
            if action == ResponseAction.SUCCESS:
                self._answered = True
                if not isinstance(answer, requests.Response) or not answer.ok:
                    return None
                return _unparsed(answer) if self.shared else answer
            if action == ResponseAction.IGNORE:
                self._skip(url, resolution)
                return None
            if action == ResponseAction.REFRESH_TOKEN_THEN_RETRY and renewals < 5:
                renewals += 1
                self.authenticator.token_in_force(refused=token)
                continue
            if action != ResponseAction.RETRY:
                raise self._failure(url, answer, resolution)
            attempt += 1
            pause = self.error_handler.backoff_time(answer, attempt) or 0.0
            if isinstance(answer, requests.Timeout):
                waited += self._calls.read_timeout
            elif not (isinstance(answer, requests.Response) and retry_after_seconds(answer)):
                waited += pause
            if attempt > int(self.error_handler.max_retries or 0) or waited > LONGEST_RETRYING_SECONDS:
                raise self._failure(url, answer, resolution, attempt)
            problem = f"Stream {self.name}: {resolution.error_message} ({_where(url)})"
            logger.info("%s Trying again in %.1f seconds.", problem, pause)
            self._calls.clock.pause(pause, problem)

    def _judge(self, response: requests.Response) -> ErrorResolution:
        if not response.ok:
            for response_filter in self.error_handler.response_filters or ():
                if resolution := response_filter.matches(response):
                    return resolution
            # The error handler itself would tell the body of an answer that it does not know, persons and all.
            action = ResponseAction.FAIL if response.status_code < 500 else ResponseAction.RETRY
            message = f"Docebo answers with status {response.status_code}."
            return ErrorResolution(action, FailureType.system_error, message)
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

    def _skip(self, url: str, resolution: ErrorResolution) -> None:
        """A single parent may be deleted during the sync; three and no answer mean that nobody serves this path."""
        with self._lock:
            self._missing += 1
            if self._missing >= 3 and not self._answered:
                raise to_configure(
                    f"Stream {self.name}: Docebo answers 404 for everything that was asked ({_where(url)} and others): "
                    "this platform does not serve it. Activate the app that it belongs to, or deselect the stream."
                )
        logger.warning("Stream %s: %s Skipped: %s", self.name, resolution.error_message, _where(url))

    def _failure(
        self,
        url: str,
        answer: requests.Response | requests.RequestException,
        resolution: ErrorResolution,
        attempts: int = 1,
    ) -> Failure:
        said = _said(answer) if isinstance(answer, requests.Response) else ""
        tried = f" Tried {attempts} times." if attempts > 1 else ""
        message = f"Stream {self.name}: {resolution.error_message}{said} ({_where(url)}){tried}"
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
        if page.has_more is None:  # nothing is said: a full page is the only sign that another follows
            full = len(page.items) >= min(self.page_size, page.page_size or self.page_size)
            following = following if page.items and full else None  # type: ignore[assignment]
        elif not page.has_more:
            return None
        if following is not None:
            following.print_before = hash(orjson.dumps(page.items))
            if following.print_before == current.print_before:
                raise transient(
                    f"Stream {self._name}: Docebo sends the same page again and again (pages {current - 1} and "
                    f"{current} are equal, and the number of pages is not given): the list has no end. "
                    "Sync again later; if it goes on, ask Docebo's support."
                )
        return following

    def get_page_size(self) -> int | None:
        """Records on a page, at most."""
        return self.page_size


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


def retry_after_seconds(response: requests.Response) -> float | None:
    """What the Retry-After header tells, in seconds or as a date; None if it tells nothing."""
    text = response.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return max(0.0, (moment - datetime.now(timezone.utc)).total_seconds())


def _partition(stream_slice: StreamSlice | None) -> dict[str, Any]:
    partition = stream_slice.partition if stream_slice else {}
    return {name: value for name, value in partition.items() if name != "parent_slice"}


def _last_page(page: Page) -> int:
    """What a page says about the number of pages; 0 if nothing, or if it is the last itself."""
    return 0 if page.has_more is False else page.page_count or 0


def _unparsed(response: requests.Response) -> requests.Response:
    """The same answer as bytes only: those that are kept must not hold a sync's worth of parsed records."""
    copied = requests.Response()
    copied.status_code, copied.headers, copied.url = response.status_code, response.headers, response.url
    copied._content = response.content
    return copied


def _json_object(response: requests.Response) -> dict[str, Any]:
    try:
        body = orjson.loads(response.content)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _lifetime(answer: Mapping[str, Any]) -> float:
    try:
        return max(0.0, float(answer.get("expires_in", 3600)))
    except (TypeError, ValueError):
        return 3600.0


def _said(response: requests.Response) -> str:
    """Docebo's own words; `message` is a list."""
    words = _json_object(response).get("message")
    text = " ".join(str(word) for word in words) if isinstance(words, list) else words
    return f" Docebo says: {text[:200]}" if isinstance(text, str) and text else ""


def _cause(error: requests.RequestException) -> str:
    if isinstance(error, requests.Timeout):
        return "it took too long"
    if isinstance(error, requests.exceptions.SSLError):
        return "the certificate of the host is not valid"
    if "NameResolution" in str(error) or "getaddrinfo" in str(error):
        return "the host name does not exist"
    if "refused" in str(error):
        return "the connection was refused"
    return "the connection broke off"


def _host(url: str | None) -> str:
    return urlsplit(url or "").netloc


def _where(url: str) -> str:
    """Path and page, without the ids of a long query."""
    parts = urlsplit(url)
    page = re.search(r"(?:^|&)page=(\d+)", parts.query)
    return f"GET {parts.path}, page {page[1]}" if page else f"GET {parts.path}"


def _form(value: Any) -> str:
    """The shape of a value without its content, which may be somebody's: letters as a, digits as 9."""
    if isinstance(value, str):
        return re.sub(r"[^\W\d_]", "a", re.sub(r"\d", "9", value[:40]))
    return type(value).__name__
