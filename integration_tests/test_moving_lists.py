"""
Lists that change while they are read: whoever was there during the whole read is there at its end, at the price of a
few requests.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timezone
from typing import Any

import pytest

from integration_tests.command import Connector, Output
from integration_tests.comparison import assert_each_found
from integration_tests.reads import list_warnings, read
from integration_tests.sandbox import CHILDREN, Fault, Sandbox, Tenant, pages
from integration_tests.sandbox.tenant import user_id

PATHS = {
    "courses": "learn/v1/courses$",
    "enrollments": "learn/v1/enrollments$",
    "groups": "audiences/v1/audience$",
    "users": "manage/v1/user$",
}
PAGE = 200
WORKERS = 8


@pytest.fixture
def tenant() -> Tenant:
    """Twelve pages of users, the last with five of them, and seven pages of enrollments."""
    return Tenant(seed=201, users=2205, courses=100, learning_plans=20, user_fields=0)


@pytest.fixture
def sandbox(tenant: Tenant) -> Iterator[Sandbox]:
    with Sandbox(tenant) as running:
        yield running


def read_meanwhile(
    hurried: Connector,
    sandbox: Sandbox,
    stream: str,
    after: int,
    *changes: Callable[[], object],
    earlier: Iterable[dict[str, Any]] = (),
    **options: Any,
) -> Output:
    """
    A read of a stream, with a change after so many requests for it, the next one after as many more, and so on. Every
    row that was there from beginning to end has come, now or with an earlier sync, and nothing that was never there.
    """
    before = sandbox.tenant.emitted(stream)
    possible = [*before]

    def meanwhile(change: Callable[[], object]) -> Callable[[], None]:
        def change_and_remember() -> None:
            change()
            possible.extend(sandbox.tenant.emitted(stream))

        return change_and_remember

    for number, change in enumerate(changes, start=1):
        sandbox.add(Fault.meanwhile(meanwhile(change), after=after * number, path=PATHS[stream]))
    output = read(hurried, sandbox, stream, **options)
    assert output.code == 0, output.errors()
    assert output.statuses() == {stream: "COMPLETE"}
    found = {key_of(stream, record) for record in [*earlier, *output.records()[stream]]}
    remaining = {key_of(stream, record) for record in sandbox.tenant.emitted(stream)}
    lost = (remaining & {key_of(stream, record) for record in before}) - found
    assert not lost, f"{len(lost)} of {len(before)} rows are lost: {sorted(lost)[:3]} .."
    assert_each_found(stream, [], output.records()[stream], possible)
    return output


def key_of(stream: str, record: dict[str, Any]) -> tuple[Any, ...]:
    keys = {"courses": ("id_course",), "enrollments": ("type", "id", "user_id"), "groups": ("uuid",)}
    return tuple(record[field] for field in keys.get(stream, ("user_id",)))


class TestRowsThatAreDeleted:
    """The rows behind a deleted one move up: what slips to the page before is read, since the total has fallen."""

    @pytest.mark.parametrize(("count", "after"), [(1, 2), (1, 7), (30, 7), (150, 2), (250, 2), (250, 7)])
    def test_users(self, hurried: Connector, tenant: Tenant, sandbox: Sandbox, count: int, after: int) -> None:
        first = tenant.rows("users")[20 : 20 + count]
        output = read_meanwhile(hurried, sandbox, "users", after, lambda: tenant.delete("users", first))
        assert not list_warnings(output, "users")
        # What the difference fills is read again, and so are pages that were prefetched meanwhile.
        assert sandbox.requests_by_stream()["users"] <= pages(2205) + pages(count) + WORKERS

    def test_one_after_the_other(self, hurried: Connector, tenant: Tenant, sandbox: Sandbox) -> None:
        deletions = [lambda row=row: tenant.delete("users", [row]) for row in tenant.rows("users")[:5]]
        read_meanwhile(hurried, sandbox, "users", 2, *deletions)
        assert sandbox.requests_by_stream()["users"] <= pages(2205) + 2 * 5 + WORKERS

    def test_every_second_row(self, hurried: Connector, tenant: Tenant, sandbox: Sandbox) -> None:
        read_meanwhile(hurried, sandbox, "users", 2, lambda: tenant.delete("users", tenant.rows("users")[::2]))
        assert sandbox.requests_by_stream()["users"] <= pages(2205) + WORKERS

    @pytest.mark.parametrize("after", [9, 11])
    def test_the_last_page_vanishes(self, hurried: Connector, tenant: Tenant, sandbox: Sandbox, after: int) -> None:
        last_pages = tenant.rows("users")[1990:2000]
        output = read_meanwhile(hurried, sandbox, "users", after, lambda: tenant.delete("users", last_pages))
        assert not list_warnings(output, "users")
        assert sandbox.requests_by_stream()["users"] <= pages(2205) + 5

    @pytest.mark.parametrize("count", [1, 30, 250])
    def test_enrollments(self, hurried: Connector, tenant: Tenant, sandbox: Sandbox, count: int) -> None:
        first = tenant.rows("enrollments")[:count]
        before = tenant.list_of("enrollments").size
        read_meanwhile(
            hurried, sandbox, "enrollments", 3, lambda: tenant.delete("enrollments", first), incremental=PATHS
        )
        assert sandbox.requests_by_stream()["enrollments"] <= pages(before) + pages(count) + WORKERS


class TestParentsThatAreDeleted:
    @pytest.mark.parametrize(("parents", "children"), [("courses", "sessions"), ("groups", "group_members")])
    def test_the_children_of_the_others_are_read(self, hurried: Connector, parents: str, children: str) -> None:
        tenant = Tenant(seed=202, courses=650, groups=650, members_per_group=3, users=40)
        before = tenant.emitted(children)
        deleted = tenant.rows(parents)[160:190]
        path = PATHS[parents]
        with Sandbox(tenant) as sandbox:
            sandbox.add(Fault.meanwhile(lambda: tenant.delete(parents, deleted), after=1, path=path))
            output = read(hurried, sandbox, children)
        assert output.code == 0, output.errors()
        assert_each_found(children, tenant.emitted(children), output.records()[children], before)
        key = CHILDREN[children][1]
        gone = {record[key] for record in before} - {record[key] for record in tenant.emitted(children)}
        assert gone
        assert sandbox.requests_by_stream()[parents] <= pages(650) + 1 + WORKERS


class TestRowsThatMoveToTheEnd:
    """A list in order of update: ten rows of the first page change, ten others slip to a page that was read."""

    @pytest.mark.parametrize("size", [2290, 2205], ids=["others on the last page", "nobody else on the last page"])
    @pytest.mark.parametrize("after", [2, 7], ids=["early", "late"])
    def test_users(self, hurried: Connector, after: int, size: int) -> None:
        """Where the last page holds none but those that moved, its keys have all come before."""
        tenant = Tenant(seed=203, users=size, user_fields=0)
        first = tenant.rows("users")[:10]
        with Sandbox(tenant) as sandbox:
            output = read_meanwhile(hurried, sandbox, "users", after, lambda: tenant.move_to_end("users", first))
        assert not list_warnings(output, "users")
        assert sandbox.requests_by_stream()["users"] <= 2 * (pages(size) + WORKERS)

    def test_enrollments_of_a_first_sync(self, hurried: Connector, tenant: Tenant, sandbox: Sandbox) -> None:
        size = tenant.list_of("enrollments").size
        changed = tenant.rows("enrollments")[:10]
        first = read_meanwhile(
            hurried, sandbox, "enrollments", 3, lambda: self.change(tenant, changed), incremental=PATHS
        )
        assert first.code == 0
        assert sandbox.requests_by_stream()["enrollments"] <= 2 * pages(size) + WORKERS

    def test_enrollments_of_an_incremental_sync(self, hurried: Connector, tenant: Tenant, sandbox: Sandbox) -> None:
        first = read(hurried, sandbox, "enrollments", incremental=PATHS)
        since = datetime(2024, 7, 1, 9, 30)
        tenant.change_enrollments(tenant.rows("enrollments")[100:], since)
        updated = tenant.enrollments_updated(str(since), None)
        assert updated.size > 5 * PAGE
        changed = [updated.record(position).number for position in range(10)]
        sandbox.requests.clear()
        second = read_meanwhile(
            hurried,
            sandbox,
            "enrollments",
            2,
            lambda: self.change(tenant, changed),
            incremental=PATHS,
            state=first.last_states(),
            earlier=first.records()["enrollments"],
        )
        assert sandbox.requests_by_stream()["enrollments"] <= 2 * pages(updated.size) + WORKERS
        assert all("updated_from" in sent.query for sent in sandbox.requests if sent.stream == "enrollments")
        self.assert_as_it_is(tenant, first, second)

    def change(self, tenant: Tenant, numbers: Any) -> None:
        tenant.change_enrollments(numbers, datetime.now(timezone.utc).replace(tzinfo=None))
        tenant.move_to_end("enrollments", numbers)

    def assert_as_it_is(self, tenant: Tenant, *outputs: Output) -> None:
        """A deduplicating destination holds each row as the platform does."""
        records = [record for output in outputs for record in output.records()["enrollments"]]
        last = {key_of("enrollments", record): record for record in records}
        assert_each_found("enrollments", tenant.emitted("enrollments"), list(last.values()))


class TestRowsThatAreInserted:
    @pytest.mark.parametrize("count", [30, 250])
    def test_before_what_was_read(self, hurried: Connector, tenant: Tenant, sandbox: Sandbox, count: int) -> None:
        """An import of more than a page brings pages whose keys all came before."""
        output = read_meanwhile(hurried, sandbox, "users", 4, lambda: tenant.insert("users", count))
        assert_each_found("users", tenant.emitted("users"), output.records()["users"])
        assert sandbox.requests_by_stream()["users"] <= 2 * pages(2205 + count) + WORKERS

    def test_at_the_end(self, hurried: Connector, tenant: Tenant, sandbox: Sandbox) -> None:
        output = read_meanwhile(hurried, sandbox, "users", 4, lambda: tenant.insert("users", 500, at=None))
        assert_each_found("users", tenant.emitted("users"), output.records()["users"])
        # A page that was requested before and comes after shows the total as it was: it is requested once more.
        assert sandbox.requests_by_stream()["users"] <= pages(2705) + WORKERS
        assert len(output.records()["users"]) == 2705


class TestReplicas:
    @pytest.mark.parametrize("at_end", [False, True], ids=["first row", "last row"])
    def test_two_that_differ_by_a_row_end_the_read(
        self, hurried: Connector, tenant: Tenant, sandbox: Sandbox, at_end: bool
    ) -> None:
        """
        The total falls at every other page, so that reading could go back for ever. Where the pages of the two are
        shifted, a row at a border of pages may be on none of them.
        """
        sandbox.add(Fault.stale_replica(1, at_end, path=PATHS["users"]))
        output = read(hurried, sandbox, "users", timeout=20)
        assert output.code == 0, output.errors()
        assert_each_found("users", [], output.records()["users"], tenant.emitted("users"))
        known = tenant.rows("users")[:-1] if at_end else tenant.rows("users")[1:]
        lost = len(known) - len({record["user_id"] for record in output.records()["users"]} & set(map(user_id, known)))
        assert lost <= (0 if at_end else pages(2205))
        assert sandbox.requests_by_stream()["users"] <= 6 * pages(2205)
