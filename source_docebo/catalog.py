"""The command `catalog`: a configured catalog for `read`, with the sync mode that docs/docebo.md recommends."""

import argparse
import logging
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
from airbyte_cdk.utils import AirbyteTracedException
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets

from source_docebo.errors import config_error
from source_docebo.source import SourceDocebo, read_file

logger = logging.getLogger("airbyte")


def main(args: list[str]) -> int:
    """Runs the command with its arguments. Returns the exit code; what went wrong is one line on standard error."""
    parser = argparse.ArgumentParser(
        prog="source-docebo catalog", description="Prints a configured catalog: incremental for what can be, else full."
    )
    parser.add_argument("--config", required=True, metavar="FILE", help="JSON file with the config")
    parser.add_argument("--streams", metavar="NAMES", help="streams, separated by commas; all if it is left out")
    parsed = parser.parse_args(args)
    logger.setLevel(logging.WARNING)
    try:
        config = read_file("config", parsed.config)
        streams = SourceDocebo(config=config).discover(logger, config).streams
        if parsed.streams is not None:
            streams = _selected(streams, parsed.streams.replace(",", " ").split())
    except AirbyteTracedException as error:
        sys.stderr.write(f"{filter_secrets(str(error))}\n")
        return 1
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
