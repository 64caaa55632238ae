"""Types: a value becomes what its schema declares where its meaning is certain, and stays as it came where not."""

from typing import Any

import pytest
import requests_mock

from unit_tests.builders import Output, Platform, a_page_with, read

COURSES = "learn/v1/courses"
GONE = object()  # null is not printed

CONVERTED = [
    ("available_seats", [], {}),
    ("available_seats", {}, {}),
    ("available_seats", {"left": "3"}, {"left": "3"}),
    ("available_seats", "", GONE),
    ("available_seats", None, GONE),
    ("multi_languages", [], []),
    ("multi_languages", ["en", 5, None], ["en", 5, None]),
    ("multi_languages", {"0": "en", "2": "de"}, ["en", "de"]),
    ("multi_languages", {}, []),
    ("multi_languages", " ", GONE),
    ("enrollment_policy", 2, 2),
    ("enrollment_policy", "2", 2),
    ("enrollment_policy", " -2 ", -2),
    ("enrollment_policy", "002", 2),
    ("enrollment_policy", 12.0, 12),
    ("enrollment_policy", "12.0", 12),
    ("enrollment_policy", True, 1),
    ("enrollment_policy", False, 0),
    ("enrollment_policy", "", GONE),
    ("enrollment_policy", 9007199254740993, 9007199254740993),
    ("enrollment_policy", "9007199254740993", 9007199254740993),
    ("credits", 1.5, 1.5),
    ("credits", 2, 2),
    ("credits", "1.5", 1.5),
    ("credits", "-.5", -0.5),
    ("credits", "1e3", 1000),
    ("credits", True, 1),
    ("credits", " ", GONE),
    ("code", "", ""),
    ("code", " x ", " x "),
    ("code", 5, "5"),
    ("code", 0, "0"),
    ("code", 1.5, "1.5"),
    ("code", True, "true"),
    ("code", {"en": "Ü"}, '{"en":"Ü"}'),
    ("code", ["a", 1], '["a",1]'),
    ("code", [], GONE),
    ("code", {}, GONE),
    ("selling", True, True),
    ("selling", 1, True),
    ("selling", 0, False),
    ("selling", "1", True),
    ("selling", "0", False),
    ("selling", "true", True),
    ("selling", "FALSE", False),
    ("selling", "", GONE),
    ("max_attempts", None, GONE),
    ("max_attempts", "3", 3),
    ("category", [], {}),
    ("category", {"id": "3", "name": 7, "colour": "red"}, {"id": 3, "name": "7", "colour": "red"}),
    ("category", None, GONE),
]
KEPT = [
    ("available_seats", "many"),
    ("available_seats", 5),
    ("available_seats", ["a"]),
    ("multi_languages", "en"),
    ("multi_languages", 5),
    ("enrollment_policy", "two"),
    ("enrollment_policy", 2.5),
    ("enrollment_policy", "1_000"),
    ("enrollment_policy", "0x1F"),
    ("enrollment_policy", "٣"),
    ("enrollment_policy", [2]),
    ("enrollment_policy", "123456789012345678901234567890"),
    ("credits", "a lot"),
    ("credits", "1,5"),
    ("credits", "NaN"),
    ("credits", "Infinity"),
    ("credits", "1e999"),
    ("credits", {"value": 1}),
    ("selling", "yes"),
    ("selling", 2),
    ("selling", []),
    ("category", "Safety"),
]


def read_courses(values: list[tuple[str, Any]]) -> Output:
    """Reads one course for each field and value."""
    with requests_mock.Mocker(case_sensitive=True) as mocker:
        courses = [{"id_course": number, field: value} for number, (field, value) in enumerate(values)]
        Platform(mocker).lists(COURSES, a_page_with(*courses))
        return read("courses")


def named(values: list[Any]) -> list[str]:
    return [f"{field} {value!r}" for field, value, *_ in values]


class TestConverted:
    """A value whose meaning is certain gets the declared type, without a word."""

    @pytest.fixture(scope="class")
    def output(self) -> Output:
        return read_courses([(field, sent) for field, sent, _ in CONVERTED])

    @pytest.mark.parametrize("number", range(len(CONVERTED)), ids=named(CONVERTED))
    def test_becomes(self, output: Output, number: int) -> None:
        field, _, expected = CONVERTED[number]

        found = output.records("courses")[number].get(field, GONE)

        assert found == expected
        assert type(found) is type(expected) or {type(found), type(expected)} == {int, float}

    def test_without_a_word(self, output: Output) -> None:
        assert output.is_complete("courses")
        assert output.warnings() == []


class TestKept:
    """A value that fits in no way stays as it came, because losing it would be worse, and is warned of once."""

    @pytest.fixture(scope="class")
    def output(self) -> Output:
        return read_courses(KEPT)

    @pytest.mark.parametrize("number", range(len(KEPT)), ids=named(KEPT))
    def test_stays(self, output: Output, number: int) -> None:
        field, sent = KEPT[number]

        assert output.records("courses")[number][field] == sent

    def test_is_warned_of_once_for_each_field(self, output: Output) -> None:
        assert output.is_complete("courses")
        fields = {field for field, _ in KEPT}
        assert len(output.warnings()) == len(fields)
        for field in fields:
            assert len(output.lines("Stream courses", f"field {field} ")) == 1

    def test_the_warning_does_not_show_the_value(self, docebo: Platform) -> None:
        docebo.holds(COURSES, {"id_course": 1, "enrollment_policy": "Ada Lovelace"})

        output = read("courses")

        assert len(output.warnings()) == 1
        assert not output.lines("Ada")

    def test_fields_inside_a_field_are_told_by_their_path(self, docebo: Platform) -> None:
        docebo.holds(COURSES, {"id_course": 1, "category": {"id": "third"}})

        output = read("courses")

        assert output.records("courses")[0]["category"] == {"id": "third"}
        (warning,) = output.warnings()
        assert "category.id" in warning


class TestKeys:
    """A key comes out in the declared type, whether a tenant sends it as number or as text, so that joins hold."""

    @pytest.mark.parametrize(
        ("stream", "path", "key", "sent", "emitted"),
        [
            ("users", "manage/v1/user", "user_id", 13903, "13903"),
            ("users", "manage/v1/user", "user_id", "13903", "13903"),
            ("courses", COURSES, "id_course", "12", 12),
            ("groups", "audiences/v1/audience", "uuid", 5, "5"),
            ("user_fields", "manage/v1/user_fields", "id", 7, "7"),
            ("branches", "manage/v1/orgchart", "id", "0", 0),
            ("certifications", "learn/v1/certification", "id_cert", "9", 9),
            ("categories", "learn/v1/categories", "id", 9007199254740993, 9007199254740993),
        ],
    )
    def test_key(self, docebo: Platform, stream: str, path: str, key: str, sent: Any, emitted: Any) -> None:
        docebo.holds(path, {key: sent})

        output = read(stream)

        assert output.records(stream) == [{key: emitted}]
        assert output.is_complete(stream)


class TestUnknownFields:
    """Fields that no schema declares, such as a tenant's additional ones, come through as they are."""

    def test_come_through_untouched(self, docebo: Platform) -> None:
        unknown = {
            "field_1": "1e5",
            "field_2": 5,
            "field_3": 1.50,
            "field_4": True,
            "field_5": [],
            "field_6": {},
            "field_7": "",
            "field_8": [{"a": None}],
            "field_9": "0000-00-00",
            "field_10": "😀 {{ x }}",
            "a field with blanks": "1",
            "": "no name",
        }
        docebo.holds("manage/v1/user", {"user_id": "1", **unknown})

        output = read("users")

        assert output.records("users") == [{"user_id": "1", **unknown}]
        assert output.warnings() == []

    def test_inside_declared_objects_too(self, docebo: Platform) -> None:
        created_by = {"id": "13001", "fullname": "Ada", "field_7": [], "since": "0000-00-00"}
        docebo.holds("learningplan/v1/learningplans", {"learning_plan_id": 1, "created_by": created_by})

        (record,) = read("learning_plans").records("learning_plans")

        assert record["created_by"] == {**created_by, "id": 13001}
