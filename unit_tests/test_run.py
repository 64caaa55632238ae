"""The process: output in whole UTF-8 lines or an error, and commands that end without a traceback."""

import contextlib
import errno
import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airbyte_cdk.logger import AirbyteLogFormatter

from source_docebo import run
from source_docebo.errors import config_error
from source_docebo.run import Output
from source_docebo.source import SourceDocebo
from unit_tests.builders import ConfigBuilder

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

    def test_consists_of_whole_lines(self, pipe: tuple[int, int]) -> None:
        output = Output()
        output.write("one\ntw")
        output.flush()
        assert os.read(pipe[0], 100) == b"one\n"
        output.write("o\n")
        output.flush()
        assert os.read(pipe[0], 100) == b"two\n"

    def test_gathers_up_to_100_000_characters(self, pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
        writes: list[int] = []
        monkeypatch.setattr("source_docebo.run.os.write", lambda _, data: writes.append(len(data)) or len(data))
        output = Output()
        for _ in range(1000):
            output.write("x" * 99 + "\n")
        assert writes == []
        output.write("\n")
        assert writes == [100_001]

    def test_is_written_while_nothing_more_comes(self, pipe: tuple[int, int]) -> None:
        output = Output()
        threading.Thread(target=output.flush_regularly, daemon=True).start()
        output.write("Waiting 3600 seconds\n")
        assert os.read(pipe[0], 100) == b"Waiting 3600 seconds\n"

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

    @pytest.mark.parametrize(
        ("number", "code"), [(errno.ENOSPC, 1), (errno.EIO, 1), (errno.EBADF, 1), (errno.EPIPE, 141)]
    )
    def test_one_failed_write_ends_the_process(
        self, pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch, capsys: Captured, number: int, code: int
    ) -> None:
        """Also if the next one would succeed: the lines in between are lost."""

        def fail(*_: Any) -> int:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr("source_docebo.run.os.write", fail)
        output = Output()
        output.write("a line\n")
        with pytest.raises(Ended, match=str(code)):
            output.flush()
        message = capsys.readouterr().err
        assert message.startswith(f"Standard output cannot be written: {os.strerror(number)}. ")
        assert message.count("\n") == 1

    def test_that_was_closed_ends_the_process(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "__stdout__", None)
        output = Output()
        output.write("a line\n")
        with pytest.raises(Ended, match="1"):
            output.exit(0)

    def test_exit_writes_what_was_gathered(self, pipe: tuple[int, int]) -> None:
        output = Output()
        output.write("the last line\n")
        with pytest.raises(Ended, match="7"):
            output.exit(7)
        assert os.read(pipe[0], 100) == b"the last line\n"

    def test_process_1_that_survives_its_signal_exits_with_128_and_the_number(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sent: list[tuple[int, int]] = []
        monkeypatch.setattr("source_docebo.run.os.kill", lambda *args: sent.append(args))
        with pytest.raises(Ended, match="143"):
            run._die(15)
        assert sent == [(os.getpid(), 15)]


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
            (["discover"], "--config"),
            (["read", "--config", "c.json"], "--catalog"),
            (["sync"], "'sync'"),
            (["spec", "--verbose"], "--verbose"),
            ([], "plan"),
        ],
    )
    def test_that_cannot_be_used_are_one_line(self, execute: Callable[..., Any], args: list[str], word: str) -> None:
        code, output, errors = execute(*args)
        assert code == 1
        assert output == []
        (line,) = errors
        assert word in line

    def test_help(self, execute: Callable[..., Any]) -> None:
        code, output, errors = execute("--help")
        assert (code, errors) == (0, [])
        assert "discover" in "".join(output)


def test_plan_gets_its_arguments_and_gives_the_exit_code(
    execute: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = type(sys)("source_docebo.plan")
    module.main = lambda arguments: 3 if arguments == ["--config", "c.json"] else 1  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "source_docebo.plan", module)
    assert execute("plan", "--config", "c.json") == (3, [], [])


class TestTemporaryDirectory:
    @pytest.fixture(autouse=True)
    def fresh(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tempfile, "tempdir", None)
        monkeypatch.delenv("TMPDIR", raising=False)
        monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [os.environ.get("TMPDIR", "/nowhere")])

    def test_is_in_memory_where_no_other_can_be_written(
        self, execute: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        code, output, _ = execute("spec")
        assert code == 0
        assert json.loads(output[-1])["type"] == "SPEC"
        assert tempfile.gettempdir() == "/dev/shm"

    def test_is_missing(self, execute: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
        def fail() -> Any:
            raise FileNotFoundError

        monkeypatch.setattr(tempfile, "TemporaryFile", fail)
        code, output, _ = execute("spec")
        (line,) = output
        error = json.loads(line)["trace"]["error"]
        assert code == 1
        assert error["failure_type"] == "config_error"
        assert "TMPDIR" in error["message"]
        assert "stack_trace" not in error


class TestSecrets:
    SECRET = 'se"cr/et & more'

    @pytest.fixture
    def files(self, tmp_path: Path) -> list[str]:
        config = ConfigBuilder().with_field("credentials.client_secret", self.SECRET).build()
        (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
        (tmp_path / "catalog.json").write_text('{"streams": []}', encoding="utf-8")
        return ["--config", str(tmp_path / "config.json"), "--catalog", str(tmp_path / "catalog.json")]

    @pytest.mark.parametrize(
        "echoed",
        [SECRET, 'se\\"cr/et & more', 'se\\"cr\\/et & more', "se%22cr%2Fet+%26+more", "se%22cr%2Fet%20%26%20more"],
    )
    def test_are_masked_in_an_unexpected_error(
        self, execute: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, files: list[str], echoed: str
    ) -> None:
        def fail(*_: Any) -> Any:
            logging.getLogger("airbyte").warning("Docebo says: %s", echoed)
            raise RuntimeError(f"error: {echoed}")

        monkeypatch.setattr(SourceDocebo, "_create_streams", fail)
        code, output, _ = execute("read", *files)
        assert code == 1
        trace = json.loads(output[-1])["trace"]["error"]
        assert trace["internal_message"] == "error: ****"
        assert "RuntimeError: error: ****" in trace["stack_trace"]
        assert any(json.loads(line).get("log", {}).get("message") == "Docebo says: ****" for line in output)

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
