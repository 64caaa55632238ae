"""Additional fields are columns: declared by discover, with the values that come, for the requests that it says."""

from typing import Any

import pytest

from integration_tests.command import Connector, Output, configured
from integration_tests.reads import assert_complete, read
from integration_tests.sandbox import CREDENTIALS, MANIFEST_STREAMS, Fault, Sandbox, Tenant

USER_FIELDS = "manage/v1/user_fields$"


def properties(output: Output, stream: str) -> dict[str, Any]:
    """The columns of a stream that discover found."""
    assert output.code == 0, output.errors()
    (found,) = [each for each in output.catalog() if each["name"] == stream]
    return dict(found["json_schema"]["properties"])


def additional(columns: dict[str, Any]) -> list[str]:
    return [name for name in columns if name.startswith("field_")]


class TestDiscover:
    def test_definitions_are_columns_after_the_known_ones(self, connector: Connector) -> None:
        tenant = Tenant(seed=81, user_fields=8, course_fields=6)
        with Sandbox(tenant) as sandbox:
            output = connector.discover(sandbox.config("client_credentials"))
            assert len(sandbox.requests) == tenant.minimum_discover_requests()
        assert sorted(stream["name"] for stream in output.catalog()) == list(MANIFEST_STREAMS)
        columns = properties(output, "users")
        assert additional(columns) == [f"field_{number}" for number in (1, 2, 3, 6, 7, 8, 11, 12)]
        assert list(columns)[-8:] == additional(columns)
        assert columns["field_2"]["title"] == "Cost center"
        assert "dropdown" in columns["field_2"]["description"]
        assert all(columns[name]["type"] == ["string", "null"] for name in additional(columns))
        assert additional(properties(output, "course_details")) == [f"field_{number}" for number in range(1, 12, 2)]
        assert properties(output, "course_details")["field_3"]["title"] == "Field 1"

    def test_definitions_on_two_pages(self, connector: Connector) -> None:
        tenant = Tenant(seed=82, user_fields=230)
        with Sandbox(tenant) as sandbox:
            output = connector.discover(sandbox.config("client_credentials"))
            assert len(sandbox.requests) == tenant.minimum_discover_requests()
        assert len(additional(properties(output, "users"))) == 230

    @pytest.mark.parametrize("status", [403, 404])
    def test_without_the_right_to_read_definitions_the_known_columns_stay(
        self, connector: Connector, status: int
    ) -> None:
        with Sandbox(Tenant(seed=83)) as sandbox:
            sandbox.add(Fault.status(status, path=USER_FIELDS))
            output = connector.discover(sandbox.config("client_credentials"))
        columns = properties(output, "users")
        assert "user_id" in columns
        assert additional(columns) == []
        assert len([line for line in output.logs() if line.startswith("WARN") and str(status) in line]) == 1

    def test_any_other_failure_drops_no_column(self, connector: Connector) -> None:
        with Sandbox(Tenant(seed=84)) as sandbox:
            sandbox.add(Fault.status(400, path=USER_FIELDS))
            output = connector.discover(sandbox.config("client_credentials"))
        assert output.code == 1
        assert not any(message["type"] == "CATALOG" for message in output.messages)
        assert "400" in output.errors()[0]["message"]

    def test_a_fault_that_passes_is_waited_for(self, connector: Connector) -> None:
        tenant = Tenant(seed=85)
        with Sandbox(tenant) as sandbox:
            sandbox.add(Fault.status(503, path=USER_FIELDS, times=1))
            output = connector.discover(sandbox.config("client_credentials"))
            assert len(sandbox.requests) == tenant.minimum_discover_requests() + 1
        assert len(additional(properties(output, "users"))) == 8

    def test_wrong_credentials_give_the_message_of_check(self, connector: Connector) -> None:
        with Sandbox(Tenant(seed=86)) as sandbox:
            config = sandbox.config("client_credentials")
            config["credentials"]["client_secret"] = "wrong"
            output = connector.discover(config)
            message = connector.check(config).connection_status()["message"]
        assert output.code == 1
        assert "client_secret" in output.errors()[0]["message"]
        assert output.errors()[0]["message"] in message
        assert CREDENTIALS["client_secret"] not in output.text

    def test_malformed_definitions_do_not_spoil_the_schema(self, connector: Connector) -> None:
        malformed: list[dict[str, Any]] = [
            {"id": "50", "title": None, "type": "textfield"},
            {"id": "51", "title": "", "type": "textfield"},
            {"id": "1", "title": "The second with this id", "type": "textfield"},
            {"id": 52, "title": "x" * 300, "type": "textfield"},
            {"id": "53", "title": "Of unknown type", "type": "hologram"},
            {"id": "54", "title": "Without a type"},
        ]
        with Sandbox(Tenant(seed=87)) as sandbox:
            sandbox.add(Fault.extra_items(*malformed, path=USER_FIELDS))
            output = connector.discover(sandbox.config("client_credentials"))
        columns = properties(output, "users")
        assert additional(columns) == [f"field_{n}" for n in (1, 2, 3, 6, 7, 8, 11, 12, 50, 51, 52, 53, 54)]
        assert columns["field_1"]["title"] == "Department"
        assert all(column.get("title", "x") and len(column.get("title", "x")) < 300 for column in columns.values())


class TestRead:
    def test_values_are_text_and_definitions_cost_their_pages(self, connector: Connector) -> None:
        tenant = Tenant(seed=88, users=250, courses=210, user_fields=230)
        with Sandbox(tenant) as sandbox:
            output = read(connector, sandbox, "users", "course_details")
            assert len(sandbox.requests) == tenant.minimum_requests(["users", "course_details"])
        assert_complete(tenant, output, ["users", "course_details"])

    def test_definitions_are_shared_with_their_own_streams(self, connector: Connector) -> None:
        tenant = Tenant(seed=89)
        streams = ("user_fields", "users", "course_fields", "course_details")
        with Sandbox(tenant) as sandbox:
            output = read(connector, sandbox, *streams)
            assert sandbox.requests_by_stream() == dict.fromkeys(("token", *streams), 1)
        assert_complete(tenant, output, streams)

    def test_a_tenant_without_the_right_to_read_definitions(self, connector: Connector) -> None:
        tenant = Tenant(seed=90)
        with Sandbox(tenant) as sandbox:
            sandbox.add(Fault.status(403, path=USER_FIELDS))
            output = read(connector, sandbox, "users")
        assert output.code == 0, output.errors()
        assert len(output.records()["users"]) == tenant.count(["users"])

    @pytest.mark.parametrize("defined", [True, False], ids=["made after discover", "without a definition"])
    def test_a_field_that_was_not_declared_passes_with_one_warning(self, connector: Connector, defined: bool) -> None:
        tenant = Tenant(seed=91)
        with Sandbox(tenant) as sandbox:
            config = sandbox.config("client_credentials")
            found = [stream for stream in connector.discover(config).catalog() if stream["name"] == "users"]
            name = tenant.add_user_field(defined)
            output = connector.read(config, configured(found))
        assert_complete(tenant, output, ["users"])
        warnings = [line for line in output.logs() if line.startswith("WARN") and name in line]
        assert len(warnings) == 1
        assert "efresh" in warnings[0]


class TestBranches:
    def test_branch_members_hold_keys_that_join(self, connector: Connector) -> None:
        tenant = Tenant(seed=92, users=500, branches=12, members_per_branch=260)
        with Sandbox(tenant) as sandbox:
            output = read(connector, sandbox, "branch_members")
            assert len(sandbox.requests) == tenant.minimum_requests(["branch_members"])
        assert_complete(tenant, output, ["branch_members"])
        assert {tuple(sorted(record)) for record in output.records()["branch_members"]} == {
            ("branch_id", "user_id", "username")
        }

    def test_branches_of_a_newer_tenant_hold_their_parents(self, connector: Connector) -> None:
        tenant = Tenant(seed=93, branches=40, newer_branches=True)
        with Sandbox(tenant) as sandbox:
            output = read(connector, sandbox, "branches")
        assert_complete(tenant, output, ["branches"])
        columns = {name for record in output.records()["branches"] for name in record}
        assert {"parent_id", "parent_code"} <= columns
