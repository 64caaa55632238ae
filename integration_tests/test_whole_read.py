"""Every record of a tenant, once, as the tenant has it, with the minimum number of requests."""

import pytest

from integration_tests.command import STREAMS, Connector
from integration_tests.comparison import assert_same_records
from integration_tests.reads import assert_complete, read
from integration_tests.sandbox import Sandbox, Tenant


@pytest.mark.parametrize("grant", ["client_credentials", "password"])
def test_reads_every_record_of_every_stream(connector: Connector, grant: str) -> None:
    tenant = Tenant(seed=11, courses=230, users=450, groups=8, learning_plans=12)
    with Sandbox(tenant) as sandbox:
        output = connector.read(sandbox.config(grant))
    assert_complete(tenant, output)


def test_reads_a_tenant_in_a_subfolder(connector: Connector) -> None:
    tenant = Tenant(seed=12)
    with Sandbox(tenant, base_path="/academy") as sandbox:
        output = read(connector, sandbox)
    assert_complete(tenant, output)


def test_reads_records_under_their_older_names(connector: Connector) -> None:
    tenant = Tenant(seed=13, older_names=True)
    with Sandbox(tenant) as sandbox:
        output = read(connector, sandbox)
    assert_complete(tenant, output)


@pytest.mark.parametrize("workers", [2, 8, 40])
def test_a_read_of_all_streams_costs_the_minimum_of_requests(connector: Connector, workers: int) -> None:
    tenant = Tenant(seed=14, courses=120, users=900, groups=30, learning_plans=20)
    with Sandbox(tenant) as sandbox:
        output = connector.read({**sandbox.config("client_credentials"), "num_workers": workers})
        requests = len(sandbox.requests)
    assert_same_records(tenant, output)
    assert requests == tenant.minimum_requests()


@pytest.mark.parametrize("stream", STREAMS)
def test_a_stream_alone_costs_its_own_pages_and_those_of_its_parent(connector: Connector, stream: str) -> None:
    tenant = Tenant(seed=15)
    with Sandbox(tenant) as sandbox:
        output = connector.read(sandbox.config("client_credentials"), [stream])
        requests = len(sandbox.requests)
    assert_same_records(tenant, output, [stream])
    assert requests == tenant.minimum_requests([stream])


def test_check_costs_a_token_and_a_page(connector: Connector) -> None:
    with Sandbox(Tenant(seed=18, courses=500)) as sandbox:
        output = connector.check(sandbox.config("client_credentials"))
        assert len(sandbox.requests) == 2
    assert output.connection_status()["status"] == "SUCCEEDED"
