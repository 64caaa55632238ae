"""The client of a sync, directly: retries, redirects, deadline, shared and prefetched pages, bodies."""

import gc
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from uuid import uuid4
from weakref import ref

import pytest
import requests
import requests_mock
from airbyte_cdk.models import FailureType
from airbyte_cdk.sources.streams.http.error_handlers.response_models import ErrorResolution, ResponseAction

from source_docebo.client import (
    CONNECT_TIMEOUT_SECONDS,
    MAX_RETRYING_SECONDS,
    Attempt,
    BodyStore,
    Client,
)
from source_docebo.errors import DoceboError
from unit_tests.builders import PLATFORM, ConfigBuilder
from unit_tests.conftest import Time

URL = f"{PLATFORM}/manage/v1/user?page=1"
Retries = tuple[int, Callable[[int], float]]  # how often, and the seconds after the n-th failure
GENEROUS: Retries = (1000, lambda _: 1.0)
EIGHT: Retries = (8, lambda tries: 2.0**tries)


def config(**fields: Any) -> dict[str, Any]:
    """A configuration of its own, so that no two tests have a client in common."""
    return {**ConfigBuilder().build(), "num_workers": 3, "id": uuid4().hex, **fields}


def judge(response: requests.Response, _: bool) -> ErrorResolution:
    """200 is a success, 204 ignored, 401 needs another token, 403 fails, and anything else is retried."""
    actions = {
        200: ResponseAction.SUCCESS,
        204: ResponseAction.IGNORE,
        401: ResponseAction.REFRESH_TOKEN_THEN_RETRY,
        403: ResponseAction.FAIL,
    }
    action = actions.get(response.status_code, ResponseAction.RETRY)
    return ErrorResolution(action, FailureType.config_error, f"Status {response.status_code}.")


def request(
    client: Client, retries: Retries = EIGHT, method: str = "GET", is_current: Callable[[], bool] = lambda: True
) -> requests.Response:
    return client.request(
        lambda: Attempt(requests.Request(method, URL), is_current), judge, lambda problem: f"Users: {problem}", *retries
    )


def error(client: Client, retries: Retries = EIGHT) -> tuple[str, str]:
    with pytest.raises(DoceboError) as raised:
        request(client, retries)
    return raised.value.failure_type.value, str(raised.value)


class TestRetries:
    @pytest.mark.parametrize("status", [200, 204])
    def test_a_final_response_is_returned(self, mocker: requests_mock.Mocker, clock: Time, status: int) -> None:
        mocker.get(URL, [{"status_code": 500}, {"status_code": status}])
        assert request(Client(config())).status_code == status
        assert clock.slept == 2

    def test_eight_tries(self, mocker: requests_mock.Mocker, clock: Time) -> None:
        mocker.get(URL, status_code=500)
        assert error(Client(config())) == (
            "transient_error",
            "Users: Status 500. Tried 8 times. Sync again later; if it goes on, ask Docebo's support.",
        )
        assert len(mocker.request_history) == 8
        assert clock.slept == sum(2**tries for tries in range(1, 8))

    def test_a_failure_is_not_retried(self, mocker: requests_mock.Mocker) -> None:
        mocker.get(URL, status_code=403)
        with pytest.raises(DoceboError, match=r"^Users: Status 403\.$") as raised:
            request(Client(config()))
        assert (raised.value.failure_type.value, raised.value.status_code) == ("config_error", 403)
        assert len(mocker.request_history) == 1

    def test_five_minutes(self, mocker: requests_mock.Mocker, clock: Time) -> None:
        assert MAX_RETRYING_SECONDS == 300
        mocker.get(URL, status_code=500)
        _, message = error(Client(config()), (1000, lambda _: 61.0))
        assert "Tried 5 times." in message
        assert clock.slept == 244

    def test_busy_time_counts(self, mocker: requests_mock.Mocker, clock: Time) -> None:
        def respond(_: Any, context: Any) -> str:
            clock.sleep(100)
            context.status_code = 500
            return ""

        mocker.get(URL, text=respond)
        error(Client(config()), GENEROUS)
        assert len(mocker.request_history) == 3

    def test_a_second_try_is_always_made(self, mocker: requests_mock.Mocker, clock: Time) -> None:
        mocker.get(URL, [{"status_code": 500}, {"status_code": 200}])
        assert request(Client(config()), (8, lambda _: 400.0)).ok

    def test_retry_after_is_a_floor_under_the_backoff(self, mocker: requests_mock.Mocker, clock: Time) -> None:
        waits = []
        limits = [{"status_code": 503, "headers": {"Retry-After": seconds}} for seconds in ("1", "30", "0")]
        mocker.get(URL, [*limits, {"status_code": 200}])
        client = Client(config())
        client._wait = lambda seconds, _: waits.append(seconds)
        request(client)
        assert waits == [2, 30, 8]

    def test_retry_after_is_followed_for_an_hour_in_all(self, mocker: requests_mock.Mocker, clock: Time) -> None:
        mocker.get(URL, status_code=503, headers={"Retry-After": "1200"})
        _, message = error(Client(config()), GENEROUS)
        assert "Tried 4 times." in message
        assert clock.slept == 3600

    def test_an_hour_of_retry_after_leaves_the_other_tries(self, mocker: requests_mock.Mocker, clock: Time) -> None:
        hour = {"status_code": 503, "headers": {"Retry-After": "3600"}}
        mocker.get(URL, [hour, {"status_code": 502}, {"status_code": 200}])
        assert request(Client(config())).ok

    def test_the_waits_of_retry_after_are_not_counted_twice(self, mocker: requests_mock.Mocker, clock: Time) -> None:
        mocker.get(URL, status_code=503, headers={"Retry-After": "200"})
        error(Client(config()), EIGHT)
        assert len(mocker.request_history) == 8
        assert clock.slept == 7 * 200

    def test_another_token_costs_no_try_and_no_time(self, mocker: requests_mock.Mocker, clock: Time) -> None:
        mocker.get(URL, [{"status_code": 401}] * 20 + [{"status_code": 200}])
        assert request(Client(config()), (1, lambda _: 1.0)).ok
        assert clock.slept == 0

    def test_a_broken_connection_is_retried(self, mocker: requests_mock.Mocker, clock: Time) -> None:
        mocker.get(URL, [{"exc": requests.ConnectionError("Connection refused")}, {"status_code": 200}])
        assert request(Client(config())).ok
        mocker.get(URL, exc=requests.ConnectionError("Connection refused"))
        failure_type, message = error(Client(config()))
        assert failure_type == "transient_error"
        assert message.startswith(
            "Users: acme.docebosaas.com did not respond: the connection was refused. Check base_url."
        )

    def test_a_permanent_problem_is_not_retried(self, mocker: requests_mock.Mocker) -> None:
        mocker.get(URL, exc=requests.exceptions.ProxyError("x"))
        failure_type, message = error(Client(config()))
        assert failure_type == "config_error"
        assert message.startswith("Users: The proxy cannot be reached.")
        assert len(mocker.request_history) == 1

    def test_a_rate_limit_is_waited_for_and_costs_no_try(self, mocker: requests_mock.Mocker, clock: Time) -> None:
        mocker.get(URL, [{"status_code": 429}] * 30 + [{"status_code": 200}])
        assert request(Client(config()), (1, lambda _: 1.0)).ok
        assert clock.slept > 1500

    def test_a_retry_is_logged(self, mocker: requests_mock.Mocker, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("INFO", "airbyte.source_docebo")
        mocker.get(URL, [{"status_code": 500}, {"status_code": 200}])
        request(Client(config()))
        assert [record.getMessage() for record in caplog.records] == ["Users: Status 500. Retrying in 2.0 seconds."]


class TestSettings:
    def test_of_the_environment(self, mocker: requests_mock.Mocker, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/certificates.pem")
        mocker.get(URL)
        request(Client(config()))
        sent = mocker.last_request
        assert sent.proxies["https"] == "http://proxy.example:3128"
        assert sent.verify == "/certificates.pem"
        assert sent.stream is False


class TestDeadline:
    def test_no_retry_goes_beyond_it(self, mocker: requests_mock.Mocker, clock: Time) -> None:
        mocker.get(URL, status_code=500)
        _, message = error(Client(config(__command={"deadline_seconds": 20})))
        assert message == "Users: Status 500. Not enough time left to retry. Try again later."
        assert clock.slept == 2 + 4 + 8

    @pytest.mark.parametrize(
        ("left", "timeout"), [(1000, (10, 60)), (20, (10, 20)), (4, (4, 4)), (0.2, (1, 1)), (-5, (1, 1))]
    )
    def test_a_request_has_the_time_that_is_left(
        self, mocker: requests_mock.Mocker, clock: Time, left: float, timeout: tuple[float, float]
    ) -> None:
        mocker.get(URL)
        client = Client(config(__command={"deadline_seconds": 1000}))
        clock.sleep(1000 - left)
        request(client)
        assert mocker.last_request.timeout == pytest.approx(timeout)
        assert CONNECT_TIMEOUT_SECONDS == 10

    def test_a_page_that_does_not_come_in_time_fails(self, clock: Time) -> None:
        client = Client(config(__command={"deadline_seconds": 5}))
        clock.sleep(5.9)
        stopped = threading.Event()
        with pytest.raises(DoceboError, match=r"acme\.docebosaas\.com did not respond in time"):
            client.page(URL, (), lambda _: stopped.wait(10), share=False)
        stopped.set()

    @pytest.mark.parametrize("command", [None, "test_read", {}])
    def test_there_is_none_unless_a_command_sets_one(self, clock: Time, command: Any) -> None:
        client = Client(config(__command=command))
        client._wait(10**6, "")
        assert client.selected_streams is None
        assert clock.slept == 10**6

    def test_the_command_says_which_streams_are_read(self) -> None:
        assert Client(config(__command={"streams": ["users"]})).selected_streams == ["users"]


class TestRedirects:
    def test_are_followed_and_count_as_requests(self, mocker: requests_mock.Mocker, clock: Time) -> None:
        mocker.get(URL, status_code=302, headers={"Location": "/moved"})
        mocker.get(f"{PLATFORM}/moved", text="here")
        client = Client(config(calls_per_hour=2))
        assert request(client).text == "here"
        assert clock.slept == 0
        request(client)
        assert clock.slept > 3000

    @pytest.mark.parametrize(("number", "allowed"), [(5, True), (6, False)])
    def test_five_at_most(self, mocker: requests_mock.Mocker, number: int, allowed: bool) -> None:
        mocker.get(URL, status_code=302, headers={"Location": "/1"})
        for step in range(1, number):
            mocker.get(f"{PLATFORM}/{step}", status_code=302, headers={"Location": f"/{step + 1}"})
        mocker.get(f"{PLATFORM}/{number}")
        if allowed:
            assert request(Client(config())).ok
        else:
            assert error(Client(config()))[0] == "config_error"

    def test_a_circle_fails_with_the_name_of_the_stream(self, mocker: requests_mock.Mocker) -> None:
        mocker.get(URL, status_code=302, headers={"Location": "/moved"})
        mocker.get(f"{PLATFORM}/moved", status_code=302, headers={"Location": URL})
        failure_type, message = error(Client(config()))
        assert failure_type == "config_error"
        assert message.startswith("Users: acme.docebosaas.com redirects in a circle")
        assert len(mocker.request_history) <= 3

    def test_a_retry_begins_at_the_first_address(self, mocker: requests_mock.Mocker, clock: Time) -> None:
        mocker.get(URL, status_code=302, headers={"Location": "/moved"})
        mocker.get(f"{PLATFORM}/moved", [{"status_code": 500}, {"status_code": 200}])
        assert request(Client(config())).ok
        assert [sent.path for sent in mocker.request_history] == ["/manage/v1/user", "/moved"] * 2


class TestSending:
    def test_dots_of_a_key_stay_quoted(self, mocker: requests_mock.Mocker) -> None:
        mocker.get(requests_mock.ANY)
        client = Client(config())
        for path in ("a/%2E%2E/users", "a/%41/users"):
            client.request(
                lambda path=path: Attempt(requests.Request("GET", f"{PLATFORM}/{path}")),
                judge,
                lambda text: text,
                *EIGHT,
            )
        assert [sent.url.split("/", 3)[3] for sent in mocker.request_history] == ["a/%2E%2E/users", "a/A/users"]

    def test_a_token_that_expires_while_it_waits_for_the_budget_is_not_sent(
        self, mocker: requests_mock.Mocker, clock: Time
    ) -> None:
        mocker.get(URL)
        client = Client(config(calls_per_hour=2))
        current = [False, True]
        request(client, is_current=lambda: current.pop(0))
        request(client)
        assert len(mocker.request_history) == 2
        assert clock.slept == 0  # what was not sent was given back

    def test_one_request_an_hour_is_sent_whatever_its_token(self, mocker: requests_mock.Mocker) -> None:
        mocker.get(URL)
        assert request(Client(config(calls_per_hour=1)), is_current=lambda: False).ok

    def test_only_a_get_opens_the_rate_limit(self, mocker: requests_mock.Mocker, clock: Time) -> None:
        mocker.get(URL)
        mocker.post(URL)
        client = Client(config())
        client._gate._close(requests.Response(), probed=False)
        request(client, method="POST")
        assert client._gate._limited_since is not None
        request(client)
        assert client._gate._limited_since is None


class TestPages:
    def test_is_fetched_once_and_used_once(self) -> None:
        client, fetched = Client(config()), []
        for _ in range(2):
            assert client.page("1", (), lambda url: fetched.append(url) or url, share=False) == "1"
        assert fetched == ["1", "1"]

    def test_shared_pages_are_fetched_once(self) -> None:
        client, fetched = Client(config()), []
        for _ in range(2):
            assert client.page("1", ("2",), lambda url: fetched.append(url) or url, share=True) == "1"
        assert client.page("2", (), lambda url: "another", share=True) == "2"
        assert sorted(fetched) == ["1", "2"]

    def test_following_pages_are_fetched_meanwhile(self) -> None:
        client, fetched = Client(config()), []
        client.page("1", ("2", "3"), lambda url: fetched.append(url) or url, share=False)
        assert client.page("2", ("3",), lambda url: "late", share=False) == "2"
        assert client.page("3", (), lambda url: "late", share=False) == "3"
        assert sorted(fetched) == ["1", "2", "3"]

    def test_no_more_wait_than_there_are_workers(self) -> None:
        client, fetched = Client(config()), []
        client.page("1", [str(number) for number in range(2, 30)], lambda url: fetched.append(url) or url, share=False)
        assert len(client._prefetched) == 3
        client.page("2", [str(number) for number in range(3, 30)], lambda url: fetched.append(url) or url, share=False)
        assert list(client._prefetched) == ["3", "4", "5"]

    def test_as_many_at_a_time_as_there_are_workers(self) -> None:
        client, running, most = Client(config()), [], []

        def fetch(url: str) -> str:
            running.append(url)
            most.append(len(running))
            time.sleep(0.05)
            running.remove(url)
            return url

        client.page("1", ("2", "3", "4"), fetch, share=False)
        for url in ("2", "3", "4"):
            client.page(url, (), fetch, share=False)
        assert max(most) == client.workers == 3

    def test_a_page_of_no_use_is_fetched_again(self) -> None:
        client = Client(config())
        useless = client.page("1", (), lambda _: object(), share=True)
        other = client.page("1", (), lambda _: object(), share=True, instead_of=useless)
        assert other is not useless
        assert client.page("1", (), lambda _: object(), share=True, instead_of=useless) is other
        assert client.page("1", (), lambda _: object(), share=True) is other

    def test_an_error_reaches_everyone_who_needs_the_page(self) -> None:
        client = Client(config())
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                client.page("1", (), lambda _: 1 / 0, share=True)

    def test_what_is_discarded_is_fetched_anew(self) -> None:
        client = Client(config())
        client.page("1", ("2", "3"), lambda url: "early", share=False)
        client.discard(["2", "4"])
        assert list(client._prefetched) == ["3"]
        assert client.page("2", (), lambda url: "late", share=False) == "late"
        assert client.page("3", (), lambda url: "late", share=False) == "early"

    def test_what_is_discarded_before_its_turn_is_never_fetched(self) -> None:
        client, fetched, started = Client(config(num_workers=1)), [], threading.Event()

        def fetch(url: str) -> str:
            started.wait(5)
            fetched.append(url)
            return url

        thread = threading.Thread(target=client.page, args=("1", ("2",), fetch, False))
        thread.start()
        while not client._prefetched:
            time.sleep(0.01)
        client.discard(["2"])
        started.set()
        thread.join(5)
        client.page("3", (), fetch, share=False)
        assert fetched == ["1", "3"]

    def test_close_ends_every_wait(self) -> None:
        client, stopped, errors = Client(config()), threading.Event(), []

        def wait() -> None:
            with pytest.raises(DoceboError, match="abandoned"):
                client.page("1", (), lambda _: stopped.wait(10), share=False)
            errors.append(None)

        thread = threading.Thread(target=wait)
        thread.start()
        while not client._pending:
            time.sleep(0.01)
        client.close()
        thread.join(5)
        stopped.set()
        assert len(errors) == 1

    def test_finished_pages_are_not_pending(self) -> None:
        client = Client(config())
        client.page("1", (), lambda url: url, share=True)
        for _ in range(100):
            if not client._pending:
                break
            time.sleep(0.01)
        assert not client._pending
        client.close()
        assert client._shared["1"].result() == "1"

    def test_no_thread_keeps_the_process_alive(self) -> None:
        assert Client(config()).page("1", (), lambda _: threading.current_thread().daemon, share=False) is True

    def test_its_threads_end_with_it(self) -> None:
        others = set(threading.enumerate())
        client = Client(config(num_workers=3))
        client.page("1", (), partial(lambda _, url: url, client), share=True)
        with pytest.raises(ZeroDivisionError):
            client.page("2", (), lambda _: 1 / 0, share=False)
        threads = set(threading.enumerate()) - others
        assert len(threads) == 3
        del client
        gc.collect()
        for thread in threads:
            thread.join(5)
        assert not any(thread.is_alive() for thread in threads)

    def test_no_page_is_requested_afterwards(self) -> None:
        client = Client(config())
        client.close()
        with pytest.raises(DoceboError, match=r"^The read was abandoned\.$"):
            client.page("1", (), lambda url: url, share=True)


class TestSync:
    """What belongs to one sync, and to no other."""

    def test_equal_configurations_have_one_client(self, monkeypatch: pytest.MonkeyPatch) -> None:
        used = config()
        first = Client.of(used)
        assert Client.of({**used}) is first
        assert Client.of(dict(reversed(used.items()))) is first
        assert Client.of({**used, "id": "another"}) is not first
        monkeypatch.setenv("REQUEST_CACHE_PATH", "/another/command")
        assert Client.of(used) is not first

    def test_ends_with_its_last_user(self) -> None:
        client = Client.of(config())
        client.page("1", (), lambda url: url, share=False)
        reference = ref(client)
        del client
        gc.collect()
        assert reference() is None

    def test_what_is_common_is_created_once(self) -> None:
        client = Client(config())
        assert client.common("a", list) is client.common("a", list)
        assert client.common("a", list) is not client.common("b", list)

    def test_a_warning_is_logged_once(self, caplog: pytest.LogCaptureFixture) -> None:
        client = Client(config())
        for key in (("users", "a"), ("users", "a"), ("users", "b")):
            client.warn_once(key, f"Odd: {key[1]}")
        assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
            ("WARNING", "Odd: a"),
            ("WARNING", "Odd: b"),
        ]

    @pytest.mark.parametrize(("calls_per_hour", "limit"), [({}, 0), ({"calls_per_hour": 5}, 5)])
    def test_calls_per_hour(self, calls_per_hour: Mapping[str, int], limit: int) -> None:
        assert Client(config(**calls_per_hour))._budget.requests_per_hour == limit


class TestBodyStore:
    def test_gives_what_was_put(self) -> None:
        store = BodyStore()
        places = [store.put(body) for body in (b"one", b"", b"three")]
        assert [store.get(place) for place in reversed(places)] == [b"three", b"", b"one"]
        assert store.get(store.put(b"four")) == b"four"

    @pytest.mark.parametrize(("size", "in_file"), [(8_000_000, False), (8_000_001, True)])
    def test_goes_to_a_file_beyond_32_megabytes(self, size: int, in_file: bool) -> None:
        store = BodyStore()
        store.put(b"x" * size)
        assert store._file._rolled == in_file

    def test_without_room_for_a_file_a_body_stays_in_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        store = BodyStore()
        kept = store.put(b"before")

        def fail(_: bytes) -> int:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(store._file, "write", fail, raising=False)
            place = store.put(b"body")
        assert place == b"body"
        assert store.get(place) == b"body"
        assert store.get(kept) == b"before"
        assert store.get(store.put(b"after")) == b"after"
