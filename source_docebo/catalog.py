"""The command `catalog`: a configured catalog for `read`, with the sync mode that docs/docebo.md recommends."""

import argparse
import sys

import orjson
from airbyte_cdk.models import (
    AirbyteStream,
    ConfiguredAirbyteCatalog,
    ConfiguredAirbyteCatalogSerializer,
    ConfiguredAirbyteStream,
    DestinationSyncMode,
    SyncMode,
)

from source_docebo.errors import config_error, logger
from source_docebo.source import SourceDocebo


def main(source: SourceDocebo, arguments: argparse.Namespace) -> int:
    """Runs the command. Returns the exit code. Raises DoceboError if the definitions of fields cannot be read."""
    streams = source.discover(logger, source._config).streams
    if arguments.streams is not None:
        streams = _selected(streams, arguments.streams.replace(",", " ").split())
    catalog = ConfiguredAirbyteCatalogSerializer.dump(ConfiguredAirbyteCatalog([_configured(each) for each in streams]))
    sys.stdout.write(orjson.dumps(catalog, option=orjson.OPT_INDENT_2).decode() + "\n")
    return 0


def _selected(streams: list[AirbyteStream], names: list[str]) -> list[AirbyteStream]:
    """The streams of these names, in their usual order. Raises DoceboError (config_error) if one does not exist."""
    known = [stream.name for stream in streams]
    if unknown := [name for name in names if name not in known]:
        raise config_error(f"There is no stream {', '.join(unknown)}. There are: {', '.join(sorted(known))}.")
    return [stream for stream in streams if stream.name in names]


def _configured(stream: AirbyteStream) -> ConfiguredAirbyteStream:
    is_incremental = SyncMode.incremental in stream.supported_sync_modes
    return ConfiguredAirbyteStream(
        stream=stream,
        sync_mode=SyncMode.incremental if is_incremental else SyncMode.full_refresh,
        destination_sync_mode=DestinationSyncMode.append_dedup if is_incremental else DestinationSyncMode.overwrite,
        cursor_field=stream.default_cursor_field,
        primary_key=stream.source_defined_primary_key,
    )
