"""Runs the connector's command, and reads what it prints."""

import json
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STREAMS = (
    "branches",
    "categories",
    "certifications",
    "course_enrollments",
    "course_fields",
    "course_learning_objects",
    "courses",
    "external_training",
    "group_members",
    "groups",
    "learning_plan_course_enrollments",
    "learning_plan_enrollments",
    "learning_plans",
    "sessions",
    "user_fields",
    "users",
)


@dataclass
class Output:
    """What one command printed, and how it ended."""

    code: int
    text: str
    stderr: str

    @property
    def messages(self) -> list[dict[str, Any]]:
        """Every line, parsed: a line that is no JSON fails the test."""
        return [json.loads(line) for line in self.text.splitlines()]

    def records(self) -> dict[str, list[dict[str, Any]]]:
        """The records by stream."""
        found = defaultdict(list)
        for message in self.messages:
            if message["type"] == "RECORD":
                found[message["record"]["stream"]].append(message["record"]["data"])
        return found

    def statuses(self) -> dict[str, str]:
        """The last status of each stream: COMPLETE or INCOMPLETE."""
        return {
            message["trace"]["stream_status"]["stream_descriptor"]["name"]: message["trace"]["stream_status"]["status"]
            for message in self.messages
            if message["type"] == "TRACE" and message["trace"]["type"] == "STREAM_STATUS"
        }

    def errors(self) -> list[dict[str, Any]]:
        """The error traces: message, failure_type, stream_descriptor."""
        return [
            message["trace"]["error"]
            for message in self.messages
            if message["type"] == "TRACE" and message["trace"]["type"] == "ERROR"
        ]

    def logs(self) -> list[str]:
        """The log lines, as `LEVEL text`."""
        return [
            f"{message['log']['level']} {message['log']['message']}"
            for message in self.messages
            if message["type"] == "LOG"
        ]

    def connection_status(self) -> dict[str, str]:
        """What check says: status and message."""
        return next(m["connectionStatus"] for m in self.messages if m["type"] == "CONNECTION_STATUS")


class Connector:
    """The command in one environment: `source-docebo` from a wheel, or what a container runs."""

    def __init__(self, *command: str, environment: Mapping[str, str] | None = None) -> None:
        self._command = command
        self._environment = environment

    def run(self, *arguments: str, timeout: float = 120) -> Output:
        """Runs it with arguments."""
        done = subprocess.run(
            [*self._command, *arguments], capture_output=True, text=True, timeout=timeout, env=self._environment
        )
        return Output(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """Starts it, for those who want to stop it."""
        return subprocess.Popen(
            [*self._command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self._environment
        )

    def check(self, config: Mapping[str, Any], timeout: float = 120) -> Output:
        """The command check."""
        with files(config=config) as directory:
            return self.run("check", "--config", f"{directory}/config.json", timeout=timeout)

    def discover(self, config: Mapping[str, Any]) -> Output:
        """The command discover."""
        with files(config=config) as directory:
            return self.run("discover", "--config", f"{directory}/config.json")

    def read(
        self, config: Mapping[str, Any], streams: Iterable[str] = STREAMS, *options: str, timeout: float = 300
    ) -> Output:
        """The command read."""
        with files(config=config, catalog=catalog(streams)) as directory:
            arguments = ["--config", f"{directory}/config.json", "--catalog", f"{directory}/catalog.json"]
            return self.run("read", *arguments, *options, timeout=timeout)


class files:  # noqa: N801
    """A directory with the given objects as JSON files."""

    def __init__(self, **contents: Any) -> None:
        self._contents = contents
        self._directory = tempfile.TemporaryDirectory()

    def __enter__(self) -> str:
        for name, content in self._contents.items():
            Path(self._directory.name, f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
        return self._directory.name

    def __exit__(self, *_: object) -> None:
        self._directory.cleanup()


def catalog(streams: Iterable[str]) -> dict[str, Any]:
    """A configured catalog of these streams, full refresh."""
    return {
        "streams": [
            {
                "stream": {"name": name, "json_schema": {}, "supported_sync_modes": ["full_refresh"]},
                "sync_mode": "full_refresh",
                "destination_sync_mode": "overwrite",
            }
            for name in streams
        ]
    }
