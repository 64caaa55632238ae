"""How often requests may be sent: the hourly budget, and the gate that a 429 closes; with a clock that tests move."""

import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import pytest
import requests

from source_docebo.errors import DoceboError
from source_docebo.rate_limit import (
    HOUR_SECONDS,
    LIMIT_USED_UP,
    MAX_BACKOFF_SECONDS,
    MAX_RATE_LIMITED_SECONDS,
    HourlyBudget,
    RateLimitGate,
    backoff_seconds,
)

FOREVER = float("inf")


class Clock:
    """A clock that moves only when somebody waits."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []
        self.problems: list[str] = []

    def monotonic(self) -> float:
        return self.now

    def wait(self, seconds: float, problem: str) -> None:
        self.now += seconds
        self.waits.append(seconds)
        self.problems.append(problem)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Replaces the clock of the module, and the randomness of its intervals by their shortest."""
    clock = Clock()
    monkeypatch.setattr("source_docebo.rate_limit.time", clock)
    monkeypatch.setattr("source_docebo.rate_limit.random.uniform", lambda least, _: least)
    return clock


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The messages that were logged."""
    caplog.set_level("INFO", "airbyte.source_docebo")
    return lambda: [record.getMessage() for record in caplog.records]


def response(status: int, retry_after: int | None = None) -> requests.Response:
    made = requests.Response()
    made.status_code = status
    if retry_after is not None:
        made.headers["Retry-After"] = str(retry_after)
    return made


def sends(*statuses: int | requests.Response) -> Callable[[], requests.Response]:
    """A function that returns these responses, the last one for ever."""
    left = list(statuses)

    def send() -> requests.Response:
        status = left.pop(0) if len(left) > 1 else left[0]
        return response(status) if isinstance(status, int) else status

    return send


def fail(*_: object) -> requests.Response:
    raise RuntimeError("no time")


def limited(clock: Clock, retry_after: int | None = None) -> RateLimitGate:
    """A gate that a request under way has just closed."""
    gate = RateLimitGate(clock.wait)
    gate._close(response(429, retry_after), is_repeated=False)
    return gate


class TestHourlyBudget:
    def test_an_hour_has_some_seconds_more(self) -> None:
        assert HOUR_SECONDS == 3605

    def test_takes_no_more_than_the_number_in_any_hour(self, clock: Clock) -> None:
        budget = HourlyBudget(2, clock.wait)
        sent = []
        for _ in range(5):
            assert budget.take(FOREVER)
            sent.append(clock.now)
            clock.now += 100
        assert [moment - 1000 for moment in sent] == [0, 100, 3605, 3705, 7210]

    def test_a_request_of_exactly_an_hour_ago_counts_no_more(self, clock: Clock) -> None:
        budget = HourlyBudget(1, clock.wait)
        budget.take(FOREVER)
        clock.now += HOUR_SECONDS
        budget.take(FOREVER)
        assert clock.waits == []

    def test_zero_is_no_limit(self, clock: Clock) -> None:
        budget = HourlyBudget(0, clock.wait)
        assert all(budget.take(FOREVER) for _ in range(5000))
        assert clock.waits == []

    @pytest.mark.parametrize(("until", "is_sent"), [(4606, True), (4605, False), (4604, False)])
    def test_what_has_expired_by_its_turn_is_neither_sent_nor_counted(
        self, clock: Clock, until: float, is_sent: bool
    ) -> None:
        budget = HourlyBudget(1, clock.wait)
        assert budget.take(FOREVER)
        assert budget.take(until) is is_sent
        assert budget.take(FOREVER)
        assert clock.waits == ([3605, 3605] if is_sent else [3605])

    def test_a_wait_that_fails_takes_nothing_and_passes_the_turn_on(self, clock: Clock) -> None:
        budget = HourlyBudget(1, fail)
        budget.take(FOREVER)
        with pytest.raises(RuntimeError, match="no time"):
            budget.take(FOREVER)
        clock.now += HOUR_SECONDS
        assert budget.take(FOREVER)

    def test_while_one_waits_the_others_do_too(self, clock: Clock) -> None:
        alone, lock = [], threading.Lock()

        def wait(seconds: float, problem: str) -> None:
            alone.append(lock.acquire(blocking=False))
            time.sleep(0.01)  # in which the others could come
            clock.wait(seconds, problem)
            lock.release()

        budget = HourlyBudget(1, wait)
        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(budget.take, [FOREVER] * 4))
        assert alone == [True] * 3
        assert clock.waits == [HOUR_SECONDS] * 3

    def test_the_wait_is_logged_and_names_the_setting(self, clock: Clock, log: Callable[[], list[str]]) -> None:
        budget = HourlyBudget(2, clock.wait)
        budget.take(FOREVER)
        clock.now += 0.5
        for _ in range(4):
            budget.take(FOREVER)
        assert clock.waits == [3604.5, 0.5, 3604.5]
        used_up = "The 2 requests per hour that calls_per_hour allows are used up."
        assert clock.problems == [used_up] * 3
        # Those that follow at short intervals are not worth a line.
        assert untimed(log()) == [f"{used_up} Waiting 3604 seconds, until <time>."] * 2

    def test_a_wait_of_a_second_is_logged(self, clock: Clock, log: Callable[[], list[str]]) -> None:
        budget = HourlyBudget(1, clock.wait)
        budget.take(FOREVER)
        clock.now += HOUR_SECONDS - 1
        budget.take(FOREVER)
        assert [line[-33:] for line in untimed(log())] == [" up. Waiting 1 seconds, until <time>."[-33:]]


class TestGate:
    @pytest.mark.parametrize("status", [200, 401, 500])
    def test_any_other_response_passes_at_once(self, clock: Clock, status: int) -> None:
        assert RateLimitGate(clock.wait).send(sends(status)).status_code == status
        assert clock.waits == []

    def test_is_repeated_at_growing_intervals(self, clock: Clock) -> None:
        gate = RateLimitGate(clock.wait)
        assert gate.send(sends(*[429] * 9, 200)).status_code == 200
        assert clock.waits == [1, 2, 4, 8, 16, 32, 64, 110, 110]
        assert set(clock.problems) == {f"{LIMIT_USED_UP} (429)."}

    @pytest.mark.parametrize("status", [200, 503])
    def test_intervals_begin_anew_after_a_request_was_served(self, clock: Clock, status: int) -> None:
        gate = RateLimitGate(clock.wait)
        for _ in range(2):
            gate.send(sends(429, 429, status))
            assert gate.send(sends(200)).ok
        assert clock.waits == [1, 2, 1, 2]

    def test_never_before_retry_after(self, clock: Clock) -> None:
        gate = RateLimitGate(clock.wait)
        gate.send(sends(*[response(429, seconds) for seconds in (1, 1, 10, 1800, 86400)], 200))
        assert clock.waits == [1, 2, 10, 1800, 3600]

    def test_new_requests_wait_until_one_is_served(self, clock: Clock) -> None:
        gate = limited(clock, 300)
        gate.send(sends(200))
        gate.send(sends(200))
        assert clock.waits == [300]

    def test_what_comes_later_does_not_wait(self, clock: Clock) -> None:
        gate = limited(clock, 30)
        clock.now += 30.5
        gate.send(sends(200))
        assert clock.waits == [0]

    def test_what_was_under_way_opens_nothing(self, clock: Clock) -> None:
        gate = RateLimitGate(clock.wait)

        def closes_meanwhile() -> requests.Response:
            gate._close(response(429), is_repeated=False)
            return response(200)

        gate.send(closes_meanwhile)
        gate.send(sends(200))
        assert clock.waits == [1]

    def test_what_was_under_way_lengthens_no_interval(self, clock: Clock, log: Callable[[], list[str]]) -> None:
        gate = limited(clock)
        for _ in range(8):
            gate._close(response(429), is_repeated=False)
        assert len(log()) == 1
        gate.send(sends(429, 200))
        assert clock.waits == [1, 2]

    def test_the_longest_retry_after_counts(self, clock: Clock) -> None:
        gate = limited(clock, 30)
        gate._close(response(429), is_repeated=False)
        gate.send(sends(200))
        assert clock.waits == [30]

    def test_one_request_at_a_time_until_one_is_served_then_all(self, clock: Clock) -> None:
        gate, together, lock = limited(clock), threading.Barrier(4, timeout=10), threading.Lock()
        statuses, repeated, alone = [429, 429, 200], [], []

        def send() -> requests.Response:
            if statuses:
                alone.append(lock.acquire(blocking=False))
                time.sleep(0.01)  # in which the others could come
                repeated.append(statuses.pop(0))
                lock.release()
                return response(repeated[-1])
            together.wait()
            return response(200)

        with ThreadPoolExecutor(5) as pool:
            responses = list(pool.map(lambda _: gate.send(send), range(5)))
        assert [each.status_code for each in responses] == [200] * 5
        assert alone == [True] * 3
        assert clock.waits == [1, 2, 4]

    @pytest.mark.parametrize("retry_after", [60, 0])
    def test_gives_up_after_three_hours(self, clock: Clock, retry_after: int) -> None:
        gate = RateLimitGate(clock.wait)
        with pytest.raises(DoceboError) as raised:
            gate.send(sends(response(429, retry_after)))
        assert raised.value.failure_type.value == "transient_error"
        minutes = f"{(clock.now - 1000) / 60:.0f}"
        assert str(raised.value) == (
            f"Docebo has rate limited every request for {minutes} minutes (429): its limit of about 1,000 requests per "
            "hour and IP address is used up. Sync less often, set calls_per_hour, or ask Docebo for a higher limit."
        )
        assert MAX_RATE_LIMITED_SECONDS == 3 * 3600
        assert MAX_RATE_LIMITED_SECONDS <= clock.now - 1000 < MAX_RATE_LIMITED_SECONDS + MAX_BACKOFF_SECONDS

    def test_gives_up_at_three_hours_exactly(self, clock: Clock) -> None:
        gate = RateLimitGate(clock.wait)
        with pytest.raises(DoceboError, match="for 180 minutes"):
            gate.send(sends(response(429, 3600)))
        assert clock.waits == [3600] * 3

    @pytest.mark.parametrize(("send", "wait"), [(fail, None), (sends(200), fail)])
    def test_a_failure_passes_the_turn_on(
        self, clock: Clock, send: Callable[[], requests.Response], wait: Callable[..., None] | None
    ) -> None:
        gate = limited(clock)
        gate._wait = wait or clock.wait
        with pytest.raises(RuntimeError, match="no time"):
            gate.send(send)
        gate._wait = clock.wait
        assert gate.send(sends(200)).ok

    def test_logs_since_when_and_how_long_it_waits(self, clock: Clock, log: Callable[[], list[str]]) -> None:
        gate = RateLimitGate(clock.wait)
        gate.send(sends(response(429, 30), 429, 200))
        assert untimed(log()) == [
            f"{LIMIT_USED_UP} (429) for 0 seconds; retrying in 30 seconds, at <time>.",
            f"{LIMIT_USED_UP} (429) for 30 seconds; retrying in 2 seconds, at <time>.",
        ]
        assert LIMIT_USED_UP == "Docebo's limit of about 1,000 requests per hour and IP address is used up"


def untimed(lines: list[str]) -> list[str]:
    """The lines, without the times of day."""
    return [re.sub(r"\d\d:\d\d:\d\d UTC", "<time>", line) for line in lines]


def test_a_wait_ends_at_a_time_of_day(clock: Clock, log: Callable[[], list[str]]) -> None:
    RateLimitGate(clock.wait).send(sends(response(429, 3000), 200))
    (line,) = log()
    end = datetime.strptime(line[-13:-5], "%H:%M:%S").replace(tzinfo=timezone.utc)
    expected = datetime.now(timezone.utc) + timedelta(seconds=3000)
    assert abs((end - expected).total_seconds()) % 86400 < 60 or abs((end - expected).total_seconds()) % 86400 > 86340


def test_a_token_that_is_served_does_not_show_the_end(clock: Clock) -> None:
    gate = limited(clock)
    assert gate.send(sends(200), shows_end=False).ok
    before = len(clock.waits)
    gate.send(sends(429, 200))
    assert len(clock.waits) == before + 2  # it waits for its turn, and again


def test_backoff_is_up_to_a_fifth_more_at_random(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert MAX_BACKOFF_SECONDS == 110
    drawn = [backoff_seconds(3) for _ in range(300)]
    assert 8 <= min(drawn) < 8.3
    assert 9.3 < max(drawn) <= 9.6
    assert 1 <= backoff_seconds(0) <= 1.2
    assert 64 <= backoff_seconds(6) <= 76.8
    for failures in (7, 10**6):
        assert 110 <= backoff_seconds(failures) <= 132
