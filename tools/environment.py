"""An environment with the connector as users get it: built as a wheel from a checkout, then installed."""

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path


def install(checkout: Path, directory: Path) -> Path:
    """
    The command `source-docebo` of that checkout, in an environment that this creates below the directory. Only the
    connector is installed: its dependencies are those of the environment that runs this.
    """
    directory.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", directory, checkout], check=True)
    (wheel,) = directory.glob("*.whl")
    environment = directory / "environment"
    venv.create(environment, with_pip=False, symlinks=True)
    python = environment / "bin" / "python"
    subprocess.run([*pip, "--python", python, "install", "--no-deps", wheel], check=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return environment / "bin" / "source-docebo"
