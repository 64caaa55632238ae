"""The files that Airbyte's own tools look for."""

import importlib
import importlib.util
import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
import yaml
from airbyte_cdk.models import ConfiguredAirbyteCatalogSerializer
from airbyte_cdk.test.models import ConnectorTestScenario
from jsonschema import Draft7Validator

from integration_tests.command import STREAMS, Connector
from integration_tests.comparison import assert_same_records
from integration_tests.sandbox import MANIFEST_STREAMS, Sandbox, Tenant

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "integration_tests"
METADATA: dict[str, Any] = yaml.safe_load((ROOT / "metadata.yaml").read_text(encoding="utf-8"))


@pytest.mark.skipif(
    not importlib.util.find_spec("airbyte_connector_models"),
    reason="Airbyte's model is not installed: it needs Python 3.10 to 3.12",
)
class TestMetadata:
    @pytest.fixture
    def model(self) -> Any:
        name = "connector_metadata_definition_v0"
        module = importlib.import_module(f"airbyte_connector_models.metadata.v0.{name}")
        return module.ConnectorMetadataDefinitionV0

    def test_fits_the_model_of_airbyte(self, model: Any) -> None:
        assert model.model_validate(METADATA)

    def test_the_model_refuses_what_it_does_not_know(self, model: Any) -> None:
        with pytest.raises(ValueError, match="unknown"):
            model.model_validate({**METADATA, "data": {**METADATA["data"], "unknown": 1}})


def test_metadata_suggests_streams_that_exist() -> None:
    assert set(METADATA["data"]["suggestedStreams"]["streams"]) < set(STREAMS)


def test_metadata_and_dockerfile_name_the_same_base_image() -> None:
    base = METADATA["data"]["connectorBuildOptions"]["baseImage"]
    assert f"ARG BASE_IMAGE={base}\n" in (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert "@sha256:" in base


def test_the_icon_is_square() -> None:
    icon = ElementTree.parse(ROOT / METADATA["data"]["icon"]).getroot()
    assert icon.tag == "{http://www.w3.org/2000/svg}svg"
    assert icon.get("width") == icon.get("height")
    left, top, width, height = map(float, icon.attrib["viewBox"].split())
    assert width == height > 0


class TestSamples:
    def test_the_acceptance_tests_name_files_that_are_there(self) -> None:
        suite = yaml.safe_load((ROOT / "acceptance-test-config.yml").read_text(encoding="utf-8"))
        scenarios = [entry for kind in suite["acceptance_tests"].values() for entry in kind.get("tests", [])]
        named = {value for scenario in scenarios for name, value in scenario.items() if name.endswith("_path")}
        assert named == {"secrets/config.json", "integration_tests/invalid_config.json"}
        assert all(ConnectorTestScenario.model_validate(scenario) for scenario in scenarios)

    @pytest.mark.parametrize("name", ["sample_config.json", "invalid_config.json"])
    def test_the_configurations_fit_the_specification(self, connector: Connector, name: str) -> None:
        (specification,) = [m["spec"] for m in connector.run("spec").messages if m["type"] == "SPEC"]
        Draft7Validator(specification["connectionSpecification"]).validate(json.loads((SAMPLES / name).read_text()))

    def test_check_refuses_the_invalid_configuration(self, connector: Connector) -> None:
        output = connector.run("check", "--config", str(SAMPLES / "invalid_config.json"))
        assert output.connection_status()["status"] == "FAILED"
        assert "base_url" in output.connection_status()["message"]

    def test_the_configured_catalog_reads_every_record(self, connector: Connector, tmp_path: Path) -> None:
        selected = catalog()
        ConfiguredAirbyteCatalogSerializer.load(selected)
        names = [entry["stream"]["name"] for entry in selected["streams"]]
        assert set(names) <= set(MANIFEST_STREAMS)
        tenant = Tenant(seed=81)
        with Sandbox(tenant) as sandbox:
            config = tmp_path / "config.json"
            config.write_text(json.dumps(sandbox.config("client_credentials")), encoding="utf-8")
            found = {stream["name"]: stream for stream in connector.discover(json.loads(config.read_text())).catalog()}
            path = str(SAMPLES / "configured_catalog.json")
            output = connector.run("read", "--config", str(config), "--catalog", path)
        for entry in selected["streams"]:
            stream = entry["stream"]
            assert stream == {**{field: found[stream["name"]][field] for field in stream}, "json_schema": {}}
        assert output.code == 0, output.errors()
        assert_same_records(tenant, output, names)


def catalog() -> dict[str, Any]:
    return dict(json.loads((SAMPLES / "configured_catalog.json").read_text(encoding="utf-8")))
