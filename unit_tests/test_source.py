"""The source as a library: what belongs to one command, and the secrets that are masked."""

import logging
from collections.abc import Mapping
from typing import Any

import pytest
from airbyte_cdk.models import AirbyteMessage, FailureType, Status, SyncMode, Type
from airbyte_cdk.test.catalog_builder import CatalogBuilder
from airbyte_cdk.utils import AirbyteTracedException
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets

import source_docebo
from source_docebo.client import Client
from source_docebo.components import SchemaNormalizer
from source_docebo.source import SourceDocebo
from unit_tests.builders import ConfigBuilder, Platform, error_response, page_with
from unit_tests.conftest import Time

logger = logging.getLogger("airbyte")
COURSES = "learn/v1/courses"
FIELDS = "manage/v1/user_fields"
USERS = "manage/v1/user"
CATALOG = CatalogBuilder().with_stream("users", SyncMode.full_refresh).build()


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, Any]]:
    """What the components learn about the commands that run, each command once."""
    commands: list[Mapping[str, Any]] = []
    find = Client.of

    def of(config: Mapping[str, Any]) -> Client:
        if config["__command"] not in commands:
            commands.append(config["__command"])
        return find(config)

    monkeypatch.setattr(Client, "of", of)
    return commands


@pytest.fixture(autouse=True)
def platform(docebo: Platform) -> Platform:
    docebo.serves(COURSES, {"id_course": 1})
    return docebo.serves(USERS, {"user_id": 1})


def records(messages: Any) -> list[AirbyteMessage]:
    return [message for message in messages if message.type == Type.RECORD]


class TestCommand:
    def test_check_and_discover_have_their_time(self, commands: list[Mapping[str, Any]]) -> None:
        config = ConfigBuilder().build()
        source = SourceDocebo(config=config)
        assert source.check(logger, config).status == Status.SUCCEEDED
        source.discover(logger, config)
        assert [{**command, "id": ""} for command in commands] == [
            {"id": "", "seconds": 20},
            {"id": "", "seconds": 300},
        ]

    def test_a_read_knows_the_selected_streams_and_their_fields(self, commands: list[Mapping[str, Any]]) -> None:
        config = ConfigBuilder().build()
        list(SourceDocebo(CATALOG, config, []).read(logger, config, CATALOG, []))
        (command,) = commands
        assert {**command, "id": ""} == {"id": "", "streams": {"users": []}, "incremental": []}

    def test_each_is_another(self, commands: list[Mapping[str, Any]], platform: Platform) -> None:
        config = ConfigBuilder().build()
        for _ in range(2):
            messages = SourceDocebo(CATALOG, config, []).read(logger, config, CATALOG, [])
            assert len(records(messages)) == 1
        assert len({command["id"] for command in commands}) == 2
        assert len(platform.token_forms()) == 2

    @pytest.mark.parametrize("field", ["__command", "end_date"])
    @pytest.mark.parametrize("value", [{"seconds": 0, "id": "mine"}, "test_read", None])
    def test_a_field_of_the_users_own_has_no_effect(
        self, commands: list[Mapping[str, Any]], field: str, value: Any
    ) -> None:
        config = ConfigBuilder().with_field(field, value).build()
        assert len(records(SourceDocebo(CATALOG, config, []).read(logger, config, CATALOG, []))) == 1
        (command,) = commands
        assert command["id"] != "mine"
        assert "seconds" not in command

    def test_is_printed_nowhere(self, capsys: pytest.CaptureFixture[str]) -> None:
        config = ConfigBuilder().build()
        source = SourceDocebo(CATALOG, config, [])
        assert "__command" not in str(list(source.read(logger, config, CATALOG, [])))
        assert "__command" not in capsys.readouterr().out


class TestTime:
    """Airbyte's UI waits for check and discover: they end, and say what took the time."""

    RATE_LIMIT = "Docebo's limit of about 1,000 requests per hour and IP address is used up (429)."
    HOURLY = "The 2 requests per hour that calls_per_hour allows are used up."

    def check(self, **fields: Any) -> str:
        config = {**ConfigBuilder().build(), **fields}
        status = SourceDocebo(config=config).check(logger, config)
        assert status.status == Status.FAILED
        return status.message or ""

    def discover(self, **fields: Any) -> str:
        config = {**ConfigBuilder().build(), **fields}
        with pytest.raises(AirbyteTracedException) as raised:
            SourceDocebo(config=config).discover(logger, config)
        assert raised.value.failure_type == FailureType.transient_error
        return raised.value.message or ""

    def test_a_check_of_a_platform_that_is_overloaded(self, platform: Platform, clock: Time) -> None:
        platform.responds(COURSES, error_response(503))
        message = self.check()
        assert "Docebo is overloaded or restarting." in message
        assert message.endswith(" Try again later; if it persists, contact Docebo support.")
        assert 10 < clock.slept <= 20

    def test_a_check_of_a_platform_that_rate_limits(self, platform: Platform, clock: Time) -> None:
        platform.responds(COURSES, error_response(429))
        assert self.RATE_LIMIT in self.check()
        assert 10 < clock.slept <= 20

    def test_a_check_that_calls_per_hour_does_not_allow(self, platform: Platform, clock: Time) -> None:
        platform.responds(COURSES, error_response(503))
        assert self.HOURLY in self.check(calls_per_hour=2)
        assert clock.slept <= 20

    def test_discover_waits_for_minutes_and_then_says_so(self, platform: Platform, clock: Time) -> None:
        platform.responds(FIELDS, error_response(429))
        assert self.RATE_LIMIT in self.discover()
        assert 200 < clock.slept <= 300

    def test_discover_that_calls_per_hour_does_not_allow(self, clock: Time) -> None:
        assert self.HOURLY in self.discover(calls_per_hour=2)
        assert clock.slept <= 300

    def test_a_read_has_no_end(self, platform: Platform, clock: Time) -> None:
        later = error_response(503, headers={"Retry-After": "3600"})
        platform.responds(USERS, later, later, page_with({"user_id": 1}).build())
        config = ConfigBuilder().build()
        assert len(records(SourceDocebo(CATALOG, config, []).read(logger, config, CATALOG, []))) == 1
        assert clock.slept == 7200


class TestConfigurationOfTheCommand:
    """A source that was constructed without a configuration takes that of the command."""

    def test_check(self) -> None:
        assert SourceDocebo().check(logger, ConfigBuilder().build()).status == Status.SUCCEEDED

    def test_discover(self) -> None:
        assert len(SourceDocebo().discover(logger, ConfigBuilder().build()).streams) >= 16

    def test_read(self) -> None:
        config = ConfigBuilder().with_base_url(" acme.docebosaas.com/learn/home ").build()
        assert len(records(SourceDocebo().read(logger, config, CATALOG))) == 1


class TestSecrets:
    def test_are_known_when_the_configuration_is_wrong(self) -> None:
        config = ConfigBuilder().with_password_grant(password="a-password-0001").without("base_url").build()
        with pytest.raises(Exception, match="base_url"):
            SourceDocebo(config=config)
        assert filter_secrets("a-password-0001") == "****"

    @pytest.mark.parametrize(
        ("variable", "scheme"), [("HTTP_PROXY", "http://"), ("https_proxy", ""), ("ALL_PROXY", "socks5://")]
    )
    def test_of_a_proxy_are_known(self, monkeypatch: pytest.MonkeyPatch, variable: str, scheme: str) -> None:
        password = f"pass%40word-{variable}-{scheme[:5]}"
        monkeypatch.setenv(variable, f"{scheme}user:{password}@proxy.acme.com:3128/")
        SourceDocebo(config=ConfigBuilder().build())
        assert filter_secrets(f"{password} {password.replace('%40', '@')}") == "**** ****"

    def test_of_the_configuration_are_known_in_each_command(self) -> None:
        config = ConfigBuilder().with_field("credentials.client_secret", "a/secret +").build()
        source = SourceDocebo(config=config)
        for run in (source.check, source.discover):
            run(logger, config)
            assert filter_secrets("a/secret + a%2Fsecret+%2B") == "**** ****"

    @pytest.mark.parametrize("secret", ["the-client-secret", "TRACE"])
    def test_are_masked_in_the_errors_of_a_stream_and_left_in_records(
        self, platform: Platform, monkeypatch: pytest.MonkeyPatch, secret: str
    ) -> None:
        platform.serves(COURSES, {"id_course": 1, "name": secret})
        config = ConfigBuilder().with_field("credentials.client_secret", secret).build()
        catalog = CatalogBuilder().with_stream("users", SyncMode.full_refresh)
        catalog = catalog.with_stream("courses", SyncMode.full_refresh).build()

        def transform(self: SchemaNormalizer, record: dict[str, Any], schema: Any) -> None:
            if self.name == "users":
                raise RuntimeError(f"Docebo says: {secret}")

        monkeypatch.setattr(SchemaNormalizer, "transform", transform)
        messages: list[AirbyteMessage] = []
        with pytest.raises(AirbyteTracedException):
            messages.extend(SourceDocebo(catalog, config, []).read(logger, config, catalog, []))
        (error,) = [message.trace.error for message in messages if message.trace and message.trace.error]
        assert error.internal_message == "Docebo says: ****"
        assert "RuntimeError: Docebo says: ****" in error.stack_trace
        assert [message.record.data["name"] for message in records(messages)] == [secret]


def test_a_read_says_what_it_has_used(platform: Platform, caplog: pytest.LogCaptureFixture) -> None:
    platform.responds(USERS, error_response(500), error_response(429), page_with({"user_id": 1}).build())
    platform.serves("audiences/v1/audience", {"uuid": "a"})
    platform.serves("audiences/v1/audience/a/users", {"user_id": 1, "likes": "tea"}, {"user_id": 2})
    config = ConfigBuilder().build()
    catalog = CatalogBuilder().with_stream("users", SyncMode.full_refresh)
    catalog = catalog.with_stream("group_members", SyncMode.full_refresh).build()
    with caplog.at_level("INFO"):
        list(SourceDocebo(catalog, config, []).read(logger, config, catalog, []))
    assert [record.getMessage() for record in caplog.records if " requests" in record.getMessage()][-4:] == [
        "Stream group_members: 2 records, 1 requests.",
        "Stream groups: 0 records, 1 requests.",
        "Stream users: 1 records, 3 requests.",
        "In all: 3 records, 6 requests (1 of them for access tokens), 1 retries, 0.0 minutes waited for rate limits, "
        "0 warnings.",
    ]


def test_the_message_of_a_failed_check_is_as_it_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    message = 'It\'s "wrong": a\\b.'
    monkeypatch.setattr(
        "airbyte_cdk.sources.declarative.checks.check_stream.CheckStream.check_connection", lambda *_: (False, message)
    )
    config = ConfigBuilder().build()
    assert SourceDocebo(config=config).check(logger, config).message == message


def test_the_package_exports_the_source() -> None:
    assert source_docebo.SourceDocebo is SourceDocebo
    with pytest.raises(AttributeError, match="SourceDoceb0"):
        source_docebo.SourceDoceb0  # noqa: B018
