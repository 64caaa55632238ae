"""Child streams: which parents have records requested, and which key of the parent the records hold."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from airbyte_cdk.sources.streams.concurrent.default_stream import DefaultStream
from airbyte_cdk.sources.types import StreamSlice

from source_docebo.errors import DoceboError
from unit_tests.builders import (
    ConfigBuilder,
    PageBuilder,
    Platform,
    Response,
    error_response,
    page_with,
    read,
    token_response,
)

COURSES = "learn/v1/courses"
GROUPS = "audiences/v1/audience"
PLANS = "learningplan/v1/learningplans"


def course_record(number: Any, course_type: str = "classroom") -> dict[str, Any]:
    return {"id_course": number, "course_type": course_type}


def plan_record(number: Any, **counts: Any) -> dict[str, Any]:
    return {"learning_plan_id": number, "assigned_courses_count": 1, "assigned_enrollments_count": 1, **counts}


def by(*keys: str) -> Any:
    """Children of several parents are read at the same time, so their order says nothing."""
    return lambda record: [record[key] for key in keys]


class TestGroupMembers:
    """Each group's users are read, and hold the key of their group."""

    def test_three_pages_of_several_groups(self, docebo: Platform) -> None:
        docebo.serves(GROUPS, {"uuid": "a"}, {"uuid": "b"}, {"uuid": "c"})
        docebo.serves_pages(
            f"{GROUPS}/a/users",
            page_with({"user_id": 1}, {"user_id": 2}).page(1, of=3),
            page_with({"user_id": 3}).page(2, of=3),
            page_with({"user_id": 4}).page(3, of=3),
        )
        docebo.serves(f"{GROUPS}/b/users")
        docebo.serves(f"{GROUPS}/c/users", {"user_id": 1})

        output = read("group_members")

        assert sorted(output.records("group_members"), key=by("group_uuid", "user_id")) == [
            {"group_uuid": "a", "user_id": 1},
            {"group_uuid": "a", "user_id": 2},
            {"group_uuid": "a", "user_id": 3},
            {"group_uuid": "a", "user_id": 4},
            {"group_uuid": "c", "user_id": 1},
        ]
        assert output.is_complete("group_members")
        assert {"page": ["3"], "page_size": ["200"]} in docebo.queries_for(f"{GROUPS}/a/users")
        assert docebo.queries_for(f"{GROUPS}/c/users") == [{"page": ["1"], "page_size": ["200"]}]

    def test_the_key_of_a_member_is_an_integer_whatever_its_name_and_type(self, docebo: Platform) -> None:
        docebo.serves(GROUPS, {"uuid": "a"})
        docebo.serves(f"{GROUPS}/a/users", {"user_id": 1, "relation_type": "manual"}, {"idst": 2, "likes": ["tea"]})

        records = read("group_members").records("group_members")

        assert records == [
            {"group_uuid": "a", "user_id": 1, "relation_type": "manual"},
            {"group_uuid": "a", "user_id": 2, "idst": 2, "likes": ["tea"]},
        ]

    def test_groups_are_found_by_their_older_names(self, docebo: Platform) -> None:
        docebo.serves(GROUPS, {"audience_id": "x"}, {"group_id": 8}, {"id": 9})
        for group in ("x", "8", "9"):
            docebo.serves(f"{GROUPS}/{group}/users", {"user_id": 1})

        records = read("group_members").records("group_members")

        assert sorted(records, key=by("group_uuid")) == [
            {"group_uuid": group, "user_id": 1} for group in ("8", "9", "x")
        ]

    def test_groups_of_three_pages(self, docebo: Platform) -> None:
        docebo.serves_pages(GROUPS, *(page_with({"uuid": str(page)}).page(page, of=3) for page in (1, 2, 3)))
        for page in (1, 2, 3):
            docebo.serves(f"{GROUPS}/{page}/users", {"user_id": 1})

        records = read("group_members").records("group_members")

        assert sorted(record["group_uuid"] for record in records) == ["1", "2", "3"]

    def test_no_group_means_no_members(self, docebo: Platform) -> None:
        docebo.serves(GROUPS)

        output = read("group_members")

        assert output.records("group_members") == []
        assert output.is_complete("group_members")


class TestCourseLearningObjects:
    """Each course's learning objects come in one response, unless it says that there are more pages."""

    def test_several_courses(self, docebo: Platform) -> None:
        docebo.serves(COURSES, course_record(1, "elearning"), course_record("2"))
        docebo.serves(f"{COURSES}/1/los", {"id_org": 10, "item_id": None, "id_resource": 77}, {"id_org": "11"})
        docebo.serves(f"{COURSES}/2/los", {"id_org": 10, "title": "Intro", "item_id": 5})

        output = read("course_learning_objects")

        assert sorted(output.records("course_learning_objects"), key=by("course_id", "id_org")) == [
            {"course_id": 1, "id_org": 10, "id_resource": "77"},
            {"course_id": 1, "id_org": 11},
            {"course_id": 2, "id_org": 10, "title": "Intro", "item_id": "5"},
        ]
        assert output.is_complete("course_learning_objects")
        assert docebo.queries_for(f"{COURSES}/1/los") == [{}]

    def test_a_response_with_the_items_alone_is_read_whole(self, docebo: Platform) -> None:
        docebo.serves(COURSES, course_record(1))
        objects = [{"id_org": number} for number in range(300)]
        docebo.responds(
            f"{COURSES}/1/los",
            page_with(*objects).without_paging().build(),
        )

        records = read("course_learning_objects").records("course_learning_objects")

        assert records == [{"course_id": 1, "id_org": number} for number in range(300)]
        assert len(docebo.requests_for(f"{COURSES}/1/los")) == 1


class TestSessions:
    """Sessions are requested where there can be any, and hold the key of their course."""

    def test_of_classroom_and_webinar_courses(self, docebo: Platform) -> None:
        docebo.serves(
            COURSES, course_record(1), course_record(2, "elearning"), course_record(3, "webinar"), {"id_course": 4}
        )
        session = {
            "id": 100,
            "date_start": "2024-05-01 08:30:00",
            "date_end": "0000-00-00 00:00:00",
            "location": [],
            "attendance_details": {"onsite": "3", "online": 0, "flexible": 0},
            "additional_fields": [{"id": 5, "name": "Room", "value": None, "mandatory": "1"}],
        }
        docebo.serves_pages(
            "course/v1/courses/1/sessions",
            page_with(session).page(1, of=3),
            page_with({"id": 101}).page(2, of=3),
            page_with({"id": 102}).page(3, of=3),
        )
        docebo.serves("course/v1/courses/3/sessions", {"id": 103})
        docebo.serves("course/v1/courses/4/sessions", {"id": 104})

        output = read("sessions")

        assert sorted(output.records("sessions"), key=by("id")) == [
            {
                "id": 100,
                "course_id": 1,
                "date_start": "2024-05-01T08:30:00Z",
                "date_end": "1970-01-01T00:00:00Z",
                "location": {},
                "attendance_details": {"onsite": 3, "online": 0, "flexible": 0},
                "additional_fields": [{"id": "5", "name": "Room", "value": None, "mandatory": True}],
            },
            {"id": 101, "course_id": 1},
            {"id": 102, "course_id": 1},
            {"id": 103, "course_id": 3},
            {"id": 104, "course_id": 4},
        ]
        assert output.is_complete("sessions")
        assert docebo.requests_for("course/v1/courses/2/sessions") == []
        assert {"page": ["2"], "page_size": ["200"]} in docebo.queries_for("course/v1/courses/1/sessions")

    def test_a_course_that_does_not_have_sessions_means_none(self, docebo: Platform) -> None:
        docebo.serves(COURSES, course_record(1), course_record(2))
        docebo.responds("course/v1/courses/1/sessions", error_response(400, "Course with id 1 does not have sessions"))
        docebo.serves("course/v1/courses/2/sessions", {"id": 100})

        output = read("sessions")

        assert output.records("sessions") == [{"id": 100, "course_id": 2}]
        assert output.is_complete("sessions")
        assert output.warnings() == []
        assert len(docebo.requests_for("course/v1/courses/1/sessions")) == 1

    def test_another_bad_request_fails_the_stream(self, docebo: Platform) -> None:
        docebo.serves(COURSES, course_record(1))
        docebo.responds("course/v1/courses/1/sessions", error_response(400, "The parameter page is not valid"))

        output = read("sessions")

        ((_, message),) = output.errors()
        assert "sessions" in message
        assert "The parameter page is not valid" in message
        assert output.is_incomplete("sessions")


class TestLearningPlanCourseEnrollments:
    """Students of plans that have any are read, plan by plan, and hold the key of their plan."""

    path = PLANS + "/{}/courses/enrollments"

    def test_three_pages_of_several_plans(self, docebo: Platform) -> None:
        docebo.serves(PLANS, plan_record(1), plan_record("2"))
        enrollment = {
            "course_id": "5",
            "user_id": 13903,
            "enrollment_completion_date": "",
            "enrollment_created_at": "2024-05-01 08:30:00",
            "enrollment_validity_begin_date": "2024-05-01",
        }
        docebo.serves_pages(
            self.path.format(1),
            page_with(enrollment).page(1, of=3),
            page_with({"course_id": 6, "user_id": 2}).page(2, of=3),
            page_with({"course_id": 7, "user_id": 3}).page(3, of=3),
        )
        docebo.serves(self.path.format(2), {"course_id": 5, "user_id": 1})

        output = read("learning_plan_course_enrollments")

        assert sorted(output.records("learning_plan_course_enrollments"), key=by("learning_plan_id", "course_id")) == [
            {
                "learning_plan_id": 1,
                "course_id": 5,
                "user_id": 13903,
                "enrollment_created_at": "2024-05-01T08:30:00Z",
                "enrollment_validity_begin_date": "2024-05-01T00:00:00Z",
            },
            {"learning_plan_id": 1, "course_id": 6, "user_id": 2},
            {"learning_plan_id": 1, "course_id": 7, "user_id": 3},
            {"learning_plan_id": 2, "course_id": 5, "user_id": 1},
        ]
        assert output.is_complete("learning_plan_course_enrollments")
        assert docebo.queries_for(self.path.format(2)) == [
            {"page": ["1"], "page_size": ["200"], "enrollment_level[]": ["student"]}
        ]

    def test_nothing_is_requested_for_a_plan_without_courses_or_enrollments(self, docebo: Platform) -> None:
        docebo.serves(
            PLANS,
            plan_record(1, assigned_courses_count=0),
            plan_record(2, assigned_enrollments_count=0),
            plan_record(3, assigned_courses_count="0"),
            plan_record(4, assigned_enrollments_count="0"),
            plan_record(5, assigned_courses_count="3", assigned_enrollments_count="2"),
            {"learning_plan_id": 6},
        )
        docebo.serves(self.path.format(5), {"course_id": 1, "user_id": 1})
        docebo.serves(self.path.format(6), {"course_id": 1, "user_id": 1})

        output = read("learning_plan_course_enrollments")

        requested = [path for path in docebo.paths_requested if path != PLANS]
        assert sorted(requested) == [self.path.format(5), self.path.format(6)]
        assert sorted(record["learning_plan_id"] for record in output.records("learning_plan_course_enrollments")) == [
            5,
            6,
        ]

    def test_the_plans_themselves_are_all_emitted(self, docebo: Platform) -> None:
        docebo.serves(PLANS, plan_record(1, assigned_courses_count=0), plan_record(2))
        docebo.serves(self.path.format(2))

        output = read("learning_plans", "learning_plan_course_enrollments")

        assert [record["learning_plan_id"] for record in output.records("learning_plans")] == [1, 2]


class TestCourseEnrollments:
    """Enrollments are requested for a hundred courses at a time."""

    path = "course/v1/courses/enrollments"

    def test_three_pages_of_one_group_of_courses(self, docebo: Platform) -> None:
        docebo.serves(COURSES, course_record(1), course_record(2, "elearning"), course_record("3"))
        enrollment = {
            "course_id": 1,
            "user_id": 13903,
            "enrollment_status": "in_progress",
            "enrollment_created_at": "0000-00-00 00:00:00",
            "enrollment_date_last_updated": "2024-05-01 08:30:00",
            "enrollment_completion_date": None,
            "enrollment_score": "87.5",
            "enrollment_validity_end_date": "2024-12-31",
            "enrollment_validity_end_datetime": "2024-12-31 18:00:00",
            "enrollment_time_spent": 5400,
        }
        docebo.serves_pages(
            self.path,
            page_with(enrollment).page(1, of=3),
            page_with({"course_id": "2", "user_id": 5}).page(2, of=3),
            page_with({"course_id": 3, "user_id": 5}).page(3, of=3),
        )

        output = read("course_enrollments")

        assert output.records("course_enrollments") == [
            {
                "course_id": 1,
                "user_id": 13903,
                "enrollment_status": "in_progress",
                "enrollment_created_at": "1970-01-01T00:00:00Z",
                "enrollment_date_last_updated": "2024-05-01T08:30:00Z",
                "enrollment_score": 87.5,
                "enrollment_validity_end_date": "2024-12-31T00:00:00Z",
                "enrollment_validity_end_datetime": "2024-12-31T18:00:00Z",
                "enrollment_time_spent": 5400,
            },
            {"course_id": 2, "user_id": 5},
            {"course_id": 3, "user_id": 5},
        ]
        assert output.is_complete("course_enrollments")
        assert sorted(docebo.queries_for(self.path), key=lambda query: query["page"]) == [
            {
                "page": [page],
                "page_size": ["200"],
                "course_id[]": ["1", "2", "3"],
                "extra_fields[]": ["enrollment_time_spent"],
            }
            for page in ("1", "2", "3")
        ]

    def test_more_than_a_hundred_courses_are_requested_for_in_groups(self, docebo: Platform) -> None:
        docebo.serves_pages(
            COURSES,
            PageBuilder().with_records(*(course_record(number) for number in range(1, 201))).page(1, of=2),
            PageBuilder().with_records(*(course_record(number) for number in range(201, 251))).page(2, of=2),
        )
        groups = [[str(number) for number in range(first, last)] for first, last in ((1, 101), (101, 201), (201, 251))]
        for group in groups:
            docebo.responds(
                self.path,
                page_with(
                    {"course_id": int(group[0]), "user_id": 1}, {"course_id": int(group[-1]), "user_id": 1}
                ).build(),
                when={"course_id[]": group},
            )

        output = read("course_enrollments")

        requested = [query["course_id[]"] for query in docebo.queries_for(self.path)]
        assert sorted(requested, key=lambda group: int(group[0])) == groups
        assert sorted(record["course_id"] for record in output.records("course_enrollments")) == [
            1,
            100,
            101,
            200,
            201,
            250,
        ]
        assert output.is_complete("course_enrollments")

    def test_one_course_is_one_group(self, docebo: Platform) -> None:
        docebo.serves(COURSES, course_record(7))
        docebo.serves(self.path, {"course_id": 7, "user_id": 1})

        output = read("course_enrollments")

        assert [query["course_id[]"] for query in docebo.queries_for(self.path)] == [["7"]]
        assert output.records("course_enrollments") == [{"course_id": 7, "user_id": 1}]

    def test_no_course_means_no_request(self, docebo: Platform) -> None:
        docebo.serves(COURSES)

        output = read("course_enrollments")

        assert docebo.requests_for(self.path) == []
        assert output.is_complete("course_enrollments")


class TestSharedParents:
    """The pages of parents are requested once in a sync."""

    def test_courses_are_read_once_for_four_streams(self, docebo: Platform) -> None:
        docebo.serves_pages(
            COURSES, page_with(course_record(1)).page(1, of=2), page_with(course_record(2)).page(2, of=2)
        )
        docebo.serves("course/v1/courses/enrollments", {"course_id": 1, "user_id": 1})
        for course in (1, 2):
            docebo.serves(f"{COURSES}/{course}/los", {"id_org": 1})
            docebo.serves(f"course/v1/courses/{course}/sessions", {"id": course})
        streams = ("courses", "course_enrollments", "course_learning_objects", "sessions")

        output = read(*streams)

        assert all(output.is_complete(stream) for stream in streams)
        assert [len(output.records(stream)) for stream in streams] == [2, 1, 2, 2]
        assert len(docebo.requests_for(COURSES)) == 2


class TestParentsThatCannotBeRead:
    """They are named and skipped, and the stream fails after the others; those deleted meanwhile fail nothing."""

    path = f"{GROUPS}/{{}}/users"

    def serve(self, docebo: Platform, parents: int, *faulty: int, response: Response) -> None:
        """The members of these groups, in the order of their numbers; those of the faulty ones cannot be read."""
        docebo.serves(GROUPS, *({"uuid": str(number)} for number in range(parents)))
        for number in range(parents):
            good = page_with({"user_id": 1}).build()
            docebo.responds(self.path.format(number), response if number in faulty else good)

    @pytest.mark.parametrize("missing", [0, 1, 2])
    def test_one_that_was_deleted_meanwhile_is_skipped(self, docebo: Platform, missing: int) -> None:
        self.serve(docebo, 3, missing, response=error_response(404, "No such audience"))

        output = read("group_members")

        assert len(output.records("group_members")) == 2
        assert output.is_complete("group_members")
        (warning,) = output.warnings()
        assert warning == (
            "Stream group_members: Docebo returned 404: it was deleted during the sync or, if that is so for most, "
            "this platform does not serve it. Then activate the app that it belongs to, or deselect the stream. "
            f"(GET /{self.path.format(missing)}, page 1) Its parent is skipped."
        )

    @pytest.mark.parametrize("missing", [0, 1, 2])
    @pytest.mark.parametrize(
        ("response", "failure_type", "problem"),
        [
            (error_response(403, "No"), "config_error", "The API user is not allowed to read this (403)."),
            (error_response(400, "No"), "system_error", "Docebo returned status 400. Docebo says: No"),
            (error_response(500, "No"), "transient_error", "Docebo is overloaded or restarting."),
            (Response("<html>"), "transient_error", "The response (6 bytes, application/json) holds no list"),
        ],
        ids=["403", "400", "500", "HTML"],
    )
    def test_one_with_any_other_fault_fails_the_stream_after_the_others(
        self, docebo: Platform, response: Response, failure_type: str, problem: str, missing: int
    ) -> None:
        self.serve(docebo, 3, missing, response=response)

        output = read("group_members")

        assert len(output.records("group_members")) == 2
        assert output.is_incomplete("group_members")
        ((failure, message),) = output.errors()
        assert failure.value == failure_type
        assert message.startswith(
            f"Stream group_members: 1 of 3 parents could not be read: GET /{self.path.format(missing)}, page 1. "
            f"{problem}"
        )

    @pytest.mark.parametrize(("accepted", "is_complete"), [(2, True), (1, False)])
    def test_so_many_as_the_configuration_accepts_fail_nothing(
        self, docebo: Platform, accepted: int, is_complete: bool
    ) -> None:
        self.serve(docebo, 5, 1, 3, response=error_response(403, "No"))
        config = ConfigBuilder().with_field("max_unreadable_parents", accepted).build()

        output = read("group_members", config=config)

        assert len(output.records("group_members")) == 3
        assert len(output.warnings()) == 2
        assert output.is_complete("group_members") == is_complete
        assert [message.split("page 1) ")[-1] for _, message in output.errors()] == (
            [] if is_complete else ["To accept that so many are missing, raise max_unreadable_parents."]
        )

    @pytest.mark.parametrize("read_first", [False, True])
    def test_where_most_were_deleted_the_stream_fails(self, docebo: Platform, read_first: bool) -> None:
        """That is no deletion: the platform does not serve it, or something is wrong."""
        missing = (1, 2, 3) if read_first else (0, 1, 2)
        self.serve(docebo, 4, *missing, response=error_response(404, "No such audience"))

        output = read("group_members")

        assert len(output.records("group_members")) == 1
        assert output.is_incomplete("group_members")
        ((failure_type, message),) = output.errors()
        assert failure_type.value == "config_error"
        assert message.startswith("Stream group_members: 3 of 4 parents could not be read: ")
        assert "deselect the stream" in message

    @pytest.mark.parametrize(
        ("response", "failure_type", "requests"),
        [
            (error_response(403, "No"), "config_error", 1),
            (error_response(404, "No"), "config_error", 1),
            (error_response(500, "No"), "transient_error", 9),
        ],
        ids=["403", "404", "500"],
    )
    def test_where_the_first_ten_cannot_be_read_the_stream_fails_at_once(
        self, docebo: Platform, response: Response, failure_type: str, requests: int
    ) -> None:
        self.serve(docebo, 100, *range(100), response=response)

        output = read("groups", "group_members", config=ConfigBuilder().with_field("num_workers", 2).build())

        ((failure, message),) = output.errors()
        assert failure.value == failure_type
        assert message.startswith("Stream group_members: 10 of ")
        named = message.split("could not be read: ")[1].split(", ..")[0]
        assert named.count("GET /audiences/v1/audience/") == 5
        assert "max_unreadable_parents" not in message  # it would not help
        assert output.is_incomplete("group_members")
        assert output.is_complete("groups")
        # The tenth, and those that are under way by then.
        assert 10 * requests <= sum(path.endswith("/users") for path in docebo.paths_requested) <= (10 + 2) * requests

    def test_where_every_token_is_rejected_the_stream_fails_at_once(self, docebo: Platform) -> None:
        docebo.issues(*(token_response(str(number)) for number in range(99)))
        self.serve(docebo, 100, *range(100), response=error_response(401, "No"))

        output = read("groups", "group_members", config=ConfigBuilder().with_field("num_workers", 2).build())

        ((failure_type, message),) = output.errors()
        assert failure_type.value == "config_error"
        assert "rejects the access tokens" in message
        assert output.is_complete("groups")
        assert sum(path.endswith("/users") for path in docebo.paths_requested) <= 2 * 4


@pytest.mark.parametrize("children_first", [True, False])
def test_a_stream_fails_although_its_children_were_the_first_to_know(
    docebo: Platform, build: Callable[..., DefaultStream], children_first: bool
) -> None:
    """Sessions are read twice: as a stream, and as parents. Whoever fails first, both must."""
    docebo.issues(*(token_response(str(number)) for number in range(20)))
    for number in (1, 2):
        docebo.responds(f"course/v1/courses/{number}/sessions", error_response(401, "No"))
    sync = uuid4().hex
    sessions, events = (build(name, __id=sync) for name in ("sessions", "session_events"))
    slicer = events._stream_partition_generator._stream_slicer  # type: ignore[attr-defined]
    own, parent = (
        stream._stream_partition_generator._partition_factory._retriever.requester  # type: ignore[attr-defined]
        for stream in (sessions, slicer.parent_stream_configs[0].stream)
    )
    for number, requester in enumerate([parent, own] if children_first else [own, parent], start=1):
        with pytest.raises(DoceboError, match="401"):
            requester.send_request(StreamSlice(partition={"course_id": number}, cursor_slice={}))


class TestBatches:
    """A batch of courses that cannot be read is requested in halves, down to the course that is at fault."""

    path = "course/v1/courses/enrollments"

    def serve(self, docebo: Platform, courses: int, at_fault: int, response: Response) -> None:
        docebo.serves(COURSES, *(course_record(number) for number in range(1, courses + 1)))
        self.response, self.at_fault = response, str(at_fault)
        batches: list[list[int]] = [[*range(1, courses + 1)]]
        for batch in batches:
            half = len(batch) // 2
            batches += [batch[:half], batch[half:]] if half else []
            good = page_with(*({"course_id": course, "user_id": 1} for course in batch)).build()
            keys = [str(course) for course in batch]
            docebo.responds(self.path, response if self.at_fault in keys else good, when={"course_id[]": keys})

    def requests(self, docebo: Platform) -> int:
        return sum(self.at_fault in query["course_id[]"] for query in docebo.queries_for(self.path))

    @pytest.mark.parametrize("at_fault", [1, 5, 8])
    @pytest.mark.parametrize(
        ("response", "failure_type", "requests"),
        [
            (error_response(403, "No"), "config_error", 4),
            (error_response(500, "No"), "transient_error", 3 * 3 + 9),
            (Response("<html>Gateway timeout</html>", 504), "transient_error", 3 * 3 + 9),
        ],
        ids=["403", "500", "504"],
    )
    def test_the_others_are_read(
        self, docebo: Platform, at_fault: int, response: Response, failure_type: str, requests: int
    ) -> None:
        self.serve(docebo, 8, at_fault, response)

        output = read("course_enrollments")

        others = {*range(1, 9)} - {at_fault}
        assert {record["course_id"] for record in output.records("course_enrollments")} == others
        assert output.is_incomplete("course_enrollments")
        ((failure, message),) = output.errors()
        assert failure.value == failure_type
        assert message.startswith(
            "Stream course_enrollments: 1 of 8 parents could not be read: GET /course/v1/courses/enrollments, page 1, "
            f"course_id {at_fault}. "
        )
        assert self.requests(docebo) == requests

    def test_a_course_that_was_deleted_meanwhile_is_skipped(self, docebo: Platform) -> None:
        self.serve(docebo, 8, 3, error_response(404, "No such course"))

        output = read("course_enrollments")

        assert len(output.records("course_enrollments")) == 7
        assert output.is_complete("course_enrollments")
        (warning,) = output.warnings()
        assert "course_id 3) Its parent is skipped." in warning

    def test_a_batch_that_fails_after_its_first_page_is_requested_in_halves_too(self, docebo: Platform) -> None:
        docebo.serves(COURSES, course_record(1), course_record(2))
        first = page_with({"course_id": 1, "user_id": 1}).page(1, of=2).build()
        docebo.responds(self.path, first, when={"course_id[]": ["1", "2"]})
        docebo.responds(self.path, error_response(500), when={"course_id[]": ["1", "2"], "page": "2"})
        for course in ("1", "2"):
            row = page_with({"course_id": course, "user_id": 1}).build()
            docebo.responds(self.path, row, when={"course_id[]": [course]})

        output = read("course_enrollments")

        assert {record["course_id"] for record in output.records("course_enrollments")} == {1, 2}
        assert output.is_complete("course_enrollments")
