"""What the marts of the dbt package must hold, computed from the records of a tenant, and whether they do."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from integration_tests.comparison import assert_same
from integration_tests.databases import Database
from integration_tests.sandbox import Tenant

EPOCH = "1970-01-01T00:00:00Z"


def when(text: str | None) -> datetime | None:
    """A date of a record; None for the epoch, which stands for an invalid one."""
    return None if text in (None, EPOCH) else datetime.fromisoformat(text.rstrip("Z"))


def people(tenant: Tenant) -> dict[int, dict[str, Any]]:
    """For each user, in which branch and under which manager."""
    tree = branches(tenant)
    places: dict[int, list[tuple[int, str, int]]] = defaultdict(list)
    for member in tenant.emitted("branch_members"):
        branch = tree[member["branch_id"]]
        places[member["user_id"]].append((-branch["depth"], branch["branch_path"], member["branch_id"]))
    users = tenant.emitted("users")
    numbers = {user["username"]: user for user in users}
    found = {}
    for user in users:
        in_order = sorted(places[user["user_id"]])
        manager = numbers.get(user["managers"][0]["manager_username"]) if user["managers"] else None
        found[user["user_id"]] = {
            "branch_id": in_order[0][2] if in_order else None,
            "branch_path": in_order[0][1] if in_order else None,
            "branch_count": len(in_order),
            "manager_user_id": manager["user_id"] if manager else None,
            "manager_name": manager["fullname"] if manager else None,
        }
    return found


def branches(tenant: Tenant) -> dict[int, dict[str, Any]]:
    """docebo__branches by branch_id."""
    members = tenant.emitted("branch_members")
    all_branches = tenant.emitted("branches")

    def around(inner: dict[str, Any], outer: dict[str, Any]) -> bool:
        return bool(int(outer["iLeft"]) <= int(inner["iLeft"]) and int(outer["iRight"]) >= int(inner["iRight"]))

    found = {}
    for branch in all_branches:
        above = sorted((one for one in all_branches if around(branch, one)), key=lambda one: int(one["iLeft"]))
        below = {one["id"] for one in all_branches if around(one, branch)}
        found[branch["id"]] = {
            "branch_id": branch["id"],
            "parent_branch_id": above[-2]["id"] if len(above) > 1 else None,
            "branch_path": " / ".join(one["title"] for one in above),
            "depth": len(above),
            "branches_below": len(below) - 1,
            "members": sum(member["branch_id"] == branch["id"] for member in members),
            "members_with_below": len({member["user_id"] for member in members if member["branch_id"] in below}),
        }
    return found


def enrollments(tenant: Tenant, now: datetime) -> list[dict[str, Any]]:
    """docebo__enrollments: columns that are computed, and the keys."""
    users = people(tenant)
    courses = {course["id_course"]: course for course in tenant.emitted("courses")}
    titles = {category["id"]: category["title"] for category in tenant.emitted("categories")}
    rows = []
    for record in tenant.emitted("course_enrollments"):
        category = courses[record["course_id"]]["category"]
        rows.append(
            {
                "course_id": record["course_id"],
                "user_id": record["user_id"],
                "course_name": courses[record["course_id"]]["name"],
                "category_name": titles.get(category["id"], category["name"]),
                "branch_path": users[record["user_id"]]["branch_path"],
                "manager_name": users[record["user_id"]]["manager_name"],
                "enrollment_status": record["enrollment_status"],
                **judged(record, now),
            }
        )
    return rows


def plan_progress(tenant: Tenant, now: datetime) -> list[dict[str, Any]]:
    """docebo__learning_plan_progress: columns that are computed, and the keys."""
    users = people(tenant)
    contents: dict[int, dict[int, bool]] = defaultdict(dict)
    for record in tenant.emitted("learning_plan_courses"):
        contents[record["learning_plan_id"]][record["id_course"]] = record["is_required"]
    courses: dict[tuple[int, int], Counter[str]] = defaultdict(Counter)
    required: Counter[tuple[int, int]] = Counter()
    for record in tenant.emitted("learning_plan_course_enrollments"):
        courses[record["learning_plan_id"], record["user_id"]][record["enrollment_status"]] += 1
        if record["enrollment_status"] == "completed" and contents[record["learning_plan_id"]].get(record["course_id"]):
            required[record["learning_plan_id"], record["user_id"]] += 1
    rows = []
    for record in tenant.emitted("learning_plan_enrollments"):
        key = record["learning_plan_id"], record["user_id"]
        statuses, plan = courses[key], contents[record["learning_plan_id"]]
        rows.append(
            {
                "learning_plan_id": record["learning_plan_id"],
                "user_id": record["user_id"],
                "branch_path": users[record["user_id"]]["branch_path"],
                "enrollment_status": record["enrollment_status"],
                "courses_enrolled": statuses.total(),
                "courses_completed": statuses["completed"],
                "required_courses_in_plan": sum(map(bool, plan.values())) if plan else None,
                "required_courses_completed": required[key] if plan else None,
                **judged(record, now),
            }
        )
    return rows


def judged(record: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Whether an enrollment is overdue or completed, and since when."""
    due, day = when(record["enrollment_validity_end_datetime"]), when(record["enrollment_validity_end_date"])
    due = due or (day and datetime(day.year, day.month, day.day) + timedelta(days=1))
    completed = record["enrollment_status"] == "completed"
    overdue = record["enrollment_status"] not in ("completed", "waiting") and due is not None and due < now
    created, finished = when(record["enrollment_created_at"]), when(record["enrollment_completion_date"])
    return {
        "due_at": str(due) if due else None,
        "is_self_enrolled": record["enrollment_created_by"] == record["user_id"],
        "is_completed": completed,
        "is_overdue": overdue,
        "days_overdue": (now.date() - due.date()).days if overdue and due else None,
        "days_to_completion": (finished.date() - created.date()).days if completed and created and finished else None,
    }


def users(tenant: Tenant, now: datetime) -> list[dict[str, Any]]:
    """docebo__users: columns that are computed, and the key."""
    taken: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in enrollments(tenant, now):
        taken[row["user_id"]].append(row)
    plans = Counter(row["user_id"] for row in tenant.emitted("learning_plan_enrollments"))
    groups = Counter(row["user_id"] for row in tenant.emitted("group_members"))
    placed = people(tenant)
    return [
        {
            "user_id": user["user_id"],
            "user_status": {"1": "active"}[user["status"]],
            "user_level": {"6": "user"}[user["level"]],
            **placed[user["user_id"]],
            **counted(taken[user["user_id"]], "courses_enrolled", "courses_completed", "courses_overdue"),
            "learning_plans_enrolled": plans[user["user_id"]],
            "group_count": groups[user["user_id"]],
            "days_since_last_access": (now.date() - seen.date()).days
            if (seen := when(user["last_access_date"]))
            else None,
        }
        for user in tenant.emitted("users")
    ]


def courses(tenant: Tenant, now: datetime) -> list[dict[str, Any]]:
    """docebo__courses: columns that are computed, and the key."""
    taken: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in enrollments(tenant, now):
        taken[row["course_id"]].append(row)
    sessions = Counter(session["course_id"] for session in tenant.emitted("sessions"))
    scores: dict[int, list[float]] = defaultdict(list)
    for record in tenant.emitted("course_enrollments"):
        if record["enrollment_score"] is not None:
            scores[record["course_id"]].append(record["enrollment_score"])
    return [
        {
            "course_id": key,
            **counted(taken[key], "enrolled", "completed", "overdue"),
            "average_score": sum(scores[key]) / len(scores[key]) if scores[key] else None,
            "sessions": sessions[key],
        }
        for key in tenant.course_ids()
    ]


def counted(rows: Iterable[dict[str, Any]], enrolled: str, completed: str, overdue: str) -> dict[str, Any]:
    """How many enrollments there are, and how they stand."""
    rows = list(rows)
    done = sum(row["is_completed"] for row in rows)
    return {
        enrolled: len(rows),
        completed: done,
        overdue: sum(row["is_overdue"] for row in rows),
        "completion_rate": done / len(rows) if rows else None,
    }


def assert_marts(database: Database, tenant: Tenant, now: datetime) -> None:
    """The marts hold what the tenant has: each row, once, with these values."""
    expected = {
        "docebo__branches": list(branches(tenant).values()),
        "docebo__courses": courses(tenant, now),
        "docebo__enrollments": enrollments(tenant, now),
        "docebo__learning_plan_progress": plan_progress(tenant, now),
        "docebo__users": users(tenant, now),
    }
    for model, found in database.models(*expected).items():
        columns = expected[model][0]
        shown = [rounded({name: row[name] for name in columns}) for row in found]
        assert_same(model, [rounded(row) for row in expected[model]], shown)


def rounded(row: dict[str, Any]) -> dict[str, Any]:
    """The row with rates and averages as far as databases agree on them."""
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in row.items()}
