"""Faults of servers and networks: waits that have a bound, redirects, proxies, certificates."""

import socket
import time
from collections.abc import Iterator

import pytest

from integration_tests.command import Connector
from integration_tests.comparison import assert_same_records
from integration_tests.reads import SERVICES, assert_complete, assert_error, assert_failed_alone, read
from integration_tests.sandbox import Fault, Sandbox, Tenant

SMALL = ("branches", "categories", "certifications", "external_training", "groups")
TRIES = 9
WORKERS = 8


@pytest.fixture(scope="module")
def tenant() -> Tenant:
    return Tenant(seed=111, courses=40, users=450)


@pytest.fixture
def sandbox(tenant: Tenant) -> Iterator[Sandbox]:
    with Sandbox(tenant) as running:
        yield running


class TestRetryAfter:
    """What the server says is a floor under the connector's own growing waits, never a replacement."""

    def test_it_is_waited_for_whatever_the_clock_of_the_server(
        self, connector: Connector, tenant: Tenant, sandbox: Sandbox
    ) -> None:
        sandbox.add(Fault.retry_after(3, path="manage/v1/user$", page=1, times=1))
        sandbox.add(Fault.retry_after(3, as_date=True, path="manage/v1/user$", page=2, times=1))
        sandbox.add(Fault.retry_after(3, as_date=True, clock_skew=-7200, path="manage/v1/user$", page=3, times=1))
        sandbox.add(Fault.retry_after(3, as_date=True, clock_skew=7200, path="learn/v1/categories$", times=1))
        output = read(connector, sandbox, "users", "categories", timeout=60)
        assert_complete(tenant, output, ["users", "categories"])
        for limited in (request for request in sandbox.requests if request.status == 429):
            # A date has whole seconds, and requests that were under way when 429 came may still arrive.
            between = [each for each in sandbox.requests if limited.at + 0.5 < each.at < limited.at + 1.9]
            assert not [each for each in between if each.status != 429]

    @pytest.mark.parametrize("value", ["0.01", "-5", "soon", "0"])
    def test_a_short_wait_does_not_replace_the_growing_ones(
        self, connector: Connector, tenant: Tenant, sandbox: Sandbox, value: str
    ) -> None:
        sandbox.add(Fault.retry_after(value, path=SERVICES, seconds=6))
        output = read(connector, sandbox, *SMALL)
        assert_complete(tenant, output, SMALL)
        # One for each worker, then one at a time after 1, 2 and 4 seconds.
        assert len([request for request in sandbox.requests if request.status == 429]) <= WORKERS + 4

    def test_a_503_that_says_one_second_is_retried_as_long_as_one_that_says_nothing(
        self, connector: Connector, tenant: Tenant, sandbox: Sandbox
    ) -> None:
        sandbox.add(Fault.retry_after(1, code=503, path="learn/v1/categories$", seconds=9))
        output = read(connector, sandbox, "categories")
        assert_complete(tenant, output, ["categories"])
        assert len([request for request in sandbox.requests if request.status == 503]) <= 5

    @pytest.mark.parametrize(
        ("code", "value"),
        [(429, "31536000"), (429, "1000000000000"), (503, "86400"), (503, "9" * 400)],
        ids=["429 a year", "429 1e12", "503 a day", "503 400 digits"],
    )
    def test_a_check_ends_in_time_whatever_it_says(
        self, connector: Connector, sandbox: Sandbox, code: int, value: str
    ) -> None:
        sandbox.add(Fault.retry_after(value, code=code, path="learn/v1/courses$"))
        started = time.monotonic()
        output = connector.check(sandbox.config("client_credentials"))
        assert time.monotonic() - started < 30
        assert output.connection_status()["status"] == "FAILED"


def test_check_ends_in_time_though_the_body_does_not(connector: Connector, sandbox: Sandbox) -> None:
    sandbox.add(Fault.stalled_body(path="learn/v1/courses$"))
    started = time.monotonic()
    output = connector.check(sandbox.config("client_credentials"))
    assert time.monotonic() - started < 30
    assert output.connection_status()["status"] == "FAILED"


class TestRedirects:
    def test_within_the_host_up_to_five_are_followed(
        self, hurried: Connector, tenant: Tenant, sandbox: Sandbox
    ) -> None:
        sandbox.add(Fault.redirect_chain(5, path="learn/v1/categories$"))
        sandbox.add(Fault.trailing_slash(path="manage/v1/orgchart/?$"))
        sandbox.add(Fault.redirect_circle(path="learn/v1/certification$"))
        sandbox.add(Fault.redirect_chain(6, path="learn/v1/external_training$"))
        sandbox.add(Fault.unreadable_redirect(path="audiences/v1/audience$"))
        output = read(hurried, sandbox, *SMALL)
        failed = ("certifications", "external_training", "groups")
        assert output.statuses() == {**dict.fromkeys(SMALL, "COMPLETE"), **dict.fromkeys(failed, "INCOMPLETE")}
        assert_same_records(tenant, output, ["branches", "categories"])
        requests = sandbox.requests_by_stream()
        assert requests["categories"] == 6
        assert requests["branches"] == 2
        # The token was accepted, so these are retried like any fault.
        for stream in failed:
            assert_error(output, stream, "transient_error")
            assert TRIES <= requests[stream] <= 6 * TRIES

    def test_another_host_is_named_and_gets_no_request(
        self, hurried: Connector, tenant: Tenant, sandbox: Sandbox
    ) -> None:
        sandbox.add(Fault.redirect(f"{sandbox.other_host.base_url}/categories", path="learn/v1/categories"))
        output = read(hurried, sandbox, *SMALL)
        host = sandbox.other_host.base_url.removeprefix("http://")
        assert_failed_alone(tenant, output, "categories", "transient_error", host, streams=SMALL)
        assert sandbox.requests_by_stream()["categories"] == TRIES
        assert sandbox.other_host.requests == []


class TestFaultsThatWaitingDoesNotFix:
    """They fail at once, and name what is wrong."""

    def failed_check(self, connector: Connector, base_url: str, **environment: str) -> tuple[str, float]:
        """The message of a check, and the seconds that it took."""
        with Sandbox(Tenant(seed=112)) as sandbox:
            config = {**sandbox.config("client_credentials"), "base_url": base_url or sandbox.base_url}
            started = time.monotonic()
            output = connector.check(config, "--debug", environment={"NO_PROXY": "", "no_proxy": "", **environment})
            seconds = time.monotonic() - started
            assert sandbox.requests == []
        assert output.connection_status()["status"] == "FAILED"
        assert "Traceback" not in output.text + output.stderr
        for secret in ("pr0xy-secret", config["credentials"]["client_secret"]):
            assert secret not in output.text + output.stderr
        return output.connection_status()["message"], seconds

    def test_a_dead_proxy(self, connector: Connector) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
        message, seconds = self.failed_check(connector, "", HTTP_PROXY=f"http://me:pr0xy-secret@127.0.0.1:{port}")
        assert "proxy" in message
        assert seconds < 10

    def test_a_proxy_that_needs_a_library(self, connector: Connector) -> None:
        message, seconds = self.failed_check(connector, "", HTTP_PROXY="socks5://me:pr0xy-secret@127.0.0.1:1")
        assert "SOCKS" in message
        assert seconds < 10

    def test_a_file_of_certificates_that_does_not_exist(self, connector: Connector) -> None:
        file = "/nowhere/certificates.pem"
        message, seconds = self.failed_check(connector, "https://127.0.0.1:1", REQUESTS_CA_BUNDLE=file)
        assert "REQUESTS_CA_BUNDLE" in message
        assert seconds < 10

    def test_a_file_of_certificates_does_not_matter_without_https(self, connector: Connector) -> None:
        with Sandbox(Tenant(seed=113)) as sandbox:
            output = connector.check(
                sandbox.config("client_credentials"), environment={"REQUESTS_CA_BUNDLE": "/nowhere/certificates.pem"}
            )
        assert output.connection_status()["status"] == "SUCCEEDED"
