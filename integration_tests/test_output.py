"""Standard output that cannot take every byte: all records arrive, or the command ends with an error."""

import os
import resource
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration_tests.command import Connector, Output, catalog, files
from integration_tests.comparison import assert_same_records
from integration_tests.sandbox import Sandbox, Tenant

STREAMS = ["courses", "groups", "users"]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(Tenant(seed=33)) as running:
        yield running


@pytest.fixture(scope="module")
def arguments(sandbox: Sandbox) -> Iterator[list[str]]:
    """Those of a read."""
    with files(config=sandbox.config("client_credentials"), catalog=catalog(STREAMS)) as directory:
        yield ["read", "--config", f"{directory}/config.json", "--catalog", f"{directory}/catalog.json"]


def assert_one_line(errors: bytes) -> None:
    assert errors.startswith(b"Standard output cannot be written: ")
    assert errors.count(b"\n") == 1


@pytest.mark.parametrize(
    "locale", [{"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"PYTHONIOENCODING": "ascii"}]
)
def test_is_utf_8_in_any_locale(
    connector: Connector, sandbox: Sandbox, arguments: list[str], locale: dict[str, str]
) -> None:
    done = subprocess.run(
        [*connector.command, *arguments], capture_output=True, env={**os.environ, **locale}, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert_same_records(sandbox.tenant, Output(0, done.stdout.decode("utf-8"), ""), STREAMS)


@pytest.mark.parametrize("command", [["spec"], None])
def test_a_full_disk_is_an_error(connector: Connector, arguments: list[str], command: list[str] | None) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*connector.command, *(command or arguments)], stdout=full, stderr=subprocess.PIPE, timeout=120
        )
    assert done.returncode == 1
    assert_one_line(done.stderr)


def test_a_disk_that_is_full_near_the_end_is_an_error(
    connector: Connector, arguments: list[str], tmp_path: Path
) -> None:
    whole = len(connector.run(*arguments).text.encode())
    with (tmp_path / "output.jsonl").open("wb") as target:
        done = subprocess.run(
            [*connector.command, *arguments],
            stdout=target,
            stderr=subprocess.PIPE,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (whole - 1000, whole - 1000)),
            timeout=120,
        )
    assert done.returncode == 1
    assert_one_line(done.stderr)


def test_a_closed_output_is_an_error(connector: Connector, arguments: list[str]) -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *connector.command, *arguments], capture_output=True, timeout=120
    )
    assert done.returncode == 1
    assert_one_line(done.stderr)


def test_a_reader_that_goes_away_ends_the_read(connector: Connector, arguments: list[str]) -> None:
    process = connector.start(*arguments)
    assert process.stdout
    assert process.stderr
    process.stdout.readline()
    process.stdout.close()
    errors = process.stderr.read()
    assert process.wait(timeout=30) == 1
    assert_one_line(errors)


def test_a_pipe_that_does_not_block_gets_every_record(
    connector: Connector, sandbox: Sandbox, arguments: list[str]
) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    process = subprocess.Popen([*connector.command, *arguments], stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    time.sleep(3)  # the pipe is full by now
    with open(reading, encoding="utf-8") as source:
        text = source.read()
    assert process.wait(timeout=60) == 0
    assert_same_records(sandbox.tenant, Output(0, text, ""), STREAMS)


def test_an_abandoned_read_lets_the_process_end(connector: Connector) -> None:
    """As a library: a generator that was closed, and one that is still there when the program ends."""
    script = """
import json, sys
from source_docebo import SourceDocebo
import logging

config, catalog = SourceDocebo.read_config(sys.argv[1]), SourceDocebo.read_catalog(sys.argv[2])
messages = SourceDocebo(catalog, config, []).read(logging.getLogger("airbyte"), config, catalog, [])
records = [next(messages) for _ in range(5)]
if sys.argv[3] == "close":
    messages.close()
"""
    python = str(Path(connector.command[0]).parent / "python")
    for ending in ("close", "leave"):
        with (
            Sandbox(Tenant(seed=34, users=30_000), latency=0.1) as slow,
            files(config=slow.config("client_credentials"), catalog=catalog(["users", "sessions"])) as path,
        ):
            arguments = [f"{path}/config.json", f"{path}/catalog.json", ending]
            done = subprocess.run(
                [python, "-c", script, *arguments], capture_output=True, text=True, timeout=60, cwd=path
            )
            assert done.returncode == 0, done.stderr
            assert "Traceback" not in done.stderr
            assert len(slow.requests) < 75  # of 150
