"""The `source-docebo` command."""

import argparse
import contextlib
import ctypes
import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import NoReturn, TypeVar

from airbyte_cdk.entrypoint import AirbyteEntrypoint
from airbyte_cdk.models import AirbyteMessage, FailureType
from airbyte_cdk.utils import AirbyteTracedException, PrintBuffer

from source_docebo.errors import DoceboError
from source_docebo.source import SourceDocebo

_Read = TypeVar("_Read")
_STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}
_M_ARENA_MAX = -8  # of malloc.h


class _UnusableFileError(DoceboError):
    pass


class _Output(PrintBuffer):
    """
    Standard output in whole lines, however the command ends. Writes are gathered, since each write to a pipe gives the
    other threads a turn: one for every record cost a third of a read's time.
    """

    def write(self, message: str) -> None:
        """Gathers a message, up to 100,000 characters, which bounds the memory."""
        with self.lock:
            super().write(message)
            if self.buffer.tell() > 100_000:
                self.flush()

    def flush(self) -> None:
        """Writes what was gathered. Ends the process if nobody reads it any more."""
        try:
            super().flush()
        except BrokenPipeError:
            os._exit(128 + signal.SIGPIPE)

    def flush_regularly(self) -> None:
        """The CDK's buffer flushes only on the next write: a last line would wait through an hour of silence."""
        while True:
            time.sleep(self.flush_interval)
            self.flush()

    def exit_on_signal(self) -> None:
        """A thread waits for signals: PID 1 of a container gets none by default, and a handler would break a line."""
        code = 128 + signal.sigwait(_STOP_SIGNALS)
        threading.Timer(3, os._exit, [code]).start()  # should the reader of the output have stopped reading
        self.exit(code)

    def exit(self, code: int) -> NoReturn:
        """Ends the process between two lines, without waiting for requests in flight."""
        with self.lock:
            self.flush()
            os._exit(code)


def run(args: list[str] | None = None) -> NoReturn:
    """Runs one command of the Airbyte protocol, with the process's arguments unless others are given."""
    _tune_memory()
    output = sys.stdout = _Output()
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setStream(output)
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    for task in (output.exit_on_signal, output.flush_regularly):
        threading.Thread(target=task, daemon=True).start()
    output.exit(_run(AirbyteEntrypoint.parse_args(sys.argv[1:] if args is None else args)))


def _run(parsed: argparse.Namespace) -> int:
    try:
        for message in AirbyteEntrypoint(_source(parsed)).run(parsed):
            sys.stdout.write(f"{message}\n")
    except AirbyteTracedException as error:
        shown = DoceboError(str(error), error.failure_type)
        if parsed.command == "check" and (status := shown.as_connection_status_message()):
            _print(status)
            return 1 if isinstance(error, _UnusableFileError) else 0
        _print(shown.as_sanitized_airbyte_message())
        return 1
    except Exception as error:  # the last resort: as an error trace of the protocol, with its stack trace
        _print(AirbyteTracedException.from_exception(error).as_sanitized_airbyte_message())
        return 1
    return 0


def _source(parsed: argparse.Namespace) -> SourceDocebo:
    config, catalog, state = (getattr(parsed, name, None) for name in ("config", "catalog", "state"))
    return SourceDocebo(
        config=_readable(SourceDocebo.read_config, config) if config else None,
        catalog=_readable(SourceDocebo.read_catalog, catalog) if catalog else None,
        state=_readable(SourceDocebo.read_state, state) if state else None,
        config_path=config,
    )


def _readable(read: Callable[[str], _Read], path: str) -> _Read:
    """The content of a file. Raises a config_error that names the file if it cannot be used."""
    try:
        return read(path)
    except FileNotFoundError:
        problem = "does not exist"
    except PermissionError:
        problem = f"is not readable by this user (uid {os.getuid()}): change its permissions"
    except ValueError:  # JSONDecodeError, UnicodeDecodeError
        problem = "does not hold a JSON object"
    except (OSError, TypeError, KeyError) as error:
        problem = f"cannot be used ({type(error).__name__})"
    raise _UnusableFileError(f"The file {path} {problem}.", FailureType.config_error)


def _print(message: AirbyteMessage) -> None:
    sys.stdout.write(f"{AirbyteEntrypoint.airbyte_message_to_string(message)}\n")


def _tune_memory() -> None:
    """
    Collects garbage rarely, and never what lives as long as the process: that was a tenth of a read. Lets all threads
    share two malloc arenas: glibc gives each its own, 40 MB more at the peak.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)
