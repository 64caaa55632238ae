"""What the manifest declares, for tests that compare the connector's output or its documents with it."""

from collections.abc import Mapping
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


def path_of(stream: Mapping[str, Any]) -> str:
    """The path that a stream of the manifest requests, below the address of the platform."""
    url: str = stream["$parameters"]["url"]
    return url.removeprefix("{{ config['base_url'] }}/")


def properties(stream: str) -> dict[str, dict[str, Any]]:
    """The fields that a stream's schema declares."""
    found: dict[str, dict[str, Any]] = manifest()["schemas"][stream]["properties"]
    return found
