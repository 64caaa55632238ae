"""
Copies a Docebo platform into a DuckDB file with PyAirbyte, makes the views of sql/duckdb.sql, and answers three
questions.

    python examples/pyairbyte_duckdb.py --config secrets/config.json --database docebo.duckdb

The configuration file is the one that `source-docebo read` takes. The command is the one beside the interpreter or on
the PATH, or what `--command` names. A chart of the first answer is saved beside the database.
"""

# ruff: noqa: E402

import argparse
import json
import os
import shutil
import sys
import tempfile
import warnings
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

VIEWS = Path(__file__).parent / "sql" / "duckdb.sql"

COMPLETION = """
    select b.path as branch,
           count(*) as enrolled,
           count(*) filter (where e.enrollment_status = 'completed') as completed,
           count(*) filter (where e.enrollment_status = 'in_progress') as in_progress,
           round(100.0 * completed / enrolled, 1) as percent
    from branch_tree b
    join branch_members m on m.branch_id = b.id
    join course_enrollments e on e.user_id = m.user_id
    group by b.id, b.path
    order by enrolled desc, branch
    limit 10
"""

EXPIRING = """
    select u.username,
           c.name as course,
           e.enrollment_status as status,
           cast(e.enrollment_validity_end_datetime as date) as ends,
           date_diff('day', current_date, ends) as days_left
    from course_enrollments_view e
    join users u on u.user_id = e.user_id
    join courses c on c.id_course = e.course_id
    where e.enrollment_status <> 'completed'
      and days_left < 90
    order by abs(days_left), u.username, course
    limit 10
"""

ABSENT = """
    select u.username,
           u.fullname,
           coalesce(strftime(u.last_access_date, '%Y-%m-%d'), 'never') as last_seen,
           count(e.course_id) as open_courses
    from users_view u
    left join course_enrollments e on e.user_id = u.user_id and e.enrollment_status <> 'completed'
    where u.last_access_date is null or u.last_access_date < current_date - interval 180 day
    group by u.user_id, u.username, u.fullname, u.last_access_date
    order by open_courses desc, u.username
    limit 10
"""


def main() -> None:
    """Reads, makes the views, answers, draws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="the connector's configuration, as JSON")
    parser.add_argument("--database", type=Path, default=Path("docebo.duckdb"), help="the DuckDB file to write")
    parser.add_argument("--command", default=found_command(), help="the command source-docebo, if it is elsewhere")
    arguments = parser.parse_args()
    if arguments.command is None:
        sys.exit("The command source-docebo is not installed: pip install . in the connector's directory.")

    copy(json.loads(arguments.config.read_text(encoding="utf-8")), arguments.command, arguments.database)
    with duckdb.connect(str(arguments.database)) as connection:
        make_views(connection)
        ask(connection, "How many have completed, by branch?", COMPLETION)
        ask(connection, "Whose enrollment is overdue, or expires soon?", EXPIRING)
        ask(connection, "Who has not been seen for half a year?", ABSENT)
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
    with tempfile.TemporaryDirectory() as files, DuckDBCache(db_path=database, cache_dir=Path(files)) as cache:
        # PyAirbyte leaves the table of a stream without records as it was: missing, or full of an earlier read.
        cache.create_source_tables(source)
        cache.execute_sql([f"delete from {table}" for table in source.get_selected_streams()])
        source.read(cache=cache, force_full_refresh=True)


def make_views(connection: duckdb.DuckDBPyConnection) -> None:
    """Makes the views; the last statement of the file prints those that depend on the tables."""
    for (statement,) in connection.execute(VIEWS.read_text(encoding="utf-8")).fetchall():
        connection.execute(statement)


def ask(connection: duckdb.DuckDBPyConnection, question: str, query: str) -> None:
    """Prints a question with its answer."""
    print(f"\n{question}")
    connection.sql(query).show(max_width=110)


def draw(connection: duckdb.DuckDBPyConnection, chart: Path) -> None:
    """Saves the answer to the first question as bars, each as long as there are enrollments."""
    matplotlib.use("agg")
    from matplotlib import pyplot

    rows = connection.sql(COMPLETION).fetchall()[::-1]
    places = range(len(rows))
    completed, in_progress = [row[2] for row in rows], [row[3] for row in rows]
    begun = [sum(both) for both in zip(completed, in_progress, strict=True)]
    figure, axes = pyplot.subplots(figsize=(10, 6), layout="constrained")
    axes.barh(places, completed, color="#2f6f8f", label="completed")
    axes.barh(places, in_progress, left=completed, color="#8fbcd0", label="in progress")
    axes.barh(
        places,
        [row[1] - done for row, done in zip(rows, begun, strict=True)],
        left=begun,
        color="#e3e7ee",
        label="not started",
    )
    for place, row in zip(places, rows, strict=True):
        axes.text(row[1], place, f"  {row[2]} of {row[1]}", va="center", fontsize=8, color="#555555")
    axes.set_yticks(places, [shortened(row[0]) for row in rows], fontsize=8)
    axes.set_title("Completion in the branches with the most enrollments", loc="left", pad=28)
    axes.set_xlabel("enrollments")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.margins(x=0.12)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False)
    with warnings.catch_warnings():
        # Matplotlib warns about each letter that its font does not have.
        warnings.filterwarnings("ignore", message="Glyph")
        figure.savefig(chart, dpi=120)


def shortened(label: str) -> str:
    """A path that fits beside the chart: its end tells more than its beginning."""
    return label if len(label) <= 36 else f"…{label[-35:]}"


if __name__ == "__main__":
    main()
