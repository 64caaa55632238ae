"""The dbt package on what PyAirbyte writes to DuckDB and PostgreSQL, read after read."""

import sys
from datetime import datetime
from pathlib import Path

import pytest

from integration_tests.databases import DATABASES
from integration_tests.marts import assert_marts
from integration_tests.sandbox import Sandbox, Tenant

COMMAND = str(Path(sys.executable).with_name("source-docebo"))
NOW = datetime(2024, 7, 1, 15, 30)


@pytest.mark.parametrize("name", DATABASES)
def test_the_marts_hold_what_was_read_last_whatever_the_write_strategy(name: str, tmp_path: Path) -> None:
    """A read that replaces tables works while models are built on them, and one that appends leaves no row twice."""
    with DATABASES[name](tmp_path) as database:
        first = Tenant(seed=64, courses=40, users=150, branches=20)
        with Sandbox(first) as sandbox:
            database.read(sandbox, COMMAND, ("replace", "*"))
        results = database.dbt("build", docebo_now=str(NOW))
        assert_all_pass(results)
        assert_marts(database, first, NOW)

        fewer = Tenant(seed=65, courses=20, users=80, newer_branches=True)
        with Sandbox(fewer) as sandbox:
            database.read(sandbox, COMMAND, ("replace", "*"), ("append", ["course_enrollments", "users"]))
        results = database.dbt("build", docebo_now=str(NOW))
        assert_all_pass(results)
        assert_marts(database, fewer, NOW)


def assert_all_pass(results: dict[str, str]) -> None:
    """Every model was built, and every test has passed without a warning."""
    assert {name: status for name, status in results.items() if status not in ("success", "pass")} == {}
