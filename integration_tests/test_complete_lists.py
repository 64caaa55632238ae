"""
A list is complete by its own word: whatever a page says of itself, no stream ends COMPLETE with a record missing or
twice.
"""

import json
import os
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks import usage
from integration_tests.command import Connector
from integration_tests.comparison import assert_none_lost, assert_same
from integration_tests.reads import assert_complete, assert_error, list_warnings, read
from integration_tests.sandbox import STREAMS, Fault, Sandbox, Tenant, without_nulls

USERS = "manage/v1/user$"
BRANCHES = "manage/v1/orgchart$"
CATEGORIES = "learn/v1/categories$"
CERTIFICATIONS = "learn/v1/certification$"
EXTERNAL_TRAINING = "learn/v1/external_training$"
COURSE_ENROLLMENTS = "course/v1/courses/enrollments$"
MOST_MEGABYTES = 300
TRIES = 9
WORKERS = 8
PLAN_ENROLLMENTS = "learningplan/v1/learningplans/enrollments$"


@pytest.fixture(scope="module")
def tenant() -> Tenant:
    """Three pages in every list whose faults are tested here."""
    return Tenant(
        seed=61,
        users=437,
        branches=437,
        categories=437,
        certifications=437,
        external_trainings=437,
        learning_plans=40,
        courses=40,
        members_per_branch=0,
    )


class TestPagesThatAreRetried:
    def test_a_page_that_is_wrong_once_costs_one_more_request(self, hurried: Connector, tenant: Tenant) -> None:
        streams = ("branches", "categories", "certifications", "external_training", "users")
        with Sandbox(tenant) as sandbox:
            sandbox.add(Fault.cached_first_page(path=USERS, page=2, times=1))
            sandbox.add(Fault.cached_first_page(with_current_page=False, path=CATEGORIES, page=2, times=1))
            sandbox.add(Fault.nothing(path=CERTIFICATIONS, page=2, times=1))
            sandbox.add(Fault.says_zero(path=EXTERNAL_TRAINING, page=2, times=1))
            sandbox.add(Fault.says_zero(path=BRANCHES, page=3, times=1))
            output = read(hurried, sandbox, *streams)
        assert_complete(tenant, output, streams)
        assert len(sandbox.requests) == tenant.minimum_requests(streams) + 5


class TestSignalsThatContradictEachOther:
    def test_the_list_is_read_on_at_the_price_of_one_request(self, hurried: Connector, tenant: Tenant) -> None:
        streams = ("branches", "categories", "certifications", "external_training", "learning_plan_enrollments")
        with Sandbox(tenant) as sandbox:
            sandbox.add(Fault.says_last(path=BRANCHES, page=2))
            sandbox.add(Fault.page_count_rounded_down(path=CATEGORIES))
            sandbox.add(Fault.page_count_rounded_down(has_more_agrees=False, path=CERTIFICATIONS))
            sandbox.add(Fault.counts_on_first_page(path=EXTERNAL_TRAINING))
            sandbox.add(Fault.has_more_forever(path=PLAN_ENROLLMENTS))
            output = read(hurried, sandbox, *streams)
        assert_complete(tenant, output, streams)
        assert len(sandbox.requests) <= tenant.minimum_requests(streams) + len(streams)

    def test_a_server_that_sends_pages_of_its_own_size(self, hurried: Connector, tenant: Tenant) -> None:
        streams = ("branches", "categories", "external_training")
        with Sandbox(tenant) as sandbox:
            sandbox.add(Fault.page_size_ignored(path=BRANCHES))
            sandbox.add(Fault.page_size_ignored(with_page_size=False, path=CATEGORIES))
            sandbox.add(Fault.page_size_ignored(with_page_size=False, path=EXTERNAL_TRAINING))
            sandbox.add(Fault.counts_on_first_page(path=EXTERNAL_TRAINING))
            output = read(hurried, sandbox, *streams)
        assert_complete(tenant, output, streams)
        pages = -(-437 // 50)
        assert len(sandbox.requests) <= 1 + len(streams) * (pages + 1)


class TestWhatAListSaysOfItself:
    """It goes on while anything says that there is more, and ends where nothing is missing."""

    def test_counts_that_end_at_ten_thousand(self, hurried: Connector) -> None:
        tenant = Tenant(seed=67, categories=12_000)
        with Sandbox(tenant) as sandbox:
            sandbox.add(Fault.capped_counts(10_000, path=CATEGORIES))
            output = read(hurried, sandbox, "categories")
        assert_complete(tenant, output, ["categories"])
        assert len(sandbox.requests) == tenant.minimum_requests(["categories"])

    @pytest.mark.parametrize("size", [400, 437], ids=["full last page", "short last page"])
    @pytest.mark.parametrize("repeats", [False, True], ids=["empty pages follow", "the last page is repeated"])
    def test_has_more_data_after_the_last_page(self, hurried: Connector, size: int, repeats: bool) -> None:
        tenant = Tenant(seed=68, categories=size)
        with Sandbox(tenant) as sandbox:
            sandbox.add(Fault.has_more_forever(repeats=repeats, path=CATEGORIES))
            output = read(hurried, sandbox, "categories")
        assert {record["id"] for record in output.records()["categories"]} == set(range(1, size + 1))
        assert output.statuses() == {"categories": "COMPLETE"}
        assert not list_warnings(output, "categories")
        # A page that is not full is the last, since no record is missing.
        more = 1 + repeats if size == 400 else 0
        assert len(sandbox.requests) == tenant.minimum_requests(["categories"]) + more

    def test_empty_pages_without_end_and_without_counts(self, hurried: Connector, tenant: Tenant) -> None:
        with Sandbox(tenant) as sandbox:
            sandbox.add(Fault.has_more_forever(without_total=True, repeats=False, path=CATEGORIES))
            output = read(hurried, sandbox, "categories")
        assert_complete(tenant, output, ["categories"])
        assert len(sandbox.requests) == tenant.minimum_requests(["categories"]) + 1

    def test_a_total_that_is_too_high_by_a_few(self, hurried: Connector) -> None:
        """Rows are counted that this user may not see: the announced page is empty, and is believed the second time."""
        tenant = Tenant(seed=69, categories=400, certifications=437)
        streams = ("categories", "certifications")
        with Sandbox(tenant) as sandbox:
            sandbox.add(Fault.total_too_high(3, path=CATEGORIES))
            sandbox.add(Fault.total_too_high(3, path=CERTIFICATIONS))
            output = read(hurried, sandbox, *streams)
        assert_complete(tenant, output, streams)
        for stream in streams:
            (line,) = list_warnings(output, stream)
            assert "3" in re.findall(r"\d+", line)
        requests = sandbox.requests_by_stream()
        assert requests["categories"] == 2 + 2
        assert 3 <= requests["certifications"] <= 3 + 2

    def test_a_row_that_comes_twice_where_a_few_are_missing(self, hurried: Connector) -> None:
        """The list is read once more, and then is complete with a warning."""
        tenant = Tenant(seed=70, categories=437)
        with Sandbox(tenant) as sandbox:
            sandbox.add(Fault.total_too_high(3, path=CATEGORIES))
            sandbox.add(Fault.extra_items(tenant.wire("categories")[0], path=CATEGORIES, page=2))
            output = read(hurried, sandbox, "categories")
        assert output.code == 0, output.errors()
        assert {record["id"] for record in output.records()["categories"]} == set(range(1, 438))
        (line,) = list_warnings(output, "categories")
        assert "3" in re.findall(r"\d+", line)
        assert 6 <= sandbox.requests_by_stream()["categories"] <= 2 * (3 + 2)

    def test_a_total_that_is_too_high_by_more_than_a_page(self, hurried: Connector, tenant: Tenant) -> None:
        with Sandbox(tenant) as sandbox:
            sandbox.add(Fault.total_too_high(250, path=CATEGORIES))
            output = read(hurried, sandbox, "categories", "certifications")
        assert output.statuses() == {"categories": "INCOMPLETE", "certifications": "COMPLETE"}
        assert_error(output, "categories", "transient_error", "437", "687")
        assert sandbox.requests_by_stream()["categories"] <= 3 + 9 + 2

    def test_an_announced_page_that_is_empty_once(self, hurried: Connector, tenant: Tenant) -> None:
        """With less than a page missing, too: the last page has 37 rows."""
        with Sandbox(tenant) as sandbox:
            sandbox.add(Fault.empty_page(path=CATEGORIES, page=3, times=1))
            output = read(hurried, sandbox, "categories")
        assert_complete(tenant, output, ["categories"])
        assert len(sandbox.requests) == tenant.minimum_requests(["categories"]) + 1


class TestFaultsThatDoNotPass:
    """Once the retries are used up, each stream fails by itself."""

    def test_each_stream_fails_alone_as_a_transient_error(self, hurried: Connector, tenant: Tenant) -> None:
        failed = {
            "users": Fault.cached_first_page(path=USERS),
            "categories": Fault.cached_first_page(with_current_page=False, path=CATEGORIES),
            "certifications": Fault.nothing(path=CERTIFICATIONS, page=2),
            "external_training": Fault.pages_from_zero(path=EXTERNAL_TRAINING),
            "branches": Fault.says_zero(path=BRANCHES, page=2),
            "learning_plan_enrollments": Fault.has_more_forever(without_total=True, path=PLAN_ENROLLMENTS),
            "course_enrollments": Fault.endless_but_for_one_field("course_name", path=COURSE_ENROLLMENTS),
            "sessions": Fault.announces_pages(path="/sessions$"),
            "course_learning_objects": Fault.status(500, path="/los$"),
        }
        children = {"branch_members", "session_enrollments", "session_events"}
        with Sandbox(tenant) as sandbox:
            for fault in failed.values():
                sandbox.add(fault)
            output = read(hurried, sandbox, timeout=60)
        assert output.code == 1
        others = [stream for stream in STREAMS if stream not in {*failed, *children}]
        statuses = output.statuses()
        assert {stream for stream in STREAMS if statuses[stream] == "INCOMPLETE"} == {*failed, *children}
        assert_none_lost(tenant, output, others)
        for stream in failed:
            assert_error(output, stream, "transient_error")
        assert_error(output, "external_training", "transient_error", "437")
        requests = sandbox.requests_by_stream()
        for stream in ("branches", "categories", "certifications", "external_training", "users"):
            assert requests[stream] <= 3 * WORKERS, (stream, requests)
        # Ten parents that cannot be read are enough to know, beside those that are under way by then.
        for stream in ("course_learning_objects", "sessions"):
            tried = {request.path for request in sandbox.requests if request.stream == stream}
            assert len(tried) <= 10 + WORKERS
            assert requests[stream] <= (TRIES + WORKERS) * len(tried)


class TestLearningObjectsInPages:
    """They usually come whole. Where they do not, one signal is enough."""

    def test_each_signal_alone(self, hurried: Connector) -> None:
        tenant = Tenant(seed=62, courses=30, objects_per_course=30)
        with Sandbox(tenant) as sandbox:
            sandbox.add(Fault.in_pages(10, "has_more_data", path=r"/courses/\d*[0369]/los$"))
            sandbox.add(Fault.in_pages(10, "total_page_count", path=r"/courses/\d*[147]/los$"))
            sandbox.add(Fault.in_pages(10, "total_count", path=r"/courses/\d*[258]/los$"))
            output = read(hurried, sandbox, "course_learning_objects")
        assert_complete(tenant, output, ["course_learning_objects"])


class TestItems:
    def test_null_and_an_object_with_numeric_keys_are_lists(self, hurried: Connector) -> None:
        tenant = Tenant(seed=63, groups=40)
        members = [tenant.child("group_members", number).size for number in range(40)]
        assert 0 in members
        with Sandbox(tenant) as sandbox:
            sandbox.add(Fault.items_null(path="/audience/[^/]+/users$"))
            sandbox.add(Fault.items_as_object(path=CATEGORIES))
            sandbox.add(Fault.items_as_object(path="/los$"))
            output = read(hurried, sandbox, "group_members", "categories", "course_learning_objects")
        assert_complete(tenant, output, ["group_members", "categories", "course_learning_objects"])


class TestBodiesThatAreNearlyJson:
    """One character that no strict parser takes must not cost a stream, nor a record."""

    def test_each_is_read(self, hurried: Connector) -> None:
        tenant = Tenant(seed=65, branches=20, certifications=20)
        # stream: the fault, and which field of which record must hold what
        cases: dict[str, tuple[Fault, int, str, Any]] = {
            "certifications": (
                Fault.replaced_bytes(b'"Certificate 1"', rb'"Certificate \ud83d"', path=CERTIFICATIONS),
                1,
                "title",
                "Certificate \ufffd",
            ),
            "user_fields": (
                Fault.replaced_bytes(b'"Cost center"', b'"Cost\tcenter"', path="manage/v1/user_fields$"),
                1,
                "title",
                "Cost\tcenter",
            ),
            "branches": (
                Fault.replaced_bytes(b'"Europe"', b'"Europ\xff"', path=BRANCHES),
                1,
                "title",
                "Europ\ufffd",
            ),
            "course_fields": (
                Fault.byte_order_mark(path="learn/v1/courses/field$"),
                0,
                "type",
                "textfield",
            ),
        }
        with Sandbox(tenant) as sandbox:
            for fault, *_ in cases.values():
                sandbox.add(fault)
            output = read(hurried, sandbox, *cases)
        assert output.code == 0, output.errors()
        assert len(sandbox.requests) == tenant.minimum_requests(cases)
        for stream, (_, number, field, value) in cases.items():
            expected = tenant.emitted(stream)
            expected[number][field] = value
            assert_same(stream, [without_nulls(record) for record in expected], output.records()[stream])

    def test_what_is_cut_or_is_no_json_is_retried(self, hurried: Connector, tenant: Tenant) -> None:
        streams = ("branches", "categories", "certifications", "external_training")
        with Sandbox(tenant) as sandbox:
            sandbox.add(Fault.body(b'{"data": {"items": [{"id": 1}, {"id"', path=BRANCHES, page=2, times=1))
            sandbox.add(Fault.html_200(path=CATEGORIES, page=1, times=1))
            sandbox.add(Fault.body(b"\xef\xbb\xbf", path=CERTIFICATIONS, page=3, times=1))
            sandbox.add(Fault.body(b"NaN", path=EXTERNAL_TRAINING, page=2, times=1))
            output = read(hurried, sandbox, *streams)
        assert_complete(tenant, output, streams)
        assert len(sandbox.requests) == tenant.minimum_requests(streams) + len(streams)


def test_a_path_that_is_rate_limited_for_ever_does_not_hold_the_others(connector: Connector, tenant: Tenant) -> None:
    """The stream itself fails in the end, which a unit test with a fake clock proves."""
    others = {"categories", "certifications", "groups"}
    with Sandbox(tenant) as sandbox:
        sandbox.add(Fault.status(429, message="Too Many Requests", path=USERS))
        with connector.reading(sandbox.config("client_credentials"), ["users", *others], timeout=60) as process:
            assert process.stdout
            complete = set()
            for line in process.stdout:
                if b'"status":"COMPLETE"' in line:
                    complete |= {name for name in others if f'"name":"{name}"'.encode() in line}
                if complete == others:
                    break
    assert complete == others


def test_large_records_take_bounded_memory(connector: Connector, tmp_path: Path) -> None:
    """100 MB of descriptions, on pages that two streams need: neither is kept whole, nor read ahead without bound."""
    tenant = Tenant(seed=66, courses=1000, description_bytes=1_000_000)
    records: Counter[str] = Counter()
    report = tmp_path / "usage.json"
    measured = [sys.executable, "-S", usage.__file__, str(report), *connector.command]
    in_image = Connector(*measured, environment={**os.environ, "MALLOC_ARENA_MAX": "2"})  # as the image sets it
    with (
        Sandbox(tenant) as sandbox,
        in_image.reading(sandbox.config("client_credentials"), ["courses", "sessions"]) as process,
    ):
        assert process.stdout
        for line in process.stdout:
            match = re.match(rb'{"type":"RECORD","record":{"stream":"(\w+)"', line)
            records[match[1].decode() if match else ""] += 1
        assert process.wait() == 0
    assert {stream: records[stream] for stream in ("courses", "sessions")} == {
        stream: tenant.count([stream]) for stream in ("courses", "sessions")
    }
    used = json.loads(report.read_text(encoding="utf-8"))
    assert used["code"] == 0
    assert used["peak"] < MOST_MEGABYTES
