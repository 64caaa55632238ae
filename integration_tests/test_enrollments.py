"""
The stream `enrollments`: read in full, and since the last sync. No change is missed, whatever happens between two
syncs, and a sync without news is cheap.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from integration_tests import example
from integration_tests.command import Connector, Output, rest_of
from integration_tests.comparison import assert_same
from integration_tests.reads import assert_complete, assert_messages_documented, assert_nothing_private
from integration_tests.sandbox import Fault, Sandbox, Tenant, without_nulls
from integration_tests.sandbox.tenant import List

PATH = "learn/v1/enrollments$"
KEY = ("type", "id", "user_id")
CHANGED_AT = datetime(2024, 8, 1, 9, 30)
PYAIRBYTE = """
import json, sys
import airbyte as ab
from airbyte.caches import DuckDBCache

config, command, database = sys.argv[1:]
source = ab.get_source(
    "source-docebo", config=json.load(open(config)), local_executable=command, streams=["enrollments"]
)
source.read(cache=DuckDBCache(db_path=database, schema_name="main"))
"""


@pytest.fixture
def tenant() -> Tenant:
    """1,400 enrollments, each tenth or so without a date of change."""
    return Tenant(seed=71, courses=100, learning_plans=20)


def read(connector: Connector, sandbox: Sandbox, state: list[dict[str, Any]] | None = None, **fields: str) -> Output:
    """A sync since a state. `fields`: more of the configuration."""
    config = {**sandbox.config("client_credentials"), **fields}
    output = connector.read(config, ["enrollments"], incremental=["enrollments"], state=state)
    assert_nothing_private(sandbox, output)
    assert_messages_documented(output)
    return output


def requests_of(sandbox: Sandbox) -> list[dict[str, list[str]]]:
    """The queries of the requests for enrollments, since the last time this was asked."""
    queries = [request.query for request in sandbox.requests if request.stream == "enrollments"]
    sandbox.requests.clear()
    return queries


def newest(tenant: Tenant) -> datetime:
    """The newest date of change."""
    return newest_of(tenant.list_of("enrollments"))


def newest_of(enrollments: List) -> datetime:
    """The same of some of them."""
    dates = [enrollments.record(number).emitted["date_last_updated"] for number in range(enrollments.size)]
    return datetime.fromisoformat(max(date for date in dates if date).removesuffix("Z"))


def deduplicated(*outputs: Output) -> list[dict[str, Any]]:
    """The records of several syncs, as a deduplicating destination holds them: the last of each key."""
    records = [record for output in outputs for record in output.records()["enrollments"]]
    return list({tuple(record[field] for field in KEY): record for record in records}.values())


def assert_same_enrollments(tenant: Tenant, *outputs: Output) -> None:
    expected = [without_nulls(record) for record in tenant.emitted("enrollments")]
    assert_same("enrollments", expected, deduplicated(*outputs))


def with_dates(state: list[dict[str, Any]], replacement: str) -> list[dict[str, Any]]:
    """A state whose dates were replaced by another text."""
    text = re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\dZ?", replacement, json.dumps(state))
    assert replacement in text
    return list(json.loads(text))


def test_a_full_refresh_reads_courses_and_plans_of_equal_numbers(connector: Connector, tenant: Tenant) -> None:
    expected = tenant.emitted("enrollments")
    assert len({record["id"] for record in expected}) < len({(record["type"], record["id"]) for record in expected})
    with Sandbox(tenant) as sandbox:
        output = connector.read(sandbox.config("client_credentials"), ["enrollments"])
        assert len(sandbox.requests) == tenant.minimum_requests(["enrollments"])
    assert_complete(tenant, output, ["enrollments"])


class TestIncremental:
    def test_three_syncs(self, connector: Connector, tenant: Tenant) -> None:
        with Sandbox(tenant) as sandbox:
            first = read(connector, sandbox)
            assert first.code == 0, first.errors()
            assert_same_enrollments(tenant, first)
            queries = requests_of(sandbox)
            pages = -(-tenant.count(["enrollments"]) // 200)
            assert len(queries) == pages
            assert not any("updated_from" in query for query in queries)

            since = newest(tenant)
            without_news = read(connector, sandbox, first.last_states())
            assert without_news.code == 0
            queries = requests_of(sandbox)
            assert len(queries) <= 2
            assert queries[0]["updated_from"] == [str(since - timedelta(hours=1))]
            assert all(
                without_news.records()["enrollments"].count(record) == 1 for record in deduplicated(without_news)
            )

            size = tenant.count(["enrollments"])
            tenant.change_enrollments(range(0, size, 5), CHANGED_AT)
            tenant.add_enrollments(30, CHANGED_AT + timedelta(seconds=59))
            third = read(connector, sandbox, without_news.last_states())
            changed = tenant.enrollments_updated(str(since - timedelta(hours=1)), None).size
            queries = requests_of(sandbox)
            assert len(queries) <= -(-changed // 200) + 1
            assert queries[0]["updated_from"] == [str(since - timedelta(hours=1))]
            assert len(third.records()["enrollments"]) == changed
            assert_same_enrollments(tenant, first, without_news, third)

            read(connector, sandbox, third.last_states())
            assert requests_of(sandbox)[0]["updated_from"] == ["2024-08-01 08:30:59"]

    def test_rows_without_a_date_do_not_move_the_cursor_back(self, connector: Connector, tenant: Tenant) -> None:
        dates = [record["date_last_updated"] for record in tenant.wire("enrollments")]
        assert None in dates
        assert "0000-00-00 00:00:00" in dates
        with Sandbox(tenant) as sandbox:
            output = read(connector, sandbox)
        assert output.statuses() == {"enrollments": "COMPLETE"}
        (state,) = output.last_states()
        assert newest(tenant).isoformat() in json.dumps(state).replace(" ", "T")

    def test_a_row_that_changes_after_its_page_was_read_comes_with_the_next_sync(
        self, connector: Connector, tenant: Tenant
    ) -> None:
        """The first sync of a large platform takes hours: later pages hold newer changes than such a row."""
        now = datetime.now(timezone.utc).replace(tzinfo=None)

        async def change(_: web.Request, render: Callable[[], bytes]) -> web.Response:
            body = render()
            tenant.change_enrollments([0], now)
            tenant.change_enrollments([tenant.count(["enrollments"]) - 1], now + timedelta(hours=2))
            return web.Response(body=body, content_type="application/json")

        with Sandbox(tenant) as sandbox:
            sandbox.add(Fault(change, path=PATH, page=1, times=1))
            first = read(connector, sandbox)
            requests_of(sandbox)
            second = read(connector, sandbox, first.last_states())
            assert "updated_from" in requests_of(sandbox)[0]
        assert any(record.get("date_last_updated", "") > f"{now:%Y-%m-%dT%H:%M:%SZ}" for record in deduplicated(first))
        assert_same_enrollments(tenant, first, second)

    def test_a_date_in_the_future_hides_no_change(self, connector: Connector, tenant: Tenant) -> None:
        tenant.change_enrollments([5], datetime(2999, 1, 1))
        with Sandbox(tenant) as sandbox:
            first = read(connector, sandbox)
            tenant.change_enrollments([6, 700], datetime.now(timezone.utc).replace(tzinfo=None))
            requests_of(sandbox)
            second = read(connector, sandbox, first.last_states())
            assert len(requests_of(sandbox)) == 1
        assert len(second.records()["enrollments"]) == 3
        assert_same_enrollments(tenant, first, second)


class TestStartDate:
    def test_a_first_sync_of_what_changed_since(self, connector: Connector, tenant: Tenant) -> None:
        fields = {"start_date": "2023-07-01T00:00:00Z", "lookback_window": "P1D"}
        since = tenant.enrollments_updated("2023-07-01 00:00:00", None)
        whole = tenant.count(["enrollments"])
        assert 200 < since.size < whole - 200
        with Sandbox(tenant) as sandbox:
            first = read(connector, sandbox, **fields)
            queries = requests_of(sandbox)
            assert len(queries) == -(-since.size // 200)
            assert {query["updated_from"][0] for query in queries} == {"2023-07-01 00:00:00"}
            expected = [without_nulls(since.record(number).emitted) for number in range(since.size)]
            assert_same("enrollments", expected, first.records()["enrollments"])
            before = newest_of(since) - timedelta(days=1)
            tenant.change_enrollments(range(0, whole, 9), CHANGED_AT)
            second = read(connector, sandbox, first.last_states(), **fields)
            assert requests_of(sandbox)[0]["updated_from"] == [str(before)]
        changed = tenant.enrollments_updated(str(before), None)
        expected = [without_nulls(changed.record(number).emitted) for number in range(changed.size)]
        assert_same("enrollments", expected, second.records()["enrollments"])

    def test_one_that_is_no_date_fails_before_any_request(self, connector: Connector, tenant: Tenant) -> None:
        with Sandbox(tenant) as sandbox:
            for value in ("2024-02-30T00:00:00Z", "2024-01-01", "2999-01-01T00:00:00Z"):
                output = connector.read({**sandbox.config("client_credentials"), "start_date": value}, ["enrollments"])
                assert output.code == 1
                (error,) = output.errors()
                assert error["failure_type"] == "config_error"
                assert "the field start_date " in error["message"]
                assert_messages_documented(output)
            assert sandbox.requests == []


class TestSyncsThatBreakOff:
    def test_an_error_on_page_3(self, connector: Connector, tenant: Tenant) -> None:
        with Sandbox(tenant) as sandbox:
            first = read(connector, sandbox)
            size = tenant.count(["enrollments"])
            tenant.change_enrollments(range(0, size, 2), CHANGED_AT)
            sandbox.add(Fault.status(403, path=PATH, page=3))
            broken = read(connector, sandbox, first.last_states())
            assert broken.code == 1
            assert broken.statuses() == {"enrollments": "INCOMPLETE"}
            sandbox.clear()
            last = read(connector, sandbox, broken.last_states() or first.last_states())
        assert last.code == 0
        assert_same_enrollments(tenant, first, broken, last)

    def test_sigterm_in_the_first_sync(self, connector: Connector, tenant: Tenant) -> None:
        with Sandbox(tenant, latency=0.5) as sandbox:
            with connector.reading(
                sandbox.config("client_credentials"), ["enrollments"], incremental=["enrollments"]
            ) as process:
                assert process.stdout
                lines = [process.stdout.readline()]
                while b'"RECORD"' not in lines[-1]:
                    lines.append(process.stdout.readline())
                process.send_signal(signal.SIGTERM)
                rest = rest_of(process)
            broken = Output(rest.code, b"".join(lines).decode() + rest.text, rest.stderr)
            assert len(broken.records()["enrollments"]) < tenant.count(["enrollments"])
            output = read(connector, sandbox, broken.last_states())
        assert output.code == 0
        assert_same_enrollments(tenant, broken, output)


class TestStatesThatCannotBe:
    """Rows are never skipped because of a state: the sync fails with a message, or reads everything."""

    def test_a_state_from_the_future(self, connector: Connector, tenant: Tenant) -> None:
        with Sandbox(tenant) as sandbox:
            state = with_dates(read(connector, sandbox).last_states(), "2999-01-01T00:00:00Z")
            output = read(connector, sandbox, state)
        if output.code == 0:
            assert_same_enrollments(tenant, output)
        else:
            assert output.errors()[0]["failure_type"] == "config_error"

    def test_a_state_of_another_shape(self, connector: Connector, tenant: Tenant) -> None:
        state = [
            {
                "stream": {
                    "stream_descriptor": {"name": "enrollments"},
                    "stream_state": {"pages": [1, 2], "date_last_updated": {"value": 7}},
                }
            }
        ]
        with Sandbox(tenant) as sandbox:
            output = connector.read(
                sandbox.config("client_credentials"), ["enrollments"], incremental=["enrollments"], state=state
            )
        if output.code == 0:
            assert_same_enrollments(tenant, output)
        else:
            assert output.errors()
            assert not any("Traceback" in text for text in [*(e["message"] for e in output.errors()), output.stderr])

    def test_a_state_of_another_stream(self, connector: Connector, tenant: Tenant) -> None:
        with Sandbox(tenant) as sandbox:
            state = read(connector, sandbox).last_states()
            state[0]["stream"]["stream_descriptor"]["name"] = "course_enrollments"
            assert_same_enrollments(tenant, read(connector, sandbox, state))

    def test_a_date_that_cannot_be_parsed_is_an_error_of_one_line(self, connector: Connector, tenant: Tenant) -> None:
        with Sandbox(tenant) as sandbox:
            state = with_dates(read(connector, sandbox).last_states(), "yesterday")
            output = read(connector, sandbox, state)
        assert output.code == 1
        assert output.records() == {}
        (error,) = [error for error in output.errors() if "state" in error["message"]]
        assert "\n" not in error["message"]
        assert error["failure_type"] == "config_error"


def test_pyairbyte_holds_the_newest_of_each_row_once(tenant: Tenant, tmp_path: Path) -> None:
    database, config = tmp_path / "docebo.duckdb", tmp_path / "config.json"
    command = str(Path(sys.executable).with_name("source-docebo"))
    with Sandbox(tenant) as sandbox:
        config.write_text(json.dumps(sandbox.config("client_credentials")), encoding="utf-8")
        for _ in range(2):
            done = subprocess.run(
                [example.python(), "-c", PYAIRBYTE, config, command, database],
                cwd=tmp_path,
                env={**os.environ, "AIRBYTE_OFFLINE_MODE": "1", "DO_NOT_TRACK": "1", "PYTHONUTF8": "1"},
                capture_output=True,
                text=True,
                timeout=300,
            )
            assert done.returncode == 0, done.stderr
            queries = requests_of(sandbox)
            rows = example.query(database, "select type, id, user_id, status from enrollments")
            expected = [[record[field] for field in (*KEY, "status")] for record in tenant.emitted("enrollments")]
            assert sorted(rows) == sorted(expected)
            tenant.change_enrollments(range(0, tenant.count(["enrollments"]), 9), CHANGED_AT)
    assert "updated_from" in queries[0]
