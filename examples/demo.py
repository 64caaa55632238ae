"""
Reads a whole sandbox tenant with the real `source-docebo` command, and shows what came and what it cost. Then runs the
PyAirbyte example against the same tenant: DuckDB, `dbt build`, three questions and a chart.

    python examples/demo.py

The command is the one beside the interpreter or on the PATH, or what `--command` names. PyAirbyte is looked for in this
environment and in `.venv-example`.
"""

import argparse
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from integration_tests.sandbox import SandboxProcess, Tenant  # noqa: E402

RESULTS = ROOT / "build" / "demo"
CERTIFICATIONS = {
    "title": "Certifications held",
    "header": ["Username", "Certification", "Issued on", "Expires on"],
    "rows": [
        ["user.000004", "First aid", "2024-03-01", "2026-03-01"],
        ["user.000007", "Forklift, indoor", "2025-06-12", ""],
        ["user.000009", "First aid", "2025-01-15", "2027-01-15"],
    ],
    "statuses": [["SUCCEEDED"]],
}


def main() -> None:
    """Runs spec, check, discover and read, prints a table of streams, and goes on with PyAirbyte."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--command", default=found_command(), help="the command source-docebo, if it is elsewhere")
    command = parser.parse_args().command
    if command is None:
        sys.exit("The command source-docebo is not installed: pip install . in the connector's directory.")
    tenant = Tenant(seed=1, courses=60, users=600, groups=12, learning_plans=8, branches=25, members_per_branch=25)
    with tempfile.TemporaryDirectory() as directory, SandboxProcess(tenant, reports=[CERTIFICATIONS]) as sandbox:
        config, catalog = Path(directory, "config.json"), Path(directory, "catalog.json")
        config.write_text(json.dumps(sandbox.config("client_credentials")))
        print(f"A sandbox tenant listens on {sandbox.base_url}\n")
        specification = only(messages(command, "spec"), "SPEC")["spec"]["connectionSpecification"]
        print(f"spec      {', '.join(specification['properties'])}")
        status = only(messages(command, "check", "--config", str(config)), "CONNECTION_STATUS")["connectionStatus"]
        print(f"check     {status['status'].lower()}")
        streams = only(messages(command, "discover", "--config", str(config)), "CATALOG")["catalog"]["streams"]
        print(f"discover  {len(streams)} streams")
        catalog.write_text(json.dumps({"streams": [configured(stream) for stream in streams]}))
        sandbox.reset()
        started = time.monotonic()
        read = messages(command, "read", "--config", str(config), "--catalog", str(catalog))
        seconds = time.monotonic() - started
        print(f"read      {seconds:.1f} seconds\n")
        show(read, sandbox.summary()["by_stream"])
        names = [stream["name"] for stream in streams if not stream["name"].startswith("report_")]
        least = tenant.minimum_requests(names) + 3  # an export: its start, a poll and the download
        print(f"\nThe fewest requests that could read it all: {least}")
        run_pyairbyte(config, command)


def found_command() -> str | None:
    """The command beside the interpreter, or else on the PATH."""
    return shutil.which("source-docebo", path=Path(sys.executable).parent) or shutil.which("source-docebo")


def messages(command: str, *arguments: str) -> list[dict[str, Any]]:
    """The messages that one command prints."""
    done = subprocess.run([command, *arguments], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


def only(found: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """The first message of a kind."""
    return next(message for message in found if message["type"] == kind)


def configured(stream: dict[str, Any]) -> dict[str, Any]:
    """A stream as a connection selects it."""
    return {"stream": stream, "sync_mode": "full_refresh", "destination_sync_mode": "overwrite"}


def show(read: list[dict[str, Any]], requests: dict[str, int]) -> None:
    """A table of streams, records and requests."""
    records = Counter(message["record"]["stream"] for message in read if message["type"] == "RECORD")
    statuses = {
        message["trace"]["stream_status"]["stream_descriptor"]["name"]: message["trace"]["stream_status"]["status"]
        for message in read
        if message["type"] == "TRACE" and message["trace"]["type"] == "STREAM_STATUS"
    }
    print(f"{'stream':34}{'records':>9}{'requests':>10}  status")
    print("─" * 63)
    for name in sorted(statuses):
        print(f"{name:34}{records[name]:>9,}{requests.get(name, 0):>10,}  {statuses[name].lower()}")
    print(f"{'(access token)':34}{'':>9}{requests.get('token', 0):>10,}")
    print("─" * 63)
    print(f"{'in all':34}{sum(records.values()):>9,}{sum(requests.values()):>10,}")


def run_pyairbyte(config: Path, command: str) -> None:
    """Runs the PyAirbyte example in a process of its own, as a user does."""
    apart = ROOT / ".venv-example" / "bin" / "python"
    python = sys.executable if importlib.util.find_spec("airbyte") else str(apart) if apart.exists() else None
    if python is None:
        print("\nThe PyAirbyte example is left out: PyAirbyte is not installed (it needs Python 3.10 to 3.12).")
        return
    print("\nThe same tenant into DuckDB, with PyAirbyte:\n", flush=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
    example = [python, str(ROOT / "examples" / "pyairbyte_duckdb.py"), "--config", str(config), "--command", command]
    done = subprocess.run([*example, "--database", str(RESULTS / "docebo.duckdb")])
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    main()
