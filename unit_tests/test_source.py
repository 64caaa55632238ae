"""The source as a library: what belongs to one command, and the secrets that are masked."""

import json
import logging
import time
from collections.abc import Mapping
from typing import Any

import pytest
from airbyte_cdk.models import AirbyteMessage, Status, SyncMode, Type
from airbyte_cdk.test.catalog_builder import CatalogBuilder
from airbyte_cdk.utils import AirbyteTracedException
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets

import source_docebo
from source_docebo.client import Client
from source_docebo.components import SchemaNormalizer
from source_docebo.source import SourceDocebo
from unit_tests.builders import ConfigBuilder, Platform, page_with

logger = logging.getLogger("airbyte")
COURSES = "learn/v1/courses"
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
    def test_a_check_has_20_seconds(self, commands: list[Mapping[str, Any]]) -> None:
        config = ConfigBuilder().build()
        assert SourceDocebo(config=config).check(logger, config).status == Status.SUCCEEDED
        (command,) = commands
        assert (command["streams"], command["deadline_seconds"]) == (None, 20)

    def test_discover_has_no_deadline(self, commands: list[Mapping[str, Any]]) -> None:
        config = ConfigBuilder().build()
        source = SourceDocebo(config=config)
        source.check(logger, config)
        source.discover(logger, config)
        _, command = commands
        assert command.keys() == {"id", "streams"}
        assert command["streams"] is None

    def test_a_read_knows_the_selected_streams_that_exist(self, commands: list[Mapping[str, Any]]) -> None:
        config = ConfigBuilder().build()
        catalog = CatalogBuilder().with_stream("users", SyncMode.full_refresh).build()
        list(SourceDocebo(catalog, config, []).read(logger, config, catalog, []))
        (command,) = commands
        assert command["streams"] == {"users": []}
        assert "deadline_seconds" not in command

    def test_each_read_is_another(self, commands: list[Mapping[str, Any]], platform: Platform) -> None:
        config = ConfigBuilder().build()
        source = SourceDocebo(CATALOG, config, [])
        for _ in range(2):
            assert len(records(source.read(logger, config, CATALOG, []))) == 1
        assert len(records(SourceDocebo(CATALOG, config, []).read(logger, config, CATALOG, []))) == 1
        assert len({command["id"] for command in commands}) == 3
        assert len(platform.token_forms()) == 3

    @pytest.mark.parametrize("field", ["__command", "end_date"])
    @pytest.mark.parametrize("value", [{"deadline_seconds": 0, "id": "mine"}, "test_read", 0, None])
    def test_a_field_of_the_users_own_has_no_effect(
        self, commands: list[Mapping[str, Any]], field: str, value: Any
    ) -> None:
        config = ConfigBuilder().with_field(field, value).build()
        assert len(records(SourceDocebo(CATALOG, config, []).read(logger, config, CATALOG, []))) == 1
        (command,) = commands
        assert command["id"] != "mine"
        assert "deadline_seconds" not in command

    def test_is_printed_nowhere(self, capsys: pytest.CaptureFixture[str]) -> None:
        config = ConfigBuilder().build()
        source = SourceDocebo(CATALOG, config, [])
        assert "__command" not in str(list(source.read(logger, config, CATALOG, [])))
        assert "__command" not in capsys.readouterr().out


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
        config = ConfigBuilder().with_field("credentials.client_secret", 'a/"secret"').build()
        source = SourceDocebo(config=config)
        for run in (source.check, source.discover):
            run(logger, config)
            assert filter_secrets(json.dumps('a/"secret"')) == '"****"'

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


class TestAbandonedRead:
    def test_stops_the_threads(self, platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("source_docebo.source.MAX_QUEUED_RECORDS", 3)
        pages = [page_with(*({"user_id": 5 * page + n} for n in range(5))).page(page, of=40) for page in range(1, 41)]
        platform.serves_pages(USERS, *pages)
        config = ConfigBuilder().with_field("num_workers", 2).build()
        source = SourceDocebo(CATALOG, config, [])
        messages = iter(source.read(logger, config, CATALOG, []))
        while next(messages).type != Type.RECORD:
            pass
        while not source._concurrent_source._queue.not_full._waiters:  # type: ignore[attr-defined]
            time.sleep(0.01)  # until a thread waits to pass a record on
        messages.close()  # type: ignore[attr-defined]
        for thread in source._concurrent_source._threadpool._threadpool._threads:
            thread.join(10)
            assert not thread.is_alive()
        assert len(platform.requests_for(USERS)) < 10


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
