"""Runs the connector's command and parses its output."""

import json
import os
import resource
import signal
import subprocess
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from integration_tests.sandbox import STREAMS

__all__ = ["STREAMS", "Connector", "Output", "catalog", "configured", "files", "rest_of"]

MOST_BYTES = 4 * 2**30


@dataclass
class Output:
    """What one command printed, and its exit code (negative: the number of the signal that ended it)."""

    code: int
    text: str
    stderr: str

    @property
    def messages(self) -> list[dict[str, Any]]:
        """Every line, parsed: a line that is not JSON fails the test."""
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

    def states(self, stream: str | None = None) -> list[dict[str, Any]]:
        """The state messages in the order of the output, of one stream or all."""
        states = [message["state"] for message in self.messages if message["type"] == "STATE"]
        return [state for state in states if stream is None or state["stream"]["stream_descriptor"]["name"] == stream]

    def last_states(self) -> list[dict[str, Any]]:
        """The last state of each stream, as the next sync gets them."""
        return list({state["stream"]["stream_descriptor"]["name"]: state for state in self.states()}.values())

    def catalog(self) -> list[dict[str, Any]]:
        """The streams that discover found."""
        (found,) = [message["catalog"] for message in self.messages if message["type"] == "CATALOG"]
        return list(found["streams"])

    def connection_status(self) -> dict[str, str]:
        """The result of check: status and message."""
        return next(m["connectionStatus"] for m in self.messages if m["type"] == "CONNECTION_STATUS")


class Connector:
    """The command in one environment: `source-docebo` from a wheel, or what a container runs."""

    def __init__(
        self,
        *command: str,
        environment: Mapping[str, str] | None = None,
        interpreter: str | None = None,
        longest_sleep: float = 0,
    ) -> None:
        """
        `interpreter`: that of the environment, if runs to the end may be forks of one process (see forks.py).
        `longest_sleep`: seconds that such a run waits where it wants to wait longer; 0: as long as it wants.
        """
        self.command = command
        self._environment = environment
        self._interpreter = interpreter
        self._longest_sleep = longest_sleep
        self._forks: subprocess.Popen[str] | None = None

    def run(self, *arguments: str, environment: Mapping[str, str] | None = None, timeout: float = 120) -> Output:
        """Runs it to its end. `environment` overrides single variables."""
        if self._interpreter and environment is None:
            return self._fork(arguments, timeout)
        process = self.start(*arguments, environment=environment)
        try:
            text, errors = process.communicate(timeout=timeout)
        finally:
            process.kill()
        return Output(process.returncode, text.decode(), errors.decode())

    def _fork(self, arguments: Iterable[str], timeout: float) -> Output:
        if self._forks is None:
            script = [str(self._interpreter), str(Path(__file__).with_name("forks.py"))]
            script += [str(MOST_BYTES), str(self._longest_sleep)]
            self._forks = subprocess.Popen(script, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._forks.stdin
        assert self._forks.stdout
        with tempfile.TemporaryDirectory() as directory:
            paths = {name: Path(directory, name) for name in ("output", "errors")}
            for path in paths.values():
                path.touch()
            request = {"arguments": list(arguments), **{name: str(path) for name, path in paths.items()}}
            print(json.dumps(request), file=self._forks.stdin, flush=True)
            process_id = int(self._forks.stdout.readline())
            timer = threading.Timer(timeout, os.kill, [process_id, signal.SIGKILL])
            timer.start()
            code = int(self._forks.stdout.readline())
            timer.cancel()
            if not timer.is_alive() and code == -signal.SIGKILL:
                raise subprocess.TimeoutExpired("source-docebo", timeout)
            return Output(code, *(path.read_text(encoding="utf-8") for path in paths.values()))

    def start(self, *arguments: str, environment: Mapping[str, str] | None = None) -> "subprocess.Popen[bytes]":
        """Starts it, for a test that ends it early."""
        process = subprocess.Popen(
            [*self.command, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self._with(environment),
        )
        if hasattr(resource, "prlimit"):  # so that a list without end, read without end, does not take the machine
            resource.prlimit(process.pid, resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
        return process

    @contextmanager
    def reading(
        self,
        config: Mapping[str, Any],
        streams: Iterable[str] = STREAMS,
        incremental: Iterable[str] = (),
        timeout: float = 120,
    ) -> "Iterator[subprocess.Popen[bytes]]":
        """The command read while it runs; killed at the end of `with`, or when the timeout has passed."""
        with files(config=config, catalog=catalog(streams, incremental)) as directory:
            arguments = ["--config", f"{directory}/config.json", "--catalog", f"{directory}/catalog.json"]
            process = self.start("read", *arguments)
            timer = threading.Timer(timeout, process.kill)
            timer.start()
            try:
                yield process
            finally:
                timer.cancel()
                process.kill()
                process.communicate()

    def check(
        self,
        config: Mapping[str, Any],
        *options: str,
        environment: Mapping[str, str] | None = None,
        timeout: float = 120,
    ) -> Output:
        """The command check."""
        with files(config=config) as directory:
            arguments = ["--config", f"{directory}/config.json", *options]
            return self.run("check", *arguments, environment=environment, timeout=timeout)

    def discover(self, config: Mapping[str, Any]) -> Output:
        """The command discover."""
        with files(config=config) as directory:
            return self.run("discover", "--config", f"{directory}/config.json")

    def read(
        self,
        config: Mapping[str, Any],
        streams: Iterable[str] | Mapping[str, Any] = STREAMS,
        *options: str,
        incremental: Iterable[str] = (),
        state: list[dict[str, Any]] | None = None,
        environment: Mapping[str, str] | None = None,
        timeout: float = 300,
    ) -> Output:
        """The command read, of streams by their names or of a configured catalog."""
        configured = streams if isinstance(streams, Mapping) else catalog(streams, incremental)
        contents: dict[str, Any] = {"config": config, "catalog": configured}
        if state is not None:
            contents["state"] = [{"type": "STREAM", "stream": each["stream"]} for each in state]
        with files(**contents) as directory:
            arguments = [text for name in contents for text in (f"--{name}", f"{directory}/{name}.json")]
            return self.run("read", *arguments, *options, environment=environment, timeout=timeout)

    def _with(self, environment: Mapping[str, str] | None) -> Mapping[str, str] | None:
        if environment is None:
            return self._environment
        return {**(os.environ if self._environment is None else self._environment), **environment}


def rest_of(process: "subprocess.Popen[bytes]") -> Output:
    """The output of a process from where it was read so far to its end; without half a line, which a signal leaves."""
    assert process.stdout
    assert process.stderr
    whole, end, _ = process.stdout.read().rpartition(b"\n")
    return Output(process.wait(), (whole + end).decode(), process.stderr.read().decode())


class files:  # noqa: N801
    """A temporary directory with the given objects as JSON files."""

    def __init__(self, **contents: Any) -> None:
        self._contents = contents
        self._directory = tempfile.TemporaryDirectory()

    def __enter__(self) -> str:
        for name, content in self._contents.items():
            Path(self._directory.name, f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
        return self._directory.name

    def __exit__(self, *_: object) -> None:
        self._directory.cleanup()


def catalog(streams: Iterable[str], incremental: Iterable[str] = ()) -> dict[str, Any]:
    """A configured catalog of these streams, full refresh but for those that are named as incremental."""
    return {
        "streams": [
            _configured({"name": name, "json_schema": {}, "supported_sync_modes": ["full_refresh"]}, incremental)
            for name in streams
        ]
    }


def configured(found: Iterable[Mapping[str, Any]], incremental: Iterable[str] = ()) -> dict[str, Any]:
    """A configured catalog of streams as discover gives them."""
    return {"streams": [_configured(stream, incremental) for stream in found]}


def _configured(stream: Mapping[str, Any], incremental: Iterable[str]) -> dict[str, Any]:
    if stream["name"] not in incremental:
        return {"stream": stream, "sync_mode": "full_refresh", "destination_sync_mode": "overwrite"}
    return {
        "stream": {**stream, "supported_sync_modes": ["full_refresh", "incremental"]},
        "sync_mode": "incremental",
        "destination_sync_mode": "append_dedup",
        "cursor_field": ["date_last_updated"],
        "primary_key": [["type"], ["id"], ["user_id"]],
    }
