"""
Copies a Docebo platform into a DuckDB file with PyAirbyte, and asks three questions of it.

    python examples/pyairbyte_duckdb.py --config secrets/config.json --database docebo.duckdb

The configuration file is the one that `source-docebo read` takes. A chart of the first answer is saved beside the
database.
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

# The libraries for Google's cloud, which PyAirbyte brings, warn of Python versions.
warnings.filterwarnings("ignore", category=FutureWarning)
# PyAirbyte asks a registry for every connector, and reports its use, unless it is told not to before it is imported.
os.environ.setdefault("AIRBYTE_OFFLINE_MODE", "1")
os.environ.setdefault("DO_NOT_TRACK", "1")

import airbyte
import duckdb
import matplotlib
from airbyte.caches import DuckDBCache
from airbyte.exceptions import AirbyteConnectorCheckFailedError

# user_id is a text in users and group_members, and a number in enrollments: one of them is cast. Docebo's empty date,
# 0000-00-00, comes as the first day of 1970.
COMPLETION = """
    select c.name as course,
           g.name as "group",
           count(*) as enrolled,
           count(*) filter (where e.enrollment_status = 'completed') as completed,
           count(*) filter (where e.enrollment_status = 'in_progress') as in_progress,
           round(100.0 * completed / enrolled, 1) as percent
    from course_enrollments e
    join courses c on c.id_course = e.course_id
    join group_members m on m.user_id = cast(e.user_id as varchar)
    join groups g on g.uuid = m.group_uuid
    group by c.id_course, c.name, g.uuid, g.name
    order by enrolled desc, course, "group"
    limit 10
"""

EXPIRING = """
    select u.username,
           c.name as course,
           e.enrollment_status as status,
           cast(e.enrollment_validity_end_datetime as date) as ends,
           date_diff('day', current_date, ends) as days_left
    from course_enrollments e
    join users u on u.user_id = cast(e.user_id as varchar)
    join courses c on c.id_course = e.course_id
    where e.enrollment_status <> 'completed'
      and ends > date '1970-01-01'
      and days_left < 90
    order by abs(days_left), u.username, course
    limit 10
"""

ABSENT = """
    select u.username,
           u.fullname,
           coalesce(cast(nullif(cast(u.last_access_date as date), date '1970-01-01') as varchar), 'never') as last_seen,
           count(e.course_id) as open_courses
    from users u
    left join course_enrollments e
      on cast(e.user_id as varchar) = u.user_id and e.enrollment_status <> 'completed'
    where u.last_access_date is null or u.last_access_date < current_date - interval 180 day
    group by u.user_id, u.username, u.fullname, u.last_access_date
    order by open_courses desc, u.username
    limit 10
"""


def main() -> None:
    """Reads, asks, draws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="the connector's configuration, as JSON")
    parser.add_argument("--database", type=Path, default=Path("docebo.duckdb"), help="the DuckDB file to write")
    arguments = parser.parse_args()

    copy(json.loads(arguments.config.read_text(encoding="utf-8")), arguments.database)
    with duckdb.connect(str(arguments.database), read_only=True) as connection:
        ask(connection, "How many have completed, by course and group?", COMPLETION)
        ask(connection, "Whose enrollment is overdue, or expires soon?", EXPIRING)
        ask(connection, "Who has not been seen for half a year?", ABSENT)
        chart = arguments.database.with_suffix(".png")
        draw(connection, chart)
    print(f"\nThe database: {arguments.database.resolve()}\nThe chart:    {chart.resolve()}")


def copy(config: dict[str, object], database: Path) -> None:
    """Reads all streams into the database, in place of what it held."""
    beside = Path(sys.executable).with_name("source-docebo")
    executable = str(beside) if beside.exists() else shutil.which("source-docebo")
    if executable is None:
        sys.exit("The command source-docebo is not installed: pip install . in the connector's directory.")
    source = airbyte.get_source("source-docebo", config=config, local_executable=executable, streams="*")
    try:
        source.check()
    except AirbyteConnectorCheckFailedError as refusal:
        reason = (refusal.context or {}).get("failure_reason") or refusal.original_exception or refusal.message
        sys.exit(f"The platform cannot be read: {reason}")
    with tempfile.TemporaryDirectory() as files, DuckDBCache(db_path=database, cache_dir=Path(files)) as cache:
        # PyAirbyte leaves the table of a stream without records as it was: missing, or full of an earlier read.
        cache.create_source_tables(source)
        cache.execute_sql([f"delete from {table}" for table in source.get_selected_streams()])
        source.read(cache=cache, force_full_refresh=True)


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
    completed, in_progress = [row[3] for row in rows], [row[4] for row in rows]
    begun = [sum(both) for both in zip(completed, in_progress, strict=True)]
    figure, axes = pyplot.subplots(figsize=(10, 6), layout="constrained")
    axes.barh(places, completed, color="#2f6f8f", label="completed")
    axes.barh(places, in_progress, left=completed, color="#8fbcd0", label="in progress")
    axes.barh(
        places,
        [row[2] - done for row, done in zip(rows, begun, strict=True)],
        left=begun,
        color="#e3e7ee",
        label="not begun",
    )
    for place, row in zip(places, rows, strict=True):
        axes.text(row[2], place, f"  {row[3]} of {row[2]}", va="center", fontsize=8, color="#555555")
    axes.set_yticks(places, [f"{shortened(row[0])}\n{shortened(row[1])}" for row in rows], fontsize=8)
    axes.set_title("Who has completed what: the largest pairs of course and group", loc="left", pad=28)
    axes.set_xlabel("enrollments")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.margins(x=0.12)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False)
    with warnings.catch_warnings():
        # A title in a script that the font does not have is drawn as boxes, and warned of letter by letter.
        warnings.filterwarnings("ignore", message="Glyph")
        figure.savefig(chart, dpi=120)


def shortened(label: str) -> str:
    """A label that fits beside the chart."""
    return label if len(label) <= 36 else f"{label[:35]}…"


if __name__ == "__main__":
    main()
