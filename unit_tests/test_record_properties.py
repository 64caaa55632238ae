"""What must hold for any value: a date is a date, a declared type is that type or reported, and nothing is shown."""

import json
import re
from datetime import datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from source_docebo.records import RecordNormalizer

MANY = settings(max_examples=200, deadline=None, derandomize=True)
TYPES = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "object": dict, "array": list}

_date_like = st.from_regex(
    re.compile(
        r"\A-?\d{4}[-/]\d{1,2}[-/]\d{1,2}([T ]\d{1,2}:\d{2}(:\d{2}([.,]\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})?)?\Z", re.ASCII
    )
)
_near_a_date = st.builds(
    lambda text, place, letter: text[: place % len(text)] + letter + text[place % len(text) :],
    _date_like,
    st.integers(0, 30),
    st.characters(exclude_categories=["Cs"]),
)
_text = st.text(st.characters(exclude_categories=["Cs"])) | st.integers().map(str) | st.floats().map(str)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=5,
)


def normalized(declared: dict[str, Any], value: Any) -> tuple[Any, list[str]]:
    """What becomes of a value, and the forms that were reported."""
    forms: list[str] = []
    record = {"field": value}
    RecordNormalizer({"properties": {"field": declared}}, lambda *report: forms.append(report[2])).normalize(record)
    return record["field"], forms


@MANY
@given(value=_json | _date_like | _near_a_date)
def test_any_value_in_a_date_field_becomes_a_date_or_null(value: Any) -> None:
    date, _ = normalized({"type": ["string", "null"], "format": "date-time"}, value)
    if date is not None:
        assert re.fullmatch(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z", date, re.ASCII)
        assert datetime.fromisoformat(date[:-1]).isoformat() == date[:-1]


@MANY
@given(expected=st.sampled_from(list(TYPES)), value=_json | _date_like)
def test_any_value_becomes_its_type_or_null_or_is_reported_as_it_came(expected: str, value: Any) -> None:
    found, forms = normalized({"type": [expected, "null"]}, value)
    if forms:
        assert found is value
    elif found is not None:
        assert isinstance(found, TYPES[expected])
        assert isinstance(found, bool) == (expected == "boolean")
    json.dumps(found, allow_nan=False)


@MANY
@given(value=_text)
def test_a_form_shows_nothing_of_a_text(value: str) -> None:
    for form in normalized({"type": ["object", "null"]}, value)[1]:
        assert re.fullmatch(r"[X\x00-/:-@\[-`{-\x7f]{1,40}", form)  # no other digit or letter, and ASCII alone
