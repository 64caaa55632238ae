"""The environment of the examples, which holds PyAirbyte: $EXAMPLE_PYTHON, or the one that `make` installs."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Not resolved: the path through the environment is what makes the interpreter see its packages.
PYTHON = Path(os.environ.get("EXAMPLE_PYTHON", ROOT / ".venv-example" / "bin" / "python")).absolute()


def environment() -> Mapping[str, str]:
    """Variables for that interpreter: PATH has the command `source-docebo` of the environment that runs the tests."""
    return {**os.environ, "PYTHONUTF8": "1", "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def missing() -> str | None:
    """Why the examples cannot run, or None."""
    if not PYTHON.exists():
        return f"PyAirbyte is not installed ({PYTHON} does not exist): it needs Python 3.10 to 3.12"
    found = subprocess.run([PYTHON, "-c", "import importlib.metadata as m; m.version('airbyte')"], capture_output=True)
    if found.returncode:
        return f"PyAirbyte is not installed in the environment of {PYTHON}"
    return None


_MISSING = missing()
needed = pytest.mark.skipif(_MISSING is not None, reason=str(_MISSING))
