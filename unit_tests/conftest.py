"""Fixtures of all unit tests: a mocked platform, and time that passes at once when the connector waits."""

import threading
import time
from collections.abc import Iterator

import pytest
import requests_mock
from airbyte_cdk.sources.declarative import concurrent_declarative_source

from unit_tests.builders import Platform


class Time:
    """The clock that the connector looks at. Whoever waits moves it on, so that an hour costs nothing."""

    def __init__(self) -> None:
        self._moved = 0.0
        self._lock = threading.Lock()

    def monotonic(self) -> float:
        return time.monotonic() + self._moved

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self._moved += seconds

    @property
    def slept(self) -> float:
        """Seconds that were waited."""
        return self._moved


@pytest.fixture(autouse=True, scope="session")
def schema_of_components() -> Iterator[None]:
    """Has the CDK parse the schema of its components once, which it does at every start: a quarter of a short read."""
    parsed = concurrent_declarative_source.get_declarative_component_schema()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(concurrent_declarative_source, "get_declarative_component_schema", lambda: parsed)
        yield


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    """Replaces the clock of the connector's calls, and the waits for Docebo's limit."""
    moving = Time()

    for module in ("authenticator", "client", "rate_limit", "requester"):
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
