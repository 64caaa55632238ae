"""The manifest: its keys are spelled correctly, and the documents that describe it agree with it."""

import copy
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from airbyte_cdk.sources.declarative.parsers.manifest_reference_resolver import ManifestReferenceResolver

from integration_tests.documented import undocumented
from unit_tests.declared import manifest, manifest_as_written, path_of, streams
from unit_tests.manifest_linter import deprecated_keys, unknown_keys

ROOT = Path(__file__).parent.parent


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def changed(*changes: tuple[tuple[str | int, ...], str, Any]) -> dict[str, Any]:
    """The manifest with other values at some places, each a path and a key."""
    copied = copy.deepcopy(manifest_as_written())
    for place, key, value in changes:
        part: Any = copied
        for step in place:
            part = part[step]
        part[key] = value
    return dict(ManifestReferenceResolver().preprocess_manifest(copied))


class TestSpelling:
    """The CDK ignores keys that it does not know, so a misspelled one would have no effect."""

    MISSPELLED: tuple[tuple[tuple[str | int, ...], str], ...] = (
        ((), "concurency_level"),
        (("check",), "stream_name"),
        (("spec",), "connection_spec"),
        (("spec", "config_normalization_rules"), "transformation"),
        (("definitions", "base_stream"), "primary_keys"),
        (("definitions", "paginator"), "page_size_options"),
        (("definitions", "paginator", "pagination_strategy"), "pagesize"),
        (("definitions", "requester"), "request_params"),
        (("definitions", "shared_requester"), "share"),
        (("definitions", "selector"), "record_filters"),
        (("definitions", "no_permission"), "http_code"),
        (("definitions", "client_credentials_authenticator"), "client_secrets"),
        (("definitions", "authenticator"), "authenticator"),
        (("definitions", "groups_router", "parent_stream_configs", 0), "parent_keys"),
        (("definitions", "hundred_courses_router"), "groupsize"),
        (("definitions", "streams", "users", "$parameters"), "primarykey"),
        (("definitions", "streams", "users", "schema_loader"), "schemas"),
        (("schemas", "users"), "require"),
        (("schemas", "users", "properties", "last_update"), "formt"),
        (("schemas", "courses", "properties", "category", "properties", "id"), "x-alias"),
    )

    def test_every_key_is_read_by_something(self) -> None:
        assert unknown_keys(manifest()) == []

    def test_misspelled_keys_are_found(self) -> None:
        found = unknown_keys(changed(*((place, key, "anything") for place, key in self.MISSPELLED)))

        keys = [key for _, key in self.MISSPELLED]
        assert [key for key in keys if not any(key in path for path in found)] == []
        assert [path for path in found if not any(key in path for key in keys)] == []

    @pytest.mark.parametrize(
        ("place", "value"),
        [
            (("definitions", "retriever", "type"), "SimpleRetreiver"),
            (("schemas", "users", "properties", "user_id", "type"), "text"),
            (("schemas", "users", "properties", "last_update", "format"), "datetime"),
        ],
    )
    def test_a_misspelled_type_is_found(self, place: tuple[str, ...], value: str) -> None:
        assert unknown_keys(changed((place[:-1], place[-1], value)))


class TestDeprecations:
    """What the CDK's component schema marks as deprecated, it will no longer read one day."""

    def test_nothing_deprecated_is_used(self) -> None:
        assert deprecated_keys(manifest()) == []

    def test_fields_components_and_variables_are_found(self) -> None:
        found = deprecated_keys(
            changed(
                (("definitions", "requester"), "url_base", "https://acme.docebosaas.com"),
                (("definitions", "requester"), "path", "learn/v1/courses"),
                (("definitions", "streams", "users", "$parameters"), "request_body_json", {"a": "b"}),
                (("definitions", "authenticator"), "legacy", {"type": "LegacySessionTokenAuthenticator"}),
                (("definitions", "authenticator"), "other", {"type": "ApiKeyAuthenticator", "header": "x"}),
                (("definitions", "selector"), "condition", "{{ stream_slice['course_id'] }}"),
            )
        )

        for name in ("url_base", "path", "request_body_json", "legacy", "header", "stream_slice"):
            assert any(name in place for place in found), name

    def test_a_field_of_a_built_in_requester_is_found(self) -> None:
        found = deprecated_keys(changed((("definitions",), "requester", {"type": "HttpRequester", "url_base": "x"})))
        assert any("url_base" in place for place in found)


def _key(stream: str) -> list[str]:
    key = streams()[stream]["$parameters"]["primary_key"]
    return [key] if isinstance(key, str) else list(key)


def _path(stream: str) -> str:
    return re.sub(r"\{\{ stream_partition\['(\w+)'\] \}\}", r"{\1}", path_of(streams()[stream]))


class TestDocuments:
    """The tables of streams in the documents are those of the manifest."""

    @pytest.mark.parametrize("document", ["README.md", "docs/docebo.md"])
    def test_streams_endpoints_and_keys(self, document: str) -> None:
        rows = re.findall(r"^\| `(\w+)` \| `([^`]+)` \| ((?:`\w+`(?:, )?)+) \|", text_of(document), re.MULTILINE)

        listed = [(stream, path, re.findall(r"`(\w+)`", key)) for stream, path, key in rows]

        assert sorted(listed) == sorted((stream, _path(stream), _key(stream)) for stream in streams())

    def test_every_message_is_in_the_table(self) -> None:
        assert undocumented() == []

    def test_every_room_is_in_the_table(self) -> None:
        rooms = re.findall(r"^\| `(\w+\.py)` \| \S", text_of("docs/development.md"), re.MULTILINE)
        assert sorted(["__init__.py", *rooms]) == sorted(path.name for path in (ROOT / "source_docebo").glob("*.py"))

    def test_the_suggested_streams_exist(self) -> None:
        suggested = yaml.safe_load(text_of("metadata.yaml"))["data"]["suggestedStreams"]["streams"]
        assert set(suggested) <= set(streams())


class TestVersion:
    """The connector has one version, wherever it is written."""

    def test_is_the_same_everywhere(self) -> None:
        (expected,) = re.findall(r'^version = "([^"]+)"', text_of("pyproject.toml"), re.MULTILINE)
        changelog = text_of("docs/docebo.md").split("## Changelog")[1]

        assert yaml.safe_load(text_of("metadata.yaml"))["data"]["dockerImageTag"] == expected
        assert re.findall(r'io\.airbyte\.version="([^"]+)"', text_of("Dockerfile")) == [expected]
        assert re.findall(r"^\| (\d+\.\d+\.\d+) \|", changelog, re.MULTILINE)[0] == expected
        assert set(re.findall(r"source-docebo:(\d+\.\d+\.\d+)", text_of("README.md"))) <= {expected}

    def test_that_of_the_manifest_is_the_cdk_it_was_written_for(self) -> None:
        written_for = [int(part) for part in manifest()["version"].split(".")]
        installed = [int(part) for part in version("airbyte-cdk").split(".")[:3]]

        assert installed[0] == written_for[0]
        assert written_for <= installed
