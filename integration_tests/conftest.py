"""The connector as users get it: built as a wheel, installed, run by its command."""

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from integration_tests.command import Connector

ROOT = Path(__file__).parent.parent
# Begun first, so that at the end of a run no process waits for one of them.
LONGEST = ("test_image", "test_dbt_reads", "test_pyairbyte", "test_dbt_tables", "test_plan", "test_manifest_alone")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests first."""
    items.sort(key=lambda item: item.path.stem not in LONGEST)


@pytest.fixture(scope="session")
def connector(tmp_path_factory: pytest.TempPathFactory) -> Connector:
    """The command `source-docebo` from a wheel that was built from this checkout."""
    directory = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", directory, ROOT], check=True)
    (wheel,) = directory.glob("*.whl")
    environment = directory / "environment"
    venv.create(environment, with_pip=False, symlinks=True)
    python = environment / "bin" / "python"
    subprocess.run([*pip, "--python", python, "install", "--no-deps", wheel], check=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    # The dependencies come from the environment that runs the tests, the connector itself from the wheel.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return Connector(str(environment / "bin" / "source-docebo"), interpreter=str(python))


@pytest.fixture(scope="session")
def hurried(connector: Connector) -> Connector:
    """The same command with waits of 50 milliseconds at most, to see what happens once retries are used up."""
    python = Path(connector.command[0]).with_name("python")
    return Connector(*connector.command, interpreter=str(python), longest_sleep=0.05)
