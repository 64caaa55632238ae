"""Finds misspelled keys in a low-code manifest, which the CDK ignores, and what the CDK marks as deprecated."""

import dataclasses
import importlib
import inspect
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, get_type_hints

from airbyte_cdk.sources.declarative.concurrent_declarative_source import get_declarative_component_schema

_KEYS_OF_ANY_COMPONENT = {"type", "$parameters"}
_KEYS_OF_A_SCHEMA = {
    "$schema",
    "type",
    "format",
    "description",
    "properties",
    "items",
    "required",
    "additionalProperties",
    "x-additional-fields",
    "x-aliases",
    "x-declared-fields-only",
}
_TYPES_OF_A_SCHEMA = {"string", "integer", "number", "boolean", "object", "array", "null"}


def unknown_keys(manifest: Mapping[str, Any]) -> list[str]:
    """The paths of all keys that no component reads, in a manifest with its references resolved."""
    known = {*_component_schema()["properties"], "definitions", "schemas"}
    return [
        *(key for key in manifest if key not in known),
        *(found for key, value in manifest.items() if key != "schemas" for found in _in_value(value, key)),
        *(found for name, schema in manifest.get("schemas", {}).items() for found in _in_schema(schema, name)),
    ]


def deprecated_keys(manifest: Mapping[str, Any]) -> list[str]:
    """The paths of all components, fields and variables that the CDK's schema marks as deprecated."""
    parts = {key: value for key, value in manifest.items() if key != "schemas"}
    return list(_deprecated(parts, ""))


@cache
def _component_schema() -> dict[str, Any]:
    loaded: dict[str, Any] = get_declarative_component_schema()
    return loaded


def _in_value(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, list):
        for number, element in enumerate(value):
            yield from _in_value(element, f"{path}[{number}]")
    elif isinstance(value, Mapping):
        if value.get("type") == "InlineSchemaLoader":
            yield from _in_component({key: part for key, part in value.items() if key != "schema"}, path)
            yield from _in_schema(value.get("schema", {}), f"{path}.schema")
        elif isinstance(value.get("type"), str):
            yield from _in_component(value, path)
        else:
            for key, part in value.items():
                yield from _in_value(part, f"{path}.{key}")


def _in_component(component: Mapping[str, Any], path: str) -> Iterator[str]:
    readers = _properties(component)
    if readers is None:
        yield f"{path}.type: {component['type']}"
        return
    for key, value in component.items():
        if key not in readers and key not in _KEYS_OF_ANY_COMPONENT:
            yield f"{path}.{key}"
        elif key == "$parameters":
            fields = _fields_below(component)
            yield from (f"{path}.$parameters.{name}" for name in value if name not in fields)
        elif _holds_components(readers.get(key)):
            yield from _in_components(value, f"{path}.{key}")
        elif "class_name" in component:
            yield from _in_value(value, f"{path}.{key}")


def _in_components(value: Any, path: str) -> Iterator[str]:
    """Where only components may stand, an object without a known type is misspelled."""
    for number, element in enumerate(value if isinstance(value, list) else [value]):
        place = f"{path}[{number}]" if isinstance(value, list) else path
        if isinstance(element, Mapping) and isinstance(element.get("type"), str):
            yield from _in_value(element, place)
        elif isinstance(element, Mapping) and all(isinstance(part, Mapping) for part in element.values()):
            for key, part in element.items():
                yield from _in_components(part, f"{place}.{key}")
        elif isinstance(element, Mapping):
            yield f"{place}: no type"


def _properties(component: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a component reads, with the schema of each; None if there is no such component."""
    definition = _component_schema()["definitions"].get(component["type"])
    if definition is None:
        inline = _inline_definitions().get(component["type"])
        return None if inline is None else dict(inline["properties"])
    if "class_name" not in component:
        return dict(definition["properties"])
    return _properties_of_class(component["class_name"])


@cache
def _properties_of_class(class_name: str) -> dict[str, Any]:
    """What a custom component reads: the fields of its class, and the parameters that its source looks up."""
    module, name = class_name.rsplit(".", 1)
    class_ = getattr(importlib.import_module(module), name)
    hints = get_type_hints(class_)
    fields = {entry.name: {} for entry in dataclasses.fields(class_) if entry.init and entry.name in hints}
    parameters = re.findall(r'parameters\.get\("(\w+)"', inspect.getsource(class_))
    return {**fields, **dict.fromkeys(parameters, {}), "class_name": {}}


@cache
def _inline_definitions() -> dict[str, Any]:
    """Components that the CDK's schema describes inside another one."""
    return {
        schema["properties"]["type"]["enum"][0]: schema
        for definition in _component_schema()["definitions"].values()
        for schema in definition.get("properties", {}).values()
        if "enum" in schema.get("properties", {}).get("type", {})
    }


def _holds_components(schema: Mapping[str, Any] | None) -> bool:
    if not schema:
        return False
    if "$ref" in schema:
        return True
    inner = [
        schema.get("items"),
        schema.get("additionalProperties"),
        *schema.get("anyOf", ()),
        *schema.get("oneOf", ()),
    ]
    return "type" in schema.get("properties", {}) or any(
        _holds_components(part) for part in inner if isinstance(part, Mapping)
    )


def _fields_below(component: Any) -> set[str]:
    """The fields that parameters may fill: those of the component, and of all components in it."""
    if isinstance(component, list):
        return {field for element in component for field in _fields_below(element)}
    if not isinstance(component, Mapping):
        return set()
    own = set(_properties(component) or ()) if isinstance(component.get("type"), str) else set()
    return own.union(*(_fields_below(value) for key, value in component.items() if key != "$parameters"))


def _deprecated(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, str):
        used = {name for expression in re.findall(r"\{[{%].*?[}%]\}", value) for name in re.findall(r"\w+", expression)}
        yield from (f"{path}: {name}" for name in sorted(used & _deprecated_variables()))
    if isinstance(value, list):
        for number, element in enumerate(value):
            yield from _deprecated(element, f"{path}[{number}]")
    if not isinstance(value, Mapping):
        return
    definition = _component_schema()["definitions"].get(str(value.get("type")), {})
    if _is_deprecated(definition):
        yield f"{path}.type: {value['type']}"
    fields = _deprecated_fields(value)
    yield from (f"{path}.{key}" for key in value if key in fields)
    below = _deprecated_fields_below(value) if "$parameters" in value else set()
    yield from (f"{path}.$parameters.{name}" for name in value.get("$parameters", ()) if name in below)
    for key, part in value.items():
        if (value.get("type"), key) != ("InlineSchemaLoader", "schema"):
            yield from _deprecated(part, f"{path}.{key}" if path else key)


def _deprecated_fields(component: Mapping[str, Any]) -> set[str]:
    """The deprecated fields of a component; of a custom one, those of the built-in classes that it extends."""
    names = {str(component.get("type"))}
    if "class_name" in component:
        module, name = component["class_name"].rsplit(".", 1)
        names |= {base.__name__ for base in getattr(importlib.import_module(module), name).__mro__}
    definitions = [_component_schema()["definitions"].get(name, {}) for name in names]
    return {
        field
        for definition in definitions
        for field, schema in definition.get("properties", {}).items()
        if _is_deprecated(schema)
    }


def _deprecated_fields_below(value: Any) -> set[str]:
    """The deprecated fields that parameters would fill: those of the component, and of all components in it."""
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    own = _deprecated_fields(value) if isinstance(value, Mapping) else set()
    return own.union(*map(_deprecated_fields_below, parts))


@cache
def _deprecated_variables() -> set[str]:
    """The variables of templates that are deprecated."""
    return {
        variable["title"] for variable in _component_schema()["interpolation"]["variables"] if _is_deprecated(variable)
    }


def _is_deprecated(schema: Mapping[str, Any]) -> bool:
    """By the mark, or by the words that the schema has where there is no mark."""
    words = f"{schema.get('title', '')}. {schema.get('description', '')}"
    return bool(schema.get("deprecated") or re.search(r"\(Deprecated|\bDeprecated[,.]|\bis deprecated", words))


def _in_schema(schema: Mapping[str, Any], path: str) -> Iterator[str]:
    yield from (f"{path}.{key}" for key in schema if key not in _KEYS_OF_A_SCHEMA)
    types = schema.get("type", [])
    for name in types if isinstance(types, list) else [types]:
        if name not in _TYPES_OF_A_SCHEMA:
            yield f"{path}.type: {name}"
    if schema.get("format", "date-time") != "date-time":
        yield f"{path}.format: {schema['format']}"
    for name, declared in schema.get("properties", {}).items():
        yield from _in_schema(declared, f"{path}.{name}")
    if "items" in schema:
        yield from _in_schema(schema["items"], f"{path}[]")
