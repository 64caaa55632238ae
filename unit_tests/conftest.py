"""Fixtures of all unit tests: a mocked platform, and a clock that moves on whenever the connector waits."""

import threading
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any
from uuid import uuid4

import pytest
import requests_mock
from airbyte_cdk.sources.declarative import concurrent_declarative_source
from airbyte_cdk.sources.declarative.parsers import model_to_component_factory
from airbyte_cdk.sources.streams.concurrent.default_stream import DefaultStream

from source_docebo.source import SourceDocebo
from unit_tests.builders import ConfigBuilder, Platform

# The modules of the connector that look at the clock.
TIMED = ("authenticator", "client", "rate_limit")


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
    """Has the CDK parse, resolve and validate the manifest once, which it does at every start: half of a short read."""
    schema = concurrent_declarative_source.get_declarative_component_schema()
    source = SourceDocebo()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(concurrent_declarative_source, "get_declarative_component_schema", lambda: schema)
        patch.setattr(model_to_component_factory, "get_type_hints", cache(model_to_component_factory.get_type_hints))
        patch.setattr(SourceDocebo, "_read_and_parse_yaml_file", lambda *_: {})
        patch.setattr(SourceDocebo, "_pre_process_manifest", lambda *_: source._source_config)
        patch.setattr(SourceDocebo, "_validate_source", lambda *_: None)
        yield


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    """Replaces the clock of the connector."""
    moving = Time()
    for module in TIMED:
        monkeypatch.setattr(f"source_docebo.{module}.time", moving)
    return moving


@pytest.fixture
def mocker() -> Iterator[requests_mock.Mocker]:
    """Mocked HTTP; a request that nobody expects finds no server."""
    with requests_mock.Mocker(case_sensitive=True) as mocked:
        yield mocked


@pytest.fixture
def docebo(mocker: requests_mock.Mocker) -> Platform:
    """A Docebo platform."""
    return Platform(mocker)


@pytest.fixture
def build(manifest_processed_once: None) -> Callable[..., DefaultStream]:
    """Builds one stream of the manifest, with a configuration of its own: two have no client in common."""

    def build_stream(name: str, **fields: Any) -> DefaultStream:
        source = SourceDocebo(config={**ConfigBuilder().build(), "id": uuid4().hex, **fields})
        configs = source._stream_configs(source._source_config)
        (stream,) = source._create_streams([config for config in configs if config["name"] == name], configs)
        return stream  # type: ignore[return-value]

    return build_stream
