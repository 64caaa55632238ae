"""The `source-docebo` command: arguments, output, signals, exit codes."""

import argparse
import gc
import importlib
import logging
import os
import signal
import sys
import threading
import time
from importlib.metadata import version
from typing import NoReturn

from airbyte_cdk.entrypoint import AirbyteEntrypoint
from airbyte_cdk.utils import AirbyteTracedException
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets

from source_docebo.errors import DoceboError
from source_docebo.source import SourceDocebo, read_file

_FLUSH_INTERVAL_SECONDS = 0.1
_MAX_GATHERED_BYTES = 100_000  # bounds the memory
# What each command does, and the options that it has.
_COMMANDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "spec": ("print the fields of the configuration", ()),
    "check": ("sign in and read a page of courses", ("config",)),
    "discover": ("print the streams with their schemas", ("config",)),
    "read": ("read the streams of a configured catalog", ("config", "catalog", "state")),
    "plan": ("with at most 30 requests, show which streams can be read and what a sync costs", ("config",)),
    "catalog": ("print a configured catalog for read, in the modes that are recommended", ("config", "streams")),
}
_OPTIONS = {
    "config": "JSON file with the configuration",
    "catalog": "JSON file with the configured catalog",
    "state": "JSON file with the states of the last sync",
    "streams": "names of streams, separated by commas; all streams if it is left out",
}


class Output:
    """
    Standard output as UTF-8 in whole lines. Lines are gathered, since each write to a pipe gives the other threads a
    turn: one write per record cost a third of a read's time. A log line is written at once, with those before it.
    """

    encoding = "utf-8"

    def __init__(self) -> None:
        self._descriptor = sys.__stdout__.fileno() if sys.__stdout__ else -1  # no file has the number -1
        if sys.__stdout__:
            os.set_blocking(self._descriptor, True)
        self._gathered = bytearray()
        self._flushed_at = 0.0
        self._lock = threading.RLock()

    def write(self, text: str) -> int:
        """Gathers a line. Returns its number of characters."""
        with self._lock:
            self._gathered += text.encode(self.encoding, "backslashreplace")
            is_late = time.monotonic() - self._flushed_at > _FLUSH_INTERVAL_SECONDS
            if is_late or len(self._gathered) > _MAX_GATHERED_BYTES:
                self.flush()
        return len(text)

    def flush(self) -> None:
        """Writes what was gathered. Ends the process if that is not possible: a line would be lost."""
        with self._lock:
            try:
                while self._gathered:
                    del self._gathered[: os.write(self._descriptor, self._gathered)]
            except OSError as error:
                sys.stderr.write(f"Standard output cannot be written: {error.strerror}.\n")
                os._exit(1)
            self._flushed_at = time.monotonic()


def run(args: list[str] | None = None) -> NoReturn:
    """Runs one command with the process's arguments, unless others are given."""
    is_init = os.getpid() == 1  # process 1 of a container does not die of a signal by itself
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, (lambda received, _: os._exit(128 + received)) if is_init else signal.SIG_DFL)
    sys.stdout = Output()
    try:
        code = execute(sys.argv[1:] if args is None else args)
    except SystemExit as end:  # of the argument parser
        code = 1 if end.code else 0
    sys.stdout.flush()
    os._exit(code)  # without waiting for requests in flight


class PlainFormatter(logging.Formatter):
    """Log lines as text, for commands that people run. Secrets are masked."""

    def format(self, record: logging.LogRecord) -> str:
        """The message alone."""
        return filter_secrets(super().format(record))


def parse(args: list[str]) -> argparse.Namespace:
    """The arguments under the names that the CDK gives them. Ends the process if they cannot be used."""
    parser = argparse.ArgumentParser(prog="source-docebo", description="Copies a Docebo learning platform.")
    parser.add_argument("--version", action="version", version=f"source-docebo {version('airbyte-source-docebo')}")
    commands = parser.add_subparsers(title="commands", dest="command", required=True)
    for name, (description, options) in _COMMANDS.items():
        command = commands.add_parser(name, help=description, description=f"{description.capitalize()}.")
        command.add_argument("--debug", action="store_true", help="write more to the log")
        for option in options:
            is_required = option in ("config", "catalog")
            command.add_argument(f"--{option}", required=is_required, metavar=option.upper(), help=_OPTIONS[option])
    return parser.parse_args(args)


def execute(args: list[str]) -> int:
    """Runs one command. Returns the exit code."""
    # Collect garbage rarely, and never what lives as long as the process: that took a tenth of a read's time.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    parsed = parse(args)
    is_for_people = parsed.command in ("plan", "catalog")
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler):
            # setStream would flush to the CDK's own output
            handler.stream = sys.stderr if is_for_people else sys.stdout
            if is_for_people:
                handler.setFormatter(PlainFormatter())
    try:
        paths = {name: getattr(parsed, name, None) for name in ("config", "catalog", "state")}
        source = SourceDocebo(**{name: read_file(name, path) for name, path in paths.items() if path})
        if is_for_people:
            return int(importlib.import_module(f"source_docebo.{parsed.command}").main(source, parsed))
        for line in AirbyteEntrypoint(source).run(parsed):
            sys.stdout.write(f"{line}\n")
    except Exception as error:
        trace = AirbyteTracedException.from_exception(error)
        if isinstance(error, AirbyteTracedException):
            if is_for_people:
                sys.stderr.write(f"{filter_secrets(str(error))}\n")
                return 1
            trace = DoceboError(str(error), error.failure_type)  # without the stack trace
        status = trace.as_connection_status_message() if parsed.command == "check" else None
        message = AirbyteEntrypoint.airbyte_message_to_string(status or trace.as_sanitized_airbyte_message())
        sys.stdout.write(f"{message}\n")
        return 0 if status else 1
    return 0
