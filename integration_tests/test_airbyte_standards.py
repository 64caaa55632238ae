"""Airbyte's own suite for declarative sources, with the top-level manifest, against the sandbox."""

import atexit
import json
import tempfile
from pathlib import Path

from airbyte_cdk.test.models import ConnectorTestScenario
from airbyte_cdk.test.standard_tests import DeclarativeSourceTestSuite

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
