"""Configurations, responses, and a platform that serves them, so that a test reads as a sentence."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import requests_mock
from airbyte_cdk.models import (
    AirbyteMessageSerializer,
    AirbyteStream,
    AirbyteStreamStatus,
    ConfiguredAirbyteCatalog,
    FailureType,
    SyncMode,
)
from airbyte_cdk.sources.declarative.yaml_declarative_source import YamlDeclarativeSource
from airbyte_cdk.test import entrypoint_wrapper
from airbyte_cdk.test.catalog_builder import CatalogBuilder
from airbyte_cdk.test.entrypoint_wrapper import EntrypointOutput, ExpectedOutcome
from airbyte_cdk.utils import AirbyteTracedException
from requests_mock.request import _RequestObjectProxy as SentRequest

from source_docebo.source import SourceDocebo

PLATFORM = "https://acme.docebosaas.com"


class ConfigBuilder:
    """A configuration that is valid until something in it is replaced or left out."""

    def __init__(self) -> None:
        self._config: dict[str, Any] = {"base_url": PLATFORM}
        self.with_client_credentials_grant()

    def with_client_credentials_grant(
        self, client_id: str = "the-client", client_secret: str = "the-client-secret"
    ) -> "ConfigBuilder":
        self._config["credentials"] = {
            "auth_type": "client_credentials",
            "client_id": client_id,
            "client_secret": client_secret,
        }
        return self

    def with_password_grant(
        self,
        client_id: str = "the-client",
        client_secret: str = "the-client-secret",
        username: str = "the-user",
        password: str = "the-password",
    ) -> "ConfigBuilder":
        self._config["credentials"] = {
            "auth_type": "password",
            "client_id": client_id,
            "client_secret": client_secret,
            "username": username,
            "password": password,
        }
        return self

    def with_base_url(self, base_url: Any) -> "ConfigBuilder":
        return self.with_field("base_url", base_url)

    def with_field(self, name: str, value: Any) -> "ConfigBuilder":
        holder, last = self._holder_of(name)
        holder[last] = value
        return self

    def without(self, name: str) -> "ConfigBuilder":
        holder, last = self._holder_of(name)
        del holder[last]
        return self

    def build(self) -> dict[str, Any]:
        copied: dict[str, Any] = json.loads(json.dumps(self._config))
        return copied

    def _holder_of(self, name: str) -> tuple[dict[str, Any], str]:
        *path, last = name.split(".")
        holder = self._config
        for part in path:
            holder = holder[part]
        return holder, last


class Response:
    """A response of the platform: status code, headers and body."""

    def __init__(self, body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.headers = {"Content-Type": "application/json", **(headers or {})}
        self.text = body if isinstance(body, str) else json.dumps(body)


class PageBuilder:
    """One page of a list; the only one, unless its paging fields say otherwise."""

    def __init__(self) -> None:
        self._items: list[Any] = []
        self._paging: dict[str, Any] = {
            "current_page": 1,
            "current_page_size": 200,
            "has_more_data": False,
            "total_page_count": 1,
        }
        self._bare = False

    def with_records(self, *records: Mapping[str, Any]) -> "PageBuilder":
        self._items.extend(records)
        return self

    def page(self, number: int, of: int) -> "PageBuilder":
        return self.with_paging(current_page=number, has_more_data=number < of, total_page_count=of)

    def with_paging(self, **fields: Any) -> "PageBuilder":
        """Sets these paging fields; None leaves one out."""
        self._paging.update(fields)
        self._paging = {name: value for name, value in self._paging.items() if value is not None}
        return self

    def without_paging(self) -> "PageBuilder":
        """Leaves out every paging field."""
        return self.with_paging(current_page=None, current_page_size=None, has_more_data=None, total_page_count=None)

    def as_bare_list(self) -> "PageBuilder":
        self._bare = True
        return self

    def content(self) -> dict[str, Any]:
        """The body, as an object."""
        paging = {"count": len(self._items), "cursor": None, "sort": [], **self._paging}
        data = self._items if self._bare else {"items": self._items, **paging}
        return {"data": data, "version": "1.0.0", "_links": []}

    def build(self) -> Response:
        return Response(self.content())


def page_with(*records: Mapping[str, Any]) -> PageBuilder:
    """The only page of a list."""
    return PageBuilder().with_records(*records)


def error_response(status: int, *messages: str, headers: Mapping[str, str] | None = None) -> Response:
    """An error in the form that Docebo gives it: `message` is a list."""
    return Response({"name": "Error", "message": [*messages], "code": 0, "status": status}, status, headers)


def token_response(value: str = "the-token", expires_in: Any = 3600) -> Response:
    return Response({"access_token": value, "expires_in": expires_in, "token_type": "Bearer", "scope": "api"})


def token_error(error: str, status: int = 400) -> Response:
    return Response({"error": error, "error_description": "The reason in words."}, status)


class Platform:
    """A Docebo platform behind mocked HTTP: it issues tokens, and serves what a test gives it."""

    def __init__(self, mocker: requests_mock.Mocker, base_url: str = PLATFORM) -> None:
        self._mocker = mocker
        self._base_url = base_url
        self.issues(token_response())
        self.serves("manage/v1/user_fields")
        self.serves("learn/v1/courses/field")

    def issues(self, *responses: Response) -> "Platform":
        """Responds to requests for a token with these, one after the other; with the last from then on."""
        self._mocker.post(f"{self._base_url}/oauth2/token", [_mocked(response) for response in responses])
        return self

    def serves_pages(self, path: str, *pages: PageBuilder) -> "Platform":
        """Serves a list, page by page."""
        for number, page in enumerate(pages, start=1):
            self.responds(path, page.build(), when={"page": str(number)})
        return self

    def serves(self, path: str, *records: Mapping[str, Any]) -> "Platform":
        """Serves a list of one page."""
        return self.serves_pages(path, page_with(*records))

    def responds(
        self, path: str, *responses: Response, when: Mapping[str, str | Sequence[str]] | None = None
    ) -> "Platform":
        """Responds to requests for a path and these query parameters, in this order; with the last from then on."""
        self._mocker.get(
            f"{self._base_url}/{path}",
            [_mocked(response) for response in responses],
            additional_matcher=_has_in_query(when or {}),
        )
        return self

    def requests_for(self, path: str) -> list[SentRequest]:
        """The requests for a path, in the order in which they were sent."""
        prefix = urlsplit(self._base_url).path
        return [sent for sent in self._mocker.request_history if sent.path == f"{prefix}/{path}"]

    def queries_for(self, path: str) -> list[dict[str, list[str]]]:
        """The queries of the requests for a path; each parameter with all its values."""
        return [parse_qs(urlsplit(sent.url).query) for sent in self.requests_for(path)]

    def token_forms(self) -> list[list[tuple[str, str]]]:
        """The forms that were sent to the token endpoint."""
        return [
            parse_qsl(sent.text, keep_blank_values=True, strict_parsing=True)
            for sent in self.requests_for("oauth2/token")
        ]

    @property
    def paths_requested(self) -> list[str]:
        """The paths of all requests for data."""
        prefix = len(urlsplit(self._base_url).path) + 1
        return [sent.path[prefix:] for sent in self._mocker.request_history if sent.method == "GET"]

    @property
    def was_requested(self) -> bool:
        """Whether any request was sent."""
        return bool(self._mocker.called)


def _mocked(response: Response) -> dict[str, Any]:
    return {"status_code": response.status, "headers": response.headers, "text": response.text}


def _has_in_query(expected: Mapping[str, str | Sequence[str]]) -> Callable[[SentRequest], bool]:
    wanted = {name: [value] if isinstance(value, str) else list(value) for name, value in expected.items()}

    def matches(sent: SentRequest) -> bool:
        query = {"page": ["1"], **parse_qs(urlsplit(sent.url).query)}
        return all(query.get(name) == values for name, values in wanted.items())

    return matches


class Output:
    """What a command of the connector printed."""

    def __init__(self, entrypoint_output: EntrypointOutput) -> None:
        self._output = entrypoint_output

    def records(self, stream: str) -> list[dict[str, Any]]:
        return [message.record.data for message in self._output.records if message.record.stream == stream]

    def statuses(self, stream: str) -> list[AirbyteStreamStatus]:
        return self._output.get_stream_statuses(stream)

    def is_complete(self, stream: str) -> bool:
        expected = [AirbyteStreamStatus.STARTED, AirbyteStreamStatus.COMPLETE]
        return [status for status in self.statuses(stream) if status != AirbyteStreamStatus.RUNNING] == expected

    def is_incomplete(self, stream: str) -> bool:
        return self.statuses(stream)[-1] == AirbyteStreamStatus.INCOMPLETE

    def lines(self, *words: str) -> list[str]:
        """The log lines that hold all of the words."""
        messages = [message.log.message for message in self._output.logs]
        return [line for line in messages if all(word in line for word in words)]

    def warnings(self) -> list[str]:
        return [message.log.message for message in self._output.logs if message.log.level.value == "WARN"]

    def errors(self) -> list[tuple[FailureType, str]]:
        """The errors, without the CDK's summary of the streams that failed."""
        errors = [message.trace.error for message in self._output.errors]
        return [
            (error.failure_type, error.message)
            for error in errors
            if "streams did not sync successfully" not in error.message
        ]

    def connection_status(self) -> tuple[str, str]:
        (message,) = self._output.connection_status_messages
        return message.connectionStatus.status.value, message.connectionStatus.message or ""

    def discovered(self, stream: str) -> AirbyteStream:
        (found,) = [entry for entry in self._output.catalog.catalog.streams if entry.name == stream]
        return found

    @property
    def text(self) -> str:
        """Every message, as it would be printed."""
        return "\n".join(
            json.dumps(AirbyteMessageSerializer.dump(message), ensure_ascii=False)
            for message in self._output.get_message_iterator()
        )


def read(
    *streams: str,
    config: Mapping[str, Any] | None = None,
    fields: Sequence[str] = (),
    manifest: Path | None = None,
    debug: bool = False,
) -> Output:
    """
    Reads streams, from the connector's own manifest unless another is given. `fields`: those that the schemas of the
    catalog have.
    """
    catalog = _catalog(streams, fields)
    used = ConfigBuilder().build() if config is None else config

    def run(source: YamlDeclarativeSource) -> EntrypointOutput:
        return entrypoint_wrapper.read(source, used, catalog, expected_outcome=ExpectedOutcome.ALLOW_ANY, debug=debug)

    if manifest is not None:
        return Output(run(YamlDeclarativeSource(path_to_yaml=str(manifest), catalog=catalog, config=used, state=[])))
    return _run(used, catalog, run)


def discover(config: Mapping[str, Any] | None = None) -> Output:
    """The catalog that the connector discovers."""
    used = ConfigBuilder().build() if config is None else config
    return _run(
        used,
        None,
        lambda source: entrypoint_wrapper.discover(source, used, expected_outcome=ExpectedOutcome.ALLOW_ANY),
    )


def _catalog(streams: Sequence[str], fields: Sequence[str] = ()) -> ConfiguredAirbyteCatalog:
    builder = CatalogBuilder()
    for stream in streams:
        builder.with_stream(stream, SyncMode.full_refresh)
    catalog = builder.build()
    for entry in catalog.streams:
        entry.stream.json_schema = {"properties": {name: {} for name in fields}}
    return catalog


def _run(
    config: Mapping[str, Any],
    catalog: ConfiguredAirbyteCatalog | None,
    run: Callable[[YamlDeclarativeSource], EntrypointOutput],
) -> Output:
    try:
        source = SourceDocebo(catalog=catalog, config=config, state=[])
    except AirbyteTracedException as failure:
        return Output(EntrypointOutput(messages=[], uncaught_exception=failure))
    return Output(run(source))
