"""The source: finds the manifest, validates the configuration, and gives each command an identity of its own."""

import ast
import logging
import re
import threading
import uuid
import weakref
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Any, NoReturn
from urllib.parse import unquote
from urllib.request import getproxies

import yaml
from airbyte_cdk.models import (
    AirbyteCatalog,
    AirbyteConnectionStatus,
    AirbyteMessage,
    AirbyteStateMessage,
    ConfiguredAirbyteCatalog,
)
from airbyte_cdk.sources.declarative.types import ConnectionDefinition
from airbyte_cdk.sources.declarative.yaml_declarative_source import YamlDeclarativeSource
from airbyte_cdk.utils.airbyte_secrets_utils import get_secrets
from jsonschema import Draft7Validator, ValidationError

from source_docebo import files
from source_docebo.client import Client
from source_docebo.errors import WithoutStackTraces, config_error, mask

CHECK_SECONDS = 20  # Airbyte's UI waits for a check, so it retries no longer than this
_HERE = Path(__file__).parent
# In a wheel the manifest lies beside this file; in a checkout, above the package.
MANIFEST = next(path for path in (_HERE / "manifest.yaml", _HERE.parent / "manifest.yaml") if path.is_file())
_WITHOUT_STACK_TRACES = WithoutStackTraces()


class SourceDocebo(YamlDeclarativeSource):
    """
    The CDK's declarative source on this project's manifest. It adds what the CDK does not report: the name of the
    field that is wrong in a configuration, and streams of a catalog that do not exist.

    Each check, discover and read adds `__command` to the configuration of its components: its `id`, the `streams` of
    the catalog (None unless it is a read), and the `deadline_seconds` of a check.

    Raises DoceboError (config_error) if the configuration does not fit the specification.
    """

    read_config = staticmethod(files.read_config)
    read_catalog = staticmethod(files.read_catalog)
    read_state = staticmethod(files.read_state)

    def __init__(
        self,
        catalog: ConfiguredAirbyteCatalog | None = None,
        config: Mapping[str, Any] | None = None,
        state: list[AirbyteStateMessage] | None = None,
        config_path: str | None = None,
    ) -> None:
        for handler in logging.getLogger().handlers:
            handler.addFilter(_WITHOUT_STACK_TRACES)
        self._command: dict[str, Any] = {"streams": None}
        self._was_read = False
        super().__init__(
            path_to_yaml=str(MANIFEST), catalog=catalog, config=config, state=state, config_path=config_path
        )

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
        fields = {entry.stream.name: [*entry.stream.json_schema.get("properties", ())] for entry in catalog.streams}
        served = {stream["name"] for stream in self.resolved_manifest["streams"]}
        unknown = [name for name in fields if name not in served]
        self._command = {"streams": fields}
        # Before its exit, Python waits for the CDK's threads, and these for somebody to take their records.
        threading._register_atexit(_abandon, weakref.ref(self))  # type: ignore[attr-defined]
        try:
            yield from super().read(logger, self._config, catalog, state)
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
        self._command = {"streams": None, "deadline_seconds": CHECK_SECONDS}
        status = super().check(logger, self._config)
        self._command = {"streams": None}
        if status.message:
            status.message = ast.literal_eval(status.message)  # the CDK gives its repr
        return status

    def discover(self, logger: logging.Logger, config: Mapping[str, Any]) -> AirbyteCatalog:
        """The streams, with the additional fields that this platform has."""
        if not self._config:
            return SourceDocebo(config=config).discover(logger, config)
        return super().discover(logger, self._config)

    def _prepare_for_stream_build(self) -> None:
        self._mask_secrets(self._config)  # again for each command: the CDK's entrypoint replaces the list
        self._config = {**self._config, "__command": {"id": uuid.uuid4().hex, **self._command}}
        super()._prepare_for_stream_build()

    def _migrate_and_transform_config(
        self, config_path: str | None, config: Mapping[str, Any] | None
    ) -> Mapping[str, Any] | None:
        if config and self._spec_component:
            self._mask_secrets(config)
            _validate(config, self._spec_component.connection_specification)
        return super()._migrate_and_transform_config(config_path, config)

    def _mask_secrets(self, config: Mapping[str, Any]) -> None:
        specification = self._spec_component.connection_specification if self._spec_component else {}
        mask(secret for secret in get_secrets(specification, config) if isinstance(secret, str))
        for proxy in getproxies().values():
            password = proxy.rpartition("@")[0].rpartition("//")[2].partition(":")[2]
            mask([password, unquote(password)])

    def _read_and_parse_yaml_file(self, path_to_yaml_file: str) -> ConnectionDefinition:
        # The C loader, where there is one: the other takes longer for this manifest than all the rest of `spec`.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        definition = yaml.load(Path(path_to_yaml_file).read_text(encoding="utf-8"), Loader=loader)
        return dict(definition)


def _abandon(reference: "weakref.ref[SourceDocebo]") -> None:
    """Ends the threads of a read that nobody continues: waits for pages fail, and so does passing a record on."""
    source = reference()
    if source is not None:
        Client.of(source._config).close()
        queue = source._concurrent_source._queue
        queue.put = _reject_record  # type: ignore[method-assign]
        with suppress(Empty):
            while True:
                queue.get_nowait()
        source._concurrent_source._threadpool._shutdown()


def _reject_record(*_: Any, **__: Any) -> NoReturn:
    raise RuntimeError("The read was abandoned.")


def _validate(config: Mapping[str, Any], specification: Mapping[str, Any]) -> None:
    """Raises a config_error that names the field. The CDK's own shows values, secrets among them, and no name."""
    for error in Draft7Validator(specification).iter_errors(config):
        for cause in _causes(error):
            path = [str(part) for part in cause.absolute_path]
            raise config_error(f"Configuration: {_problem(cause, path)}")


def _causes(error: ValidationError) -> list[ValidationError]:
    """The errors of the chosen variant of `credentials`, instead of those of all variants."""
    if error.validator != "oneOf" or not isinstance(error.instance, Mapping):
        return [error]
    chosen = error.instance.get("auth_type")
    schema: Any = error.schema
    variants = [variant["properties"]["auth_type"]["const"] for variant in schema["oneOf"]]
    if chosen not in variants:
        error.message = f"must have an auth_type that is one of: {', '.join(variants)}"
        return [error]
    return [cause for cause in error.context or [] if cause.schema_path[0] == variants.index(chosen)]


def _problem(error: ValidationError, path: list[str]) -> str:
    if error.validator == "required":
        schema: Any = error.schema
        present: Any = error.instance
        missing = next(name for name in schema["required"] if name not in present)
        return f"the field {'.'.join([*path, missing])} is missing."
    field = ".".join(path) or "the whole"
    expected = {
        "type": f"must be of type {error.validator_value}",
        "minLength": "must not be empty",
        "minimum": f"must be at least {error.validator_value}",
        "maximum": f"must be at most {error.validator_value}",
        "pattern": _address_problem(str(error.instance)),
        "oneOf": error.message if "auth_type" in error.message else "must be an object with an auth_type",
    }
    return f"the field {field} {expected.get(str(error.validator), 'is not valid')}."


def _address_problem(address: str) -> str:
    """What to leave out of an address that does not fit. Shows nothing of it: it may hold a password or a token."""
    rest = re.search("[?#]", address)
    if "@" in address.split("?")[0]:
        return "must be an address without a user. Leave out everything up to and with the @"
    if rest:
        return f"must be the address of your platform alone. Leave out everything from the {rest[0]} on"
    if address.strip().lower().startswith("http://"):
        return "must begin with https:// (http:// only for this computer itself)"
    return "must be the https address of your platform, such as https://acme.docebosaas.com"
