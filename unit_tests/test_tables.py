"""What is made of the manifest for those who use the tables: dictionary, diagrams, and the staging layer of dbt/."""

import re
from pathlib import Path

import pytest

from tools import dictionary, generate, staging
from tools.tables import Column, Table, tables
from unit_tests.declared import manifest_as_written

ROOT = Path(__file__).parent.parent
MANIFEST = manifest_as_written()
FILES = generate.files()
STREAMS = {reference.rpartition("/")[2] for reference in MANIFEST["streams"]}


class TestCurrent:
    """`make tables` was run after the last change of the manifest."""

    @pytest.mark.parametrize("name", sorted(FILES))
    def test_a_file_is_what_the_manifest_says(self, name: str) -> None:
        assert (ROOT / name).read_text(encoding="utf-8") == FILES[name]

    def test_no_model_is_left_of_a_stream_that_is_gone(self) -> None:
        assert generate.left_over(FILES) == []


class TestDictionary:
    def test_every_stream_has_every_column(self) -> None:
        text = FILES["docs/tables.md"]
        parts = dict(re.findall(r"^## (\w+)\n\n(.*?)(?=^## |\Z)", text, re.M | re.S))
        assert set(parts) - {"How"} == STREAMS
        for name in STREAMS:
            documented = re.findall(r"^\| `(\w+)` \|", parts[name], re.M)
            declared = list(MANIFEST["schemas"][name]["properties"])
            additional = ["field_<id>"] if MANIFEST["schemas"][name].get("x-additional-fields") else []
            assert documented == declared, name
            assert ("field_<id>" in parts[name]) == bool(additional)

    def test_joins_lead_to_columns_that_exist(self) -> None:
        known = {(table.name, column.name) for table in tables() for column in table.columns}
        joins = [join for table in tables() for _, join in table.joins()]
        assert len(joins) > 20
        assert set(joins) <= known

    def test_the_main_tables_are_drawn_in_the_readme(self) -> None:
        text = (ROOT / "README.md").read_text(encoding="utf-8")
        drawn = re.findall(r"^    (\w+) \{$", text.partition(dictionary.BEGIN)[2].partition(dictionary.END)[0], re.M)
        assert drawn == list(dictionary.MAIN_TABLES)
        assert len(drawn) == 8

    def test_the_dbml_has_every_table_once(self) -> None:
        text = FILES["erd/source.dbml"]
        assert re.findall(r'^Table "(\w+)" \{$', text, re.M) == sorted(STREAMS)
        assert '"course_enrollments"."course_id" > "courses"."id_course"' in text


class TestStaging:
    def test_columns_of_a_model_have_different_names(self) -> None:
        for table in tables():
            names = [column.name for column in staging.columns(table)]
            assert len(names) == len(set(names)), table.name

    def test_what_joins_has_the_same_name(self) -> None:
        """The key of a table is called the same where it is joined, unless the name says what role it has there."""
        keys = {
            table.name: staging._name(table, table.key[0])
            for table in tables()
            if len(table.key) == 1 and table.name != "course_details"
        }
        for table in tables():
            for column in staging.columns(table):
                for other, _ in column.joins:
                    key = keys.get(other)
                    if key and column.name not in ("item_id", "parent_branch_id"):
                        assert column.name.endswith(key), (table.name, column.name)

    def test_names_are_in_snake_case(self) -> None:
        names = {column.name for table in tables() for column in staging.columns(table)}
        assert all(re.fullmatch(r"_?[a-z][a-z0-9_]*", name) for name in names)

    def test_a_rule_names_a_column_that_exists(self) -> None:
        """But for streams that are not there yet."""
        for name, names in staging.NAMES_IN_TABLE.items():
            if name in STREAMS:
                (table,) = [table for table in tables() if table.name == name]
                assert set(names) <= set(staging._by_source(table)), name
        for name, column in staging.WORDS:
            assert column in MANIFEST["schemas"][name]["properties"]

    def test_a_new_stream_needs_no_rule(self) -> None:
        columns = (
            Column("id", "integer", "ID of the badge."),
            Column("userId", "integer", "Who. Joins users.user_id."),
        )
        badge = Table("badges", "A badge", ("id",), columns, has_additional_fields=False)
        made = staging.files([*tables(), badge])
        assert "    id,\n    userid as user_id,\n" in made["dbt/models/staging/stg_docebo__badges.sql"]
        assert "Joins stg_docebo__users.user_id." in made["dbt/models/staging/stg_docebo.yml"]
