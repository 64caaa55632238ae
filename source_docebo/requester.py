"""The requester: which requests a stream sends, and what each response means for its records."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, urlencode

import requests
from airbyte_cdk.models import Level
from airbyte_cdk.sources.declarative.requesters.error_handlers.default_error_handler import DefaultErrorHandler
from airbyte_cdk.sources.declarative.requesters.http_requester import HttpRequester
from airbyte_cdk.sources.declarative.requesters.request_options import InterpolatedRequestOptionsProvider
from airbyte_cdk.sources.streams.http.error_handlers.response_models import ErrorResolution, ResponseAction
from airbyte_cdk.sources.types import StreamSlice

from source_docebo.authenticator import SharedTokenAuthenticator
from source_docebo.client import HEADERS, MAX_TRIES, Client, RetryError
from source_docebo.errors import DoceboError, RequestError
from source_docebo.progress import StreamProgress, parent_keys
from source_docebo.responses import Page, PageToken, error_message, is_from_docebo, request_label

MAX_TRIES_OF_BATCH = 3  # its halves are tried, too
MAX_REJECTIONS = 3  # of access tokens, for one request
MAX_PREFETCHED_BYTES = 16_000_000  # of each list
MAX_KEPT_BYTES = 1_000_000  # of a page until its own stream reads it; a larger one is requested again

LogFormatter = Callable[[requests.Response], Any]


@dataclass(kw_only=True)
class DoceboRequester(HttpRequester):
    """
    Sends the requests for the records of a stream. `AuthorizedRequest`, below, decides what each response means.

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
        self.progress = StreamProgress.of(self.client, self.name, parameters.get("reader", ""))
        key = parameters.get("primary_key", ())
        self.primary_key = [key] if isinstance(key, str) else list(key)
        self._shared_fields = parameters.get("shared_fields", ())
        selected = self.client.selected_streams
        self.is_selected = selected is None or self.name in selected

    def send_request(  # type: ignore[override]
        self,
        stream_slice: StreamSlice,
        request_params: Mapping[str, Any] | None = None,
        log_formatter: LogFormatter | None = None,
        **_: Any,
    ) -> Page | None:
        """
        A page; without records where there is nothing to read (a course without sessions, a parent that cannot be
        read). Raises DoceboError if the stream fails now; None for its other parents, once it has failed.
        """
        if stream_slice.partition and self.progress.error:
            return None
        params = {**(request_params or {})}
        numbered: PageToken | None = params.pop("page", None)
        token, size = numbered or PageToken(), params.get("page_size")
        if token.batches:
            batch = dict.fromkeys(stream_slice.partition, list(token.batches[0]))
            stream_slice = StreamSlice(partition=batch, cursor_slice={})
        query = urlencode(self._request_params(None, stream_slice, None, params), doseq=True)
        list_url = self._get_url(stream_slice=_quoted(stream_slice)) + (f"?{query}" if query else "")
        url = _numbered(list_url, token.number) if numbered else list_url
        ahead = 0 if log_formatter else min(self.client.workers, MAX_PREFETCHED_BYTES // max(1, token.body_size))
        last = min(token.page_count, token.number + ahead)
        following = [_numbered(list_url, number) for number in range(token.number + 1, last + 1)]
        page = None
        try:
            tries = MAX_TRIES_OF_BATCH if len(parent_keys(stream_slice)) > 1 else MAX_TRIES
            request = PageRequest(self, url, token, stream_slice, size, log_formatter=log_formatter, max_tries=tries)
            page = self._page(request, following)
        except DoceboError as error:
            if self.progress.fail(error) or not stream_slice.partition:  # each stream that reads a list must fail
                raise
            return None
        finally:
            if page is None or page.following is None or page.following.batches != token.batches:
                ends = range(token.number + 1, token.number + 1 + self.client.workers)  # prefetched before it ended
                self.client.discard(_numbered(list_url, number) for number in ends)
        return page

    def _page(self, request: "PageRequest", following: list[str]) -> Page:
        """The page, and the token of the next one. Raises DoceboError if the stream fails."""
        token, parents = request.token, parent_keys(request.stream_slice)
        try:
            page = self._checked(request, following)
        except RequestError as error:
            if not parents:
                raise
            if len(parents) > 1:  # one parent must not cost the others
                half = len(parents) // 2
                return Page([], following=token.next_batch(tuple(parents[:half]), tuple(parents[half:])))
            self.progress.parent_unreadable(request.label(), error)
            return Page([], following=token.next_batch())
        self.progress.succeeded = True
        page.following = token.next(page, request.page_size)
        if page.following is None:
            page.following = token.next_batch()
            if missing := token.missing(page):
                problem = f"the list announces {missing} more records than it returned ({request.label()})."
                advice = "If rows have moved while it was read, they come with the next full sync."
                self.client.warn_once((self.name, "missing"), f"Stream {self.name}: {problem} {advice}")
        return page

    def _checked(self, request: "PageRequest", following: list[str]) -> Page:
        """The page as this stream needs it, compared with those before. Raises RequestError if it cannot be read."""
        url, token, in_turn = request.url, request.token, replace(request, in_turn=True)
        future = self.client.page(url, in_turn.send, self.shared, again=token.number <= token.highest)
        self.client.prefetch(following, lambda each: replace(request, url=each).send())
        page: Page = future.result()
        # A page that was prefetched or shared came before its turn, and may hold only what children need.
        problem = token.problem(page, is_second=bool(in_turn.problem), page_size=request.page_size)
        if problem or not (page.is_whole or self.for_children):
            in_turn.problem = problem or ""
            page = self.client.page(url, in_turn.send, self.shared, again=True).result()
        if not self.shared:
            return page
        received = replace(page, records=self.reduced(page.records) if self.for_children else page.records)
        if not self.for_children:  # only children need it from here on
            page.records, page.is_whole = self.reduced(page.records), False
        return received

    def reduced(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Copies of the records, with the fields that children need."""
        return [{name: record[name] for name in self._shared_fields if name in record} for record in records]


@dataclass
class AuthorizedRequest:
    """One request with the access token of the sync, from its first try to its last."""

    requester: DoceboRequester
    url: str
    log_formatter: LogFormatter | None = field(default=None, kw_only=True)
    max_tries: int = field(default=MAX_TRIES, kw_only=True)
    problem: str = field(default="", kw_only=True)  # with an earlier response to this request
    _rejections: int = field(default=0, kw_only=True)  # of access tokens

    def send(self, is_file: bool = False) -> Any:
        """
        What `_parse` makes of the response. Raises RequestError if this request fails for good, DoceboError if all
        other requests would fail, too.
        """
        own, requester = (self._prepare, self._read, self._describe), self.requester
        return requester.client.request(requester.name, *own, self.max_tries, self.problem, is_file)

    def label(self) -> str:
        """Which request it is, for messages."""
        return request_label(self.url)

    def _prepare(self) -> tuple[requests.Request, float]:
        authenticator = self.requester.authenticator
        access_token, expires_at = authenticator.current_token()
        headers = {**HEADERS, authenticator.auth_header: access_token}
        return requests.Request("GET", self.url, headers=headers), expires_at

    def _read(self, response: requests.Response) -> Any:
        requester = self.requester
        if log_formatter := self.log_formatter:
            repository = requester.authenticator.message_repository
            repository.log_message(Level.DEBUG, lambda: log_formatter(response))
        if response.ok:
            return self._parse(response)
        status = response.status_code
        filters = requester.error_handler.response_filters or ()
        resolution = next(filter(None, (each.matches(response) for each in filters)), None) or ErrorResolution(
            # The error handler itself would show the body of a response that it does not know, personal data and all.
            ResponseAction.FAIL if status < 500 else ResponseAction.RETRY,
            error_message=f"Docebo returned status {status}.{error_message(response)}",
        )
        action, message = resolution.response_action, resolution.error_message or ""
        if action == ResponseAction.FAIL and not is_from_docebo(response):
            kind = response.headers.get("Content-Type", "no content type")
            raise RetryError(f"Something in front of Docebo, such as a firewall, returned {status} ({kind}).")
        if action == ResponseAction.SUCCESS:
            return Page([])
        if action == ResponseAction.RETRY:
            raise RetryError(message)
        if action == ResponseAction.REFRESH_TOKEN_THEN_RETRY:
            if self._rejections == MAX_REJECTIONS:
                raise DoceboError(self._describe(message), resolution.failure_type)
            self._rejections += 1
            rejected = response.request.headers[requester.authenticator.auth_header]
            requester.authenticator.shared_token.reject(rejected)
            raise RetryError
        raise RequestError(self._describe(message), resolution.failure_type, status)

    def _parse(self, response: requests.Response) -> Any:
        raise NotImplementedError

    def _describe(self, problem: str) -> str:
        return f"Stream {self.requester.name}: {problem} ({self.label()})"


@dataclass
class PageRequest(AuthorizedRequest):
    """The request for a page. In its turn, the page is compared with those before it."""

    token: PageToken
    stream_slice: StreamSlice
    page_size: int | None = None
    in_turn: bool = False

    def label(self) -> str:
        """Which request it is, for messages."""
        parents, label = parent_keys(self.stream_slice), request_label(self.url)
        if len(parents) == 1 and f"/{quote(str(parents[0]), safe='')}" not in label:  # it is among the parameters
            label += f", {next(iter(self.stream_slice.partition))} {parents[0]}"
        return label

    def _parse(self, response: requests.Response) -> Page:
        try:
            page = Page.parse(response.content, self.requester.primary_key)
        except ValueError:
            size, kind = len(response.content), response.headers.get("Content-Type", "no content type")
            raise RetryError(f"The response ({size} bytes, {kind}) holds no list of records.") from None
        if self.in_turn and (problem := self.token.problem(page, bool(self.problem), self.page_size)):
            self.problem = problem
            raise RetryError(problem)
        requester = self.requester
        if requester.for_children and (page.body_size > MAX_KEPT_BYTES or not requester.is_selected):
            page.records, page.is_whole = requester.reduced(page.records), False
        return page


def _quoted(stream_slice: StreamSlice) -> StreamSlice:
    """The partition for a path: a parent's key may hold any character."""
    keys = {name: quote(str(key), safe="") for name, key in stream_slice.partition.items()}
    return StreamSlice(partition=keys, cursor_slice=stream_slice.cursor_slice)


def _numbered(url: str, number: int) -> str:
    return f"{url}{'&' if '?' in url else '?'}page={number}"
