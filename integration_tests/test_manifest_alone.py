"""manifest.yaml without the `source-docebo` command: in the CDK's general command, and in PyAirbyte."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from integration_tests import example
from integration_tests.command import STREAMS, Connector, Output
from integration_tests.comparison import assert_same_records
from integration_tests.sandbox import Sandbox, Tenant

MANIFEST = Path(__file__).parent.parent / "manifest.yaml"
GENERAL_COMMAND = Connector(
    str(Path(sys.executable).parent / "source-declarative-manifest"),
    environment={**os.environ, "AIRBYTE_ENABLE_UNSAFE_CODE": "true"},
)
# In a process of its own: PyAirbyte reads its settings from the environment when it is imported.
PYAIRBYTE = """
import json, sys
from pathlib import Path
import airbyte
source = airbyte.get_source("source-docebo", config=json.loads(sys.argv[1]), source_manifest=Path(sys.argv[2]))
source.check()
with open("records.jsonl", "w") as target:
    for stream in source.get_available_streams():
        # Kept, since PyAirbyte cancels the read of a dataset that nobody refers to.
        records = source.get_records(stream, normalize_field_names=False, prune_undeclared_fields=False)
        for record in records:
            own = {name: value for name, value in record.items() if not name.startswith("_airbyte_")}
            data = {name: value for name, value in own.items() if value is not None}
            print(json.dumps({"type": "RECORD", "record": {"stream": stream, "data": data}}), file=target)
"""


def written(directory: Path, config: dict[str, object]) -> str:
    path = directory / "config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("grant", ["client_credentials", "password"])
def test_general_command(tmp_path: Path, grant: str) -> None:
    tenant = Tenant(seed=71)
    with Sandbox(tenant) as sandbox:
        config = sandbox.config(grant)
        manifest = ("--manifest-path", str(MANIFEST))
        checked = GENERAL_COMMAND.run("check", *manifest, "--config", written(tmp_path, config))
        read = GENERAL_COMMAND.read(config, STREAMS, *manifest)
    assert checked.connection_status()["status"] == "SUCCEEDED"
    assert read.code == 0, read.stderr
    assert read.statuses() == dict.fromkeys(STREAMS, "COMPLETE")
    assert_same_records(tenant, read)


def test_a_full_refresh_with_a_state_reads_everything() -> None:
    """The general command does not tell the components the sync mode, so a state is never used there."""
    tenant = Tenant(seed=71)
    with Sandbox(tenant) as sandbox:
        config, manifest = sandbox.config("password"), ("--manifest-path", str(MANIFEST))
        first = GENERAL_COMMAND.read(config, ["enrollments"], *manifest, incremental=["enrollments"])
        output = GENERAL_COMMAND.read(config, ["enrollments"], *manifest, state=first.last_states())
    assert output.statuses() == {"enrollments": "COMPLETE"}
    assert_same_records(tenant, output, ["enrollments"])
    (warning,) = [line for line in output.logs() if "the state is ignored" in line]
    assert warning.startswith("WARN Stream enrollments: this command does not tell the sync mode")


def test_pyairbyte(tmp_path: Path) -> None:
    tenant = Tenant(seed=72)
    with Sandbox(tenant) as sandbox:
        done = subprocess.run(
            [example.python(), "-c", PYAIRBYTE, json.dumps(sandbox.config("client_credentials")), MANIFEST],
            cwd=tmp_path,
            # The package that the manifest names is found in this checkout.
            env={**os.environ, "PYTHONPATH": str(MANIFEST.parent), "AIRBYTE_OFFLINE_MODE": "1", "DO_NOT_TRACK": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert done.returncode == 0, done.stderr
    assert_same_records(tenant, Output(0, (tmp_path / "records.jsonl").read_text(encoding="utf-8"), ""))
