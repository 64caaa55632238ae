"""The `source-docebo` command."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterable
from json import JSONDecodeError
from typing import Any

from airbyte_cdk.entrypoint import AirbyteEntrypoint, logger
from airbyte_cdk.exception_handler import init_uncaught_exception_handler
from airbyte_cdk.models import AirbyteMessage, FailureType
from airbyte_cdk.utils import AirbyteTracedException

from source_docebo.failures import Failure, to_configure
from source_docebo.source import SourceDocebo

_TERMINATED = 128 + signal.SIGTERM


class _Output:
    """Standard output, of which only whole lines are ever seen, however the command ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def write(self, messages: Iterable[str]) -> None:
        for message in messages:
            with self._lock:
                sys.stdout.write(f"{message}\n")

    def end(self, code: int) -> None:
        """Ends the process at once: calls in flight are not waited for."""
        with self._lock:
            try:
                sys.stdout.flush()
            finally:
                os._exit(code)


def run(args: list[str] | None = None) -> None:
    """Runs one command of the Airbyte protocol, with the arguments of the process unless others are given."""
    init_uncaught_exception_handler(logger)
    output = _Output()
    _end_on_termination(output)
    logging.raiseExceptions = False  # a log line that nobody reads any more is no reason for a traceback
    try:
        code = _run(sys.argv[1:] if args is None else args, output)
        output.end(code)
    except BrokenPipeError:
        os._exit(1)


def _run(args: list[str], output: _Output) -> int:
    parsed = AirbyteEntrypoint.parse_args(args)
    try:
        source = _source(parsed)
        output.write(AirbyteEntrypoint(source).run(parsed))
    except AirbyteTracedException as failure:
        told = Failure(str(failure), failure.failure_type)
        is_check = parsed.command == "check" and told.failure_type == FailureType.config_error
        output.write([_text(told.as_connection_status_message() if is_check else told.as_airbyte_message())])
        return 0 if is_check else 1
    return 0


def _source(parsed: Any) -> SourceDocebo:
    config, catalog, state = (getattr(parsed, name, None) for name in ("config", "catalog", "state"))
    return SourceDocebo(
        config=_readable(SourceDocebo.read_config, config) if config else None,
        catalog=_readable(SourceDocebo.read_catalog, catalog) if catalog else None,
        state=_readable(SourceDocebo.read_state, state) if state else None,
        config_path=config,
    )


def _readable(read: Any, path: str) -> Any:
    """What the file holds. Raises a config_error that names the file if it cannot be used."""
    try:
        return read(path)
    except FileNotFoundError:
        problem = "does not exist"
    except PermissionError:
        problem = f"is not readable by this user (uid {os.getuid()}): change its permissions"
    except (JSONDecodeError, UnicodeDecodeError, ValueError):
        problem = "is not valid JSON"
    except (OSError, TypeError, KeyError) as error:
        problem = f"cannot be used ({type(error).__name__})"
    raise to_configure(f"The file {path} {problem}.")


def _text(message: Any) -> str:
    assert isinstance(message, AirbyteMessage)
    return AirbyteEntrypoint.airbyte_message_to_string(message)


def _end_on_termination(output: _Output) -> None:
    """
    Ends the process within moments of SIGTERM, between two lines. A thread waits for the signal: a handler would run
    in the middle of a line, and by default the first process of a container does not get the signal at all.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def wait() -> None:
        signal.sigwait({signal.SIGTERM})
        threading.Timer(3, os._exit, [_TERMINATED]).start()  # should the reader of the output have stopped reading
        output.end(_TERMINATED)

    threading.Thread(target=wait, daemon=True, name="termination").start()
