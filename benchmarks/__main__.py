"""
Measures reads of sandbox tenants: `python -m benchmarks`, or one of a size of choice, such as
`python -m benchmarks --size 2 --latency 0.05 --workers 16` (twice the reference tenant, 50 ms a call).

For each row the sandbox runs in a process of its own, then the connector and the floor (see floor.py) read it one
after the other, so that both meet the same machine. Prints a table in Markdown.
"""

import argparse
import datetime
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import requests

from integration_tests.command import STREAMS, catalog
from integration_tests.sandbox import SandboxProcess, Tenant

COMMAND = str(Path(sys.executable).with_name("source-docebo"))


@dataclass(frozen=True)
class Scenario:
    """One row of the table."""

    name: str
    tenant: Tenant
    latency: float  # seconds
    workers: int
    streams: Sequence[str] = STREAMS


@dataclass(frozen=True)
class Cost:
    """What a process took: seconds of the wall, seconds of CPU, megabytes at its peak, and the records it saw."""

    wall: float
    cpu: float
    peak: float
    records: int


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("reference, 100 ms, 8 workers", Tenant.reference(), 0.1, 8),
        Scenario("reference, 100 ms, 16 workers", Tenant.reference(), 0.1, 16),
        Scenario("reference, 100 ms, 40 workers", Tenant.reference(), 0.1, 40),
        Scenario("reference, no latency, 8 workers", Tenant.reference(), 0, 8),
        Scenario("large, no latency, 8 workers", Tenant.large(), 0, 8),
        Scenario("one list of 200,000, no latency, 8 workers", Tenant(users=200_000), 0, 8, ("users",)),
        Scenario(
            "4,000 courses with an object or none, 8 workers",
            Tenant(courses=4000, objects_per_course=1),
            0,
            8,
            ("course_learning_objects",),
        ),
    )
}


def main() -> None:
    """Measures, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", choices=SCENARIOS, action="append", help="only this one (may be repeated)")
    parser.add_argument("--size", type=float, help="of the tenant, as a multiple of the reference of 80,000 records")
    parser.add_argument("--latency", type=float, default=0.1, help="of a call of that tenant, in seconds")
    parser.add_argument("--workers", type=int, default=8, help="that read it")
    arguments = parser.parse_args()
    scenarios = [SCENARIOS[name] for name in arguments.scenario or SCENARIOS]
    if arguments.size is not None:
        name = f"{arguments.size:g} times the reference, {arguments.latency:g} s, {arguments.workers} workers"
        scenarios = [Scenario(name, Tenant.reference(arguments.size), arguments.latency, arguments.workers)]
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"Measured on {datetime.date.today()}, {machine}. In brackets, how many times the floor.\n")
    print("| tenant | records | calls (of the fewest) | wall s | CPU µs a record | CPU ms a call | peak MB |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for scenario in scenarios:
        print(row(scenario), flush=True)
    print()
    print(start_up())


def row(scenario: Scenario) -> str:
    """Reads one tenant, as connector and as floor."""
    with SandboxProcess(scenario.tenant, scenario.latency) as sandbox, tempfile.TemporaryDirectory() as directory:
        config, selected = Path(directory, "config.json"), Path(directory, "catalog.json")
        config.write_text(json.dumps({**sandbox.config("client_credentials"), "num_workers": scenario.workers}))
        selected.write_text(json.dumps(catalog(scenario.streams)))
        read = [COMMAND, "read", "--config", str(config), "--catalog", str(selected)]
        measured(read, "")  # so that the sandbox has made its pages
        sandbox.reset()
        cost = measured(read, "")
        told = sandbox.told()
        addresses = [sandbox.base_url + address for address in told["addresses"]]
        token = requests.post(f"{sandbox.base_url}/oauth2/token", data=form(sandbox), timeout=60).json()["access_token"]
        floor_command = [sys.executable, "-m", "benchmarks.floor", str(scenario.workers)]
        floor = measured(floor_command, "\n".join([f"Bearer {token}", *addresses]))
    calls, fewest = told["count"], scenario.tenant.fewest_calls(scenario.streams)
    cells = [
        scenario.name,
        f"{cost.records:,}",
        f"{calls:,} ({calls / fewest:.3f})",
        f"{cost.wall:.1f} ({cost.wall / floor.wall:.2f})",
        f"{cost.cpu / cost.records * 1e6:.0f}",
        f"{cost.cpu / calls * 1e3:.2f} ({cost.cpu / floor.cpu:.1f})",
        f"{cost.peak:.0f} ({cost.peak / floor.peak:.1f})",
    ]
    return f"| {' | '.join(cells)} |"


def form(sandbox: SandboxProcess) -> dict[str, str]:
    """What a bare client sends for a token."""
    credentials = sandbox.config("client_credentials")["credentials"]
    return {
        "grant_type": "client_credentials",
        "scope": "api",
        "client_id": credentials["client_id"],
        "client_secret": credentials["client_secret"],
    }


def measured(command: list[str], text: str) -> Cost:
    """Runs a command to its end, and counts the records that it prints."""
    started = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin
    assert process.stdout
    process.stdin.write(text.encode())
    process.stdin.close()
    records = 0
    for line in process.stdout:
        records += int(line) if line[:1].isdigit() else line.startswith(b'{"type":"RECORD"')
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{command[0]} failed: run it by hand to see why")
    return Cost(time.monotonic() - started, cpu(usage), usage.ru_maxrss / 1024, records)


def cpu(usage: resource.struct_rusage) -> float:
    """Seconds of CPU, user and system."""
    return usage.ru_utime + usage.ru_stime


def start_up() -> str:
    """What `spec` takes, beside importing the CDK: the quickest of five, by turns."""
    commands = {"spec": [COMMAND, "spec"], "import": [sys.executable, "-c", "import airbyte_cdk"]}
    quickest = dict.fromkeys(commands, float("inf"))
    for _ in range(5):
        for name, command in commands.items():
            quickest[name] = min(quickest[name], measured(command, "").wall)
    ratio = quickest["spec"] / quickest["import"]
    return f"`spec` takes {quickest['spec']:.2f} s, {ratio:.2f} times what importing airbyte_cdk takes."


if __name__ == "__main__":
    main()
