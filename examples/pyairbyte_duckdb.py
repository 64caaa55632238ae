"""
Copies a Docebo platform into a DuckDB file with PyAirbyte, builds the models of ../dbt on it, and answers three
questions.

    python examples/pyairbyte_duckdb.py --config secrets/config.json --database docebo.duckdb

The configuration file is the one that `source-docebo read` takes. The command is the one beside the interpreter or on
the PATH, or what `--command` names. The tables are in the schema `raw`, the models in `main`. A chart of the first
answer is saved beside the database.
"""

# ruff: noqa: E402

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

# The libraries for Google Cloud that PyAirbyte depends on warn about Python versions.
warnings.filterwarnings("ignore", category=FutureWarning)
# These must be set before the import: otherwise PyAirbyte looks up each connector in a registry and reports its use.
os.environ.setdefault("AIRBYTE_OFFLINE_MODE", "1")
os.environ.setdefault("DO_NOT_TRACK", "1")

import airbyte
import duckdb
import matplotlib
from airbyte.caches import DuckDBCache
from airbyte.exceptions import AirbyteConnectorCheckFailedError

PROJECT = Path(__file__).parent.parent / "dbt"
SCHEMA = "raw"
# Each status with its color in the chart. Any other status is shown under its own name.
STATUSES = {
    "completed": "#2f6f8f",
    "in_progress": "#8fbcd0",
    "not_started": "#d9a441",
    "enrolled": "#e8d5a9",
    "waiting": "#c9ced8",
}
OTHER_COLORS = ("#b07aa1", "#9c755f", "#59a14f", "#e15759")

# Each enrollment with the bar that it is counted in: the ten largest branches, all others, and users in no branch.
SHOWN = """
    with branches as (
        select branch_path,
               row_number() over (order by branch_path is null, count(*) desc, branch_path) as place
        from docebo__enrollments
        group by branch_path
    ),
    shown as (
        select enrollments.enrollment_status as status,
               case when branches.branch_path is null then 12 when place > 10 then 11 else place end as bar,
               case bar when 12 then '(no branch)' when 11 then '(all other branches)'
                        else branches.branch_path end as branch
        from docebo__enrollments as enrollments
        join branches on branches.branch_path is not distinct from enrollments.branch_path
    )
"""

COMPLETION = f"""
    {SHOWN}
    select branch,
           count(*) as enrollments,
           count(*) filter (where status = 'completed') as completed,
           count(*) filter (where status = 'in_progress') as in_progress,
           count(*) filter (where status = 'not_started') as not_started,
           count(*) filter (where status = 'enrolled') as enrolled,
           count(*) filter (where status = 'waiting') as waiting,
           round(100.0 * completed / count(*), 1) as percent
    from shown
    group by bar, branch
    order by bar
"""

BARS = f"""
    {SHOWN}
    select branch, coalesce(status, 'no status'), count(*) from shown group by all
"""

EXPIRING = """
    select username,
           course_name as course,
           enrollment_status as status,
           manager_name as manager,
           cast(due_at as date) as ends,
           date_diff('day', current_date, ends) as days_left
    from docebo__enrollments
    where enrollment_status not in ('completed', 'waiting')
      and days_left < 90
    order by abs(days_left), username, course
    limit 10
"""

ABSENT = """
    select username,
           branch_path as branch,
           coalesce(strftime(last_access_at, '%Y-%m-%d'), 'never') as last_seen,
           courses_enrolled - courses_completed as open_courses
    from docebo__users
    where user_status = 'active' and (last_access_at is null or days_since_last_access > 180)
    order by open_courses desc, username
    limit 10
"""


def main() -> None:
    """Reads, builds, answers, draws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="the connector's configuration, as JSON")
    parser.add_argument("--database", type=Path, default=Path("docebo.duckdb"), help="the DuckDB file to write")
    parser.add_argument("--command", default=found_command(), help="the command source-docebo, if it is elsewhere")
    arguments = parser.parse_args()
    if arguments.command is None:
        sys.exit("The command source-docebo is not installed: pip install . in the connector's directory.")

    copy(json.loads(arguments.config.read_text(encoding="utf-8")), arguments.command, arguments.database)
    build(arguments.database)
    with duckdb.connect(str(arguments.database)) as connection:
        ask(connection, "How many have completed, by branch?", COMPLETION)
        ask(connection, "Whose enrollment is overdue, or expires soon?", EXPIRING)
        ask(connection, "Who has not been seen for half a year?", ABSENT)
        reports = "select table_name from duckdb_tables() where starts_with(table_name, 'report_')"
        for (report,) in connection.execute(reports).fetchall():
            own = "_airbyte_raw_id, _airbyte_extracted_at, _airbyte_meta"
            ask(connection, f"The table {report}", f"select * exclude ({own}) from {SCHEMA}.{report} limit 10")
        chart = arguments.database.with_suffix(".png")
        draw(connection, chart)
    print(f"\nThe database: {arguments.database.resolve()}\nThe chart:    {chart.resolve()}")


def found_command() -> str | None:
    """The command beside the interpreter, or else on the PATH."""
    return shutil.which("source-docebo", path=Path(sys.executable).parent) or shutil.which("source-docebo")


def copy(config: dict[str, object], command: str, database: Path) -> None:
    """Reads all streams into the database, in place of what it held."""
    source = airbyte.get_source("source-docebo", config=config, local_executable=command)
    try:
        source.check()  # before the streams are selected, which signs in, too
    except AirbyteConnectorCheckFailedError as error:
        reason = (error.context or {}).get("failure_reason") or error.original_exception or error.message
        sys.exit(f"The platform cannot be read: {reason}")
    source.select_all_streams()
    with (
        tempfile.TemporaryDirectory() as files,
        DuckDBCache(db_path=database, schema_name=SCHEMA, cache_dir=Path(files)) as cache,
    ):
        # PyAirbyte leaves the table of a stream without records as it was: missing, or full of an earlier read.
        cache.create_source_tables(source)
        cache.execute_sql([f"delete from {SCHEMA}.{table}" for table in source.get_selected_streams()])
        source.read(cache=cache, force_full_refresh=True)


def build(database: Path) -> None:
    """Runs `dbt build` on the database: the models and their tests. Prints how many, or all output if one failed."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as files:
        dbt = shutil.which("dbt", path=Path(sys.executable).parent) or "dbt"
        command = [dbt, "--no-version-check", "--log-path", files, "build", "--target", "duckdb"]
        command += ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT), "--target-path", files]
        command += ["--vars", json.dumps({"docebo_schema": SCHEMA})]
        environment = {**os.environ, "DOCEBO_DUCKDB": str(database.resolve())}
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", env=environment)
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
        results = json.loads(Path(files, "run_results.json").read_text(encoding="utf-8"))["results"]
    kinds = Counter(result["unique_id"].split(".")[0] for result in results)
    warned = [result["unique_id"].split(".")[2] for result in results if result["status"] == "warn"]
    seconds = time.monotonic() - started
    print(f"\ndbt build: {kinds['model']} models and {kinds['test']} tests in {seconds:.1f} seconds")
    for name in warned:
        print(f"  warning: {name}")


def ask(connection: duckdb.DuckDBPyConnection, question: str, query: str) -> None:
    """Prints a question with its answer."""
    print(f"\n{question}")
    connection.sql(query).show(max_width=140)


def draw(connection: duckdb.DuckDBPyConnection, chart: Path) -> None:
    """Saves a bar for each branch of the first answer: one color for each status, as long as there are enrollments."""
    matplotlib.use("agg")
    from matplotlib import pyplot

    rows = connection.sql(COMPLETION).fetchall()[::-1]
    places = range(len(rows))
    counts = Counter({(branch, status): number for branch, status, number in connection.sql(BARS).fetchall()})
    others = sorted({status for _, status in counts} - set(STATUSES))
    colors = STATUSES | {status: OTHER_COLORS[number % len(OTHER_COLORS)] for number, status in enumerate(others)}
    figure, axes = pyplot.subplots(figsize=(10, 6), layout="constrained")
    begun = [0] * len(rows)
    for status, color in colors.items():
        lengths = [counts[row[0], status] for row in rows]
        if any(lengths):
            axes.barh(places, lengths, left=begun, color=color, label=status.replace("_", " "))
        begun = [sum(both) for both in zip(begun, lengths, strict=True)]
    for place, row in zip(places, rows, strict=True):
        axes.text(row[1], place, f"  {row[2]} of {row[1]} completed", va="center", fontsize=8, color="#555555")
    axes.set_yticks(places, [shortened(row[0]) for row in rows], fontsize=8)
    axes.set_title("Enrollments by branch and status", loc="left", pad=28)
    axes.set_xlabel("enrollments")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.margins(x=0.2)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(colors), frameon=False)
    with warnings.catch_warnings():
        # Matplotlib warns about each letter that its font does not have.
        warnings.filterwarnings("ignore", message="Glyph")
        figure.savefig(chart, dpi=120)


def shortened(label: str) -> str:
    """A path that fits beside the chart: its end tells more than its beginning."""
    return label if len(label) <= 36 else f"…{label[-35:]}"


if __name__ == "__main__":
    main()
