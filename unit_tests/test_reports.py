"""Report exports, directly: the names of columns, how long is waited between polls and in all, and rows."""

import csv
import io
import zipfile
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
import requests_mock

from source_docebo import reports
from source_docebo.errors import DoceboError
from source_docebo.source import SourceDocebo
from unit_tests.builders import PLATFORM, ConfigBuilder, Platform, Response
from unit_tests.conftest import Time

REPORT = "6a1f0c7e-4b1d-4c55-9a35-0d2f6a0b7c11"
PATH = f"analytics/v1/reports/{REPORT}"
Exported = Callable[..., reports.ReportExport]


class Exports:
    """The analytics service of a platform behind mocked HTTP."""

    def __init__(self, mocker: requests_mock.Mocker, docebo: Platform) -> None:
        self._mocker = mocker
        self._docebo = docebo
        docebo.responds(f"{PATH}/export/csv", Response({"data": {"executionId": "7"}}))
        self.serves_rows(["a", "b"])

    def has(self, *statuses: str) -> None:
        """The statuses of the export, one for each poll; the last one stays."""
        self._docebo.responds(f"{PATH}/exports/7", *(Response({"data": {"status": status}}) for status in statuses))

    def serves_rows(self, *rows: Sequence[str]) -> None:
        """The titles and rows of its CSV."""
        text, file = io.StringIO(newline=""), io.BytesIO()
        csv.writer(text).writerows(rows)
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("report.csv", text.getvalue())
        self._mocker.get(f"{PLATFORM}/{PATH}/exports/7/download", content=file.getvalue())

    def polls(self) -> int:
        """How often the status was requested."""
        return len(self._docebo.requests_for(f"{PATH}/exports/7"))


@pytest.fixture
def exports(mocker: requests_mock.Mocker, docebo: Platform) -> Exports:
    """The service, with a report without rows."""
    return Exports(mocker, docebo)


@pytest.fixture
def report(manifest_processed_once: None) -> Exported:
    """Builds the retriever of the stream of a report, for a command that may take so many seconds."""

    def build(seconds: float | None = None, **fields: Any) -> reports.ReportExport:
        config = {**ConfigBuilder().build(), "reports": [{"name": "x", "id": REPORT}], **fields}
        command = {"id": uuid4().hex, **({"seconds": seconds} if seconds else {})}
        source = SourceDocebo(config={**config, "__command": command})
        (stream,) = source._create_streams(source.dynamic_streams, source.dynamic_streams)
        found: reports.ReportExport = stream._stream_partition_generator._partition_factory._retriever  # type: ignore[attr-defined]
        return found

    return build


class TestColumns:
    @pytest.mark.parametrize(
        ("titles", "columns"),
        [
            (["Name", "E-mail (work)", " x "], ["Name", "E-mail (work)", " x "]),
            (["Name", "Name", "Name"], ["Name", "Name_2", "Name_3"]),
            (["Name", "Name_2", "Name"], ["Name", "Name_2", "Name_3"]),
            (["Name", "Name", "Name_2"], ["Name", "Name_2", "Name_2_2"]),
            (["Name", "NAME", "name"], ["Name", "NAME_2", "name_3"]),
            (["", " ", "column_1"], ["column_1", "column_2", "column_1_2"]),
            (["Straße", "STRASSE"], ["Straße", "STRASSE"]),
        ],
    )
    def test_are_the_titles_and_each_is_one(self, titles: list[str], columns: list[str]) -> None:
        assert reports.columns_of(titles) == columns


class TestPolls:
    @pytest.mark.parametrize(
        ("statuses", "seconds"),
        [
            (["SUCCEEDED"], 2),
            (["RUNNING", "SUCCEEDED"], 6),
            (["RUNNING"] * 5 + ["SUCCEEDED"], 122),
            (["NEW"] * 7 + ["SUCCEEDED"], 242),
        ],
    )
    def test_wait_longer_each_time(
        self, exports: Exports, report: Exported, clock: Time, statuses: list[str], seconds: float
    ) -> None:
        exports.has(*statuses)
        report().export()
        assert clock.slept == seconds
        assert exports.polls() == len(statuses)

    def test_end_after_two_hours(self, exports: Exports, report: Exported, clock: Time) -> None:
        exports.has("QUEUED")
        with pytest.raises(DoceboError, match=r"not ended after two hours \(status: QUEUED\)") as raised:
            report().export()
        assert raised.value.failure_type.value == "transient_error"
        assert 7200 - 60 < clock.slept <= 7200
        assert exports.polls() == 5 + (7200 - 62) // 60

    def test_a_second_export_has_two_hours_of_its_own(self, exports: Exports, report: Exported, clock: Time) -> None:
        exports.has(*["RUNNING"] * 90, "FAILED", *["RUNNING"] * 90, "SUCCEEDED")
        report().export()
        assert clock.slept > 7200

    def test_discover_does_not_wait_beyond_its_time(self, exports: Exports, report: Exported, clock: Time) -> None:
        exports.has("RUNNING")
        with pytest.raises(DoceboError, match=r"takes longer than discover may \(status: RUNNING\)"):
            report(seconds=300).export()
        assert clock.slept == 2 + 4 + 8 + 16 + 32 + 4 * 60 - 60

    def test_the_hourly_budget_counts_them(self, exports: Exports, report: Exported, clock: Time) -> None:
        exports.has("RUNNING", "SUCCEEDED")
        report(calls_per_hour=3).export()  # token, start, poll; an hour later poll and download
        assert 3600 < clock.slept < 3700


class TestRows:
    def test_as_many_as_docebo_exports_fail_the_stream(
        self, exports: Exports, report: Exported, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reports, "MAX_ROWS", 3)
        exports.has("SUCCEEDED")
        for count in (2, 4):
            exports.serves_rows(["a"], *[["1"]] * count)
            assert len(list(report().export()[1])) == count
        exports.serves_rows(["a"], *[["1"]] * 3)
        columns, rows = report().export()
        assert [next(rows) for _ in range(3)] == [["1"]] * 3
        with pytest.raises(DoceboError, match="ends after 3 rows: Docebo leaves out the rest") as raised:
            next(rows)
        assert raised.value.failure_type.value == "config_error"

    def test_the_limit_is_the_vendors(self) -> None:
        assert reports.MAX_ROWS == 2_000_000

    def test_a_long_text_is_read(self, exports: Exports, report: Exported) -> None:
        exports.has("SUCCEEDED")
        exports.serves_rows(["a", "b"], ["x" * 5_000_000, "1"])
        ((text, _),) = report().export()[1]
        assert len(text) == 5_000_000

    def test_a_full_disk_is_not_blamed_on_docebo(
        self, exports: Exports, report: Exported, monkeypatch: pytest.MonkeyPatch, clock: Time
    ) -> None:
        exports.has("SUCCEEDED")
        monkeypatch.setattr(reports, "TemporaryFile", partial(open, "/dev/full", "wb", buffering=0))
        with pytest.raises(DoceboError, match="No temporary file: No space left") as raised:
            report().export()
        assert raised.value.failure_type.value == "transient_error"
        assert clock.slept == 2

    def test_a_zip_with_two_files_is_none(
        self, exports: Exports, report: Exported, mocker: requests_mock.Mocker
    ) -> None:
        exports.has("SUCCEEDED")
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("a.csv", "a\n1\n")
            archive.writestr("b.csv", "a\n2\n")
        mocker.get(f"{PLATFORM}/{PATH}/exports/7/download", content=file.getvalue())
        with pytest.raises(DoceboError, match="no complete ZIP with one file"):
            report().export()
