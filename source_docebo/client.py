"""The requests of one sync: budget, rate limit and retries around each of them, shared and prefetched pages."""

import contextlib
import json
import os
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import TimeoutError as DeadlineExceeded
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from tempfile import SpooledTemporaryFile
from threading import Lock, Thread
from typing import Any, ClassVar, TypeVar
from weakref import WeakValueDictionary

import requests
from airbyte_cdk.models import FailureType
from airbyte_cdk.sources.streams.http.error_handlers.response_models import ErrorResolution, ResponseAction
from airbyte_cdk.utils.constants import ENV_REQUEST_CACHE_PATH
from requests.utils import default_user_agent

from source_docebo.errors import DoceboError, config_error, logger, transient_error
from source_docebo.rate_limit import HourlyBudget, RateLimitGate
from source_docebo.responses import host, retry_after_seconds
from source_docebo.transport import (
    READ_TIMEOUT_SECONDS,
    Session,
    connection_problem,
    permanent_problem,
    redirect_target,
)

CONNECT_TIMEOUT_SECONDS = 10.0
MAX_RETRYING_SECONDS = 300.0  # for all tries of a request, waits that Retry-After asks for excepted
HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
    "User-Agent": f"source-docebo {default_user_agent()}",
}
ABANDONED = "The read was abandoned."
COMMAND = "__command"  # the field of the configuration in which the source tells about the running command

_Result = TypeVar("_Result")


@dataclass
class Attempt:
    """A request that is ready to be sent, and whether that still makes sense (an access token may have expired)."""

    request: requests.Request
    is_current: Callable[[], bool] = lambda: True
    sent_at: float = 0.0  # by the monotonic clock, once it was


class Client:
    """Shared by all streams of a sync: one session, one rate limit, `num_workers` requests at a time."""

    _running: ClassVar["WeakValueDictionary[str, Client]"] = WeakValueDictionary()
    _building: ClassVar[Lock] = Lock()

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Client":
        """
        The client of the running command. The CDK builds each stream, and each parent inside a child, on its own; what
        they have in common is the configuration, and the directory that the CDK creates for each command.
        """
        key = json.dumps([config, os.environ.get(ENV_REQUEST_CACHE_PATH)], sort_keys=True, default=str)
        with cls._building:
            client = cls._running.get(key)
            if client is None:
                client = cls._running[key] = cls(config)
            return client

    def __init__(self, config: Mapping[str, Any]) -> None:
        command = config.get(COMMAND)
        command = command if isinstance(command, Mapping) else {}  # the Connector Builder has its own
        self.workers = int(config["num_workers"])
        # The fields of each selected stream, by the catalog of a read; None where there is none.
        self.selected_streams: Mapping[str, list[str]] | None = command.get("streams")
        self._deadline = time.monotonic() + command.get("deadline_seconds", float("inf"))
        self._gate = RateLimitGate(self._wait)
        self._budget = HourlyBudget(int(config.get("calls_per_hour") or 0), self._wait)
        self._lock = Lock()
        self._common: dict[str | tuple[str, ...], Any] = {}
        self._shared: dict[str, Future[Any]] = {}
        self._prefetched: dict[str, Future[Any]] = {}
        self._pending: set[Future[Any]] = set()
        self._closed = False
        self.bodies = BodyStore()
        self._session = Session(self.workers)
        # Read once: requests looks through the environment for proxies and certificates at every request.
        self._settings = self._session.merge_environment_settings(config["base_url"], {}, False, None, None)
        self._tasks: SimpleQueue[tuple[Future[Any], Callable[[str], Any], str] | None] = SimpleQueue()
        for _ in range(self.workers):
            Thread(target=_fetch_pages, args=(self._tasks,), daemon=True).start()
        weakref.finalize(self, self._tasks.put, None)  # ends the threads

    def common(self, name: str | tuple[str, ...], create: Callable[[], _Result]) -> _Result:
        """What the components of this sync have in common under a name, created on first use."""
        if name not in self._common:  # without the lock, for which all threads would wait
            with self._lock:
                if name not in self._common:
                    self._common[name] = create()
        found: _Result = self._common[name]
        return found

    def warn_once(self, key: tuple[str, ...], message: str) -> None:
        """Logs a warning, unless one with this key was logged in this sync."""
        self.common(key, partial(logger.warning, message))

    def page(
        self, url: str, following: Iterable[str], fetch: Callable[[str], Any], share: bool, instead_of: Any = None
    ) -> Any:
        """
        What `fetch` returns for the URL. Fetches the `following` URLs too, as long as no more than `num_workers` such
        pages wait to be used. Shared pages are kept until the sync ends. `instead_of`: a page that is of no use.
        """
        with self._lock:
            if self._closed:
                raise transient_error(ABANDONED)
            future = self._shared.get(url) or self._prefetched.pop(url, None)
            if future is None or (instead_of is not None and future.done() and future.result() is instead_of):
                future = self._submit(fetch, url)
            if share:
                self._shared[url] = future
            for next_url in following:
                known = next_url in self._shared or next_url in self._prefetched
                if not known and len(self._prefetched) < self.workers:
                    (self._shared if share else self._prefetched)[next_url] = self._submit(fetch, next_url)
        remaining = self._deadline - time.monotonic()
        try:
            return future.result(None if remaining == float("inf") else max(0.0, remaining) + 1)
        except DeadlineExceeded:
            raise transient_error(f"{host(url)} did not respond in time. Check base_url, or try again later.") from None

    def discard(self, urls: Iterable[str]) -> None:
        """Drops prefetched pages."""
        with self._lock:
            for future in filter(None, [self._prefetched.pop(url, None) for url in urls]):
                future.cancel()

    def close(self) -> None:
        """Ends every wait for a page, so that an abandoned read does not keep the process alive."""
        with self._lock:
            self._closed = True
        for future in list(self._pending):
            with contextlib.suppress(InvalidStateError):
                future.set_exception(transient_error(ABANDONED))

    def request(
        self,
        prepare: Callable[[], Attempt],
        judge: Callable[[requests.Response, bool], ErrorResolution],
        describe: Callable[[str], str],
        max_tries: int,
        backoff: Callable[[int], float],
    ) -> requests.Response:
        """
        Sends a request until `judge` finds a response final (SUCCESS or IGNORE), and returns that. `judge` also gets
        whether it is the last try. REFRESH_TOKEN_THEN_RETRY prepares and sends it again at once, RETRY after `backoff`
        seconds for the n-th failure. Raises DoceboError for any other action, or if retrying does not help.
        """
        tries, spent, asked_for = 0, 0.0, 0.0
        redirects: list[str] = []
        while True:
            attempt, status, retry_after = prepare(), None, 0.0
            attempt.request.url = redirects[-1] if redirects else attempt.request.url
            try:
                response = self._gate.send(partial(self._send, attempt), attempt.request.method == "GET")
                if response is None:
                    continue
                if response.is_redirect:
                    redirects.append(redirect_target(response, redirects))
                    continue
                resolution = judge(response, tries + 1 >= max_tries)
                if resolution.response_action in (ResponseAction.SUCCESS, ResponseAction.IGNORE):
                    return response
                status, retry_after = response.status_code, retry_after_seconds(response)
            except DoceboError as error:
                raise DoceboError(describe(str(error)), error.failure_type or FailureType.system_error) from None
            except OSError as error:  # the exceptions of requests are OSErrors too
                if permanent := permanent_problem(error):
                    raise config_error(describe(permanent)) from None
                message = f"{host(attempt.request.url)} did not respond: {connection_problem(error)}. Check base_url."
                resolution = ErrorResolution(ResponseAction.RETRY, FailureType.transient_error, message)
            redirects.clear()
            action, problem = resolution.response_action, describe(resolution.error_message or "")
            if action == ResponseAction.REFRESH_TOKEN_THEN_RETRY:
                continue
            if action != ResponseAction.RETRY:
                raise DoceboError(problem, resolution.failure_type or FailureType.system_error, status_code=status)
            tries += 1
            pause = max(backoff(tries), retry_after)
            spent += time.monotonic() - attempt.sent_at + pause - retry_after
            too_long = (tries > 1 and spent > MAX_RETRYING_SECONDS) or (retry_after and asked_for >= 3600)
            if tries >= max_tries or too_long:
                raise transient_error(
                    f"{problem} Tried {tries} times. Sync again later; if it goes on, ask Docebo's support."
                )
            asked_for += retry_after
            logger.info("%s Retrying in %.1f seconds.", problem, pause)
            self._wait(pause, problem)

    def _send(self, attempt: Attempt) -> requests.Response | None:
        """Sends once, within the hourly budget; None if that made no sense any more after the wait for it."""
        if not self._budget.take(attempt.is_current):
            return None
        attempt.sent_at = time.monotonic()
        prepared = attempt.request.prepare()
        if "%2E" in str(attempt.request.url):
            prepared.url = attempt.request.url  # requests would decode the dots of a parent's key
        remaining = max(1.0, self._deadline - attempt.sent_at)
        timeout = (min(CONNECT_TIMEOUT_SECONDS, remaining), min(READ_TIMEOUT_SECONDS, remaining))
        return self._session.send(prepared, timeout=timeout, allow_redirects=False, **self._settings)

    def _wait(self, seconds: float, problem: str) -> None:
        if time.monotonic() + seconds > self._deadline:
            raise transient_error(f"{problem} Not enough time left to retry. Try again later.")
        time.sleep(seconds)

    def _submit(self, fetch: Callable[[str], Any], url: str) -> "Future[Any]":
        future: Future[Any] = Future()
        self._pending.add(future)
        future.add_done_callback(self._pending.discard)
        self._tasks.put((future, fetch, url))
        return future


class BodyStore:
    """Bodies of shared pages, until their own stream reads them: in memory, and beyond 8 MB in a temporary file."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._file: Any = SpooledTemporaryFile(max_size=8_000_000)  # noqa: SIM115

    def put(self, body: bytes) -> tuple[int, int] | bytes:
        """Where the body is kept: the body itself if there is no directory or space for a file."""
        with self._lock:
            try:
                place = self._file.seek(0, os.SEEK_END), len(body)
                self._file.write(body)
            except OSError:
                return body
            return place

    def get(self, place: tuple[int, int] | bytes) -> bytes:
        """The body that `put` gave this place."""
        if isinstance(place, bytes):
            return place
        with self._lock:
            self._file.seek(place[0])
            body: bytes = self._file.read(place[1])
            return body


def _fetch_pages(tasks: "SimpleQueue[Any]") -> None:
    """One of the client's threads. It is a daemon: others keep the process alive through a wait of an hour."""
    while task := tasks.get():
        future, fetch, url = task
        with contextlib.suppress(InvalidStateError):  # the page was discarded, or the client closed
            if not future.done():
                try:
                    future.set_result(fetch(url))
                except BaseException as error:
                    future.set_exception(error)
        del task, future, fetch  # they would keep the client alive
    tasks.put(None)  # for the next thread
