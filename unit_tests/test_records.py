"""How a record is normalized: keys, dates and types, rule by rule; and what a user sees of it."""

from typing import Any

import pytest

from source_docebo.records import (
    EPOCH,
    UNDECLARED,
    RecordNormalizer,
    UnusableKeyError,
    additional_field_properties,
    to_utc,
)
from unit_tests.builders import Platform, error_response, page_with, read
from unit_tests.declared import properties

REAL_DATES = [
    ("2024-05-01 08:30:00", "2024-05-01T08:30:00Z"),
    ("2024-05-01", "2024-05-01T00:00:00Z"),
    ("2024-5-1", "2024-05-01T00:00:00Z"),
    ("2024-05-01T08:30:00", "2024-05-01T08:30:00Z"),
    ("2024-05-01T08:30:00Z", "2024-05-01T08:30:00Z"),
    ("2024-05-01 08:30:00 UTC", "2024-05-01T08:30:00Z"),
    ("2024/05/01 08:30:00", "2024-05-01T08:30:00Z"),
    ("2024/05/01", "2024-05-01T00:00:00Z"),
    ("2024-05-01 8:30", "2024-05-01T08:30:00Z"),
    ("2024-05-01 08:30:00.987", "2024-05-01T08:30:00Z"),
    ("2024-05-01T08:30:00.123456789Z", "2024-05-01T08:30:00Z"),
    ("2024-05-01T10:30:00+02:00", "2024-05-01T08:30:00Z"),
    ("2024-05-01 10:30:00+0200", "2024-05-01T08:30:00Z"),
    ("2024-05-01 10:30:00+02", "2024-05-01T08:30:00Z"),
    ("2024-05-01 03:00:00.5-05:30", "2024-05-01T08:30:00Z"),
    ("2024-05-01T00:30:00+02:00", "2024-04-30T22:30:00Z"),
    ("2024-12-31T23:30:00-01:00", "2025-01-01T00:30:00Z"),
    ("  2024-05-01 08:30:00 ", "2024-05-01T08:30:00Z"),
    ("2024-02-29 23:59:59", "2024-02-29T23:59:59Z"),
    ("0001-01-01 00:00:00", "0001-01-01T00:00:00Z"),
    ("1969-12-31 23:59:59", "1969-12-31T23:59:59Z"),
    ("9999-12-31 23:59:59", "9999-12-31T23:59:59Z"),
]
NO_DATE_SET = [None, "", "   ", "\t\n", "0", " 0 ", "null", "NULL", 0, 0.0]
ZERO_DATES = [
    "0000-00-00",
    "0000-00-00 00:00:00",
    " 0000-00-00 00:00:00 ",
    "0000-00-00T00:00:00Z",
    "0000-00-00 00:00:00.000000",
    "0000-00-00 00:00:00+00:00",
    "-0001-11-30",
    "-0001-11-30 00:00:00",
]
NO_DATES = [
    "2023-02-30 10:00:00",
    "2023-02-29",
    "2024-13-01 00:00:00",
    "2024-00-10",
    "2024-05/01",
    "2024-05-01 25:00:00",
    "2024-05-01 24:00:00 UTC",
    "2024-05-01 08:61:00",
    "2024-05-01 08:30:00+24:00",
    "2024-05-01 08:30:00+02:99",
    "0001-01-01 00:00:00+02:00",
    "9999-12-31 23:30:00-01:00",
    "01/05/2024",
    "1 May 2024",
    "yesterday",
    "2024-05-01 08:30:00 or so",
    "2024-05-01 08:30:00\n2024",
    "2024-05-01-08-30",
    "1714552200",
    "٢٠٢٤-٠٥-٠١ ٠٨:٣٠:٠٠",
    "-0001-11-30 00:00:01",
    1714552200,
    17.5,
    True,
    False,
    [],
    {},
    ["2024-05-01"],
    {"date": "2024-05-01"},
]


class Reports:
    """What the normalizer reports: path, expected type and shape."""

    def __init__(self) -> None:
        self.all: list[tuple[str, str, str]] = []

    def __call__(self, path: str, expected: str, shape: str) -> None:
        self.all.append((path, expected, shape))


@pytest.fixture
def reports() -> Reports:
    return Reports()


def normalized(declared: dict[str, Any], value: Any, reports: Reports) -> Any:
    """What becomes of a value in a field that is declared like this."""
    record = {"field": value}
    RecordNormalizer({"properties": {"field": declared}}, reports).normalize(record)
    return record["field"]


def nullable(name: str) -> dict[str, Any]:
    return {"type": [name, "null"]}


DATE = {"type": ["string", "null"], "format": "date-time"}


class TestDates:
    """A date becomes UTC in one form, nothing becomes null, and what is no date becomes the epoch."""

    @pytest.mark.parametrize(("sent", "expected"), REAL_DATES)
    def test_a_date_becomes_utc(self, reports: Reports, sent: str, expected: str) -> None:
        assert to_utc(sent) == expected
        assert normalized(DATE, sent, reports) == expected
        assert reports.all == []

    @pytest.mark.parametrize("sent", NO_DATE_SET)
    def test_nothing_becomes_null(self, reports: Reports, sent: Any) -> None:
        assert to_utc(sent) is None
        assert normalized(DATE, sent, reports) is None
        assert reports.all == []

    @pytest.mark.parametrize("sent", ZERO_DATES)
    def test_a_zero_date_becomes_the_epoch_in_silence(self, reports: Reports, sent: str) -> None:
        with pytest.raises(ValueError, match="."):
            to_utc(sent)
        assert normalized(DATE, sent, reports) == EPOCH == "1970-01-01T00:00:00Z"
        assert reports.all == []

    @pytest.mark.parametrize("sent", NO_DATES)
    def test_anything_else_becomes_the_epoch_and_is_reported(self, reports: Reports, sent: Any) -> None:
        with pytest.raises(ValueError, match="."):
            to_utc(sent)
        assert normalized(DATE, sent, reports) == EPOCH
        ((path, expected, _),) = reports.all
        assert (path, expected) == ("field", "calendar date")

    def test_a_missing_date_stays_missing(self, reports: Reports) -> None:
        record: dict[str, Any] = {}
        RecordNormalizer({"properties": {"field": DATE}}, reports).normalize(record)
        assert record == {}


CONVERTED = [
    ("object", [], {}),
    ("object", {}, {}),
    ("object", {"left": "3"}, {"left": "3"}),
    ("object", "", None),
    ("object", None, None),
    ("array", [], []),
    ("array", ["en", 5, None], ["en", 5, None]),
    ("array", {"0": "en", "2": "de"}, ["en", "de"]),
    ("array", {}, []),
    ("array", " ", None),
    ("integer", 2, 2),
    ("integer", "2", 2),
    ("integer", " -2 ", -2),
    ("integer", "+2", 2),
    ("integer", "002", 2),
    ("integer", 12.0, 12),
    ("integer", "12.0", 12),
    ("integer", "1e3", 1000),
    ("integer", True, 1),
    ("integer", False, 0),
    ("integer", "", None),
    ("integer", 2.0**53 - 1, 2**53 - 1),
    ("integer", 9007199254740993, 9007199254740993),
    ("integer", "9007199254740993", 9007199254740993),
    ("number", 1.5, 1.5),
    ("number", 2, 2),
    ("number", "2", 2),
    ("number", "1.5", 1.5),
    ("number", " 1. ", 1.0),
    ("number", "-.5", -0.5),
    ("number", "+0.25", 0.25),
    ("number", "1e3", 1000.0),
    ("number", "2.5E-10", 2.5e-10),
    ("number", True, 1),
    ("number", " ", None),
    ("string", "", ""),
    ("string", " x ", " x "),
    ("string", 5, "5"),
    ("string", 0, "0"),
    ("string", 1.5, "1.5"),
    ("string", True, "true"),
    ("string", False, "false"),
    ("string", {"en": "Ü"}, '{"en":"Ü"}'),
    ("string", ["a", 1, None], '["a",1,null]'),
    ("string", [], "[]"),
    ("string", {}, "{}"),
    ("string", None, None),
    ("boolean", True, True),
    ("boolean", False, False),
    ("boolean", 1, True),
    ("boolean", 0, False),
    ("boolean", "1", True),
    ("boolean", "0", False),
    ("boolean", " true ", True),
    ("boolean", "FALSE", False),
    ("boolean", "", None),
]
KEPT = [
    ("object", "many", "XXXX"),
    ("object", 5, "int"),
    ("object", ["a"], "list"),
    ("array", "en", "XX"),
    ("array", 5, "int"),
    ("integer", "two", "XXX"),
    ("integer", 2.5, "float"),
    ("integer", "2.5", "#.#"),
    ("integer", 2.0**53, "float"),
    ("integer", "1_000", "#_###"),
    ("integer", "0x1F", "#X#X"),
    ("integer", "٣", "#"),
    ("integer", "--2", "--#"),
    ("integer", [2], "list"),
    ("integer", "9" * 5000, "#" * 40),
    ("number", "a lot", "X XXX"),
    ("number", "1,5", "#,#"),
    ("number", ".", "."),
    ("number", "NaN", "XXX"),
    ("number", "Infinity", "XXXXXXXX"),
    ("number", "1e999", "#X###"),
    ("number", {"value": 1}, "dict"),
    ("boolean", "yes", "XXX"),
    ("boolean", 2, "int"),
    ("boolean", [], "list"),
]


class TestTypes:
    """A value is converted where its meaning is certain. Elsewhere it stays as it came, and is reported."""

    @pytest.mark.parametrize(("declared", "sent", "expected"), CONVERTED)
    def test_is_converted(self, reports: Reports, declared: str, sent: Any, expected: Any) -> None:
        found = normalized(nullable(declared), sent, reports)

        assert found == expected
        assert type(found) is type(expected)
        assert reports.all == []

    @pytest.mark.parametrize(("declared", "sent", "shape"), KEPT)
    def test_is_kept(self, reports: Reports, declared: str, sent: Any, shape: str) -> None:
        assert normalized(nullable(declared), sent, reports) is sent
        assert reports.all == [("field", f"{declared}", shape)]

    @pytest.mark.parametrize("declared", [{"type": "integer"}, {"type": ["null", "integer"]}])
    def test_every_notation_of_a_type_is_read(self, reports: Reports, declared: dict[str, Any]) -> None:
        assert normalized(declared, "2", reports) == 2

    def test_a_field_without_a_type_and_an_undeclared_one_stay(self, reports: Reports) -> None:
        record = {"any": "0000-00-00", "unknown": [], "field_7": 5, "": "no name"}
        RecordNormalizer({"properties": {"any": {"description": "Any value."}}}, reports).normalize(record)
        assert record == {"any": "0000-00-00", "unknown": [], "field_7": 5, "": "no name"}
        assert reports.all == []


class TestShapes:
    """A report shows how a value looks, and nothing of what it says."""

    @pytest.mark.parametrize(
        ("sent", "shape"),
        [
            ("Ada-Zoë 42_x!", "XXX-XXX ##_X!"),
            ("½ Ⅷ ²", "X X X"),
            ("हिन्दी", "XXXXXX"),
            ("~`@{}[]^|\\", "~`@{}[]^|\\"),
            ("x" * 41, "X" * 40),
        ],
    )
    def test_shape(self, reports: Reports, sent: str, shape: str) -> None:
        normalized(nullable("integer"), sent, reports)
        assert reports.all == [("field", "integer", shape)]

    def test_shape_of_no_date(self, reports: Reports) -> None:
        normalized(DATE, "1 May 2024", reports)
        assert reports.all == [("field", "calendar date", "# XXX ####")]


class TestNested:
    """Fields in objects and in lists of objects follow the same rules."""

    def test_object(self, reports: Reports) -> None:
        declared = {**nullable("object"), "properties": {"id": nullable("integer"), "when": DATE}}
        value = {"id": "3", "when": "0000-00-00", "other": "4"}
        assert normalized(declared, value, reports) == {"id": 3, "when": EPOCH, "other": "4"}
        assert normalized(declared, [], reports) == {}
        assert normalized(declared, None, reports) is None
        assert reports.all == []

    def test_list_of_objects(self, reports: Reports) -> None:
        declared = {**nullable("array"), "items": {"type": "object", "properties": {"id": nullable("string")}}}
        assert normalized(declared, [{"id": 3}, "other", None], reports) == [{"id": "3"}, "other", None]
        assert normalized(declared, {"1": {"id": 3}}, reports) == [{"id": "3"}]
        assert reports.all == []

    def test_the_path_leads_to_the_field(self, reports: Reports) -> None:
        inner = {"type": "object", "properties": {"id": nullable("integer"), "when": DATE}}
        schema = {"properties": {"one": inner, "many": {**nullable("array"), "items": inner}}}
        RecordNormalizer(schema, reports).normalize({"one": {"id": "x"}, "many": [{"when": "x"}]})
        assert reports.all == [("one.id", "integer", "X"), ("many[].when", "calendar date", "X")]


KEYED = {
    "required": ["id", "uuid"],
    "properties": {"id": {"type": "integer", "x-aliases": ["idst", "user"]}, "uuid": {"type": "string"}},
}


class TestKeys:
    """A key is there, and comes out in its type."""

    @pytest.mark.parametrize("sent", [13903, "13903", 13903.0])
    def test_comes_out_in_its_type(self, reports: Reports, sent: Any) -> None:
        record = {"id": sent, "uuid": 5}
        RecordNormalizer(KEYED, reports).normalize(record)
        assert record == {"id": 13903, "uuid": "5"}
        assert type(record["id"]) is int

    @pytest.mark.parametrize("record", [{"uuid": "a"}, {"uuid": "a", "id": None}, {"uuid": "a", "id": " "}])
    def test_must_be_there(self, reports: Reports, record: dict[str, Any]) -> None:
        with pytest.raises(UnusableKeyError, match="^id$"):
            RecordNormalizer(KEYED, reports).normalize(record)

    def test_must_not_be_empty_text(self, reports: Reports) -> None:
        with pytest.raises(UnusableKeyError, match="^uuid$"):
            RecordNormalizer(KEYED, reports).normalize({"id": 1, "uuid": ""})

    def test_zero_is_a_key(self, reports: Reports) -> None:
        record = {"id": "0", "uuid": 0}
        RecordNormalizer(KEYED, reports).normalize(record)
        assert record == {"id": 0, "uuid": "0"}

    def test_one_of_another_form_stays_and_is_reported(self, reports: Reports) -> None:
        record = {"id": 2.5, "uuid": "a"}
        RecordNormalizer(KEYED, reports).normalize(record)
        assert record == {"id": 2.5, "uuid": "a"}
        assert reports.all == [("id", "integer", "float")]

    @pytest.mark.parametrize(
        ("sent", "expected"),
        [
            ({"idst": "3"}, {"idst": "3", "id": 3}),
            ({"user": 4, "idst": 3}, {"user": 4, "idst": 3, "id": 3}),
            ({"id": 5, "idst": 3}, {"id": 5, "idst": 3}),
            ({"id": None, "idst": 3}, {"id": 3, "idst": 3}),
            ({"idst": None, "user": 4}, {"idst": None, "user": 4, "id": 4}),
        ],
    )
    def test_may_come_under_another_name(self, reports: Reports, sent: Any, expected: Any) -> None:
        record = {"uuid": "a", **sent}
        RecordNormalizer(KEYED, reports).normalize(record)
        assert record == {"uuid": "a", **expected}


class TestDeclaredFieldsOnly:
    """With `x-declared-fields-only` a record keeps the fields of its schema."""

    def test_others_are_discarded(self, reports: Reports) -> None:
        normalizer = RecordNormalizer({**KEYED, "x-declared-fields-only": True}, reports)
        for _ in range(2):
            record = {"id": 1, "uuid": "a", "email": "ada@example.com", "field_3": "x", "user": 1}
            normalizer.normalize(record)
            assert record == {"id": 1, "uuid": "a"}
        assert reports.all == []

    def test_without_it_they_stay(self, reports: Reports) -> None:
        record = {"id": 1, "uuid": "a", "email": "ada@example.com"}
        RecordNormalizer(KEYED, reports).normalize(record)
        assert record["email"] == "ada@example.com"


class TestUndeclaredAdditionalFields:
    """With `x-additional-fields`, a `field_<id>` that no schema declares becomes text, and is reported once."""

    SCHEMA = {"x-additional-fields": True, "properties": {"id": {"type": "integer"}, "field_1": nullable("string")}}

    def test_becomes_text_and_is_reported_once(self, reports: Reports) -> None:
        normalizer = RecordNormalizer(self.SCHEMA, reports)
        for value, text in (("HR 7", "HR 7"), (5, "5")):
            record = {"id": 1, "field_1": True, "field_12": value, "label": 5, "my_field_9": 5, "field_x": 5}
            normalizer.normalize(record)
            others = {"id": 1, "label": 5, "my_field_9": 5, "field_x": 5}
            assert record == {**others, "field_1": "true", "field_12": text}
        assert reports.all == [("field_12", UNDECLARED, "XX #")]

    def test_each_is_reported(self, reports: Reports) -> None:
        normalizer = RecordNormalizer(self.SCHEMA, reports)
        normalizer.normalize({"id": 1, "field_2": "x"})
        normalizer.normalize({"id": 1, "field_3": "x"})
        assert [path for path, _, _ in reports.all] == ["field_2", "field_3"]


class TestAdditionalFieldProperties:
    """Definitions of additional fields become properties of a schema."""

    @pytest.mark.parametrize(
        "definition",
        [
            {"id": "12", "title": " Cost  center ", "type": "dropdown"},
            {"id": 12, "name": {"value": "Cost center", "values": []}, "type": "dropdown"},
        ],
        ids=["user", "course"],
    )
    def test_of_a_field(self, definition: dict[str, Any]) -> None:
        assert additional_field_properties([definition]) == {
            "field_12": {
                "type": ["string", "null"],
                "title": "Cost center",
                "description": "Additional field Cost center (dropdown)",
            }
        }

    @pytest.mark.parametrize("label", [{}, {"title": None}, {"title": ""}, {"name": {"value": None}}, {"name": []}])
    def test_without_a_title_it_has_its_number(self, label: dict[str, Any]) -> None:
        (declared,) = additional_field_properties([{"id": 12, "type": "text", **label}]).values()
        assert declared["title"] == "12"

    def test_a_long_title_is_cut(self) -> None:
        (declared,) = additional_field_properties([{"id": 12, "title": "é" * 300}]).values()
        assert declared["title"] == "é" * 200

    def test_none(self) -> None:
        assert additional_field_properties([]) == {}

    def test_values_become_text(self, reports: Reports) -> None:
        schema = {"properties": additional_field_properties({"id": number} for number in range(8))}
        values = ("", "a", 5, 1.5, True, None, {}, ["x"])
        record = {f"field_{number}": value for number, value in enumerate(values)}
        RecordNormalizer(schema, reports).normalize(record)
        assert list(record.values()) == ["", "a", "5", "1.5", "true", None, "{}", '["x"]']


class TestWhatAUserSees:
    """Values that do not fit are warned of once for each stream, and never shown."""

    def test_every_date_of_a_stream_is_normalized(self, docebo: Platform) -> None:
        dates = [name for name, declared in properties("users").items() if "format" in declared]
        docebo.serves("manage/v1/user", {"user_id": 1, **dict.fromkeys(dates, "2024-05-01 08:30:00")})

        (record,) = read("users").records("users")

        assert len(dates) > 3
        assert record == {"user_id": 1, **dict.fromkeys(dates, "2024-05-01T08:30:00Z")}

    def test_a_warning_names_stream_and_field_once_and_no_value(self, docebo: Platform) -> None:
        odd = {"last_update": "Ada, May", "creation_date": "Ada, May", "is_manager": "Ada"}
        docebo.serves_pages(
            "manage/v1/user",
            *(
                page_with(*({"user_id": 10 * page + number, **odd} for number in range(5))).page(page, of=2)
                for page in (1, 2)
            ),
        )
        docebo.serves("learn/v1/external_training", {"training_id": 1, "from_date": "Ada"})

        output = read("users", "external_training")

        assert output.is_complete("users")
        assert len(output.records("users")) == 10
        assert all(record["is_manager"] == "Ada" for record in output.records("users"))
        assert len(output.warnings()) == 2
        assert len(output.lines("Stream users: ", *odd)) == 1
        assert len(output.lines("Stream external_training: ", "from_date (no calendar date: XXX)")) == 1
        assert "Ada" not in "".join(output.warnings())

    def test_a_stream_that_fails_warns_too(self, docebo: Platform) -> None:
        odd = page_with({"user_id": 1, "last_update": "31.12.2024"}).page(1, of=2)
        docebo.responds("manage/v1/user", odd.build(), error_response(403, "No"))

        output = read("users")

        assert output.is_incomplete("users")
        assert len(output.lines("Stream users: ", "last_update (no calendar date: ##.##.####)")) == 1

    def test_usual_and_zero_dates_are_silent(self, docebo: Platform) -> None:
        sent = ["2024-05-01", None, "", "0000-00-00"]
        docebo.serves("manage/v1/user", *({"user_id": n, "last_update": date} for n, date in enumerate(sent)))

        output = read("users")

        expected = ["2024-05-01T00:00:00Z", None, None, EPOCH]
        assert [record.get("last_update") for record in output.records("users")] == expected
        assert output.warnings() == []

    def test_text_that_looks_like_a_date_stays(self, docebo: Platform) -> None:
        fields = {"name": "0000-00-00 rollover", "code": "0000-00-00", "release": "2024-05-01 08:30:00", "since": "0"}
        docebo.serves("learn/v1/courses", {"id_course": 1, **fields})

        assert read("courses").records("courses") == [{"id_course": 1, **fields}]
