"""The tables that a destination gets, from manifest.yaml: names, keys, types, descriptions and joins."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
WRITTEN_BY = "Written by `make tables` from manifest.yaml."
# How every date's description ends; what is made of it says it once, or not at all.
NO_DATE = "Null: no date; 1970-01-01: Docebo holds an invalid date, such as 0000-00-00."

Join = tuple[str, str]


@dataclass(frozen=True)
class Column:
    """A column: its type is boolean, integer, json, number, text or timestamp; `joins` are tables and their columns."""

    name: str
    type: str
    description: str
    joins: tuple[Join, ...] = ()
    # The scalar properties of an object.
    parts: tuple["Column", ...] = ()


@dataclass(frozen=True)
class Table:
    """A table: `row` says what each row is; additional fields of the platform are further columns of some."""

    name: str
    row: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    has_additional_fields: bool

    def column(self, name: str) -> Column:
        """The column of that name."""
        return next(column for column in self.columns if column.name == name)

    def joins(self) -> list[tuple[str, Join]]:
        """Each column that holds the key of another table, with that table and its column."""
        columns = [(column.name, column) for column in self.columns]
        columns += [(f"{column.name}.{part.name}", part) for column in self.columns for part in column.parts]
        return [(name, join) for name, column in columns for join in column.joins]


@cache
def tables() -> list[Table]:
    """The tables of all streams in the manifest, by name."""
    manifest = yaml.load(
        (ROOT / "manifest.yaml").read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    )
    names = sorted(reference.rpartition("/")[2] for reference in manifest["streams"])
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| `[^`]+` \| [^|]+ \| (.+) \|$", readme, re.M))
    missing = [name for name in names if name not in rows]
    if missing:
        raise ValueError(f"README.md has no row in its tables of streams for {', '.join(missing)}")
    return [_table(manifest, name, rows[name]) for name in names]


def _table(manifest: dict[str, Any], name: str, row: str) -> Table:
    schema = manifest["schemas"][name]
    key = manifest["definitions"]["streams"][name]["$parameters"]["primary_key"]
    return Table(
        name=name,
        row=row,
        key=(key,) if isinstance(key, str) else tuple(key),
        columns=tuple(_column(field, declared) for field, declared in schema["properties"].items()),
        has_additional_fields=schema.get("x-additional-fields", False),
    )


def _column(name: str, declared: dict[str, Any]) -> Column:
    description = " ".join(declared["description"].split())
    parts = declared.get("properties", {}) if _type(declared) == "json" else {}
    return Column(
        name=name,
        type=_type(declared),
        description=description,
        joins=tuple(re.findall(r"\b(\w+)\.(\w+)", description.partition("Joins ")[2])),
        parts=tuple(
            _column(part, properties)
            for part, properties in parts.items()
            if "type" in properties and _type(properties) != "json"
        ),
    )


def _type(declared: dict[str, Any]) -> str:
    types = declared.get("type", "object")
    (kind,) = {types} if isinstance(types, str) else set(types) - {"null"}
    if declared.get("format") == "date-time":
        return "timestamp"
    return {"string": "text", "object": "json", "array": "json"}.get(kind, kind)
