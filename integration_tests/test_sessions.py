"""
Sessions and what they hold: children of children, whose parents are read once for all of them. What cannot be read is
named, and no stream is complete without it.
"""

import pytest

from integration_tests.command import Connector
from integration_tests.comparison import assert_same, assert_same_records
from integration_tests.reads import assert_complete, assert_error, read
from integration_tests.sandbox import Fault, Sandbox, Tenant, without_nulls

ALL = ("sessions", "session_events", "session_enrollments")


@pytest.fixture(scope="module")
def tenant() -> Tenant:
    """12 courses that may have sessions; some sessions have more enrollments than one page holds, some no events."""
    return Tenant(seed=111, courses=40, users=500, enrollments_per_session=220)


@pytest.mark.parametrize("workers", [2, 8, 40])
def test_the_sessions_are_read_once(connector: Connector, tenant: Tenant, workers: int) -> None:
    pages = tenant.minimum_requests(["session_enrollments"]) - tenant.minimum_requests(["sessions"])
    assert pages > tenant.count(["sessions"])
    with Sandbox(tenant) as sandbox:
        output = connector.read({**sandbox.config("client_credentials"), "num_workers": workers}, ALL)
        assert len(sandbox.requests) == tenant.minimum_requests(ALL)
    assert_complete(tenant, output, ALL)


def test_sessions_of_more_pages_than_one(connector: Connector) -> None:
    tenant = Tenant(seed=112, courses=20, sessions_per_course=24, events_per_session=1)
    with Sandbox(tenant) as sandbox:
        sandbox.add(Fault(page_size=10, path="/courses/[^/]+/sessions$"))
        output = read(connector, sandbox, *ALL)
        sent = [request.target for request in sandbox.requests if request.stream == "sessions"]
        assert len(sent) == len(set(sent))
    assert_complete(tenant, output, ALL)


def test_a_deleted_session_is_skipped_and_named(connector: Connector, tenant: Tenant) -> None:
    deleted = tenant.emitted("session_events")[-1]["session_id"]
    with Sandbox(tenant) as sandbox:
        sandbox.add(Fault.deleted(path=f"/sessions/{deleted}/events$"))
        output = read(connector, sandbox, *ALL)
    assert output.code == 0, output.errors()
    assert_same_records(tenant, output, ["sessions", "session_enrollments"])
    left = [record for record in tenant.emitted("session_events") if record["session_id"] != deleted]
    assert_same("session_events", [without_nulls(record) for record in left], output.records()["session_events"])
    (warning,) = [line for line in output.logs() if line.startswith("WARN Stream session_events:")]
    assert f"/sessions/{deleted}/events" in warning


def test_a_deleted_course_costs_its_own_sessions_only(connector: Connector, tenant: Tenant) -> None:
    deleted = tenant.emitted("sessions")[-1]["course_id"]
    gone = {record["id"] for record in tenant.emitted("sessions") if record["course_id"] == deleted}
    with Sandbox(tenant) as sandbox:
        sandbox.add(Fault.deleted(path=f"/courses/{deleted}/sessions$"))
        output = read(connector, sandbox, *ALL)
        requested = [request for request in sandbox.requests if request.path.endswith(f"/courses/{deleted}/sessions")]
        assert len(requested) == 1
    assert output.code == 0, output.errors()
    for stream, key in zip(ALL, ("id", "session_id", "session_id"), strict=True):
        left = [without_nulls(record) for record in tenant.emitted(stream) if record[key] not in gone]
        assert_same(stream, left, output.records()[stream])
    assert any(f"/courses/{deleted}/sessions" in line for line in output.logs() if line.startswith("WARN"))


@pytest.mark.parametrize("streams", [ALL, ALL[1:]])
@pytest.mark.parametrize("status", [500, 403])
def test_a_course_whose_sessions_cannot_be_read_fails_all_three(
    hurried: Connector, tenant: Tenant, streams: tuple[str, ...], status: int
) -> None:
    unreadable = tenant.emitted("sessions")[-1]["course_id"]
    path = f"/courses/{unreadable}/sessions$"
    with Sandbox(tenant) as sandbox:
        sandbox.add(Fault.status(status, path=path))
        alone = read(hurried, sandbox, "sessions")
        assert alone.statuses() == {"sessions": "INCOMPLETE"}
        tries = len([request for request in sandbox.requests if request.status == status])
        sandbox.requests.clear()
        output = read(hurried, sandbox, *streams)
        assert len([request for request in sandbox.requests if request.status == status]) == tries
    assert output.code == 1
    assert output.statuses() == dict.fromkeys(streams, "INCOMPLETE")
    assert any(str(unreadable) in error["message"] for error in output.errors())


def test_a_platform_that_does_not_serve_events(connector: Connector, tenant: Tenant) -> None:
    with Sandbox(tenant) as sandbox:
        sandbox.add(Fault.deleted(path="/events$"))
        output = read(connector, sandbox, *ALL)
    assert output.statuses() == {**dict.fromkeys(ALL, "COMPLETE"), "session_events": "INCOMPLETE"}
    assert_error(output, "session_events", "config_error", "404", "deselect the stream")
    assert_same_records(tenant, output, ["sessions", "session_enrollments"])
