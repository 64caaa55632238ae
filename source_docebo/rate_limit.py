"""How often requests may be sent: Docebo's rate limit (429), and the hourly budget that the configuration sets."""

import random
import time
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from threading import Condition, Lock

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
            if pause > 0:
                logger.info("Waiting %d seconds: t%s", round(pause), used_up[1:])
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
        self._queue = _FairLock()
        self._lock = Lock()
        self._limited_since: float | None = None
        self._resume_at = 0.0
        self._probes = 0
        self._served = 0  # responses other than 429 in this sync
        self._limited = 0  # 429s in this sync

    def send(self, send: Callable[[], requests.Response | None], reads: bool) -> requests.Response | None:
        """
        What `send` returns, unless that is a 429. Only a request that reads (not one for a token) shows that the limit
        has ended. Raises DoceboError after three hours of nothing but 429, or if only this request is rate limited.
        """
        alone, refused, served, limited = 0, False, 0, 0
        queued = self._limited_since is not None
        while True:
            with self._queue if queued else nullcontext():
                pause = self._resume_at - time.monotonic() if queued and self._limited_since is not None else 0.0
                if pause > 0:
                    self._wait(pause, f"{LIMIT_USED_UP} (429).")
                response = send()
                with self._lock:
                    if response is not None and response.status_code == 429:
                        self._close(response, probed=queued)
                    elif response is not None:
                        self._served += 1
                        self._limited_since = None if reads else self._limited_since
            if response is None or response.status_code != 429:
                return response
            only_one = refused and self._served - served > 10 * (self._limited - 1 - limited)
            alone, refused = alone + 1 if only_one else 0, True
            served, limited, queued = self._served, self._limited, True
            if alone:
                only_this = "Docebo rate limits this request (429) although it serves others."
                if alone >= MAX_RATE_LIMITED_ALONE:
                    raise transient_error(f"{only_this} Sync again later; if it goes on, ask Docebo's support.")
                self._wait(backoff_seconds(alone - 1, MAX_PROBE_INTERVAL_SECONDS), only_this)

    def _close(self, response: requests.Response, probed: bool) -> None:
        """After a 429: nobody sends until the next probe. Raises DoceboError if that has gone on for three hours."""
        now = time.monotonic()
        self._limited += 1
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
        self._resume_at = now + pause if first else max(self._resume_at, now + pause)
        if first or probed:
            elapsed_text, pause_text = _duration(elapsed), _duration(pause)
            logger.info("%s (429) for %s; retrying in %s.", LIMIT_USED_UP, elapsed_text, pause_text)


class _FairLock:
    """A lock that is given in the order in which it was asked for. That of `threading` has none."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._tickets = self._turn = 0

    def __enter__(self) -> None:
        with self._changed:
            ticket, self._tickets = self._tickets, self._tickets + 1
            self._changed.wait_for(lambda: self._turn == ticket)

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._turn += 1
            self._changed.notify_all()


def backoff_seconds(failures: int, longest: float) -> float:
    """1, 2, 4, .. seconds, a little less at random."""
    return min(longest, 2.0 ** min(failures, 7)) * random.uniform(0.8, 1)


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"
