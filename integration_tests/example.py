"""The environment of the examples, which has PyAirbyte and DuckDB: this one, or `.venv-example`."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

_APART = Path(__file__).parent.parent / ".venv-example" / "bin" / "python"
_QUERY = """
import json, sys, duckdb
with duckdb.connect(sys.argv[1]) as connection:
    json.dump(connection.execute(sys.stdin.read()).fetchall(), sys.stdout, default=str)
"""


def python() -> str:
    """The interpreter of that environment. Skips the test where there is none."""
    if importlib.util.find_spec("airbyte"):
        return sys.executable
    if _APART.exists():
        return str(_APART)
    pytest.skip("PyAirbyte is not installed: it needs Python 3.10 to 3.12")


def query(database: Path, statements: str) -> list[list[Any]]:
    """Runs statements on a DuckDB file, and returns the rows of the last; what JSON cannot hold as text."""
    command = [python(), "-X", "utf8", "-c", _QUERY, str(database)]
    done = subprocess.run(command, input=statements, capture_output=True, text=True, encoding="utf-8", timeout=120)
    assert done.returncode == 0, done.stderr
    rows: list[list[Any]] = json.loads(done.stdout)
    return rows
