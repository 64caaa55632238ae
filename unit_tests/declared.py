"""What the manifest declares, for tests that hold the connector's output or its documents against it."""

from functools import cache
from typing import Any

import yaml
from airbyte_cdk.sources.declarative.parsers.manifest_reference_resolver import ManifestReferenceResolver

from source_docebo.source import MANIFEST


@cache
def manifest_as_written() -> dict[str, Any]:
    """The manifest, with its references as they stand in the file."""
    loaded: dict[str, Any] = yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))
    return loaded


@cache
def manifest() -> dict[str, Any]:
    """The manifest, with every reference replaced by what it refers to."""
    return dict(ManifestReferenceResolver().preprocess_manifest(manifest_as_written()))


@cache
def streams() -> dict[str, dict[str, Any]]:
    """The streams, by their names."""
    return {stream["$parameters"]["name"]: stream for stream in manifest()["streams"]}


def properties(stream: str) -> dict[str, dict[str, Any]]:
    """The fields that a stream's schema declares."""
    found: dict[str, dict[str, Any]] = streams()[stream]["schema_loader"]["schema"]["properties"]
    return found


def date_fields(stream: str) -> list[str]:
    """The fields of a stream that are dates."""
    return [name for name, field in properties(stream).items() if field.get("format") in ("date", "date-time")]


def as_declared(stream: str, field: str, instant: str) -> str:
    """A date in the form that the schema declares: `2024-05-01T08:30:00Z`, or only its day."""
    return instant if properties(stream)[field]["format"] == "date-time" else instant[:10]
