"""Reports as streams: their columns and rows by value, what they cost, and what fails them, through the command."""

import io
import os
import re
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from integration_tests.command import Connector, Output, catalog, configured, files
from integration_tests.reads import assert_messages_documented, assert_nothing_private
from integration_tests.sandbox import MANIFEST_STREAMS, Fault, Report, Sandbox, Tenant
from integration_tests.sandbox.reports import CERTIFICATIONS, WORKING, certifications, made_row

START, POLL, DOWNLOAD = "export/csv$", "exports/[^/]+$", "/download$"
STREAM = "report_certifications_held"
FIELDS = {STREAM: list(CERTIFICATIONS[0])}


@contextmanager
def platform(*reports: Report, **options: Any) -> Iterator[Sandbox]:
    with Sandbox(Tenant(seed=301), reports=reports or [certifications()], **options) as sandbox:
        yield sandbox


def selected(fields: dict[str, list[str]], *others: str) -> dict[str, Any]:
    """A configured catalog: streams with these columns, and other streams."""
    found = catalog([*fields, *others])
    for entry in found["streams"]:
        names = fields.get(entry["stream"]["name"], [])
        entry["stream"]["json_schema"] = {"properties": {name: {"type": ["null", "string"]} for name in names}}
    return found


def read(
    connector: Connector, sandbox: Sandbox, fields: dict[str, list[str]] = FIELDS, others: Sequence[str] = ()
) -> Output:
    """A read of reports with these columns, and of other streams."""
    output = connector.read(sandbox.config("client_credentials"), selected(fields, *others))
    assert_nothing_private(sandbox, output)
    assert_messages_documented(output)
    return output


def assert_read(output: Output, records: list[dict[str, str]], stream: str = STREAM) -> None:
    assert output.code == 0, output.errors()
    assert output.statuses()[stream] == "COMPLETE"
    assert output.records()[stream] == records


def assert_failed(output: Output, failure_type: str, *words: str) -> None:
    """The report failed, once, with these words; the other stream is complete."""
    assert output.code == 1
    assert output.statuses() == {STREAM: "INCOMPLETE", "categories": "COMPLETE"}
    assert len(output.records()["categories"]) == Tenant(seed=301).count(["categories"])
    (error,) = [error for error in output.errors() if (error.get("stream_descriptor") or {}).get("name") == STREAM]
    assert error["failure_type"] == failure_type
    assert error["message"].startswith(f"Stream {STREAM}: ")
    for text in words:
        assert text in error["message"]


def paths(sandbox: Sandbox) -> list[str]:
    """The requests for reports: start, poll or download."""
    names = {START: "start", POLL: "poll", DOWNLOAD: "download"}
    found = [request.path for request in sandbox.requests if "/analytics/" in request.path]
    return [next(name for pattern, name in names.items() if re.search(pattern, path)) for path in found]


def zipped(text: str, name: str = "report.csv", encoding: str = "utf-8") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, text.encode(encoding))
    return file.getvalue()


def serving(file: bytes) -> Report:
    """The report, with this file in place of its rows."""
    report = certifications()
    report.file = file
    return report


class TestColumns:
    def test_discover_exports_each_report_once(self, hurried: Connector) -> None:
        empty = Report("Attendance by event", ["Event", "Date", "Attended"])
        with platform(certifications(), empty) as sandbox:
            output = hurried.discover(sandbox.config("client_credentials"))
            assert paths(sandbox) == ["start", "poll", "poll", "download"] * 2
        assert output.code == 0, output.errors()
        found = {stream["name"]: stream for stream in output.catalog()}
        assert sorted(found) == sorted([*MANIFEST_STREAMS, STREAM, "report_attendance_by_event"])
        text = {"type": ["string", "null"]}
        assert found[STREAM]["json_schema"]["properties"] == dict.fromkeys(CERTIFICATIONS[0], text)
        assert list(found[STREAM]["json_schema"]["properties"]) == list(CERTIFICATIONS[0])
        assert list(found["report_attendance_by_event"]["json_schema"]["properties"]) == ["Event", "Date", "Attended"]
        assert found[STREAM]["supported_sync_modes"] == ["full_refresh"]
        assert "source_defined_primary_key" not in found[STREAM]

    def test_without_reports_nothing_is_requested(self, hurried: Connector) -> None:
        with platform() as sandbox:
            config = {**sandbox.config("client_credentials"), "reports": []}
            output = hurried.discover(config)
            assert paths(sandbox) == []
        assert sorted(stream["name"] for stream in output.catalog()) == list(MANIFEST_STREAMS)

    def test_a_catalog_of_discover_is_read_without_a_warning(self, hurried: Connector) -> None:
        with platform() as sandbox:
            config = sandbox.config("client_credentials")
            found = [stream for stream in hurried.discover(config).catalog() if stream["name"] == STREAM]
            sandbox.requests.clear()
            output = hurried.read(config, configured(found))
            assert paths(sandbox) == ["start", "poll", "poll", "download"]
        assert_read(output, CERTIFICATIONS)
        assert not [line for line in output.logs() if line.startswith("WARN")]

    def test_new_columns_pass_with_one_warning(self, hurried: Connector) -> None:
        with platform() as sandbox:
            output = read(hurried, sandbox, {STREAM: ["Username", "Certification", "column_3", "Username_2", "gone"]})
        assert_read(output, CERTIFICATIONS)
        (warning,) = [line for line in output.logs() if line.startswith("WARN")]
        assert "drop Expires on, username_3, since the schema of the connection lacks them" in warning
        assert "Refresh the schema" in warning

    def test_a_report_that_does_not_exist_fails_discover(self, hurried: Connector) -> None:
        report = certifications()
        report.visible = False
        with platform(report) as sandbox:
            output = hurried.discover(sandbox.config("client_credentials"))
        assert output.code == 1
        (error,) = output.errors()
        assert error["failure_type"] == "config_error"
        assert error["message"].startswith(f"Stream {STREAM}: There is no such report")


class TestRows:
    def test_each_row_by_value(self, hurried: Connector) -> None:
        with platform() as sandbox:
            output = read(hurried, sandbox)
            assert sandbox.requests_by_stream() == {"token": 1, STREAM: 4}
        assert_read(output, CERTIFICATIONS)

    def test_without_rows(self, hurried: Connector) -> None:
        report = Report("Attendance by event", ["Event", "Date"])
        with platform(report) as sandbox:
            output = read(hurried, sandbox, {report.stream: ["Event", "Date"]})
        assert_read(output, [], report.stream)

    def test_blank_lines_and_other_quotes(self, hurried: Connector) -> None:
        with platform(serving(zipped('a,b\n1,\n\n"2 ""x""",3\n\n'))) as sandbox:
            output = read(hurried, sandbox, {STREAM: ["a", "b"]})
        assert_read(output, [{"a": "1", "b": ""}, {"a": '2 "x"', "b": "3"}])

    def test_many(self, hurried: Connector) -> None:
        report = Report("Many", [f"c{number}" for number in range(20)], 30_000)
        with platform(report) as sandbox:
            output = read(hurried, sandbox, {report.stream: list(report.header)})
            assert len(paths(sandbox)) == 4
        rows = output.records()[report.stream]
        assert [row["c0"] for row in rows] == [str(number) for number in range(30_000)]
        assert list(rows[123].values()) == made_row(123, 20)


class TestPolls:
    def test_every_status_but_two_means_not_yet(self, hurried: Connector) -> None:
        report = certifications()
        report.statuses = [[*WORKING, "SUCCEEDED"]]
        with platform(report) as sandbox:
            output = read(hurried, sandbox)
            assert paths(sandbox) == ["start", *["poll"] * (len(WORKING) + 1), "download"]
        assert_read(output, CERTIFICATIONS)
        lines = [line for line in output.logs() if "has not ended" in line]
        assert [re.sub(r".*status: (\w+)\).*", r"\1", line) for line in lines] == list(WORKING)
        pauses = [re.sub(r".* in (\d+) seconds.*", r"\1", line) for line in lines]
        assert pauses == ["4", "8", "16", "32", *["60"] * (len(WORKING) - 4)]

    def test_really_wait(self, connector: Connector) -> None:
        with platform() as sandbox:
            assert_read(read(connector, sandbox), CERTIFICATIONS)
            times = [request.at for request in sandbox.requests if request.stream == STREAM]
        assert [round(later - earlier) for earlier, later in zip(times[:-1], times[1:], strict=True)][:2] == [2, 4]

    def test_one_export_at_a_time(self, hurried: Connector) -> None:
        others = [Report(f"Number {number}", ["a"], [["1"]]) for number in range(9)]  # more than there are workers
        fields = {report.stream: ["a"] for report in others}
        with platform(*others) as sandbox:
            output = read(hurried, sandbox, fields, ["categories"])
            assert paths(sandbox) == ["start", "poll", "poll", "download"] * 9
        assert set(output.statuses().values()) == {"COMPLETE"}
        assert all(output.records()[report.stream] == [{"a": "1"}] for report in others)

    def test_other_streams_do_not_wait_for_exports(self, connector: Connector) -> None:
        reports = [Report(f"Number {number}", ["a"], [["1"]]) for number in range(2)]
        with platform(*reports) as sandbox:
            config = {**sandbox.config("client_credentials"), "num_workers": 2}
            output = connector.read(config, selected({report.stream: ["a"] for report in reports}, "course_details"))
            first = min(request.at for request in sandbox.requests if request.stream == "course_details")
            assert first < max(request.at for request in sandbox.requests if request.path.endswith("download"))
        assert set(output.statuses().values()) == {"COMPLETE"}

    def test_a_failed_export_is_started_again_once(self, hurried: Connector) -> None:
        report = certifications()
        report.statuses = [["RUNNING", "FAILED"], ["SUCCEEDED"]]
        with platform(report) as sandbox:
            output = read(hurried, sandbox)
            assert paths(sandbox) == ["start", "poll", "poll", "start", "poll", "download"]
        assert_read(output, CERTIFICATIONS)

    def test_one_that_always_fails(self, hurried: Connector) -> None:
        report = certifications()
        report.statuses = [["FAILED"]]
        with platform(report) as sandbox:
            output = read(hurried, sandbox, FIELDS, ["categories"])
            assert paths(sandbox) == ["start", "poll"] * 2
        assert_failed(output, "transient_error", "failed twice", "Export it in Docebo")


class TestFaults:
    @pytest.mark.parametrize(
        ("path", "fault"),
        [
            (DOWNLOAD, Fault.cut_body),
            (DOWNLOAD, Fault.reset),
            (DOWNLOAD, Fault.html_200),
            (DOWNLOAD, lambda **where: Fault.body(zipped("a,b\n1,2\n")[:-30], "application/zip", **where)),
            (DOWNLOAD, lambda **where: Fault.body(zipped("a,b\n1,2\n").replace(b"1,2", b"1,3"), **where)),
            (START, Fault.html_200),
            (START, lambda **where: Fault.status(502, html=True, **where)),
            (POLL, Fault.empty_body),
            (POLL, lambda **where: Fault.status(429, **where)),
        ],
        ids=["cut", "reset", "page", "half a ZIP", "wrong checksum", "start: page", "502", "nothing", "429"],
    )
    def test_those_that_pass_are_retried(self, hurried: Connector, path: str, fault: Callable[..., Fault]) -> None:
        with platform() as sandbox:
            sandbox.add(fault(path=path, times=2))
            output = read(hurried, sandbox)
            assert len(paths(sandbox)) == 6
        assert_read(output, CERTIFICATIONS)

    def test_the_errors_of_analytics_are_retried_and_refusals_are_not(self, hurried: Connector) -> None:
        failure = b'{"success": false, "error": "Generic error. See the logs", "errorCode": 1000}'
        with platform() as sandbox:
            sandbox.add(Fault.body(failure, code=500, path=POLL, times=3))
            assert_read(read(hurried, sandbox), CERTIFICATIONS)
            sandbox.add(Fault.body(failure, code=400, path=START))
            sandbox.requests.clear()
            assert_failed(read(hurried, sandbox, FIELDS, ["categories"]), "system_error", "400", "Generic error")
            assert paths(sandbox) == ["start"]

    def test_a_report_that_is_not_there(self, hurried: Connector) -> None:
        report = certifications()
        report.visible = False
        with platform(report) as sandbox:
            output = read(hurried, sandbox, FIELDS, ["categories"])
            assert paths(sandbox) == ["start"]
        assert_failed(output, "config_error", "no such report", "(404)", report.id)

    def test_without_the_right(self, hurried: Connector) -> None:
        with platform() as sandbox:
            sandbox.add(Fault.status(403, path=START))
            output = read(hurried, sandbox, FIELDS, ["categories"])
            assert paths(sandbox) == ["start"]
        assert_failed(output, "config_error", "(403)", "permission to view reports")

    def test_a_firewall_is_no_missing_right(self, hurried: Connector) -> None:
        with platform() as sandbox:
            sandbox.add(Fault.firewall(path=START, times=2))
            sandbox.add(Fault.not_found_page(path=POLL, times=2))
            assert_read(read(hurried, sandbox), CERTIFICATIONS)

    def test_a_token_that_expires_meanwhile(self, hurried: Connector) -> None:
        with platform(revoke_every=3) as sandbox:
            assert_read(read(hurried, sandbox), CERTIFICATIONS)
            assert sandbox.tokens_issued == 2

    @pytest.mark.parametrize(
        "file",
        [b"<html>", b"", zipped("a,b\n1,2\n" * 100)[:-30]],
        ids=["page", "nothing", "half a ZIP"],
    )
    def test_never_a_zip(self, hurried: Connector, file: bytes) -> None:
        with platform(serving(file)) as sandbox:
            output = read(hurried, sandbox, FIELDS, ["categories"])
            assert paths(sandbox).count("download") == 9
        assert_failed(output, "transient_error", "no complete ZIP", "Tried 9 times")

    @pytest.mark.parametrize(
        ("text", "encoding", "words"),
        [
            ("a,b\n1,2\n3\n", "utf-8", "line 3: 1 values under 2 titles"),
            ("a,b\n1,2\n3,4,5\n", "utf-8", "line 3: 3 values under 2 titles"),
            ('a,b\n1,"2\n3,4\n', "utf-8", "line 3: unexpected end of data"),
            ('a,b\n1,"2" x\n', "utf-8", "line 2: ',' expected"),
            ("ä,b\n1,2\n", "latin-1", "line 0: 'utf-8' codec"),
            ("", "utf-8", "line 0: no titles"),
        ],
        ids=["a row too short", "a row too long", "a quote without end", "text behind quotes", "Latin-1", "empty"],
    )
    def test_no_csv(self, hurried: Connector, text: str, encoding: str, words: str) -> None:
        with platform(serving(zipped(text, encoding=encoding))) as sandbox:
            output = read(hurried, sandbox, FIELDS, ["categories"])
        assert_failed(output, "system_error", words)


class TestConfiguration:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"id": "6a1f0c7e"}, "the field reports.0.id is not valid (pattern: a UUID"),
            ({"name": "First Aid"}, "the field reports.0.name is not valid (pattern: lower-case letters"),
            ({"name": ""}, "the field reports.0.name is not valid"),
            ({"name": "twice"}, "two of the reports have the name twice"),
        ],
    )
    def test_what_is_wrong_is_named(self, hurried: Connector, change: dict[str, str], message: str) -> None:
        with platform() as sandbox:
            config = sandbox.config("client_credentials")
            second = {"name": "twice", "id": certifications().id}
            config["reports"] = [{**config["reports"][0], **change}, second]
            output = hurried.check(config)
            assert not sandbox.requests
        status = output.connection_status()
        assert status["status"] == "FAILED"
        assert message in status["message"]

    def test_a_stream_of_a_report_that_was_removed_is_an_error(self, hurried: Connector) -> None:
        with platform() as sandbox:
            config = {**sandbox.config("client_credentials"), "reports": []}
            output = hurried.read(config, selected(FIELDS, "categories"))
        assert output.code == 1
        assert "do not exist: report_certifications_held" in output.errors()[-1]["message"]
        assert output.statuses()["categories"] == "COMPLETE"


class TestPlan:
    def plan(self, connector: Connector, sandbox: Sandbox) -> str:
        with files(config=sandbox.config("client_credentials")) as directory:
            output = connector.run("plan", "--config", f"{directory}/config.json")
        assert output.code == 0, output.stderr
        assert len([request for request in sandbox.requests if request.stream == "reports"]) == 1
        return " ".join(output.text.partition("Reports that this user sees")[2].split())

    def test_lists_the_reports_with_their_ids(self, hurried: Connector) -> None:
        hidden = Report("Hidden", ["a"], visible=False)
        with platform(certifications(), hidden) as sandbox:
            section = self.plan(hurried, sandbox)
        assert section.split(": ")[:2] == [certifications().id, "Certifications held (users_certifications) " + STREAM]
        assert f"{STREAM}: can be read" in section
        assert f"report_hidden: the user sees no report {hidden.id}. Compare it with this list, " in section

    def test_says_so_where_there_are_none(self, hurried: Connector) -> None:
        with Sandbox(Tenant(seed=302)) as sandbox:
            assert self.plan(hurried, sandbox) == "none"

    def test_without_the_right(self, hurried: Connector) -> None:
        with platform() as sandbox:
            sandbox.add(Fault.status(403, path="analytics/v1/reports$"))
            assert self.plan(hurried, sandbox) == "They cannot be listed (403)."


def test_the_manifest_alone_reads_reports_with_one_export(tmp_path: Path) -> None:
    command = Connector(
        str(Path(sys.executable).parent / "source-declarative-manifest"),
        environment={
            **os.environ,
            "AIRBYTE_ENABLE_UNSAFE_CODE": "true",
            "PYTHONPATH": str(Path(__file__).parent.parent),
        },
    )
    manifest = Path(__file__).parent.parent / "manifest.yaml"
    with platform() as sandbox:
        config = sandbox.config("client_credentials")
        output = command.read(config, selected(FIELDS), "--manifest-path", str(manifest))
        assert paths(sandbox) == ["start", "poll", "poll", "download"]
    assert output.code == 0, output.stderr
    assert output.records()[STREAM] == CERTIFICATIONS
