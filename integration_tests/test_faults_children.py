"""
Faults of single parents: what is deleted is skipped, what cannot be read is named after the others were read, and a
stream that must fail stops sending requests.
"""

import re
import time
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from integration_tests.command import Connector
from integration_tests.comparison import assert_same, assert_same_records
from integration_tests.reads import assert_complete, assert_error, read
from integration_tests.sandbox import CHILDREN, Fault, Sandbox, Tenant, without_nulls

PATHS = {
    "course_learning_objects": "/courses/{}/los$",
    "sessions": "/courses/{}/sessions$",
    "group_members": "/audience/{}/users$",
    "learning_plan_course_enrollments": "/learningplans/{}/courses/enrollments$",
    "learning_plan_courses": "/learningplans/{}/courses$",
}
WORKERS = 8


@pytest.fixture(scope="module")
def tenant() -> Tenant:
    return Tenant(seed=101, courses=100, groups=40, learning_plans=20)


@pytest.fixture
def sandbox(tenant: Tenant) -> Iterator[Sandbox]:
    with Sandbox(tenant) as running:
        yield running


def path_of(stream: str, keys: Iterable[Any]) -> str:
    """A pattern for the paths of these parents' children."""
    return PATHS[stream].format("(" + "|".join(re.escape(str(key)) for key in keys) + ")")


def parents_of(tenant: Tenant, stream: str) -> list[Any]:
    """The keys of the parents that have children, in their order."""
    key = CHILDREN[stream][1]
    return list(dict.fromkeys(record[key] for record in tenant.emitted(stream)))


def without_parents(tenant: Tenant, stream: str, keys: Iterable[Any]) -> list[dict[str, Any]]:
    """What is emitted of a stream without the children of these parents."""
    key, left_out = CHILDREN[stream][1], set(keys)
    expected = [without_nulls(record) for record in tenant.emitted(stream) if record[key] not in left_out]
    assert expected
    return expected


class TestDeletedParents:
    def test_one_of_each_kind_is_skipped_and_named(
        self, connector: Connector, tenant: Tenant, sandbox: Sandbox
    ) -> None:
        deleted = {stream: parents_of(tenant, stream)[-1] for stream in PATHS}
        for stream, key in deleted.items():
            sandbox.add(Fault.deleted(path=path_of(stream, [key])))
        output = read(connector, sandbox, *PATHS)
        assert output.code == 0, output.errors()
        for stream, key in deleted.items():
            assert_same(stream, without_parents(tenant, stream, [key]), output.records()[stream])
            warnings = [line for line in output.logs() if line.startswith(f"WARN Stream {stream}:") and "404" in line]
            assert len(warnings) == 1
            assert f"/{key}/" in warnings[0]

    def test_the_first_three_may_be_among_them(self, connector: Connector, tenant: Tenant, sandbox: Sandbox) -> None:
        stream = "group_members"
        deleted = [tenant.parent_key(stream, number) for number in range(3)]
        sandbox.add(Fault.deleted(path=path_of(stream, deleted)))
        output = read(connector, sandbox, stream)
        assert output.statuses() == {stream: "COMPLETE"}
        assert_same(stream, without_parents(tenant, stream, deleted), output.records()[stream])

    def test_more_than_three_or_one_in_twenty_fail_the_stream_after_the_others(
        self, connector: Connector, tenant: Tenant, sandbox: Sandbox
    ) -> None:
        deleted = {
            "group_members": parents_of(tenant, "group_members")[-4:],  # of 40, of which three may be deleted
            "course_learning_objects": parents_of(tenant, "course_learning_objects")[-5:],  # of 100, one in 20
        }
        for stream, keys in deleted.items():
            sandbox.add(Fault.deleted(path=path_of(stream, keys)))
        output = read(connector, sandbox, *deleted)
        assert output.statuses() == {"group_members": "INCOMPLETE", "course_learning_objects": "COMPLETE"}
        for stream, keys in deleted.items():
            assert_same(stream, without_parents(tenant, stream, keys), output.records()[stream])
        error = next(error["message"] for error in output.errors() if "group_members" in error["message"])
        assert {"4", "40"} <= set(re.findall(r"\d+", error))

    def test_one_course_of_a_batch_costs_only_its_own_enrollments(
        self, connector: Connector, tenant: Tenant, sandbox: Sandbox
    ) -> None:
        stream = "course_enrollments"
        deleted = tenant.emitted(stream)[-1]["course_id"]
        sandbox.add(Fault.unknown_course(deleted))
        output = read(connector, sandbox, stream)
        assert output.statuses() == {stream: "COMPLETE"}
        expected = [without_nulls(record) for record in tenant.emitted(stream) if record["course_id"] != deleted]
        assert_same(stream, expected, output.records()[stream])
        assert any(line.startswith("WARN") and str(deleted) in line for line in output.logs())
        # Halving a batch of 100 until one course is left takes 14 requests, and the halves have incomplete pages.
        assert len(sandbox.requests) <= tenant.minimum_requests([stream]) + 30


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


class TestParentsThatCannotBeRead:
    def test_the_others_are_read_before_the_stream_fails(
        self, connector: Connector, tenant: Tenant, sandbox: Sandbox
    ) -> None:
        unreadable = {
            "course_learning_objects": parents_of(tenant, "course_learning_objects")[3:5],
            "group_members": parents_of(tenant, "group_members")[2:3],
        }
        sandbox.add(Fault.status(403, path=path_of("course_learning_objects", unreadable["course_learning_objects"])))
        sandbox.add(Fault.status(400, path=path_of("group_members", unreadable["group_members"])))
        output = read(connector, sandbox, *unreadable)
        assert output.code == 1
        assert output.statuses() == dict.fromkeys(unreadable, "INCOMPLETE")
        for stream, keys in unreadable.items():
            assert_same(stream, without_parents(tenant, stream, keys), output.records()[stream])
            message = next(error["message"] for error in output.errors() if stream in error["message"])
            assert all(str(key) in message for key in keys)
            assert str(len(keys)) in re.findall(r"\d+", message)

    def test_three_are_enough_to_know_if_all_fail(self, connector: Connector, tenant: Tenant, sandbox: Sandbox) -> None:
        sandbox.add(Fault.status(403, path="/los$"))
        output = read(connector, sandbox, "course_learning_objects", "sessions")
        assert output.statuses() == {"course_learning_objects": "INCOMPLETE", "sessions": "COMPLETE"}
        assert_same_records(tenant, output, ["sessions"])
        assert_error(output, "course_learning_objects", "config_error", "403")
        assert sandbox.requests_by_stream()["course_learning_objects"] == 3

    @pytest.mark.parametrize("groups", [1, 2, 20])
    def test_a_path_that_the_platform_does_not_serve(self, connector: Connector, groups: int) -> None:
        with Sandbox(Tenant(seed=102, groups=groups)) as sandbox:
            sandbox.add(Fault.status(404, path="/audience/[^/]+/users$"))
            output = read(connector, sandbox, "group_members", "groups")
        assert output.statuses() == {"group_members": "INCOMPLETE", "groups": "COMPLETE"}
        assert_error(output, "group_members", "config_error", "404")
        assert sandbox.requests_by_stream()["group_members"] == min(groups, 4)


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
    tenant = Tenant(seed=104, groups=8, group_keys=("a/b", "c?d", "e#f", "%41", "..", "g h", "ü+&="))
    started = time.monotonic()
    with Sandbox(tenant) as sandbox:
        output = read(connector, sandbox, "groups", "group_members")
    assert_complete(tenant, output, ["groups", "group_members"])
    assert time.monotonic() - started < 20
