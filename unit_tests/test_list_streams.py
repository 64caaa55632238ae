"""The streams that are one list each: what is requested, what is emitted, and that it is all of it."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from unit_tests.builders import PLATFORM, PageBuilder, Platform, discover, error_response, read
from unit_tests.declared import properties, streams


@dataclass
class Case:
    """One stream: its request, its key, a record as Docebo sends it, and which values are converted."""

    stream: str
    path: str
    key: str | list[str]
    sent: dict[str, Any]
    converted: dict[str, Any] = field(default_factory=dict)
    query: dict[str, list[str]] = field(default_factory=dict)

    def numbered(self, number: int) -> dict[str, Any]:
        """The record with another key."""
        return {**self.sent, **{name: _in_type_of(self.sent[name], number) for name in self.keys}}

    def emitted(self, number: int) -> dict[str, Any]:
        """The record that the connector emits; the CDK omits null."""
        record = {**self.numbered(number), **self.converted, **self.integer_keys(number)}
        return {name: value for name, value in record.items() if value is not None}

    def integer_keys(self, number: int) -> dict[str, int]:
        """The keys that the schema declares as integers, whatever Docebo sends."""
        return {name: number for name in self.keys if properties(self.stream)[name]["type"] == "integer"}

    @property
    def keys(self) -> list[str]:
        return [self.key] if isinstance(self.key, str) else self.key


def _in_type_of(sample: Any, number: int) -> Any:
    return type(sample)(number)


CASES = [
    Case(
        "users",
        "manage/v1/user",
        "user_id",
        {
            "user_id": "13903",
            "username": "ada",
            "first_name": "Ada",
            "uuid": "8f14e45f",
            "is_manager": False,
            "last_access_date": None,
            "last_update": "2024-05-01 08:30:00",
            "creation_date": "2020-02-29 23:59:59",
            "status": "1",
            "expiration_date": "2030-01-31",
            "newsletter_optout_date": "0000-00-00 00:00:00",
            "date_format": "d-m-Y",
            "field_7": "Analytical engines",
            "field_8": None,
            "manager_names": [],
            "managers": [],
            "active_subordinates_count": 0,
            "expired": False,
            "request_on": "2019-01-01 00:00:00",
        },
        {
            "last_update": "2024-05-01T08:30:00Z",
            "creation_date": "2020-02-29T23:59:59Z",
            "expiration_date": "2030-01-31T00:00:00Z",
            "newsletter_optout_date": "1970-01-01T00:00:00Z",
            "manager_names": {},
            "request_on": "2019-01-01 00:00:00",
        },
    ),
    Case(
        "user_fields",
        "manage/v1/user_fields",
        "id",
        {
            "id": "7",
            "title": "Department",
            "type": "dropdown",
            "enabled": True,
            "settings": [],
            "system_field": False,
            "sequence": 3,
            "options": [{"id": "1", "value": "Sales"}],
        },
        {"settings": {}},
    ),
    Case(
        "branches",
        "manage/v1/orgchart",
        "id",
        {
            "id": 5,
            "code": "eu",
            "title": "Europe",
            "lev": 2,
            "iLeft": 4,
            "iRight": 9,
            "parent_id": 1,
            "path_ids": [1, 5],
            "has_children": True,
            "actions": [],
        },
        query={"flattened": ["true"]},
    ),
    Case(
        "groups",
        "audiences/v1/audience",
        "uuid",
        {
            "uuid": "2f0b",
            "name": "Everybody",
            "type": "automatic",
            "exclude_deactivated_users": True,
            "ruleset": {"status": 1, "operator": "AND", "sets": []},
            "created_by": 13001,
            "updated_at": "2024-05-01 08:30:00",
            "labels": [],
        },
        {"updated_at": "2024-05-01T08:30:00Z"},
    ),
    Case(
        "courses",
        "learn/v1/courses",
        "id_course",
        {
            "id_course": 12,
            "name": "0000-00-00 rollover",
            "uidCourse": "C-12",
            "description": "<p>&nbsp;</p>",
            "date_last_updated": "2024-05-01 08:30:00",
            "course_type": "classroom",
            "selling": False,
            "duration": 3600,
            "multi_languages": [],
            "price": "0",
            "start_date": "2024-06-01",
            "end_date": "",
            "category": {"id": 3, "name": "Safety"},
            "max_attempts": None,
            "available_seats": [],
            "partner_data": [],
        },
        {
            "date_last_updated": "2024-05-01T08:30:00Z",
            "start_date": "2024-06-01T00:00:00Z",
            "end_date": None,
            "available_seats": {},
            "partner_data": {},
        },
    ),
    Case(
        "course_fields",
        "learn/v1/courses/field",
        "id",
        {"id": 4, "type": "textfield", "name": {"value": "Cost center", "values": []}},
    ),
    Case(
        "categories",
        "learn/v1/categories",
        "id",
        {
            "id": 3,
            "code": "s",
            "title": "Safety",
            "title_parent": "",
            "has_child": 1,
            "lev": 1,
            "iLeft": 2,
            "iRight": 7,
        },
        {"has_child": True},
    ),
    Case(
        "certifications",
        "learn/v1/certification",
        "id_cert",
        {"id_cert": 9, "title": "First aid", "duration": "2", "duration_unit": "year", "allow_same_item": "0"},
    ),
    Case(
        "learning_plans",
        "learningplan/v1/learningplans",
        "learning_plan_id",
        {
            "learning_plan_id": 21,
            "uuid": "9a3e",
            "title": "Onboarding",
            "thumbnail_url": None,
            "price": "0",
            "credits": 1.5,
            "is_published": True,
            "assigned_courses_count": 4,
            "assigned_enrollments_count": 70,
            "created_on": "2024-05-01 08:30:00",
            "created_by": {"id": 13001, "fullname": "Ada Lovelace"},
            "updated_on": "2024/05/02 09:00:00",
            "updated_by": [],
        },
        {
            "created_on": "2024-05-01T08:30:00Z",
            "updated_on": "2024-05-02T09:00:00Z",
            "updated_by": {},
        },
    ),
    Case(
        "learning_plan_enrollments",
        "learningplan/v1/learningplans/enrollments",
        ["learning_plan_id", "user_id"],
        {
            "learning_plan_id": 21,
            "user_id": 13903,
            "username": "ada",
            "assignment_type": None,
            "enrollment_created_at": "2024-05-01 08:30:00",
            "enrollment_created_by": 13001,
            "enrollment_date_last_updated": "2024-05-01 08:30:00",
            "enrollment_validity_begin_date": "2024-05-01",
            "enrollment_validity_begin_datetime": "2024-05-01 06:00:00",
            "enrollment_validity_end_date": None,
            "enrollment_validity_end_datetime": None,
            "enrollment_status": "completed",
            "enrollment_completion_date": "2024-05-09 10:00:00",
            "enrollment_completion_percentage": 100,
            "enrollment_time_spent": 5400,
        },
        {
            "enrollment_created_at": "2024-05-01T08:30:00Z",
            "enrollment_date_last_updated": "2024-05-01T08:30:00Z",
            "enrollment_validity_begin_date": "2024-05-01T00:00:00Z",
            "enrollment_validity_begin_datetime": "2024-05-01T06:00:00Z",
            "enrollment_completion_date": "2024-05-09T10:00:00Z",
        },
        query={
            "extra_fields[]": [
                "enrollment_status",
                "enrollment_completion_date",
                "enrollment_completion_percentage",
                "enrollment_time_spent",
            ]
        },
    ),
    Case(
        "external_training",
        "learn/v1/external_training",
        "training_id",
        {
            "training_id": 31,
            "user_id": 13903,
            "title": "Welding",
            "course_code": None,
            "ceus": "4",
            "score": 87.5,
            "from_date": "2024-05-01",
            "to_date": "2024-05-03 17:00:00",
            "uuid": "77aa",
            "additional_fields": [],
        },
        {"from_date": "2024-05-01T00:00:00Z", "to_date": "2024-05-03T17:00:00Z"},
    ),
    Case(
        "catalogs",
        "learn/v1/catalog",
        "catalogue_id",
        {
            "catalogue_id": 4,
            "catalogue_name": "Onboarding",
            "catalogue_code": None,
            "catalogue_description": "<p>For everybody</p>",
            "sub_items": {
                "1": {"item_id": "12", "item_type": "elearning", "item_price": 5, "duration": 3600},
                "3": {"item_id": 21, "item_type": "learning_plan", "item_date_end": "0000-00-00 00:00:00"},
                "4": {"item_id": 13, "item_type": "webinar", "item_date_end": "2024-05-01 08:30:00", "item_new": 1},
            },
        },
        {
            "sub_items": [
                {"item_id": 12, "item_type": "elearning", "item_price": "5", "duration": "3600"},
                {"item_id": 21, "item_type": "learning_plan", "item_date_end": "1970-01-01T00:00:00Z"},
                {"item_id": 13, "item_type": "webinar", "item_date_end": "2024-05-01T08:30:00Z", "item_new": 1},
            ]
        },
        query={"show_item_list": ["1"], "items_per_catalog": ["99"]},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stream)
class TestEachList:
    """Each list is requested with its parameters, page after page, and every record is emitted once."""

    def test_reads_three_pages(self, docebo: Platform, case: Case) -> None:
        docebo.serves_pages(
            case.path,
            PageBuilder().with_records(case.numbered(1), case.numbered(2)).page(1, of=3),
            PageBuilder().with_records(case.numbered(3)).page(2, of=3),
            PageBuilder().with_records(case.numbered(4)).page(3, of=3),
        )

        output = read(case.stream, fields=["field_7", "field_8"])

        assert output.records(case.stream) == [case.emitted(number) for number in (1, 2, 3, 4)]
        assert output.is_complete(case.stream)
        assert output.warnings() == []
        queries = sorted(docebo.queries_for(case.path), key=lambda query: query["page"])
        assert queries == [{"page": [page], "page_size": ["200"], **case.query} for page in ("1", "2", "3")]
        assert set(docebo.paths_requested) == {case.path}


@pytest.mark.parametrize("case", CASES[:1], ids=lambda case: case.stream)
def test_requests_carry_the_token_and_accept_json(docebo: Platform, case: Case) -> None:
    """Every request carries the token that Docebo issued."""
    docebo.serves(case.path, case.sent)

    read(case.stream)

    (sent,) = docebo.requests_for(case.path)
    assert sent.headers["Authorization"] == "Bearer the-token"
    assert sent.headers["Accept"] == "application/json"
    assert sent.url.startswith(f"{PLATFORM}/")


def test_an_empty_list_is_a_complete_stream(docebo: Platform) -> None:
    """A tenant that has no certifications is not a fault, and costs one request."""
    docebo.serves("learn/v1/certification")

    output = read("certifications")

    assert output.records("certifications") == []
    assert output.is_complete("certifications")
    assert len(docebo.requests_for("learn/v1/certification")) == 1


def test_streams_of_one_read_do_not_mix(docebo: Platform) -> None:
    """Streams are read at the same time, and each record comes out under its own stream."""
    chosen = [case for case in CASES if case.stream in ("users", "branches", "certifications", "learning_plans")]
    for case in chosen:
        docebo.serves(case.path, case.numbered(1), case.numbered(2))

    output = read(*(case.stream for case in chosen))

    for case in chosen:
        assert output.records(case.stream) == [case.emitted(1), case.emitted(2)]
        assert output.is_complete(case.stream)


class TestDiscover:
    """The catalog holds every stream of the manifest, with its key, and the additional fields of the platform."""

    def test_streams_and_keys(self, docebo: Platform) -> None:
        output = discover()

        for name, stream in streams().items():
            discovered = output.discovered(name)
            key = stream["$parameters"]["primary_key"]
            assert discovered.source_defined_primary_key == [
                [part] for part in ([key] if isinstance(key, str) else key)
            ]
            assert discovered.supported_sync_modes[0].value == "full_refresh"
        assert len(docebo.token_forms()) == 1
        assert sorted(docebo.paths_requested) == ["learn/v1/courses/field", "manage/v1/user_fields"]

    def test_additional_fields_are_columns(self, docebo: Platform) -> None:
        docebo.serves("manage/v1/user_fields", {"id": "7", "title": "Department", "type": "dropdown"})
        docebo.serves("learn/v1/courses/field", {"id": 4, "name": "Cost center", "type": "textfield"})

        output = discover()

        for stream, name, title in [("users", "field_7", "Department"), ("course_details", "field_4", "Cost center")]:
            declared = output.discovered(stream).json_schema["properties"][name]
            assert declared["type"] == ["string", "null"]
            assert declared["title"] == title

    @pytest.mark.parametrize("status", [403, 404])
    def test_definitions_that_may_not_be_read_leave_the_static_schema(self, docebo: Platform, status: int) -> None:
        docebo.responds("manage/v1/user_fields", error_response(status, "No"))

        output = discover()

        assert output.discovered("users").json_schema["properties"].keys() == properties("users").keys()
        (warning,) = output.warnings()
        assert warning.startswith("Stream user_fields: ")
        assert f"({status})" in warning
        assert warning.endswith(
            "(GET /manage/v1/user_fields, page 1) Stream users is shown without its additional fields."
        )

    def test_definitions_that_fail_otherwise_fail_discover(self, docebo: Platform) -> None:
        docebo.responds("manage/v1/user_fields", error_response(500, "Oops"))

        ((failure_type, message),) = discover().errors()

        assert failure_type.value == "transient_error"
        assert "user_fields" in message


class TestAdditionalFields:
    """A read takes them from its catalog, so that it sends no requests for their definitions."""

    def test_are_text_and_cost_no_request(self, docebo: Platform) -> None:
        docebo.responds("manage/v1/user_fields", error_response(500, "Oops"))
        docebo.serves("manage/v1/user", {"user_id": 1, "field_3": 5, "field_4": {"a": True}})

        output = read("users", fields=["user_id", "field_3", "field_4"])

        assert output.records("users") == [{"user_id": 1, "field_3": "5", "field_4": '{"a":true}'}]
        assert output.is_complete("users")
        assert output.warnings() == []
        assert docebo.requests_for("manage/v1/user_fields") == []

    def test_those_that_the_catalog_lacks_are_warned_of_once(self, docebo: Platform) -> None:
        docebo.serves("manage/v1/user", *({"user_id": number, "field_3": "a", "field_9": 5} for number in range(3)))

        output = read("users", fields=["user_id", "field_3"])

        assert [record["field_9"] for record in output.records("users")] == ["5", "5", "5"]
        assert output.is_complete("users")
        assert output.warnings() == [
            "Stream users: most destinations drop field_9, since the schema of the connection lacks them. Refresh the "
            "schema."
        ]


class TestOlderNames:
    """Older tenants have other names for some fields, keys among them: the record has the usual name as well."""

    @pytest.mark.parametrize(
        ("stream", "path", "sent", "added"),
        [
            ("groups", "audiences/v1/audience", {"audience_id": "a1", "id": 5}, {"uuid": "a1"}),
            ("groups", "audiences/v1/audience", {"group_id": "g1", "id": 5}, {"uuid": "g1"}),
            ("groups", "audiences/v1/audience", {"id": 5}, {"uuid": "5"}),
            ("user_fields", "manage/v1/user_fields", {"id_field": 7}, {"id": "7"}),
            (
                "course_fields",
                "learn/v1/courses/field",
                {"field_id": "4", "type_field": "date", "name_field": []},
                {"id": 4, "type": "date", "name": {}},
            ),
            ("external_training", "learn/v1/external_training", {"external_training_id": "31"}, {"training_id": 31}),
            (
                "branches",
                "manage/v1/orgchart",
                {"id": 5, "i_left": "4", "i_right": "9"},
                {"iLeft": 4, "iRight": 9},
            ),
            (
                "catalogs",
                "learn/v1/catalog",
                {"catalog_id": "4", "name": "Onboarding", "items": []},
                {"catalogue_id": 4, "catalogue_name": "Onboarding", "sub_items": []},
            ),
        ],
    )
    def test_the_usual_name_is_filled(
        self, docebo: Platform, stream: str, path: str, sent: dict[str, Any], added: dict[str, Any]
    ) -> None:
        docebo.serves(path, sent)

        output = read(stream)

        assert output.records(stream) == [{**sent, **added}]
        assert output.is_complete(stream)

    def test_the_usual_name_goes_before_the_older_one(self, docebo: Platform) -> None:
        docebo.serves("audiences/v1/audience", {"uuid": "the-uuid", "audience_id": "older", "id": 5})

        (record,) = read("groups").records("groups")

        assert record["uuid"] == "the-uuid"


@pytest.mark.parametrize("missing", [{}, {"user_id": None}, {"user_id": ""}])
def test_a_record_without_its_key_fails_the_stream(docebo: Platform, missing: dict[str, Any]) -> None:
    """Rows without a key would overwrite each other in the warehouse. The message names the fields, not the person."""
    docebo.serves("manage/v1/user", {"user_id": 1}, {**missing, "first_name": "Ada"})

    output = read("users")

    ((failure_type, message),) = output.errors()
    assert failure_type.value == "system_error"
    assert "users" in message
    assert "user_id" in message
    assert "first_name" in message
    assert "Ada" not in message
    assert output.is_incomplete("users")
