"""Normalizes records to their stream's JSON schema: keys, dates, and the types that PHP blurs."""

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

import orjson

EPOCH = "1970-01-01T00:00:00Z"
UNDECLARED = "undeclared"

# Called with the field's path ("location.id"), the expected type, and the shape of the value that does not fit. The
# expected type is UNDECLARED for an additional field (`field_12`) that the schema does not have.
Report = Callable[[str, str, str], None]

_ADDITIONAL = {"type": ["string", "null"]}
_ADDITIONAL_FIELD = re.compile(r"field_\d+(_\d+)*", re.ASCII)  # a part of one has a number more
_NUMBER = re.compile(r"([+-]?\d+)|[+-]?(\d{1,200}(\.\d*)?|\.\d+)([eE][+-]?\d{1,2})?", re.ASCII)
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_USUAL_DATE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", re.ASCII)
_DATE = re.compile(
    r"(\d{4})([-/])(\d{1,2})\2(\d{1,2})"
    r"(?:(?:T|\s+)(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,]\d+)?)?\s*(?:Z|UTC|([+-]\d{2}):?([0-5]\d)?)?)?",
    re.ASCII | re.IGNORECASE,
)
_ZERO_DATE = re.compile(r"[-0/:.,+TZ\s]*|-0001-11-30( 00:00:00)?", re.ASCII | re.IGNORECASE)
_USUAL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}", re.ASCII)
_SHAPE_LENGTH = 40
_TITLE_LENGTH = 200


class UnusableKeyError(ValueError):
    """A field of the key is missing, null or empty. Argument: the field."""


class RecordNormalizer:
    """
    One schema, compiled so that it is quick to apply to many records.

    A value of another type than declared is converted if its meaning is certain. Any other stays unchanged and is
    reported, because losing it would be worse. Schema keywords of our own: `x-aliases` lists other names of a field;
    `x-declared-fields-only` discards all other fields; `x-additional-fields` converts each `field_<id>` to text.
    """

    def __init__(self, schema: Mapping[str, Any], report: Report, path: str = "") -> None:
        properties: Mapping[str, Mapping[str, Any]] = schema.get("properties", {})
        self._report = report
        self._discards = schema.get("x-declared-fields-only", False)
        self._checks_names = self._discards or schema.get("x-additional-fields", False)
        self._known = set(properties)
        self._required = tuple(schema.get("required", ()))
        self._aliases: list[tuple[str, list[str]]] = []
        self._fields: list[tuple[str, frozenset[type], Callable[[Any], Any]]] = []
        for field, declared in properties.items():
            if "x-aliases" in declared:
                self._aliases.append((field, declared["x-aliases"]))
            if "type" in declared:
                self._fields.append((field, *_compiled(declared, report, path + field)))

    def normalize(self, record: dict[str, Any]) -> None:
        """Changes the record in place. Raises UnusableKeyError for a required field that is missing."""
        for field, aliases in self._aliases:
            if record.get(field) is None:
                record[field] = next((record[alias] for alias in aliases if record.get(alias) is not None), None)
        for field, fitting, convert in self._fields:
            value = record.get(field)
            if type(value) not in fitting:
                record[field] = convert(value)
        for field in self._required:
            if record.get(field) in (None, ""):
                raise UnusableKeyError(field)
        if self._checks_names and not self._known.issuperset(record):
            unknown = record.keys() - self._known
            if self._discards:
                for field in unknown:
                    del record[field]
                return
            self._known |= unknown
            for field in filter(_ADDITIONAL_FIELD.fullmatch, unknown):
                self._report(field, UNDECLARED, _shape(record[field]))
                self._fields.append((field, *_compiled(_ADDITIONAL, self._report, field)))
            self.normalize(record)


def additional_field_properties(definitions: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The schema properties of additional fields, `field_<id>`, by the records of user_fields or course_fields."""
    properties: dict[str, dict[str, Any]] = {}
    for definition in definitions:
        label = definition.get("title") or definition.get("name")  # a course field's is an object
        title = label.get("value") if isinstance(label, Mapping) else label
        title = " ".join(str(title or definition["id"]).split())[:_TITLE_LENGTH]
        description = f"Additional field {title} ({definition.get('type')})"
        properties.setdefault(f"field_{definition['id']}", {**_ADDITIONAL, "title": title, "description": description})
    return properties


def differences(
    schema: Mapping[str, Any],
    definitions: Iterable[Mapping[str, Any]],
    records: Iterable[dict[str, Any]],
    added: Iterable[str],
) -> set[str]:
    """
    Normalizes the records in place, and returns what differs from the schema: names, no values. `definitions` are those
    of additional fields, `added` the fields that the connector will add.
    """
    properties = {**schema["properties"], **additional_field_properties(definitions)}
    known = properties.keys() | {alias for each in properties.values() for alias in each.get("x-aliases", ())}
    unknown = {name for each in records for name in each.keys() - known if not schema.get("x-declared-fields-only")}
    found = {f"{name if _USUAL_NAME.fullmatch(name) else '<unusual name>'} (in no schema)" for name in unknown}
    required = [name for name in schema["required"] if name not in added]
    normalizer = RecordNormalizer(
        {**schema, "properties": properties, "required": required},
        lambda path, expected, _: found.add(f"{path} (no {expected})") if expected != UNDECLARED else None,
    )
    for record in records:
        try:
            normalizer.normalize(record)
        except UnusableKeyError as error:
            found.add(f"{error} (a key, missing)")
    return found


def to_utc(value: Any) -> str | None:
    """
    A date of Docebo's as `2024-05-01T08:30:00Z`: text without zone is UTC, an offset is converted, a fraction of a
    second is dropped. None for null, blank, "0" and "null". Raises ValueError for anything that is no calendar date.
    """
    if isinstance(value, str) and _USUAL_DATE.fullmatch(value):  # almost all: the rest costs five times as much
        datetime.fromisoformat(value)
        return value.replace(" ", "T") + "Z"
    text = "" if value is None else str(value).strip()
    if text.lower() in ("", "0", "0.0", "null"):
        return None
    match = _DATE.fullmatch(text)
    if match is None:
        raise ValueError("not a date")
    year, _, month, day, hour, minute, second, _, zone_minutes = match.groups("00")
    zone = f"{match[8] or '+00'}:{zone_minutes}"
    moment = datetime.fromisoformat(f"{year}-{month:0>2}-{day:0>2}T{hour:0>2}:{minute}:{second}{zone}")
    with suppress(OverflowError):
        return f"{moment.astimezone(timezone.utc).replace(tzinfo=None).isoformat()}Z"
    raise ValueError("beyond the calendar")


def _compiled(declared: Mapping[str, Any], report: Report, path: str) -> tuple[frozenset[type], Callable[[Any], Any]]:
    """The types that need no conversion, null included, and the conversion for all others."""
    types = declared["type"] if isinstance(declared["type"], list) else [declared["type"]]
    expected = next(name for name in (declared.get("format"), *types) if name in _TYPES)
    fitting, convert = _TYPES[expected]
    elements, suffix = (declared.get("items", {}), "[].") if expected == "array" else (declared, ".")
    nested = RecordNormalizer(elements, report, path + suffix) if "properties" in elements else None
    is_date = expected == "date-time"

    def normalized(value: Any) -> Any:
        try:
            converted = convert(value)
        except (KeyError, ValueError):
            if isinstance(value, str) and not value.strip():
                return None
            if not is_date:
                report(path, expected, _shape(value))
                return value
            if not _ZERO_DATE.fullmatch(str(value).strip()):
                report(path, "calendar date", _shape(value))
            return EPOCH
        if nested:
            for element in converted if expected == "array" else [converted]:
                if isinstance(element, dict):
                    nested.normalize(element)
        return converted

    return frozenset({type(None), *(() if nested else fitting)}), normalized


def _shape(value: Any) -> str:
    """A value without its content, which may be personal: digits as #, letters and all that is not ASCII as X."""
    if not isinstance(value, str):
        return type(value).__name__
    return re.sub(r"[^\W\d_]|[^\x00-\x7f]", "X", re.sub(r"\d", "#", value[:_SHAPE_LENGTH]))


def _to_integer(value: Any) -> int:
    number = value if isinstance(value, float) else _to_number(value)
    if isinstance(number, int) or (number.is_integer() and abs(number) < 2**53):  # a greater one stands for several
        return int(number)
    raise ValueError


def _to_number(value: Any) -> int | float:
    match = _NUMBER.fullmatch(value.strip()) if isinstance(value, str) else None
    if match:
        return int(match[1]) if match[1] else float(match[0])
    if isinstance(value, int):  # a boolean too
        return int(value)
    raise ValueError


def _to_object(value: Any) -> dict[str, Any]:
    if isinstance(value, dict) or value == []:
        return value or {}
    raise ValueError


def _to_array(value: Any) -> list[Any]:
    if isinstance(value, (dict, list)):
        return value if isinstance(value, list) else list(value.values())  # PHP writes a list with gaps as an object
    raise ValueError


# For each declared type, the Python types that fit it, and the conversion of others: ValueError or KeyError in doubt.
_TYPES: dict[str, tuple[tuple[type, ...], Callable[[Any], Any]]] = {
    "date-time": ((), to_utc),
    "string": ((str,), lambda value: orjson.dumps(value).decode()),
    "integer": ((int,), _to_integer),
    "number": ((int, float), _to_number),
    "boolean": ((bool,), lambda value: _BOOLEANS[str(value).strip().lower()]),
    "object": ((dict,), _to_object),
    "array": ((list,), _to_array),
}
