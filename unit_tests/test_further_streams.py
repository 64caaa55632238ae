"""Child streams beyond the sixteen: the courses of learning plans, and what sessions hold, which are children too."""

import pytest

from unit_tests.builders import PageBuilder, Platform, error_response, page_with, read
from unit_tests.test_child_streams import COURSES, PLANS, by, course_record, plan_record

SESSIONS = "course/v1/courses/{}/sessions"
EVENTS = "course/v1/sessions/{}/events"
ENROLLMENTS = "course/v1/sessions/{}/enrollments"


class TestLearningPlanCourses:
    """The courses of each plan that has any, in pages, with the key of their plan."""

    path = PLANS + "/{}/courses"

    def test_two_pages_of_several_plans(self, docebo: Platform) -> None:
        docebo.serves(PLANS, plan_record(1), plan_record("2"))
        course = {
            "id_course": "5",
            "title": "Safety",
            "language": [],
            "create_date": "2024-05-01 08:30:00",
            "is_required": 1,
            "sequence": "1",
            "category": [],
            "prerequisites_count": 0,
            "prerequisites_completion": [],
        }
        docebo.serves_pages(
            self.path.format(1), page_with(course).page(1, of=2), page_with({"idCourse": 6, "name": "B"}).page(2, of=2)
        )
        docebo.serves(self.path.format(2), {"id_course": 5, "create_date": "0000-00-00 00:00:00"})

        output = read("learning_plan_courses")

        assert sorted(output.records("learning_plan_courses"), key=by("learning_plan_id", "id_course")) == [
            {
                "learning_plan_id": 1,
                "id_course": 5,
                "title": "Safety",
                "language": {},
                "create_date": "2024-05-01T08:30:00Z",
                "is_required": True,
                "sequence": 1,
                "category": {},
                "prerequisites_count": 0,
                "prerequisites_completion": {},
            },
            {"learning_plan_id": 1, "id_course": 6, "idCourse": 6, "title": "B", "name": "B"},
            {"learning_plan_id": 2, "id_course": 5, "create_date": "1970-01-01T00:00:00Z"},
        ]
        assert output.is_complete("learning_plan_courses")
        assert output.warnings() == []
        assert docebo.queries_for(self.path.format(2)) == [{"page": ["1"], "page_size": ["200"]}]

    def test_a_plan_without_enrollments_has_courses_and_one_without_courses_is_not_requested(
        self, docebo: Platform
    ) -> None:
        docebo.serves(
            PLANS,
            plan_record(1, assigned_enrollments_count=0),
            plan_record(2, assigned_courses_count=0),
            plan_record(3, assigned_courses_count="0"),
            {"learning_plan_id": 4},
        )
        for plan in (1, 4):
            docebo.serves(self.path.format(plan), {"id_course": 1})

        output = read("learning_plan_courses")

        assert sorted(record["learning_plan_id"] for record in output.records("learning_plan_courses")) == [1, 4]
        assert sorted(docebo.paths_requested) == [PLANS, self.path.format(1), self.path.format(4)]


class TestSessionEvents:
    """Each session's events come in one response, unless it says that there are more pages."""

    def test_sessions_of_several_courses(self, docebo: Platform) -> None:
        docebo.serves(COURSES, course_record(1), course_record(2, "elearning"), course_record(3, "webinar"))
        docebo.serves(SESSIONS.format(1), {"id": "100"}, {"id": 101})
        docebo.serves(SESSIONS.format(3), {"id": 300})
        event = {
            "id": "7",
            "name": "Day 1",
            "day": "2024-05-01",
            "time_begin": "08:30:00",
            "time_end": "17:00:00",
            "timezone": "Europe/Rome",
            "duration": 510,
            "effective_duration": "450",
            "location_id": "3",
            "classroom_id": None,
            "has_recording": 0,
            "instructors": [{"user_id": 13001}],
        }
        docebo.serves(EVENTS.format(100), event, {"event_id": 8, "day": "0000-00-00"})
        docebo.serves(EVENTS.format(101))
        docebo.serves(EVENTS.format(300), {"id": 7, "webinar_tool": "zoom", "url": "https://meet.example.com/7"})

        output = read("session_events")

        assert sorted(output.records("session_events"), key=by("session_id", "id")) == [
            {
                "session_id": 100,
                "id": 7,
                "name": "Day 1",
                "day": "2024-05-01T00:00:00Z",
                "time_begin": "08:30:00",
                "time_end": "17:00:00",
                "timezone": "Europe/Rome",
                "duration": "510",
                "effective_duration": "450",
                "location_id": 3,
                "has_recording": False,
                "instructors": [{"user_id": 13001}],
            },
            {"session_id": 100, "id": 8, "event_id": 8, "day": "1970-01-01T00:00:00Z"},
            {"session_id": 300, "id": 7, "webinar_tool": "zoom", "url": "https://meet.example.com/7"},
        ]
        assert output.is_complete("session_events")
        assert output.records("sessions") == []
        assert docebo.queries_for(EVENTS.format(100)) == [{}]
        assert docebo.requests_for(SESSIONS.format(2)) == []

    def test_a_list_that_says_there_is_more_is_read_on(self, docebo: Platform) -> None:
        docebo.serves(COURSES, course_record(1))
        docebo.serves(SESSIONS.format(1), {"id": 100})
        docebo.serves_pages(EVENTS.format(100), page_with({"id": 1}).page(1, of=2), page_with({"id": 2}).page(2, of=2))

        output = read("session_events")

        assert sorted(record["id"] for record in output.records("session_events")) == [1, 2]
        assert docebo.queries_for(EVENTS.format(100)) == [{}, {"page": ["2"]}]

    def test_a_course_that_does_not_have_sessions_means_none(self, docebo: Platform) -> None:
        docebo.serves(COURSES, course_record(1), course_record(2))
        docebo.responds(SESSIONS.format(1), error_response(400, "Course with id 1 does not have sessions"))
        docebo.serves(SESSIONS.format(2), {"id": 200})
        docebo.serves(EVENTS.format(200), {"id": 1})

        output = read("session_events")

        assert output.records("session_events") == [{"session_id": 200, "id": 1}]
        assert output.is_complete("session_events")
        assert output.warnings() == []


class TestSessionEnrollments:
    """The users in each session, in pages, with the key of their session."""

    def test_three_pages_of_several_sessions(self, docebo: Platform) -> None:
        docebo.serves(COURSES, course_record(1))
        docebo.serves(SESSIONS.format(1), {"id": 100}, {"id": 101})
        enrollment = {
            "user_id": "13903",
            "username": "ada",
            "email": "ada@example.com",
            "enrollment_date": "2024-05-01 08:30:00",
            "completion_date": "0000-00-00 00:00:00",
            "status": "enrolled",
            "status_id": 0,
            "user_status": "1",
        }
        docebo.serves_pages(
            ENROLLMENTS.format(100),
            page_with(enrollment).page(1, of=3),
            page_with({"id_user": 2}).page(2, of=3),
            page_with({"user_id": 3, "status": 2}).page(3, of=3),
        )
        docebo.serves(ENROLLMENTS.format(101), {"user_id": 13903, "attendance": "none"})

        output = read("session_enrollments")

        assert sorted(output.records("session_enrollments"), key=by("session_id", "user_id")) == [
            {"session_id": 100, "user_id": 2, "id_user": 2},
            {"session_id": 100, "user_id": 3, "status": "2"},
            {
                "session_id": 100,
                "user_id": 13903,
                "username": "ada",
                "email": "ada@example.com",
                "enrollment_date": "2024-05-01T08:30:00Z",
                "completion_date": "1970-01-01T00:00:00Z",
                "status": "enrolled",
                "status_id": "0",
                "user_status": "1",
            },
            {"session_id": 101, "user_id": 13903, "attendance": "none"},
        ]
        assert output.is_complete("session_enrollments")
        assert {"page": ["3"], "page_size": ["200"]} in docebo.queries_for(ENROLLMENTS.format(100))


class TestOneReadOfTheSessions:
    """`sessions`, `session_events` and `session_enrollments` cost one request a course, whichever are selected."""

    def serve(self, docebo: Platform) -> None:
        docebo.serves(COURSES, course_record(1), course_record(2))
        docebo.serves_pages(
            SESSIONS.format(1),
            PageBuilder().with_records({"id": 100}, {"id": 101}).page(1, of=2),
            PageBuilder().with_records({"id": 102}).page(2, of=2),
        )
        docebo.serves(SESSIONS.format(2), {"id": 200, "name": "Rome"})
        for session in (100, 101, 102, 200):
            docebo.serves(EVENTS.format(session), {"id": 1})
            docebo.serves(ENROLLMENTS.format(session), {"user_id": 1})

    @pytest.mark.parametrize(
        "selected",
        [
            ("session_events",),
            ("session_enrollments",),
            ("session_events", "session_enrollments"),
            ("sessions", "session_events"),
            ("sessions", "session_events", "session_enrollments"),
            ("courses", "sessions", "session_events", "session_enrollments"),
        ],
    )
    def test_each_page_is_requested_once(self, docebo: Platform, selected: tuple[str, ...]) -> None:
        self.serve(docebo)

        output = read(*selected)

        assert all(output.is_complete(stream) for stream in selected)
        expected = {"courses": 2, "sessions": 4, "session_events": 4, "session_enrollments": 4}
        assert {stream: len(output.records(stream)) for stream in selected} == {
            stream: expected[stream] for stream in selected
        }
        children = [stream for stream in selected if stream.startswith("session_")]
        assert len(docebo.requests_for(COURSES)) == 1
        assert len(docebo.requests_for(SESSIONS.format(1))) == 2
        assert len(docebo.requests_for(SESSIONS.format(2))) == 1
        assert len(docebo.paths_requested) == 4 + 4 * len(children)

    def test_the_sessions_are_whole_although_their_children_need_the_key_alone(self, docebo: Platform) -> None:
        self.serve(docebo)

        output = read("session_events", "sessions")

        assert {"id": 200, "course_id": 2, "name": "Rome"} in output.records("sessions")

    @pytest.mark.parametrize("response", [error_response(500, "Oops"), error_response(403, "No")])
    @pytest.mark.parametrize(
        "selected",
        [
            ("sessions", "session_events", "session_enrollments"),
            ("session_events", "session_enrollments"),
            ("session_events",),
        ],
    )
    def test_where_the_sessions_of_a_course_cannot_be_read_none_of_the_streams_is_complete(
        self, docebo: Platform, selected: tuple[str, ...], response: object
    ) -> None:
        self.serve(docebo)
        docebo.responds(SESSIONS.format(2), response)  # type: ignore[arg-type]

        output = read(*selected)

        assert all(output.is_incomplete(stream) for stream in selected)
        assert any(SESSIONS.format(2) in message for _, message in output.errors())

    def test_a_course_that_was_deleted_meanwhile_costs_its_own_sessions_only(self, docebo: Platform) -> None:
        self.serve(docebo)
        docebo.responds(SESSIONS.format(2), error_response(404, "No such course"))
        selected = ("sessions", "session_events", "session_enrollments")

        output = read(*selected)

        assert [len(output.records(stream)) for stream in selected] == [3, 3, 3]
        assert all(output.is_complete(stream) for stream in selected)
        assert any(SESSIONS.format(2) in warning for warning in output.warnings())

    def test_a_session_that_was_deleted_meanwhile_is_skipped(self, docebo: Platform) -> None:
        self.serve(docebo)
        docebo.responds(EVENTS.format(101), error_response(404, "No such session"))

        output = read("session_events", "session_enrollments")

        assert [len(output.records(stream)) for stream in ("session_events", "session_enrollments")] == [3, 4]
        assert output.is_complete("session_events")
        (warning,) = output.warnings()
        assert EVENTS.format(101) in warning
