"""
Runs a command and reports what it took: `python -S -m benchmarks.usage <report> <command> ..`.

The report is a JSON object: exit code, seconds, CPU seconds, peak in megabytes. This is a process of its own because
Linux counts the memory of the process that starts a command as the command's own until it outgrows it.
"""

import json
import os
import sys
import time


def main() -> None:
    """Waits for the command, which has this process's input and output."""
    report, *command = sys.argv[1:]
    started = time.monotonic()
    process = os.posix_spawn(command[0], command, os.environ)
    _, status, usage = os.wait4(process, 0)
    with open(report, "w", encoding="utf-8") as file:
        json.dump(
            {
                "code": os.waitstatus_to_exitcode(status),
                "seconds": time.monotonic() - started,
                "cpu": usage.ru_utime + usage.ru_stime,
                "peak": usage.ru_maxrss / 1024,
            },
            file,
        )


if __name__ == "__main__":
    main()
