"""Every record of a tenant, once, as the tenant has it, for the fewest calls."""

import json

import pytest

from integration_tests.command import STREAMS, Connector
from integration_tests.comparison import assert_same_records
from integration_tests.sandbox import Sandbox, Tenant


@pytest.mark.parametrize("grant", ["client_credentials", "password"])
def test_reads_every_record_of_every_stream(connector: Connector, grant: str) -> None:
    tenant = Tenant(seed=11, courses=230, users=450, groups=8, learning_plans=12)
    with Sandbox(tenant) as sandbox:
        output = connector.read(sandbox.config(grant))
    assert output.code == 0, output.errors()
    assert output.statuses() == dict.fromkeys(STREAMS, "COMPLETE")
    assert_same_records(tenant, output)


def test_reads_a_tenant_in_a_subfolder(connector: Connector) -> None:
    tenant = Tenant(seed=12)
    with Sandbox(tenant, base_path="/academy") as sandbox:
        output = connector.read(sandbox.config("client_credentials"))
    assert_same_records(tenant, output)


def test_reads_records_under_their_older_names(connector: Connector) -> None:
    tenant = Tenant(seed=13, older_names=True)
    with Sandbox(tenant) as sandbox:
        output = connector.read(sandbox.config("client_credentials"))
    assert output.code == 0, output.errors()
    assert_same_records(tenant, output)


@pytest.mark.parametrize("workers", [2, 8, 40])
def test_a_read_of_all_streams_costs_the_fewest_calls(connector: Connector, workers: int) -> None:
    tenant = Tenant(seed=14, courses=120, users=900, groups=30, learning_plans=20)
    with Sandbox(tenant) as sandbox:
        output = connector.read({**sandbox.config("client_credentials"), "num_workers": workers})
        calls = len(sandbox.calls)
    assert_same_records(tenant, output)
    assert calls == tenant.fewest_calls()


@pytest.mark.parametrize("stream", STREAMS)
def test_a_stream_alone_costs_its_own_pages_and_those_of_its_parent(connector: Connector, stream: str) -> None:
    tenant = Tenant(seed=15)
    with Sandbox(tenant) as sandbox:
        output = connector.read(sandbox.config("client_credentials"), [stream])
        calls = len(sandbox.calls)
    assert_same_records(tenant, output, [stream])
    assert calls == tenant.fewest_calls([stream])


def test_one_token_serves_the_sync_and_no_secret_is_printed(connector: Connector) -> None:
    with Sandbox(Tenant(seed=16)) as sandbox:
        config = sandbox.config("password")
        output = connector.read(config, STREAMS, "--debug")
        assert sandbox.tokens_issued == 1
        tokens = {call.token for call in sandbox.calls if call.token}
    printed = output.text + output.stderr
    for secret in (config["credentials"]["client_secret"], config["credentials"]["password"], *tokens):
        assert secret not in printed
        assert json.dumps(secret)[1:-1] not in printed


def test_discover_lists_all_streams_with_keys(connector: Connector) -> None:
    with Sandbox(Tenant(seed=17)) as sandbox:
        output = connector.discover(sandbox.config("client_credentials"))
        assert sandbox.calls == []
    (catalog,) = [message["catalog"] for message in output.messages if message["type"] == "CATALOG"]
    assert sorted(stream["name"] for stream in catalog["streams"]) == list(STREAMS)
    assert all(stream["source_defined_primary_key"] for stream in catalog["streams"])


def test_check_costs_a_token_and_a_page(connector: Connector) -> None:
    with Sandbox(Tenant(seed=18, courses=500)) as sandbox:
        output = connector.check(sandbox.config("client_credentials"))
        assert len(sandbox.calls) == 2
    assert output.connection_status()["status"] == "SUCCEEDED"
