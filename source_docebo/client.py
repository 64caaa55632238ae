"""The HTTP of one sync: session, hourly budget, 429 gate, retries, access token, shared and prefetched pages."""

import json
import logging
import os
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as DeadlineExceeded
from threading import Lock
from typing import Any, ClassVar
from weakref import WeakValueDictionary

import requests
from airbyte_cdk.models import FailureType
from airbyte_cdk.sources.streams.http.error_handlers.response_models import ErrorResolution, ResponseAction
from airbyte_cdk.utils.constants import ENV_REQUEST_CACHE_PATH
from requests.adapters import HTTPAdapter
from requests.utils import default_user_agent

from source_docebo.errors import DoceboError, transient_error
from source_docebo.responses import connection_error, host, retry_after_seconds

logger = logging.getLogger("airbyte.source_docebo")

CONNECT_TIMEOUT_SECONDS = 10.0
READ_TIMEOUT_SECONDS = 60.0  # a page of 200 enrollments can take Docebo half a minute
MAX_RETRYING_SECONDS = 300.0  # per request, waits that Retry-After asks for excepted
MAX_RATE_LIMITED_SECONDS = 3 * 3600.0
MAX_PROBE_INTERVAL_SECONDS = 110.0
HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
    "User-Agent": f"source-docebo {default_user_agent()}",
}
_HOUR_SECONDS = 3605.0  # a request reaches Docebo a little after it is sent


class Client:
    """Shared by all streams of a sync: one session, one rate limit, one access token, `num_workers` threads."""

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
        self.workers = int(config["num_workers"])
        self._deadline = time.monotonic() + config.get("answer_within_seconds", float("inf"))
        self.token = AccessToken()
        self._gate = RateLimitGate(self._deadline)
        calls_per_hour = config.get("calls_per_hour")
        self._slots: deque[float] = deque(maxlen=int(calls_per_hour) if calls_per_hour else None)
        self._announced_until = 0.0
        self._lock = Lock()
        self._warned: set[tuple[str, ...]] = set()
        self._pool = ThreadPoolExecutor(self.workers, thread_name_prefix="docebo-request")
        self._shared: dict[str, Future[Any]] = {}
        self._prefetched: dict[str, Future[Any]] = {}
        self._session = requests.Session()
        adapter = HTTPAdapter(pool_maxsize=self.workers)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)  # ignore-https-check: to a loopback address only
        # Read once: requests looks through the environment for proxies and certificates at every request.
        self._settings = self._session.merge_environment_settings(config["base_url"], {}, False, None, None)

    def warn_once(self, key: tuple[str, ...], message: str) -> None:
        """Logs a warning, unless one with this key was logged in this sync."""
        with self._lock:
            known = key in self._warned
            self._warned.add(key)
        if not known:
            logger.warning(message)

    def page(self, url: str, following: Iterable[str], fetch: Callable[[str], Any], share: bool) -> Any:
        """
        What `fetch` returns for the URL. Fetches the `following` URLs ahead, as long as no more than `num_workers` such
        pages wait to be used. Shared pages are kept until the sync ends.
        """
        with self._lock:
            future = self._shared.get(url) or self._prefetched.pop(url, None) or self._pool.submit(fetch, url)
            if share:
                self._shared[url] = future
            for next_url in following:
                known = next_url in self._shared or next_url in self._prefetched
                if not known and len(self._prefetched) < self.workers:
                    (self._shared if share else self._prefetched)[next_url] = self._pool.submit(fetch, next_url)
        remaining = self._deadline - time.monotonic()
        try:
            return future.result(None if remaining == float("inf") else max(0.0, remaining) + 1)
        except DeadlineExceeded:
            raise transient_error(f"{host(url)} did not answer in time. Check base_url, or try again later.") from None

    def discard(self, urls: Iterable[str]) -> None:
        """Drops prefetched pages."""
        with self._lock:
            for future in filter(None, [self._prefetched.pop(url, None) for url in urls]):
                future.cancel()

    def request(
        self,
        prepare: Callable[[], requests.Request],
        judge: Callable[[requests.Response], ErrorResolution],
        backoff: Callable[[int], float],
        max_tries: int,
        describe: Callable[[str], str],
    ) -> tuple[requests.Response, ErrorResolution]:
        """
        Sends a request until `judge` finds a response final (SUCCESS or IGNORE). REFRESH_TOKEN_THEN_RETRY prepares and
        sends it again at once. Raises DoceboError for any other action, or if retrying does not help.
        """
        tries, waited = 0, 0.0
        while True:
            request, retry_after = prepare(), None
            try:
                response = self._send(request)
                resolution = judge(response)
                retry_after = retry_after_seconds(response)
            except requests.RequestException as error:
                message = f"{host(request.url)} did not answer: {connection_error(error)}. Check base_url."
                resolution = ErrorResolution(ResponseAction.RETRY, FailureType.transient_error, message)
                waited += READ_TIMEOUT_SECONDS if isinstance(error, requests.Timeout) else 0
            action = resolution.response_action
            if action in (ResponseAction.SUCCESS, ResponseAction.IGNORE):
                return response, resolution
            if action == ResponseAction.REFRESH_TOKEN_THEN_RETRY:
                continue
            problem = describe(resolution.error_message or "")
            if action != ResponseAction.RETRY:
                raise DoceboError(problem, resolution.failure_type or FailureType.system_error)
            tries += 1
            pause = retry_after or backoff(tries)
            waited += 0 if retry_after else pause
            if tries >= max_tries or waited > MAX_RETRYING_SECONDS:
                raise transient_error(
                    f"{problem} Tried {tries} times. Sync again later; if it goes on, ask Docebo's support."
                )
            logger.info("%s Trying again in %.1f seconds.", problem, pause)
            self._wait(pause, problem)

    def _send(self, request: requests.Request) -> requests.Response:
        """Sends once, when rate limit and hourly budget allow it. Only reading requests follow redirects."""
        reads = request.method == "GET"

        def send() -> requests.Response:
            self._wait_for_budget()
            remaining = max(1.0, self._deadline - time.monotonic())
            timeout = (min(CONNECT_TIMEOUT_SECONDS, remaining), min(READ_TIMEOUT_SECONDS, remaining))
            return self._session.send(request.prepare(), timeout=timeout, allow_redirects=reads, **self._settings)

        return self._gate.send(send, reads)

    def _wait_for_budget(self) -> None:
        """Keeps all requests, those for tokens too, under `calls_per_hour` in any sliding hour."""
        if self._slots.maxlen is None:
            return
        with self._lock:
            now = time.monotonic()
            slot = max(now, self._slots[0] + _HOUR_SECONDS) if len(self._slots) == self._slots.maxlen else now
            self._slots.append(slot)
            announce, self._announced_until = slot > now >= self._announced_until, max(slot, self._announced_until)
        if announce:
            logger.info(
                "Waiting %d seconds: the %d calls an hour that the configuration allows (calls_per_hour) are used up.",
                round(slot - now),
                self._slots.maxlen,
            )
        if slot > now:
            self._wait(slot - now, "The calls that calls_per_hour allows are used up.")

    def _wait(self, seconds: float, problem: str) -> None:
        if time.monotonic() + seconds > self._deadline:
            raise transient_error(f"{problem} There was no time left to wait for it to pass: try again later.")
        time.sleep(seconds)


class RateLimitGate:
    """
    Docebo's rate limit is one for the whole sync. After a 429, requests take turns: the first repeats its own, at
    growing intervals or as Retry-After says, until it succeeds; those that queued behind it follow one by one.
    """

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._turn = Lock()
        self._limited_since: float | None = None

    def send(self, send: Callable[[], requests.Response], reads: bool) -> requests.Response:
        """
        A response other than 429. Success of a request that reads nothing (a token's) does not say that the limit is
        over. Raises DoceboError after three hours of 429, or at the deadline.
        """
        response = send() if self._limited_since is None else None
        if response is not None:
            if response.status_code != 429:
                return response
            self._limited_since = self._limited_since or time.monotonic()
        with self._turn:
            if self._limited_since is None:
                response = None  # the limit is over, as another request found out
            probes = 0
            while response is None or response.status_code == 429:
                if response is not None:
                    self._wait(retry_after_seconds(response) or backoff_seconds(probes, MAX_PROBE_INTERVAL_SECONDS))
                    probes += 1
                response = send()
            if reads:
                self._limited_since = None
            return response

    def _wait(self, pause: float) -> None:
        now = time.monotonic()
        self._limited_since = self._limited_since or now
        limited = now - self._limited_since
        if pause > min(self._deadline - now, MAX_RATE_LIMITED_SECONDS - limited):
            raise transient_error(
                f"Docebo has refused every call for {_duration(limited)} (429: the limit of about 1,000 calls an hour "
                "for an IP address is used up). Sync less often, set calls_per_hour, or ask Docebo for a higher limit."
            )
        logger.info(
            "Docebo refuses calls (429): the limit of about 1,000 calls an hour is used up. Refused for %s; "
            "asking again in %s.",
            _duration(limited),
            _duration(pause),
        )
        time.sleep(pause)


class AccessToken:
    """The access token of the sync, renewed by one thread while the others wait for it."""

    _EXPIRY_MARGIN = 0.05  # of its lifetime: cheaper than the refused requests of all workers
    _MAX_REJECTED = 3  # new tokens in a row

    def __init__(self) -> None:
        self._lock = Lock()
        self._value: str | None = None
        self._expires_at = 0.0
        self._rejected = 0
        self._error: DoceboError | None = None

    def get(self, renew: Callable[[], tuple[str, float]]) -> str:
        """
        The valid token. `renew` gets a new one from Docebo: the token, and its lifetime in seconds. If it raises, that
        error is final for the sync, since every stream needs the same token.
        """
        with self._lock:
            if self._error is not None:
                raise self._error
            if self._value is None or time.monotonic() >= self._expires_at:
                try:
                    self._value, lifetime = renew()
                except DoceboError as error:
                    self._error = error
                    raise
                self._expires_at = time.monotonic() + lifetime * (1 - self._EXPIRY_MARGIN)
            return self._value

    def reject(self, value: str) -> bool:
        """Drops a token that Docebo rejected (401). False if Docebo rejects every new one: another would be no use."""
        with self._lock:
            if value == self._value and self._rejected < self._MAX_REJECTED:
                self._rejected += 1
                if self._rejected < self._MAX_REJECTED:
                    self._value = None
            return self._rejected < self._MAX_REJECTED

    def accept(self) -> None:
        """Docebo accepted the token."""
        self._rejected = 0


def backoff_seconds(failures: int, longest: float) -> float:
    """1, 2, 4, .. seconds, a little less at random."""
    return min(longest, 2.0 ** min(failures, 7)) * random.uniform(0.8, 1)


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"
