"""The client of a sync, directly: the loop around each request, and its shared and prefetched pages."""

import gc
import threading
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4
from weakref import ref

import pytest
import requests
import requests_mock

from source_docebo import client as client_module
from source_docebo.client import MAX_TRIES, TRY_LATER, Client, RetryError
from source_docebo.errors import DoceboError, RequestError, config_error
from unit_tests.builders import PLATFORM, ConfigBuilder
from unit_tests.conftest import Time

URL = f"{PLATFORM}/manage/v1/user?page=1"
FOREVER = float("inf")
Responses = list[dict[str, Any]]


def config(**fields: Any) -> dict[str, Any]:
    """A configuration of its own, so that no two tests have a client in common."""
    return {**ConfigBuilder().build(), "num_workers": 3, "id": uuid4().hex, **fields}


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shortest of the random intervals."""
    monkeypatch.setattr("source_docebo.rate_limit.random.uniform", lambda least, _: least)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch, clock: Time) -> list[float]:
    """The seconds of each wait."""
    waited: list[float] = []
    monkeypatch.setattr(clock, "sleep", lambda seconds: waited.append(seconds) or Time.sleep(clock, seconds))
    return waited


def read(response: requests.Response) -> requests.Response:
    """200 is served, 401 needs another token, 403 fails for good, and anything else is retried."""
    if response.status_code == 401:
        raise RetryError
    if response.status_code == 403:
        raise config_error("Status 403.")
    if not response.ok:
        raise RetryError(f"Status {response.status_code}.")
    return response


def request(client: Client, method: str = "GET", until: float = FOREVER, **options: Any) -> requests.Response:
    return client.request(
        "users", lambda: (requests.Request(method, URL), until), read, lambda problem: f"Users: {problem}", **options
    )


def error(client: Client, **options: Any) -> tuple[str, str]:
    with pytest.raises(DoceboError) as raised:
        request(client, **options)
    return raised.value.failure_type.value, str(raised.value)


def used(**fields: Any) -> Client:
    """A client that was served before."""
    client = Client(config(**fields))
    client.accepted = True
    return client


class TestTries:
    def test_what_is_read_is_returned(self, mocker: requests_mock.Mocker, waits: list[float]) -> None:
        mocker.get(URL, [{"status_code": 500}, {"text": "here"}])
        assert request(Client(config())).text == "here"
        assert waits == [1]

    def test_nine(self, mocker: requests_mock.Mocker, waits: list[float]) -> None:
        mocker.get(URL, status_code=500)
        assert error(Client(config())) == ("transient_error", f"Users: Status 500. Tried 9 times. {TRY_LATER}")
        assert len(mocker.request_history) == MAX_TRIES == 9
        assert waits == [1, 2, 4, 8, 16, 32, 64, 110]
        assert TRY_LATER == "Try again later; if it persists, contact Docebo support."

    def test_fewer_where_fewer_are_enough(self, mocker: requests_mock.Mocker, waits: list[float]) -> None:
        mocker.get(URL, status_code=500)
        with pytest.raises(RequestError, match=r"Tried 3 times\."):
            request(Client(config()), max_tries=3)
        assert waits == [1, 2]

    def test_a_response_that_came_before_counts_as_the_first(
        self, mocker: requests_mock.Mocker, waits: list[float]
    ) -> None:
        mocker.get(URL, status_code=500)
        assert "Tried 3 times" in error(Client(config()), max_tries=3, problem="Status 502.")[1]
        assert len(mocker.request_history) == 2
        assert waits == [1, 2]

    def test_what_else_is_raised_fails_at_once(self, mocker: requests_mock.Mocker) -> None:
        mocker.get(URL, status_code=403)
        assert error(Client(config())) == ("config_error", "Status 403.")
        assert len(mocker.request_history) == 1

    def test_another_token_costs_no_try_and_no_time(self, mocker: requests_mock.Mocker, waits: list[float]) -> None:
        mocker.get(URL, [{"status_code": 401, "headers": {"Retry-After": "60"}}] * 20 + [{"status_code": 200}])
        assert request(used(), max_tries=1).ok
        assert waits == []

    def test_prepare_is_called_for_each(self, mocker: requests_mock.Mocker) -> None:
        mocker.get(URL, [{"status_code": 401}, {"status_code": 500}, {"status_code": 200}])
        tokens = ["1", "2", "3"]
        used().request(
            "users",
            lambda: (requests.Request("GET", URL, headers={"Authorization": tokens.pop(0)}), FOREVER),
            read,
            str,
        )
        assert [sent.headers["Authorization"] for sent in mocker.request_history] == ["1", "2", "3"]

    @pytest.mark.parametrize("fault", [requests.ConnectionError("Connection refused"), UnicodeError("refused")])
    def test_no_response_is_retried(self, mocker: requests_mock.Mocker, waits: list[float], fault: Exception) -> None:
        mocker.get(URL, [{"exc": fault}, {"status_code": 200}])
        assert request(Client(config())).ok
        mocker.get(URL, exc=fault)
        failure_type, message = error(Client(config()), max_tries=2)
        assert failure_type == "transient_error"
        assert message == (
            "Users: acme.docebosaas.com did not respond: the connection was refused. Check base_url. Tried 2 times. "
            + TRY_LATER
        )
        assert "base_url" not in error(used(), max_tries=2)[1]

    @pytest.mark.parametrize("status", [408, 500, 503, 404])
    def test_retry_after_counts_for_every_status(
        self, mocker: requests_mock.Mocker, waits: list[float], status: int
    ) -> None:
        limits = [{"status_code": status, "headers": {"Retry-After": seconds}} for seconds in ("0", "1200", "86400")]
        mocker.get(URL, [*limits, {"status_code": status}, {"status_code": 200}])
        request(Client(config()))
        assert waits == [1, 1200, 3600, 8]

    def test_retry_after_is_of_the_last_response(self, mocker: requests_mock.Mocker, waits: list[float]) -> None:
        limited = {"status_code": 503, "headers": {"Retry-After": "60"}}
        mocker.get(URL, [limited, {"exc": requests.ConnectionError("x")}, {"status_code": 200}])
        request(Client(config()))
        assert waits == [60, 2]

    def test_a_rate_limit_costs_no_try(self, mocker: requests_mock.Mocker, clock: Time) -> None:
        mocker.get(URL, [{"status_code": 429}] * 30 + [{"status_code": 200}])
        assert request(Client(config()), max_tries=1).ok
        assert clock.slept > 1500

    def test_each_is_logged(self, mocker: requests_mock.Mocker, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("INFO", "airbyte.source_docebo")
        mocker.get(URL, [{"status_code": 500}, {"status_code": 200}])
        request(Client(config()))
        assert [record.getMessage() for record in caplog.records] == ["Users: Status 500. Retrying in 1.0 seconds."]


class TestAccepted:
    """Until a first response of Docebo, the configuration may be wrong; afterwards a fault is a fault."""

    @pytest.mark.parametrize(
        ("responses", "failure_type"),
        [
            ([{"status_code": 404}], "config_error"),
            ([{"status_code": 499}], "config_error"),
            ([{"status_code": 500}], "transient_error"),
            ([{"status_code": 404}, {"status_code": 500}], "transient_error"),
            ([{"status_code": 404}, {"exc": requests.ConnectionError("x")}], "transient_error"),
        ],
    )
    def test_whose_fault_it_is(self, mocker: requests_mock.Mocker, responses: Responses, failure_type: str) -> None:
        mocker.get(URL, responses)
        assert error(Client(config()), max_tries=2)[0] == failure_type
        mocker.get(URL, responses)
        assert error(used(), max_tries=2)[0] == "transient_error"

    def test_a_wrong_setting_is_not_retried_before(self, mocker: requests_mock.Mocker) -> None:
        mocker.get(URL, exc=requests.exceptions.InvalidProxyURL("x"))
        failure_type, message = error(Client(config()))
        assert failure_type == "config_error"
        assert message.startswith("Users: The proxy has no valid address.")
        assert len(mocker.request_history) == 1

    def test_but_afterwards(self, mocker: requests_mock.Mocker) -> None:
        mocker.get(URL, [{"status_code": 200}, {"exc": requests.exceptions.InvalidProxyURL("x")}, {"text": "here"}])
        client = Client(config())
        assert not client.accepted
        request(client)
        assert client.accepted
        assert request(client).text == "here"


class TestSending:
    def test_settings_of_the_environment(self, mocker: requests_mock.Mocker, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/certificates.pem")
        mocker.get(URL)
        request(Client(config()))
        sent = mocker.last_request
        assert sent.proxies["https"] == "http://proxy.example:3128"
        assert sent.verify == "/certificates.pem"
        assert not sent.stream
        assert sent.timeout == (10, 60)

    def test_as_many_connections_as_workers(self) -> None:
        assert Client(config(num_workers=7))._session.get_adapter(URL)._pool_maxsize == 7  # type: ignore[attr-defined]

    @pytest.mark.parametrize(("method", "status"), [("GET", 200), ("POST", 302)])
    def test_only_a_get_is_redirected(self, mocker: requests_mock.Mocker, method: str, status: int) -> None:
        mocker.register_uri(method, URL, status_code=302, headers={"Location": "/moved"})
        mocker.get(f"{PLATFORM}/moved")
        assert request(Client(config()), method).status_code == status

    def test_a_redirect_to_another_host_is_a_fault(self, mocker: requests_mock.Mocker) -> None:
        mocker.get(URL, [{"status_code": 302, "headers": {"Location": "https://status.example/"}}, {"text": "here"}])
        assert request(Client(config())).text == "here"

    def test_a_token_that_expires_while_it_waits_for_the_budget_is_not_sent(
        self, mocker: requests_mock.Mocker, clock: Time
    ) -> None:
        mocker.get(URL)
        client, now = used(calls_per_hour=1), clock.monotonic()
        request(client)
        untils = [now + 3600, now + 3606]
        client.request("users", lambda: (requests.Request("GET", URL), untils.pop(0)), read, str)
        assert untils == []
        assert len(mocker.request_history) == 2
        assert clock.slept == 3605

    @pytest.mark.parametrize("limit", [None, 0, 5])
    def test_calls_per_hour(self, mocker: requests_mock.Mocker, clock: Time, limit: int | None) -> None:
        mocker.get(URL)
        client = Client(config(**({} if limit is None else {"calls_per_hour": limit})))
        for _ in range(6):
            request(client)
        assert clock.slept == (3605 if limit else 0)

    def test_one_rate_limit_for_all(self, mocker: requests_mock.Mocker, waits: list[float]) -> None:
        mocker.get(URL)
        client = Client(config())
        limited = requests.Response()
        limited.headers["Retry-After"] = "30"
        client._gate._close(limited, is_repeated=False)
        request(client)
        assert waits == [30]


class TestDeadline:
    def test_no_wait_goes_beyond_it(
        self, mocker: requests_mock.Mocker, clock: Time, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO", "airbyte.source_docebo")
        mocker.get(URL, status_code=500)
        client = Client(config(__command={"seconds": 15}))
        assert error(client) == ("transient_error", f"Users: Status 500. {TRY_LATER}")
        assert clock.slept == 1 + 2 + 4 + 8
        assert len(caplog.records) == 4  # no retry is announced that does not come

    def test_a_rate_limit_says_so(self, mocker: requests_mock.Mocker) -> None:
        mocker.get(URL, status_code=429)
        _, message = error(Client(config(__command={"seconds": 20})))
        assert message == (
            f"Docebo's limit of about 1,000 requests per hour and IP address is used up (429). {TRY_LATER}"
        )

    def test_calls_per_hour_says_so(self, mocker: requests_mock.Mocker) -> None:
        mocker.get(URL)
        client = Client(config(__command={"seconds": 300}, calls_per_hour=2))
        for _ in range(2):
            request(client)
        assert error(client)[1] == f"The 2 requests per hour that calls_per_hour allows are used up. {TRY_LATER}"

    @pytest.mark.parametrize(
        ("left", "timeout"), [(1000, (10, 60)), (20, (10, 20)), (4, (4, 4)), (0.2, (1, 1)), (-5, (1, 1))]
    )
    def test_a_request_has_the_time_that_is_left(
        self, mocker: requests_mock.Mocker, clock: Time, left: float, timeout: tuple[float, float]
    ) -> None:
        mocker.get(URL)
        client = Client(config(__command={"seconds": 1000}))
        clock.sleep(1000 - left)
        request(client)
        assert mocker.last_request.timeout == pytest.approx(timeout)

    @pytest.mark.parametrize("command", [None, "test_read", {}])
    def test_there_is_none_unless_a_command_sets_one(self, clock: Time, command: Any) -> None:
        client = Client(config(__command=command))
        client.wait(10**6, "")
        assert client.selected_streams is None
        assert clock.slept == 10**6

    def test_the_command_says_which_streams_are_read(self) -> None:
        assert Client(config(__command={"streams": {"users": []}})).selected_streams == {"users": []}


class TestPages:
    @pytest.fixture
    def fetched(self) -> list[str]:
        """What was fetched, in this order."""
        return []

    @pytest.fixture
    def fetch(self, fetched: list[str]) -> Callable[[str], str]:
        """Fetches a page: its URL, and how often any was fetched."""
        lock = threading.Lock()

        def fetch(url: str) -> str:
            with lock:
                fetched.append(url)
                return f"{url} as {len(fetched)}"

        return fetch

    @pytest.mark.parametrize("share", [True, False])
    def test_only_a_shared_one_is_kept(self, fetch: Callable[[str], str], share: bool) -> None:
        client = Client(config())
        assert client.page("1", lambda: fetch("1"), share).result() == "1 as 1"
        assert client.page("1", lambda: fetch("1"), share).result() == f"1 as {1 if share else 2}"

    def test_it_is_fetched_by_a_thread_of_the_client(self) -> None:
        assert Client(config()).page("1", threading.current_thread).result() is not threading.current_thread()

    def test_a_prefetched_one_is_used_once(self, fetch: Callable[[str], str], fetched: list[str]) -> None:
        client = Client(config(num_workers=1))
        client.prefetch(["1"], fetch)
        client.prefetch(["1"], fetch)
        assert [client.page("1", lambda: fetch("1")).result() for _ in range(2)] == ["1 as 1", "1 as 2"]
        assert fetched == ["1", "1"]

    def test_a_prefetched_one_is_shared(self, fetch: Callable[[str], str], fetched: list[str]) -> None:
        client = Client(config())
        client.prefetch(["1"], fetch)
        for _ in range(2):
            assert client.page("1", lambda: fetch("1"), share=True).result() == "1 as 1"
        client.prefetch(["1"], fetch)
        assert client._prefetched == {}
        assert fetched == ["1"]

    def test_again_fetches_it_anew_for_all(self, fetch: Callable[[str], str]) -> None:
        client = Client(config())
        client.page("1", lambda: fetch("1"), share=True)
        assert client.page("1", lambda: fetch("1"), share=True, again=True).result() == "1 as 2"
        assert client.page("1", lambda: fetch("1"), share=True).result() == "1 as 2"

    def test_again_uses_what_was_prefetched_for_that(self, fetch: Callable[[str], str], fetched: list[str]) -> None:
        client = Client(config())
        client.prefetch(["1"], fetch)
        client.page("1", lambda: fetch("1"), again=True).result()
        assert fetched == ["1"]

    def test_no_more_wait_than_there_are_workers(self, fetch: Callable[[str], str]) -> None:
        client = Client(config(num_workers=3))
        client.prefetch(["2", "3", "4", "5"], fetch)
        assert list(client._prefetched) == ["2", "3", "4"]
        client.page("2", lambda: "late")
        client.prefetch(["3", "4", "5", "6"], fetch)
        assert list(client._prefetched) == ["3", "4", "5"]

    def test_as_many_at_a_time_as_there_are_workers(self) -> None:
        client, together = Client(config(num_workers=3)), threading.Barrier(3, timeout=10)
        pages = [client.page(url, together.wait) for url in "123"]
        assert sorted(page.result() for page in pages) == [0, 1, 2]
        assert client.workers == client._executor._max_workers == 3

    def test_an_error_reaches_everyone_who_needs_the_page(self) -> None:
        client = Client(config())
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                client.page("1", lambda: 1 / 0, share=True).result()

    def test_what_is_discarded_is_fetched_anew(self, fetch: Callable[[str], str]) -> None:
        client = Client(config(num_workers=2))
        client.prefetch(["2", "3"], lambda _: "early")
        client.discard(["2", "4"])
        assert list(client._prefetched) == ["3"]
        assert client.page("2", lambda: "late").result() == "late"
        assert client.page("3", lambda: "late").result() == "early"

    def test_what_is_discarded_before_its_turn_is_never_fetched(
        self, fetch: Callable[[str], str], fetched: list[str]
    ) -> None:
        client, free = Client(config(num_workers=1)), threading.Event()
        first = client.page("1", lambda: free.wait(10))
        client.prefetch(["2"], fetch)
        client.discard(["2"])
        free.set()
        assert first.result()
        client.page("3", lambda: fetch("3")).result()
        assert fetched == ["3"]

    def test_its_threads_end_with_it(self) -> None:
        others = set(threading.enumerate())
        client = Client(config(num_workers=3))
        client.page("1", lambda: None, share=True).result()
        threads = set(threading.enumerate()) - others
        assert threads
        del client
        gc.collect()
        for thread in threads:
            thread.join(5)
        assert not any(thread.is_alive() for thread in threads)


class TestSync:
    """What belongs to one sync, and to no other."""

    def test_equal_configurations_have_one_client(self) -> None:
        used = config()
        first = Client.of(used)
        assert Client.of({**used}) is first
        assert Client.of(dict(reversed(used.items()))) is first
        assert Client.of({**used, "id": "another"}) is not first

    def test_ends_with_its_last_user(self) -> None:
        client = Client.of(config())
        client.page("1", lambda: None).result()
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

    def test_secrets_are_masked_again_for_each_command(self, monkeypatch: pytest.MonkeyPatch) -> None:
        masked: list[Mapping[str, Any]] = []
        monkeypatch.setattr(client_module, "mask", lambda: masked.append({}))
        Client(config())
        assert masked
