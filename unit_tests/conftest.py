"""Fixtures of all unit tests: a mocked platform, a clock that moves on whenever the connector waits, and no chance."""

import threading
from collections.abc import Callable, Iterator
from functools import cache
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
import requests_mock
from airbyte_cdk.sources.declarative import concurrent_declarative_source
from airbyte_cdk.sources.declarative.parsers import model_to_component_factory
from airbyte_cdk.sources.streams.concurrent.default_stream import DefaultStream
from airbyte_cdk.utils.airbyte_secrets_utils import update_secrets

from source_docebo import errors
from source_docebo.client import COMMAND, Client
from source_docebo.source import SourceDocebo
from unit_tests.builders import ConfigBuilder, Platform

# The modules of the connector that look at the clock.
TIMED = ("authenticator", "client", "rate_limit", "reports")


class Time:
    """The clock of the connector. It moves on only when somebody sleeps, so that an hour costs nothing."""

    def __init__(self) -> None:
        self._moved = 0.0
        self._lock = threading.Lock()

    def monotonic(self) -> float:
        """Seconds, as `time.monotonic` counts them."""
        return 1_000_000.0 + self._moved

    def sleep(self, seconds: float) -> None:
        """Moves the clock on."""
        with self._lock:
            self._moved += seconds

    @property
    def slept(self) -> float:
        """Seconds that were waited."""
        return self._moved


@pytest.fixture(autouse=True, scope="session")
def manifest_processed_once() -> Iterator[None]:
    """
    Has the CDK process the manifest once instead of at every start, and build only the streams that a read selects
    instead of all, of which it then reads the same: almost all of the time of a short read.
    """
    schema = concurrent_declarative_source.get_declarative_component_schema()
    source = SourceDocebo()
    create = SourceDocebo._create_streams

    def create_selected(self: SourceDocebo, configs: list[dict[str, Any]], all_configs: list[dict[str, Any]]) -> Any:
        selected = self._config[COMMAND].get("streams") if configs is all_configs else None
        return create(self, [each for each in configs if selected is None or each["name"] in selected], all_configs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(concurrent_declarative_source, "get_declarative_component_schema", lambda: schema)
        patch.setattr(model_to_component_factory, "get_type_hints", cache(model_to_component_factory.get_type_hints))
        patch.setattr(SourceDocebo, "_read_and_parse_yaml_file", lambda *_: {})
        patch.setattr(SourceDocebo, "_pre_process_manifest", lambda *_: source._source_config)
        patch.setattr(SourceDocebo, "_validate_source", lambda *_: None)
        patch.setattr(SourceDocebo, "_create_streams", create_selected)
        yield


@pytest.fixture(autouse=True)
def secrets() -> None:
    """Forgets what other tests had masked: a token called `long` would be found in other words."""
    errors._secrets.clear()
    update_secrets([])


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    """Replaces the clock of the connector; the intervals between tries are the shortest that chance may choose."""
    monkeypatch.setattr("source_docebo.rate_limit.random", SimpleNamespace(uniform=lambda lowest, _: lowest))
    moving = Time()
    for module in TIMED:
        monkeypatch.setattr(f"source_docebo.{module}.time", moving)
    return moving


@pytest.fixture
def mocker() -> Iterator[requests_mock.Mocker]:
    """Mocked HTTP; a request that nobody expects finds no server. No request of this test reaches the next one."""
    with requests_mock.Mocker(case_sensitive=True) as mocked:
        yield mocked
        for client in [*Client._running.values()]:
            client._executor.shutdown(cancel_futures=True)


@pytest.fixture
def docebo(mocker: requests_mock.Mocker) -> Platform:
    """A Docebo platform."""
    return Platform(mocker)


@pytest.fixture
def build(manifest_processed_once: None) -> Callable[..., DefaultStream]:
    """Builds one stream of the manifest, with a configuration of its own: two have no client in common."""

    def build_stream(name: str, **fields: Any) -> DefaultStream:
        source = SourceDocebo(config={**ConfigBuilder().build(), "__id": uuid4().hex, **fields})
        configs = source._stream_configs(source._source_config)
        (stream,) = source._create_streams([config for config in configs if config["name"] == name], configs)
        return stream  # type: ignore[return-value]

    return build_stream
