"""How often requests may be sent: Docebo's rate limit (429), and the hourly budget that the configuration sets."""

import random
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from threading import Event, Lock

import requests

from source_docebo.errors import logger, transient_error
from source_docebo.responses import retry_after_seconds

HOUR_SECONDS = 3605.0  # a request reaches Docebo a little after it is sent
MAX_RATE_LIMITED_SECONDS = 3 * 3600.0
MAX_PROBE_INTERVAL_SECONDS = 110.0
MAX_RATE_LIMITED_ALONE = 8  # times in a row that a request is rate limited while others are served
LIMIT_USED_UP = "Docebo's limit of about 1,000 requests per hour and IP address is used up"

Wait = Callable[[float, str], None]  # seconds, and the problem that they may solve; raises if there is no time


class HourlyBudget:
    """Keeps all requests, those for tokens and redirects too, under a number in any sliding hour; 0: no limit."""

    def __init__(self, requests_per_hour: int, wait: Wait) -> None:
        self.requests_per_hour = requests_per_hour
        self._wait = wait
        self._lock = Lock()
        self._sent: deque[float] = deque()  # when the last ones were sent, as many as an hour may have

    def take(self, is_current: Callable[[], bool] = lambda: True) -> bool:
        """Waits until a request may be sent. False if it is not current by then: it does not count as sent."""
        used_up = f"The {self.requests_per_hour} requests per hour that calls_per_hour allows are used up."
        with self._lock:  # while one waits, for the others too
            full = self.requests_per_hour and len(self._sent) == self.requests_per_hour
            pause = self._sent[0] + HOUR_SECONDS - time.monotonic() if full else 0.0
            if pause >= 1:  # those that waited for the same hour follow at short intervals
                logger.info("Waiting %d seconds: t%s", round(pause), used_up[1:])
            if pause > 0:
                self._wait(pause, used_up)
            if not is_current() and self.requests_per_hour != 1:  # by its turn, the token of that one has expired
                return False
            self._sent.append(time.monotonic())
            if len(self._sent) > self.requests_per_hour:
                self._sent.popleft()
            return True


class RateLimitGate:
    """
    Docebo's rate limit is one for the whole sync. After a 429, requests queue: the first of them is repeated at
    growing intervals, and goes to the end of the queue each time that it is rate limited again. Once a request for
    records is served, those in the queue follow one by one, and new ones pass.
    """

    def __init__(self, wait: Wait) -> None:
        self._wait = wait
        self._lock = Lock()
        self._last = Event()  # set when the turn of the last one in the queue is over
        self._last.set()
        self._limited_since: float | None = None
        self._resume_at = 0.0
        self._probes = 0
        self._balance = 0  # other responses in this sync, less ten for each 429

    def send(self, send: Callable[[], requests.Response | None], reads: bool) -> requests.Response | None:
        """
        What `send` returns, unless that is a 429. Only a request that reads (not one for a token) shows that the limit
        has ended. Raises DoceboError after three hours of nothing but 429, or if only this request is rate limited.
        """
        alone, before = 0, float("inf")
        queued = self._limited_since is not None
        while True:
            with self._turn() if queued else nullcontext():
                pause = self._resume_at - time.monotonic() if queued else 0.0
                if pause > 0:
                    self._wait(pause, f"{LIMIT_USED_UP} (429).")
                response = send()
                if response is None:
                    return None
                with self._lock:
                    if response.status_code != 429:
                        self._balance += 1
                        if reads:
                            self._limited_since, self._resume_at = None, 0.0
                        return response
                    self._close(response, probed=queued)
            others = self._balance + 10 - before  # since this request was rate limited the last time
            alone = alone + 1 if others > 0 else 0
            before, queued = self._balance, True
            if alone:
                only_this = "Docebo rate limits this request (429) although it serves others."
                if alone >= MAX_RATE_LIMITED_ALONE:
                    raise transient_error(f"{only_this} Sync again later; if it goes on, ask Docebo's support.")
                self._wait(backoff_seconds(alone - 1, MAX_PROBE_INTERVAL_SECONDS), only_this)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """A place in the queue. The locks of `threading` are given in no order."""
        mine = Event()
        with self._lock:
            before, self._last = self._last, mine
        before.wait()
        try:
            yield
        finally:
            mine.set()

    def _close(self, response: requests.Response, probed: bool) -> None:
        """After a 429: nobody sends until the next probe. Raises DoceboError if that has gone on for three hours."""
        now = time.monotonic()
        self._balance -= 10
        first = self._limited_since is None
        self._limited_since = now if self._limited_since is None else self._limited_since
        self._probes = 0 if first else self._probes + probed
        elapsed = now - self._limited_since
        if elapsed >= MAX_RATE_LIMITED_SECONDS:
            raise transient_error(
                f"Docebo has rate limited every request for {_duration(elapsed)} (429): its limit of about 1,000 "
                "requests per hour and IP address is used up. Sync less often, set calls_per_hour, or ask Docebo for a "
                "higher limit."
            )
        pause = max(retry_after_seconds(response), backoff_seconds(self._probes, MAX_PROBE_INTERVAL_SECONDS))
        pause = min(pause, MAX_RATE_LIMITED_SECONDS - elapsed)
        self._resume_at = max(self._resume_at, now + pause)
        if first or probed:
            elapsed_text, pause_text = _duration(elapsed), _duration(pause)
            logger.info("%s (429) for %s; retrying in %s.", LIMIT_USED_UP, elapsed_text, pause_text)


def backoff_seconds(failures: int, longest: float) -> float:
    """1, 2, 4, .. seconds, a little less at random."""
    return min(longest, 2.0 ** min(failures, 7)) * random.uniform(0.8, 1)


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"
