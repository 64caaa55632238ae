"""The commands of the Airbyte protocol, and `plan`: arguments, and the messages that leave the process."""

import argparse
import io
import logging
import os
import sys
import tempfile
from contextlib import redirect_stderr

import orjson
from airbyte_cdk.entrypoint import AirbyteEntrypoint
from airbyte_cdk.utils import AirbyteTracedException
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets

from source_docebo.errors import DoceboError, config_error
from source_docebo.files import UnusableFileError
from source_docebo.source import SourceDocebo

_MASKED_TYPES = ('{"type":"LOG"', '{"type":"TRACE"', '{"type":"CONNECTION_STATUS"')
_MASKED_FIELDS = ("message", "internal_message", "stack_trace")


class _MaskedErrors(io.TextIOBase):
    """Standard error without secrets."""

    def write(self, text: str) -> int:
        return sys.__stderr__.write(filter_secrets(text)) if sys.__stderr__ else 0


def execute(args: list[str]) -> int:
    """Runs one command. Returns the exit code."""
    sys.stderr = _MaskedErrors()
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.stream = sys.stdout  # setStream would flush to the CDK's own output
    usage = io.StringIO()
    try:
        with redirect_stderr(usage):
            parsed = _plan_arguments(args[1:]) if args[:1] == ["plan"] else AirbyteEntrypoint.parse_args(args)
    except SystemExit as end:
        if end.code:
            sys.stderr.write(f"{usage.getvalue().splitlines()[-1]}\n")
        return 1 if end.code else 0
    if not parsed.command:
        sys.stderr.write("source-docebo: error: a command is required: spec, check, discover, read or plan\n")
        return 1
    return _plan(parsed) if parsed.command == "plan" else _run(parsed)


def _run(parsed: argparse.Namespace) -> int:
    config, catalog, state = (getattr(parsed, name, None) for name in ("config", "catalog", "state"))
    try:
        _find_temporary_directory()
        source = SourceDocebo(
            config=SourceDocebo.read_config(config) if config else None,
            catalog=SourceDocebo.read_catalog(catalog) if catalog else None,
            state=SourceDocebo.read_state(state) if state else None,
            config_path=config,
        )
        for message in AirbyteEntrypoint(source).run(parsed):
            _print(message)
    except AirbyteTracedException as error:
        shown = DoceboError(str(error), error.failure_type)
        if parsed.command == "check" and (status := shown.as_connection_status_message()):
            _print(AirbyteEntrypoint.airbyte_message_to_string(status))
            return 1 if isinstance(error, UnusableFileError) else 0
        _print(AirbyteEntrypoint.airbyte_message_to_string(shown.as_airbyte_message()))
        return 1
    except Exception as error:  # the last resort: as an error trace of the protocol, with its stack trace
        trace = AirbyteTracedException.from_exception(error).as_airbyte_message()
        _print(AirbyteEntrypoint.airbyte_message_to_string(trace))
        return 1
    return 0


def _plan_arguments(args: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="source-docebo plan", description="Estimates what a full sync costs.")
    parser.add_argument("--config", required=True, help="path to the json configuration file")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser.parse_args(args, argparse.Namespace(command="plan"))


def _plan(parsed: argparse.Namespace) -> int:
    from source_docebo.plan import plan

    try:
        _find_temporary_directory()
        return plan(SourceDocebo.read_config(parsed.config), parsed.json)
    except AirbyteTracedException as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _find_temporary_directory() -> None:
    """The CDK needs one. Raises a config_error if there is none, as in a read-only container without /tmp."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        os.environ["TMPDIR"] = "/dev/shm"
        try:
            tempfile.gettempdir()
        except FileNotFoundError:
            raise config_error(
                "There is no directory for temporary files that can be written to. Mount one at /tmp, or name one in "
                "the environment variable TMPDIR."
            ) from None


def _print(message: str) -> None:
    """Prints a message of the protocol, with secrets masked in what is said, and nowhere else."""
    if message.startswith(_MASKED_TYPES):
        parsed = orjson.loads(message)
        for part in (parsed.get("log"), parsed.get("trace", {}).get("error"), parsed.get("connectionStatus")):
            for name in _MASKED_FIELDS:
                if part and part.get(name):
                    part[name] = filter_secrets(part[name])
        message = orjson.dumps(parsed).decode()
    sys.stdout.write(f"{message}\n")
