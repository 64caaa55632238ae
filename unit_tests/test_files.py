"""The files that a command is given: what can be used, and what the one sentence about any other says."""

import json
from pathlib import Path
from typing import Any

import pytest

from source_docebo.errors import DoceboError
from source_docebo.source import read_file

DISCOVERED = {"name": "groups", "json_schema": {}, "supported_sync_modes": ["full_refresh"]}
CONFIGURED = {"stream": DISCOVERED, "sync_mode": "full_refresh", "destination_sync_mode": "overwrite"}
STATE = {"type": "STREAM", "stream": {"stream_descriptor": {"name": "groups"}, "stream_state": {"cursor": "2026"}}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "input.json"


def read(name: str, path: Path, content: Any) -> Any:
    """The file with this content, read as `name`: config, catalog or state."""
    path.write_text(json.dumps(content), encoding="utf-8")
    return read_file(name, str(path))


def problem(name: str, path: Path) -> str:
    """Why it cannot be used: one sentence that names the file, and what to do."""
    with pytest.raises(DoceboError) as raised:
        read_file(name, str(path))
    message = str(raised.value)
    assert message.startswith(f"The file {path} holds no {name}: ")
    assert message.endswith(" Correct it, or the path.")
    assert message.count("\n") == 0
    assert raised.value.failure_type.value == "config_error"
    return message


@pytest.mark.parametrize("name", ["config", "catalog", "state"])
class TestAnyFile:
    def test_does_not_exist(self, name: str, path: Path) -> None:
        assert "No such file or directory" in problem(name, path)

    def test_is_a_directory(self, name: str, tmp_path: Path) -> None:
        assert "Is a directory" in problem(name, tmp_path)

    def test_may_not_be_read(self, name: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: Any, **__: Any) -> Any:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("io.open", fail)
        monkeypatch.setattr("builtins.open", fail)
        assert "Permission denied" in problem(name, path)

    @pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"{} {}"])
    def test_is_not_json(self, name: str, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        problem(name, path)


class TestConfiguration:
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    def test_may_begin_with_a_byte_order_mark(self, path: Path, encoding: str) -> None:
        """PowerShell writes one."""
        path.write_text(json.dumps({"a": "\u00e9"}, ensure_ascii=False), encoding=encoding)
        assert read_file("config", str(path)) == {"a": "\u00e9"}

    @pytest.mark.parametrize("content", [{}, [1], None, "text", 5])
    def test_is_an_object_with_fields(self, path: Path, content: Any) -> None:
        path.write_text(json.dumps(content), encoding="utf-8")
        assert "it is no JSON object with the fields of the specification." in problem("config", path)


class TestCatalog:
    def test_is_read(self, path: Path) -> None:
        assert read("catalog", path, {"streams": [CONFIGURED]}).streams[0].stream.name == "groups"

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            ({"streams": [DISCOVERED]}, "it is what discover prints, without sync modes. Use what `source-docebo cat"),
            ({"type": "CATALOG", "catalog": {"streams": [DISCOVERED]}}, "it is what discover prints"),
            ({"streams": [{"stream": 5}]}, '5 is not of type "object"'),
            ({"streams": [{**CONFIGURED, "destination_sync_mode": "overwrite_dedup"}]}, '"overwrite_dedup" is not one'),
            ({"streams": [{**CONFIGURED, "sync_mode": "cdc"}]}, '"cdc" is not one of ["full_refresh", "incremental"]'),
            ({"streams": ["groups"]}, '"groups" is not of type "object"'),
            (5, '5 is not of type "object"'),
        ],
    )
    def test_of_another_shape(self, path: Path, content: Any, words: str) -> None:
        path.write_text(json.dumps(content), encoding="utf-8")
        assert words in problem("catalog", path)


class TestState:
    def test_is_read(self, path: Path) -> None:
        (message,) = read("state", path, [STATE])
        assert message.stream.stream_descriptor.name == "groups"
        assert message.stream.stream_state.cursor == "2026"

    @pytest.mark.parametrize("content", [[], {}, None])
    def test_is_empty(self, path: Path, content: Any) -> None:
        assert read("state", path, content) == []

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            ({"groups": {"cursor": "2026"}}, '"groups" is not of type "object"'),
            ([{}], "should contain either a stream, global, or state field"),
            ([{"type": "STATE", "state": STATE}], '"STATE" is not one of'),
            (5, ""),
        ],
    )
    def test_of_another_shape(self, path: Path, content: Any, words: str) -> None:
        path.write_text(json.dumps(content), encoding="utf-8")
        assert words in problem("state", path)
