"""The staging layer of the dbt package: for each table a source, and a model that types, names and cleans columns."""

import re
from dataclasses import dataclass, replace
from typing import Any

import yaml

from tools.tables import NO_DATE, WRITTEN_BY, Column, Join, Table

DIRECTORY = "dbt/models/staging"
EXTRACTED_AT = "_airbyte_extracted_at"

# What a column is called in staging, in whichever table it is.
NAMES = {
    "complete_percent": "completion_percentage",
    "completion_date": "completed_at",
    "course_begin_date": "course_starts_at",
    "course_complete_date": "completed_at",
    "course_end_date": "course_ends_at",
    "created_on": "created_at",
    "creation_date": "created_at",
    "date_end": "ends_at",
    "date_last_updated": "updated_at",
    "date_start": "starts_at",
    "end_date": "ends_at",
    "enroll_begin_date": "valid_from",
    "enroll_date_of_enrollment": "enrolled_at",
    "enroll_end_date": "valid_until",
    "enrollment_completion_date": "completed_at",
    "enrollment_completion_percentage": "completion_percentage",
    "enrollment_created_at": "enrolled_at",
    "enrollment_created_by": "enrolled_by_user_id",
    "enrollment_date": "enrolled_at",
    "enrollment_date_last_updated": "updated_at",
    "enrollment_score": "score",
    "enrollment_time_spent": "time_spent",
    "enrollment_validity_begin_date": "valid_from_day",
    "enrollment_validity_begin_datetime": "valid_from",
    "enrollment_validity_end_date": "valid_until_day",
    "enrollment_validity_end_datetime": "valid_until",
    "expiration_date": "expires_at",
    "from_date": "starts_at",
    "id_course": "course_id",
    "id_session": "session_id",
    "last_access_date": "last_access_at",
    "last_update": "updated_at",
    "lev": "level",
    "newsletter_optout_date": "newsletter_optout_at",
    "start_date": "starts_at",
    "subscribed_by": "enrolled_by_user_id",
    "to_date": "ends_at",
    "total_time": "time_spent",
    "uidCourse": "course_uid",
    "uid_session": "session_uid",
    "updated_on": "updated_at",
}
# What it is called in one table, where the same name means something else in another.
NAMES_IN_TABLE = {
    "branches": {
        "id": "branch_id",
        "code": "branch_code",
        "title": "branch_name",
        "parent_id": "parent_branch_id",
        "parent_code": "parent_branch_code",
    },
    "catalogs": {
        "catalogue_id": "catalog_id",
        "catalogue_name": "catalog_name",
        "catalogue_code": "catalog_code",
        "catalogue_description": "catalog_description",
    },
    "categories": {
        "id": "category_id",
        "code": "category_code",
        "title": "category_name",
        "title_parent": "parent_category_name",
    },
    "certifications": {"id_cert": "certification_id", "code": "certification_code", "title": "certification_name"},
    "course_details": {"id": "course_id", "code": "course_code", "title": "course_name", "type": "course_type"},
    "course_fields": {"id": "field_id", "type": "field_type", "name.value": "field_title"},
    "course_learning_objects": {
        "id_org": "learning_object_id",
        "id_parent": "parent_learning_object_id",
        "id_resource": "resource_id",
    },
    "courses": {"name": "course_name", "code": "course_code"},
    "enrollments": {
        "type": "item_type",
        "id": "item_id",
        "name": "item_name",
        "status": "enrollment_status",
        "level": "enrollment_level",
    },
    "external_training": {"title": "training_name"},
    "groups": {
        "uuid": "group_uuid",
        "name": "group_name",
        "type": "group_type",
        "created_by": "created_by_user_id",
        "updated_by": "updated_by_user_id",
    },
    "learning_plan_courses": {
        "code": "course_code",
        "create_date": "created_at",
        "title": "course_name",
        "type": "course_type",
        "uid": "course_uid",
    },
    "learning_plans": {
        "code": "learning_plan_code",
        "created_by.id": "created_by_user_id",
        "title": "learning_plan_name",
        "updated_by.id": "updated_by_user_id",
        "uuid": "learning_plan_uuid",
    },
    "session_enrollments": {
        "status": "enrollment_status",
        "status_id": "enrollment_status_id",
        "user_status": "user_status_code",
    },
    "session_events": {"id": "event_id", "name": "event_name"},
    "sessions": {"id": "session_id", "code": "session_code", "name": "session_name"},
    "user_fields": {"id": "field_id", "title": "field_title", "type": "field_type"},
    "users": {"uuid": "user_uuid", "status": "user_status", "level": "user_level"},
}
# User names and e-mail addresses join the directory of people, where case and spaces must not matter.
LOWER = {"email", "username"}
# Dates whose time of day means nothing.
DAYS = {"day", "enrollment_validity_begin_date", "enrollment_validity_end_date"}
# Codes that Docebo sends, and what they mean.
WORDS = {
    ("users", "status"): {"1": "active", "0": "inactive"},
    ("users", "level"): {
        "3": "superadmin",
        "4": "power_user",
        "6": "user",
        "/framework/level/godadmin": "superadmin",
        "/framework/level/admin": "power_user",
        "/framework/level/user": "user",
    },
}
# The values that are known of a column in staging. A platform may have more.
KNOWN_VALUES = {
    "course_type": ["elearning", "classroom", "webinar"],
    "enrollment_level": ["student", "tutor", "instructor"],
    "enrollment_status": ["enrolled", "waiting", "not_started", "in_progress", "completed"],
    "user_level": ["superadmin", "power_user", "user"],
    "user_status": ["active", "inactive"],
}
# Columns that are computed from others: name, type, expression, description, and what it joins.
DERIVED = {
    "enrollments": (
        (
            "course_id",
            "integer",
            "case when type <> 'learning_plan' then id end",
            "ID of the course; null for a learning plan.",
            ("courses", "id_course"),
        ),
        (
            "learning_plan_id",
            "integer",
            "case when type = 'learning_plan' then id end",
            "ID of the learning plan; null for a course.",
            ("learning_plans", "learning_plan_id"),
        ),
    ),
}


@dataclass(frozen=True)
class Staged:
    """A column of a staging model, and the SQL that makes it."""

    name: str
    type: str
    expression: str
    description: str
    joins: tuple[Join, ...] = ()


def files(found: list[Table]) -> dict[str, str]:
    """The text of each file of the layer, by its path from the top of the repository."""
    names = {table.name: {source: staged.name for source, staged in _by_source(table).items()} for table in found}
    return {
        f"{DIRECTORY}/src_docebo.yml": _sources(found),
        f"{DIRECTORY}/stg_docebo.yml": _yaml({"version": 2, "models": [_documented(table, names) for table in found]}),
        **{f"{DIRECTORY}/{_model(table.name)}.sql": _sql(table) for table in found},
    }


def _model(table: str) -> str:
    return f"stg_docebo__{table}"


def _by_source(table: Table) -> dict[str, Staged]:
    """The columns of a staging model, by the name of the column that each is made from."""
    return {
        source: staged
        for column in table.columns
        for source, staged in (
            [(f"{column.name}.{part.name}", _part(table, column, part)) for part in column.parts]
            or [(column.name, _column(table, column))]
        )
    }


def columns(table: Table) -> list[Staged]:
    """The columns of a staging model, without the additional fields, whose names are known in the database only."""
    derived = [
        Staged(name, kind, expression, description, (join,))
        for name, kind, expression, description, join in DERIVED.get(table.name, ())
    ]
    extracted = Staged(EXTRACTED_AT, "timestamp", EXTRACTED_AT, "When Airbyte read the record.")
    return [*_by_source(table).values(), *derived, extracted]


def _column(table: Table, column: Column) -> Staged:
    source = column.name.lower()
    staged = Staged(_name(table, column.name), column.type, source, _meaning(column.description), column.joins)
    words = WORDS.get((table.name, column.name))
    if words:
        values = dict.fromkeys(words.values())
        cases = "\n".join(f"        when '{code}' then '{word}'" for code, word in words.items())
        return replace(
            staged,
            expression=f"case {source}\n{cases}\n        else {source}\n    end",
            description=f"{staged.description.split(',')[0].rstrip('.')}: {_either(values)}; a code if it is another.",
        )
    if column.name in LOWER:
        return replace(staged, expression=f"lower(trim({source}))", description=f"{staged.description} In lower case.")
    if column.name in DAYS:
        return replace(staged, type="date", expression=f"cast({source} as date)")
    if column.description.startswith("Whether") and column.type == "integer":
        meaning = staged.description.replace(", as a number", "")
        return replace(staged, type="boolean", expression=f"{source} <> 0", description=meaning)
    if column.description.startswith("Whether") and column.type == "text":
        meaning = re.sub(r", as text(: \"0\" or \"1\")?", "", staged.description)
        return replace(staged, type="boolean", expression=f"{{{{ docebo.flag('{source}') }}}}", description=meaning)
    if staged.name in ("enrollment_level", "enrollment_status"):
        return replace(staged, expression=f"lower({source})")
    return staged


def _part(table: Table, column: Column, part: Column) -> Staged:
    text = f"{{{{ docebo.json_text('{column.name.lower()}', '{part.name}') }}}}"
    cast = text if part.type == "text" else f"cast({text} as {{{{ docebo.type('{part.type}') }}}})"
    name = _name(table, f"{column.name}.{part.name}")
    return Staged(name, part.type, cast, f"{_meaning(column.description)} {_meaning(part.description)}", part.joins)


def _name(table: Table, source: str) -> str:
    named = NAMES_IN_TABLE.get(table.name, {}).get(source) or NAMES.get(source)
    return named or re.sub(r"(?<=[a-z])(?=[A-Z])", "_", source.replace(".", "_")).lower()


def _meaning(description: str) -> str:
    """The description without what is no longer so in staging, and without the joins, which are named anew."""
    text = description.replace(NO_DATE, "").strip()
    before, joins, after = text.partition("Joins ")
    return f"{before}{after.partition('. ')[2]}".strip() if joins else text


def _either(words: dict[str, None]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}"


def _sql(table: Table) -> str:
    read = "".join(f"\n        '{column.name}': '{column.type}'," for column in table.columns)
    key = ", ".join(f"'{name}'" for name in table.key)
    additional = ", additional_fields=true" if table.has_additional_fields else ""
    selected = []
    for staged in columns(table):
        alias = "" if staged.expression == staged.name else f" as {staged.name}"
        selected.append(f"    {staged.expression}{alias}")
    more = f"\n    {{{{ docebo.additional_fields('{table.name}') }}}}" if table.has_additional_fields else ""
    return (
        f"-- {WRITTEN_BY}\n"
        f"with source as (\n\n"
        f"    {{{{ docebo.read_stream('{table.name}', key=[{key}]{additional}, columns={{{read}\n    }}) }}}}\n\n"
        f")\n\n"
        "select\n" + ",\n".join(selected) + more + "\nfrom source\n"
    )


def _sources(found: list[Table]) -> str:
    source = {
        "name": "docebo",
        "description": "What Airbyte or PyAirbyte writes with source-docebo: a table for each stream.",
        "database": "{{ var('docebo_database', target.database) }}",
        "schema": "{{ var('docebo_schema', 'docebo') }}",
        "config": {
            "loaded_at_field": EXTRACTED_AT,
            "freshness": {
                "warn_after": {"count": 36, "period": "hour"},
                "error_after": {"count": 7, "period": "day"},
            },
        },
        "tables": [
            {
                "name": table.name,
                "description": f"Each row is: {table.row}. Key: {', '.join(table.key)}.".replace("..", "."),
                "columns": [
                    {"name": column.name, "description": column.description, "data_type": column.type}
                    for column in table.columns
                ],
            }
            for table in found
        ],
    }
    return _yaml({"version": 2, "sources": [source]})


def _documented(table: Table, names: dict[str, dict[str, str]]) -> dict[str, Any]:
    key = [_name(table, column) for column in table.key]
    row = f"{table.row[0].upper()}{table.row[1:]}".split(". ")[0].rstrip(".")
    more = " Additional fields are further columns, under their titles." if table.has_additional_fields else ""
    model: dict[str, Any] = {"name": _model(table.name), "description": f"{row}.{more}"}
    if len(key) > 1:
        model["data_tests"] = [{"docebo.unique_rows": {"arguments": {"columns": key}}}]
    model["columns"] = [_documented_column(staged, key, names) for staged in columns(table)]
    return model


def _documented_column(staged: Staged, key: list[str], names: dict[str, dict[str, str]]) -> dict[str, Any]:
    joined = [(_model(table), names[table][column]) for table, column in staged.joins if table in names]
    joins = f" Joins {', or '.join(f'{model}.{column}' for model, column in joined)}." if joined else ""
    column: dict[str, Any] = {
        "name": staged.name,
        "description": f"{staged.description}{joins}".strip(),
        "data_type": staged.type,
    }
    tests: list[Any] = ["not_null"] * (staged.name in key) + ["unique"] * ([staged.name] == key)
    if len(joined) == 1:
        (model, field), *_ = joined
        tests.append({"docebo.joins": {"arguments": {"to": f"ref('{model}')", "field": field}}})
    if staged.name in KNOWN_VALUES:
        tests.append({"docebo.known_values": {"arguments": {"values": KNOWN_VALUES[staged.name]}}})
    if tests:
        column["data_tests"] = tests
    return column


def _yaml(content: dict[str, Any]) -> str:
    text = yaml.dump(content, Dumper=_Indented, sort_keys=False, allow_unicode=True, width=116)
    return f"# {WRITTEN_BY}\n{text}"


class _Indented(yaml.SafeDumper):
    """Writes lists as dbt's documentation does: indented below their key."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)
