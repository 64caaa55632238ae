"""Every call of a sync: how many at once, how many an hour, and what happens while Docebo refuses them."""

import json
import logging
import os
import random
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Condition, Lock
from typing import Any, ClassVar
from weakref import WeakValueDictionary

import requests
from airbyte_cdk.utils.constants import ENV_REQUEST_CACHE_PATH
from requests.adapters import HTTPAdapter

from source_docebo.answers import retry_after_seconds
from source_docebo.failures import Failure, transient

logger = logging.getLogger("airbyte.source_docebo")

CONNECT_TIMEOUT_SECONDS = 10.0
READ_TIMEOUT_SECONDS = 60.0  # a page of 200 enrollments can take Docebo half a minute
LONGEST_REFUSAL_SECONDS = 3 * 3600.0
LONGEST_PAUSE_SECONDS = 110.0
_HOUR_SECONDS = 3605.0  # a call reaches Docebo a little after it is made: no two need come closer than an hour


class Clock:
    """The time of one sync, and the moment by which it must have an answer, if there is one (`check` has)."""

    def __init__(self, answer_within_seconds: float | None) -> None:
        self._deadline = None if answer_within_seconds is None else time.monotonic() + answer_within_seconds

    def remaining(self) -> float:
        """Seconds until an answer must be there; infinite if it may take its time."""
        return float("inf") if self._deadline is None else self._deadline - time.monotonic()

    def pause(self, seconds: float, problem: str) -> None:
        """Sleeps, or raises a transient error that tells the problem if there is not so much time."""
        if seconds > self.remaining():
            raise transient(f"{problem} There was no time left to wait for it to pass: try again later.")
        time.sleep(seconds)


class Allowance:
    """Keeps all calls under `calls_per_hour` in any sliding hour, token calls included."""

    def __init__(self, calls_per_hour: int | None, clock: Clock) -> None:
        self._calls_per_hour = calls_per_hour
        self._clock = clock
        self._lock = Lock()
        self._slots: deque[float] = deque(maxlen=calls_per_hour)
        self._told_until = 0.0

    def take(self) -> None:
        """Returns when the call may be made."""
        if self._calls_per_hour is None:
            return
        with self._lock:
            now = time.monotonic()
            slot = now
            if len(self._slots) == self._calls_per_hour:
                slot = max(now, self._slots[0] + _HOUR_SECONDS)
            self._slots.append(slot)
            if slot > now and now >= self._told_until:
                self._told_until = slot
                logger.info(
                    "Waiting %d seconds: the %d calls an hour that the configuration allows "
                    "(calls_per_hour) are used up.",
                    round(slot - now),
                    self._calls_per_hour,
                )
        if slot > now:
            self._clock.pause(slot - now, "The calls that calls_per_hour allows are used up.")


class Limit:
    """
    Docebo's own limit, which is one for the whole sync: once a call is refused (429), one call at a time asks whether
    it is over, at growing intervals or as Retry-After tells, and the others follow one by one as it lets them.
    """

    _CALM_AFTER = 50  # calls let through in a row, after which the next refusal is a new one

    def __init__(self, workers: int, clock: Clock) -> None:
        self._workers = workers
        self._clock = clock
        self._changed = Condition()
        self._in_flight = 0
        self._may_fly = workers
        self._resume_at = 0.0
        self._closed_at = 0.0
        self._refused_since: float | None = None
        self._refusals = 0
        self._let_through = 0

    def call(self, make: Callable[[], requests.Response], reads: bool) -> requests.Response:
        """
        Makes a call when the limit lets it, and returns its answer, refused or not. That a call which reads nothing (it
        asks for a token) is answered does not say that the limit is over.
        """
        started = self._enter()
        response: requests.Response | None = None
        try:
            response = make()
            return response
        finally:
            with self._changed:
                self._in_flight -= 1
                if response is not None and response.status_code == 429:
                    self._refused(started, retry_after_seconds(response))
                elif response is not None and reads and started >= self._closed_at:
                    self._allowed()
                self._changed.notify_all()

    def _enter(self) -> float:
        with self._changed:
            while True:
                now = time.monotonic()
                pause = self._resume_at - now
                if pause <= 0 and self._in_flight < self._may_fly:
                    self._in_flight += 1
                    return now
                patience = min(self._clock.remaining(), LONGEST_REFUSAL_SECONDS - self._refused_for(now))
                if self._refused_since is not None and patience < max(pause, 0):
                    raise transient(
                        f"Docebo has refused every call for {_duration(self._refused_for(now))} (429: the limit of "
                        "about 1,000 calls an hour for an IP address is used up). Sync less often, set "
                        "calls_per_hour, or ask Docebo for a higher limit."
                    )
                self._changed.wait(pause if pause > 0 else None)

    def _refused(self, started: float, told: float | None) -> None:
        now = time.monotonic()
        if started < self._closed_at:  # made before the limit was known: it says nothing new
            self._resume_at = max(self._resume_at, now + (told or 0))
            return
        self._refused_since = now if self._refused_since is None else self._refused_since
        self._closed_at = now
        self._let_through = 0
        self._may_fly = 1
        pause = told or min(LONGEST_PAUSE_SECONDS, 2.0 ** min(self._refusals, 7)) * random.uniform(0.8, 1)
        self._refusals += 1
        self._resume_at = now + pause
        logger.info(
            "Docebo refuses calls (429): the limit of about 1,000 calls an hour is used up. Refused for %s; "
            "asking again in %s.",
            _duration(self._refused_for(now)),
            _duration(pause),
        )

    def _allowed(self) -> None:
        self._refused_since = None
        self._may_fly = min(self._workers, self._may_fly + 1)
        self._let_through += 1
        if self._let_through >= self._CALM_AFTER:
            self._refusals = 0

    def _refused_for(self, now: float) -> float:
        return 0.0 if self._refused_since is None else now - self._refused_since


class Calls:
    """
    The calls of one sync, which all its streams share: one connection pool, one limit, one allowance, one access token,
    at most `num_workers` calls at once, and the pages that several streams need.
    """

    _running: ClassVar["WeakValueDictionary[str, Calls]"] = WeakValueDictionary()
    _building: ClassVar[Lock] = Lock()

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Calls":
        """
        The calls of the running command. The CDK builds each stream, and each parent inside a child, on its own; what
        they have in common is the configuration, and the directory that the CDK makes anew for each command.
        """
        key = json.dumps([config, os.environ.get(ENV_REQUEST_CACHE_PATH)], sort_keys=True, default=str)
        with cls._building:
            calls = cls._running.get(key)
            if calls is None:
                calls = cls._running[key] = cls(config)
            return calls

    def __init__(self, config: Mapping[str, Any]) -> None:
        workers = int(config["num_workers"])
        self.clock = Clock(config.get("answer_within_seconds"))
        self.workers = workers
        self.token = Token()
        self.read_timeout = READ_TIMEOUT_SECONDS
        calls_per_hour = config.get("calls_per_hour")
        self._allowance = Allowance(None if calls_per_hour is None else int(calls_per_hour), self.clock)
        self._limit = Limit(workers, self.clock)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="docebo-call")
        self._lock = Lock()
        self._kept: dict[str, Future[requests.Response | None]] = {}
        self._ahead: dict[str, Future[requests.Response | None]] = {}
        self._noted: set[tuple[str, ...]] = set()
        self._session = requests.Session()
        adapter = HTTPAdapter(pool_maxsize=workers)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)  # ignore-https-check: to a loopback address only
        # Read once: requests looks through the environment for proxies and certificates at every call.
        self._settings = self._session.merge_environment_settings(config["base_url"], {}, False, None, None)

    def first_time(self, *what: str) -> bool:
        """Whether this is asked for the first time in the sync, so that a warning is given once."""
        with self._lock:
            known = what in self._noted
            self._noted.add(what)
            return not known

    def send(self, request: requests.Request) -> requests.Response:
        """
        Makes one call when limit and allowance let it. Raises requests.RequestException if no whole answer comes.

        A redirect is followed if the call only reads; `requests` drops the token where it leads to another host.
        """
        reads = request.method == "GET"

        def make() -> requests.Response:
            self._allowance.take()
            remaining = max(1.0, self.clock.remaining())
            timeout = (min(CONNECT_TIMEOUT_SECONDS, remaining), min(self.read_timeout, remaining))
            return self._session.send(
                request.prepare(),
                timeout=timeout,
                allow_redirects=reads,
                **self._settings,
            )

        return self._limit.call(make, reads)

    def page(
        self, address: str, ask: Callable[[], requests.Response | None], keep: bool
    ) -> "Future[requests.Response | None]":
        """
        The answer from an address, asked for now unless it was read ahead, or kept for the streams that share it.
        """
        with self._lock:
            future = self._kept.get(address) or self._ahead.pop(address, None)
            if future is None:
                future = self._pool.submit(ask)
            if keep:
                self._kept[address] = future
            return future

    def read_ahead(self, address: str, ask: Callable[[], requests.Response | None], keep: bool) -> None:
        """Asks for a page that will be needed, as long as no more than `num_workers` such pages wait to be used."""
        with self._lock:
            if address in self._kept or address in self._ahead or len(self._ahead) >= self.workers:
                return
            future = self._pool.submit(ask)
            (self._kept if keep else self._ahead)[address] = future

    def drop(self, address: str) -> None:
        """Gives up a page that was read ahead."""
        with self._lock:
            future = self._ahead.pop(address, None)
        if future is not None:
            future.cancel()


class Token:
    """The access token of the sync, renewed by one caller while the others wait for it."""

    _EXPIRY_MARGIN = 0.05  # of its life: cheaper than the refused calls of all workers
    _MOST_REFUSED = 3  # new tokens in a row

    def __init__(self) -> None:
        self._lock = Lock()
        self._value: str | None = None
        self._expires_at = 0.0
        self._refused = 0
        self._failure: Failure | None = None

    def get(self, request: Callable[[], tuple[str, float]]) -> str:
        """
        The token in force. `request` asks Docebo for a new one, and returns it with its life in seconds; its failure is
        final for the sync, since every stream needs the same token.
        """
        with self._lock:
            if self._failure is not None:
                raise self._failure
            if self._value is None or time.monotonic() >= self._expires_at:
                try:
                    self._value, life = request()
                except Failure as failure:
                    self._failure = failure
                    raise
                self._expires_at = time.monotonic() + life * (1 - self._EXPIRY_MARGIN)
            return self._value

    def refuse(self, value: str) -> bool:
        """Gives up the token that Docebo refused; False if it refuses every new one, so that another is no use."""
        with self._lock:
            if value == self._value and self._refused < self._MOST_REFUSED:
                self._refused += 1
                if self._refused < self._MOST_REFUSED:
                    self._value = None
            return self._refused < self._MOST_REFUSED

    def accept(self) -> None:
        """Docebo took the token."""
        self._refused = 0


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"
