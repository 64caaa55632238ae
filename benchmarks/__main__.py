"""
Measures reads of sandbox tenants, by this checkout and by the floor (see floor.py): `python -m benchmarks`.

    python -m benchmarks --size 2 --latency 0.05 --workers 16    twice the reference tenant, 50 ms a request
    python -m benchmarks --against v0.1.0                        beside a revision (or the path of a checkout)

Each version is built as a wheel and installed in an environment of its own. The sandbox runs in a process of its own;
versions and floor read it by turns, so that all meet the same machine. Prints medians, as a table in Markdown.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.checkouts import ROOT, Checkout, installed, source_of
from benchmarks.scenarios import SCENARIOS, Scenario, multiple_of_reference, running

HEADER = (
    "tenant",
    "version",
    "records",
    "requests (÷ minimum)",
    "seconds (÷ floor)",
    "CPU s (÷ floor)",
    "CPU µs a record",
    "CPU ms a request",
    "peak MB (÷ floor)",
)

# Two pools of memory for all threads, and modules that are compiled once.
AS_IN_THE_IMAGE = {**os.environ, "MALLOC_ARENA_MAX": "2", "PYTHONDONTWRITEBYTECODE": ""}


@dataclass(frozen=True)
class Cost:
    """What one process took."""

    seconds: float
    cpu: float  # seconds, user and system
    peak: float  # megabytes
    records: int
    requests: int = 0
    state: bytes = b""  # its last state message


def main() -> None:
    """Measures, and prints the table."""
    names = [scenario.name for scenario in SCENARIOS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", metavar="VERSION", help="git revision, or path of a checkout, to compare with")
    parser.add_argument("--rounds", type=int, default=3, help="how often each version reads each tenant (3)")
    parser.add_argument("--scenario", choices=names, action="append", help="only this one (may be repeated)")
    parser.add_argument("--size", type=float, help="of the tenant, as a multiple of the reference of 80,000 records")
    parser.add_argument("--latency", type=float, default=0.1, help="of a request to that tenant, in seconds (0.1)")
    parser.add_argument("--workers", type=int, default=8, help="that read it (8)")
    arguments = parser.parse_args()
    scenarios = [scenario for scenario in SCENARIOS if scenario.name in (arguments.scenario or names)]
    if arguments.size is not None:
        scenarios = [multiple_of_reference(arguments.size, arguments.latency, arguments.workers)]
    with tempfile.TemporaryDirectory() as temporary:
        checkouts = [installed("this", ROOT, Path(temporary, "this"))]
        if arguments.against:
            source = source_of(arguments.against, Path(temporary, "source"))
            checkouts.append(installed(arguments.against, source, Path(temporary, "against")))
        machine = f"{os.cpu_count()} cores, Python {platform.python_version()}"
        print(f"Measured on {datetime.date.today()}, {machine}, medians of {arguments.rounds}.\n")
        print(f"| {' | '.join(HEADER)} |\n|---|---|{'---:|' * (len(HEADER) - 2)}")
        for scenario in scenarios:
            for row in rows(scenario, checkouts, arguments.rounds):
                print(f"| {' | '.join(row)} |", flush=True)
        print()
        print(start_up(checkouts))


def rows(scenario: Scenario, checkouts: Sequence[Checkout], rounds: int) -> list[list[str]]:
    """A row for each version that has the streams; if there are two, one with the first divided by the second."""
    able = [checkout for checkout in checkouts if checkout.streams.issuperset(scenario.streams)]
    if not able:
        return []
    costs, floor = measured_by_turns(scenario, able, rounds)
    minimum = scenario.minimum_requests
    found = [
        [
            scenario.name if checkout is able[0] else "",
            checkout.name,
            f"{cost.records:,}",
            f"{cost.requests:,}" + (f" ({cost.requests / minimum:.3f})" if minimum else ""),
            f"{cost.seconds:.1f} ({cost.seconds / floor.seconds:.2f})",
            f"{cost.cpu:.1f} ({cost.cpu / floor.cpu:.1f})",
            f"{cost.cpu / cost.records * 1e6:.0f}",
            f"{cost.cpu / cost.requests * 1e3:.2f}",
            f"{cost.peak:.0f} ({cost.peak / floor.peak:.1f})",
        ]
        for checkout, cost in zip(able, costs, strict=True)
    ]
    if len(costs) == 2:
        ratios: list[Callable[[Cost], float]] = [
            lambda cost: cost.records,
            lambda cost: cost.requests,
            lambda cost: cost.seconds,
            lambda cost: cost.cpu,
            lambda cost: cost.cpu / cost.records,
            lambda cost: cost.cpu / cost.requests,
            lambda cost: cost.peak,
        ]
        found.append(["", "ratio", *(f"{ratio(costs[0]) / ratio(costs[1]):.3f}" for ratio in ratios)])
    return found


def measured_by_turns(scenario: Scenario, checkouts: Sequence[Checkout], rounds: int) -> tuple[list[Cost], Cost]:
    """The median cost of each version, and that of the floor, which repeats the first version's requests."""
    with running(scenario) as tenant, tempfile.TemporaryDirectory() as directory:
        config, selected = Path(directory, "config.json"), Path(directory, "catalog.json")
        config.write_text(json.dumps(tenant.config()), encoding="utf-8")
        selected.write_text(json.dumps(scenario.catalog()), encoding="utf-8")
        reads = [
            [checkout.command, "read", "--config", str(config), "--catalog", str(selected)] for checkout in checkouts
        ]
        # The sandbox prepares its pages during the first read; an incremental sync needs the state of the sync before.
        for position, read in enumerate(reads):
            state = Path(directory, f"state-{position}.json")
            if position == 0 or scenario.changed_every:
                state.write_bytes(b"[" + measured(read).state + b"]")
            if scenario.changed_every:
                read += ["--state", str(state)]
        if scenario.changed_every:
            tenant.change()
            measured(reads[0])
        floor_command = [sys.executable, "-m", "benchmarks.floor", str(scenario.workers)]
        costs: list[list[Cost]] = [[] for _ in reads]
        floors = []
        for _ in range(rounds):
            urls: list[str] = []
            for found, read in zip(costs, reads, strict=True):
                tenant.forget_requests()
                cost = measured(read)
                count, sent = tenant.requests()
                urls = urls or sent
                found.append(Cost(cost.seconds, cost.cpu, cost.peak, cost.records, count))
            floors.append(measured(floor_command, "\n".join([f"Bearer {tenant.token()}", *urls])))
    return [median_cost(found) for found in costs], median_cost(floors)


def median_cost(costs: Sequence[Cost]) -> Cost:
    """The median of each figure."""
    return Cost(
        seconds=median(cost.seconds for cost in costs),
        cpu=median(cost.cpu for cost in costs),
        peak=median(cost.peak for cost in costs),
        records=round(median(cost.records for cost in costs)),
        requests=round(median(cost.requests for cost in costs)),
    )


def measured(command: Sequence[str], text: str = "") -> Cost:
    """Runs a command to its end with this input, and counts the records that it prints."""
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory, "usage.json")
        process = subprocess.Popen(
            [sys.executable, "-S", "-m", "benchmarks.usage", str(report), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=AS_IN_THE_IMAGE,
        )
        assert process.stdin
        assert process.stdout
        process.stdin.write(text.encode())
        process.stdin.close()
        records, state, failure = 0, b"null", "it printed no error message"
        for line in process.stdout:
            records += int(line) if line[:1].isdigit() else line.startswith(b'{"type":"RECORD"')
            if line.startswith(b'{"type":"STATE"'):
                state = json.dumps(json.loads(line)["state"]).encode()
            if line.startswith(b'{"type":"TRACE"'):
                failure = json.loads(line)["trace"].get("error", {"message": failure})["message"]
        process.wait()
        usage = json.loads(report.read_text(encoding="utf-8"))
    if usage.pop("code"):
        sys.exit(f"{command[0]} failed: {failure}")
    return Cost(**usage, records=records, state=state)


def start_up(checkouts: Sequence[Checkout]) -> str:
    """What `spec` takes, beside importing the CDK: the quickest of five, by turns."""
    commands = {f"`spec` ({checkout.name})": [checkout.command, "spec"] for checkout in checkouts}
    commands["`import airbyte_cdk`"] = [sys.executable, "-c", "import airbyte_cdk"]
    quickest = dict.fromkeys(commands, float("inf"))
    for _ in range(5):
        for name, command in commands.items():
            quickest[name] = min(quickest[name], measured(command).seconds)
    return ", ".join(f"{name} takes {seconds:.2f} s" for name, seconds in quickest.items()) + "."


if __name__ == "__main__":
    main()
