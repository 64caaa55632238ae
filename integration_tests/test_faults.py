"""
Every fault either heals, with nothing lost and nothing doubled, or fails that one stream with a message that says what
happened, on which stream, and what to do, while the others go on to the end.
"""

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from integration_tests.command import STREAMS, Connector, Output, catalog, files
from integration_tests.comparison import assert_same, assert_same_records
from integration_tests.documented import assert_documented
from integration_tests.sandbox import CHILDREN, Fault, Sandbox, Tenant, without_nulls

ANY_DATA = r"^/(manage|learn|course|learningplan|audiences)/"


@pytest.fixture(scope="module")
def tenant() -> Tenant:
    return Tenant(seed=21, courses=130, users=450, groups=8, learning_plans=8)


@pytest.fixture
def sandbox(tenant: Tenant) -> Iterator[Sandbox]:
    with Sandbox(tenant) as running:
        yield running


def read(connector: Connector, sandbox: Sandbox, *streams: str) -> Output:
    output = connector.read(sandbox.config("client_credentials"), streams or STREAMS)
    assert_nothing_private_is_told(sandbox, output)
    for error in output.errors():
        assert_documented(error["message"])
    for line in output.logs():
        level, _, text = line.partition(" ")
        if text.startswith(("Stream ", "Signing in", "Docebo", "Waiting")) and level in ("INFO", "WARN"):
            assert_documented(text)
    return output


def assert_nothing_private_is_told(sandbox: Sandbox, output: Output) -> None:
    """No secret, token or person's data in any log or error."""
    told = "\n".join([*output.logs(), json.dumps(output.errors()), output.stderr])
    credentials = sandbox.config("password")["credentials"]
    secrets = {credentials["client_secret"], credentials["password"], *(c.token for c in sandbox.calls if c.token)}
    people = {user[field] for user in sandbox.tenant.wire("users")[:50] for field in ("email", "username")}
    for text in secrets | people:
        assert str(text) not in told, "a secret, a token or a person's data is told"


def healed(tenant: Tenant, output: Output) -> None:
    assert output.code == 0, output.errors()
    assert output.statuses() == dict.fromkeys(STREAMS, "COMPLETE")
    assert_same_records(tenant, output)


def failed_alone(tenant: Tenant, output: Output, stream: str, failure_type: str, *words: str) -> None:
    """One stream failed, and said so; the fifteen others are whole."""
    assert output.code == 1
    others = [name for name in STREAMS if name != stream]
    assert output.statuses() == {stream: "INCOMPLETE", **dict.fromkeys(others, "COMPLETE")}
    assert_same_records(tenant, output, others)
    told = [error for error in output.errors() if (error.get("stream_descriptor") or {}).get("name") == stream]
    assert told, output.errors()
    assert told[0]["failure_type"] == failure_type
    for word in (stream, *words):
        assert word in told[0]["message"]
    assert all("Traceback" not in json.dumps(error) for error in output.errors())
    assert not any("Traceback" in line for line in output.logs())


class TestTokens:
    def test_a_token_that_expires_again_and_again_is_renewed_once_each_time(
        self, connector: Connector, tenant: Tenant
    ) -> None:
        with Sandbox(tenant, revoke_every=60) as sandbox:
            output = read(connector, sandbox)
            revocations = len([call for call in sandbox.calls if call.status == 200]) // 60
            assert sandbox.tokens_issued <= revocations + 2
        healed(tenant, output)

    def test_tokens_of_two_seconds(self, connector: Connector, tenant: Tenant) -> None:
        with Sandbox(tenant, token_lifetime=2, latency=0.05) as sandbox:
            output = read(connector, sandbox)
            assert not [call for call in sandbox.calls if call.status == 401]
        healed(tenant, output)

    def test_a_token_that_is_revoked_every_few_calls(self, connector: Connector, tenant: Tenant) -> None:
        with Sandbox(tenant, revoke_every=12, latency=0.01) as sandbox:
            output = read(connector, sandbox)
        healed(tenant, output)

    @pytest.mark.parametrize(
        "fault",
        [
            lambda: Fault.status(500, path="oauth2/token", times=2),
            lambda: Fault.status(503, path="oauth2/token", times=2),
            lambda: Fault.status(429, path="oauth2/token", times=2),
            lambda: Fault.reset(path="oauth2/token", times=2),
            lambda: Fault.html_200(path="oauth2/token", times=1),
        ],
        ids=["500", "503", "429", "reset", "200 html"],
    )
    def test_a_token_endpoint_that_fails_for_a_while(
        self, connector: Connector, tenant: Tenant, sandbox: Sandbox, fault: Callable[[], Fault]
    ) -> None:
        sandbox.add(fault())
        healed(tenant, read(connector, sandbox))

    def test_tokens_that_are_all_refused_cost_few_calls(self, connector: Connector, sandbox: Sandbox) -> None:
        sandbox.add(Fault.status(401, path=ANY_DATA))
        output = read(connector, sandbox)
        assert output.code == 1
        assert output.statuses() == dict.fromkeys(STREAMS, "INCOMPLETE")
        told = [error for error in output.errors() if "401" in error["message"]]
        assert {error["failure_type"] for error in told} == {"config_error"}
        assert sandbox.tokens_issued == 3
        assert len(sandbox.calls) < 3 * 8 + 16

    @pytest.mark.parametrize(
        "fault",
        [
            Fault.status(503, path="oauth2/token"),
            Fault.status(429, path="oauth2/token"),
            Fault.hang(60, path="oauth2/token"),
            Fault.hang(60, path="learn/v1/courses"),
            Fault.status(500, path="learn/v1/courses"),
            Fault.html_200(path="learn/v1/courses"),
        ],
        ids=["token 503", "token 429", "token hangs", "courses hang", "courses 500", "courses html"],
    )
    def test_check_answers_within_30_seconds(self, connector: Connector, sandbox: Sandbox, fault: Fault) -> None:
        sandbox.add(fault)
        started = time.monotonic()
        output = connector.check(sandbox.config("client_credentials"))
        assert time.monotonic() - started < 30
        assert output.connection_status()["status"] == "FAILED"


class TestFaultsThatHeal:
    @pytest.mark.parametrize(
        "fault",
        [
            lambda: Fault.status(500, path=ANY_DATA, every=40),
            lambda: Fault.status(502, html=True, path=ANY_DATA, every=40),
            lambda: Fault.status(503, path=ANY_DATA, every=40),
            lambda: Fault.status(504, html=True, path=ANY_DATA, every=40),
            lambda: Fault.reset(path=ANY_DATA, every=40),
            lambda: Fault.cut_body(path=ANY_DATA, every=40),
            lambda: Fault.html_200(path=ANY_DATA, every=40),
            lambda: Fault.json_without_list(path=ANY_DATA, every=40),
            lambda: Fault.empty_body(path=ANY_DATA, every=40),
        ],
        ids=["500", "502 html", "503", "504 html", "reset", "cut body", "200 html", "no list", "empty body"],
    )
    def test_one_answer_in_forty_is_broken(
        self, connector: Connector, tenant: Tenant, sandbox: Sandbox, fault: Callable[[], Fault]
    ) -> None:
        sandbox.add(fault())
        healed(tenant, read(connector, sandbox))

    @pytest.mark.parametrize("as_date", [False, True], ids=["seconds", "date"])
    def test_retry_after_is_obeyed(self, connector: Connector, tenant: Tenant, sandbox: Sandbox, as_date: bool) -> None:
        sandbox.add(Fault.retry_after(4, as_date=as_date, path="manage/v1/user$", times=1))
        healed(tenant, read(connector, sandbox))
        refused = next(call.at for call in sandbox.calls if call.status == 429)
        assert not [call for call in sandbox.calls if refused + 0.5 < call.at < refused + 2.9]

    def test_while_the_limit_lasts_one_call_at_a_time_asks_whether_it_is_over(
        self, connector: Connector, tenant: Tenant, sandbox: Sandbox
    ) -> None:
        sandbox.add(Fault.rate_limit(12))
        output = read(connector, sandbox)
        healed(tenant, output)
        refused = [call for call in sandbox.calls if call.status == 429]
        assert len(refused) <= 8 + 5
        assert any("429" in line and "asking again in" in line for line in output.logs())

    def test_a_limit_that_comes_again_costs_few_refused_calls(self, connector: Connector, tenant: Tenant) -> None:
        with Sandbox(tenant, calls_per_window=(120, 6)) as sandbox:
            output = read(connector, sandbox)
            refused = [call for call in sandbox.calls if call.status == 429]
        healed(tenant, output)
        assert len(refused) < 0.25 * tenant.fewest_calls()

    def test_odd_envelopes_are_read_whole(self, connector: Connector, tenant: Tenant, sandbox: Sandbox) -> None:
        sandbox.add(Fault.bare_list(path="manage/v1/user$"))
        sandbox.add(Fault.no_has_more(path="learn/v1/courses$"))
        sandbox.add(Fault.numbers_as_strings(path="course/v1/courses/enrollments"))
        sandbox.add(Fault.string_flags(path="learningplan/v1/learningplans/enrollments"))
        sandbox.add(Fault.has_more_forever(path="audiences/v1/audience$"))
        healed(tenant, read(connector, sandbox))


class TestFaultsThatFailOneStream:
    def test_always_500(self, connector: Connector, tenant: Tenant, sandbox: Sandbox) -> None:
        sandbox.add(Fault.status(500, path=r"/los$"))
        output = read(connector, sandbox)
        failed_alone(tenant, output, "course_learning_objects", "transient_error", "Tried 8 times", "Sync again later")
        # Those that were under way when the first gave up, and no more.
        assert len({call.path for call in sandbox.calls if call.path.endswith("/los")}) <= 2 * 8

    def test_403_fails_at_once(self, connector: Connector, tenant: Tenant, sandbox: Sandbox) -> None:
        sandbox.add(Fault.status(403, path="learn/v1/external_training"))
        output = read(connector, sandbox)
        failed_alone(tenant, output, "external_training", "config_error", "no right", "deselect the stream")
        assert len([call for call in sandbox.calls if "external_training" in call.path]) == 1

    def test_404_on_a_list(self, connector: Connector, tenant: Tenant, sandbox: Sandbox) -> None:
        sandbox.add(Fault.status(404, path="learn/v1/certification"))
        output = read(connector, sandbox)
        failed_alone(tenant, output, "certifications", "config_error", "does not serve it", "Activate")

    def test_a_child_path_that_is_not_served(self, connector: Connector, tenant: Tenant, sandbox: Sandbox) -> None:
        sandbox.add(Fault.status(404, path=r"/sessions$"))
        output = read(connector, sandbox)
        failed_alone(tenant, output, "sessions", "config_error", "does not serve it")

    @pytest.mark.parametrize("parents", [1, 2])
    def test_a_child_path_that_is_not_served_where_there_are_few_parents(
        self, connector: Connector, parents: int
    ) -> None:
        tenant = Tenant(seed=22, groups=parents)
        with Sandbox(tenant) as sandbox:
            sandbox.add(Fault.status(404, path=r"/audience/[^/]+/users$"))
            output = read(connector, sandbox)
        failed_alone(tenant, output, "group_members", "config_error", "does not serve it")

    def test_a_list_of_one_piece_that_comes_in_pages(
        self, connector: Connector, tenant: Tenant, sandbox: Sandbox
    ) -> None:
        sandbox.add(Fault.in_pages(path=r"/los$"))
        output = read(connector, sandbox)
        failed_alone(tenant, output, "course_learning_objects", "system_error", "answers in pages")

    def test_a_refusal_that_nobody_foresaw_tells_what_docebo_says_but_no_person(
        self, connector: Connector, tenant: Tenant, sandbox: Sandbox
    ) -> None:
        email = tenant.wire("users")[3]["email"]
        sandbox.add(Fault.status(400, message=f"The sort of {email} is not known", path="learn/v1/categories"))
        output = read(connector, sandbox)
        failed_alone(tenant, output, "categories", "system_error", "status 400", "The sort of *** is not known")

    def test_a_redirect_to_another_host_is_told_and_does_not_get_the_token(
        self, connector: Connector, tenant: Tenant, sandbox: Sandbox
    ) -> None:
        sandbox.add(Fault.redirect(f"{sandbox.other_host.base_url}/categories", path="learn/v1/categories"))
        output = read(connector, sandbox)
        assert len(sandbox.other_host.calls) == 1
        assert "authorization" not in {name.lower() for name in sandbox.other_host.calls[0]}
        host = sandbox.other_host.base_url.removeprefix("http://")
        failed_alone(tenant, output, "categories", "config_error", f"redirects to {host}", "Set base_url")

    def test_an_endless_list(self, connector: Connector, tenant: Tenant, sandbox: Sandbox) -> None:
        sandbox.add(Fault.has_more_forever(path="learn/v1/categories", without_total=True))
        output = read(connector, sandbox)
        failed_alone(tenant, output, "categories", "transient_error", "same page again and again")


@pytest.mark.parametrize(
    ("stream", "parents", "path"),
    [
        ("course_learning_objects", "courses", "/courses/{}/los$"),
        ("sessions", "courses", "/courses/{}/sessions$"),
        ("group_members", "groups", "/audience/{}/users$"),
        ("learning_plan_course_enrollments", "learning_plans", "/learningplans/{}/courses/enrollments$"),
    ],
)
def test_a_parent_deleted_during_the_sync_is_skipped_and_named(
    connector: Connector, tenant: Tenant, sandbox: Sandbox, stream: str, parents: str, path: str
) -> None:
    key = CHILDREN[stream][1]
    deleted = tenant.emitted(stream)[-1][key]
    sandbox.add(Fault.deleted(path=path.format(deleted)))
    output = read(connector, sandbox, stream, parents)
    assert output.code == 0, output.errors()
    expected = [without_nulls(record) for record in tenant.emitted(stream) if record[key] != deleted]
    assert expected
    assert_same(stream, expected, output.records()[stream])
    (warning,) = [line for line in output.logs() if line.startswith("WARN") and "404" in line]
    assert f"/{deleted}/" in warning


def test_a_parent_that_its_list_gives_twice_is_read_once(
    connector: Connector, tenant: Tenant, sandbox: Sandbox
) -> None:
    sandbox.add(Fault.row_twice(path="learn/v1/courses$"))
    sandbox.add(Fault.row_twice(path="audiences/v1/audience$"))
    children = ["course_enrollments", "course_learning_objects", "group_members", "sessions"]
    output = read(connector, sandbox, *children)
    assert_same_records(tenant, output, children)
    assert len(sandbox.calls) == tenant.fewest_calls(children)


def test_calls_per_hour_holds_for_all_streams_and_tokens_together(connector: Connector, sandbox: Sandbox) -> None:
    config = {**sandbox.config("client_credentials"), "calls_per_hour": 9}
    with files(config=config, catalog=catalog(STREAMS)) as directory:
        process = connector.start(
            "read", "--config", f"{directory}/config.json", "--catalog", f"{directory}/catalog.json"
        )
        assert process.stdout
        waits = (line for line in process.stdout if b"calls_per_hour" in line)
        told = json.loads(next(waits))["log"]
        process.terminate()
        process.communicate(timeout=20)
    assert told["level"] == "INFO"
    assert_documented(told["message"])
    assert 3500 < int(re.findall(r"\d+", told["message"])[0]) <= 3606
    assert len(sandbox.calls) == 9


class TestEndings:
    def read_until(self, connector: Connector, sandbox: Sandbox, directory: str) -> "subprocess.Popen[bytes]":
        arguments = ["--config", f"{directory}/config.json", "--catalog", f"{directory}/catalog.json"]
        process = connector.start("read", *arguments)
        assert process.stdout
        process.stdout.readline()
        return process

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_ends_the_read_between_two_lines(
        self, connector: Connector, tenant: Tenant, number: signal.Signals
    ) -> None:
        with Sandbox(tenant, latency=0.3) as sandbox:
            config = sandbox.config("client_credentials")
            with files(config=config, catalog=catalog(STREAMS)) as directory:
                process = self.read_until(connector, sandbox, directory)
                time.sleep(4)
                started = time.monotonic()
                process.send_signal(number)
                output, errors = process.communicate(timeout=20)
        assert time.monotonic() - started < 5
        assert process.returncode == 128 + number
        assert output.endswith(b"\n")
        assert [json.loads(line) for line in output.splitlines()]
        assert b"Traceback" not in errors

    def test_a_process_that_is_paused_goes_on(self, connector: Connector, tenant: Tenant) -> None:
        with Sandbox(tenant, latency=0.02) as sandbox:
            config = sandbox.config("client_credentials")
            with files(config=config, catalog=catalog(STREAMS)) as directory:
                process = self.read_until(connector, sandbox, directory)
                process.send_signal(signal.SIGSTOP)
                time.sleep(1)
                process.send_signal(signal.SIGCONT)
                output, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        assert output.count(b'{"type":"RECORD"') == tenant.count()

    def test_an_output_that_nobody_reads_ends_the_read(self, connector: Connector, tenant: Tenant) -> None:
        with Sandbox(tenant, latency=0.05) as sandbox:
            config = sandbox.config("client_credentials")
            with files(config=config, catalog=catalog(STREAMS)) as directory:
                process = self.read_until(connector, sandbox, directory)
                assert process.stdout
                assert process.stderr
                process.stdout.close()
                errors = process.stderr.read()
                process.wait(timeout=30)
        assert process.returncode != 0
        assert b"Traceback" not in errors
