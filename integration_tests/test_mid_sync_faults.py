"""
Once a request of a sync was accepted, its configuration is right: what stands in front of Docebo may refuse, redirect
or be down for a while, and nothing is lost. Only Docebo's own refusals are final.
"""

import json
import re
from collections.abc import Callable, Iterator

import pytest

from integration_tests.command import Connector
from integration_tests.comparison import assert_same_records
from integration_tests.reads import assert_complete, assert_error, assert_failed_alone, read
from integration_tests.sandbox import Fault, Sandbox, Tenant

SMALL = ("branches", "categories", "certifications", "external_training", "groups")
CATEGORIES = "learn/v1/categories$"
TOKEN = "oauth2/token$"
TRIES = 9
MAINTENANCE = b'{"success": false, "message": "Maintenance"}'
# What stands in front of Docebo, or Docebo itself while it is updated, may send for a while.
FORMS: dict[str, Callable[..., Fault]] = {
    "403 JSON": lambda **where: Fault.gateway(403, **where),
    "400 JSON": lambda **where: Fault.gateway(400, **where),
    "403 HTML": Fault.firewall,
    "404 HTML": Fault.not_found_page,
    "redirect": lambda **where: Fault.redirect("/status", **where),
    "200 HTML": Fault.html_200,
    "200 success false": lambda **where: Fault.body(MAINTENANCE, **where),
    "200 success false, empty list": lambda **where: Fault.body(b'{"success": false, "data": []}', **where),
    "200 status 500": lambda **where: Fault.body(b'{"status": 500, "message": ["Failed"], "data": []}', **where),
    "503": lambda **where: Fault.retry_after(1, code=503, **where),
}
LISTLESS = {name: form for name, form in FORMS.items() if "empty list" in name or "status 500" in name}


@pytest.fixture(scope="module")
def tenant() -> Tenant:
    return Tenant(seed=211, courses=60, groups=8, categories=450, external_trainings=450)


@pytest.fixture
def sandbox(tenant: Tenant) -> Iterator[Sandbox]:
    with Sandbox(tenant) as running:
        yield running


class TestFaultsThatPass:
    @pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
    def test_in_the_middle_of_a_sync(self, hurried: Connector, tenant: Tenant, form: Callable[..., Fault]) -> None:
        """A list's later page once, another list for a while, child paths, and the second token for a while."""
        streams = ("external_training", "categories", "course_learning_objects")
        with Sandbox(tenant, revoke_every=40) as sandbox:
            sandbox.add(form(path="learn/v1/external_training$", page=2, times=1))
            sandbox.add(form(path=CATEGORIES, page=3, times=4))
            sandbox.add(form(path="/los$", every=10, times=4))
            sandbox.add(form(path=TOKEN, skip=1, times=3))
            output = read(hurried, sandbox, *streams)
            assert sandbox.tokens_issued > 1
            rejected = len([request for request in sandbox.requests if request.status == 401])
            extra = 1 + 4 + 4 + 3 + rejected + sandbox.tokens_issued - 1
            status_pages = len([request for request in sandbox.requests if request.path == "/status"])
            assert len(sandbox.requests) - status_pages == tenant.minimum_requests(streams) + extra
        assert_complete(tenant, output, streams)

    def test_a_redirect_to_another_host_gets_no_token(
        self, hurried: Connector, tenant: Tenant, sandbox: Sandbox
    ) -> None:
        sandbox.add(Fault.redirect(f"{sandbox.other_host.base_url}/status", path=CATEGORIES, page=2, times=3))
        output = read(hurried, sandbox, "categories")
        assert_complete(tenant, output, ["categories"])
        assert sandbox.requests_by_stream()["categories"] == 3 + 3
        assert sandbox.other_host.requests == []

    @pytest.mark.parametrize("form", ["403 JSON", "403 HTML", "404 HTML", "200 HTML", "200 success false", "503"])
    def test_at_the_first_token(self, hurried: Connector, tenant: Tenant, sandbox: Sandbox, form: str) -> None:
        sandbox.add(FORMS[form](path=TOKEN, times=2))
        assert_complete(tenant, read(hurried, sandbox, *SMALL), SMALL)
        assert sandbox.requests_by_stream()["token"] == 3

    def test_retry_after_is_waited_for_whatever_the_status(
        self, hurried: Connector, tenant: Tenant, sandbox: Sandbox
    ) -> None:
        """A maintenance page says twenty minutes: no try is spent on it before."""
        sandbox.add(Fault.retry_after(1200, code=503, path=CATEGORIES, page=2, times=2))
        output = read(hurried, sandbox, "categories")
        assert_complete(tenant, output, ["categories"])
        waits = [float(text) for line in output.logs() for text in re.findall(r"Retrying in ([\d.]+) seconds", line)]
        assert [seconds for seconds in waits if seconds >= 1200] == waits
        assert len(waits) == 2


class TestConnections:
    """Three seconds in which nobody listens, with the waits as they are."""

    def test_a_host_that_is_down(self, connector: Connector, tenant: Tenant, sandbox: Sandbox) -> None:
        sandbox.add(Fault.meanwhile(lambda: sandbox.close_port(3), after=10, path="/los$"))
        streams = ("external_training", "course_learning_objects")
        output = read(connector, sandbox, *streams)
        assert_complete(tenant, output, streams)
        assert any("refused" in line for line in output.logs())

    def test_a_proxy_that_is_down(self, connector: Connector, tenant: Tenant, sandbox: Sandbox) -> None:
        sandbox.add(Fault.meanwhile(lambda: sandbox.close_port(3), after=10, path="/los$"))
        config = {**sandbox.config("client_credentials"), "base_url": "http://localhost:1"}
        proxy = {"HTTP_PROXY": sandbox.base_url, "http_proxy": sandbox.base_url, "NO_PROXY": "", "no_proxy": ""}
        streams = ("external_training", "course_learning_objects")
        output = connector.read(config, streams, environment=proxy)
        assert_complete(tenant, output, streams)
        assert any("Retrying" in line for line in output.logs())


class TestFaultsThatDoNotPass:
    """A stream fails by itself, as a transient error, after nine tries."""

    @pytest.mark.parametrize(
        "form",
        ["403 JSON", "redirect", "200 success false", "200 success false, empty list", "200 status 500"],
    )
    def test_a_list(self, hurried: Connector, tenant: Tenant, sandbox: Sandbox, form: str) -> None:
        sandbox.add(FORMS[form](path=CATEGORIES, page=2))
        output = read(hurried, sandbox, *SMALL)
        assert_failed_alone(tenant, output, "categories", "transient_error", streams=SMALL)
        pages = [request.query.get("page") for request in sandbox.requests if request.stream == "categories"]
        assert pages.count(["2"]) == TRIES

    @pytest.mark.parametrize("form", LISTLESS.values(), ids=LISTLESS)
    def test_an_error_with_status_200_is_no_empty_list(
        self, hurried: Connector, tenant: Tenant, sandbox: Sandbox, form: Callable[..., Fault]
    ) -> None:
        """Even at the first page of a list."""
        sandbox.add(form(path=CATEGORIES))
        output = read(hurried, sandbox, *SMALL)
        assert_failed_alone(tenant, output, "categories", "transient_error", streams=SMALL)
        assert sandbox.requests_by_stream()["categories"] == TRIES


class TestRefusalsThatAreFinal:
    def test_a_token_that_docebo_refuses_to_renew(self, hurried: Connector, tenant: Tenant) -> None:
        """The app was deactivated during the sync."""
        refusal = json.dumps({"error": "invalid_client", "error_description": "It is not valid"}).encode()
        with Sandbox(tenant, revoke_every=10) as sandbox:
            sandbox.add(Fault.body(refusal, code=401, path=TOKEN, skip=1))
            output = read(hurried, sandbox, "course_learning_objects", "external_training")
        assert output.code == 1
        assert output.statuses()["course_learning_objects"] == "INCOMPLETE"
        refused = [error for error in output.errors() if "client_id" in error["message"]]
        assert {error["failure_type"] for error in refused} == {"config_error"}
        assert sandbox.requests_by_stream()["token"] == 2

    @pytest.mark.parametrize("code", [400, 403])
    def test_an_error_of_docebos_on_a_path(
        self, hurried: Connector, tenant: Tenant, sandbox: Sandbox, code: int
    ) -> None:
        sandbox.add(Fault.status(code, path=CATEGORIES, page=2))
        output = read(hurried, sandbox, *SMALL)
        assert output.statuses() == {**dict.fromkeys(SMALL, "COMPLETE"), "categories": "INCOMPLETE"}
        assert_same_records(tenant, output, [stream for stream in SMALL if stream != "categories"])
        assert_error(output, "categories", "config_error" if code == 403 else "system_error", str(code))
        pages = [request.query.get("page") for request in sandbox.requests if request.stream == "categories"]
        assert pages.count(["2"]) == 1
