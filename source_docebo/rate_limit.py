"""How often requests may be sent: Docebo's rate limit (429), and the hourly budget that the configuration sets."""

import random
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from threading import Event, Lock

import requests

from source_docebo.errors import logger, transient_error
from source_docebo.responses import retry_after_seconds

HOUR_SECONDS = 3605.0  # a request reaches Docebo a little after it is sent
MAX_RATE_LIMITED_SECONDS = 3 * 3600.0
MAX_BACKOFF_SECONDS = 110.0
LIMIT_USED_UP = "Docebo's limit of about 1,000 requests per hour and IP address is used up"

Wait = Callable[[float, str], None]  # seconds, and the problem that they may solve; raises if there is no time


class HourlyBudget:
    """Keeps all requests, those for tokens too, under a number in any sliding hour; 0: no limit."""

    def __init__(self, requests_per_hour: int, wait: Wait) -> None:
        self._wait = wait
        self._lock = Lock()
        self._sent: deque[float] = deque(maxlen=requests_per_hour)  # when the last ones were sent

    def take(self, expires_at: float) -> bool:
        """Waits until a request may be sent. False if it has expired by then (monotonic clock): it is not sent."""
        with self._lock:  # while one waits, for the others too
            if self._sent and len(self._sent) == self._sent.maxlen:
                pause = self._sent[0] + HOUR_SECONDS - time.monotonic()
                used_up = f"The {self._sent.maxlen} requests per hour that calls_per_hour allows are used up."
                if pause >= 1:  # those that waited for the same hour follow at short intervals
                    logger.info("%s Waiting %.0f seconds, until %s.", used_up, pause, _time_in(pause))
                if pause > 0:
                    self._wait(pause, used_up)
            now = time.monotonic()
            if now < expires_at:
                self._sent.append(now)
            return now < expires_at


class RateLimitGate:
    """
    Docebo's rate limit is one for the whole sync. After a 429 nobody sends, except for one request at a time that is
    repeated at growing intervals. Once it is served, all others follow.
    """

    def __init__(self, wait: Wait) -> None:
        self._wait = wait
        self._turn = Lock()
        self._limited_since: float | None = None
        self._resume_at = 0.0
        self._repeated = 0

    def send(self, send: Callable[[], requests.Response], shows_end: bool = True) -> requests.Response:
        """
        What `send` returns, unless that is a 429. `shows_end`: once this request is served, all others are sent (a
        token that is served says nothing about them). Raises DoceboError after three hours of nothing but 429.
        """
        while True:
            if self._limited_since is None:
                response = send()
                if response.status_code != 429:
                    return response
                self._close(response, is_repeated=False)
            else:
                with self._turn:
                    if self._limited_since is None:
                        continue  # the request before this one was served
                    self._wait(max(0.0, self._resume_at - time.monotonic()), f"{LIMIT_USED_UP} (429).")
                    response = send()
                    if response.status_code != 429:
                        if shows_end:
                            self._limited_since = None
                        return response
                    self._close(response, is_repeated=True)
            # Another thread takes the turn: a lock is not fair, and this request alone may be rate limited.
            Event().wait(0.01)

    def _close(self, response: requests.Response, is_repeated: bool) -> None:
        now = time.monotonic()
        is_first = self._limited_since is None
        if is_first:
            self._limited_since, self._repeated = now, 0
        self._repeated += is_repeated
        elapsed = now - (self._limited_since or now)
        if elapsed >= MAX_RATE_LIMITED_SECONDS:
            raise transient_error(
                f"Docebo has rate limited every request for {elapsed / 60:.0f} minutes (429): its limit of about 1,000 "
                "requests per hour and IP address is used up. Sync less often, set calls_per_hour, or ask Docebo for a "
                "higher limit."
            )
        pause = max(retry_after_seconds(response), backoff_seconds(self._repeated))
        self._resume_at = max(self._resume_at, now + pause)
        if is_first or is_repeated:
            resuming = f"{pause:.0f} seconds, at {_time_in(pause)}"
            logger.info("%s (429) for %.0f seconds; retrying in %s.", LIMIT_USED_UP, elapsed, resuming)


def _time_in(seconds: float) -> str:
    return f"{datetime.now(timezone.utc) + timedelta(seconds=seconds):%H:%M:%S} UTC"


def backoff_seconds(failures: int) -> float:
    """1, 2, 4, .. 64, 110 seconds after 0, 1, 2, .. 6, 7 failures, and up to a fifth more at random."""
    return min(MAX_BACKOFF_SECONDS, 2.0 ** min(failures, 7)) * random.uniform(1, 1.2)
