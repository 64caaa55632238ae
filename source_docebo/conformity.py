"""Makes a record conform to its stream's JSON schema: keys, dates, and the types that PHP blurs."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from source_docebo.dates import EPOCH, is_zero_like, to_utc_text

# Called with the field's path ("location.id"), what was expected, and the value that did not fit.
Report = Callable[[str, str, Any], None]
_Convert = Callable[[Any], Any]

_INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_WORDS = {"true": True, "1": True, "false": False, "0": False}
_FITTING: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
}
_LARGEST_EXACT = 2**53  # beyond it a float stands for several whole numbers
_NO_VALUE = object()


class MissingKeyError(ValueError):
    """A record lacks a field that its schema requires."""


class Conformer:
    """
    One schema, made ready to be applied to many records.

    A field of another type than declared is converted where its meaning is certain; where it is not, the value
    stays as it came and is reported, because losing it would be worse.
    """

    def __init__(self, schema: Mapping[str, Any], report: Report, path: str = "") -> None:
        properties: Mapping[str, Mapping[str, Any]] = schema.get("properties", {})
        self._required = tuple(schema.get("required", ()))
        self._other_names = tuple(
            (field, tuple(declared["x-other-names"]))
            for field, declared in properties.items()
            if "x-other-names" in declared
        )
        self._fields = tuple(
            (field, *_rule(declared, report, f"{path}{field}"))
            for field, declared in properties.items()
            if "type" in declared
        )

    def conform(self, record: dict[str, Any]) -> None:
        """Changes the record in place. Raises MissingKeyError with the name of a required field that is not there."""
        for field, names in self._other_names:
            if field not in record:
                for name in names:
                    if name in record:
                        record[field] = record[name]
                        break
        for field, fitting, convert in self._fields:
            value = record.get(field)
            if type(value) not in fitting:
                record[field] = convert(value)
        for field in self._required:
            if record.get(field) in (None, ""):
                raise MissingKeyError(field)


def _rule(declared: Mapping[str, Any], report: Report, path: str) -> tuple[frozenset[type], _Convert]:
    """The types that need no conversion, that of null or nothing among them, and the conversion of all others."""
    types = declared["type"] if isinstance(declared["type"], list) else [declared["type"]]
    expected = next(name for name in types if name != "null")
    nothing = type(None)
    if declared.get("format") in ("date", "date-time"):
        return frozenset({nothing}), _date(report, path, declared["format"])
    if expected == "object" and "properties" in declared:
        return frozenset({nothing}), _nested_object(Conformer(declared, report, f"{path}."), report, path)
    if expected == "array" and "properties" in declared.get("items", {}):
        return frozenset({nothing}), _nested_array(Conformer(declared["items"], report, f"{path}[]."), report, path)
    return frozenset({nothing, *_FITTING[expected]}), _reported(_CONVERSIONS[expected], expected, report, path)


def _date(report: Report, path: str, format_: str) -> _Convert:
    length = len("2024-05-01") if format_ == "date" else None

    def convert(value: Any) -> Any:
        try:
            text = to_utc_text(value)
        except ValueError:
            if not is_zero_like(value):
                report(path, "a date", value)
            text = EPOCH
        return text[:length] if length and text else text

    return convert


def _reported(convert: _Convert, expected: str, report: Report, path: str) -> _Convert:
    def convert_or_report(value: Any) -> Any:
        if isinstance(value, str) and not value.strip() and expected != "string":
            return None
        converted = convert(value)
        if converted is _NO_VALUE:
            report(path, f"type {expected}", value)
            return value
        return converted

    return convert_or_report


def _nested_object(conformer: Conformer, report: Report, path: str) -> _Convert:
    to_object = _reported(_to_object, "object", report, path)

    def convert(value: Any) -> Any:
        converted = value if isinstance(value, dict) else to_object(value)
        if isinstance(converted, dict):
            conformer.conform(converted)
        return converted

    return convert


def _nested_array(conformer: Conformer, report: Report, path: str) -> _Convert:
    to_array = _reported(_to_array, "array", report, path)

    def convert(value: Any) -> Any:
        converted = value if isinstance(value, list) else to_array(value)
        if isinstance(converted, list):
            for element in converted:
                if isinstance(element, dict):
                    conformer.conform(element)
        return converted

    return convert


def _to_string(value: Any) -> Any:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    return orjson.dumps(value).decode() if value not in ([], {}) else None


def _to_integer(value: Any) -> Any:
    number = value if isinstance(value, float) else _to_number(value)
    if number is _NO_VALUE or isinstance(number, int):
        return number
    return int(number) if number.is_integer() and abs(number) < _LARGEST_EXACT else _NO_VALUE


def _to_number(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str):
        text = value.strip()
        if _INTEGER.fullmatch(text):
            return int(text)
        if _NUMBER.fullmatch(text) and abs(number := float(text)) != float("inf"):
            return number
    return _NO_VALUE


def _to_boolean(value: Any) -> Any:
    if isinstance(value, (int, float)):
        return bool(value) if value in (0, 1) else _NO_VALUE
    return _WORDS.get(value.strip().lower(), _NO_VALUE) if isinstance(value, str) else _NO_VALUE


def _to_object(value: Any) -> Any:
    return {} if value == [] else _NO_VALUE


def _to_array(value: Any) -> Any:
    # PHP writes a list with gaps in its numbering as an object.
    return list(value.values()) if isinstance(value, dict) else _NO_VALUE


_CONVERSIONS: dict[str, _Convert] = {
    "string": _to_string,
    "integer": _to_integer,
    "number": _to_number,
    "boolean": _to_boolean,
    "object": _to_object,
    "array": _to_array,
}
