"""The command `plan`: its estimates, its report, and what it says of a platform that rate limits or fails."""

import json
from pathlib import Path
from typing import Any

import pytest
import requests
import requests_mock

from source_docebo.plan import MAX_REQUESTS, Planner, _extent, main, plan
from source_docebo.plan_report import AT_LEAST, ESTIMATE, Count, StreamPlan, as_json, as_text
from source_docebo.responses import Page
from source_docebo.source import CHECK_SECONDS, SourceDocebo
from unit_tests.builders import PLATFORM, ConfigBuilder, Platform, Response, error_response, page_with, token_error
from unit_tests.conftest import Time
from unit_tests.declared import path_of


@pytest.fixture
def clock(clock: Time, monkeypatch: pytest.MonkeyPatch) -> Time:
    monkeypatch.setattr("source_docebo.plan.time", clock)
    return clock


def paths() -> list[str]:
    """The paths of all streams that are read without a parent."""
    streams = SourceDocebo(config=ConfigBuilder().build()).resolved_manifest["streams"]
    return [path_of(each) for each in streams if "partition_router" not in each["retriever"]]


def page(came: int, **words: Any) -> Page:
    return Page([{"id": number} for number in range(came)], **words)


class TestArguments:
    @pytest.mark.parametrize(
        ("args", "words"),
        [
            ([], "the following arguments are required: --config"),
            (["--config"], "argument --config: expected one argument"),
            (["--config", "missing.json"], "The file missing.json does not exist. Correct the path."),
            (["--config", "x.json", "--catalog", "y.json"], "unrecognized arguments: --catalog y.json"),
        ],
    )
    def test_what_is_wrong_is_one_line(self, args: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(args) == 1
        printed = capsys.readouterr()
        assert printed.out == ""
        (line,) = printed.err.splitlines()
        assert words in line

    def test_help(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["--help"]) == 0
        assert "at most 30 requests" in " ".join(capsys.readouterr().out.split())

    def test_credentials_that_docebo_rejects(
        self, docebo: Platform, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        docebo.issues(token_error("invalid_client", 401))
        config = tmp_path / "config.json"
        config.write_text(json.dumps(ConfigBuilder().build()), encoding="utf-8")
        assert main(["--config", str(config)]) == 1
        printed = capsys.readouterr()
        assert printed.out == "This sends at most 30 requests to Docebo.\n\n"
        (line,) = printed.err.splitlines()
        assert line.startswith("Signing in to Docebo failed. Docebo does not know this client_id")

    def test_json_is_all_that_is_printed(
        self, docebo: Platform, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for path in paths():
            docebo.serves(path)
        config = tmp_path / "config.json"
        config.write_text(json.dumps(ConfigBuilder().build()), encoding="utf-8")
        assert main(["--config", str(config), "--json"]) == 0
        assert set(json.loads(capsys.readouterr().out)) == {
            *("version", "airbyte_cdk", "python", "date", "streams", "total")
        }


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
        StreamPlan("courses", records=Count(2000), requests=Count(10), records_read=200),
        StreamPlan("sessions", records=Count(12345, ESTIMATE), requests=Count(1990, AT_LEAST)),
        StreamPlan("users", readable="no (403)", problem="Not allowed. " * 30),
    )

    def test_the_table(self) -> None:
        lines = as_text(list(self.PLANS), calls_per_hour=0).splitlines()
        assert lines[2:9] == [
            "Stream                    Readable  Records  Requests  Minutes at 1,000/h",
            "-------------------------------------------------------------------------",
            "courses                   yes         2,000        10                 0.6",
            "sessions                  yes       ~12,345    ≥1,990                ≥119",
            "users                     no (403)        -         -                   -",
            "-------------------------------------------------------------------------",
            "All, and an access token                       ≥2,001                ≥120",
        ]
        assert max(map(len, lines)) <= 120

    def test_minutes_at_the_configured_rate(self) -> None:
        text = as_text(list(self.PLANS), calls_per_hour=100)
        assert "Minutes at 1,000/h  Minutes at 100/h" in text
        assert "0.6               6.0" in text
        assert as_text(list(self.PLANS), calls_per_hour=1000).count("Minutes at") == 1

    def test_an_estimate_makes_the_total_one(self) -> None:
        plans = [StreamPlan(sign, requests=Count(1, sign)) for sign in ("", ESTIMATE, AT_LEAST)]
        assert json.loads(as_json(plans, 0))["total"]["requests"] == {"value": 4, "meaning": "estimate"}
        assert json.loads(as_json(plans[:1], 0))["total"]["requests"] == {"value": 2, "meaning": "exact"}

    def test_many_fields_stay_within_the_width(self) -> None:
        absent = {f"a_field_with_a_rather_long_name_{number}": "string" for number in range(40)}
        text = as_text([StreamPlan("users", absent=absent, records_read=3)], 0)
        assert max(map(len, text.splitlines())) <= 120
        assert all(name in text for name in absent)


class TestPlan:
    def test_a_rate_limit_is_reported_within_the_time_and_the_requests(
        self, docebo: Platform, clock: Time, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for path in paths():
            docebo.responds(path, error_response(429))
        assert plan(ConfigBuilder().build(), as_json=True) == 1
        streams = json.loads(capsys.readouterr().out)["streams"]
        assert {stream["readable"] for stream in streams} <= {"no (429)", "not tried"}
        assert any("is used up (429)" in (stream["problem"] or "") for stream in streams)
        assert clock.slept <= 3 * CHECK_SECONDS
        assert len(docebo.paths_requested) + len(docebo.token_forms()) <= MAX_REQUESTS

    def test_a_stream_that_fails_for_a_moment_is_tried_twice(
        self, docebo: Platform, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for path in paths():
            docebo.serves(path)
        docebo.responds("learn/v1/categories", error_response(503), page_with({"id": 1}).build())
        docebo.responds("learn/v1/certification", error_response(503))
        assert plan(ConfigBuilder().build(), as_json=True) == 0
        streams = {stream["stream"]: stream for stream in json.loads(capsys.readouterr().out)["streams"]}
        assert streams["categories"]["readable"] == "yes"
        assert streams["certifications"]["readable"] == "no"
        assert "overloaded" in streams["certifications"]["problem"]
        assert len(docebo.requests_for("learn/v1/certification")) == 2

    def test_a_host_that_does_not_respond_is_not_named(
        self, docebo: Platform, mocker: requests_mock.Mocker, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for path in paths():
            docebo.serves(path)
        mocker.get(f"{PLATFORM}/learn/v1/categories", exc=requests.ConnectTimeout)
        assert plan(ConfigBuilder().build(), as_json=False) == 0
        printed = capsys.readouterr()
        assert "categories: The platform did not respond" in printed.out
        assert "acme" not in printed.out + printed.err

    def test_an_error_of_the_connector_costs_one_stream_only(
        self, docebo: Platform, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for path in paths():
            docebo.serves(path)
        compare = Planner._compare

        def fail(self: Planner, found: StreamPlan, *records: Any) -> None:
            if found.name == "users":
                raise KeyError("somebody@example.com")
            compare(self, found, *records)

        monkeypatch.setattr(Planner, "_compare", fail)
        assert plan(ConfigBuilder().build(), as_json=False) == 0
        printed = capsys.readouterr().out
        assert "users: The connector has an error (KeyError). Please tell its authors." in printed
        assert "somebody" not in printed

    def test_a_field_may_be_defined_on_a_page_that_was_not_read(
        self, docebo: Platform, capsys: pytest.CaptureFixture[str]
    ) -> None:
        record = {"user_id": "1", "field_1": "x", "field_2": "y", "extra": True}
        for path in paths():
            docebo.serves(path)
        docebo.serves("manage/v1/user", record)
        found = {}
        for pages in (1, 2):
            definitions = page_with({"id": 1, "title": "Department"}).with_paging(
                total_page_count=pages, total_count=None
            )
            docebo.serves_pages("manage/v1/user_fields", definitions)
            plan(ConfigBuilder().build(), as_json=True)
            streams = {stream["stream"]: stream for stream in json.loads(capsys.readouterr().out)["streams"]}
            found[pages] = streams["users"]["fields_in_no_schema"]
        assert found == {1: {"extra": "boolean", "field_2": "string"}, 2: {"extra": "boolean"}}

    def test_docebos_own_words_are_left_out(self, docebo: Platform, capsys: pytest.CaptureFixture[str]) -> None:
        for path in paths():
            docebo.serves(path)
        words = {"name": "Error", "message": ["Zoe (GET /x) may not"], "status": 400}
        docebo.responds("manage/v1/user", Response(words, 400))
        plan(ConfigBuilder().build(), as_json=True)
        streams = {stream["stream"]: stream for stream in json.loads(capsys.readouterr().out)["streams"]}
        assert streams["users"]["readable"] == "no (400)"
        assert streams["users"]["problem"] == "Docebo returned status 400."
