"""The SQL views of examples/sql, on DuckDB and on PostgreSQL, over tables as PyAirbyte writes them."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from integration_tests import example

SQL = Path(__file__).parent.parent / "examples" / "sql"

# The ids of fields have gaps; titles are missing, repeated, taken by a column, longer than a column name, and odd.
TABLES = f"""
create table branches (
    id bigint, code varchar, title varchar, lev bigint, ileft bigint, iright bigint, parent_id bigint);
insert into branches values
    (1, 'r', 'Root', 1, 1, 10, null),
    (2, 'e', 'Europe', 2, 2, 7, 1),
    (3, 'd', 'Germany', 3, 3, 4, null),
    (4, 'f', 'France', 3, 5, 6, null),
    (5, 'a', 'Asia', 2, 8, 9, null),
    (6, 'n', 'Unplaced', null, null, null, null);
create table user_fields (id varchar, title varchar);
insert into user_fields values
    ('1', ' Department '), ('4', 'Email'), ('5', null), ('7', 'Cost'), ('8', 'cost'), ('9', 'A "b" ''c'''),
    ('11', '{"ü" * 40}'), ('12', ''), ('99', 'Not in users');
create table users (
    user_id bigint, email varchar, last_access_date timestamp, creation_date timestamp with time zone,
    field_1 varchar, field_4 varchar, field_5 varchar, field_7 varchar, field_8 varchar, field_9 varchar,
    field_11 varchar, field_12 varchar, _airbyte_raw_id varchar);
insert into users values
    (1, 'ada', timestamp '1970-01-01 00:00:00', timestamp with time zone '1970-01-01 00:00:00+00',
     'd', 'e', 'n', 'c', 'c', 'o', 'l', 'b', 'x'),
    (2, 'bob', timestamp '2024-05-01 08:30:00', null, 'd', 'e', 'n', 'c', 'c', 'o', 'l', 'b', 'x'),
    (3, 'eve', null, timestamp with time zone '1970-01-01 00:00:01+00', 'd', 'e', 'n', 'c', 'c', 'o', 'l', 'b', 'x');
create table course_fields (id bigint, name json);
insert into course_fields values (9, '{{"value": "Room"}}'), (8, '{{"value": null}}'), (3, '{{}}');
create table course_details (id bigint, title varchar, field_3 varchar, field_8 varchar, field_9 varchar);
insert into course_details values (101, 'Safety', 'a', 'b', 'B12');
create table _airbyte_internal (id bigint);
"""

# Runs statements, and returns the rows of the last, each cell as text and null as "null".
Run = Callable[[str], list[list[str]]]


def duckdb_runner() -> Iterator[Run]:
    with tempfile.TemporaryDirectory() as directory:

        def run(statements: str) -> list[list[str]]:
            rows = example.query(Path(directory, "docebo.duckdb"), f"set timezone = 'America/New_York';{statements}")
            return [["null" if cell is None else str(cell) for cell in row] for row in rows]

        yield run


def postgresql_runner() -> Iterator[Run]:
    initdb = shutil.which("initdb") or next(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")), None)
    if initdb is None:
        pytest.skip("PostgreSQL is not installed: there is no initdb")
    programs = Path(initdb).resolve().parent
    user = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name  # PostgreSQL refuses to run as root
    with tempfile.TemporaryDirectory() as directory:
        if os.geteuid() == 0:
            shutil.chown(directory, user)

        def call(program: str, *arguments: str, statements: str | None = None) -> str:
            environment = {**os.environ, "PGTZ": "America/New_York", "PGCLIENTENCODING": "UTF8", "HOME": directory}
            command = [str(programs / program), *arguments]
            done = subprocess.run(
                command,
                input=statements,
                capture_output=True,
                text=True,
                encoding="utf-8",
                user=user if os.geteuid() == 0 else None,
                cwd=directory,
                env=environment,
                timeout=120,
            )
            assert done.returncode == 0, done.stderr
            return done.stdout

        def run(statements: str) -> list[list[str]]:
            options = ["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--field-separator=\t"]
            options += ["--pset=null=null", "--set=ON_ERROR_STOP=1", f"--host={directory}", "--dbname=postgres"]
            return [row.split("\t") for row in call("psql", *options, statements=statements).splitlines()]

        call("initdb", f"--pgdata={directory}/data", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
        settings = f"-k {directory} -c listen_addresses='' -c fsync=off"
        call("pg_ctl", f"--pgdata={directory}/data", "-w", "-o", settings, "-l", f"{directory}/log", "start")
        try:
            yield run
        finally:
            call("pg_ctl", f"--pgdata={directory}/data", "-m", "immediate", "stop")


@pytest.fixture(scope="module", params=["duckdb", "postgresql"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """A database with the tables and, made twice as after a second sync, their views."""
    for runner in {"duckdb": duckdb_runner, "postgresql": postgresql_runner}[request.param]():
        runner(TABLES)
        script = (SQL / f"{request.param}.sql").read_text(encoding="utf-8")
        for _ in range(2):
            for statement in runner(script):
                runner("\t".join(statement))
        yield runner


def columns(run: Run, table: str) -> list[str]:
    """The columns of a table or view, in their order."""
    rows = run(
        f"select column_name from information_schema.columns where table_name = '{table}' order by ordinal_position"
    )
    return [name for (name,) in rows]


def test_every_table_has_a_view(run: Run) -> None:
    rows = run("select table_name from information_schema.tables where table_type = 'VIEW' order by table_name")
    own = [name for (name,) in rows if name.endswith("_view") or name == "branch_tree"]
    assert own == [
        "branch_tree",
        "branches_view",
        "course_details_view",
        "course_fields_view",
        "user_fields_view",
        "users_view",
    ]


def test_the_epoch_becomes_null_and_other_dates_stay(run: Run) -> None:
    rows = run(
        "select user_id, last_access_date is null, last_access_date = timestamp '2024-05-01 08:30:00', "
        "creation_date is null from users_view order by user_id"
    )
    assert [[cell.lower()[0] for cell in row] for row in rows] == [
        ["1", "t", "n", "t"],
        ["2", "f", "t", "t"],
        ["3", "t", "n", "f"],
    ]


def test_additional_fields_of_users_have_their_titles(run: Run) -> None:
    assert columns(run, "users_view") == [
        "user_id",
        "email",
        "last_access_date",
        "creation_date",
        "Department",
        "Email (field_4)",
        "field_5",
        "Cost (field_7)",
        "cost (field_8)",
        "A \"b\" 'c'",
        "ü" * 10 + " (field_11)",
        "field_12",
    ]
    assert run('select "Department", "A ""b"" \'c\'", "Cost (field_7)" from users_view where user_id = 1') == [
        ["d", "o", "c"]
    ]


def test_additional_fields_of_courses_have_their_titles(run: Run) -> None:
    assert columns(run, "course_details_view") == ["id", "title", "field_3", "field_8", "Room"]
    assert run('select id, "Room" from course_details_view') == [["101", "B12"]]


def test_branches_have_parents_and_paths(run: Run) -> None:
    assert run("select id, level, parent_id, path from branch_tree order by id") == [
        ["1", "1", "null", "Root"],
        ["2", "2", "1", "Root / Europe"],
        ["3", "3", "2", "Root / Europe / Germany"],
        ["4", "3", "2", "Root / Europe / France"],
        ["5", "2", "1", "Root / Asia"],
        ["6", "null", "null", "Unplaced"],
    ]


def test_the_views_follow_a_new_field(run: Run) -> None:
    """Last, since it changes the tables."""
    run("alter table users add column field_99 varchar; update user_fields set title = 'Unit' where id = '1';")
    engine = "postgresql" if run("select version()")[0][0].startswith("PostgreSQL") else "duckdb"
    for statement in run((SQL / f"{engine}.sql").read_text(encoding="utf-8")):
        run("\t".join(statement))
    found = columns(run, "users_view")
    assert found[4] == "Unit"
    assert found[-1] == "Not in users"
