"""Signals: the process dies of them at once, whatever it is doing, and all lines but the last are whole."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration_tests.command import Connector, catalog, files
from integration_tests.sandbox import Sandbox, Tenant

STOP_SIGNALS = [signal.SIGTERM, signal.SIGINT]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """A tenant whose users take ten seconds to read."""
    with Sandbox(Tenant(seed=35, users=40_000), latency=0.3) as running:
        yield running


@pytest.fixture(scope="module")
def arguments(sandbox: Sandbox) -> Iterator[list[str]]:
    """Those of a read."""
    with files(config=sandbox.config("client_credentials"), catalog=catalog(["users"])) as directory:
        yield ["read", "--config", f"{directory}/config.json", "--catalog", f"{directory}/catalog.json"]


def read_first_line(process: "subprocess.Popen[bytes]") -> bytes:
    assert process.stdout
    return process.stdout.readline()


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_while_it_reads(connector: Connector, arguments: list[str], number: signal.Signals) -> None:
    process = connector.start(*arguments)
    read_first_line(process)
    time.sleep(2)
    sent = time.monotonic()
    process.send_signal(number)
    output, errors = process.communicate(timeout=20)
    assert time.monotonic() - sent < 1.5
    assert process.returncode == -number
    lines = output.split(b"\n")[:-1]
    assert [json.loads(line)["type"] for line in lines].count("RECORD") > 10
    assert errors == b""


def test_while_it_starts(connector: Connector, arguments: list[str]) -> None:
    process = connector.start(*arguments)
    time.sleep(0.2)
    process.terminate()
    output, errors = process.communicate(timeout=20)
    assert process.returncode == -signal.SIGTERM
    assert (output, errors) == (b"", b"")


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_while_nobody_reads_its_output(connector: Connector, arguments: list[str], number: signal.Signals) -> None:
    process = connector.start(*arguments)
    read_first_line(process)
    time.sleep(4)  # the pipe is full by now
    sent = time.monotonic()
    process.send_signal(number)
    assert process.wait(timeout=20) == -number
    assert time.monotonic() - sent < 1.5
    process.communicate()


def test_while_it_waits_for_the_hourly_budget(connector: Connector, sandbox: Sandbox) -> None:
    config = {**sandbox.config("client_credentials"), "calls_per_hour": 3}
    with files(config=config, catalog=catalog(["users"])) as directory:
        process = connector.start(
            "read", "--config", f"{directory}/config.json", "--catalog", f"{directory}/catalog.json"
        )
        assert process.stdout
        next(line for line in process.stdout if b"calls_per_hour" in line)
        process.terminate()
        _, errors = process.communicate(timeout=5)
    assert process.returncode == -signal.SIGTERM
    assert errors == b""


@pytest.mark.skipif(
    not shutil.which("unshare") or subprocess.run(["unshare", "--pid", "--fork", "true"]).returncode != 0,
    reason="no right to create a PID namespace",
)
def test_as_process_1_it_exits_with_128_and_the_number(connector: Connector, arguments: list[str]) -> None:
    process = subprocess.Popen(
        ["unshare", "--pid", "--fork", *connector.command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    read_first_line(process)
    time.sleep(2)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="utf-8")
    os.kill(int(children), signal.SIGTERM)
    output, errors = process.communicate(timeout=20)
    assert process.returncode in (128 + signal.SIGTERM, -signal.SIGTERM)  # as the kernel lets process 1 die, or not
    assert output.count(b'{"type":"RECORD"') > 10
    assert errors == b""


def test_a_process_that_was_paused_continues(connector: Connector) -> None:
    tenant = Tenant(seed=36)
    with (
        Sandbox(tenant, latency=0.2) as running,
        files(config=running.config("client_credentials"), catalog=catalog(["users", "groups"])) as directory,
    ):
        process = connector.start(
            "read", "--config", f"{directory}/config.json", "--catalog", f"{directory}/catalog.json"
        )
        read_first_line(process)
        process.send_signal(signal.SIGSTOP)
        time.sleep(1)
        process.send_signal(signal.SIGCONT)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert output.count(b'{"type":"RECORD"') == tenant.sizes["users"] + tenant.sizes["groups"]
