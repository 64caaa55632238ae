"""Reads the files that a command is given, and says what is wrong with a file that cannot be used."""

import json
import os
from collections.abc import Callable, MutableMapping
from pathlib import Path
from textwrap import shorten
from typing import Any, TypeVar

from airbyte_cdk.models import (
    AirbyteStateMessage,
    AirbyteStateMessageSerializer,
    ConfiguredAirbyteCatalog,
    ConfiguredAirbyteCatalogSerializer,
    FailureType,
)
from serpyco_rs import SchemaValidationError

from source_docebo.errors import DoceboError

_Content = TypeVar("_Content")


class UnusableFileError(DoceboError):
    """A file cannot be used: a config_error that names it."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"The file {path} {problem}", FailureType.config_error)


def read_config(config_path: str) -> MutableMapping[str, Any]:
    """The configuration in a file. Raises UnusableFileError."""
    content = _read_json(config_path)
    if not isinstance(content, dict):
        raise UnusableFileError(config_path, "does not hold a JSON object. Give it the fields of the specification.")
    return content


def read_catalog(catalog_path: str) -> ConfiguredAirbyteCatalog:
    """The configured catalog in a file. Raises UnusableFileError."""
    content = read_config(catalog_path)
    streams = content.get("streams")
    entries = streams if isinstance(streams, list) else []
    if "catalog" in content or any(isinstance(entry, dict) and "name" in entry for entry in entries):
        raise UnusableFileError(
            catalog_path,
            "holds the catalog that discover prints, and read takes a configured catalog. Put each stream under the "
            'key "stream", and add its sync_mode and destination_sync_mode.',
        )
    return _load(catalog_path, content, ConfiguredAirbyteCatalogSerializer.load, "a configured catalog")


def read_state(state_path: str) -> list[AirbyteStateMessage]:
    """The state messages in a file; none if there is no path. Raises UnusableFileError."""
    content = _read_json(state_path) if state_path else []
    if not isinstance(content or [], list):
        raise UnusableFileError(state_path, "does not hold a JSON array of state messages. Give it the last state.")
    messages = [
        _load(state_path, item, AirbyteStateMessageSerializer.load, "a list of states") for item in content or []
    ]
    if not all(message.stream or message.global_ or message.data for message in messages):
        raise UnusableFileError(state_path, "holds a state message without a state. Give it the last state.")
    return messages


def _read_json(path: str) -> Any:
    try:
        return json.loads(Path(path).read_bytes())  # as bytes: UTF-8 in any locale, a byte order mark is accepted
    except FileNotFoundError:
        problem = "does not exist. Correct the path."
    except PermissionError:
        user = f" (uid {os.getuid()})" if hasattr(os, "getuid") else ""
        problem = f"is not readable by this user{user}. Change its permissions."
    except OSError as error:
        problem = f"cannot be read: {error.strerror}. Correct the path."
    except (ValueError, RecursionError) as error:
        problem = f"is not valid JSON ({error}). Correct it."
    raise UnusableFileError(path, problem)


def _load(path: str, content: Any, load: Callable[[Any], _Content], kind: str) -> _Content:
    try:
        return load(content)
    except SchemaValidationError as error:
        first = error.errors[0]
        problem = shorten(first.message.replace('"', "'"), 200)
        where = f" at {first.instance_path}" if first.instance_path else ""
        raise UnusableFileError(path, f"does not hold {kind}{where}: {problem}. Correct it.") from None
