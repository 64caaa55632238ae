"""
Parents that cannot be read, whatever the reason: each is skipped and named, the others are read, and then the stream
fails with the list of them. 404 alone fails nothing, unless most of the parents return it.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from integration_tests.command import Connector, Output
from integration_tests.comparison import assert_each_found, assert_same, assert_same_records
from integration_tests.reads import assert_error, read
from integration_tests.sandbox import CHILDREN, COURSES_PER_REQUEST, Fault, Sandbox, Tenant, without_nulls

PATHS = {
    "course_learning_objects": "/courses/{}/los$",
    "sessions": "/courses/{}/sessions$",
    "group_members": "/audience/{}/users$",
    "learning_plan_course_enrollments": "/learningplans/{}/courses/enrollments$",
    "learning_plan_courses": "/learningplans/{}/courses$",
}
BATCHES = "course_enrollments"
WORKERS = 8
TRIES = 9
TRIES_OF_A_BATCH = 3
HALVINGS = 7  # from a hundred courses to one


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


def key_of(stream: str) -> str:
    """The field of a record that holds the key of its parent."""
    return CHILDREN[stream][1] if stream in CHILDREN else "course_id"


def parents_of(tenant: Tenant, stream: str) -> list[Any]:
    """The keys of the parents that have children, in their order."""
    return list(dict.fromkeys(record[key_of(stream)] for record in tenant.emitted(stream)))


def without_parents(tenant: Tenant, stream: str, keys: Iterable[Any]) -> list[dict[str, Any]]:
    """What is emitted of a stream without the children of these parents."""
    left_out = set(keys)
    expected = [without_nulls(record) for record in tenant.emitted(stream) if record[key_of(stream)] not in left_out]
    assert expected
    return expected


def named(text: str, key: Any) -> bool:
    """Whether a text holds the key by itself, not as a part of another."""
    return bool(re.search(rf"(?<![\w-]){re.escape(str(key))}(?![\w-])", text))


def assert_named(output: Output, stream: str, keys: Iterable[Any]) -> None:
    """A warning names each of these parents."""
    warnings = [line for line in output.logs() if line.startswith(f"WARN Stream {stream}:")]
    for key in keys:
        assert [line for line in warnings if named(line, key)], f"no warning names {key}: {warnings}"


def assert_listed(output: Output, stream: str, keys: list[Any], *words: str) -> None:
    """The error of the stream lists these parents (five of them at least), their number and other words."""
    (error,) = [each for each in output.errors() if (each.get("stream_descriptor") or {}).get("name") == stream]
    message = error["message"]
    assert str(len(keys)) in re.findall(r"\d+", message)
    for word in (stream, *words):
        assert word in message
    assert len([key for key in keys if named(message, key)]) >= min(5, len(keys)), message


class TestOneParentAtFault:
    """Each stream has another fault; the parent at fault is the first, one in the middle or the last."""

    FAULTS: dict[str, tuple[Callable[..., Fault], int]] = {
        "course_learning_objects": (lambda **where: Fault.status(500, **where), TRIES),
        "sessions": (lambda **where: Fault.status(403, **where), 1),
        "group_members": (lambda **where: Fault.status(400, **where), 1),
        "learning_plan_course_enrollments": (lambda **where: Fault.status(504, html=True, **where), TRIES),
    }

    @pytest.mark.parametrize("place", [0, 0.5, 1], ids=["first", "middle", "last"])
    def test_the_others_are_read_before_the_stream_fails(
        self, hurried: Connector, tenant: Tenant, sandbox: Sandbox, place: float
    ) -> None:
        at_fault = {}
        for stream, (fault, _) in self.FAULTS.items():
            parents = parents_of(tenant, stream)
            at_fault[stream] = parents[round(place * (len(parents) - 1))]
            sandbox.add(fault(path=path_of(stream, [at_fault[stream]])))
        output = read(hurried, sandbox, *self.FAULTS)
        assert output.code == 1
        assert output.statuses() == dict.fromkeys(self.FAULTS, "INCOMPLETE")
        requests = len(sandbox.requests) - tenant.minimum_requests(self.FAULTS)
        assert requests == sum(tries - 1 for _, tries in self.FAULTS.values())
        for stream, key in at_fault.items():
            assert_same(stream, without_parents(tenant, stream, [key]), output.records()[stream])
            assert_named(output, stream, [key])
            assert_listed(output, stream, [key])

    def test_bodies_that_stay_wrong(self, hurried: Connector, sandbox: Sandbox, tenant: Tenant) -> None:
        faults = {
            "course_learning_objects": Fault.html_200,
            "sessions": lambda **where: Fault.body(b'{"success": false, "message": "An error occurred"}', **where),
            "group_members": lambda **where: Fault.body(b'{"success": false, "data": []}', **where),
            "learning_plan_course_enrollments": lambda **where: Fault.body(b'{"status": 500, "data": []}', **where),
        }
        at_fault = {stream: parents_of(tenant, stream)[3] for stream in faults}
        for stream, fault in faults.items():
            sandbox.add(fault(path=path_of(stream, [at_fault[stream]])))
        output = read(hurried, sandbox, *faults)
        assert output.statuses() == dict.fromkeys(faults, "INCOMPLETE")
        for stream, key in at_fault.items():
            assert_same(stream, without_parents(tenant, stream, [key]), output.records()[stream])
            assert_listed(output, stream, [key])

    def test_a_second_page_that_stays_wrong(self, hurried: Connector) -> None:
        """The records of the page before it have been emitted."""
        tenant = Tenant(seed=105, users=450, groups=12, members_per_group=400)
        stream = "group_members"
        repeated, broken = [key for key in parents_of(tenant, stream) if self.size(tenant, key) > 200][1:3]
        with Sandbox(tenant) as sandbox:
            sandbox.add(Fault.cached_first_page(path=path_of(stream, [repeated])))
            sandbox.add(Fault.status(500, page=2, path=path_of(stream, [broken])))
            output = read(hurried, sandbox, stream)
        assert output.statuses() == {stream: "INCOMPLETE"}
        expected = without_parents(tenant, stream, [repeated, broken])
        assert_each_found(stream, expected, output.records()[stream], tenant.emitted(stream))
        assert_listed(output, stream, [repeated, broken])

    def size(self, tenant: Tenant, group: str) -> int:
        return len([record for record in tenant.emitted("group_members") if record["group_uuid"] == group])

    def test_several_reasons_are_listed_together(self, hurried: Connector, sandbox: Sandbox, tenant: Tenant) -> None:
        stream = "course_learning_objects"
        parents = parents_of(tenant, stream)
        gone, at_fault = parents[30:33], [parents[5], parents[20], parents[40], parents[-1]]
        sandbox.add(Fault.deleted(path=path_of(stream, gone)))
        sandbox.add(Fault.status(403, path=path_of(stream, at_fault[:2])))
        sandbox.add(Fault.status(500, path=path_of(stream, at_fault[2:])))
        output = read(hurried, sandbox, stream)
        assert output.statuses() == {stream: "INCOMPLETE"}
        assert_same(stream, without_parents(tenant, stream, gone + at_fault), output.records()[stream])
        assert_named(output, stream, gone + at_fault)
        (error,) = [each for each in output.errors() if each.get("stream_descriptor")]
        assert all(named(error["message"], key) for key in at_fault)


class TestDeletedParents:
    def test_one_of_each_kind_is_skipped_and_named(
        self, connector: Connector, tenant: Tenant, sandbox: Sandbox
    ) -> None:
        deleted = {stream: parents_of(tenant, stream)[-1] for stream in PATHS}
        for stream, key in deleted.items():
            sandbox.add(Fault.deleted(path=path_of(stream, [key])))
        output = read(connector, sandbox, *PATHS)
        assert output.code == 0, output.errors()
        assert len(sandbox.requests) == tenant.minimum_requests(PATHS)
        for stream, key in deleted.items():
            assert_same(stream, without_parents(tenant, stream, [key]), output.records()[stream])
            warnings = [line for line in output.logs() if line.startswith(f"WARN Stream {stream}:") and "404" in line]
            assert len(warnings) == 1
            assert named(warnings[0], key)

    @pytest.mark.parametrize("deleted", [9, 20])
    def test_up_to_half_of_the_parents_fail_nothing(
        self, connector: Connector, tenant: Tenant, sandbox: Sandbox, deleted: int
    ) -> None:
        """Nine may be the first ones; ten in a row show that the platform does not serve the path."""
        stream = "group_members"
        first = 0 if deleted < 10 else 5
        gone = [tenant.parent_key(stream, number) for number in range(first, first + deleted)]
        sandbox.add(Fault.deleted(path=path_of(stream, gone)))
        output = read(connector, sandbox, stream)
        assert output.code == 0, output.errors()
        assert output.statuses() == {stream: "COMPLETE"}
        assert_same(stream, without_parents(tenant, stream, gone), output.records()[stream])
        assert_named(output, stream, gone)

    def test_more_than_half_fail_the_stream_after_the_others(
        self, connector: Connector, tenant: Tenant, sandbox: Sandbox
    ) -> None:
        stream = "group_members"
        gone = [tenant.parent_key(stream, number) for number in range(19, 40)]
        sandbox.add(Fault.deleted(path=path_of(stream, gone)))
        output = read(connector, sandbox, stream)
        assert output.statuses() == {stream: "INCOMPLETE"}
        assert_same(stream, without_parents(tenant, stream, gone), output.records()[stream])
        assert_error(output, stream, "config_error", "404", "21")


class TestNoParentCanBeRead:
    @pytest.mark.parametrize("groups", [1, 2, 40])
    def test_a_path_that_the_platform_does_not_serve(self, connector: Connector, groups: int) -> None:
        with Sandbox(Tenant(seed=102, groups=groups)) as sandbox:
            sandbox.add(Fault.status(404, path="/audience/[^/]+/users$"))
            output = read(connector, sandbox, "group_members", "groups")
        assert output.statuses() == {"group_members": "INCOMPLETE", "groups": "COMPLETE"}
        assert_error(output, "group_members", "config_error", "404")
        assert min(groups, 10) <= sandbox.requests_by_stream()["group_members"] <= min(groups, 10 + WORKERS)

    def test_ten_are_enough_to_know(self, hurried: Connector, tenant: Tenant, sandbox: Sandbox) -> None:
        sandbox.add(Fault.status(403, path="/los$"))
        sandbox.add(Fault.status(500, path="/users$"))
        output = read(hurried, sandbox, "course_learning_objects", "group_members", "sessions")
        failed = ("course_learning_objects", "group_members")
        assert output.statuses() == {**dict.fromkeys(failed, "INCOMPLETE"), "sessions": "COMPLETE"}
        assert_same_records(tenant, output, ["sessions"])
        assert_error(output, "course_learning_objects", "config_error", "403")
        assert_error(output, "group_members", "transient_error")
        requests = sandbox.requests_by_stream()
        assert 10 <= requests["course_learning_objects"] <= 10 + WORKERS
        assert 10 * TRIES <= requests["group_members"] <= (10 + WORKERS) * TRIES

    def test_one_that_was_read_makes_the_difference(self, hurried: Connector, tenant: Tenant, sandbox: Sandbox) -> None:
        stream = "group_members"
        keys = [tenant.parent_key(stream, number) for number in range(40)]
        readable = [key for key in keys if key in parents_of(tenant, stream)][0]
        at_fault = [key for key in keys if key != readable]
        sandbox.add(Fault.status(403, path=path_of(stream, at_fault)))
        output = read(hurried, sandbox, stream)
        assert output.statuses() == {stream: "INCOMPLETE"}
        assert_same(stream, without_parents(tenant, stream, at_fault), output.records()[stream])
        assert sandbox.requests_by_stream()[stream] == 40
        assert_listed(output, stream, at_fault)


class TestBatches:
    """A batch of courses that fails is requested in halves, whatever the reason, down to the courses at fault."""

    @pytest.mark.parametrize(("code", "place"), [(404, 0.5), (404, 1), (403, 0), (500, 0.5), (500, 0), (504, 1)])
    def test_one_course_costs_only_its_own_enrollments(
        self, hurried: Connector, tenant: Tenant, sandbox: Sandbox, code: int, place: float
    ) -> None:
        parents = parents_of(tenant, BATCHES)
        at_fault = parents[round(place * (len(parents) - 1))]
        sandbox.add(Fault.course_of_batch(at_fault, code))
        output = read(hurried, sandbox, BATCHES)
        assert output.statuses() == {BATCHES: "COMPLETE" if code == 404 else "INCOMPLETE"}
        assert_same(BATCHES, without_parents(tenant, BATCHES, [at_fault]), output.records()[BATCHES])
        assert_named(output, BATCHES, [at_fault])
        if code != 404:
            assert_listed(output, BATCHES, [at_fault])
        # The other half of each batch that failed has a page that is not full.
        tries = (1, 1) if code < 500 else (TRIES_OF_A_BATCH, TRIES)
        most = HALVINGS * tries[0] + tries[1] + HALVINGS
        assert len(sandbox.requests) <= tenant.minimum_requests([BATCHES]) + most
        failed = [request for request in sandbox.requests if request.status == code]
        alone = [request for request in failed if len(request.query["course_id[]"]) == 1]
        assert len(alone) == tries[1]
        assert len(failed) <= HALVINGS * tries[0] + tries[1]

    def test_a_gateway_that_gives_up_on_more_than_twenty(
        self, hurried: Connector, tenant: Tenant, sandbox: Sandbox
    ) -> None:
        sandbox.add(Fault.large_batches(20))
        output = read(hurried, sandbox, BATCHES)
        assert output.statuses() == {BATCHES: "COMPLETE"}
        assert_same_records(tenant, output, [BATCHES])
        failed = [request for request in sandbox.requests if request.status == 504]
        assert len(failed) <= TRIES_OF_A_BATCH * (1 + 2 + 4)  # of 100, 50 and 25
        assert len(sandbox.requests) <= len(failed) + tenant.minimum_requests([BATCHES]) + 8

    @pytest.mark.parametrize("code", [403, 500, 504])
    def test_a_second_page_alone(self, hurried: Connector, tenant: Tenant, sandbox: Sandbox, code: int) -> None:
        """The rows of its first page come twice, which the key mends."""
        sandbox.add(Fault.large_batches(20, code, html=code == 504, page=2))
        output = read(hurried, sandbox, BATCHES)
        assert output.code == 0, output.errors()
        assert output.statuses() == {BATCHES: "COMPLETE"}
        assert_each_found(BATCHES, tenant.emitted(BATCHES), output.records()[BATCHES])

    def test_courses_at_fault_in_several_batches(self, hurried: Connector) -> None:
        tenant = Tenant(seed=106, courses=3 * COURSES_PER_REQUEST - 20, enrollments_per_course=3)
        parents = parents_of(tenant, BATCHES)
        gone, at_fault = [parents[150]], [parents[0], parents[120], parents[-1]]
        with Sandbox(tenant) as sandbox:
            for course in gone:
                sandbox.add(Fault.course_of_batch(course, 404))
            for course in at_fault:
                sandbox.add(Fault.course_of_batch(course, 403))
            output = read(hurried, sandbox, BATCHES)
        assert output.statuses() == {BATCHES: "INCOMPLETE"}
        assert_same(BATCHES, without_parents(tenant, BATCHES, gone + at_fault), output.records()[BATCHES])
        assert_named(output, BATCHES, gone + at_fault)
        (error,) = [each for each in output.errors() if each.get("stream_descriptor")]
        assert all(named(error["message"], key) for key in at_fault)

    def test_a_path_that_always_fails_costs_few_requests(self, hurried: Connector) -> None:
        tenant = Tenant(seed=107, courses=3 * COURSES_PER_REQUEST, enrollments_per_course=1)
        with Sandbox(tenant) as sandbox:
            sandbox.add(Fault.status(403, path="course/v1/courses/enrollments$"))
            output = read(hurried, sandbox, BATCHES)
        assert output.statuses() == {BATCHES: "INCOMPLETE"}
        assert_error(output, BATCHES, "config_error", "403")
        # Ten courses, and the batches that were halved on the way to them, for each worker at most.
        alone = [each for each in sandbox.requests if len(each.query.get("course_id[]", [])) == 1]
        assert len(alone) <= 10 + WORKERS
