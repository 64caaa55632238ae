"""The statement in docs/docebo.md that leaves out the enrollments which Docebo no longer has, on tables in DuckDB."""

import re
from pathlib import Path

from integration_tests import example

PAGE = Path(__file__).parent.parent / "docs" / "docebo.md"
TABLES = """
create table course_enrollments (course_id int, user_id int, _airbyte_extracted_at timestamp);
insert into course_enrollments values (1, 7, '2026-11-22');
create table learning_plan_enrollments (learning_plan_id int, user_id int, _airbyte_extracted_at timestamp);
insert into learning_plan_enrollments values (1, 8, '2026-11-22');
create table enrollments (label text, type text, id int, user_id int, _airbyte_extracted_at timestamp);
insert into enrollments values
    ('in a course', 'elearning', 1, 7, '2026-11-01'),
    ('removed from a course', 'classroom', 2, 7, '2026-11-01'),
    ('removed from a course whose number is a learning plan', 'elearning', 1, 8, '2026-11-01'),
    ('in a learning plan', 'learning_plan', 1, 8, '2026-11-01'),
    ('removed from a learning plan', 'learning_plan', 2, 8, '2026-11-01'),
    ('newer than the last full sync', 'elearning', 3, 9, '2026-11-23');
"""


def test_enrollments_that_were_removed_are_left_out(tmp_path: Path) -> None:
    (statement,) = re.findall(r"```sql\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    rows = example.query(tmp_path / "x.duckdb", TABLES + statement)
    assert sorted(row[0] for row in rows) == ["in a course", "in a learning plan", "newer than the last full sync"]
