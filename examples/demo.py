"""
Reads a whole sandbox tenant with the real `source-docebo` command, and shows what came and what it cost. Then runs the
PyAirbyte example against the same tenant.
"""

import importlib.util
import json
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

COMMAND = str(Path(sys.executable).parent / "source-docebo")
RESULTS = ROOT / "build" / "demo"


def main() -> None:
    """Runs spec, check, discover and read, prints a table of streams, and goes on with PyAirbyte."""
    tenant = Tenant(seed=1, courses=60, users=600, groups=12, learning_plans=8)
    with tempfile.TemporaryDirectory() as directory, SandboxProcess(tenant) as sandbox:
        config, catalog = Path(directory, "config.json"), Path(directory, "catalog.json")
        config.write_text(json.dumps(sandbox.config("client_credentials")))
        print(f"A sandbox tenant answers on {sandbox.base_url}\n")
        specification = only(messages("spec"), "SPEC")["spec"]["connectionSpecification"]
        print(f"spec      {', '.join(specification['properties'])}")
        status = only(messages("check", "--config", str(config)), "CONNECTION_STATUS")["connectionStatus"]
        print(f"check     {status['status'].lower()}")
        streams = only(messages("discover", "--config", str(config)), "CATALOG")["catalog"]["streams"]
        print(f"discover  {len(streams)} streams")
        catalog.write_text(json.dumps({"streams": [configured(stream) for stream in streams]}))
        sandbox.reset()
        started = time.monotonic()
        read = messages("read", "--config", str(config), "--catalog", str(catalog))
        seconds = time.monotonic() - started
        print(f"read      {seconds:.1f} seconds\n")
        show(read, sandbox.told()["by_stream"])
        print(f"\nThe fewest calls that could read it all: {tenant.fewest_calls()}")
        ask(config)


def messages(*arguments: str) -> list[dict[str, Any]]:
    """The messages that one command prints."""
    done = subprocess.run([COMMAND, *arguments], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


def only(found: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """The first message of a kind."""
    return next(message for message in found if message["type"] == kind)


def configured(stream: dict[str, Any]) -> dict[str, Any]:
    """A stream as a connection selects it."""
    return {"stream": stream, "sync_mode": "full_refresh", "destination_sync_mode": "overwrite"}


def show(read: list[dict[str, Any]], calls: dict[str, int]) -> None:
    """A table of streams, records and calls."""
    records = Counter(message["record"]["stream"] for message in read if message["type"] == "RECORD")
    statuses = {
        message["trace"]["stream_status"]["stream_descriptor"]["name"]: message["trace"]["stream_status"]["status"]
        for message in read
        if message["type"] == "TRACE" and message["trace"]["type"] == "STREAM_STATUS"
    }
    print(f"{'stream':34}{'records':>9}{'calls':>8}  status")
    print("─" * 61)
    for name in sorted(statuses):
        print(f"{name:34}{records[name]:>9,}{calls.get(name, 0):>8,}  {statuses[name].lower()}")
    print(f"{'(access token)':34}{'':>9}{calls.get('token', 0):>8,}")
    print("─" * 61)
    print(f"{'in all':34}{sum(records.values()):>9,}{sum(calls.values()):>8,}")


def ask(config: Path) -> None:
    """The PyAirbyte example, in a process of its own as a user runs it."""
    if not importlib.util.find_spec("airbyte"):
        version = ".".join(map(str, sys.version_info[:2]))
        print(f"\nThe PyAirbyte example is left out: PyAirbyte needs Python 3.10 to 3.12, and this is {version}.")
        return
    print("\nThe same tenant into DuckDB, with PyAirbyte:\n", flush=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
    example = [sys.executable, str(ROOT / "examples" / "pyairbyte_duckdb.py")]
    done = subprocess.run([*example, "--config", str(config), "--database", str(RESULTS / "docebo.duckdb")])
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    main()
