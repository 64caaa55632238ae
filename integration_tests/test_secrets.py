"""Whatever Docebo or a proxy echoes, no secret and no token of the sync reaches what the connector prints."""

import json

import pytest

from integration_tests.command import STREAMS, Connector
from integration_tests.reads import secrets
from integration_tests.sandbox import CREDENTIALS, Fault, Sandbox, Tenant


@pytest.mark.parametrize("jwt_tokens", [False, True], ids=["hexadecimal tokens", "JWTs"])
def test_echoes_of_each_kind_of_error(connector: Connector, jwt_tokens: bool) -> None:
    secret = CREDENTIALS["client_secret"]
    with Sandbox(Tenant(seed=121), jwt_tokens=jwt_tokens) as sandbox:
        sandbox.add(Fault.echo(400, f"client_secret={secret} is not valid", path="learn/v1/categories$"))
        sandbox.add(Fault.echo(403, CREDENTIALS["password"], path="learn/v1/external_training$"))
        sandbox.add(Fault.echo(403, secret, html=True, path="manage/v1/orgchart$", times=1))
        sandbox.add(Fault.echo(503, json.dumps(secret), path="manage/v1/user$", times=1))
        sandbox.add(Fault.echo_token(400, path="learn/v1/certification$"))
        sandbox.add(Fault.echo_token(500, path="audiences/v1/audience$", times=1))
        sandbox.add(Fault.echo_token(404, path="/los$", times=1))
        sandbox.add(Fault.redirect(f"/login?secret={secret}&next=1", path="learn/v1/courses/field$", times=1))
        config = sandbox.config("password")
        output = connector.read(config, STREAMS, "--debug")
        known = secrets(sandbox)
    assert any(request.token for request in sandbox.requests)
    statuses = output.statuses()
    assert {statuses[stream] for stream in ("categories", "certifications", "external_training")} == {"INCOMPLETE"}
    assert {statuses[stream] for stream in ("users", "groups", "branches")} == {"COMPLETE"}
    for text in known:
        assert text not in output.text
        assert text not in output.stderr


def test_echoes_of_the_token_endpoint(connector: Connector) -> None:
    with Sandbox(Tenant(seed=122)) as sandbox:
        sandbox.add(Fault.echo(400, f"unknown secret {CREDENTIALS['client_secret']}", path="oauth2/token$"))
        check = connector.check(sandbox.config("client_credentials"), "--debug")
        known = secrets(sandbox)
    assert check.connection_status()["status"] == "FAILED"
    for text in known:
        assert text not in check.text + check.stderr


def test_one_token_serves_the_sync_and_is_not_printed(connector: Connector) -> None:
    with Sandbox(Tenant(seed=123), jwt_tokens=True) as sandbox:
        output = connector.read(sandbox.config("password"), STREAMS, "--debug")
        assert sandbox.tokens_issued == 1
        known = secrets(sandbox)
    assert output.code == 0
    assert not [text for text in known if text in output.text + output.stderr]
