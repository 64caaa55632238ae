"""
Copies a Docebo platform into a DuckDB file with PyAirbyte, and asks three questions of it.

    python examples/pyairbyte_duckdb.py --config secrets/config.json --database docebo.duckdb

The configuration file is the one that `source-docebo read` takes. A chart of the first answer is saved beside the
database.
"""

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

# PyAirbyte asks a registry for every connector, and reports its use, unless it is told not to before it is imported.
os.environ.setdefault("AIRBYTE_OFFLINE_MODE", "1")
os.environ.setdefault("DO_NOT_TRACK", "1")

import airbyte
import duckdb
import matplotlib
from airbyte.caches import DuckDBCache

SCHEMA = "docebo"

COMPLETION = """
    select c.name as course,
           g.name as "group",
           count(*) as enrolled,
           count(*) filter (where e.enrollment_status = 'completed') as completed,
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
    select u.username, u.email, c.name as course, e.enrollment_status as status,
           e.enrollment_validity_end_datetime as ends,
           case when ends < now() then 'overdue' else 'expires within 90 days' end as state
    from course_enrollments e
    join users u on u.user_id = cast(e.user_id as varchar)
    join courses c on c.id_course = e.course_id
    where e.enrollment_status <> 'completed'
      and ends > timestamptz '1970-01-01 00:00:00+00'
      and ends < now() + interval 90 day
    order by ends desc, u.user_id, c.id_course
    limit 10
"""

ABSENT = """
    select u.username, u.email, u.last_access_date as last_seen, count(e.course_id) as open_courses
    from users u
    left join course_enrollments e
      on cast(e.user_id as varchar) = u.user_id and e.enrollment_status <> 'completed'
    where u.last_access_date is null or u.last_access_date < now() - interval 180 day
    group by u.user_id, u.username, u.email, u.last_access_date
    order by open_courses desc, u.user_id
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
        connection.execute(f"use {SCHEMA}")
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
    source.check()
    source.read(cache=DuckDBCache(db_path=database, schema_name=SCHEMA), force_full_refresh=True)


def ask(connection: duckdb.DuckDBPyConnection, question: str, query: str) -> None:
    """Prints a question with its answer."""
    print(f"\n{question}")
    connection.sql(query).show()


def draw(connection: duckdb.DuckDBPyConnection, chart: Path) -> None:
    """Saves the answer to the first question as bars."""
    matplotlib.use("agg")
    from matplotlib import pyplot

    rows = connection.sql(COMPLETION).fetchall()[::-1]
    labels = [f"{course[:30]}\n{group[:30]}" for course, group, *_ in rows]
    figure, axes = pyplot.subplots(figsize=(9, 6), layout="constrained")
    axes.barh(labels, [row[2] for row in rows], color="#d5dbe5", label="enrolled")
    axes.barh(labels, [row[3] for row in rows], color="#2f6f8f", label="completed")
    axes.set_title("Completion by course and group")
    axes.set_xlabel("enrollments")
    axes.tick_params(axis="y", labelsize=7)
    axes.legend()
    figure.savefig(chart, dpi=120)


if __name__ == "__main__":
    main()
