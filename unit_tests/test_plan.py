"""The command `plan`: its estimates, its report, and what it says of a platform that rate limits or fails."""

import json
import logging
import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import requests
import requests_mock

from source_docebo import run
from source_docebo.plan import AT_LEAST, ESTIMATE, MAX_REQUESTS, Count, StreamPlan, _extent, report
from source_docebo.responses import Page
from unit_tests.builders import PLATFORM, ConfigBuilder, Platform, error_response, page_with, token_error
from unit_tests.conftest import Time
from unit_tests.declared import path_of, streams

LISTS = [path_of(each) for each in streams().values() if "partition_router" not in each["retriever"]]
CATEGORIES = "learn/v1/categories"
COURSES = "learn/v1/courses"
GROUPS = "audiences/v1/audience"
USERS = "manage/v1/user"
Captured = pytest.CaptureFixture[str]
Plan = Callable[..., "Printed"]


class Printed:
    """What the command has printed."""

    def __init__(self, code: int, printed: Any) -> None:
        self.code, self.text, self.errors = code, printed.out, printed.err.splitlines()

    def row(self, stream: str) -> list[str]:
        """What the table says of a stream: readable, records, requests, share, minutes."""
        (line,) = re.findall(rf"^{stream} .*$", self.text, re.MULTILINE)
        return re.split(r" {2,}", line)[1:]

    def notes(self, stream: str) -> list[str]:
        """What is said of a stream below the table: what to do, which fields differ."""
        below = self.text.partition("What to do\n")[2]
        return re.findall(rf"^  {stream}: (.*)$", re.sub(r"\n {4}", " ", below), re.MULTILINE)


@pytest.fixture
def plan(docebo: Platform, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """Runs the command for a platform that has nothing, unless a test serves more."""
    for path in (*LISTS, "analytics/v1/reports"):
        docebo.serves(path)

    def run_plan(**fields: Any) -> Printed:
        config = tmp_path / "config.json"
        config.write_text(json.dumps({**ConfigBuilder().build(), **fields}), encoding="utf-8")
        with monkeypatch.context() as patch:
            patch.setattr(logging.getLogger(), "handlers", [])
            code = run.execute(["plan", "--config", str(config)])
        logging.disable(logging.NOTSET)  # which the end of the process would do
        return Printed(code, capsys.readouterr())

    return run_plan


def page(came: int, **words: Any) -> Page:
    return Page([{"id": number} for number in range(came)], **words)


class TestExtent:
    @pytest.mark.parametrize(
        ("first", "records", "requests"),
        [
            (page(200, total_count=437, page_count=3), Count(437), Count(3)),
            (page(50, total_count=437), Count(437), Count(9)),
            (page(0, total_count=0), Count(0), Count(1)),
            (page(7, total_count=0), Count(7), Count(1)),
            (page(200, page_count=4), Count(800, ESTIMATE), Count(4)),
            (page(120, page_count=1), Count(120), Count(1)),
            (page(200, has_more=True), Count(200, AT_LEAST), Count(2, AT_LEAST)),
            (page(200), Count(200, AT_LEAST), Count(2, AT_LEAST)),
            (page(200, has_more=False), Count(200), Count(1)),
            (page(199), Count(199), Count(1)),
        ],
    )
    def test_by_what_the_first_page_says(self, first: Page, records: Count, requests: Count) -> None:
        assert _extent(first, page_size=200) == (records, requests)

    def test_a_list_that_is_not_requested_in_pages(self) -> None:
        assert _extent(page(500), page_size=None) == (Count(500), Count(1))


class TestReport:
    PLANS = (
        StreamPlan("courses", records=Count(2000), requests=Count(10)),
        StreamPlan("sessions", records=Count(12345, ESTIMATE), requests=Count(1990, AT_LEAST)),
        StreamPlan("enrollments", records=Count(300), requests=Count(2), hourly=Count(1)),
        StreamPlan(
            "users", readable="no (403)", problem="Not allowed. " * 30, differences={f"a_field_{n}" for n in range(40)}
        ),
    )

    def test_the_table(self) -> None:
        lines = report(list(self.PLANS), calls_per_hour=0).splitlines()
        assert lines[2:9] == [
            "Stream                            Readable  Records  Requests  Share  Minutes at 1,000/h",
            "sessions                          yes       ~12,345    ≥1,990    99%              ≥119.4",
            "courses                           yes         2,000        10     0%                 0.6",
            "enrollments                       yes           300         2     0%                 0.1",
            "users                             no (403)        -         -      -                   -",
            "All, and an access token                          -    ≥2,003   100%              ≥120.2",
            "enrollments, incremental, hourly  yes             -         1     0%                 0.1",
        ]
        assert lines[9] == "Without those that were not read: users."
        assert max(map(len, lines)) <= 120

    def test_minutes_at_the_configured_rate(self) -> None:
        lines = report(list(self.PLANS), calls_per_hour=100).splitlines()
        assert lines[2].endswith("Minutes at 100/h")
        assert lines[4].endswith("6.0")


class TestPlan:
    def test_lists_are_exact_and_children_estimated_by_five_parents(
        self, docebo: Platform, plan: Plan, clock: Time
    ) -> None:
        docebo.serves(GROUPS, *({"uuid": f"g{number}"} for number in range(10)))
        members = page_with({"user_id": 1}).with_paging(total_count=300, total_page_count=2)
        docebo.serves_pages(f"{GROUPS}/g0/users", members)
        for key in ("g2", "g4", "g6", "g9"):
            docebo.serves(f"{GROUPS}/{key}/users")
        printed = plan()
        assert printed.code == 0
        assert printed.row("groups")[:3] == ["yes", "10", "1"]
        assert printed.row("group_members")[:3] == ["yes", "0-1,800", "10-16"]
        assert printed.row("sessions") == ["not tried", "-", "-", "-", "-"]
        assert printed.notes("sessions") == ["Its parent stream courses has no record that has such records."]
        assert clock.slept == 0

    def test_children_of_children(self, docebo: Platform, plan: Plan) -> None:
        docebo.serves(COURSES, {"id_course": 1, "course_type": "classroom"})
        docebo.serves("course/v1/courses/enrollments")
        docebo.serves(f"{COURSES}/1/los")
        docebo.serves(f"{COURSES.replace('learn', 'course')}/1/sessions", {"id": 7}, {"id": 8})
        docebo.serves("course/v1/sessions/7/events", {"id": 70})
        docebo.serves("course/v1/sessions/7/enrollments", {"user_id": 1})
        docebo.serves("course/v1/sessions/8/events", {"id": 80}, {"id": 81})
        docebo.serves("course/v1/sessions/8/enrollments")
        printed = plan()
        assert printed.row("sessions")[:3] == ["yes", "2", "1"]
        assert printed.row("session_events")[:3] == ["yes", "3", "2"]
        assert printed.row("session_enrollments")[:3] == ["yes", "~2", "~2"]
        assert docebo.requests_for("course/v1/sessions/8/enrollments") == []

    def test_counts_that_parents_announce_need_one_request(self, docebo: Platform, plan: Plan) -> None:
        plans = ({"learning_plan_id": number, "assigned_courses_count": 150 * number} for number in range(4))
        docebo.serves("learningplan/v1/learningplans", *plans)
        docebo.serves("learningplan/v1/learningplans/1/courses")
        for number in (1, 2, 3):
            docebo.serves(f"learningplan/v1/learningplans/{number}/courses/enrollments")
        assert plan().row("learning_plan_courses")[:3] == ["yes", "~900", "~6"]
        assert len(docebo.requests_for("learningplan/v1/learningplans/1/courses")) == 1

    def test_a_child_stream_that_cannot_be_read(self, docebo: Platform, plan: Plan) -> None:
        docebo.serves(COURSES, *({"id_course": number, "course_type": "elearning"} for number in range(1, 4)))
        docebo.responds("course/v1/courses/enrollments", error_response(403, "No"))
        docebo.responds(f"{COURSES}/1/los", error_response(404, "No"))
        printed = plan()
        assert printed.row("course_enrollments")[0] == "no (403)"
        assert printed.row("course_learning_objects")[0] == "no (404)"
        assert "Without those that were not read: branch_members, course_enrollments, " in printed.text
        assert "/los" not in printed.text

    def test_the_hourly_cost_of_enrollments_is_by_what_has_changed_lately(self, docebo: Platform, plan: Plan) -> None:
        changed = page_with({"type": "course", "id": 1, "user_id": 1}).with_paging(total_count=1500, total_page_count=8)
        docebo.serves_pages("learn/v1/enrollments", changed)
        printed = plan(lookback_window="P1D")
        assert printed.row("enrollments, incremental, hourly")[2] == "8"
        since = docebo.queries_for("learn/v1/enrollments")[-1]["updated_from"][0]
        ago = datetime.now(timezone.utc) - datetime.fromisoformat(f"{since}+00:00")
        assert timedelta(hours=25) <= ago < timedelta(hours=26)

    def test_enrollments_are_those_since_the_start_date(self, docebo: Platform, plan: Plan) -> None:
        plan(start_date="2024-01-01T00:00:00Z")
        plan()
        updated_from = [query.get("updated_from") for query in docebo.queries_for("learn/v1/enrollments")]
        assert updated_from[::2] == [["2024-01-01 00:00:00"], None]

    def test_a_stream_that_fails_for_a_moment_is_tried_again(self, docebo: Platform, plan: Plan) -> None:
        docebo.responds(CATEGORIES, error_response(503), page_with({"id": 1}).build())
        assert plan().row("categories")[:3] == ["yes", "1", "1"]

    def test_one_that_cannot_be_read_is_explained_without_data(self, docebo: Platform, plan: Plan) -> None:
        docebo.responds(USERS, error_response(400, "Zoe (GET /x) may not"))
        docebo.responds(CATEGORIES, error_response(403, "No"))
        printed = plan()
        assert printed.code == 0
        assert printed.row("users") == ["no (400)", "-", "-", "-", "-"]
        assert printed.notes("users") == ["Docebo returned status 400."]
        assert printed.row("categories")[0] == "no (403)"
        (advice,) = printed.notes("categories")
        assert advice.startswith("The API user is not allowed to read this (403).")

    def test_the_platform_is_not_named(self, mocker: requests_mock.Mocker, plan: Plan) -> None:
        mocker.get(f"{PLATFORM}/{CATEGORIES}", exc=requests.ConnectTimeout("timed out"))
        printed = plan()
        assert printed.row("categories")[0] == "no"
        (problem,) = printed.notes("categories")
        assert problem.startswith("The platform did not respond: it took too long. ")
        assert "acme" not in printed.text

    def test_a_rate_limit_is_reported_within_the_time_and_the_requests(
        self, docebo: Platform, plan: Plan, clock: Time
    ) -> None:
        for path in LISTS:
            docebo.responds(path, error_response(429))
        printed = plan()
        assert printed.code == 1
        assert printed.row("users")[0] == "no (429)"
        (problem,) = printed.notes("users")
        assert problem.startswith("Docebo's limit of about 1,000 requests per hour and IP address is used up (429).")
        assert clock.slept <= 300
        assert len(docebo.paths_requested) + len(docebo.token_forms()) <= MAX_REQUESTS

    def test_fields_that_differ_are_named_without_values(self, docebo: Platform, plan: Plan) -> None:
        docebo.serves("manage/v1/user_fields", {"id": 1, "title": "Department"})
        record = {"user_id": "1", "field_1": "x", "field_2": "y", "extra": "Zoe", "Zoe@acme.com": 1}
        docebo.serves(USERS, {**record, "last_update": "Zoe"})
        printed = plan()
        assert printed.row("users")[:3] == ["yes", "1", "1"]
        assert printed.notes("users") == [
            "<unusual name> (in no schema), extra (in no schema), field_2 (in no schema), "
            "last_update (no calendar date)"
        ]
        assert "Zoe" not in printed.text

    def test_credentials_that_docebo_rejects_are_one_line(self, docebo: Platform, plan: Plan) -> None:
        docebo.issues(token_error("invalid_client", 401))
        printed = plan()
        assert printed.code == 1
        assert printed.text == "This sends at most 30 requests to Docebo.\n\n"
        (line,) = printed.errors
        assert line.startswith("Signing in to Docebo failed. Docebo does not know this client_id")
