"""How often requests may be sent: the hourly budget, and the gate that a 429 closes; with a clock that tests move."""

import threading
import time
from collections.abc import Callable

import pytest
import requests

from source_docebo.errors import DoceboError
from source_docebo.rate_limit import (
    HOUR_SECONDS,
    MAX_PROBE_INTERVAL_SECONDS,
    MAX_RATE_LIMITED_ALONE,
    MAX_RATE_LIMITED_SECONDS,
    HourlyBudget,
    RateLimitGate,
    backoff_seconds,
)


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
    """Replaces the clock of the module, and the randomness of its intervals by their longest."""
    clock = Clock()
    monkeypatch.setattr("source_docebo.rate_limit.time", clock)
    monkeypatch.setattr("source_docebo.rate_limit.random.uniform", lambda _, most: most)
    return clock


def response(status: int, **headers: str) -> requests.Response:
    made = requests.Response()
    made.status_code = status
    made.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return made


def sends(*statuses: int | requests.Response | None) -> Callable[[], requests.Response | None]:
    """A function that returns these responses, the last one for ever."""
    left = list(statuses)

    def send() -> requests.Response | None:
        status = left.pop(0) if len(left) > 1 else left[0]
        return response(status) if isinstance(status, int) else status

    return send


class TestHourlyBudget:
    def test_an_hour_has_some_seconds_more(self, clock: Clock) -> None:
        assert HOUR_SECONDS == 3605

    def test_takes_no_more_than_the_number_in_any_hour(self, clock: Clock) -> None:
        budget = HourlyBudget(2, clock.wait)
        sent = []
        for _ in range(5):
            assert budget.take()
            sent.append(clock.now)
            clock.now += 100
        assert [moment - 1000 for moment in sent] == [0, 100, 3605, 3705, 7210]

    def test_a_request_of_exactly_an_hour_ago_counts_no_more(self, clock: Clock) -> None:
        budget = HourlyBudget(1, clock.wait)
        budget.take()
        clock.now += HOUR_SECONDS
        budget.take()
        assert clock.waits == []

    def test_zero_is_no_limit(self, clock: Clock) -> None:
        budget = HourlyBudget(0, clock.wait)
        for _ in range(5000):
            budget.take()
        assert clock.waits == []

    def test_what_is_not_current_by_its_turn_is_not_counted(self, clock: Clock) -> None:
        budget = HourlyBudget(2, clock.wait)
        budget.take()
        clock.now += 10
        assert not budget.take(lambda: False)
        budget.take()
        assert clock.waits == []
        moments = []
        assert not budget.take(lambda: bool(moments.append(clock.now)))
        assert moments == [1000 + HOUR_SECONDS]
        assert clock.waits == [3595]
        budget.take()
        assert clock.waits == [3595]

    def test_one_an_hour_is_always_current(self, clock: Clock) -> None:
        assert HourlyBudget(1, clock.wait).take(lambda: False)

    def test_a_wait_that_fails_takes_nothing(self, clock: Clock) -> None:
        budget = HourlyBudget(1, lambda *_: (_ for _ in ()).throw(RuntimeError("no time")))
        budget.take()
        with pytest.raises(RuntimeError, match="no time"):
            budget.take()
        clock.now += HOUR_SECONDS
        assert budget.take()

    def test_the_wait_names_the_setting(self, clock: Clock) -> None:
        budget = HourlyBudget(1, clock.wait)
        for _ in range(2):
            budget.take()
        assert clock.problems == ["The 1 requests per hour that calls_per_hour allows are used up."]

    def test_a_wait_is_announced_once(self, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("INFO", "airbyte.source_docebo")
        waiting, done = threading.Event(), threading.Event()

        def wait(seconds: float, problem: str) -> None:
            waiting.set()
            done.wait(5)
            clock.now += seconds

        budget = HourlyBudget(3, wait)
        for _ in range(3):
            budget.take()
        threads = [threading.Thread(target=budget.take) for _ in range(3)]
        for thread in threads:
            thread.start()
        waiting.wait(5)
        time.sleep(0.05)  # until the others wait, too
        done.set()
        for thread in threads:
            thread.join(5)
        assert [record.getMessage() for record in caplog.records] == [
            "Waiting 3605 seconds: the 3 requests per hour that calls_per_hour allows are used up."
        ]

    def test_a_wait_of_less_than_a_second_is_not_announced(
        self, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO", "airbyte.source_docebo")
        budget = HourlyBudget(1, clock.wait)
        for early in (0.5, 1.0):
            budget.take()
            clock.now += HOUR_SECONDS - early
        budget.take()
        assert clock.waits == [0.5, 1.0]
        assert [record.getMessage()[:16] for record in caplog.records] == ["Waiting 1 second"]

    def test_the_next_wait_is_announced_again(self, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("INFO", "airbyte.source_docebo")
        budget = HourlyBudget(1, clock.wait)
        for _ in range(3):
            budget.take()
        assert len(caplog.records) == 2


class TestGate:
    def test_any_other_response_passes_at_once(self, clock: Clock) -> None:
        gate = RateLimitGate(clock.wait)
        assert gate.send(sends(500), True).status_code == 500
        assert gate.send(sends(None), True) is None
        assert clock.waits == []

    def test_probes_at_growing_intervals(self, clock: Clock) -> None:
        gate = RateLimitGate(clock.wait)
        assert gate.send(sends(*[429] * 9, 200), True).status_code == 200
        assert clock.waits == [1, 2, 4, 8, 16, 32, 64, MAX_PROBE_INTERVAL_SECONDS, MAX_PROBE_INTERVAL_SECONDS]
        assert set(clock.problems) == {
            "Docebo's limit of about 1,000 requests per hour and IP address is used up (429)."
        }

    def test_the_longest_interval_is_below_two_minutes(self) -> None:
        assert MAX_PROBE_INTERVAL_SECONDS == 110

    def test_intervals_begin_anew_after_a_request_was_served(self, clock: Clock) -> None:
        gate = RateLimitGate(clock.wait)
        gate.send(sends(429, 429, 200), True)
        gate.send(sends(429, 429, 200), True)
        assert clock.waits == [1, 2, 1, 2]

    def test_retry_after_is_a_floor(self, clock: Clock) -> None:
        gate = RateLimitGate(clock.wait)
        limited = [response(429, Retry_After=seconds) for seconds in ("1", "1", "10", "1800", "86400")]
        gate.send(sends(*limited, 200), True)
        assert clock.waits == [1, 2, 10, 1800, 3600]

    @pytest.mark.parametrize("seconds", ["60", "0"])
    def test_gives_up_after_three_hours(self, clock: Clock, seconds: str) -> None:
        gate = RateLimitGate(clock.wait)
        with pytest.raises(DoceboError, match=r"rate limited every request for 180 minutes \(429\)") as raised:
            gate.send(sends(response(429, Retry_After=seconds)), True)
        assert raised.value.failure_type.value == "transient_error"
        assert str(raised.value) == (
            "Docebo has rate limited every request for 180 minutes (429): its limit of about 1,000 requests per hour "
            "and IP address is used up. Sync less often, set calls_per_hour, or ask Docebo for a higher limit."
        )
        assert clock.now - 1000 == MAX_RATE_LIMITED_SECONDS == 3 * 3600

    def test_a_token_does_not_open_the_gate(self, clock: Clock) -> None:
        gate = RateLimitGate(clock.wait)
        gate._close(response(429), probed=False)
        gate.send(sends(200), False)
        assert gate._limited_since is not None
        gate.send(sends(200), True)
        assert gate._limited_since is None

    def test_a_request_that_was_not_sent_does_not_open_the_gate(self, clock: Clock) -> None:
        gate = RateLimitGate(clock.wait)
        gate._close(response(429), probed=False)
        gate.send(sends(None), True)
        assert gate._limited_since is not None

    def test_new_requests_wait_while_the_gate_is_closed(self, clock: Clock) -> None:
        gate = RateLimitGate(clock.wait)
        gate._close(response(429, Retry_After="300"), probed=False)
        gate.send(sends(200), True)
        gate.send(sends(200), True)
        assert clock.waits == [300]

    def test_responses_that_were_under_way_lengthen_no_interval(self, clock: Clock) -> None:
        gate = RateLimitGate(clock.wait)
        for _ in range(8):
            gate._close(response(429), probed=False)
        assert gate._resume_at == clock.now + 1
        gate._close(response(429, Retry_After="30"), probed=False)
        gate._close(response(429), probed=False)
        assert gate._resume_at == clock.now + 30

    def test_one_at_a_time_and_the_limited_one_goes_to_the_end(self, clock: Clock) -> None:
        """Of three that are rate limited for ever so long, none probes twice before the others have."""
        order: list[str] = []
        left = {"limits": 9}
        starting = threading.Barrier(3)
        first_round = dict.fromkeys("abc", True)

        def send(name: str) -> requests.Response:
            if first_round.pop(name, None):
                starting.wait(5)
                return response(429)
            order.append(name)
            left["limits"] -= 1
            return response(429 if left["limits"] >= 0 else 200)

        def wait(seconds: float, problem: str) -> None:
            time.sleep(0.02 if order else 0.1)  # until the others stand in the queue
            clock.wait(seconds, problem)

        gate = RateLimitGate(wait)
        threads = [threading.Thread(target=gate.send, args=(lambda name=name: send(name), True)) for name in "abc"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert len(order) == 12
        assert order[:9] == order[:3] * 3
        assert len(set(order[:3])) == 3

    def test_a_failed_wait_passes_the_turn_on(self, clock: Clock) -> None:
        gate = RateLimitGate(clock.wait)
        gate._close(response(429), probed=False)
        gate._wait = lambda *_: (_ for _ in ()).throw(RuntimeError("no time"))
        with pytest.raises(RuntimeError, match="no time"):
            gate.send(sends(200), True)
        gate._wait = clock.wait
        assert gate.send(sends(200), True).status_code == 200

    def test_a_request_that_fails_passes_the_turn_on(self, clock: Clock) -> None:
        gate = RateLimitGate(clock.wait)
        gate._close(response(429), probed=False)
        with pytest.raises(OSError, match="broken"):
            gate.send(lambda: (_ for _ in ()).throw(OSError("broken")), True)
        assert gate.send(sends(200), True).status_code == 200

    def test_a_request_that_alone_is_limited_fails(self, clock: Clock) -> None:
        gate = RateLimitGate(clock.wait)
        count = 0

        def send() -> requests.Response:
            nonlocal count
            count += 1
            gate._balance += 11  # others, meanwhile
            return response(429)

        with pytest.raises(DoceboError) as raised:
            gate.send(send, True)
        assert str(raised.value) == (
            "Docebo rate limits this request (429) although it serves others. Sync again later; if it goes on, ask "
            "Docebo's support."
        )
        assert raised.value.failure_type.value == "transient_error"
        assert count == 1 + MAX_RATE_LIMITED_ALONE == 9
        waits = [wait for wait, problem in zip(clock.waits, clock.problems, strict=True) if "serves others" in problem]
        assert waits == [1, 2, 4, 8, 16, 32, 64]

    @pytest.mark.parametrize(
        ("limited", "served", "alone"), [(0, 0, False), (0, 1, True), (1, 10, False), (1, 11, True), (2, 20, False)]
    )
    def test_is_alone_while_others_are_served_ten_times_as_often_as_limited(
        self, clock: Clock, limited: int, served: int, alone: bool
    ) -> None:
        gate = RateLimitGate(clock.wait)
        left = [429, 429, 200]

        def send() -> requests.Response:
            if len(left) == 2:
                gate._balance += served - 10 * limited
            return response(left.pop(0))

        gate.send(send, True)
        assert any("serves others" in problem for problem in clock.problems) == alone

    def test_counts_what_was_served_and_limited(self, clock: Clock) -> None:
        gate = RateLimitGate(clock.wait)
        for _ in range(3):
            gate.send(sends(200), True)
        gate.send(sends(429, 429, 500), True)
        assert gate._balance == 4 - 10 * 2

    def test_is_not_alone_at_its_first_429(self, clock: Clock) -> None:
        gate = RateLimitGate(clock.wait)
        for _ in range(50):
            gate.send(sends(200), True)
        gate.send(sends(429, 200), True)
        assert not any("serves others" in problem for problem in clock.problems)

    @pytest.mark.parametrize(
        ("seconds", "text"), [(30, "30 seconds"), (119, "119 seconds"), (120, "2 minutes"), (1800, "30 minutes")]
    )
    def test_logs_how_long_it_waits(
        self, clock: Clock, caplog: pytest.LogCaptureFixture, seconds: int, text: str
    ) -> None:
        caplog.set_level("INFO", "airbyte.source_docebo")
        gate = RateLimitGate(clock.wait)
        gate.send(sends(response(429, Retry_After=str(seconds)), 200), True)
        gate._close(response(429), probed=False)
        gate._close(response(429), probed=False)
        messages = [record.getMessage() for record in caplog.records]
        assert messages == [
            "Docebo's limit of about 1,000 requests per hour and IP address is used up (429) for 0 seconds; "
            f"retrying in {wait}."
            for wait in (text, "1 seconds")
        ]


def test_backoff_is_a_little_less_at_random(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    drawn = [backoff_seconds(3, 110) for _ in range(200)]
    assert 6.4 <= min(drawn) < 6.8
    assert 7.6 < max(drawn) <= 8
    assert max(backoff_seconds(10**6, 1000) for _ in range(200)) <= 2**7
    assert max(backoff_seconds(10**6, 110) for _ in range(100)) <= 110
    assert min(backoff_seconds(10**6, 110) for _ in range(100)) >= 88
