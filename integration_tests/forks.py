"""
Runs the installed command in forks of one process that has imported it, which saves each run the seconds of a start.

Started by `Connector` with the interpreter of the environment, the bytes of memory that a run may take, and the seconds
of its longest wait (0: as long as it wants). For each line of standard input, an object with `arguments`, `output` and
`errors` (paths), it prints the process id, and then the exit code.
"""

import json
import os
import resource
import sys
import time

import airbyte_cdk.sources.declarative.yaml_declarative_source  # noqa: F401

import source_docebo.plan  # noqa: F401
from source_docebo.run import run
from source_docebo.source import SourceDocebo  # noqa: F401

MOST_BYTES, LONGEST_SLEEP = int(sys.argv[1]), float(sys.argv[2])


def main() -> None:
    """Serves until standard input ends."""
    if LONGEST_SLEEP:
        sleep = time.sleep
        time.sleep = lambda seconds: sleep(min(seconds, LONGEST_SLEEP))
    for line in sys.stdin:
        request = json.loads(line)
        process_id = os.fork()
        if not process_id:
            for path, descriptor in ((request["output"], 1), (request["errors"], 2)):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
            run(request["arguments"])
        print(process_id, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(process_id, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
