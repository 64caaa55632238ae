"""Airbyte's own tools against the sandbox: its suite for declarative sources, its CLI, and the Builder's backend."""

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml
from airbyte_cdk.test.models import ConnectorTestScenario
from airbyte_cdk.test.standard_tests import DeclarativeSourceTestSuite

from integration_tests.command import catalog, files
from integration_tests.sandbox import Sandbox, Tenant

pytest_plugins = ["airbyte_cdk.test.standard_tests.pytest_hooks"]

# Scenarios are collected before any fixture is made, and need the address of the sandbox in a file.
sandbox = Sandbox(Tenant(seed=41)).__enter__()
directory = tempfile.TemporaryDirectory()
atexit.register(sandbox.__exit__)


class TestStandards(DeclarativeSourceTestSuite):
    """Specification, check, discover and a read of every stream, for both grants."""

    @classmethod
    def get_scenarios(cls) -> list[ConnectorTestScenario]:
        """One for each grant. acceptance-test-config.yml names the configuration of a real platform."""
        scenarios = []
        for grant in ("client_credentials", "password"):
            path = Path(directory.name, f"{grant}.json")
            path.write_text(json.dumps(sandbox.config(grant)), encoding="utf-8")
            scenarios.append(ConnectorTestScenario.model_validate({"config_path": path, "status": "succeed"}))
        return scenarios


ROOT = Path(__file__).parent.parent


def test_the_command_line_tool_accepts_the_connector(tmp_path: Path) -> None:
    """`airbyte-cdk connector test`, in a copy whose secrets/config.json leads to the sandbox."""
    connector = tmp_path / "source-docebo"
    connector.mkdir()
    for name in ("manifest.yaml", "metadata.yaml", "acceptance-test-config.yml"):
        shutil.copy(ROOT / name, connector)
    for name in ("source_docebo", "integration_tests"):
        shutil.copytree(ROOT / name, connector / name, ignore=shutil.ignore_patterns("test_*", "__pycache__"))
    (connector / "secrets").mkdir()
    (connector / "secrets" / "config.json").write_text(
        json.dumps(sandbox.config("client_credentials")), encoding="utf-8"
    )
    done = subprocess.run(
        [sys.executable, "-c", "from airbyte_cdk.cli.airbyte_cdk import cli; cli()", "connector", "test", "./"]
        + ["--pytest-arg=-m not image_tests"],
        cwd=connector,
        env={**os.environ, "PYTHONPATH": str(connector)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout


def test_the_builder_shows_requests_and_responses() -> None:
    manifest = yaml.safe_load((ROOT / "manifest.yaml").read_text(encoding="utf-8"))
    config = {
        **sandbox.config("client_credentials"),
        "__command": "test_read",
        "__injected_declarative_manifest": manifest,
        "__test_read_config": {"max_records": 10, "max_slices": 1, "max_pages_per_slice": 1},
    }
    with files(config=config, catalog=catalog(["courses"]), state=[]) as directory:
        done = subprocess.run(
            [sys.executable, "-m", "airbyte_cdk.connector_builder.main", "read"]
            + [f"--{name}={directory}/{name}.json" for name in ("config", "catalog", "state")],
            cwd=ROOT,
            env={**os.environ, "AIRBYTE_ENABLE_UNSAFE_CODE": "true"},
            capture_output=True,
            text=True,
            timeout=60,
        )
    message: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert "record" in message, message
    (page,) = message["record"]["data"]["slices"][0]["pages"]
    assert page["records"]
    assert page["request"]["url"].startswith(f"{sandbox.base_url}/learn/v1/courses")
    assert page["request"]["http_method"] == "GET"
    assert page["response"]["status"] == 200
    assert json.loads(page["response"]["body"])["data"]["items"]
