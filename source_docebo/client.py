"""The requests of one sync: one loop around each (budget, rate limit, retries), shared and prefetched pages."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from threading import Lock
from typing import Any, ClassVar, TypeVar
from weakref import WeakValueDictionary

import requests
from airbyte_cdk.models import FailureType
from requests.utils import default_user_agent

from source_docebo.errors import RequestError, config_error, logger, mask, transient_error
from source_docebo.rate_limit import HourlyBudget, RateLimitGate, backoff_seconds
from source_docebo.responses import host, retry_after_seconds
from source_docebo.transport import (
    CONNECT_TIMEOUT_SECONDS,
    READ_TIMEOUT_SECONDS,
    Session,
    connection_problem,
    wrong_setting,
)

MAX_TRIES = 9  # with the waits between them, four to five minutes
TRY_LATER = "Try again later; if it persists, contact Docebo support."
HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
    "User-Agent": f"source-docebo {default_user_agent()}",
}
COMMAND = "__command"  # the field of the configuration in which the source describes the running command

_Result = TypeVar("_Result")


class RetryError(Exception):
    """A response is not what was requested: try again. Without a message, at once, since the token has expired."""


class Client:
    """
    Shared by all streams of a sync: one session, one rate limit, and `num_workers` threads of its own. These send the
    requests for pages; the CDK's workers wait for the pages that they need.
    """

    _running: ClassVar["WeakValueDictionary[str, Client]"] = WeakValueDictionary()
    _building: ClassVar[Lock] = Lock()

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Client":
        """
        The client of the running command. The CDK builds each stream, and each parent inside a child, on its own; what
        they have in common is the configuration, in which the source identifies the command.
        """
        key = json.dumps(config, sort_keys=True, default=str)
        with cls._building:
            client = cls._running.get(key)
            if client is None:
                client = cls._running[key] = cls(config)
            return client

    def __init__(self, config: Mapping[str, Any]) -> None:
        mask()  # again for each command: the CDK's entrypoint replaces the list
        command = config.get(COMMAND)
        command = command if isinstance(command, Mapping) else {}  # the Connector Builder has its own
        self.workers = int(config["num_workers"])
        # The fields of each selected stream, by the catalog of a read; None where there is none.
        self.selected_streams: Mapping[str, list[str]] | None = command.get("streams")
        self.incremental_streams: list[str] = command.get("incremental", [])
        self.accepted = False  # a request was served: base_url and the settings of the network are right
        self.max_unreadable_parents = int(config.get("max_unreadable_parents") or 0)
        self.requests_sent: Counter[str] = Counter()  # by stream; those for access tokens under ""
        self.retries = self.warnings = 0
        self.seconds_limited = 0.0  # by Docebo's rate limit and calls_per_hour
        self._deadline = time.monotonic() + float(command.get("seconds", "inf"))
        self._gate = RateLimitGate(self._wait_for_limit)
        self._budget = HourlyBudget(int(config.get("calls_per_hour") or 0), self._wait_for_limit)
        self._lock = Lock()
        self._common: dict[str | tuple[str, ...], Any] = {}
        self._shared: dict[str, Future[Any]] = {}
        self._prefetched: dict[str, Future[Any]] = {}
        self._session = Session(self.workers)
        # Read once: requests looks through the environment for proxies and certificates at every request.
        self._settings = self._session.merge_environment_settings(config["base_url"], {}, False, None, None)
        self._executor = ThreadPoolExecutor(self.workers)

    def common(self, name: str | tuple[str, ...], create: Callable[[], _Result]) -> _Result:
        """What the components of this sync have in common under a name, created on first use."""
        with self._lock:
            if name not in self._common:
                self._common[name] = create()
            found: _Result = self._common[name]
            return found

    def warn_once(self, key: tuple[str, ...], message: str) -> None:
        """Logs a warning, unless one with this key was logged in this sync."""
        self.common(key, partial(self.warn, message))

    def warn(self, message: str) -> None:
        """Logs a warning."""
        self.warnings += 1
        logger.warning(message)

    def page(self, url: str, fetch: Callable[[], Any], share: bool = False, again: bool = False) -> "Future[Any]":
        """
        The page that was prefetched, or else what `fetch` returns. A shared page is kept until the sync ends, for all
        streams that need it; `again` requests it once more.
        """
        with self._lock:
            future = self._prefetched.pop(url, None) or (None if again else self._shared.get(url))
            if future is None:
                future = self._executor.submit(fetch)
            if share:
                self._shared[url] = future
            return future

    def prefetch(self, urls: Iterable[str], fetch: Callable[[str], Any]) -> None:
        """Fetches these pages, as long as no more than `num_workers` such pages wait to be used."""
        with self._lock:
            for url in urls:
                if len(self._prefetched) < self.workers and url not in self._prefetched and url not in self._shared:
                    self._prefetched[url] = self._executor.submit(fetch, url)

    def discard(self, urls: Iterable[str]) -> None:
        """Drops prefetched pages."""
        with self._lock:
            for future in filter(None, [self._prefetched.pop(url, None) for url in urls]):
                future.cancel()

    def request(
        self,
        stream: str,
        prepare: Callable[[], tuple[requests.Request, float]],
        read: Callable[[requests.Response], _Result],
        describe: Callable[[str], str],
        max_tries: int = MAX_TRIES,
        problem: str = "",
        is_file: bool = False,
    ) -> _Result:
        """
        Sends the request that `prepare` returns, and returns what `read` makes of the response. Both are called again
        while there is no response or `read` raises RetryError. Raises RequestError after the last try, and whatever
        else they raise; `describe` says which request the message is about, `stream` for which one it counts.

        `prepare` also returns when its request expires, by the monotonic clock: with its token. `problem` is what was
        wrong with an earlier response, which counts as the first try. With `is_file`, the body is streamed.
        """
        tries, retry_after, failure_type = 0, 0.0, FailureType.transient_error
        while True:
            if problem:
                tries, problem = tries + 1, describe(problem)
                if tries >= max_tries:
                    raise RequestError(f"{problem} Tried {tries} times. {TRY_LATER}", failure_type)
                pause = max(retry_after, backoff_seconds(tries - 1))
                self.wait(pause, problem, f"Retrying in {pause:.1f} seconds.")
                self.retries += 1
            request, expires_at = prepare()
            retry_after, failure_type = 0.0, FailureType.transient_error
            try:
                send = partial(self._send, stream, request, expires_at, is_file)
                response = self._gate.send(send, shows_end=bool(stream))
                retry_after = retry_after_seconds(response)
                result = read(response)
                self.accepted = True
                return result
            except RetryError as error:
                problem = str(error)
                if not self.accepted and response.status_code < 500:  # no response of this host was Docebo's
                    failure_type = FailureType.config_error
            except (OSError, ValueError) as error:  # the exceptions of requests are OSErrors
                if not self.accepted and (wrong := wrong_setting(error)):
                    raise config_error(describe(wrong)) from None
                problem = f"{host(request.url)} did not respond: {connection_problem(error)}."
                if not self.accepted:
                    problem = f"{problem} Check base_url."

    def _send(self, stream: str, request: requests.Request, expires_at: float, is_file: bool) -> requests.Response:
        if not self._budget.take(expires_at):
            raise RetryError
        with self._lock:
            self.requests_sent[stream] += 1
        remaining = max(1.0, self._deadline - time.monotonic())
        timeout = (min(CONNECT_TIMEOUT_SECONDS, remaining), min(READ_TIMEOUT_SECONDS, remaining))
        settings = {**self._settings, "allow_redirects": request.method == "GET", "stream": is_file}
        return self._session.send(request.prepare(), timeout=timeout, **settings)

    def _wait_for_limit(self, seconds: float, problem: str) -> None:
        self.seconds_limited += seconds
        self.wait(seconds, problem)

    def wait(self, seconds: float, problem: str, next_step: str = "") -> None:
        """Logs the next step and waits. Raises DoceboError with the problem if the command has less time than that."""
        if time.monotonic() + seconds > self._deadline:
            raise transient_error(f"{problem} {TRY_LATER}")
        if next_step:
            logger.info("%s %s", problem, next_step)
        time.sleep(seconds)
