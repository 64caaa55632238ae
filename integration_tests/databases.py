"""The databases that the dbt package is built on: DuckDB, and a PostgreSQL server of the test's own."""

import json
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from integration_tests import example
from integration_tests.sandbox import Sandbox

PACKAGE = Path(__file__).parent.parent / "dbt"
# The schema of the models.
MODELS = "analytics"
# The time zone of sessions: not UTC, so that what depends on it shows. PyAirbyte's are in UTC, or it would write some
# dates in local time.
TIME_ZONE = "America/New_York"

_EXECUTE = """
import json, sys
target, file, time_zone = sys.argv[1:]
if target == "duckdb":
    import duckdb
    cursor = duckdb.connect(file)
else:
    import psycopg2
    connection = psycopg2.connect("")
    connection.autocommit = True
    cursor = connection.cursor()
cursor.execute(f"set timezone = '{time_zone}'")
found = []
for statements in json.load(sys.stdin):
    cursor.execute(statements)
    names = [column[0] for column in cursor.description or ()]
    found.append([dict(zip(names, row)) for row in cursor.fetchall()] if names else [])
json.dump(found, sys.stdout, default=str)
"""
_READ = """
import json, os, sys
import airbyte
from airbyte.caches import DuckDBCache, PostgresCache
target, file, schema, config, command, files, reads = sys.argv[1:]
for strategy, streams in json.loads(reads):
    source = airbyte.get_source("source-docebo", config=json.loads(config), local_executable=command)
    source.select_streams(streams)
    if target == "duckdb":
        cache = DuckDBCache(db_path=file, schema_name=schema, cache_dir=files)
    else:
        cache = PostgresCache(
            host=os.environ["PGHOST"], port=int(os.environ["PGPORT"]), username=os.environ["PGUSER"], password="none",
            database=os.environ["PGDATABASE"], schema_name=schema, cache_dir=files,
        )
    with cache:
        source.read(cache=cache, force_full_refresh=True, write_strategy=strategy)
"""


class Database:
    """A database that dbt reaches with the profile of the package. `tables` is the schema of the tables."""

    def __init__(self, target: str, directory: Path, tables: str, environment: dict[str, str]) -> None:
        self.target = target
        self.tables = tables
        self.directory = directory
        self.environment = {
            **os.environ,
            "AIRBYTE_OFFLINE_MODE": "1",
            "DBT_SCHEMA": MODELS,
            "DO_NOT_TRACK": "1",
            "PYTHONUTF8": "1",
            **environment,
        }

    @property
    def file(self) -> str:
        """The DuckDB file."""
        return self.environment.get("DOCEBO_DUCKDB", "")

    def run(self, *command: "str | Path", statements: str | None = None, **environment: str) -> str:
        """Runs a command in the environment, and returns what it printed."""
        done = subprocess.run(
            command,
            input=statements,
            capture_output=True,
            text=True,
            encoding="utf-8",
            env={**self.environment, **environment},
            cwd=self.directory,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
        return done.stdout

    def execute(self, *statements: str) -> list[list[dict[str, Any]]]:
        """Runs statements, and returns the rows of each; what JSON cannot hold as text."""
        command = [example.python(), "-c", _EXECUTE, self.target, self.file, TIME_ZONE]
        found: list[list[dict[str, Any]]] = json.loads(self.run(*command, statements=json.dumps(statements)))
        return found

    def models(self, *names: str) -> dict[str, list[dict[str, Any]]]:
        """The rows of these models, by their names."""
        found = self.execute(*(f"select * from {MODELS}.{name} order by 1, 2" for name in names))
        return dict(zip(names, found, strict=True))

    def read(self, sandbox: Sandbox, command: str, *reads: tuple[str, "str | list[str]"]) -> None:
        """Reads a sandbox into the database with PyAirbyte: each time with a write strategy, these streams or `*`."""
        files = self.directory / "files"
        files.mkdir(exist_ok=True)
        config = json.dumps(sandbox.config("client_credentials"))
        arguments = [self.target, self.file, self.tables, config, command, files, json.dumps(reads)]
        self.run(example.python(), "-c", _READ, *arguments)

    def dbt(self, *arguments: str, project: Path = PACKAGE, **variables: Any) -> dict[str, str]:
        """Runs a dbt command, which must succeed. Returns the status of each model, test or source by its name."""
        dbt = Path(example.python()).with_name("dbt")
        target = self.directory / f"target-{project.name}"
        options = ["--no-version-check", "--log-path", str(self.directory), *arguments, "--target", self.target]
        options += ["--profiles-dir", str(PACKAGE), "--project-dir", str(project)]
        variables |= {"docebo_schema": self.tables} if self.tables != "docebo" else {}
        options += ["--vars", json.dumps(variables)]
        if arguments[0] == "deps":
            self.run(dbt, *options)
            return {}
        self.run(dbt, *options, "--target-path", str(target), PGTZ=TIME_ZONE)
        name = "sources.json" if arguments[0] == "source" else "run_results.json"
        results = json.loads((target / name).read_text(encoding="utf-8"))["results"]
        return {result["unique_id"].split(".", 2)[2]: result["status"] for result in results}

    def manifest(self) -> dict[str, Any]:
        """What dbt has parsed: models with their columns and descriptions."""
        found: dict[str, Any] = json.loads((self.directory / "target-dbt" / "manifest.json").read_text("utf-8"))
        return found


@contextmanager
def duckdb(directory: Path) -> Iterator[Database]:
    """A DuckDB file."""
    example.python()
    yield Database("duckdb", directory, "raw", {"DOCEBO_DUCKDB": str(directory / "docebo.duckdb")})


@contextmanager
def postgresql(directory: Path) -> Iterator[Database]:
    """A PostgreSQL server. Skips the test where it is not installed, unless REQUIRE_POSTGRESQL says that it must be."""
    example.python()
    initdb = shutil.which("initdb") or next(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")), None)
    if initdb is None:
        reason = "PostgreSQL is not installed: there is no initdb (Debian: apt-get install postgresql)"
        pytest.fail(reason) if os.environ.get("REQUIRE_POSTGRESQL") else pytest.skip(reason)
    programs = Path(initdb).resolve().parent
    root = os.geteuid() == 0
    user = "nobody" if root else pwd.getpwuid(os.geteuid()).pw_name  # PostgreSQL refuses to run as root
    server = Path(tempfile.mkdtemp(prefix="postgresql-"))  # a short path, which a socket's name needs
    if root:
        shutil.chown(server, user)

    def call(program: str, *arguments: str) -> None:
        environment = {**os.environ, "HOME": str(server)}
        command = [str(programs / program), f"--pgdata={server}/data", *arguments]
        done = subprocess.run(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            user=user if root else None,
            cwd=server,
            env=environment,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    try:
        call("initdb", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
        settings = f"-k {server} -p {port} -c listen_addresses=127.0.0.1 -c fsync=off -c timezone=UTC"
        call("pg_ctl", "-w", "-o", settings, "-l", f"{server}/log", "start")
        try:
            yield Database(
                "postgres",
                directory,
                "docebo",
                {"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": user, "PGDATABASE": "postgres"},
            )
        finally:
            call("pg_ctl", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(server, ignore_errors=True)


DATABASES = {"duckdb": duckdb, "postgresql": postgresql}
