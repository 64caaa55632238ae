"""The `source-docebo` command."""

import argparse
import contextlib
import ctypes
import gc
import io
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from json import JSONDecodeError
from typing import TextIO, TypeVar

from airbyte_cdk.entrypoint import AirbyteEntrypoint
from airbyte_cdk.models import AirbyteMessage, FailureType
from airbyte_cdk.utils import AirbyteTracedException

from source_docebo.failures import Failure
from source_docebo.source import SourceDocebo

_Read = TypeVar("_Read")
_ENDING = {signal.SIGTERM, signal.SIGINT}
_M_ARENA_MAX = -8  # of malloc.h
_NOBODY_READS = 128 + signal.SIGPIPE


class _UnusableFileError(Failure):
    pass


class _Output(io.TextIOBase):
    """
    Stands in for standard output, and lets nothing but whole lines through, however the command ends and whichever
    thread writes. Lines are gathered, since each write to a pipe gives the other threads a turn: one for every record
    cost a third of a read's time.
    """

    _ENOUGH = 100_000  # characters
    _LATEST = 0.2  # seconds

    def __init__(self, target: TextIO) -> None:
        self._target = target
        self._lock = threading.RLock()
        self._lines: list[str] = []
        self._size = 0

    def write(self, lines: str) -> int:
        with self._lock:
            self._lines.append(lines)
            self._size += len(lines)
            if self._size > self._ENOUGH:
                self._let_through()
        return len(lines)

    def end(self, code: int) -> None:
        """Ends the process at once: calls in flight are not waited for."""
        with self._lock:
            try:
                self._let_through()
            finally:
                os._exit(code)

    def tend(self) -> None:
        """
        Sees to it that no line waits long, and that a signal (SIGTERM, Ctrl-C) ends the process between two lines. A
        thread waits for it: the first process of a container gets no signal by default, and a handler would break into
        the writing of a line.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
        for task in (self._end_on_signal, self._let_through_in_time):
            threading.Thread(target=task, daemon=True).start()

    def _end_on_signal(self) -> None:
        code = 128 + signal.sigwait(_ENDING)
        threading.Timer(3, os._exit, [code]).start()  # should the reader of the output have stopped reading
        self.end(code)

    def _let_through_in_time(self) -> None:
        while True:
            time.sleep(self._LATEST)
            with self._lock:
                self._let_through()

    def _let_through(self) -> None:
        if self._lines:
            lines, self._lines, self._size = self._lines, [], 0
            try:
                self._target.write("".join(lines))
                self._target.flush()
            except BrokenPipeError:
                os._exit(_NOBODY_READS)


def run(args: list[str] | None = None) -> None:
    """Runs one command of the Airbyte protocol, with the arguments of the process unless others are given."""
    _tune_memory()
    output = _Output(sys.stdout)
    output.tend()
    sys.stdout = output
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setStream(output)
    output.end(_run(AirbyteEntrypoint.parse_args(sys.argv[1:] if args is None else args)))


def _run(parsed: argparse.Namespace) -> int:
    try:
        for message in AirbyteEntrypoint(_source(parsed)).run(parsed):
            sys.stdout.write(f"{message}\n")
    except AirbyteTracedException as failure:
        told = Failure(str(failure), failure.failure_type)
        if parsed.command == "check" and (status := told.as_connection_status_message()):
            _print(status)
            return 1 if isinstance(failure, _UnusableFileError) else 0
        _print(told.as_sanitized_airbyte_message())
        return 1
    except Exception as error:  # the last resort: told as the protocol wants it, stack trace and all
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
    """What the file holds. Raises a config_error that names the file if it cannot be used."""
    try:
        return read(path)
    except FileNotFoundError:
        problem = "does not exist"
    except PermissionError:
        problem = f"is not readable by this user (uid {os.getuid()}): change its permissions"
    except (JSONDecodeError, UnicodeDecodeError, ValueError):
        problem = "does not hold a JSON object"
    except (OSError, TypeError, KeyError) as error:
        problem = f"cannot be used ({type(error).__name__})"
    raise _UnusableFileError(f"The file {path} {problem}.", FailureType.config_error)


def _print(message: AirbyteMessage) -> None:
    sys.stdout.write(f"{AirbyteEntrypoint.airbyte_message_to_string(message)}\n")


def _tune_memory() -> None:
    """
    Spares the garbage collector from what lives as long as the process, and from looking every few records: that was a
    tenth of a read. Lets all threads take memory from two pools: glibc gives each its own, 40 MB more at the peak.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)
