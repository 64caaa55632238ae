"""Bad input is rejected with a message for the person in the Airbyte UI: what is wrong, where, and what to do."""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest

from integration_tests.command import Connector, Output, catalog, files
from integration_tests.comparison import assert_same_records
from integration_tests.documented import assert_documented
from integration_tests.sandbox import Fault, Sandbox, Tenant


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(Tenant(seed=31)) as running:
        yield running


def free_port() -> int:
    """A port on loopback where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def changed(config: dict[str, Any], **credentials: str) -> dict[str, Any]:
    return {**config, "credentials": {**config["credentials"], **credentials}}


def rejected(output: Output, *words: str) -> None:
    status = output.connection_status()
    assert status["status"] == "FAILED"
    assert_documented(status["message"])
    for word in words:
        assert word in status["message"]
    assert "Traceback" not in output.text + output.stderr


class TestCheck:
    @pytest.fixture(autouse=True)
    def within_30_seconds(self) -> Iterator[None]:
        started = time.monotonic()
        yield
        assert time.monotonic() - started < 30

    def test_wrong_client_secret(self, connector: Connector, sandbox: Sandbox) -> None:
        config = changed(sandbox.config("client_credentials"), client_secret="not-the-secret")
        output = connector.check(config)
        rejected(output, "client_id", "client_secret", "OAuth app")
        assert "not-the-secret" not in output.text

    def test_wrong_password(self, connector: Connector, sandbox: Sandbox) -> None:
        rejected(
            connector.check(changed(sandbox.config("password"), password="not-the-password")), "username", "password"
        )

    def test_a_host_that_does_not_exist(self, connector: Connector, sandbox: Sandbox) -> None:
        config = {**sandbox.config("client_credentials"), "base_url": "https://acme.docebosaas.invalid"}
        rejected(connector.check(config), "acme.docebosaas.invalid", "base_url")

    def test_a_host_that_does_not_answer(self, connector: Connector, sandbox: Sandbox) -> None:
        address = f"http://127.0.0.1:{free_port()}"
        rejected(connector.check({**sandbox.config("client_credentials"), "base_url": address}), "refused", "base_url")

    def test_the_address_of_another_site(self, connector: Connector, sandbox: Sandbox) -> None:
        sandbox.add(Fault.html_200(times=10))
        rejected(connector.check(sandbox.config("client_credentials")), "base_url", "not to be the address of a Docebo")
        sandbox.clear()

    def test_a_path_that_is_not_the_platform(self, connector: Connector, sandbox: Sandbox) -> None:
        config = sandbox.config("client_credentials")
        rejected(connector.check({**config, "base_url": f"{config['base_url']}/elsewhere"}), "base_url", "404")

    def test_no_right_to_read(self, connector: Connector, sandbox: Sandbox) -> None:
        sandbox.add(Fault.status(403, path="learn/v1/courses"))
        rejected(connector.check(sandbox.config("client_credentials")), "courses", "not allowed")
        sandbox.clear()

    def test_a_configuration_without_its_secret(self, connector: Connector, sandbox: Sandbox) -> None:
        config = sandbox.config("client_credentials")
        del config["credentials"]["client_secret"]
        rejected(connector.check(config), "credentials.client_secret", "missing")


class TestRead:
    def test_a_stream_that_does_not_exist_fails_after_the_others(self, connector: Connector, sandbox: Sandbox) -> None:
        output = connector.read(sandbox.config("client_credentials"), ["groups", "webinars"])
        assert output.code == 1
        assert_same_records(sandbox.tenant, output, ["groups"])
        assert "webinars" in output.errors()[-1]["message"]
        assert_documented(output.errors()[-1]["message"])
        assert output.errors()[-1]["failure_type"] == "config_error"

    def test_a_malformed_field(self, connector: Connector, sandbox: Sandbox) -> None:
        output = connector.read({**sandbox.config("client_credentials"), "num_workers": 41}, ["groups"])
        assert output.code == 1
        assert "num_workers" in output.errors()[0]["message"]
        assert_documented(output.errors()[0]["message"])

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (None, "No such file"),
            (b"{not json", "line 1 column 2"),
            (b"[1, 2]", "it is no JSON object"),
        ],
    )
    def test_a_configuration_file_that_cannot_be_used(
        self, connector: Connector, tmp_path: Path, content: bytes | None, words: str
    ) -> None:
        path, catalog_path = tmp_path / "config.json", tmp_path / "catalog.json"
        catalog_path.write_text('{"streams": []}', encoding="utf-8")
        if content is not None:
            path.write_bytes(content)
        for command in (["check"], ["discover"], ["read", "--catalog", str(catalog_path)]):
            output = connector.run(*command, "--config", str(path))
            assert output.code == (0 if command == ["check"] else 1)
            (line,) = output.text.splitlines()
            message = json.loads(line)
            text = message.get("connectionStatus", message.get("trace", {}).get("error"))["message"]
            assert words in text
            assert str(path) in text
            assert_documented(text)
            assert "Traceback" not in line + output.stderr


def catalog_with(**changes: str) -> dict[str, Any]:
    content = catalog(["groups"])
    content["streams"][0].update(changes)
    return content


DISCOVERED = {"name": "groups", "json_schema": {}, "supported_sync_modes": ["full_refresh"]}


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        (
            "catalog",
            catalog_with(destination_sync_mode="overwrite_dedup"),
            ["holds no catalog", "overwrite_dedup"],
        ),
        ("catalog", {"streams": [DISCOVERED]}, ["what discover prints", "source-docebo catalog"]),
        ("state", {"groups": {"cursor": "2026"}}, ["holds no state"]),
        ("state", [{"type": "STREAM", "stream": 5}], ["holds no state"]),
    ],
)
def test_a_catalog_or_state_of_another_shape(
    connector: Connector, sandbox: Sandbox, file: str, content: Any, words: list[str]
) -> None:
    contents = {"catalog": catalog(["groups"]), "state": [], file: content}
    with files(config=sandbox.config("client_credentials"), **contents) as directory:
        output = connector.run(
            "read", *(f"--{name}={directory}/{name}.json" for name in ("config", "catalog", "state"))
        )
    (line,) = output.text.splitlines()
    error = json.loads(line)["trace"]["error"]
    assert (output.code, output.stderr) == (1, "")
    assert error["failure_type"] == "config_error"
    assert f"{directory}/{file}.json" in error["message"]
    for word in words:
        assert word in error["message"]
    assert_documented(error["message"])


def test_a_byte_order_mark_and_an_empty_state_are_accepted(
    connector: Connector, sandbox: Sandbox, tmp_path: Path
) -> None:
    contents = {"config": sandbox.config("client_credentials"), "catalog": catalog(["groups"]), "state": {}}
    for name, content in contents.items():
        encoding = "utf-8-sig" if name == "config" else "utf-8"
        (tmp_path / f"{name}.json").write_text(json.dumps(content), encoding=encoding)
    output = connector.run("read", *(f"--{name}={tmp_path}/{name}.json" for name in contents))
    assert output.code == 0, output.text
    assert_same_records(sandbox.tenant, output, ["groups"])


@pytest.mark.parametrize("command", ["check", "discover", "read", "plan"])
def test_a_command_without_its_configuration_says_so(connector: Connector, command: str) -> None:
    output = connector.run(command)
    assert (output.code, output.text) == (1, "")
    last = output.stderr.splitlines()[-1]
    assert last.startswith(f"source-docebo {command}: error: ")
    assert "--config" in last
    assert_documented(last)


def test_a_field_that_does_not_exist_is_named(connector: Connector, sandbox: Sandbox) -> None:
    output = connector.check({**sandbox.config("password"), "call_per_hour": 800})
    assert output.connection_status()["status"] == "SUCCEEDED"
    (warning,) = [line for line in output.logs() if line.startswith("WARN")]
    assert warning == "WARN Configuration: there is no field call_per_hour, so it has no effect. Is it calls_per_hour?"
    assert_documented(warning.removeprefix("WARN "))


def test_the_output_of_catalog_is_what_read_takes(connector: Connector, sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(sandbox.config("password")), encoding="utf-8")
    config = f"--config={tmp_path}/config.json"
    printed = connector.run("catalog", config, "--streams", "groups,enrollments")
    (tmp_path / "catalog.json").write_text(printed.text, encoding="utf-8")
    output = connector.run("read", config, f"--catalog={tmp_path}/catalog.json")
    assert output.code == 0, output.text
    assert_same_records(sandbox.tenant, output, ["groups", "enrollments"])
    assert len(output.states("enrollments")[-1]["stream"]["stream_state"]) > 0


def test_a_platform_that_echoes_the_secrets_gets_them_masked(connector: Connector, sandbox: Sandbox) -> None:
    """Also with --debug, where the CDK logs more."""
    config = sandbox.config("password")
    secrets = [config["credentials"]["client_secret"], config["credentials"]["password"]]
    sandbox.add(Fault.status(400, path="learn/v1/courses$", message=" ".join(secrets)))
    try:
        output = connector.read(config, ["courses"], "--debug")
    finally:
        sandbox.clear()
    assert output.code == 1
    for secret in secrets:
        for form in {secret, json.dumps(secret)[1:-1], json.dumps(json.dumps(secret)[1:-1])[1:-1], quote_plus(secret)}:
            assert form not in output.text + output.stderr
