"""The requester: which requests a stream sends, and what each response means for its records."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, urlencode

import requests
from airbyte_cdk.models import FailureType, Level
from airbyte_cdk.sources.declarative.requesters.error_handlers.default_error_handler import DefaultErrorHandler
from airbyte_cdk.sources.declarative.requesters.http_requester import HttpRequester
from airbyte_cdk.sources.declarative.requesters.request_options import InterpolatedRequestOptionsProvider
from airbyte_cdk.sources.streams.http.error_handlers.response_models import ErrorResolution, ResponseAction
from airbyte_cdk.sources.types import StreamSlice

from source_docebo.authenticator import MAX_REJECTED, SharedTokenAuthenticator
from source_docebo.client import HEADERS, Attempt, Client
from source_docebo.errors import DoceboError, transient_error
from source_docebo.progress import StreamProgress, parent_keys
from source_docebo.responses import Page, PageToken, content_type, error_message, is_from_docebo, request_label

MAX_REJECTIONS = 10  # of one request: each token may be revoked while it is under way
MAX_PREFETCHED_BYTES = 16_000_000  # of each list

LogFormatter = Callable[[requests.Response], Any]


class UnreadableError(Exception):
    """Docebo does not know the parent (404), or does not let it be read. Holds the message, and whether it is a 404."""


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
        self.client = Client.of(self.config)
        self.progress = StreamProgress.of(self.client, self.name)
        self.max_tries = 1 + int(self.error_handler.max_retries or 0)
        key = parameters.get("primary_key", ())
        self.primary_key = [key] if isinstance(key, str) else list(key)
        self._shared_fields = parameters.get("shared_fields", ())
        selected = self.client.selected_streams
        self._is_selected = selected is None or self.name in selected

    def send_request(  # type: ignore[override]
        self,
        stream_slice: StreamSlice,
        request_params: Mapping[str, Any] | None = None,
        log_formatter: LogFormatter | None = None,
        **_: Any,
    ) -> Page | None:
        """
        A page; without records where there is nothing to read (a course without sessions, a group that was deleted
        during the sync). None if the stream has failed. Raises DoceboError if there is no such page.
        """
        if self.progress.failed and stream_slice.partition:
            return None
        params = {**(request_params or {})}
        token: PageToken | None = params.pop("page", None)
        if token and token.batches:
            batch = dict.fromkeys(stream_slice.partition, list(token.batches[0]))
            stream_slice = StreamSlice(partition=batch, cursor_slice={})
        query = urlencode(self._request_params(None, stream_slice, None, params), doseq=True)
        list_url = self._get_url(stream_slice=_quoted(stream_slice)) + (f"?{query}" if query else "")
        url = _numbered(list_url, token.number) if token else list_url
        token = token or PageToken()
        ahead = 0 if log_formatter else min(self.client.workers, MAX_PREFETCHED_BYTES // max(1, token.body_size))
        last = min(token.page_count, token.number + ahead)
        following = [_numbered(list_url, number) for number in range(token.number + 1, last + 1)]
        request = PageRequest(self, url, token, stream_slice, log_formatter)
        page = None
        try:
            page = self.progress.request(lambda: self._page(request, following))
        except DoceboError:
            if not self.progress.fail():
                return None  # another parent of this stream has said why
            raise
        finally:
            if page is None or token.next(page, None) is None:
                self.client.discard(following)
        return page

    def judge_error(self, response: requests.Response) -> ErrorResolution:
        """What a response without records means, by the error handler of the manifest."""
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

    def _page(self, request: "PageRequest", following: list[str]) -> Page:
        url, token = request.url, request.token

        def fetch(each: str) -> Page:
            return replace(request, url=each, in_order=each == url).send()

        try:
            found = self.client.page(url, following, fetch, self.shared)
            page = self._own(found)
            if not found.in_order and token.problem(page):
                # Only in its turn can a page be held against those before it: prefetched, it could not.
                page = self._own(self.client.page(url, (), fetch, self.shared, instead_of=found))
        except UnreadableError as error:
            return self._skip(url, request.stream_slice, *error.args)
        if problem := token.problem(page, last_try=True):
            raise transient_error(f"Stream {self.name}: {problem} ({request_label(url)}) Sync again later.")
        if page.lenient:
            self.client.warn_once(
                (self.name, "lenient"),
                f"Stream {self.name}: a response is not valid JSON ({request_label(url)}). Characters that cannot be "
                "read were replaced by U+FFFD, numbers by null. Logged once for each stream.",
            )
        return page

    def kept(self, page: Page, body: bytes) -> Page:
        """A page as it waits to be used: if several streams need it, what children need, and where the rest is."""
        if not self.shared:
            return page
        records = [{name: record[name] for name in self._shared_fields if name in record} for record in page.records]
        return replace(page, records=records, body=self.client.bodies.put(body) if self._is_selected else None)

    def _own(self, page: Page) -> Page:
        """What this requester needs of a page that was kept."""
        if self.for_children:
            return replace(page, records=[{**record} for record in page.records])
        return Page.parse(self.client.bodies.get(page.body), self.primary_key) if page.body else page

    def _skip(self, url: str, stream_slice: StreamSlice, message: str, gone: bool) -> Page:
        """A page without records. One of a batch must not cost the others: they are requested in two halves."""
        parents = parent_keys(stream_slice)
        if len(parents) > 1:
            half = len(parents) // 2
            return Page([], batches=(tuple(parents[:half]), tuple(parents[half:])))
        grouped = [f", {name} {keys[0]}" for name, keys in stream_slice.partition.items() if isinstance(keys, list)]
        self.progress.parent_skipped(request_label(url) + "".join(grouped), message, gone)
        return Page([])


@dataclass
class PageRequest:
    """One request for a page, from its first try to its last. In order, the page is held against those before it."""

    requester: DoceboRequester
    url: str
    token: PageToken
    stream_slice: StreamSlice
    log_formatter: LogFormatter | None
    in_order: bool = False
    _page: Page = field(default_factory=lambda: Page([]))
    _access_token: str = ""
    _sent_at: float = 0.0
    _rejections: int = 0  # of access tokens
    _accepted_before: int = 0  # requests of the sync, when the first of them was rejected
    _suspect: tuple[str, float] = ("", 0.0)  # a token that was rejected although it may be alive, and when

    def send(self) -> Page:
        """The page. Raises UnreadableError if its parent cannot be read, DoceboError if retrying does not help."""
        requester = self.requester
        response = requester.client.request(
            self._prepare,
            self._judge,
            self._describe,
            requester.max_tries,
            backoff=lambda tries: requester.error_handler.backoff_time(None, tries) or 0.0,
        )
        requester.progress.succeeded = True
        requester.authenticator.shared_token.accept(self._access_token, self._sent_at)
        return requester.kept(self._page, response.content)

    def _prepare(self) -> Attempt:
        progress, authenticator = self.requester.progress, self.requester.authenticator
        if progress.failed and self.stream_slice.partition:
            raise transient_error(f"Stream {self.requester.name} has failed.")
        self._access_token = token = authenticator.token
        self._sent_at = time.monotonic()
        request = requests.Request("GET", self.url, headers={**HEADERS, authenticator.auth_header: token})
        return Attempt(request, lambda: authenticator.shared_token.is_valid(token))

    def _judge(self, response: requests.Response, last_try: bool) -> ErrorResolution:
        if log_formatter := self.log_formatter:
            repository = self.requester.authenticator.message_repository
            repository.log_message(Level.DEBUG, lambda: log_formatter(response))
        resolution = self._judge_page(response, last_try) if response.ok else self.requester.judge_error(response)
        action, message = resolution.response_action, resolution.error_message or ""
        if action == ResponseAction.REFRESH_TOKEN_THEN_RETRY:
            return self._judge_rejection(resolution)
        if action == ResponseAction.IGNORE or (action == ResponseAction.FAIL and self.stream_slice.partition):
            raise UnreadableError(message, action == ResponseAction.IGNORE)
        return resolution

    def _judge_page(self, response: requests.Response, last_try: bool) -> ErrorResolution:
        try:
            self._page = page = Page.parse(response.content, self.requester.primary_key)
        except ValueError:
            size = len(response.content)
            problem: str | None = f"The response ({size} bytes, {content_type(response)}) holds no list of records."
        else:
            page.in_order = self.in_order
            problem = self.token.problem(page, last_try) if self.in_order else None
        if problem:
            return ErrorResolution(ResponseAction.RETRY, FailureType.transient_error, problem)
        return ErrorResolution(ResponseAction.SUCCESS)

    def _judge_rejection(self, resolution: ErrorResolution) -> ErrorResolution:
        """
        Of a token (401). The first time, another is tried. Then it may be the path that is at fault: that shows if the
        token is accepted for a later request.
        """
        shared = self.requester.authenticator.shared_token
        self._rejections += 1
        if self._rejections == 1:
            self._accepted_before = shared.accepted
        alone = shared.accepted == self._accepted_before  # nothing else was accepted meanwhile
        final = self._rejections >= MAX_REJECTIONS or (self._rejections > MAX_REJECTED and alone)
        if final or shared.was_accepted_after(*self._suspect):
            return replace(resolution, response_action=ResponseAction.FAIL)
        if self._rejections > 1 and shared.accepted and self._suspect[0] != self._access_token:
            self._suspect = self._access_token, time.monotonic()
            return replace(resolution, response_action=ResponseAction.RETRY)
        shared.reject(self._access_token, self.requester.name, resolution.error_message or "")
        return resolution

    def _describe(self, problem: str) -> str:
        return f"Stream {self.requester.name}: {problem} ({request_label(self.url)})"


def _quoted(stream_slice: StreamSlice) -> StreamSlice:
    """The partition for a path: a parent's key may hold any character."""
    keys = {name: quote(str(key), safe="") for name, key in stream_slice.partition.items()}
    dots = {name: key.replace(".", "%2E") if set(key) == {"."} else key for name, key in keys.items()}
    return StreamSlice(partition=dots, cursor_slice=stream_slice.cursor_slice)


def _numbered(url: str, number: int) -> str:
    return f"{url}{'&' if '?' in url else '?'}page={number}"
