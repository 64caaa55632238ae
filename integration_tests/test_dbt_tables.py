"""The dbt package on tables made by hand: what a destination may write, and what no tenant of the sandbox has."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from integration_tests import example
from integration_tests.databases import DATABASES, MODELS, PACKAGE, Database

NOW = "2024-07-01 12:00:00"
# Ids of fields have gaps; titles are missing, repeated, taken by a column, longer than a column name, and odd. The
# names and types of the tables are those of PyAirbyte in DuckDB, and of Airbyte's destination in PostgreSQL.
TABLES = f"""
create schema SCHEMA;
create table SCHEMA.branches (
    id bigint, code varchar, title varchar, lev bigint, "iLeft" bigint, "iRight" bigint, parent_id bigint,
    actions JSON);
insert into SCHEMA.branches values
    (1, 'r', 'Root', 1, 1, 10, null, '[]'),
    (2, 'e', 'Europe', 2, 2, 7, 1, '[]'),
    (3, 'd', 'Germany', 3, 3, 4, null, '[]'),
    (4, 'f', 'France', 3, 5, 6, null, '[]'),
    (5, 'a', 'Asia', 2, 8, 9, null, '[]'),
    (6, 'j', null, null, null, null, 5, '[]'),
    (7, 'n', 'Unplaced', null, null, null, null, '[]'),
    (8, 'x', 'Circle', null, null, null, 9, '[]'),
    (9, 'y', 'Square', null, null, null, 8, '[]');
create table SCHEMA.branch_members (branch_id bigint, user_id bigint);
insert into SCHEMA.branch_members values (2, 1), (3, 1), (3, 2), (6, 2), (77, 2), (4, 4);
create table SCHEMA.user_fields (id varchar, title varchar);
insert into SCHEMA.user_fields values
    ('1', ' Department '), ('4', 'Email'), ('5', null), ('7', 'Cost'), ('8', 'cost'), ('9', 'A "b" ''c'''),
    ('11', '{"ü" * 40}'), ('12', ''), ('13', 'Branch path'), ('14', '2024'), ('15', '部門'), ('99', 'Not in users');
create table SCHEMA.users (
    user_id bigint, username varchar, email varchar, fullname varchar, status varchar, level varchar,
    last_access_date MOMENT, creation_date MOMENT, managers JSON, newsletter_optout varchar,
    field_1 varchar, field_4 varchar, field_5 varchar, field_7 varchar, field_8 varchar, field_9 varchar,
    field_11 varchar, field_12 varchar, field_13 varchar, field_14 varchar, field_15 varchar,
    _airbyte_raw_id varchar, _airbyte_extracted_at MOMENT);
insert into SCHEMA.users values
    (1, ' Ada@Example.com', 'ADA@example.com ', 'Ada', '1', '3', '1970-01-01 00:00:00ZERO', '2024-05-01 23:30:00ZERO',
     '[{{"manager_type_id": 2, "manager_username": "eve"}}, {{"manager_type_id": 1, "manager_username": "Bob"}}]', '1',
     'd', 'e', 'n', 'c', 'k', 'o', 'l', 'b', 'p', 'z', 'm', 'x', '2024-06-02 00:00:00ZERO'),
    (1, 'old', 'old', 'Old', '0', '6', null, null, '[]', '0',
     null, null, null, null, null, null, null, null, null, null, null, 'x', '2024-06-01 00:00:00ZERO'),
    (2, 'bob', 'bob', 'Bob', '0', '4', '2024-05-01 08:30:00ZERO', null, '[]', '0',
     null, null, null, null, null, null, null, null, null, null, null, 'x', '2024-06-02 00:00:00ZERO'),
    (3, 'eve', null, 'Eve', '5', '/framework/level/user', null, '1970-01-01 00:00:01ZERO', null, 'true',
     null, null, null, null, null, null, null, null, null, null, null, 'x', '2024-06-02 00:00:00ZERO');
create table SCHEMA.course_fields (id bigint, name JSON);
insert into SCHEMA.course_fields values (9, '{{"value": "Room"}}'), (8, '{{"value": null}}'), (3, '{{}}');
create table SCHEMA.course_details (
    id bigint, title varchar, published boolean, field_3 varchar, field_8 varchar, field_9 varchar);
insert into SCHEMA.course_details values (101, 'Safety', true, 'a', 'b', 'B12');
create table SCHEMA.courses (id_course bigint, name varchar, category JSON);
insert into SCHEMA.courses values
    (101, 'Safety', '{{"id": 7, "name": "Old name"}}'), (102, 'Sales', '{{}}'), (103, 'Empty', null);
create table SCHEMA.categories (id bigint, title varchar);
insert into SCHEMA.categories values (7, 'Must have');
create table SCHEMA.course_enrollments (
    course_id bigint, user_id bigint, username varchar, enrollment_status varchar, enrollment_created_by bigint,
    enrollment_created_at MOMENT, enrollment_completion_date MOMENT, enrollment_score DECIMAL,
    enrollment_validity_end_date MOMENT, enrollment_validity_end_datetime MOMENT);
insert into SCHEMA.course_enrollments values
    (101, 1, 'ada', 'in_progress', 1, '2024-01-01 23:00:00ZERO', null, 50, '2024-06-30 00:00:00ZERO', null),
    (101, 2, 'bob', 'Completed', 1, '2024-01-01 23:00:00ZERO', '2024-01-03 01:00:00ZERO', 100, null,
     '2024-02-01 00:00:00ZERO'),
    (101, 3, 'eve', 'waiting', null, '1970-01-01 00:00:00ZERO', null, null, '2024-07-01 00:00:00ZERO', null),
    (102, 3, 'eve', 'not_started', 3, null, null, null, null, '2024-07-01 11:59:59ZERO'),
    (102, 4, ' Gone ', null, 1, null, null, null, null, null);
create table SCHEMA.enrollments (
    type varchar, id bigint, user_id bigint, username varchar, name varchar, status varchar, waiting boolean,
    enroll_end_date MOMENT, _airbyte_extracted_at MOMENT);
insert into SCHEMA.enrollments values
    ('elearning', 101, 1, 'ada', 'Safety', 'in_progress', false, '2024-06-30 12:00:00ZERO', '2024-06-01 00:00:00ZERO'),
    ('elearning', 101, 1, 'ada', 'Safety', 'completed', false, '2024-06-30 12:00:00ZERO', '2024-06-03 00:00:00ZERO'),
    ('elearning', 101, 3, 'eve', 'Safety', 'enrolled', true, '2024-06-30 12:00:00ZERO', '2024-06-03 00:00:00ZERO'),
    ('learning_plan', 101, 1, 'ada', 'A plan', 'enrolled', false, null, '2024-06-03 00:00:00ZERO');
create table SCHEMA.group_members (group_uuid varchar, user_id bigint);
insert into SCHEMA.group_members values ('a', 1), ('b', 1);
"""
SPELLINGS = {
    "duckdb": {
        "SCHEMA": "raw",
        "JSON": "json",
        "MOMENT": "timestamp",
        "ZERO": "",
        '"iLeft"': "ileft",
        '"iRight"': "iright",
    },
    "postgresql": {"SCHEMA": "docebo", "JSON": "jsonb", "MOMENT": "timestamp with time zone", "ZERO": "+00"},
}


USER_FIELDS = ["department", "email_field_4", "field_5", "cost_field_7", "cost_field_8", "a_b_c"]
USER_FIELDS += ["ü" * 10 + "_field_11", "field_12", "branch_pat_field_13", "2024", "部門"]
# The models with additional fields, and the names of these.
ADDITIONAL = {
    "docebo__courses": ["field_3", "field_8", "room"],
    "docebo__users": USER_FIELDS,
    "stg_docebo__course_details": ["field_3", "field_8", "room"],
    "stg_docebo__users": USER_FIELDS,
}


@dataclass
class Built:
    """A database on which the package was built, and the rows of its models."""

    database: Database
    results: dict[str, str]  # of models and tests
    models: dict[str, list[dict[str, Any]]]

    def rows(self, model: str, columns: str, **where: Any) -> list[list[Any]]:
        """The values of these columns in the rows of a model, sorted by its first two."""
        found = [row for row in self.models[model] if all(row[name] == value for name, value in where.items())]
        return [[row[name] for name in columns.split(", ")] for row in found]

    def columns(self, model: str) -> list[str]:
        """The columns of a model that has rows, in their order."""
        return list(self.models[model][0])


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=pytest.mark.xdist_group(f"dbt-{name}")) for name in DATABASES]
)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """The tables, and the package built on them: its tests have passed, but for a few warnings."""
    tables = TABLES
    for word, spelled in SPELLINGS[request.param].items():
        tables = tables.replace(word, spelled)
    with DATABASES[request.param](tmp_path_factory.mktemp(request.param)) as database:
        database.execute(tables)
        results = database.dbt("build", docebo_now=NOW)
        assert set(results.values()) == {"success", "pass", "warn"}
        names = [name for name, status in results.items() if status == "success"]
        yield Built(database, results, database.models(*names))


def test_every_column_of_every_model_is_documented(built: Built) -> None:
    (found,) = built.database.execute(
        "select table_name, column_name from information_schema.columns "
        f"where table_schema = '{MODELS}' order by table_name, ordinal_position"
    )
    nodes = [node for node in built.database.manifest()["nodes"].values() if node["resource_type"] == "model"]
    assert len(nodes) > 20
    for node in nodes:
        documented = list(node["columns"])
        assert node["description"], node["name"]
        assert all(column["description"] for column in node["columns"].values()), node["name"]
        if node["config"]["materialized"] != "ephemeral":
            columns = [row["column_name"] for row in found if row["table_name"] == node["name"]]
            additional = len(ADDITIONAL.get(node["name"], ()))
            assert columns[: len(columns) - additional] == documented, node["name"]


def test_a_stream_that_is_not_synced_is_empty(built: Built) -> None:
    assert (
        built.rows("stg_docebo__groups", "group_uuid, group_name, exclude_deactivated_users, updated_at, labels") == []
    )
    assert built.rows("docebo__learning_plan_progress", "learning_plan_id, user_id") == []


def test_a_column_that_the_table_lacks_is_null(built: Built) -> None:
    found = built.rows("stg_docebo__courses", "course_id, updated_at, selling, multi_languages, duration")
    assert found == [[101, None, None, None, None], [102, None, None, None, None], [103, None, None, None, None]]


def test_the_epoch_is_null_and_other_dates_are_in_utc(built: Built) -> None:
    assert built.rows("stg_docebo__users", "user_id, last_access_at, created_at") == [
        [1, None, "2024-05-01 23:30:00"],
        [2, "2024-05-01 08:30:00", None],
        [3, None, "1970-01-01 00:00:01"],
    ]


def test_names_are_in_lower_case_and_codes_are_words(built: Built) -> None:
    assert built.rows("stg_docebo__users", "user_id, username, email, user_status, user_level, newsletter_optout") == [
        [1, "ada@example.com", "ada@example.com", "active", "superadmin", True],
        [2, "bob", "bob", "inactive", "power_user", False],
        [3, "eve", None, "5", "user", True],
    ]


def test_of_the_versions_of_a_record_the_newest_counts(built: Built) -> None:
    names = "item_type, item_id, enrollment_status, course_id, learning_plan_id"
    assert built.rows("stg_docebo__enrollments", names, user_id=1) == [
        ["elearning", 101, "completed", 101, None],
        ["learning_plan", 101, "enrolled", None, 101],
    ]


def test_additional_fields_have_their_titles(built: Built) -> None:
    for model, names in ADDITIONAL.items():
        assert built.columns(model)[-len(names) :] == names
    fields = ", ".join(ADDITIONAL["docebo__users"])
    assert built.rows("stg_docebo__users", fields, user_id=1) == [list("dencko" + "lbpzm")]
    assert built.rows("docebo__users", fields, user_id=1) == [list("dencko" + "lbpzm")]
    assert built.rows("docebo__courses", "course_id, is_published, field_3, room") == [
        [101, True, "a", "B12"],
        [102, None, None, None],
        [103, None, None, None],
    ]


def test_branches_have_parents_paths_and_members(built: Built) -> None:
    names = "branch_id, parent_branch_id, branch_path, depth, branches_below, members, members_with_below"
    assert built.rows("docebo__branches", names)[:7] == [
        [1, None, "Root", 1, 5, 0, 3],
        [2, 1, "Root / Europe", 2, 2, 1, 3],
        [3, 2, "Root / Europe / Germany", 3, 0, 2, 2],
        [4, 2, "Root / Europe / France", 3, 0, 1, 1],
        [5, 1, "Root / Asia", 2, 1, 0, 1],
        [6, 5, "Root / Asia / j", 3, 0, 1, 1],
        [7, None, "Unplaced", 1, 0, 0, 0],
    ]


def test_parents_in_a_circle_come_to_an_end(built: Built) -> None:
    found = built.rows("docebo__branches", "branch_id, parent_branch_id, members_with_below")[7:]
    assert found == [[8, 9, 0], [9, 8, 0]]


def test_users_have_branches_managers_and_counts(built: Built) -> None:
    names = "user_id, branch_id, branch_paths, manager_username, manager_name, manager_usernames, group_count"
    assert built.rows("docebo__users", names) == [
        [1, 3, "Root / Europe / Germany; Root / Europe", "bob", "Bob", "bob; eve", 2],
        [2, 6, "Root / Asia / j; Root / Europe / Germany", None, None, None, 0],
        [3, None, None, None, None, None, 0],
    ]
    counts = "user_id, courses_enrolled, courses_completed, courses_overdue, completion_rate, days_since_last_access"
    assert built.rows("docebo__users", counts) == [
        [1, 1, 0, 1, 0.0, None],
        [2, 1, 1, 0, 1.0, 61],
        [3, 2, 0, 1, 0.0, None],
    ]


def test_enrollments_are_overdue_from_the_end_of_their_last_day(built: Built) -> None:
    names = "course_id, user_id, due_at, is_overdue, days_overdue, is_completed, days_to_completion, is_self_enrolled"
    assert built.rows("docebo__enrollments", names) == [
        [101, 1, "2024-07-01 00:00:00", True, 0, False, None, True],
        [101, 2, "2024-02-01 00:00:00", False, None, True, 2, False],
        [101, 3, "2024-07-02 00:00:00", False, None, False, None, None],
        [102, 3, "2024-07-01 11:59:59", True, 0, False, None, True],
        [102, 4, None, False, None, False, None, False],
    ]


def test_enrollments_know_their_category_and_where_the_user_is(built: Built) -> None:
    names = "course_id, user_id, category_id, category_name, username, fullname, branch_path, manager_username"
    assert [row for row in built.rows("docebo__enrollments", names) if row[1] in (1, 4)] == [
        [101, 1, 7, "Must have", "ada@example.com", "Ada", "Root / Europe / Germany", "bob"],
        [102, 4, None, None, "gone", None, "Root / Europe / France", None],
    ]


def test_courses_have_counts_and_averages(built: Built) -> None:
    names = "course_id, enrolled, completed, in_progress, waiting, overdue, average_score, average_days_to_completion"
    assert built.rows("docebo__courses", names) == [
        [101, 3, 1, 1, 1, 1, 75.0, 2.0],
        [102, 2, 0, 0, 0, 1, None, None],
        [103, 0, 0, 0, 0, 0, None, None],
    ]


def test_freshness_is_judged_by_when_airbyte_read(built: Built) -> None:
    built.database.execute(
        f"update {built.database.tables}.users set _airbyte_extracted_at = current_timestamp - interval '3' day"
    )
    results = built.database.dbt("source", "freshness", "--select", "source:docebo.users", docebo_now=NOW)
    assert results == {"docebo.users": "warn"}


# Runs in the environment that has sqlglot: parses the SQL of each file, translates that of models to DuckDB, and runs
# it beside the model.
TRANSLATE = """
import json, sys
from datetime import datetime
from pathlib import Path
import duckdb, sqlglot

dialect, file, compiled = sys.argv[1:]
connection = duckdb.connect(file)
connection.execute("set timezone = 'UTC'")

def rows(query):
    found = connection.execute(query).fetchall()
    plain = [[cell.replace(tzinfo=None) if isinstance(cell, datetime) else cell for cell in row] for row in found]
    return sorted(map(str, plain))

parsed, same, different = 0, [], []
for path in sorted(Path(compiled).rglob("*.sql")):
    text = path.read_text(encoding="utf-8")
    text = text.replace('"', "`") if dialect == "bigquery" else text
    statement = sqlglot.parse_one(text, read=dialect)
    parsed += 1
    semistructured = dialect == "snowflake" and any(word in text for word in ("variant", "flatten", "get_path"))
    if path.parent.name == "marts" or path.parent.name == "staging":
        if not semistructured:
            translated = statement.sql(dialect="duckdb")
            equal = rows(translated) == rows(f"select * from analytics.{path.stem}")
            (same if equal else different).append(path.stem)
print(json.dumps([parsed, same, different]))
"""


def test_the_sql_of_other_databases_is_parsed_and_means_the_same(built: Built, tmp_path: Path) -> None:
    """
    Snowflake and BigQuery are not at hand: dbt compiles the package with their macros, as a dependency of a project,
    and sqlglot translates the SQL to DuckDB. What Snowflake does with JSON, it only parses.
    """
    if built.database.target != "duckdb":
        pytest.skip("for one database: the SQL is the same, wherever the tables are")
    # With this macro, DuckDB understands the query for the titles of course fields.
    built.database.execute("create macro main.get_path(object, name) as json_extract_string(object, name)")
    (tmp_path / "macros").mkdir()
    (tmp_path / "packages.yml").write_text(f"packages: [{{local: {PACKAGE}}}]\n", encoding="utf-8")
    (tmp_path / "dbt_project.yml").write_text(
        "name: dialect\nprofile: docebo\nflags: {send_anonymous_usage_stats: false}\n"
        "dispatch: [{macro_namespace: docebo, search_order: [dialect, docebo]}]\n",
        encoding="utf-8",
    )
    built.database.dbt("deps", project=tmp_path)
    for dialect, least in (("snowflake", 8), ("bigquery", 20)):
        (tmp_path / "macros" / "dialect.sql").write_text(spoken(dialect), encoding="utf-8")
        built.database.dbt("compile", project=tmp_path, docebo_now=NOW)
        compiled = built.database.directory / f"target-{tmp_path.name}" / "compiled"
        command = [example.python(), "-c", TRANSLATE, dialect, built.database.file, compiled]
        parsed, same, different = json.loads(built.database.run(*command))
        assert different == [], dialect
        assert parsed > 100
        assert "docebo__branches" in same
        assert len(same) > least


def spoken(dialect: str) -> str:
    """Macros that make dbt on DuckDB compile what it would compile for another database."""
    text = (PACKAGE / "macros" / "dialects.sql").read_text(encoding="utf-8")
    made = []
    for name, arguments in re.findall(r"{% macro (\w+)\((.*?)\) -?%}", text):
        own = f"{dialect}__{name}"
        version = own if f"macro {own}(" in text else f"default__{name}"
        if f"macro {version}(" in text:
            made.append(
                f"{{% macro duckdb__{name}({arguments}) %}}"
                f"{{{{ return(docebo.{version}({arguments})) }}}}{{% endmacro %}}"
            )
    return "\n".join(made)


def test_a_schema_without_tables_is_a_warning(built: Built) -> None:
    if built.database.target != "duckdb":
        pytest.skip("for one database: the query is the same")
    name = "docebo_schema_holds_tables"
    assert built.results[name] == "pass"
    elsewhere = Database(built.database.target, built.database.directory, "nowhere", built.database.environment)
    assert elsewhere.dbt("test", "--select", name) == {name: "warn"}


def test_the_enrollments_may_come_from_the_stream_that_is_read_since_the_last_sync(built: Built) -> None:
    """Last, since it changes the models."""
    if built.database.target != "duckdb":
        pytest.skip("for one database: what differs is not which tables are read")
    results = built.database.dbt(
        "run",
        "--select",
        "+docebo__users",
        docebo_now=NOW,
        docebo_enrollments_from="enrollments",
        docebo_streams_not_synced=["group_members"],
    )
    changed = Built(built.database, results, built.database.models("docebo__enrollments", "docebo__users"))
    names = "course_id, user_id, enrollment_status, is_completed, is_overdue"
    assert changed.rows("docebo__enrollments", names) == [
        [101, 1, "completed", True, False],
        [101, 3, "waiting", False, False],
    ]
    assert changed.rows("docebo__users", "user_id, courses_enrolled, group_count") == [[1, 1, 0], [2, 0, 0], [3, 1, 0]]
