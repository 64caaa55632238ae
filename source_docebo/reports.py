"""Report exports: start, poll, download, rows."""

import csv
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import TextIOWrapper
from tempfile import TemporaryFile
from threading import Lock
from typing import IO, Any

import requests
from airbyte_cdk.sources.declarative.retrievers.retriever import Retriever
from airbyte_cdk.sources.declarative.schema import SchemaLoader

from source_docebo.client import TRY_LATER, RetryError
from source_docebo.errors import DoceboError, config_error, logger, transient_error
from source_docebo.records import UNDECLARED
from source_docebo.requester import AuthorizedRequest, DoceboRequester
from source_docebo.responses import json_object

MAX_ROWS = 2_000_000  # of a CSV: Docebo silently leaves out the rest
MAX_EXPORT_SECONDS = 2 * 3600.0  # as long as Docebo itself leaves an export in the queue
MAX_PAUSE_SECONDS = 60.0  # between two polls
ADVICE = "Filter the report in Docebo, or select fewer columns."
csv.field_size_limit(16_000_000)  # characters of one text


@dataclass
class ReportExport:
    """A report, exported by the requester of its stream."""

    requester: DoceboRequester

    def __post_init__(self) -> None:
        self.client, self.name = self.requester.client, self.requester.name
        self._subject = f"Stream {self.name}: the export of the report"
        # Where there is no command, as in the Connector Builder, columns and rows are read one after the other.
        self.exported: list[tuple[list[str], Iterator[list[str]]]] = self.client.common((self.name, "exported"), list)

    def export(self) -> tuple[list[str], Iterator[list[str]]]:
        """Exports it, twice if that fails: its columns and rows. Raises DoceboError, as does reading the rows."""
        url = self.requester.get_url()
        with self.client.common("exports", Lock):  # one at a time
            for _ in range(2):
                execution = ExportRequest(self.requester, f"{url}/export/csv", "executionId").send()
                export_url = f"{url}/exports/{execution}"
                if self._succeeds(export_url):
                    rows = self._rows(ExportRequest(self.requester, f"{export_url}/download").send(is_file=True))
                    return columns_of(next(rows)), rows
        raise transient_error(f"{self._subject} failed twice. Export it in Docebo; if that fails, too: {ADVICE}")

    def _succeeds(self, url: str) -> bool:
        """Whether the export has succeeded, once it has ended. An unknown status means: not yet."""
        ends, pause, status = time.monotonic() + MAX_EXPORT_SECONDS, 2.0, "not known yet"
        while time.monotonic() + pause <= ends:
            self.client.wait(pause, f"{self._subject} takes longer than discover may (status: {status}). {ADVICE}")
            pause = min(2 * pause, MAX_PAUSE_SECONDS)
            status = ExportRequest(self.requester, url, "status").send()
            if status in ("SUCCEEDED", "FAILED"):
                return bool(status == "SUCCEEDED")
            logger.info(f"{self._subject} has not ended (status: {status}). The next poll is in {pause:.0f} seconds.")
        raise transient_error(f"{self._subject} has not ended after two hours (status: {status}). {ADVICE} {TRY_LATER}")

    def _rows(self, file: IO[bytes]) -> Iterator[list[str]]:
        """The titles, then each row. Raises DoceboError if it is no CSV, or has as many rows as Docebo exports."""
        count = 0
        with file, zipfile.ZipFile(file) as archive, archive.open(archive.namelist()[0]) as packed:
            reader = csv.reader(TextIOWrapper(packed, "utf-8-sig", newline=""), strict=True)
            try:
                yield (titles := next(reader))
                for row in filter(None, reader):  # a blank line holds nothing
                    if len(row) != len(titles):
                        raise csv.Error(f"{len(row)} values under {len(titles)} titles")
                    count += 1
                    yield row
            except (csv.Error, UnicodeDecodeError, StopIteration) as error:
                problem = f"{self._subject} is not the CSV expected, in line {reader.line_num}"
                raise DoceboError(f"{problem}: {str(error) or 'no titles'}. {TRY_LATER}") from None
        if count == MAX_ROWS:
            raise config_error(f"{self._subject} ends after {MAX_ROWS:,} rows: Docebo leaves out the rest. {ADVICE}")


@dataclass
class ReportRetriever(ReportExport, Retriever):
    """
    Reads the rows of a report. The built-in AsyncRetriever polls without a pause on a status that it does not know;
    its decoders hold the file in memory, and pass incomplete rows, and one of two columns with the same title.
    """

    def read_records(self, records_schema: Any, stream_slice: Any = None) -> Iterator[Mapping[str, Any]]:
        """A record for each row. Raises DoceboError if the report cannot be read to its end."""
        columns, rows = self.exported.pop() if self.exported else self.export()
        declared = columns if self.client.selected_streams is None else self.client.selected_streams.get(self.name, ())
        for column in set(columns).difference(declared):
            self.requester.progress.differs(column, UNDECLARED, "")
        self.requester.progress.warn()
        for row in rows:
            yield dict(zip(columns, row, strict=False))  # they are as long as each other


@dataclass
class ReportSchemaLoader(ReportExport, SchemaLoader):
    """The columns of a report, as text. DynamicSchemaLoader finds none in a report without rows."""

    def get_json_schema(self) -> Mapping[str, Any]:
        """The schema: by the catalog of a read, otherwise by an export. Raises DoceboError if that fails."""
        selected = self.client.selected_streams
        if selected is None:
            self.exported[:] = [self.export()]
            selected = {self.name: self.exported[0][0]}
        properties = dict.fromkeys(selected.get(self.name, ()), {"type": ["string", "null"]})
        return {"type": "object", "additionalProperties": True, "properties": properties}


@dataclass
class ExportRequest(AuthorizedRequest):
    """A request of an export, for a field of `data`; without the name of one, for a ZIP with one file."""

    field: str = ""

    def _parse(self, response: requests.Response) -> Any:
        if self.field:
            data = json_object(response).get("data")
            if isinstance(data, dict) and data.get(self.field):
                return str(data[self.field])
            raise RetryError(f"The response ({len(response.content)} bytes) holds no {self.field}.")
        file = TemporaryFile()  # noqa: SIM115 - the reader of the rows closes it
        for chunk in response.iter_content(1 << 18):
            try:
                file.write(chunk)
            except OSError as error:
                raise transient_error(self._describe(f"No temporary file: {error.strerror}. {ADVICE}")) from None
        with suppress(zipfile.BadZipFile, zlib.error, EOFError), zipfile.ZipFile(file) as archive:
            if len(archive.namelist()) == 1 and archive.testzip() is None:
                return file
        raise RetryError("The response is no complete ZIP with one file.")


def columns_of(titles: Sequence[str]) -> list[str]:
    """The names of the columns: a title that occurs again, in any case, gets a number, an empty one its place."""
    columns: dict[str, str] = {}  # by what they are where names have no case
    for place, title in enumerate(titles, start=1):
        column, number = title if title.strip() else f"column_{place}", 1
        name = column
        while name.lower() in columns:
            number += 1
            name = f"{column}_{number}"
        columns[name.lower()] = name
    return list(columns.values())
