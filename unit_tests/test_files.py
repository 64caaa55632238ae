"""The files that a command is given: what can be used, and what the message about any other says."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from source_docebo.errors import DoceboError
from source_docebo.source import SourceDocebo

read_catalog, read_config, read_state = SourceDocebo.read_catalog, SourceDocebo.read_config, SourceDocebo.read_state
DISCOVERED = {"name": "groups", "json_schema": {}, "supported_sync_modes": ["full_refresh"]}
CONFIGURED = {"stream": DISCOVERED, "sync_mode": "full_refresh", "destination_sync_mode": "overwrite"}
STATE = {"type": "STREAM", "stream": {"stream_descriptor": {"name": "groups"}, "stream_state": {"cursor": "2026"}}}


def problem(read: Callable[[str], Any], path: Path) -> str:
    with pytest.raises(DoceboError) as raised:
        read(str(path))
    message = str(raised.value)
    assert message.startswith(f"The file {path} ")
    assert message.endswith(".")
    assert raised.value.failure_type.value == "config_error"
    return message


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "input.json"


@pytest.mark.parametrize("read", [read_config, read_catalog, read_state])
class TestAnyFile:
    def test_does_not_exist(self, read: Callable[[str], Any], path: Path) -> None:
        assert "does not exist. Correct the path." in problem(read, path)

    def test_is_a_directory(self, read: Callable[[str], Any], tmp_path: Path) -> None:
        assert "cannot be read: Is a directory." in problem(read, tmp_path)

    def test_may_not_be_read(self, read: Callable[[str], Any], path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(_: Path) -> bytes:
            raise PermissionError

        monkeypatch.setattr(Path, "read_bytes", fail)
        monkeypatch.setattr("os.getuid", lambda: 4711)
        assert "is not readable by this user (uid 4711). Change its permissions." in problem(read, path)

    @pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000, b"1" * 5000, b"{} {}"])
    def test_is_not_json(self, read: Callable[[str], Any], path: Path, content: bytes) -> None:
        path.write_bytes(content)
        assert "is not valid JSON (" in problem(read, path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_any_unicode_encoding_is_accepted(path: Path, encoding: str) -> None:
    path.write_text(json.dumps({"a": "\u00e9"}, ensure_ascii=False), encoding=encoding)
    assert read_config(str(path)) == {"a": "\u00e9"}


@pytest.mark.parametrize("content", [[], [1], None, "text", 5])
def test_a_configuration_or_catalog_that_is_not_an_object(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
    assert "does not hold a JSON object. " in problem(read_config, path)
    assert "does not hold a configured catalog: " in problem(read_catalog, path)


class TestCatalog:
    def test_is_read(self, path: Path) -> None:
        path.write_text(json.dumps({"streams": [CONFIGURED]}), encoding="utf-8")
        assert read_catalog(str(path)).streams[0].stream.name == "groups"

    @pytest.mark.parametrize(
        "content",
        [
            {"streams": [DISCOVERED]},
            {"type": "CATALOG", "catalog": {"streams": []}},
            {"streams": [CONFIGURED, DISCOVERED]},
        ],
    )
    def test_of_discover(self, path: Path, content: Any) -> None:
        path.write_text(json.dumps(content), encoding="utf-8")
        message = problem(read_catalog, path)
        assert "does not hold a configured catalog at streams" in message
        assert "Give each entry a stream that discover prints, a sync_mode and a destination_sync_mode." in message

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (
                {"streams": [{**CONFIGURED, "destination_sync_mode": "overwrite_dedup"}]},
                "'overwrite_dedup' is not one of",
            ),
            ({"streams": [{**CONFIGURED, "sync_mode": "cdc"}]}, "streams/0/sync_mode: 'cdc'"),
            ({"streams": {}}, "at streams: "),
            ({"streams": ["groups"]}, "at streams/0: "),
            ({"streams": [None]}, "at streams/0: "),
            ({"streams": [5]}, "at streams/0: "),
            ({}, "at streams: "),
        ],
    )
    def test_of_another_shape(self, path: Path, content: Any, words: str) -> None:
        path.write_text(json.dumps(content), encoding="utf-8")
        message = problem(read_catalog, path)
        assert "does not hold a configured catalog" in message
        assert words in message


class TestState:
    def test_is_read(self, path: Path) -> None:
        path.write_text(json.dumps([STATE]), encoding="utf-8")
        (message,) = read_state(str(path))
        assert message.stream.stream_descriptor.name == "groups"

    @pytest.mark.parametrize("content", [[], {}, None])
    def test_is_empty(self, path: Path, content: Any) -> None:
        path.write_text(json.dumps(content), encoding="utf-8")
        assert read_state(str(path)) == []

    def test_is_not_given(self) -> None:
        assert read_state("") == []

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            ({"groups": {"cursor": "2026"}}, "does not hold a JSON array of state messages"),
            ("text", "does not hold a JSON array of state messages"),
            ([1], "1 is not of type 'object'"),
            ([{}], "does not hold a JSON array of state messages. Give it"),
            ([{"type": "STATE", "state": STATE}], "at type: 'STATE' is not one of"),
            ([{**STATE, "stream": 5}], "at stream: "),
        ],
    )
    def test_of_another_shape(self, path: Path, content: Any, words: str) -> None:
        path.write_text(json.dumps(content), encoding="utf-8")
        assert words in problem(read_state, path)
