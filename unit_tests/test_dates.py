"""Dates: a field is one because its schema says so, and whatever Docebo sends in it comes out as a date or null."""

import copy
from pathlib import Path
from typing import Any

import pytest
import requests_mock
import yaml

from unit_tests.builders import Output, Platform, a_page_with, read
from unit_tests.declared import as_declared, date_fields, manifest_as_written, properties, streams

USERS = "manage/v1/user"
EPOCH = "1970-01-01T00:00:00Z"

REAL_DATES = [
    ("2024-05-01 08:30:00", "2024-05-01T08:30:00Z"),
    ("2024-05-01", "2024-05-01T00:00:00Z"),
    ("2024-05-01T08:30:00", "2024-05-01T08:30:00Z"),
    ("2024-05-01T08:30:00Z", "2024-05-01T08:30:00Z"),
    ("2024/05/01 08:30:00", "2024-05-01T08:30:00Z"),
    ("2024/05/01T08:30:00", "2024-05-01T08:30:00Z"),
    ("2024/05/01", "2024-05-01T00:00:00Z"),
    ("2024-05-01 08:30", "2024-05-01T08:30:00Z"),
    ("2024-05-01 08:30:00.987", "2024-05-01T08:30:00Z"),
    ("2024-05-01T08:30:00.123456Z", "2024-05-01T08:30:00Z"),
    ("2024/05/01 08:30:00.5", "2024-05-01T08:30:00Z"),
    ("2024-05-01T10:30:00+02:00", "2024-05-01T08:30:00Z"),
    ("2024-05-01 10:30:00+0200", "2024-05-01T08:30:00Z"),
    ("2024-05-01 03:00:00.5-05:30", "2024-05-01T08:30:00Z"),
    ("2024-05-01T00:30:00+02:00", "2024-04-30T22:30:00Z"),
    ("2024-12-31T23:30:00-01:00", "2025-01-01T00:30:00Z"),
    ("  2024-05-01 08:30:00 ", "2024-05-01T08:30:00Z"),
    ("2024-02-29 23:59:59", "2024-02-29T23:59:59Z"),
    ("0001-01-01 00:00:00", "0001-01-01T00:00:00Z"),
    ("1969-12-31 23:59:59", "1969-12-31T23:59:59Z"),
    ("9999-12-31 23:59:59", "9999-12-31T23:59:59Z"),
]
NOTHING = [None, "", "   ", "\t\n", "0", " 0 ", "null", "NULL", 0]
NEVER = [
    "0000-00-00",
    "0000-00-00 00:00:00",
    " 0000-00-00 00:00:00 ",
    "0000/00/00",
    "0000-00-00T00:00:00Z",
    "0000-00-00 00:00:00.000000",
    "-0001-11-30 00:00:00",
]
NO_DATES = [
    "2023-02-30 10:00:00",
    "2023-02-29",
    "2024-13-01 00:00:00",
    "2024-00-10",
    "2024-05-01 25:00:00",
    "2024-05-01 08:61:00",
    "0001-01-01 00:00:00+02:00",
    "01/05/2024",
    "1 May 2024",
    "yesterday",
    "2024-05-01 08:30:00 or so",
    "2024-05-01-08-30",
    "1714552200",
    "٢٠٢٤-٠٥-٠١ ٠٨:٣٠:٠٠",
    1714552200,
    17.5,
    True,
    False,
    [],
    {},
    ["2024-05-01"],
    {"date": "2024-05-01"},
]

MENDED = [
    *REAL_DATES,
    *((value, None) for value in NOTHING),
    *((value, EPOCH) for value in NEVER),
    *((value, EPOCH) for value in NO_DATES),
]


def read_dates(values: list[Any], manifest: Path | None = None) -> Output:
    """Reads one user for each value, which is the user's `last_update`."""
    with requests_mock.Mocker(case_sensitive=True) as mocker:
        users = [{"user_id": str(number), "last_update": value} for number, value in enumerate(values)]
        Platform(mocker).holds(USERS, *users)
        return read("users", manifest=manifest)


def with_format(format_: str, directory: Path) -> Path:
    """The connector's manifest, but `last_update` of users has this format."""
    changed = copy.deepcopy(manifest_as_written())
    changed["schemas"]["users"]["properties"]["last_update"]["format"] = format_
    path = directory / "manifest.yaml"
    path.write_text(yaml.safe_dump(changed), encoding="utf-8")
    return path


class TestEachValue:
    """What each value becomes, in a field of either format. All of them come in one list, as in a real one."""

    @pytest.fixture(scope="class", params=["date-time"])
    def outcome(
        self, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
    ) -> tuple[str, dict[int, Any]]:
        path = with_format(request.param, tmp_path_factory.mktemp("manifest"))
        output = read_dates([value for value, _ in MENDED], path)
        assert output.is_complete("users")
        return request.param, {int(record["user_id"]): record.get("last_update") for record in output.records("users")}

    @pytest.mark.parametrize("number", range(len(MENDED)), ids=[repr(value) for value, _ in MENDED])
    def test_becomes(self, outcome: tuple[str, dict[int, Any]], number: int) -> None:
        format_, emitted = outcome
        expected = MENDED[number][1]
        assert emitted[number] == (expected[:10] if expected and format_ == "date" else expected)


class TestWhatIsLogged:
    """A value that is neither a date nor one of the ways to write "never" is told once for each stream and field."""

    def test_dates_nothing_and_never_are_silent(self) -> None:
        output = read_dates([*(value for value, _ in REAL_DATES), *NOTHING, *NEVER])

        assert output.is_complete("users")
        assert output.warnings() == []

    @pytest.mark.parametrize("value", ["yesterday", "2023-02-30 10:00:00", 1714552200, []])
    def test_each_value_that_is_no_date_is_told(self, value: Any) -> None:
        (warning,) = read_dates([value]).warnings()

        assert "users" in warning
        assert "last_update" in warning

    def test_once_for_each_field_whatever_the_number_of_records_and_pages(self, docebo: Platform) -> None:
        spoilt = {"last_update": "tomorrow", "creation_date": "1 May 2024"}
        docebo.lists(
            USERS,
            *(
                a_page_with(*({"user_id": f"{page}-{number}", **spoilt} for number in range(5))).page(page, of=3)
                for page in (1, 2, 3)
            ),
        )

        output = read("users")

        assert len(output.records("users")) == 15
        assert len(output.warnings()) == 2
        assert len(output.lines("users", "last_update")) == 1
        assert len(output.lines("users", "creation_date")) == 1

    def test_for_each_stream(self, docebo: Platform) -> None:
        docebo.holds("learn/v1/courses", {"id_course": 1, "start_date": "soon"}, {"id_course": 2, "start_date": "soon"})
        docebo.holds("learn/v1/external_training", {"training_id": 1, "from_date": "soon"})

        output = read("courses", "external_training")

        assert len(output.warnings()) == 2
        assert len(output.lines("courses", "start_date")) == 1
        assert len(output.lines("external_training", "from_date")) == 1

    def test_the_value_itself_is_not_shown(self) -> None:
        output = read_dates(["Ada was born in May"])

        assert output.warnings()
        assert "Ada was born in May" not in output.text


class TestEachStream:
    """Every field that a schema declares as a date is mended, in every stream that is a list."""

    LISTS = {
        "users": USERS,
        "groups": "audiences/v1/audience",
        "courses": "learn/v1/courses",
        "learning_plans": "learningplan/v1/learningplans",
        "learning_plan_enrollments": "learningplan/v1/learningplans/enrollments",
        "external_training": "learn/v1/external_training",
    }

    @pytest.mark.parametrize("stream", LISTS)
    def test_all_its_dates(self, docebo: Platform, stream: str) -> None:
        fields = date_fields(stream)
        key = dict.fromkeys(streams()[stream]["schema_loader"]["schema"]["required"], "1")
        docebo.holds(self.LISTS[stream], {**key, **dict.fromkeys(fields, "2024-05-01 08:30:00")})

        (record,) = read(stream).records(stream)

        assert fields
        assert {name: record[name] for name in fields} == {
            name: as_declared(stream, name, "2024-05-01T08:30:00Z") for name in fields
        }


class TestOtherFields:
    """What is no date is never touched, however much it looks like one."""

    def test_texts_that_look_like_dates(self, docebo: Platform) -> None:
        texts = {"name": "0000-00-00 rollover", "code": "0000-00-00", "description": "2024-05-01 08:30:00"}
        unknown = {
            "release": "2024-05-01 08:30:00",
            "field_7": "0000-00-00 00:00:00",
            "field_8": "null",
            "field_9": "0",
        }
        docebo.holds("learn/v1/courses", {"id_course": 1, **texts, **unknown})

        output = read("courses")

        assert output.records("courses") == [{"id_course": 1, **texts, **unknown}]
        assert output.warnings() == []

    def test_fields_with_a_date_in_their_name(self, docebo: Platform) -> None:
        fields = {"date_format": "0000-00-00", "request_on": "2019-01-01 00:00:00"}
        docebo.holds(USERS, {"user_id": "1", **fields})

        assert not set(fields) & set(date_fields("users"))
        assert set(fields) <= set(properties("users"))
        assert read("users").records("users") == [{"user_id": "1", **fields}]
