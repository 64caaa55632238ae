"""Faults of child streams: front ends that fail for a while, keys, and requests that nobody needs."""

import time
from collections.abc import Iterator

import pytest

from integration_tests.command import Connector
from integration_tests.comparison import assert_same_records
from integration_tests.reads import assert_complete, assert_error, read
from integration_tests.sandbox import Fault, Sandbox, Tenant

WORKERS = 8


@pytest.fixture(scope="module")
def tenant() -> Tenant:
    return Tenant(seed=101, courses=100, groups=40, learning_plans=20)


@pytest.fixture
def sandbox(tenant: Tenant) -> Iterator[Sandbox]:
    with Sandbox(tenant) as running:
        yield running


class TestFrontEnds:
    def test_two_seconds_of_nginx_404_lose_nobody(self, connector: Connector, tenant: Tenant, sandbox: Sandbox) -> None:
        sandbox.add(Fault.not_found_page(path="/audience/[^/]+/users$", seconds=2))
        output = read(connector, sandbox, "group_members")
        assert_complete(tenant, output, ["group_members"])
        assert any(request.status == 404 for request in sandbox.requests)

    def test_a_firewall_is_no_missing_right(self, connector: Connector, tenant: Tenant, sandbox: Sandbox) -> None:
        sandbox.add(Fault.firewall(path="/los$", every=10, times=5))
        sandbox.add(Fault.firewall(path="learn/v1/courses$", times=1))
        output = read(connector, sandbox, "course_learning_objects")
        assert_complete(tenant, output, ["course_learning_objects"])
        assert len(sandbox.requests) == tenant.minimum_requests(["course_learning_objects"]) + 6


class TestRequestsThatNobodyNeeds:
    def test_children_stop_when_the_list_of_their_parents_fails(self, connector: Connector) -> None:
        tenant = Tenant(seed=103, courses=450)
        streams = ("course_learning_objects", "sessions", "courses", "groups")
        with Sandbox(tenant, latency=0.05) as sandbox:
            sandbox.add(Fault.status(403, path="learn/v1/courses$", page=3))
            output = read(connector, sandbox, *streams)
        assert output.statuses() == {**dict.fromkeys(streams, "INCOMPLETE"), "groups": "COMPLETE"}
        failed_at = next(request.at for request in sandbox.requests if request.status == 403)
        assert not [request for request in sandbox.requests if request.at > failed_at + 1]
        assert len([request for request in sandbox.requests if request.status == 403]) == 1

    def test_children_without_their_key_cost_few_requests_and_one_message(
        self, connector: Connector, tenant: Tenant, sandbox: Sandbox
    ) -> None:
        sandbox.add(Fault.missing_key("id_org", path="/los$"))
        output = read(connector, sandbox, "course_learning_objects")
        assert_error(output, "course_learning_objects", "system_error", "id_org")
        assert sandbox.requests_by_stream()["course_learning_objects"] <= 2 * WORKERS
        assert len([error for error in output.errors() if "id_org" in error["message"]]) <= 2

    def test_a_parent_that_its_list_gives_twice_is_read_once(
        self, connector: Connector, tenant: Tenant, sandbox: Sandbox
    ) -> None:
        sandbox.add(Fault.row_twice(path="learn/v1/courses$"))
        sandbox.add(Fault.row_twice(path="audiences/v1/audience$"))
        children = ["course_enrollments", "course_learning_objects", "group_members", "sessions"]
        output = read(connector, sandbox, *children)
        assert_same_records(tenant, output, children)
        assert len(sandbox.requests) == tenant.minimum_requests(children)


def test_keys_are_quoted_in_paths(connector: Connector) -> None:
    tenant = Tenant(seed=104, groups=7, group_keys=("a/b", "c?d", "e#f", "%41", "g h", "ü+&="))
    started = time.monotonic()
    with Sandbox(tenant) as sandbox:
        output = read(connector, sandbox, "groups", "group_members")
    assert_complete(tenant, output, ["groups", "group_members"])
    assert time.monotonic() - started < 20
