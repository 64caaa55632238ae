"""Reads a sandbox with the command, and checks what holds for every read, whether it is complete or failed."""

import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from integration_tests.command import STREAMS, Connector, Output
from integration_tests.comparison import assert_same_records
from integration_tests.documented import assert_documented
from integration_tests.sandbox import CREDENTIALS, Sandbox, Tenant

SERVICES = r"^/(manage|learn|course|learningplan|audiences)/"


def read(connector: Connector, sandbox: Sandbox, *streams: str, **options: Any) -> Output:
    """A read of these streams, all by default: no secret in what it prints, and each message documented."""
    output = connector.read(sandbox.config("client_credentials"), streams or STREAMS, **options)
    assert_nothing_private(sandbox, output)
    assert_messages_documented(output)
    return output


def assert_messages_documented(output: Output) -> None:
    """The page for users lists each error, and each log line that the connector writes for people."""
    for error in output.errors():
        assert_documented(error["message"])
        assert "Traceback" not in error["message"]
    for line in output.logs():
        level, _, text = line.partition(" ")
        own = not text.startswith("Stream '")  # as the CDK begins its lines about streams that take turns
        if own and text.startswith(("Stream ", "Signing in", "Docebo", "The ", "In all")) and level in ("INFO", "WARN"):
            assert_documented(text)
        assert "Traceback" not in text


def assert_nothing_private(sandbox: Sandbox, output: Output) -> None:
    """No secret, token or person's data in any log, error or on stderr."""
    printed = "\n".join([*output.logs(), json.dumps(output.errors(), ensure_ascii=False), output.stderr])
    people = {user[field] for user in sandbox.tenant.wire("users")[:50] for field in ("email", "username")}
    for text in secrets(sandbox) | people:
        assert text not in printed, "a secret, a token or a person's data was printed"


def secrets(sandbox: Sandbox) -> set[str]:
    """The secrets and tokens of a sync, as they are and as they stand in JSON or in a form."""
    plain = {CREDENTIALS["client_secret"], CREDENTIALS["password"]}
    plain |= {request.token for request in sandbox.requests if request.token}
    return {
        form
        for secret in plain
        for form in (secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], quote(secret))
    }


def assert_complete(tenant: Tenant, output: Output, streams: Iterable[str] = STREAMS) -> None:
    """These streams are complete, each record once, and nothing failed."""
    assert output.code == 0, output.errors()
    assert output.statuses() == dict.fromkeys(streams, "COMPLETE")
    assert_same_records(tenant, output, streams)


def assert_failed_alone(
    tenant: Tenant, output: Output, failed: str, failure_type: str, *words: str, streams: Iterable[str] = STREAMS
) -> None:
    """One stream failed, with an error that has these words; the others are complete."""
    assert output.code == 1
    others = [name for name in streams if name != failed]
    assert output.statuses() == {failed: "INCOMPLETE", **dict.fromkeys(others, "COMPLETE")}
    assert_same_records(tenant, output, others)
    assert_error(output, failed, failure_type, *words)


def assert_error(output: Output, stream: str, failure_type: str, *words: str) -> None:
    """The first error of a stream is of that type, names the stream and has these words."""
    error = next((error for error in output.errors() if _stream(error) == stream), None)
    assert error, output.errors()
    assert error["failure_type"] == failure_type, error
    for word in (stream, *words):
        assert word in error["message"]


def list_warnings(output: Output, stream: str) -> list[str]:
    """The warnings about the list of a stream, not about the values of its fields."""
    lines = [line for line in output.logs() if line.startswith(f"WARN Stream {stream}:")]
    of_values = ("values that do not fit the schema", "most destinations drop")
    return [line for line in lines if not any(text in line for text in of_values)]


def _stream(error: dict[str, Any]) -> str | None:
    return (error.get("stream_descriptor") or {}).get("name")
