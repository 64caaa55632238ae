"""The source: finds the manifest, refuses what it cannot work with, and hands on configuration, catalog and state."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from airbyte_cdk.models import (
    AirbyteConnectionStatus,
    AirbyteMessage,
    AirbyteStateMessage,
    ConfiguredAirbyteCatalog,
)
from airbyte_cdk.sources.declarative.types import ConnectionDefinition
from airbyte_cdk.sources.declarative.yaml_declarative_source import YamlDeclarativeSource
from jsonschema import Draft7Validator, ValidationError

from source_docebo.errors import WithoutStackTraces, config_error

_HERE = Path(__file__).parent
# In a wheel the manifest lies beside this file; in a checkout, above the package.
MANIFEST = next(path for path in (_HERE / "manifest.yaml", _HERE.parent / "manifest.yaml") if path.is_file())
_WITHOUT_STACK_TRACES = WithoutStackTraces()


class SourceDocebo(YamlDeclarativeSource):
    """
    The CDK's declarative source on this project's manifest. It adds what the CDK keeps silent about: the name of the
    field that is wrong in a configuration, and streams of a catalog that do not exist.

    Raises Failure (config_error) if the configuration does not fit the specification.
    """

    def __init__(
        self,
        catalog: ConfiguredAirbyteCatalog | None = None,
        config: Mapping[str, Any] | None = None,
        state: list[AirbyteStateMessage] | None = None,
        config_path: str | None = None,
    ) -> None:
        for handler in logging.getLogger().handlers:
            handler.addFilter(_WITHOUT_STACK_TRACES)
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
        served = {stream["name"] for stream in self.resolved_manifest["streams"]}
        unknown = [entry.stream.name for entry in catalog.streams if entry.stream.name not in served]
        yield from super().read(logger, config, catalog, state)
        if unknown:
            raise config_error(
                f"The connection selects streams that do not exist: {', '.join(unknown)}. Refresh its schema, or "
                f"deselect them. There are: {', '.join(sorted(served))}."
            )

    def check(self, logger: logging.Logger, config: Mapping[str, Any]) -> AirbyteConnectionStatus:
        """Signs in and reads a course. The CDK gives the message in quotes, as Python would."""
        status = super().check(logger, config)
        if status.message:
            status.message = status.message.strip("'\"")
        return status

    def _migrate_and_transform_config(
        self, config_path: str | None, config: Mapping[str, Any] | None
    ) -> Mapping[str, Any] | None:
        if config and self._spec_component:
            _refuse_invalid(config, self._spec_component.connection_specification)
        return super()._migrate_and_transform_config(config_path, config)

    def _read_and_parse_yaml_file(self, path_to_yaml_file: str) -> ConnectionDefinition:
        # The C loader, where there is one: the other takes longer for this manifest than all the rest of `spec`.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        definition = yaml.load(Path(path_to_yaml_file).read_text(encoding="utf-8"), Loader=loader)
        return dict(definition)


def _refuse_invalid(config: Mapping[str, Any], specification: Mapping[str, Any]) -> None:
    """
    Raises a config_error that names the field. The CDK's own check shows values, secrets among them, and no name.
    """
    for error in Draft7Validator(specification).iter_errors(config):
        for cause in _of_the_variant(error):
            path = [str(part) for part in cause.absolute_path]
            raise config_error(f"Configuration: {_complaint(cause, path)}")


def _of_the_variant(error: ValidationError) -> list[ValidationError]:
    """What is wrong in the chosen variant of `credentials`, instead of what is wrong in all of them."""
    if error.validator != "oneOf" or not isinstance(error.instance, Mapping):
        return [error]
    chosen = error.instance.get("auth_type")
    schema: Any = error.schema
    variants = [variant["properties"]["auth_type"]["const"] for variant in schema["oneOf"]]
    if chosen not in variants:
        error.message = f"must have an auth_type that is one of: {', '.join(variants)}"
        return [error]
    return [cause for cause in error.context or [] if cause.schema_path[0] == variants.index(chosen)]


def _complaint(error: ValidationError, path: list[str]) -> str:
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
        "pattern": (
            "must be the https address of your platform, such as https://acme.docebosaas.com "
            "(http only for this computer itself, and nothing after ? or #)"
        ),
        "oneOf": error.message if "auth_type" in error.message else "must be an object with an auth_type",
    }
    return f"the field {field} {expected.get(str(error.validator), 'is not valid')}."
