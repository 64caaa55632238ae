"""
Faults of the platform: each either passes, with nothing lost and nothing doubled, or fails the one stream with a
message that says what happened, where and what to do, while the others are read to the end.
"""

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from integration_tests.command import STREAMS, Connector, rest_of
from integration_tests.documented import assert_documented
from integration_tests.reads import SERVICES, assert_complete, assert_failed_alone, read
from integration_tests.sandbox import Fault, Sandbox, Tenant

SMALL = ("branches", "categories", "certifications", "external_training", "groups")
WORKERS = 8


@pytest.fixture(scope="module")
def tenant() -> Tenant:
    return Tenant(seed=21, courses=130, users=450, groups=8, learning_plans=8)


@pytest.fixture
def sandbox(tenant: Tenant) -> Iterator[Sandbox]:
    with Sandbox(tenant) as running:
        yield running


class TestTokens:
    def test_a_token_that_is_revoked_again_and_again_is_renewed_once_each_time(
        self, connector: Connector, tenant: Tenant
    ) -> None:
        with Sandbox(tenant, revoke_every=60) as sandbox:
            output = read(connector, sandbox)
            revocations = len([request for request in sandbox.requests if request.status == 200]) // 60
            assert sandbox.tokens_issued <= revocations + 2
        assert_complete(tenant, output)

    def test_tokens_of_four_seconds(self, connector: Connector, tenant: Tenant) -> None:
        with Sandbox(tenant, token_lifetime=4, latency=0.05) as sandbox:
            output = read(connector, sandbox)
            assert not [request for request in sandbox.requests if request.status == 401]
        assert_complete(tenant, output)

    def test_a_token_that_is_revoked_every_few_requests(self, connector: Connector, tenant: Tenant) -> None:
        with Sandbox(tenant, revoke_every=12, latency=0.01) as sandbox:
            output = read(connector, sandbox)
        assert_complete(tenant, output)

    @pytest.mark.parametrize(
        "fault",
        [
            lambda: Fault.status(500, path="oauth2/token", times=2),
            lambda: Fault.status(503, path="oauth2/token", times=2),
            lambda: Fault.status(429, path="oauth2/token", times=2),
            lambda: Fault.reset(path="oauth2/token", times=2),
        ],
        ids=["500", "503", "429", "reset"],
    )
    def test_a_token_endpoint_that_fails_for_a_while(
        self, connector: Connector, tenant: Tenant, sandbox: Sandbox, fault: Callable[[], Fault]
    ) -> None:
        sandbox.add(fault())
        assert_complete(tenant, read(connector, sandbox, *SMALL), SMALL)

    @pytest.mark.parametrize("expires_in", [0, -1, "7200", 1e308, None, "soon"])
    def test_a_lifetime_that_cannot_be_costs_one_token(
        self, connector: Connector, tenant: Tenant, sandbox: Sandbox, expires_in: object
    ) -> None:
        sandbox.add(Fault.token(expires_in=expires_in))
        assert_complete(tenant, read(connector, sandbox, *SMALL), SMALL)
        assert sandbox.tokens_issued == 1

    def test_tokens_that_are_all_rejected_cost_few_requests(self, connector: Connector, sandbox: Sandbox) -> None:
        sandbox.add(Fault.status(401, path=SERVICES))
        output = read(connector, sandbox)
        assert output.code == 1
        assert output.statuses() == dict.fromkeys(STREAMS, "INCOMPLETE")
        rejected = [error for error in output.errors() if "401" in error["message"]]
        assert {error["failure_type"] for error in rejected} == {"config_error"}
        # Each list finds out by itself: four requests, with a token for each of them at most.
        assert max(count for stream, count in sandbox.requests_by_stream().items() if stream != "token") <= 4 * WORKERS
        assert len(sandbox.requests) <= 2 * 4 * len(STREAMS)

    def test_a_path_that_always_says_401_costs_few_requests(
        self, connector: Connector, tenant: Tenant, sandbox: Sandbox
    ) -> None:
        sandbox.add(Fault.status(401, path="learn/v1/categories$"))
        output = read(connector, sandbox)
        assert_failed_alone(tenant, output, "categories", "config_error", "401")
        assert sandbox.tokens_issued <= 4
        assert sandbox.requests_by_stream()["categories"] <= 4

    @pytest.mark.parametrize(
        "fault",
        [
            Fault.status(429, path="oauth2/token"),
            Fault.hang(60, path="oauth2/token"),
            Fault.hang(60, path="learn/v1/courses"),
            Fault.html_200(path="learn/v1/courses"),
        ],
        ids=["token 429", "token hangs", "courses hang", "courses html"],
    )
    def test_check_ends_within_30_seconds(self, connector: Connector, sandbox: Sandbox, fault: Fault) -> None:
        sandbox.add(fault)
        started = time.monotonic()
        output = connector.check(sandbox.config("client_credentials"))
        assert time.monotonic() - started < 30
        assert output.connection_status()["status"] == "FAILED"


class TestFaultsThatPass:
    @pytest.mark.parametrize(
        "faults",
        [
            lambda where: [Fault.status(500, **where), Fault.status(502, html=True, **where)],
            lambda where: [Fault.status(503, **where), Fault.status(504, html=True, **where)],
            lambda where: [Fault.status(425, **where), Fault.status(408, **where), Fault.firewall(**where)],
            lambda where: [Fault.reset(**where), Fault.cut_body(**where)],
            lambda where: [Fault.html_200(**where), Fault.json_without_list(**where), Fault.empty_body(**where)],
        ],
        ids=["500 and 502", "503 and 504", "425, 408 and a firewall", "connections", "bodies"],
    )
    def test_one_response_in_forty_is_broken(
        self,
        connector: Connector,
        tenant: Tenant,
        sandbox: Sandbox,
        faults: Callable[[dict[str, object]], list[Fault]],
    ) -> None:
        for fault in faults({"path": SERVICES, "every": 40}):
            sandbox.add(fault)
        assert_complete(tenant, read(connector, sandbox))

    def test_while_the_limit_lasts_one_request_at_a_time_finds_out(
        self, connector: Connector, tenant: Tenant, sandbox: Sandbox
    ) -> None:
        sandbox.add(Fault.rate_limit(12))
        output = read(connector, sandbox)
        assert_complete(tenant, output)
        limited = [request for request in sandbox.requests if request.status == 429]
        assert 3 <= len(limited) <= WORKERS + 5
        assert any("429" in line for line in output.logs())

    def test_a_limit_that_comes_again_costs_few_requests(self, connector: Connector, tenant: Tenant) -> None:
        with Sandbox(tenant, requests_per_window=(120, 6)) as sandbox:
            output = read(connector, sandbox)
            limited = [request for request in sandbox.requests if request.status == 429]
        assert_complete(tenant, output)
        assert 0 < len(limited) < 0.25 * tenant.minimum_requests()

    def test_lists_of_unusual_form_are_read_whole(self, connector: Connector, tenant: Tenant, sandbox: Sandbox) -> None:
        sandbox.add(Fault.bare_list(path="manage/v1/user$"))
        sandbox.add(Fault.no_has_more(path="learn/v1/courses$"))
        sandbox.add(Fault.numbers_as_strings(path="course/v1/courses/enrollments"))
        sandbox.add(Fault.string_flags(path="learningplan/v1/learningplans/enrollments"))
        sandbox.add(Fault.has_more_forever(path="audiences/v1/audience$"))
        assert_complete(tenant, read(connector, sandbox))


class TestFaultsThatFailOneStream:
    def test_403_fails_at_once(self, connector: Connector, tenant: Tenant, sandbox: Sandbox) -> None:
        sandbox.add(Fault.status(403, path="learn/v1/external_training"))
        output = read(connector, sandbox)
        assert_failed_alone(tenant, output, "external_training", "config_error", "403")
        assert sandbox.requests_by_stream()["external_training"] == 1

    def test_404_on_a_list(self, connector: Connector, tenant: Tenant, sandbox: Sandbox) -> None:
        sandbox.add(Fault.status(404, path="learn/v1/certification"))
        output = read(connector, sandbox)
        assert_failed_alone(tenant, output, "certifications", "config_error", "404")
        assert sandbox.requests_by_stream()["certifications"] == 1

    def test_an_unforeseen_error_is_quoted_without_personal_data(
        self, connector: Connector, tenant: Tenant, sandbox: Sandbox
    ) -> None:
        email = tenant.wire("users")[3]["email"]
        sandbox.add(Fault.status(400, message=f"The sort of {email} is not known", path="learn/v1/categories"))
        output = read(connector, sandbox)
        assert_failed_alone(tenant, output, "categories", "system_error", "400", "The sort of *** is not known")


def test_calls_per_hour_holds_for_tokens_and_streams_together(connector: Connector, sandbox: Sandbox) -> None:
    config = {**sandbox.config("client_credentials"), "calls_per_hour": 9}
    with connector.reading(config, ["courses", "course_learning_objects"]) as process:
        assert process.stdout
        wait = json.loads(next(line for line in process.stdout if b"calls_per_hour" in line))["log"]
        time.sleep(1)
    assert wait["level"] == "INFO"
    assert_documented(wait["message"])
    assert 3500 < int(re.findall(r"Waiting (\d+)", wait["message"])[0]) <= 3606
    assert len(sandbox.requests) == 9


class TestEndings:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_ends_the_read_at_once(self, connector: Connector, tenant: Tenant, number: signal.Signals) -> None:
        with (
            Sandbox(tenant, latency=0.3) as sandbox,
            connector.reading(sandbox.config("client_credentials")) as process,
        ):
            self.wait_for_records(process)
            started = time.monotonic()
            process.send_signal(number)
            output = rest_of(process)
        assert time.monotonic() - started < 3
        assert output.code == -number
        assert output.messages
        assert "Traceback" not in output.stderr

    def test_a_process_that_is_paused_goes_on(self, connector: Connector, tenant: Tenant) -> None:
        with (
            Sandbox(tenant, latency=0.02) as sandbox,
            connector.reading(sandbox.config("client_credentials")) as process,
        ):
            process.send_signal(signal.SIGSTOP)
            time.sleep(1)
            process.send_signal(signal.SIGCONT)
            output = rest_of(process)
        assert_complete(tenant, output)

    def test_an_output_that_nobody_reads_ends_the_read(self, connector: Connector, tenant: Tenant) -> None:
        with (
            Sandbox(tenant, latency=0.05) as sandbox,
            connector.reading(sandbox.config("client_credentials")) as process,
        ):
            self.wait_for_records(process)
            assert process.stdout
            assert process.stderr
            process.stdout.close()
            errors = process.stderr.read()
            process.wait(timeout=30)
            process.stdout = None
        assert process.returncode != 0
        assert b"Traceback" not in errors

    def wait_for_records(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdout
        while b'"RECORD"' not in process.stdout.readline():
            assert process.poll() is None
