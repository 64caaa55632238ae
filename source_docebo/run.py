"""The `source-docebo` command: output, signals, arguments, end. Imports the CDK late, since that takes seconds."""

import gc
import io
import logging
import os
import signal
import sys
import tempfile
import threading
import time
from contextlib import redirect_stderr, suppress
from typing import Any, NoReturn

_FLUSH_INTERVAL_SECONDS = 0.1
_MAX_GATHERED_BYTES = 100_000  # bounds the memory
_MAX_SECONDS_TO_DIE = 0.5
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_BROKEN_PIPE_EXIT_CODE = 141  # as of a process that dies of SIGPIPE, in a shell


class Output:
    """
    Standard output as UTF-8 in whole lines, however the process ends. Lines are gathered, since each write to a pipe
    gives the other threads a turn: one write per record cost a third of a read's time.
    """

    encoding = "utf-8"

    def __init__(self) -> None:
        self._descriptor = sys.__stdout__.fileno() if sys.__stdout__ else -1  # a closed one may be reused by a file
        self._gathered = bytearray()
        self._lock = threading.RLock()

    def write(self, text: str) -> int:
        """Gathers text. Returns its number of characters."""
        with self._lock:
            self._gathered += text.encode(self.encoding, "backslashreplace")
            if len(self._gathered) > _MAX_GATHERED_BYTES:
                self.flush()
        return len(text)

    def flush(self) -> None:
        """Writes the lines that are complete. Ends the process if that is not possible: a line would be lost."""
        try:
            self._write_lines()
        except OSError as error:
            with suppress(OSError):
                problem = f"Standard output cannot be written: {error.strerror}."
                print(problem, "Correct where it goes, and run the command again.", file=sys.stderr)
            os._exit(_BROKEN_PIPE_EXIT_CODE if isinstance(error, BrokenPipeError) else 1)

    def flush_regularly(self) -> None:
        """A last line must not wait until the next one, which may come after an hour of rate limit."""
        while True:
            time.sleep(_FLUSH_INTERVAL_SECONDS)
            self.flush()

    def die_of_signal(self) -> None:
        """
        Waits for a signal, writes what was gathered, and has the process die of it. Not a handler: Python runs those in
        the main thread only, which may be in the middle of a line, or wait for records for ever.
        """
        number = signal.sigwait(_SIGNALS)
        timer = threading.Timer(_MAX_SECONDS_TO_DIE, _die, [number])  # the reader may have stopped reading
        timer.start()
        with self._lock, suppress(OSError):
            self._write_lines()
        _die(number)

    def exit(self, code: int) -> NoReturn:
        """Ends the process with everything written, without waiting for requests in flight."""
        with self._lock:
            self.flush()
            os._exit(code)

    def _write_lines(self) -> None:
        with self._lock:
            end = self._gathered.rfind(b"\n") + 1
            data, self._gathered = self._gathered[:end], self._gathered[end:]
            while data:
                try:
                    del data[: os.write(self._descriptor, data)]
                except BlockingIOError:  # the descriptor is non-blocking, and the pipe full
                    time.sleep(0.01)


def run(args: list[str] | None = None) -> NoReturn:
    """Runs one command of the Airbyte protocol, or `plan`, with the process's arguments unless others are given."""
    output = sys.stdout = Output()
    if hasattr(signal, "pthread_sigmask"):  # not on Windows, where a process dies of a signal by itself
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        threading.Thread(target=output.die_of_signal, daemon=True).start()
    threading.Thread(target=output.flush_regularly, daemon=True).start()
    output.exit(execute(sys.argv[1:] if args is None else args))


def execute(args: list[str]) -> int:
    """Runs one command. Returns the exit code."""
    from airbyte_cdk.entrypoint import AirbyteEntrypoint
    from airbyte_cdk.utils import AirbyteTracedException

    from source_docebo.errors import DoceboError, config_error
    from source_docebo.source import SourceDocebo

    # Collect garbage rarely, and never what lives as long as the process: that was a tenth of a read.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.stream = sys.stdout  # setStream would flush to the CDK's own output
    usage = io.StringIO()
    given: dict[str, Any] = {}
    try:
        if not _find_temporary_directory():
            raise config_error(
                "There is no directory for temporary files that can be written to. Mount one at /tmp, or name one in "
                "the environment variable TMPDIR."
            )
        if args[:1] == ["plan"]:
            from source_docebo.plan import main

            return main(args[1:])
        with redirect_stderr(usage):
            parsed = AirbyteEntrypoint.parse_args(args)
        if not parsed.command:
            sys.stderr.write("source-docebo: error: a command is required: spec, check, discover, read or plan\n")
            return 1
        paths = {name: getattr(parsed, name, None) for name in ("config", "catalog", "state")}
        given = {name: getattr(SourceDocebo, f"read_{name}")(path) for name, path in paths.items() if path}
        for line in AirbyteEntrypoint(SourceDocebo(**given)).run(parsed):
            sys.stdout.write(f"{line}\n")
    except SystemExit as end:
        sys.stderr.write("".join(usage.getvalue().splitlines(keepends=True)[-1:]))
        return 1 if end.code else 0
    except Exception as error:
        trace = AirbyteTracedException.from_exception(error)
        if isinstance(error, AirbyteTracedException):
            trace = DoceboError(str(error), error.failure_type)
        status = trace.as_connection_status_message() if args[:1] == ["check"] else None
        shown = status or trace.as_sanitized_airbyte_message()
        sys.stdout.write(f"{AirbyteEntrypoint.airbyte_message_to_string(shown)}\n")
        return 0 if status and given else 1  # a check that could not read its file has no result
    return 0


def _find_temporary_directory() -> bool:
    """The CDK needs one. In a read-only container without /tmp, it is in memory."""
    for directory in (None, "/dev/shm"):
        tempfile.tempdir = directory
        with suppress(OSError), tempfile.TemporaryFile():
            return True
    return False


def _die(number: int) -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
    os.kill(os.getpid(), number)
    os._exit(128 + number)  # process 1 of a container does not die of a signal
