"""The reports of a sandbox tenant, and the exports of them: what the analytics service of a platform serves."""

import csv
import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from tempfile import TemporaryFile
from typing import IO, Any
from uuid import NAMESPACE_URL, uuid5

from aiohttp import web

# All that an export may be before it has ended, in this order, and one that nobody knows.
WORKING = (
    "INITIALIZING",
    "QUEUED",
    "RUNNING",
    "QUERY_CHECKED",
    "QUERY_COMPLETED",
    "EXPORT_CSV_STARTED",
    "EXPORT_CSV_CHECKED",
    "EXPORT_CSV_COMPLETED",
    "EXPORT_CSV_CONTENT_CHECKED",
    "CONVERTING",
    "EXPORT_CONVERTED",
    "EXPORT_CONVERSION_SKIPPED",
    "COMPRESSING",
    "COMPRESSED",
    "COMPRESSION_SKIPPED",
    "A_STATUS_OF_TOMORROW",
)
BLOCK_ROWS = 1000


@dataclass
class Report:
    """
    A report of the platform's.

    title: in the platform. header: the titles of its columns. rows: their texts; or a number of rows, which are made.
    statuses: of one export after the other, one for each poll; the last one stays, and the last list, too. file: what
    the download is instead of a ZIP with these rows. visible: whether the user of the sandbox may see it.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]] | int = ()
    statuses: Sequence[Sequence[str]] = (("RUNNING", "SUCCEEDED"),)
    kind: str = "users_courses"
    file: bytes | None = None
    visible: bool = True
    polls: list[int] = field(default_factory=list)  # of each export that was started
    _packed: IO[bytes] | None = None

    @property
    def id(self) -> str:
        """Its UUID, the same for the same title."""
        return str(uuid5(NAMESPACE_URL, self.title))

    @property
    def name(self) -> str:
        """Its name in the configuration: the words of its title."""
        return re.sub(r"\W+", "_", self.title.lower())

    @property
    def stream(self) -> str:
        """The name of its stream."""
        return f"report_{self.name}"

    def status(self, execution: int) -> str:
        """The status of an export at the next poll."""
        statuses = self.statuses[min(execution, len(self.statuses) - 1)]
        self.polls[execution] += 1
        return statuses[min(self.polls[execution], len(statuses)) - 1]

    def packed(self) -> IO[bytes]:
        """The ZIP with the CSV, at its beginning."""
        if self._packed is None:
            self._packed = TemporaryFile()  # noqa: SIM115 - kept as long as the report
            if self.file is None:
                name = f"{self.title}.csv"
                with (
                    zipfile.ZipFile(self._packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
                    archive.open(name, "w", force_zip64=True) as target,
                ):
                    target.writelines(self._csv())
            else:
                self._packed.write(self.file)
        self._packed.seek(0)
        return self._packed

    def _csv(self) -> Iterator[bytes]:
        """The CSV, with a byte order mark and quotes around every text, in blocks of rows."""
        yield b"\xef\xbb\xbf" + _lines([self.header])
        if not isinstance(self.rows, int):
            yield _lines(self.rows)
            return
        block = [made_row(number, len(self.header)) for number in range(BLOCK_ROWS)]
        for first in range(0, self.rows, BLOCK_ROWS):
            yield _lines([[str(first + i), *row[1:]] for i, row in enumerate(block[: self.rows - first])])


def made_row(number: int, columns: int) -> list[str]:
    """A row: its number, then texts such as reports hold, about 15 characters each."""
    texts = (f"user.{number:06}", "Safety, basics", "2024-05-01 08:30:00", "completed", f"{number % 100}.5", "")
    return [str(number), *(texts[(number + column) % len(texts)] for column in range(1, columns))]


def certifications() -> Report:
    """A report with all that a CSV may hold; `CERTIFICATIONS` is what is to be emitted."""
    return Report(
        "Certifications held",
        ["Username", "Certification", "", "Username", "Expires on", "username"],
        [
            ["anna", "First aid, level 1", "x", "Anna", "2025-01-31", "A"],
            ["bert", 'The "large" one\r\nand a second line', "", "Bert", "", "B"],
            ["çelik", "安全培训 🚀", "null", "Çelik", "0000-00-00", "1e5"],
        ],
        kind="users_certifications",
    )


_COLUMNS = ("Username", "Certification", "column_3", "Username_2", "Expires on", "username_3")
CERTIFICATIONS = [dict(zip(_COLUMNS, row, strict=True)) for row in certifications().rows]  # type: ignore[union-attr]


class Reports:
    """The analytics service, for one user."""

    def __init__(self, *reports: Report) -> None:
        self._reports = {report.id: report for report in reports}

    def configuration(self) -> dict[str, Any]:
        """The part of the connector's configuration with all of them; nothing if there are none."""
        reports = [{"name": each.name, "id": each.id} for each in self._reports.values()]
        return {"reports": reports} if reports else {}

    def stream_of(self, path: str) -> str:
        """The stream that requests a path; `reports` for the list of them."""
        report = self._reports.get(path.split("/")[4]) if path.count("/") > 3 else None
        return report.stream if report else "reports"

    def file(self, path: str) -> bytes:
        """What a path for a download sends."""
        return self._reports[path.split("/")[-4]].packed().read()

    async def respond(self, request: web.Request, path: str) -> web.StreamResponse:
        """The response to a request below `analytics/v1/reports`, which has a valid token."""
        _, _, _, _, *parts = path.split("/")
        visible = {key: report for key, report in self._reports.items() if report.visible}
        if not parts:
            listed = [{"idReport": each.id, "name": each.title, "type": each.kind} for each in visible.values()]
            return web.json_response({"success": True, "data": listed[: int(request.query.get("count", 10))]})
        report = visible.get(parts[0])
        if report is None:
            return web.Response(status=404, text="Report not found!")
        if parts[1:] == ["export", "csv"]:
            report.polls.append(0)
            return web.json_response({"success": True, "data": {"executionId": f"execution-{len(report.polls) - 1}"}})
        if len(parts) < 3 or parts[1] != "exports" or not parts[2].removeprefix("execution-").isdecimal():
            return web.json_response({"success": False, "error": "Bad request", "errorCode": 1000}, status=400)
        execution = int(parts[2].removeprefix("execution-"))
        if len(parts) == 3:
            data = {"status": report.status(execution), "dateStart": "2024-05-01 08:30:00", "type": "csv"}
            return web.json_response({"success": True, "data": data})
        response = web.StreamResponse(headers={"Content-Type": "application/zip"})  # in chunks, of no announced length
        await response.prepare(request)
        source = report.packed()
        while piece := source.read(1 << 18):
            await response.write(piece)
        return response


def _lines(rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(rows)
    return text.getvalue().encode()
