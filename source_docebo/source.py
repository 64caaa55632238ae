"""The source: finds the manifest, validates what a command is given, and gives each command an identity."""

import ast
import json
import logging
import os
import re
import sys
import threading
import uuid
import weakref
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from pathlib import Path
from textwrap import shorten
from typing import Any, TypeVar
from urllib.parse import unquote
from urllib.request import getproxies

import yaml
from airbyte_cdk.models import (
    AirbyteCatalog,
    AirbyteConnectionStatus,
    AirbyteMessage,
    AirbyteStateMessage,
    AirbyteStateMessageSerializer,
    ConfiguredAirbyteCatalog,
    ConfiguredAirbyteCatalogSerializer,
    SyncMode,
)
from airbyte_cdk.sources.declarative.types import ConnectionDefinition
from airbyte_cdk.sources.declarative.yaml_declarative_source import YamlDeclarativeSource
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets, get_secrets
from jsonschema import Draft7Validator
from serpyco_rs import SchemaValidationError

from source_docebo.client import COMMAND, Client
from source_docebo.errors import config_error, drop_stack_trace, mask

_Content = TypeVar("_Content")

CHECK_SECONDS = 20  # Airbyte's UI waits for a check, so it retries no longer than this
MAX_QUEUED_RECORDS = 500
_HERE = Path(__file__).parent
# In a wheel the manifest lies beside this file; in a checkout, above the package.
MANIFEST = next(path for path in (_HERE / "manifest.yaml", _HERE.parent / "manifest.yaml") if path.is_file())
# What is wrong with a field, by the keyword that it violates. None shows the value: it may be a secret.
_PROBLEMS = {
    "required": "is missing",
    "type": "must be of type {}",
    "minLength": "must not be empty",
    "minimum": "must be at least {}",
    "maximum": "must be at most {}",
    "enum": "must be an object with an auth_type that is one of: {}",
}
# What to leave out of an address, by the first pattern that it begins with.
_ADDRESS_PROBLEMS = {
    r"[^?]*@": "must be an address without a user. Leave out everything up to and with the @",
    r"[^?#]*\?": "must be the address of your platform alone. Leave out everything from the ? on",
    r"[^?#]*#": "must be the address of your platform alone. Leave out everything from the # on",
    r"(?i)\s*http://": "must begin with https:// (http:// only for this computer itself)",
    "": "must be the https address of your platform, such as https://acme.docebosaas.com",
}


class SourceDocebo(YamlDeclarativeSource):
    """
    The CDK's declarative source on this project's manifest. It adds what the CDK does not report: the name of the
    field that is wrong in a configuration, and streams of a catalog that do not exist.

    Each check, discover and read adds `__command` to the configuration of its components: its `id`, the `streams` of
    the catalog (None unless it is a read), and the `deadline_seconds` of a check.

    Raises DoceboError (config_error) if the configuration does not fit the specification.
    """

    def __init__(
        self,
        catalog: ConfiguredAirbyteCatalog | None = None,
        config: Mapping[str, Any] | None = None,
        state: list[AirbyteStateMessage] | None = None,
    ) -> None:
        for handler in logging.getLogger().handlers:
            handler.addFilter(drop_stack_trace)
        self._was_read = False
        entries = catalog.streams if catalog else []
        full = {entry.stream.name for entry in entries if entry.sync_mode == SyncMode.full_refresh}
        # The CDK would read them since their state, and lose the records before it.
        state = [
            message for message in state or [] if not (message.stream and message.stream.stream_descriptor.name in full)
        ]
        super().__init__(path_to_yaml=str(MANIFEST), catalog=catalog, config=config, state=state)
        # Of the CDK's 10,000 records each may hold a picture: that would be all memory that a pod has.
        self._concurrent_source._queue.maxsize = MAX_QUEUED_RECORDS

    @staticmethod
    def read_config(config_path: str) -> MutableMapping[str, Any]:
        """The configuration in a file. Raises DoceboError (config_error), as the other two do."""
        advice = "Give it the fields of the specification."
        return _read_file(config_path, _object, "a JSON object", advice)

    @classmethod
    def read_catalog(cls, catalog_path: str) -> ConfiguredAirbyteCatalog:
        """The configured catalog in a file."""
        advice = "Give each entry a stream that discover prints, a sync_mode and a destination_sync_mode."
        return _read_file(catalog_path, ConfiguredAirbyteCatalogSerializer.load, "a configured catalog", advice)

    @classmethod
    def read_state(cls, state_path: str) -> list[AirbyteStateMessage]:
        """The state messages in a file; none if there is no path."""
        advice = "Give it the states of the last sync."
        return _read_file(state_path, _state_messages, "a JSON array of state messages", advice) if state_path else []

    def read(
        self,
        logger: logging.Logger,
        config: Mapping[str, Any],
        catalog: ConfiguredAirbyteCatalog,
        state: list[AirbyteStateMessage] | None = None,
    ) -> Iterator[AirbyteMessage]:
        """Reads the streams of the catalog; fails after the others if there is one that does not exist."""
        if not self._config or self._was_read:  # the CDK's source reads once, with what its constructor got
            yield from SourceDocebo(catalog, config, state).read(logger, config, catalog, state)
            return
        self._was_read = True
        fields = {entry.stream.name: [*(entry.stream.json_schema.get("properties") or ())] for entry in catalog.streams}
        served = {stream["name"] for stream in self.resolved_manifest["streams"]}
        unknown = [name for name in fields if name not in served]
        self._begin(streams=fields)
        # Before its exit, Python waits for the CDK's threads, and these for somebody to take their records.
        threading._register_atexit(_abandon, weakref.ref(self))  # type: ignore[attr-defined]
        shown: set[tuple[str, str]] = set()
        try:
            for message in super().read(logger, self._config, catalog, state):
                if message.trace and (error := message.trace.error):  # the CDK masks logs only
                    error.message = filter_secrets(error.message)
                    key = str(error.stream_descriptor), error.message
                    if key in shown:
                        continue  # several parents of one stream have the same problem
                    shown.add(key)
                    error.internal_message = filter_secrets(error.internal_message or "")
                    error.stack_trace = filter_secrets(error.stack_trace or "") or None
                yield message
        finally:
            _abandon(weakref.ref(self))
        if unknown:
            raise config_error(
                f"The connection selects streams that do not exist: {', '.join(unknown)}. Refresh its schema, or "
                f"deselect them. There are: {', '.join(sorted(served))}."
            )

    def check(self, logger: logging.Logger, config: Mapping[str, Any]) -> AirbyteConnectionStatus:
        """Signs in and reads a course, within `CHECK_SECONDS`."""
        if not self._config:
            return SourceDocebo(config=config).check(logger, config)
        self._begin(streams=None, deadline_seconds=CHECK_SECONDS)
        status = super().check(logger, self._config)
        if status.message:
            status.message = filter_secrets(ast.literal_eval(status.message))  # the CDK gives its repr
        return status

    def discover(self, logger: logging.Logger, config: Mapping[str, Any]) -> AirbyteCatalog:
        """The streams, with the additional fields that this platform has."""
        if not self._config:
            return SourceDocebo(config=config).discover(logger, config)
        self._begin(streams=None)
        return super().discover(logger, self._config)

    def _begin(self, **command: Any) -> None:
        mask()  # again for each command: the CDK's entrypoint replaces the list
        self._config = {**self._config, COMMAND: {"id": uuid.uuid4().hex, **command}}

    def _migrate_and_transform_config(
        self, config_path: str | None, config: Mapping[str, Any] | None
    ) -> Mapping[str, Any] | None:
        if config:
            specification = self.resolved_manifest["spec"]["connection_specification"]
            mask(secret for secret in get_secrets(specification, config) if isinstance(secret, str))
            for proxy in getproxies().values():
                password = proxy.rpartition("@")[0].rpartition("//")[2].partition(":")[2]
                mask([password, unquote(password)])
            _validate(config, specification)
        return super()._migrate_and_transform_config(config_path, config)

    def _read_and_parse_yaml_file(self, path_to_yaml_file: str) -> ConnectionDefinition:
        # The C loader, where there is one: the other takes longer for this manifest than all the rest of `spec`.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        return dict(yaml.load(Path(path_to_yaml_file).read_text(encoding="utf-8"), Loader=loader))


def _read_file(path: str, load: Callable[[Any], _Content | None], expected: str, advice: str) -> _Content:
    """What `load` makes of the JSON in a file. Raises DoceboError (config_error) that names the file."""
    try:
        # As bytes: UTF-8 in any locale, a byte order mark is accepted.
        if (loaded := load(json.loads(Path(path).read_bytes()))) is not None:
            return loaded
        problem = f"does not hold {expected}. {advice}"
    except FileNotFoundError:
        problem = "does not exist. Correct the path."
    except PermissionError:
        user = f" (uid {os.getuid()})" if hasattr(os, "getuid") else ""
        problem = f"is not readable by this user{user}. Change its permissions."
    except OSError as error:
        problem = f"cannot be read: {error.strerror}. Correct the path."
    except SchemaValidationError as error:
        first = error.errors[0]
        place = f" at {first.instance_path}" if first.instance_path else ""
        reason = shorten(first.message.replace('"', "'"), 200)
        problem = f"does not hold {expected}{place}: {reason}. {advice}"
    except (ValueError, RecursionError) as error:
        problem = f"is not valid JSON ({error}). Correct it."
    raise config_error(f"The file {path} {problem}")


def _object(content: Any) -> dict[str, Any] | None:
    return content if isinstance(content, dict) else None


def _state_messages(content: Any) -> list[AirbyteStateMessage] | None:
    """The messages in a list, or a message alone; None if one of them is empty."""
    items = content if isinstance(content, list) else filter(None, [content])
    messages = [AirbyteStateMessageSerializer.load(item) for item in items]
    return messages if all(message.stream or message.global_ or message.data for message in messages) else None


def _abandon(reference: "weakref.ref[SourceDocebo]") -> None:
    """Ends the threads of a read that nobody continues: they can pass on what they have, and get no further page."""
    if source := reference():
        source._concurrent_source._threadpool._shutdown()
        Client.of(source._config).close()
        queue = source._concurrent_source._queue
        with queue.mutex:
            queue.maxsize = sys.maxsize
            queue.not_full.notify_all()


def _validate(config: Mapping[str, Any], specification: Mapping[str, Any]) -> None:
    """Raises a config_error that names the field. The CDK's own shows values, secrets among them, and no name."""
    fields, credentials = specification["properties"], config.get("credentials")
    variants = {variant["properties"]["auth_type"]["const"]: variant for variant in fields["credentials"]["oneOf"]}
    auth_type = credentials.get("auth_type") if isinstance(credentials, Mapping) else None
    chosen = variants[auth_type] if auth_type in list(variants) else {"enum": list(variants)}
    fitting = Draft7Validator({**specification, "properties": {**fields, "credentials": chosen}})
    error = next(fitting.iter_errors(config), None)
    if error is None:
        return
    limit, path = error.validator_value, [str(part) for part in error.absolute_path]
    if error.validator == "required":
        path.append(next(name for name in limit if name not in error.instance))
    problem = _PROBLEMS.get(str(error.validator), "is not valid")
    if error.validator == "pattern":
        problem = next(text for start, text in _ADDRESS_PROBLEMS.items() if re.match(start, error.instance))
    limit = ", ".join(limit) if isinstance(limit, list) else limit
    raise config_error(f"Configuration: the field {'.'.join(path)} {problem.format(limit)}.")
