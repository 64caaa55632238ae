"""Normalizes records to their stream's JSON schema: keys, dates, and the types that PHP blurs."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import orjson

EPOCH = "1970-01-01T00:00:00Z"

# Called with the field's path ("location.id"), the expected type, and the shape of the value that does not fit.
Report = Callable[[str, str, str], None]

_INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_BOOLEANS = {"true": True, "1": True, 1: True, "false": False, "0": False, 0: False}
_MAX_EXACT_FLOAT = 2**53  # beyond it a float stands for several integers
_USUAL_DATE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", re.ASCII)
_DATE = re.compile(
    r"(\d{4})([-/])(\d{1,2})\2(\d{1,2})"
    r"(?:(?:T|\s+)(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,]\d+)?)?\s*(?:Z|UTC|([+-])(\d{2}):?(\d{2})?)?)?",
    re.ASCII | re.IGNORECASE,
)
_NEVER = re.compile(r"[-0/:.,+TZ\s]*|-0001-11-30( 00:00:00)?", re.ASCII | re.IGNORECASE)


class MissingKeyError(ValueError):
    """A record lacks a field that its schema requires."""


class RecordNormalizer:
    """
    One schema, compiled so that it is quick to apply to many records.

    A value of another type than declared is converted where its meaning is certain; elsewhere it stays as it came and
    is reported, because losing it would be worse.
    """

    def __init__(self, schema: Mapping[str, Any], report: Report, path: str = "") -> None:
        properties: Mapping[str, Mapping[str, Any]] = schema.get("properties", {})
        self._required = tuple(schema.get("required", ()))
        self._aliases = tuple(
            (field, tuple(declared["x-other-names"]))
            for field, declared in properties.items()
            if "x-other-names" in declared
        )
        self._fields = tuple(
            (field, *_compiled(declared, report, f"{path}{field}"))
            for field, declared in properties.items()
            if "type" in declared
        )

    def normalize(self, record: dict[str, Any]) -> None:
        """Changes the record in place. Raises MissingKeyError with the name of a required field that is missing."""
        for field, aliases in self._aliases:
            found = next((alias for alias in aliases if alias in record), None)
            if field not in record and found:
                record[field] = record[found]
        for field, fitting, convert in self._fields:
            value = record.get(field)
            if type(value) not in fitting:
                record[field] = convert(value)
        for field in self._required:
            if record.get(field) in (None, ""):
                raise MissingKeyError(field)


def to_utc(value: Any) -> str | None:
    """
    A date of Docebo's as `2024-05-01T08:30:00Z`: text without zone is UTC, an offset is converted, a fraction of a
    second is dropped. None for null, blank, "0" and "null". Raises ValueError for anything that is no calendar date.
    """
    if isinstance(value, str):
        if _USUAL_DATE.fullmatch(value):  # almost every value: the general way costs five times as much
            datetime.fromisoformat(value)
            return value.replace(" ", "T") + "Z"
        text = value.strip()
        return None if text.lower() in ("", "0", "null") else _general_date(text)
    if value is None or (value == 0 and not isinstance(value, bool)):
        return None
    raise ValueError("neither text nor null")


def _general_date(text: str) -> str:
    match = _DATE.fullmatch(text)
    if match is None:
        raise ValueError("not a date")
    year, _, month, day, hour, minute, second, sign, zone_hours, zone_minutes = match.groups("0")
    moment = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second))
    if sign != "0":
        offset = timedelta(hours=int(zone_hours), minutes=int(zone_minutes))
        if offset >= timedelta(days=1):
            raise ValueError("no such offset")
        try:
            moment = moment + offset if sign == "-" else moment - offset
        except OverflowError:
            raise ValueError("beyond the calendar") from None
    return f"{moment.isoformat()}Z"


def _compiled(declared: Mapping[str, Any], report: Report, path: str) -> tuple[frozenset[type], Callable[[Any], Any]]:
    """The types that need no conversion, null included, and the conversion for all others."""
    types = declared["type"] if isinstance(declared["type"], list) else [declared["type"]]
    expected = next(name for name in types if name != "null")
    if declared.get("format") == "date-time":
        return frozenset({type(None)}), _date(report, path)
    fitting, convert = _TYPES[expected]
    elements = declared.get("items", {}) if expected == "array" else declared
    nested = RecordNormalizer(elements, report, f"{path}{'[]' if expected == 'array' else ''}.")

    def normalized(value: Any) -> Any:
        if isinstance(value, str) and not value.strip() and expected != "string":
            return None
        try:
            converted = value if type(value) in fitting else convert(value)
        except ValueError:
            report(path, f"type {expected}", _shape(value))
            return value
        for element in converted if expected == "array" else [converted]:
            if isinstance(element, dict):
                nested.normalize(element)
        return converted

    is_nested = "properties" in elements
    return frozenset({type(None), *(() if is_nested else fitting)}), normalized


def _date(report: Report, path: str) -> Callable[[Any], Any]:
    def convert(value: Any) -> str | None:
        try:
            return to_utc(value)
        except ValueError:
            if not (isinstance(value, str) and _NEVER.fullmatch(value.strip())):
                report(path, "a date", _shape(value))
            return EPOCH

    return convert


def _shape(value: Any) -> str:
    """A value without its content, which may be personal: letters as a, digits as 9."""
    if isinstance(value, str):
        return re.sub(r"[^\W\d_]", "a", re.sub(r"\d", "9", value[:40]))
    return type(value).__name__


def _to_string(value: Any) -> Any:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    return orjson.dumps(value).decode() if value not in ([], {}) else None


def _to_integer(value: Any) -> int:
    number = value if isinstance(value, float) else _to_number(value)
    if isinstance(number, float) and not (number.is_integer() and abs(number) < _MAX_EXACT_FLOAT):
        raise ValueError
    return int(number)


def _to_number(value: Any) -> int | float:
    if isinstance(value, bool):
        return int(value)
    text = value.strip() if isinstance(value, str) else ""
    if _INTEGER.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text) and abs(number := float(text)) != float("inf"):
        return number
    raise ValueError


def _to_boolean(value: Any) -> bool:
    key = value.strip().lower() if isinstance(value, str) else value
    if not isinstance(key, (int, float, str)) or key not in _BOOLEANS:
        raise ValueError
    return _BOOLEANS[key]


def _to_object(value: Any) -> dict[str, Any]:
    if value != []:
        raise ValueError
    return {}


def _to_array(value: Any) -> list[Any]:
    if not isinstance(value, dict):
        raise ValueError
    return list(value.values())  # PHP writes a list with gaps in its numbering as an object


# For each declared type, the Python types that fit it, and the conversion of others. It raises ValueError in doubt.
_TYPES: dict[str, tuple[tuple[type, ...], Callable[[Any], Any]]] = {
    "string": ((str,), _to_string),
    "integer": ((int,), _to_integer),
    "number": ((int, float), _to_number),
    "boolean": ((bool,), _to_boolean),
    "object": ((dict,), _to_object),
    "array": ((list,), _to_array),
}
