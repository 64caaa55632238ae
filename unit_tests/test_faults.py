"""Faults: a passing one loses nothing; a lasting one fails its stream with the reason; other streams are read."""

import re
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from unit_tests.builders import ConfigBuilder, Platform, Response, error_response, page_with, read, token_response
from unit_tests.conftest import Time

USERS = "manage/v1/user"
BRANCHES = "manage/v1/orgchart"
GROUPS = "audiences/v1/audience"

PASSING = {
    "408": error_response(408),
    "500": error_response(500, "Oops"),
    "502 in HTML": Response("<html>Bad gateway</html>", 502, {"Content-Type": "text/html"}),
    "504": Response("", 504),
    "507": error_response(507, "Full"),
    "403 of a firewall": Response("<html>Blocked</html>", 403, {"Content-Type": "text/html"}),
    "404 of a gateway": Response({"error": "no route"}, 404),
    "a status page": Response("", 302, {"Location": "https://status.example.com/"}),
    "200 in HTML": Response("<html>Maintenance</html>", headers={"Content-Type": "text/html"}),
    "empty body": Response(""),
    "cut short": Response('{"data": {"items": [{"user_id": 1}, {"us'),
    "without a list": Response({"data": {"count": 0}}),
    "data is null": Response({"data": None}),
    "items are no objects": Response({"data": {"items": ["1"]}}),
    "success is false": Response({"success": False, "data": {"items": []}}),
    "an error in the body": Response({"name": "Error", "status": 500, "data": []}),
}


class TestPassingFaults:
    """A fault that passes is retried, and is never taken for an empty list."""

    @pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
    def test_on_a_page_and_on_a_child(self, docebo: Platform, fault: Response) -> None:
        docebo.serves_pages(USERS, page_with({"user_id": 1}).page(1, of=2))
        second = page_with({"user_id": 2}).page(2, of=2).build()
        docebo.responds(USERS, fault, fault, second, when={"page": "2"})
        docebo.serves(GROUPS, {"uuid": "a"})
        docebo.responds(f"{GROUPS}/a/users", fault, page_with({"user_id": 1}).build())

        output = read("users", "group_members")

        assert output.records("users") == [{"user_id": 1}, {"user_id": 2}]
        assert output.records("group_members") == [{"group_uuid": "a", "user_id": 1}]
        assert output.is_complete("users")
        assert output.is_complete("group_members")
        assert output.errors() == []

    def test_each_try_is_logged_and_waits_longer(self, docebo: Platform, clock: Time) -> None:
        docebo.responds(USERS, *[PASSING["500"]] * 3, page_with({"user_id": 1}).build())

        output = read("users")

        problem = "Stream users: Docebo is overloaded or restarting. (GET /manage/v1/user, page 1)"
        assert output.lines("Retrying") == [f"{problem} Retrying in {wait}.0 seconds." for wait in (1, 2, 4)]
        assert clock.slept == 1 + 2 + 4

    @pytest.mark.parametrize(("retry_after", "waited"), [("1200", 1200), ("1000000", 3600), ("-5", 1), ("soon", 1)])
    def test_a_maintenance_page_that_says_how_long_is_waited_for(
        self, docebo: Platform, clock: Time, retry_after: str, waited: int
    ) -> None:
        later = error_response(503, "Later", headers={"Retry-After": retry_after})
        docebo.responds(USERS, later, page_with({"user_id": 1}).build())

        output = read("users")

        assert output.is_complete("users")
        assert clock.slept == waited


class TestLastingFaults:
    """A fault that lasts fails one stream, with its name and the cause; the others are read to their end."""

    @pytest.mark.parametrize(
        ("fault", "problem"),
        [
            (PASSING["500"], "Docebo is overloaded or restarting."),
            (PASSING["507"], "Docebo returned status 507. Docebo says: Full"),
            (PASSING["200 in HTML"], "The response (24 bytes, text/html) holds no list of records."),
            (
                PASSING["403 of a firewall"],
                "Something in front of Docebo, such as a firewall, returned 403 (text/html)",
            ),
            (PASSING["a status page"], "acme.docebosaas.com did not respond: it redirects to status.example.com."),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_that_could_pass(self, docebo: Platform, fault: Response, problem: str) -> None:
        docebo.responds(USERS, fault)
        docebo.serves(BRANCHES, {"id": 1})

        output = read("users", "branches")

        ((failure_type, message),) = output.errors()
        assert failure_type.value == "transient_error"
        assert message.startswith(f"Stream users: {problem}")
        assert message.endswith(
            "(GET /manage/v1/user, page 1) Tried 9 times. Try again later; if it persists, contact Docebo support."
        )
        assert output.is_incomplete("users")
        assert len(docebo.requests_for(USERS)) == 9
        assert output.is_complete("branches")

    def test_docebos_own_words_are_shown_without_addresses_and_secrets(self, docebo: Platform) -> None:
        docebo.responds(USERS, error_response(400, "No ada@example.com,", "no the-client-secret"))

        ((failure_type, message),) = read("users").errors()

        assert failure_type.value == "system_error"
        assert message == (
            "Stream users: Docebo returned status 400. Docebo says: No *** no **** (GET /manage/v1/user, page 1)"
        )
        assert len(docebo.requests_for(USERS)) == 1

    @pytest.mark.parametrize(("status", "words"), [(403, "permission"), (404, "does not serve")])
    def test_that_need_a_person(self, docebo: Platform, status: int, words: str) -> None:
        docebo.responds(USERS, error_response(status, "No"))
        docebo.serves(BRANCHES, {"id": 1})

        output = read("users", "branches")

        ((failure_type, message),) = output.errors()
        assert failure_type.value == "config_error"
        assert "Stream users" in message
        assert words in message
        assert str(status) in message
        assert "deselect" in message
        assert output.is_incomplete("users")
        assert len(docebo.requests_for(USERS)) == 1
        assert output.is_complete("branches")

    def test_pages_before_it_are_emitted(self, docebo: Platform) -> None:
        docebo.serves_pages(USERS, page_with({"user_id": 1}).page(1, of=3))
        docebo.responds(USERS, error_response(403, "No"), when={"page": "2"})

        output = read("users")

        assert output.records("users") == [{"user_id": 1}]
        assert output.is_incomplete("users")

    def test_children_fail_with_their_parents(self, docebo: Platform) -> None:
        docebo.responds("learn/v1/courses", error_response(403, "No"))
        streams = ("courses", "course_enrollments", "course_learning_objects", "sessions")

        output = read(*streams)

        assert all(output.is_incomplete(stream) for stream in streams)
        assert all(failure_type.value == "config_error" for failure_type, _ in output.errors())
        assert set(docebo.paths_requested) == {"learn/v1/courses"}


class TestLimit:
    """429 is no failure: the sync waits for Retry-After, or retries at growing intervals."""

    def test_retry_after_in_seconds(self, docebo: Platform, clock: Time) -> None:
        limited = error_response(429, "Too many", headers={"Retry-After": "1800"})
        docebo.responds(USERS, limited, page_with({"user_id": 1}).build())

        output = read("users")

        assert output.records("users") == [{"user_id": 1}]
        assert output.is_complete("users")
        assert len(docebo.requests_for(USERS)) == 2
        assert clock.slept == 1800
        (line,) = output.lines("429")
        assert re.fullmatch(
            r"Docebo's limit of about 1,000 requests per hour and IP address is used up \(429\) for 0 seconds; "
            r"retrying in 1800 seconds, at \d\d:\d\d:\d\d UTC\.",
            line,
        )

    def test_retry_after_as_a_date(self, docebo: Platform, clock: Time) -> None:
        moment = format_datetime(datetime.now(timezone.utc) + timedelta(hours=1), usegmt=True)
        docebo.responds(USERS, error_response(429, headers={"Retry-After": moment}), page_with({"user_id": 1}).build())

        output = read("users")

        assert output.is_complete("users")
        assert len(docebo.requests_for(USERS)) == 2
        assert 3000 < clock.slept < 3700

    @pytest.mark.parametrize("retry_after", ["0", "Sat, 01 Jan 2000 00:00:00 GMT"])
    def test_retry_after_of_no_time_is_like_none(self, docebo: Platform, clock: Time, retry_after: str) -> None:
        limited = error_response(429, headers={"Retry-After": retry_after})
        docebo.responds(USERS, *[limited] * 5, page_with({"user_id": 1}).build())

        output = read("users")

        assert output.is_complete("users")
        assert clock.slept == 1 + 2 + 4 + 8 + 16

    def test_an_hour_without_retry_after(self, docebo: Platform, clock: Time) -> None:
        docebo.responds(USERS, *[error_response(429, "Too many")] * 40, page_with({"user_id": 1}).build())

        output = read("users")

        assert output.records("users") == [{"user_id": 1}]
        assert output.is_complete("users")
        assert 40 * 60 < clock.slept < 41 * 120
        assert output.errors() == []

    @pytest.mark.parametrize("expires_in", [3600, 1_000_000])
    def test_for_three_hours_fails(self, docebo: Platform, clock: Time, expires_in: int) -> None:
        """Also where the tokens that are renewed meanwhile are served."""
        docebo.issues(token_response(expires_in=expires_in))
        docebo.responds(USERS, *[error_response(429, "Too many")] * 300, page_with({"user_id": 1}).build())

        output = read("users")

        ((failure_type, message),) = output.errors()
        assert failure_type.value == "transient_error"
        assert message.startswith("Docebo has rate limited every request for 18")
        assert message.endswith(
            " minutes (429): its limit of about 1,000 requests per hour and IP address is used up. Sync less often, "
            "set calls_per_hour, or ask Docebo for a higher limit."
        )
        assert 3 * 3600 <= clock.slept < 3 * 3600 + 120
        assert output.is_incomplete("users")

    def test_others_follow_once_one_request_is_served(self, docebo: Platform, clock: Time) -> None:
        """While it is limited, one request is sent at a time."""
        docebo.serves(GROUPS, *({"uuid": str(number)} for number in range(20)))
        for number in range(20):
            limited = [error_response(429)] if number == 0 else []
            docebo.responds(f"{GROUPS}/{number}/users", *limited, page_with({"user_id": 1}).build())

        output = read("group_members")

        assert output.is_complete("group_members")
        assert len(output.records("group_members")) == 20
        assert clock.slept == 1


class TestCallsPerHour:
    """No hour sees more requests than `calls_per_hour`, those for tokens included; the wait is logged."""

    def test_the_request_after_the_last_waits(self, docebo: Platform, clock: Time) -> None:
        docebo.serves_pages(BRANCHES, *(page_with({"id": page}).page(page, of=3) for page in (1, 2, 3)))

        output = read("branches", config=ConfigBuilder().with_field("calls_per_hour", 3).build())

        assert len(output.records("branches")) == 3
        assert output.is_complete("branches")
        assert clock.slept == 3605
        (line,) = output.lines("calls_per_hour")
        assert re.fullmatch(
            r"The 3 requests per hour that calls_per_hour allows are used up\. Waiting 3605 seconds, until "
            r"\d\d:\d\d:\d\d UTC\.",
            line,
        )

    def test_nothing_waits_below_it(self, docebo: Platform, clock: Time) -> None:
        docebo.serves_pages(BRANCHES, *(page_with({"id": page}).page(page, of=3) for page in (1, 2, 3)))

        output = read("branches", config=ConfigBuilder().with_field("calls_per_hour", 4).build())

        assert output.is_complete("branches")
        assert clock.slept == 0
