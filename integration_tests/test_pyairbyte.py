"""The PyAirbyte example: 16 tables in DuckDB, three answers and a chart."""

import importlib.util
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from integration_tests.command import STREAMS
from integration_tests.sandbox import Sandbox, Tenant, without_nulls

if not importlib.util.find_spec("airbyte"):
    pytest.skip("PyAirbyte is not installed: it needs Python 3.10 to 3.12", allow_module_level=True)

import duckdb
from matplotlib import image

EXAMPLE = Path(__file__).parent.parent / "examples" / "pyairbyte_duckdb.py"
QUESTIONS = (
    "How many have completed, by course and group?",
    "Whose enrollment is overdue, or expires soon?",
    "Who has not been seen for half a year?",
)


def run(tenant: Tenant, directory: Path, **credentials: str) -> "subprocess.CompletedProcess[str]":
    """The example, as a user runs it."""
    with Sandbox(tenant) as sandbox:
        config = sandbox.config("client_credentials")
        config["credentials"].update(credentials)
        (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")
        return subprocess.run(
            [sys.executable, EXAMPLE, "--config", "config.json", "--database", "docebo.duckdb"],
            cwd=directory,
            env={**os.environ, "PYTHONUTF8": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )


def counts(directory: Path) -> dict[str, int]:
    """How many rows each table has that is not PyAirbyte's own."""
    with duckdb.connect(str(directory / "docebo.duckdb"), read_only=True) as connection:
        tables = [name for (name,) in connection.sql("show tables").fetchall() if not name.startswith("_")]
        return {name: connection.sql(f"select count(*) from {name}").fetchall()[0][0] for name in tables}


def answers(printed: str) -> list[list[list[str]]]:
    """For each question, the cells of the rows that are printed below it."""
    found = []
    for question in QUESTIONS:
        below = printed.split(question)[1].split("└")[0]
        rows = [line.strip("│").split("│") for line in below.splitlines() if line.startswith("│")]
        found.append([[cell.strip() for cell in row] for row in rows[2:] if len(row) > 2])
    return found


def test_every_record_is_in_the_database_and_the_questions_are_answered(tmp_path: Path) -> None:
    tenant = Tenant(seed=61, courses=40, users=200, groups=6)
    done = run(tenant, tmp_path)
    assert done.returncode == 0, done.stderr
    assert counts(tmp_path) == {stream: tenant.count([stream]) for stream in STREAMS}

    completion, expiring, absent = answers(done.stdout)
    expected = completion_by_course_and_group(tenant)
    assert len(completion) == 10
    for course, group, enrolled, completed, *_ in completion:
        assert (int(enrolled), int(completed)) in expected[course, group]
    assert [int(row[2]) for row in completion] == sorted(
        (enrolled for pairs in expected.values() for enrolled, _ in pairs), reverse=True
    )[:10]
    assert expiring
    assert absent
    usernames = {user["username"] for user in tenant.emitted("users")}
    assert {row[0] for row in (*expiring, *absent)} <= usernames

    picture = image.imread(tmp_path / "docebo.png")
    height, width = picture.shape[:2]
    assert (width, height) == (1200, 720)
    assert len({tuple(pixel) for row in picture[::4] for pixel in row[::4]}) > 3
    last = done.stdout.strip().splitlines()[-2:]
    assert str(tmp_path / "docebo.duckdb") in last[0]
    assert str(tmp_path / "docebo.png") in last[1]


def test_a_second_read_takes_the_place_of_the_first_even_where_nothing_is_left(tmp_path: Path) -> None:
    run(Tenant(seed=62), tmp_path)
    assert counts(tmp_path)["group_members"] > 0
    fewer = Tenant(seed=62, courses=10, groups=0, external_trainings=0)
    done = run(fewer, tmp_path)
    assert done.returncode == 0, done.stderr
    assert counts(tmp_path) == {stream: fewer.count([stream]) for stream in STREAMS}


def test_wrong_credentials_are_told_in_one_line(tmp_path: Path) -> None:
    done = run(Tenant(seed=63), tmp_path, client_secret="not-the-secret")
    assert done.returncode == 1
    assert "client_secret" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert "not-the-secret" not in done.stdout + done.stderr


def completion_by_course_and_group(tenant: Tenant) -> dict[tuple[str, str], list[tuple[int, int]]]:
    """For each name of a course and of a group, how many are enrolled and how many have completed; names repeat."""
    courses = {record["id_course"]: record["name"] for record in map(without_nulls, tenant.emitted("courses"))}
    groups = {record["uuid"]: record["name"] for record in tenant.emitted("groups")}
    members: dict[str, list[str]] = {}
    for member in tenant.emitted("group_members"):
        members.setdefault(member["user_id"], []).append(member["group_uuid"])
    enrolled: Counter[tuple[int, str]] = Counter()
    completed: Counter[tuple[int, str]] = Counter()
    for enrollment in tenant.emitted("course_enrollments"):
        for group in members.get(str(enrollment["user_id"]), ()):
            pair = enrollment["course_id"], group
            enrolled[pair] += 1
            completed[pair] += enrollment["enrollment_status"] == "completed"
    found: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for (course, group), number in enrolled.items():
        found.setdefault((courses[course], groups[group]), []).append((number, completed[course, group]))
    return found
