"""The `source-docebo` command."""

import contextlib
import ctypes
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
_M_ARENA_MAX = -8  # of malloc.h
_NOBODY_READS = 128 + signal.SIGPIPE


class _Output:
    """
    Standard output, of which only whole lines are ever seen, however the command ends. Lines are gathered, since each
    write gives the other threads a turn: one write for every line cost a third of a read's time.
    """

    _ENOUGH = 100_000  # characters
    _LATEST = 0.2  # seconds

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: list[str] = []
        self._size = 0

    def write(self, messages: Iterable[str]) -> None:
        for message in messages:
            with self._lock:
                self._lines.append(message)
                self._size += len(message)
                if self._size > self._ENOUGH:
                    self._flush()

    def end(self, code: int) -> None:
        """Ends the process at once: calls in flight are not waited for."""
        with self._lock:
            try:
                self._flush()
            finally:
                os._exit(code)

    def tend(self) -> None:
        """
        Sees to it that no line waits long, and that SIGTERM ends the process between two lines. A thread waits for the
        signal, since by default the first process of a container does not get it at all.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

        def wait() -> None:
            while signal.sigtimedwait({signal.SIGTERM}, self._LATEST) is None:
                with self._lock:
                    self._flush()
            threading.Timer(3, os._exit, [_TERMINATED]).start()  # should the reader of the output have stopped reading
            self.end(_TERMINATED)

        threading.Thread(target=wait, daemon=True, name="output").start()

    def _flush(self) -> None:
        if self._lines:
            lines, self._lines, self._size = self._lines, [], 0
            try:
                sys.stdout.write("\n".join([*lines, ""]))
                sys.stdout.flush()
            except BrokenPipeError:
                os._exit(_NOBODY_READS)


def run(args: list[str] | None = None) -> None:
    """Runs one command of the Airbyte protocol, with the arguments of the process unless others are given."""
    init_uncaught_exception_handler(logger)
    logging.raiseExceptions = False  # a log line that nobody reads any more is no reason for a traceback
    _share_memory()
    output = _Output()
    output.tend()
    output.end(_run(sys.argv[1:] if args is None else args, output))


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


def _share_memory() -> None:
    """Lets all threads take memory from two pools: glibc gives each its own, which held 40 MB more at the peak."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)
