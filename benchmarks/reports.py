"""
What a report costs, beside reading the same file with the standard library: `python -m benchmarks.reports`.

    python -m benchmarks.reports --rows 2000000 --rounds 1

Prints, as a table in Markdown, what discover and read take in requests, seconds and memory, and what a script of the
standard library takes for the same file: with `csv.DictReader`, and with a line of JSON for each row, as the protocol
wants it. The connector waits two seconds before its only poll; a real platform lets it wait longer.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import requests

from benchmarks.__main__ import measured, median_cost
from benchmarks.checkouts import ROOT, installed
from benchmarks.floor import rows
from benchmarks.scenarios import REPORT_STREAM, Scenario, running
from integration_tests.sandbox import Tenant


def main() -> None:
    """Measures, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_999_999, help="of the report, which has 20 columns (1,999,999)")
    parser.add_argument("--rounds", type=int, default=1, help="how often each is measured (1)")
    arguments = parser.parse_args()
    scenario = Scenario("report", Tenant(), streams=(REPORT_STREAM,), report_rows=arguments.rows)
    print("| what | rows | requests | seconds | CPU s | peak MB |\n|---|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as temporary, running(scenario) as tenant:
        directory = Path(temporary)
        command = installed("this", ROOT, directory / "this").command
        (directory / "config.json").write_text(json.dumps(tenant.config()), encoding="utf-8")
        (directory / "catalog.json").write_text(json.dumps(scenario.catalog()), encoding="utf-8")
        given = ["--config", str(directory / "config.json")]
        read = [command, "read", *given, "--catalog", str(directory / "catalog.json")]
        packed = directory / "report.zip"
        measured([command, "discover", *given])  # the sandbox makes the file meanwhile
        download = f"{tenant.config()['base_url']}/analytics/v1/reports/{tenant.config()['reports'][0]['id']}"
        headers = {"Authorization": f"Bearer {tenant.token()}"}
        packed.write_bytes(
            requests.get(f"{download}/exports/execution-0/download", headers=headers, timeout=600).content
        )
        script = [sys.executable, "-m", "benchmarks.reports", str(packed)]
        for what, measured_command in {
            "discover": [command, "discover", *given],
            "read": read,
            "`csv.DictReader`": script,
            "`csv.DictReader`, printed as messages": [*script, "print"],
        }.items():
            tenant.forget_requests()
            cost = median_cost([measured(measured_command) for _ in range(arguments.rounds)])
            sent = tenant.requests()[0] // arguments.rounds
            figures = (f"{cost.records:,}", sent or "", f"{cost.seconds:.1f}", f"{cost.cpu:.1f}", f"{cost.peak:.0f}")
            print(f"| {what} | {' | '.join(map(str, figures))} |", flush=True)


if __name__ == "__main__":
    if Path(sys.argv[-1]).is_file() or sys.argv[-1] == "print":
        path = next(text for text in sys.argv[1:] if text != "print")
        count = rows(Path(path).read_bytes(), as_messages=sys.argv[-1] == "print")
        print(0 if sys.argv[-1] == "print" else count)
    else:
        main()
