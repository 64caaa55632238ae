"""The schemas are true to what comes, and their keys join: described, nullable, one type for each key."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from unit_tests.declared import manifest_as_written

SCHEMAS: dict[str, dict[str, Any]] = manifest_as_written()["schemas"]
TYPES = {"string", "integer", "number", "boolean", "object", "array"}

# Child column, parent column. The names of the tables are those of the streams.
JOINS = [
    ("branch_members.branch_id", "branches.id"),
    ("branch_members.user_id", "users.user_id"),
    ("branches.parent_id", "branches.id"),
    ("catalogs.sub_items[].item_id", "courses.id_course"),
    ("catalogs.sub_items[].item_id", "learning_plans.learning_plan_id"),
    ("course_details.id", "courses.id_course"),
    ("course_enrollments.course_id", "courses.id_course"),
    ("course_enrollments.enrollment_created_by", "users.user_id"),
    ("course_enrollments.user_id", "users.user_id"),
    ("course_learning_objects.course_id", "courses.id_course"),
    ("courses.category.id", "categories.id"),
    ("enrollments.id", "courses.id_course"),
    ("enrollments.id", "learning_plans.learning_plan_id"),
    ("enrollments.id_session", "sessions.id"),
    ("enrollments.subscribed_by", "users.user_id"),
    ("enrollments.user_id", "users.user_id"),
    ("external_training.user_id", "users.user_id"),
    ("group_members.group_uuid", "groups.uuid"),
    ("group_members.user_id", "users.user_id"),
    ("groups.created_by", "users.user_id"),
    ("groups.updated_by", "users.user_id"),
    ("learning_plan_course_enrollments.course_id", "courses.id_course"),
    ("learning_plan_course_enrollments.enrollment_created_by", "users.user_id"),
    ("learning_plan_course_enrollments.learning_plan_id", "learning_plans.learning_plan_id"),
    ("learning_plan_course_enrollments.user_id", "users.user_id"),
    ("learning_plan_courses.id_course", "courses.id_course"),
    ("learning_plan_courses.learning_plan_id", "learning_plans.learning_plan_id"),
    ("learning_plan_enrollments.enrollment_created_by", "users.user_id"),
    ("learning_plan_enrollments.learning_plan_id", "learning_plans.learning_plan_id"),
    ("learning_plan_enrollments.user_id", "users.user_id"),
    ("learning_plans.created_by.id", "users.user_id"),
    ("learning_plans.updated_by.id", "users.user_id"),
    ("session_enrollments.session_id", "sessions.id"),
    ("session_enrollments.user_id", "users.user_id"),
    ("session_events.session_id", "sessions.id"),
    ("sessions.course_id", "courses.id_course"),
]


def fields(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field, nested ones too, by its path."""
    for name, declared in schema.get("properties", {}).items():
        yield f"{path}{name}", declared
        yield from fields(declared, f"{path}{name}.")
        yield from fields(declared.get("items", {}), f"{path}{name}[].")


def type_of(column: str) -> str:
    """The type of a column such as `courses.category.id`, null aside."""
    stream, _, path = column.partition(".")
    declared = dict(fields(SCHEMAS[stream]))[path]["type"]
    return str(declared if isinstance(declared, str) else declared[0])


class TestJoins:
    """Both sides of a join have one type, so that no query needs a cast."""

    @pytest.mark.parametrize(("child", "parent"), JOINS)
    def test_both_sides_have_one_type(self, child: str, parent: str) -> None:
        assert type_of(child) == type_of(parent)

    def test_the_descriptions_say_which_columns_join(self) -> None:
        described = [
            (f"{stream}.{path}", parent)
            for stream, schema in SCHEMAS.items()
            for path, declared in fields(schema)
            for sentence in re.findall(r"Joins ([^A-Z]+)\.", declared["description"])
            for parent in re.findall(r"\w+\.\w+", sentence)
        ]
        assert sorted(described) == sorted(JOINS)

    @pytest.mark.parametrize("parent", ["users.user_id", "courses.id_course", "branches.id", "categories.id"])
    def test_numbers_are_integers(self, parent: str) -> None:
        assert type_of(parent) == "integer"

    def test_a_group_has_a_uuid(self) -> None:
        assert type_of("groups.uuid") == "string"

    @pytest.mark.parametrize("stream", SCHEMAS)
    def test_every_user_is_a_number(self, stream: str) -> None:
        assert type_of(f"{stream}.user_id") == "integer" if "user_id" in SCHEMAS[stream]["properties"] else True


@pytest.mark.parametrize("stream", SCHEMAS)
class TestSchemas:
    """Every stream's fields, one by one."""

    def test_every_field_has_a_description(self, stream: str) -> None:
        described = dict(fields(SCHEMAS[stream]))
        assert described
        for path, declared in described.items():
            assert re.fullmatch(r"[A-Z].*[.]", declared["description"]), path

    def test_the_key_is_a_scalar_and_never_null(self, stream: str) -> None:
        for name in SCHEMAS[stream]["required"]:
            assert SCHEMAS[stream]["properties"][name]["type"] in ("string", "integer")

    def test_everything_else_may_be_null_in_one_notation(self, stream: str) -> None:
        for path, declared in fields(SCHEMAS[stream]):
            if path not in SCHEMAS[stream]["required"] and "type" in declared:
                expected, null = declared["type"]
                assert expected in TYPES, path
                assert null == "null", path

    def test_only_fields_inside_others_have_no_type(self, stream: str) -> None:
        assert all("type" in declared for declared in SCHEMAS[stream]["properties"].values())

    def test_unknown_fields_are_welcome(self, stream: str) -> None:
        assert SCHEMAS[stream]["additionalProperties"] is True
        for path, declared in fields(SCHEMAS[stream]):
            assert declared.get("additionalProperties", True) is True, path

    def test_a_date_says_what_null_and_the_epoch_mean(self, stream: str) -> None:
        for path, declared in fields(SCHEMAS[stream]):
            assert ("format" in declared) == ("Null: no date; 1970-01-01: " in declared["description"]), path
            if "format" in declared:
                assert (declared["type"], declared["format"]) == (["string", "null"], "date-time"), path


class TestMarkers:
    """What only some streams need."""

    @pytest.mark.parametrize(
        ("marker", "expected"),
        [
            ("x-additional-fields", {"users", "course_details"}),
            ("x-declared-fields-only", {"branch_members"}),
        ],
    )
    def test_streams(self, marker: str, expected: set[str]) -> None:
        assert {stream for stream, schema in SCHEMAS.items() if schema.get(marker)} == expected

    def test_a_branch_member_has_three_fields(self) -> None:
        assert list(SCHEMAS["branch_members"]["properties"]) == ["branch_id", "user_id", "username"]

    def test_the_sixteen_come_first_each_group_in_order(self) -> None:
        assert list(SCHEMAS) == sorted(list(SCHEMAS)[:16]) + sorted(list(SCHEMAS)[16:])
