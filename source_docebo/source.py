"""The source: finds the manifest, validates the configuration, and gives each command an identity."""

import ast
import difflib
import json
import logging
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from urllib.request import getproxies

import yaml
from airbyte_cdk.models import (
    AirbyteCatalog,
    AirbyteConnectionStatus,
    AirbyteMessage,
    AirbyteStateMessage,
    ConfiguredAirbyteCatalog,
    SyncMode,
)
from airbyte_cdk.sources.declarative.types import ConnectionDefinition
from airbyte_cdk.sources.declarative.yaml_declarative_source import YamlDeclarativeSource
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets, get_secrets
from jsonschema import Draft7Validator, FormatChecker
from serpyco_rs import SchemaValidationError

from source_docebo.client import COMMAND, Client
from source_docebo.errors import config_error, drop_stack_trace, logger, mask

CHECK_SECONDS = 20  # Airbyte's UI waits for a check, so it retries no longer than this
DISCOVER_SECONDS = 300
MAX_QUEUED_RECORDS = 500
_HERE = Path(__file__).parent
# In a wheel the manifest lies beside this file; in a checkout, above the package.
MANIFEST = next(path for path in (_HERE / "manifest.yaml", _HERE.parent / "manifest.yaml") if path.is_file())


_FORMATS = FormatChecker(())


@_FORMATS.checks("date-time", (TypeError, ValueError))
def _is_past(value: Any) -> bool:
    """Whether it is a date from which something can be read. Raises ValueError if it is none."""
    date = value.replace("Z", "+00:00") if isinstance(value, str) else "1970-01-01T00:00:00+00:00"
    return datetime.fromisoformat(date) <= datetime.now(timezone.utc)


class SourceDocebo(YamlDeclarativeSource):
    """
    The CDK's declarative source on this project's manifest. It adds what the CDK does not report: the name of the
    field that is wrong in a configuration, and streams of a catalog that do not exist.

    Each check, discover and read adds `__command` to the configuration of its components: its `id`, the `streams` of
    the catalog with their fields and which of them are `incremental` (of a read), and the `seconds` that it may take
    (of the others).

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
        super().__init__(path_to_yaml=str(MANIFEST), catalog=catalog, config=config, state=state)
        # One export at a time: the reports that wait for their turn must not hold the CDK's workers.
        self._source_config["stream_groups"] = {"reports": {"streams": self.dynamic_streams}}
        # The CDK's queue holds 10,000 records. With pictures in their descriptions, they would fill a pod's memory.
        self._concurrent_source._queue.maxsize = MAX_QUEUED_RECORDS

    def read(
        self,
        logger: logging.Logger,
        config: Mapping[str, Any],
        catalog: ConfiguredAirbyteCatalog,
        state: list[AirbyteStateMessage] | None = None,
    ) -> Iterator[AirbyteMessage]:
        """Reads the streams of the catalog; fails after the others if there is one that does not exist."""
        fields = {entry.stream.name: [*(entry.stream.json_schema.get("properties") or ())] for entry in catalog.streams}
        incremental = [entry.stream.name for entry in catalog.streams if entry.sync_mode == SyncMode.incremental]
        self._begin(config, catalog, state, streams=fields, incremental=incremental)
        served = {stream["name"] for stream in [*self.resolved_manifest["streams"], *self.dynamic_streams]}
        unknown = [name for name in fields if name not in served]
        records: Counter[str] = Counter()
        shown: set[tuple[str, str]] = set()
        try:
            for message in super().read(logger, self._config, catalog, state):
                if message.record:
                    records[message.record.stream] += 1
                elif message.trace and (error := message.trace.error):  # the CDK masks logs only
                    error.message = filter_secrets(error.message)
                    if (key := (str(error.stream_descriptor), error.message)) in shown:
                        continue  # several parents of a stream have the same problem
                    shown.add(key)
                    error.internal_message = filter_secrets(error.internal_message or "")
                    error.stack_trace = filter_secrets(error.stack_trace or "") or None
                yield message
        finally:
            self._log_usage(logger, records)
        if unknown:
            raise config_error(
                f"The connection selects streams that do not exist: {', '.join(unknown)}. Refresh its schema, or "
                f"deselect them. There are: {', '.join(sorted(served))}."
            )

    def _log_usage(self, logger: logging.Logger, records: Counter[str]) -> None:
        """Logs what the sync has used: requests are what it costs."""
        client = Client.of(self._config)
        sent = client.requests_sent
        for stream in sorted({*records, *sent} - {""}):
            logger.info("Stream %s: %d records, %d requests.", stream, records[stream], sent[stream])
        logger.info(
            "In all: %d records, %d requests (%d of them for access tokens), %d retries, %.1f minutes waited for rate "
            "limits, %d warnings.",
            *(sum(records.values()), sum(sent.values()), sent[""], client.retries, client.seconds_limited / 60),
            client.warnings,
        )

    def check(self, logger: logging.Logger, config: Mapping[str, Any]) -> AirbyteConnectionStatus:
        """Signs in and reads a page of courses, within about `CHECK_SECONDS`."""
        self._begin(config, seconds=CHECK_SECONDS)
        status = super().check(logger, self._config)
        if status.message:
            status.message = filter_secrets(ast.literal_eval(status.message))  # the CDK gives its repr
        return status

    def discover(self, logger: logging.Logger, config: Mapping[str, Any]) -> AirbyteCatalog:
        """The streams, with the additional fields that this platform has, within about `DISCOVER_SECONDS`."""
        self._begin(config, seconds=DISCOVER_SECONDS)
        return super().discover(logger, self._config)

    @staticmethod
    def read_config(config_path: str) -> dict[str, Any]:
        """The configuration in a file, which may begin with a byte order mark. Raises ValueError if there is none."""
        config = json.loads(Path(config_path).read_bytes())
        if not isinstance(config, dict) or not config:
            raise ValueError("it is no JSON object with the fields of the specification.")
        return config

    def _begin(self, config: Mapping[str, Any], catalog: Any = None, state: Any = None, **command: Any) -> None:
        if not self._config:  # `airbyte-cdk connector test` gives the configuration to the commands only
            SourceDocebo.__init__(self, catalog, config, state)
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


def read_file(name: str, path: str) -> Any:
    """The config, catalog or state in a file. Raises DoceboError (config_error) that names the file."""
    try:
        text = Path(path).read_bytes()
        if name == "catalog" and b'"json_schema"' in text and b'"destination_sync_mode"' not in text:
            raise ValueError("it is what discover prints, without sync modes. Use what `source-docebo catalog` prints.")
        return getattr(SourceDocebo, f"read_{name}")(path)
    except (OSError, TypeError, ValueError, AttributeError, SchemaValidationError) as error:
        reason = error.errors[0].message if isinstance(error, SchemaValidationError) else error
        reason = str(getattr(error, "strerror", None) or reason).rstrip(".")
        raise config_error(f"The file {path} holds no {name}: {reason}. Correct it, or the path.") from None


def _validate(config: Mapping[str, Any], specification: Mapping[str, Any]) -> None:
    """
    Raises a config_error that names the field: the CDK's own shows values, secrets among them, and no name. Warns of
    fields that do not exist.
    """
    fields, credentials = specification["properties"], config.get("credentials")
    variants = {variant["properties"]["auth_type"]["const"]: variant for variant in fields["credentials"]["oneOf"]}
    auth_type = credentials.get("auth_type") if isinstance(credentials, Mapping) else None
    unknown = {"type": "object", "required": ["auth_type"], "properties": {"auth_type": {"enum": list(variants)}}}
    chosen = variants.get(str(auth_type), unknown)
    properties = {**fields, "credentials": chosen}
    fitting = Draft7Validator({**specification, "properties": properties}, format_checker=_FORMATS)
    for error in fitting.iter_errors(config):
        rule, limit, path = error.validator, error.validator_value, [str(part) for part in error.absolute_path]
        problem = f"is not valid ({rule}: {error.schema.get('pattern_descriptor', limit)})"
        if rule == "required":
            path.append(next(name for name in limit if name not in error.instance))
            others = [name for name in error.instance if name not in error.schema["properties"]]
            problem = "is missing"
            if misspelled := difflib.get_close_matches(path[-1], others, 1):
                problem = f"is missing. Correct the name of {misspelled[0]}"
        raise config_error(f"Configuration: the field {'.'.join(path)} {problem}.")
    reports = config.get("reports", ())
    names = [report["name"] for report in reports]
    if twice := [name for name in names if names.count(name) > 1]:
        raise config_error(f"Configuration: two of the reports have the name {twice[0]}.")
    report_fields = fields["reports"]["items"]["properties"]
    known = [*fields, *report_fields, *(name for each in variants.values() for name in each["properties"])]
    for name in chain(config, config["credentials"], *reports):
        if name not in known and not name.startswith("__"):  # the CDK's own begin with two underscores
            nearest = "".join(f" Is it {each}?" for each in difflib.get_close_matches(name, known, 1))
            logger.warning("Configuration: there is no field %s, so it has no effect.%s", name, nearest)
