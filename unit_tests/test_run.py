"""The process: output in UTF-8 or an error, signals, arguments, and commands that end without a traceback."""

import contextlib
import errno
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from airbyte_cdk.logger import AirbyteLogFormatter

from source_docebo import run
from source_docebo.client import Client
from source_docebo.errors import config_error
from source_docebo.run import Output
from source_docebo.source import SourceDocebo
from unit_tests.builders import ConfigBuilder, Platform
from unit_tests.conftest import Time
from unit_tests.declared import streams

ROOT = Path(__file__).parent.parent
Captured = pytest.CaptureFixture[str]


class Ended(BaseException):
    """The process would have ended with this exit code."""


@pytest.fixture(autouse=True)
def ending(monkeypatch: pytest.MonkeyPatch) -> None:
    def end(code: int) -> None:
        raise Ended(code)

    monkeypatch.setattr("source_docebo.run.os._exit", end)


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """A pipe in place of standard output: the end to read from, and the end to write to."""
    reading, writing = os.pipe()
    stdout = open(writing, "w", encoding="ascii", closefd=False)  # noqa: SIM115
    monkeypatch.setattr(sys, "__stdout__", stdout)
    yield reading, writing
    for descriptor in (reading, writing):
        with contextlib.suppress(OSError):
            os.close(descriptor)


@pytest.fixture
def output_clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    clock = Time()
    monkeypatch.setattr("source_docebo.run.time", clock)
    return clock


@pytest.fixture
def writes(pipe: tuple[int, int], output_clock: Time, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What was written, each time; standard output has just been written."""
    written: list[bytes] = []
    monkeypatch.setattr("source_docebo.run.os.write", lambda _, data: written.append(bytes(data)) or len(data))
    return written


class TestOutput:
    def test_is_utf_8_whatever_the_locale(self, pipe: tuple[int, int]) -> None:
        output = Output()
        output.write("Zoë 😀\n")
        output.flush()
        assert os.read(pipe[0], 100) == "Zoë 😀\n".encode()

    def test_half_a_surrogate_pair_stays_valid_json(self, pipe: tuple[int, int]) -> None:
        output = Output()
        output.write('{"name": "\ud83d"}\n')
        output.flush()
        assert json.loads(os.read(pipe[0], 100)) == {"name": "\ud83d"}

    def test_gathers_lines_for_a_tenth_of_a_second(self, writes: list[bytes], output_clock: Time) -> None:
        output = Output()
        output.write("one\n")
        output.write("two\n")
        output_clock.sleep(0.09)
        output.write("three\n")
        output_clock.sleep(0.02)
        output.write("four\n")
        assert writes == [b"one\n", b"two\nthree\nfour\n"]

    def test_gathers_up_to_100_000_bytes(self, writes: list[bytes]) -> None:
        output = Output()
        output.flush()
        for _ in range(1000):
            output.write("x" * 99 + "\n")
        assert writes == []
        output.write("\n")
        assert [len(data) for data in writes] == [100_001]

    def test_a_log_line_is_written_at_once_with_those_before_it(self, writes: list[bytes]) -> None:
        output = Output()
        output.flush()
        output.write("a record\n")
        handler = logging.StreamHandler(output)  # type: ignore[arg-type]
        handler.emit(logging.LogRecord("airbyte", logging.INFO, "", 0, "Waiting 3600 seconds.", (), None))
        assert b"".join(writes) == b"a record\nWaiting 3600 seconds.\n"

    def test_a_pipe_that_does_not_block_gets_every_byte(self, pipe: tuple[int, int]) -> None:
        reading, writing = pipe
        os.set_blocking(writing, False)
        output = Output()
        lines = "".join(f"{number:09}\n" for number in range(30_000))

        def write() -> None:
            output.write(lines)
            output.flush()
            os.close(writing)

        threading.Thread(target=write).start()
        time.sleep(0.1)
        with open(reading, "rb", closefd=False) as source:
            assert source.read() == lines.encode()

    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EPIPE])
    def test_one_failed_write_ends_the_process(
        self, pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch, capsys: Captured, number: int
    ) -> None:
        """Also if the next one would succeed: the lines in between are lost."""

        def fail(*_: Any) -> int:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr("source_docebo.run.os.write", fail)
        with pytest.raises(Ended, match="1"):
            Output().write("a line\n")
        assert capsys.readouterr().err == f"Standard output cannot be written: {os.strerror(number)}.\n"


class TestProcess:
    @pytest.fixture(autouse=True)
    def handlers(self, pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> dict[int, Any]:
        """The handlers that were set, by the signal's number; those of this process stay."""
        found: dict[int, Any] = {}
        monkeypatch.setattr(run.signal, "signal", found.__setitem__)
        monkeypatch.setattr(sys, "stdout", sys.stdout)
        return found

    @pytest.mark.parametrize(("end", "code"), [(7, 7), (SystemExit(2), 1), (SystemExit(0), 0), (SystemExit(None), 0)])
    def test_ends_with_what_was_gathered_and_the_exit_code(
        self, pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch, end: Any, code: int
    ) -> None:
        def command(args: list[str]) -> int:
            sys.stdout.flush()
            sys.stdout.write(f"{args[0]}\n")
            if isinstance(end, SystemExit):
                raise end
            return int(end)

        monkeypatch.setattr(run, "execute", command)
        with pytest.raises(Ended) as ended:
            run.run(["the last line"])
        assert ended.value.args == (code,)
        assert os.read(pipe[0], 100) == b"the last line\n"

    @pytest.mark.parametrize(("pid", "is_first"), [(1, True), (4711, False)])
    def test_process_1_exits_with_128_and_the_number_of_its_signal(
        self, monkeypatch: pytest.MonkeyPatch, handlers: dict[int, Any], pid: int, is_first: bool
    ) -> None:
        """The kernel ends any other process, but not that of a container."""
        monkeypatch.setattr(run, "execute", lambda _: 0)
        monkeypatch.setattr("source_docebo.run.os.getpid", lambda: pid)
        with pytest.raises(Ended):
            run.run([])
        assert set(handlers) == {signal.SIGTERM, signal.SIGINT}
        if is_first:
            with pytest.raises(Ended) as ended:
                handlers[signal.SIGTERM](signal.SIGTERM, None)
            assert ended.value.args == (143,)
        else:
            assert set(handlers.values()) == {signal.SIG_DFL}


@pytest.fixture
def execute(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Runs a command in this process: the exit code, the lines on standard output and those on standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(AirbyteLogFormatter())

    def execute_command(*args: str) -> tuple[int, list[str], list[str]]:
        with monkeypatch.context() as patch:
            patch.setattr(logging.getLogger(), "handlers", [handler])
            patch.setattr(sys, "__stderr__", sys.stderr)
            patch.setattr(sys, "stderr", sys.stderr)
            code = run.execute(list(args))
        output = capsys.readouterr()
        return code, output.out.splitlines(), output.err.splitlines()

    return execute_command


class TestArguments:
    @pytest.mark.parametrize(
        ("args", "word"),
        [
            (["check"], "--config"),
            (["read", "--config", "c.json"], "--catalog"),
            (["sync"], "'sync'"),
            (["spec", "--verbose"], "--verbose"),
            (["plan"], "--config"),
        ],
    )
    def test_that_cannot_be_used_are_named_on_standard_error(
        self, execute: Callable[..., Any], capsys: Captured, args: list[str], word: str
    ) -> None:
        with pytest.raises(SystemExit) as ended:
            execute(*args)
        assert ended.value.code == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert word in printed.err.splitlines()[-1]

    @pytest.mark.parametrize("command", ["discover", "read"])
    def test_a_configuration_that_cannot_be_used_is_an_error_of_the_protocol(
        self, execute: Callable[..., Any], tmp_path: Path, command: str
    ) -> None:
        code, output, _ = execute(command, *self.files(tmp_path)[: 4 if command == "read" else 2])
        assert code == 1
        error = json.loads(output[-1])["trace"]["error"]
        assert error["message"] == "Configuration: the field base_url is missing."
        assert error["failure_type"] == "config_error"
        assert "stack_trace" not in error

    def test_for_check_it_is_the_status(self, execute: Callable[..., Any], tmp_path: Path) -> None:
        code, output, _ = execute("check", *self.files(tmp_path)[:2])
        assert code == 0
        assert json.loads(output[-1])["connectionStatus"] == {
            "status": "FAILED",
            "message": "Configuration: the field base_url is missing.",
        }

    def files(self, directory: Path) -> list[str]:
        config = ConfigBuilder().without("base_url").build()
        (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")
        (directory / "catalog.json").write_text('{"streams": []}', encoding="utf-8")
        return ["--config", str(directory / "config.json"), "--catalog", str(directory / "catalog.json")]


class TestCommandsForPeople:
    """`plan` and `catalog` print what they are for on standard output, and the rest as text on standard error."""

    @pytest.fixture
    def config(self, tmp_path: Path) -> str:
        path = tmp_path / "config.json"
        path.write_text(json.dumps({**ConfigBuilder().build(), "call_per_hour": 5}), encoding="utf-8")
        return str(path)

    @pytest.mark.parametrize("command", ["plan", "catalog"])
    def test_give_their_exit_code(
        self, execute: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, config: str, command: str
    ) -> None:
        module = type(sys)(f"source_docebo.{command}")
        module.main = lambda source, parsed: 3 if parsed.config == config else 1  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        code, output, errors = execute(command, "--config", config)
        assert (code, output) == (3, [])
        assert errors == ["Configuration: there is no field call_per_hour, so it has no effect. Is it calls_per_hour?"]

    @pytest.mark.parametrize("command", ["plan", "catalog"])
    def test_say_in_one_line_what_is_wrong(self, execute: Callable[..., Any], command: str) -> None:
        code, output, (line,) = execute(command, "--config", "missing.json")
        assert (code, output) == (1, [])
        assert line.startswith("The file missing.json holds no config: ")

    def test_catalog_selects_the_recommended_modes(
        self, execute: Callable[..., Any], docebo: Platform, config: str
    ) -> None:
        docebo.serves("manage/v1/user_fields", {"id": 4, "title": "Cost center"}).serves("learn/v1/courses/field")
        code, output, _ = execute("catalog", "--config", config)
        assert code == 0
        entries = {entry["stream"]["name"]: entry for entry in json.loads("".join(output))["streams"]}
        assert set(entries) == set(streams())
        assert "field_4" in entries["users"]["stream"]["json_schema"]["properties"]
        incremental = entries.pop("enrollments")
        assert (incremental["sync_mode"], incremental["destination_sync_mode"]) == ("incremental", "append_dedup")
        assert incremental["cursor_field"] == ["date_last_updated"]
        assert incremental["primary_key"] == [["type"], ["id"], ["user_id"]]
        modes = {(entry["sync_mode"], entry["destination_sync_mode"]) for entry in entries.values()}
        assert modes == {("full_refresh", "overwrite")}

    def test_catalog_of_some_streams(self, execute: Callable[..., Any], docebo: Platform, config: str) -> None:
        docebo.serves("manage/v1/user_fields").serves("learn/v1/courses/field")
        _, output, _ = execute("catalog", "--config", config, "--streams", "users, groups")
        assert {each["stream"]["name"] for each in json.loads("".join(output))["streams"]} == {"users", "groups"}
        code, output, errors = execute("catalog", "--config", config, "--streams", "user")
        assert (code, output) == (1, [])
        assert errors[-1].startswith("There is no stream user. There are: ")


class TestHelp:
    def test_names_every_command(self, execute: Callable[..., Any], capsys: Captured) -> None:
        with pytest.raises(SystemExit):
            execute("--help")
        assert re.findall(r"^    (\w+) ", capsys.readouterr().out, re.MULTILINE) == [
            *("spec", "check", "discover", "read", "plan", "catalog")
        ]

    @pytest.mark.parametrize("option", ["--manifest-path", "--components-path"])
    def test_no_option_is_ignored(self, execute: Callable[..., Any], capsys: Captured, option: str) -> None:
        with pytest.raises(SystemExit) as ended:
            execute("check", "--config", "c.json", option, "x")
        assert ended.value.code
        assert option in capsys.readouterr().err

    def test_version(self, execute: Callable[..., Any], capsys: Captured) -> None:
        with pytest.raises(SystemExit) as ended:
            execute("--version")
        assert not ended.value.code
        assert capsys.readouterr().out == f"source-docebo {version('airbyte-source-docebo')}\n"


class TestSecrets:
    SECRET = 'se"cr/et & more'

    @pytest.fixture
    def files(self, tmp_path: Path) -> list[str]:
        config = ConfigBuilder().with_field("credentials.client_secret", self.SECRET).build()
        stream = {"name": "branches", "json_schema": {}, "supported_sync_modes": ["full_refresh"]}
        entry = {"stream": stream, "sync_mode": "full_refresh", "destination_sync_mode": "overwrite"}
        for name, content in {"config": config, "catalog": {"streams": [entry]}}.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
        return ["--config", str(tmp_path / "config.json"), "--catalog", str(tmp_path / "catalog.json")]

    @pytest.mark.parametrize("echoed", [SECRET, "se%22cr%2Fet+%26+more"], ids=["raw", "URL-encoded"])
    def test_are_masked_in_an_unexpected_error(
        self, execute: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, files: list[str], echoed: str
    ) -> None:
        def fail(*_: Any) -> Any:
            logging.getLogger("airbyte").warning("Docebo says: %s", echoed)
            raise RuntimeError(f"error: {echoed}")

        monkeypatch.setattr(Client, "request", fail)
        code, output, _ = execute("read", *files)
        assert code == 1
        messages = [json.loads(line) for line in output]
        (error, *_) = [each["trace"]["error"] for each in messages if "error" in each.get("trace", {})]
        assert error["internal_message"] == "error: ****"
        assert "RuntimeError: error: ****" in error["stack_trace"]
        assert any(each.get("log", {}).get("message") == "Docebo says: ****" for each in messages)
        assert echoed not in str(messages)

    def test_are_masked_in_a_connection_status(
        self, execute: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, files: list[str]
    ) -> None:
        def fail(*_: Any) -> Any:
            raise config_error(f"Wrong: {self.SECRET}")

        monkeypatch.setattr(SourceDocebo, "check", fail)
        code, output, _ = execute("check", *files[:2])
        assert code == 0
        assert self.SECRET not in str([json.loads(line) for line in output])
        assert json.loads(output[-1])["connectionStatus"]["message"] == "Wrong: ****"


def test_spec_needs_no_name_that_only_posix_has() -> None:
    script = (
        "import os, signal, sys\n"
        "for name in ('pthread_sigmask', 'sigwait', 'SIGPIPE', 'SIGKILL', 'SIGHUP', 'SIGUSR1', 'alarm'):\n"
        "    delattr(signal, name)\n"
        "for name in ('getuid', 'geteuid', 'fork', 'getppid'):\n"
        "    delattr(os, name)\n"
        "from source_docebo.run import run\n"
        "run(sys.argv[1:])\n"
    )
    done = subprocess.run([sys.executable, "-c", script, "spec"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout.splitlines()[-1])["type"] == "SPEC"
