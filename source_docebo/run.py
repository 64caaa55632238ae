"""The `source-docebo` process: its output, signals and end. Imports the CDK last, since that takes seconds."""

import contextlib
import gc
import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import NoReturn

_FLUSH_INTERVAL_SECONDS = 0.1
_MAX_GATHERED_CHARACTERS = 100_000  # bounds the memory
_MAX_SECONDS_TO_DIE = 0.5
_BROKEN_PIPE_EXIT_CODE = 141  # as of a process that dies of SIGPIPE, in a shell


class Output:
    """
    Standard output as UTF-8 in whole lines, however the process ends. Lines are gathered, since each write to a pipe
    gives the other threads a turn: one write per record cost a third of a read's time.
    """

    encoding = "utf-8"

    def __init__(self) -> None:
        self._descriptor = sys.__stdout__.fileno() if sys.__stdout__ else -1  # a closed one may be reused by a file
        self._gathered: list[str] = []
        self._size = 0
        self._lock = threading.RLock()

    def write(self, text: str) -> int:
        """Gathers text. Returns its number of characters."""
        with self._lock:
            self._gathered.append(text)
            self._size += len(text)
            if self._size > _MAX_GATHERED_CHARACTERS:
                self.flush()
        return len(text)

    def flush(self) -> None:
        """Writes the lines that are complete. Ends the process if that is not possible: a line would be lost."""
        try:
            self._write_lines()
        except BrokenPipeError as error:
            _end(_BROKEN_PIPE_EXIT_CODE, error)
        except OSError as error:
            _end(1, error)

    def flush_regularly(self) -> None:
        """A last line must not wait until the next one, which may come after an hour of rate limit."""
        while True:
            time.sleep(_FLUSH_INTERVAL_SECONDS)
            self.flush()

    def handle_signal(self, number: int, _: FrameType | None) -> None:
        """
        Lets the process die of the signal. A thread writes what was gathered: this one may be in the middle of a line,
        or wait for a reader that has stopped reading.
        """
        signal.signal(number, signal.SIG_DFL)
        threading.Thread(target=self._die, args=[number], daemon=True).start()

    def exit(self, code: int) -> NoReturn:
        """Ends the process with everything written, without waiting for requests in flight."""
        with self._lock:
            self.flush()
            os._exit(code)

    def _die(self, number: int) -> None:
        timer = threading.Timer(_MAX_SECONDS_TO_DIE, _die_of_signal, [number])
        timer.daemon = True
        timer.start()
        with self._lock:
            with contextlib.suppress(OSError):
                self._write_lines()
            _die_of_signal(number)

    def _write_lines(self) -> None:
        with self._lock:
            lines, newline, rest = "".join(self._gathered).rpartition("\n")
            self._gathered, self._size = [rest], len(rest)
            data = memoryview(f"{lines}{newline}".encode(self.encoding, "backslashreplace"))
            while data:
                try:
                    data = data[os.write(self._descriptor, data) :]
                except BlockingIOError:  # the descriptor is non-blocking, and the pipe full
                    time.sleep(0.01)


def run(args: list[str] | None = None) -> NoReturn:
    """Runs one command of the Airbyte protocol, or `plan`, with the process's arguments unless others are given."""
    output = sys.stdout = Output()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, output.handle_signal)
    threading.Thread(target=output.flush_regularly, daemon=True).start()
    from source_docebo.command import execute

    # Collect garbage rarely, and never what lives as long as the process: that was a tenth of a read.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    output.exit(execute(sys.argv[1:] if args is None else args))


def _die_of_signal(number: int) -> None:
    os.kill(os.getpid(), number)
    os._exit(128 + number)  # process 1 of a container does not die of a signal


def _end(code: int, error: OSError) -> NoReturn:
    text = f"Standard output cannot be written: {error.strerror}. Correct where it goes, and run the command again.\n"
    with contextlib.suppress(OSError):
        os.write(sys.__stderr__.fileno() if sys.__stderr__ else -1, text.encode())
    os._exit(code)
