"""
The image, as Airbyte and `docker run` use it. Any engine will do: $CONTAINER_ENGINE, docker or podman. $BASE_IMAGE
takes the place of Airbyte's base image where that cannot be pulled.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn, TextIO

import orjson
import pytest
import yaml

from integration_tests.command import STREAMS, Output, catalog
from integration_tests.comparison import assert_same_records
from integration_tests.sandbox import Sandbox, SandboxProcess, Tenant

# One worker, since each would build the image for itself.
pytestmark = pytest.mark.xdist_group("image")

ROOT = Path(__file__).parent.parent
TAG = "source-docebo:test"
LOCKED_DOWN = ("--read-only", "--cap-drop=ALL")
# What limits the memory of the process that prints it, with either version of control groups.
MEMORY_LIMIT = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null"


class Image:
    """The built image."""

    def __init__(self, engine: str) -> None:
        self.engine = engine

    def start(
        self, *arguments: str, options: tuple[str, ...] = (), stdout: TextIO | int = subprocess.PIPE
    ) -> "subprocess.Popen[str]":
        """Starts a container on the network of this machine, where the sandbox answers."""
        command = [self.engine, "run", "--rm", "--network=host", *options, TAG, *arguments]
        return subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, text=True)

    def run(self, *arguments: str, options: tuple[str, ...] = ()) -> Output:
        """Runs a container to its end."""
        with self.start(*arguments, options=options) as process:
            text, stderr = process.communicate(timeout=600)
        return Output(process.returncode, text, stderr)

    def shell(self, script: str, *options: str) -> Output:
        """Runs a shell in a container."""
        return self.run("-c", script, options=("--entrypoint=sh", *options))

    def settings(self) -> dict[str, Any]:
        """What the Dockerfile declares."""
        found = subprocess.run([self.engine, "image", "inspect", TAG], capture_output=True, text=True, check=True)
        return dict(json.loads(found.stdout)[0]["Config"])


def unavailable(reason: str) -> NoReturn:
    """Skips the tests of the image, or fails where the environment says that they must run."""
    if os.environ.get("REQUIRE_IMAGE") == "1":
        pytest.fail(f"{reason} (REQUIRE_IMAGE is 1)", pytrace=False)
    pytest.skip(reason)


def engine() -> str:
    """The engine that runs here. A client without its engine does not count."""
    tried = []
    for name in filter(None, (os.environ.get("CONTAINER_ENGINE"), "docker", "podman")):
        if not shutil.which(name):
            tried.append(f"{name} is not installed")
        elif subprocess.run([name, "info"], capture_output=True).returncode:
            tried.append(f"`{name} info` fails")
        else:
            return name
    unavailable(f"no container engine: {', '.join(tried)}")


def base_image(engine: str) -> str:
    """The name of the base image, which is then on this machine."""
    metadata = yaml.safe_load((ROOT / "metadata.yaml").read_text(encoding="utf-8"))
    name = os.environ.get("BASE_IMAGE") or metadata["data"]["connectorBuildOptions"]["baseImage"]
    if subprocess.run([engine, "image", "inspect", name], capture_output=True).returncode:
        pulled = subprocess.run([engine, "pull", name], capture_output=True, text=True)
        if pulled.returncode:
            reason = (pulled.stderr.strip().splitlines() or ["no reason given"])[-1]
            unavailable(f"{engine} cannot pull the base image {name}: {reason}")
    return str(name)


@pytest.fixture(scope="module")
def image() -> Image:
    """Built from this checkout."""
    found = engine()
    arguments = ["--build-arg", f"BASE_IMAGE={base_image(found)}"]
    built = subprocess.run(
        [found, "build", "--network=host", *arguments, "--tag", TAG, ROOT], capture_output=True, text=True
    )
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-4000:]
    return Image(found)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(Tenant(seed=51, courses=120, users=300)) as running:
        yield running


Mounted = Callable[..., tuple[str, ...]]


@pytest.fixture
def mounted(tmp_path: Path) -> Mounted:
    """Writes a configuration and a catalog, and gives the options that mount them as /secrets."""

    def write(config: Mapping[str, Any], *options: str) -> tuple[str, ...]:
        directory = tmp_path / "secrets"
        directory.mkdir()
        (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")
        (directory / "catalog.json").write_text(json.dumps(catalog(STREAMS)), encoding="utf-8")
        for path in (directory, *directory.iterdir()):
            path.chmod(0o755)
        return ("-v", f"{directory}:/secrets:ro", *options)

    return write


READ = ("read", "--config", "/secrets/config.json", "--catalog", "/secrets/catalog.json")


def read_whole(output: Output, tenant: Tenant) -> None:
    assert output.code == 0, output.stderr or output.errors()
    assert output.statuses() == dict.fromkeys(STREAMS, "COMPLETE")
    assert_same_records(tenant, output)


class TestProtocol:
    """The four commands, as the platform runs them."""

    def test_spec(self, image: Image) -> None:
        (message,) = (message for message in image.run("spec").messages if message["type"] == "SPEC")
        assert set(message["spec"]["connectionSpecification"]["required"]) == {"base_url", "credentials"}

    def test_check(self, image: Image, sandbox: Sandbox, mounted: Mounted) -> None:
        options = mounted(sandbox.config("client_credentials"))
        output = image.run("check", "--config", "/secrets/config.json", options=options)
        assert output.connection_status()["status"] == "SUCCEEDED"

    def test_discover(self, image: Image, sandbox: Sandbox, mounted: Mounted) -> None:
        options = mounted(sandbox.config("client_credentials"))
        output = image.run("discover", "--config", "/secrets/config.json", options=options)
        (found,) = (message["catalog"] for message in output.messages if message["type"] == "CATALOG")
        assert sorted(stream["name"] for stream in found["streams"]) == list(STREAMS)

    @pytest.mark.parametrize("grant", ["client_credentials", "password"])
    def test_read(self, image: Image, sandbox: Sandbox, mounted: Mounted, grant: str) -> None:
        read_whole(image.run(*READ, options=mounted(sandbox.config(grant))), sandbox.tenant)

    def test_the_platform_runs_the_variable(self, image: Image) -> None:
        assert image.shell("$AIRBYTE_ENTRYPOINT spec").text == image.run("spec").text


class TestLockedDown:
    """Nothing to write on, no capabilities, 512 MB."""

    def test_read_only_and_without_capabilities(self, image: Image, sandbox: Sandbox, mounted: Mounted) -> None:
        options = mounted(sandbox.config("client_credentials"), *LOCKED_DOWN)
        assert image.shell("touch /airbyte/integration_code/file", *options).code != 0
        read_whole(image.run(*READ, options=options), sandbox.tenant)

    def test_a_large_platform_in_512_mb(self, image: Image, mounted: Mounted, tmp_path: Path) -> None:
        limit = ("--memory=512m", "--memory-swap=512m")
        probe = image.shell(MEMORY_LIMIT, *limit)
        if str(512 * 1024**2) not in probe.text.split():
            pytest.skip(f"{image.engine} does not limit memory here: {probe.stderr.strip()[-300:] or probe.text}")
        tenant = Tenant.large()
        printed = tmp_path / "printed.jsonl"
        with SandboxProcess(tenant) as sandbox, printed.open("w") as target:
            options = mounted(sandbox.config("client_credentials"), *LOCKED_DOWN, *limit)
            with image.start(*READ, options=options, stdout=target) as process:
                assert process.wait(600) == 0
        records: Counter[str] = Counter()
        with printed.open("rb") as lines:
            for message in map(orjson.loads, lines):
                if message["type"] == "RECORD":
                    records[message["record"]["stream"]] += 1
        assert records.total() > 430_000
        assert records == {stream: tenant.count([stream]) for stream in STREAMS}


class TestUnusableFiles:
    """One line that says what is wrong with the file; a check fails with it."""

    @pytest.mark.parametrize(
        ("content", "mode", "words"),
        [
            ("{}", 0o000, "Permission denied"),
            (None, None, "No such file or directory"),
            ("{not json", 0o644, "Expecting property name"),
            ("", 0o644, "Expecting value"),
        ],
        ids=["unreadable", "missing", "not JSON", "empty"],
    )
    @pytest.mark.parametrize("command", ["check", "discover", "read"])
    def test_configuration(
        self,
        image: Image,
        mounted: Mounted,
        tmp_path: Path,
        command: str,
        content: str | None,
        mode: int | None,
        words: str,
    ) -> None:
        options = mounted({})
        path = tmp_path / "secrets" / "config.json"
        path.unlink()
        if content is not None and mode is not None:
            path.write_text(content, encoding="utf-8")
            path.chmod(mode)
        catalog_too = ("--catalog", "/secrets/catalog.json") if command == "read" else ()
        output = image.run(command, "--config", "/secrets/config.json", *catalog_too, options=options)
        assert output.code == (0 if command == "check" else 1)
        (line,) = output.text.splitlines()
        assert f"The file /secrets/config.json holds no config: {words}" in str(json.loads(line))
        assert "Traceback" not in output.text + output.stderr


class TestContents:
    """What is in the image, and what is not."""

    def test_user(self, image: Image) -> None:
        assert image.settings()["User"] == "airbyte"
        assert image.shell("id -u").text.strip() == "1000"

    def test_entry_points_and_labels(self, image: Image) -> None:
        settings = image.settings()
        assert settings["Entrypoint"] == ["source-docebo"]
        assert "AIRBYTE_ENTRYPOINT=source-docebo" in settings["Env"]
        assert "MALLOC_ARENA_MAX=2" in settings["Env"]
        (version,) = re.findall(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.M)
        assert {
            "io.airbyte.name": "airbyte/source-docebo",
            "io.airbyte.version": version,
            "org.opencontainers.image.title": "source-docebo",
            "org.opencontainers.image.version": version,
            "org.opencontainers.image.licenses": "MIT",
        }.items() <= settings["Labels"].items()
        assert all(settings["Labels"].values())

    def test_the_versions_are_those_of_the_lock_file(self, image: Image) -> None:
        script = (
            "import importlib.metadata as m, json;print(json.dumps({d.name: d.version for d in m.distributions()}))"
        )
        output = image.run("-c", script, options=("--entrypoint=python",))
        installed = {normal(name): version for name, version in json.loads(output.text).items()}
        assert installed.pop("airbyte-source-docebo")
        assert {"airbyte-cdk", "orjson", "requests"} <= installed.keys()
        locked = versions_of_the_lock_file()
        assert {name: version for name, version in installed.items() if version not in locked.get(name, ())} == {}

    def test_no_sources_and_no_secrets(self, image: Image) -> None:
        everywhere = "find / -name manifest.yaml -not -path '/proc/*'"
        output = image.shell(f"(find /airbyte /build /secrets /config -type f; {everywhere}) 2>/dev/null")
        (only,) = output.text.split()
        assert only.startswith("/opt/source-docebo/")


class TestWithoutTheBaseImage:
    """What the tests above do where an engine runs and the base image cannot be pulled."""

    def run(self, directory: Path, **variables: str) -> str:
        """What pytest prints of one test of the image, with an engine that can pull nothing."""
        engine = directory / "engine"
        engine.write_text('#!/bin/sh\ntest "$1" = info || { echo "no such host" >&2; exit 125; }\n', encoding="utf-8")
        engine.chmod(0o755)
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "REQUIRE_"))
        }
        test = f"{Path(__file__).relative_to(ROOT)}::TestContents::test_user"
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", test],
            cwd=ROOT,
            env={**environment, "CONTAINER_ENGINE": str(engine), "BASE_IMAGE": "base:missing", **variables},
            capture_output=True,
            text=True,
        ).stdout

    def test_they_are_skipped_and_say_why(self, tmp_path: Path) -> None:
        printed = self.run(tmp_path)
        assert "1 skipped" in printed
        assert "cannot pull the base image base:missing: no such host" in printed

    def test_they_fail_where_the_image_is_required(self, tmp_path: Path) -> None:
        printed = self.run(tmp_path, REQUIRE_IMAGE="1")
        assert "1 error" in printed
        assert "cannot pull the base image base:missing: no such host (REQUIRE_IMAGE is 1)" in printed


def test_a_stopped_container_ends_with_a_whole_line(image: Image, mounted: Mounted, tmp_path: Path) -> None:
    """A container's first process gets no SIGTERM by default, and would be killed in the middle of a line."""
    name = f"source-docebo-{uuid.uuid4().hex}"
    printed = tmp_path / "printed.jsonl"
    with Sandbox(Tenant(seed=52, courses=600), latency=0.2) as sandbox, printed.open("w") as target:
        options = mounted(sandbox.config("client_credentials"), "--name", name)
        with image.start(*READ, options=options, stdout=target) as process:
            while '"RECORD"' not in printed.read_text(encoding="utf-8"):
                assert process.poll() is None
                time.sleep(0.05)
            subprocess.run([image.engine, "stop", "--time", "60", name], capture_output=True, check=True)
            code = process.wait(120)
    output = Output(code, printed.read_text(encoding="utf-8"), "")
    assert output.code == 143
    assert output.text.endswith("\n")
    assert output.records()
    assert "COMPLETE" not in (output.statuses().get("course_learning_objects"), output.statuses().get("sessions"))


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def versions_of_the_lock_file() -> dict[str, set[str]]:
    """What the connector needs, without what only its tests need. A package may have a version for each Python."""
    found: dict[str, set[str]] = {}
    for part in (ROOT / "poetry.lock").read_text(encoding="utf-8").split("[[package]]")[1:]:
        name, version, groups = (re.search(rf"^{field} = (.+)", part, re.M) for field in ("name", "version", "groups"))
        assert name
        assert version
        assert groups
        if '"main"' in groups[1]:
            found.setdefault(normal(name[1].strip('"')), set()).add(version[1].strip('"'))
    return found
