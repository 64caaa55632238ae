"""The PyAirbyte example: a table for each stream in DuckDB, the models of dbt/, three answers and a chart."""

import json
import os
import struct
import subprocess
import sys
import zlib
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from integration_tests import example, marts
from integration_tests.sandbox import MANIFEST_STREAMS, Sandbox, Tenant
from integration_tests.sandbox.reports import certifications

EXAMPLE = Path(__file__).parent.parent / "examples" / "pyairbyte_duckdb.py"
COMMAND = str(Path(sys.executable).with_name("source-docebo"))
QUESTIONS = (
    "How many have completed, by branch?",
    "Whose enrollment is overdue, or expires soon?",
    "Who has not been seen for half a year?",
)


@pytest.fixture(scope="module", autouse=True)
def _needs_pyairbyte() -> None:
    example.python()


def run(tenant: Tenant, directory: Path, **credentials: str) -> "subprocess.CompletedProcess[str]":
    """The example, as a user runs it."""
    with Sandbox(tenant, reports=[certifications()]) as sandbox:
        config = sandbox.config("client_credentials")
        config["credentials"].update(credentials)
        (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")
        command = [example.python(), EXAMPLE, "--config", "config.json", "--database", "docebo.duckdb"]
        return subprocess.run(
            [*command, "--command", COMMAND],
            cwd=directory,
            env={**os.environ, "PYTHONUTF8": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )


def counts(directory: Path) -> dict[str, int]:
    """How many rows each table has that is not PyAirbyte's own."""
    database = directory / "docebo.duckdb"
    tables = [
        name
        for (name,) in example.query(database, "select table_name from duckdb_tables() where schema_name = 'raw'")
        if not name.startswith("_")
    ]
    each = [f"select '{name}', count(*) from raw.{name}" for name in tables]
    return dict(example.query(database, " union all ".join(each)))


def answers(printed: str) -> list[list[list[str]]]:
    """For each question, the cells of the rows that are printed below it."""
    found = []
    for question in QUESTIONS:
        below = printed.split(question)[1].split("└")[0]
        rows = [line.strip("│").split("│") for line in below.splitlines() if line.startswith("│")]
        found.append([[cell.strip() for cell in row] for row in rows[2:] if len(row) > 2])
    return found


def test_every_record_is_in_the_database_and_the_questions_are_answered(tmp_path: Path) -> None:
    tenant = Tenant(seed=61, courses=40, users=200, groups=6, branches=20)
    done = run(tenant, tmp_path)
    assert done.returncode == 0, done.stderr
    expected = {stream: tenant.count([stream]) for stream in MANIFEST_STREAMS}
    assert counts(tmp_path) == {**expected, "report_certifications_held": 3}
    assert "First aid, level 1" in done.stdout.split("The table report_certifications_held")[1]

    completion, expiring, absent = answers(done.stdout)
    shown = [[branch, *map(int, numbers)] for branch, *numbers, _ in completion]
    assert shown == completion_by_branch(tenant)
    assert shown[-1][0] == "(no branch)"
    assert shown[-2][0] == "(all other branches)"
    assert sum(row[1] for row in shown) == tenant.count(["course_enrollments"])
    assert all(sum(statuses) == enrollments for _, enrollments, *statuses in shown)
    assert expiring
    assert absent
    usernames = {user["username"] for user in tenant.emitted("users")}
    assert {row[0] for row in (*expiring, *absent)} <= usernames
    assert_is_a_chart((tmp_path / "docebo.png").read_bytes())
    last = done.stdout.strip().splitlines()[-2:]
    assert str(tmp_path / "docebo.duckdb") in last[0]
    assert str(tmp_path / "docebo.png") in last[1]

    assert_additional_fields_are_columns(tenant, tmp_path / "docebo.duckdb")
    assert_a_second_read_takes_its_place(tmp_path)


def assert_a_second_read_takes_its_place(directory: Path) -> None:
    """Even where nothing is left of a table."""
    assert counts(directory)["group_members"] > 0
    fewer = Tenant(seed=62, courses=10, groups=0, external_trainings=0)
    done = run(fewer, directory)
    assert done.returncode == 0, done.stderr
    expected = {stream: fewer.count([stream]) for stream in MANIFEST_STREAMS}
    assert counts(directory) == {**expected, "report_certifications_held": 3}


def assert_additional_fields_are_columns(tenant: Tenant, database: Path) -> None:
    """Each additional field is a column with its values, and one under its title in the models; joins need no cast."""
    users = {user["user_id"]: user for user in tenant.emitted("users")}
    fields = sorted(name for name in next(iter(users.values())) if name.startswith("field_"))
    assert len(fields) > 2
    rows = example.query(database, f"select user_id, {', '.join(fields)} from raw.users")
    assert {row[0]: row[1:] for row in rows} == {key: [user[name] for name in fields] for key, user in users.items()}
    titled = example.query(database, "select user_id, department, cost_center, hire_date from docebo__users")
    values = {key: [user[f"field_{number}"] for number in (1, 2, 3)] for key, user in users.items()}
    assert {row[0]: row[1:] for row in titled} == values
    (joined,) = example.query(
        database,
        "select count(*), (select count(*) from raw.group_members join raw.users using (user_id)) "
        "from raw.course_enrollments join raw.users using (user_id)",
    )
    assert joined == [tenant.count(["course_enrollments"]), tenant.count(["group_members"])]


def test_wrong_credentials_are_reported_in_one_line(tmp_path: Path) -> None:
    done = run(Tenant(seed=63), tmp_path, client_secret="not-the-secret")
    assert done.returncode == 1
    assert "client_secret" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert "not-the-secret" not in done.stdout + done.stderr


def completion_by_branch(tenant: Tenant) -> list[list[Any]]:
    """The first answer: for each branch its enrollments, and how many of them have each status."""
    rows = marts.enrollments(tenant, datetime.now(timezone.utc).replace(tzinfo=None))
    sizes = Counter(row["branch_path"] for row in rows)
    without = sizes.pop(None, 0)
    largest = sorted(sizes, key=lambda path: (-sizes[path], path))[:10]
    bars = [*largest, *(["(all other branches)"] if len(sizes) > 10 else []), *(["(no branch)"] if without else [])]
    found: dict[str, Counter[str]] = {bar: Counter() for bar in bars}
    for row in rows:
        path = row["branch_path"]
        bar = "(no branch)" if path is None else path if path in largest else "(all other branches)"
        found[bar][row["enrollment_status"]] += 1
    statuses = ("completed", "in_progress", "not_started", "enrolled", "waiting")
    return [[bar, counted.total(), *(counted[status] for status in statuses)] for bar, counted in found.items()]


def assert_is_a_chart(png: bytes) -> None:
    """A picture of the expected size that is not of one color: its pixels do not compress to next to nothing."""
    assert png.startswith(b"\x89PNG")
    assert struct.unpack(">II", png[16:24]) == (1200, 720)
    place, data = 8, b""
    while place < len(png):
        (length,) = struct.unpack(">I", png[place : place + 4])
        data += png[place + 8 : place + 8 + length] if png[place + 4 : place + 8] == b"IDAT" else b""
        place += 12 + length
    assert len(set(zlib.decompress(data))) > 50
