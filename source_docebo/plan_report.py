"""What the command `plan` has found, as a table for people and as JSON for machines."""

import json
import platform
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from textwrap import fill
from typing import Any, NamedTuple

DOCEBO_REQUESTS_PER_HOUR = 1000
ESTIMATE, AT_LEAST = "~", "≥"
_MEANINGS = {"": "exact", ESTIMATE: "estimate", AT_LEAST: "at least"}
_WIDTH = 120
_COLUMNS_OF_TEXT = 2
_LEGEND = f"""
{ESTIMATE} estimated from the first page, of a child stream from its first parents; {AT_LEAST} at least.
The pages of a parent stream count there: a sync requests them once for all its children."""


class Count(NamedTuple):
    """A number, and its sign: "" if it is exact, ESTIMATE or AT_LEAST."""

    value: int
    sign: str = ""

    def __str__(self) -> str:
        return f"{self.sign}{self.value:,}"


@dataclass
class StreamPlan:
    """
    What one request has shown about a stream. Fields are named by their paths (`location.id`): with their JSON types,
    those that no schema knows; with the declared type, those that no record holds; and those with values of another
    type, as (path, expected type, type, number of records). There is nothing of their values.
    """

    name: str
    readable: str = "yes"
    problem: str = ""
    records: Count | None = None
    requests: Count | None = None
    records_read: int = 0
    unknown: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    of_another_type: list[tuple[str, str, str, int]] = field(default_factory=list)

    @property
    def is_readable(self) -> bool:
        """Whether the stream can be read."""
        return self.readable == "yes"


def as_text(plans: list[StreamPlan], calls_per_hour: int) -> str:
    """The table, and what differs from the schemas; no line is wider than 120 characters."""
    header, total = _header(), _total(plans)
    rates = sorted({DOCEBO_REQUESTS_PER_HOUR, calls_per_hour or DOCEBO_REQUESTS_PER_HOUR}, reverse=True)
    rows = [["Stream", "Readable", "Records", "Requests", *(f"Minutes at {rate:,}/h" for rate in rates)]]
    for each in plans:
        counts = [str(each.records or "-"), str(each.requests or "-")]
        rows.append([each.name, each.readable, *counts, *(_minutes(each.requests, rate) for rate in rates)])
    rows.append(["All, and an access token", "", "", str(total), *(_minutes(total, rate) for rate in rates)])
    table = _aligned(rows)
    rule = "-" * max(map(len, table))
    lines = [
        f"source-docebo {header['version']}, airbyte-cdk {header['airbyte_cdk']}, Python {header['python']}, "
        f"{header['date']}",
        "",
        *(table[0], rule, *table[1:-1], rule, table[-1]),
        _LEGEND,
    ]
    problems: list[tuple[str, list[str]]] = [(f"{each.name}: {each.problem}", []) for each in plans if each.problem]
    lines += _section("What to do", problems) if problems else []
    findings = [(each.name, details) for each in plans if (details := _differences(each))]
    lines += _section("Fields that differ from the schema, on the page that was read", findings or [("none", [])])
    return "\n".join(lines)


def as_json(plans: list[StreamPlan], calls_per_hour: int) -> str:
    """An object: the versions and the date, `streams`, and the `total` of requests and minutes."""
    total, rates = _total(plans), {DOCEBO_REQUESTS_PER_HOUR, calls_per_hour or DOCEBO_REQUESTS_PER_HOUR}
    streams = [
        {
            "stream": each.name,
            "readable": each.readable,
            "problem": each.problem or None,
            "records": _counted(each.records),
            "requests": _counted(each.requests),
            "records_read": each.records_read,
            "fields_in_no_schema": each.unknown,
            "fields_in_no_record": each.absent,
            "fields_of_another_type": [
                {"field": path, "expected": expected, "type": kind, "records": records}
                for path, expected, kind, records in each.of_another_type
            ],
        }
        for each in plans
    ]
    minutes = {str(rate): round(total.value * 60 / rate, 1) for rate in sorted(rates)}
    summary = {"requests": _counted(total), "minutes_by_requests_per_hour": minutes}
    return json.dumps({**_header(), "streams": streams, "total": summary}, indent=2, ensure_ascii=False)


def _header() -> dict[str, str]:
    try:
        installed = version("airbyte-source-docebo")
    except PackageNotFoundError:  # run from a checkout
        installed = "unknown"
    return {
        "version": installed,
        "airbyte_cdk": version("airbyte-cdk"),
        "python": platform.python_version(),
        "date": f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC",
    }


def _total(plans: Iterable[StreamPlan]) -> Count:
    """The requests of all streams, and one for an access token."""
    counts = [each.requests for each in plans if each.requests]
    signs = {count.sign for count in counts}
    sign = next((sign for sign in (ESTIMATE, AT_LEAST) if sign in signs), "")
    return Count(1 + sum(count.value for count in counts), sign)


def _minutes(requests: Count | None, per_hour: int) -> str:
    if requests is None:
        return "-"
    minutes = requests.value * 60 / per_hour
    return f"{requests.sign}{minutes:,.1f}" if minutes < 10 else f"{requests.sign}{minutes:,.0f}"


def _counted(count: Count | None) -> dict[str, Any] | None:
    return {"value": count.value, "meaning": _MEANINGS[count.sign]} if count else None


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    cells = [
        [cell.ljust(width) for cell, width in zip(row[:_COLUMNS_OF_TEXT], widths, strict=False)]
        + [cell.rjust(width) for cell, width in zip(row[_COLUMNS_OF_TEXT:], widths[_COLUMNS_OF_TEXT:], strict=True)]
        for row in rows
    ]
    return ["  ".join(row).rstrip() for row in cells]


def _differences(found: StreamPlan) -> list[str]:
    of_another_type = [
        f"{path} ({expected} expected, {kind} in {records} of {found.records_read} records)"
        for path, expected, kind, records in found.of_another_type
    ]
    named = {
        "in no schema": [f"{path} ({kinds})" for path, kinds in found.unknown.items()],
        "in the schema, but in no record": [f"{path} ({kind})" for path, kind in found.absent.items()],
        "of another type": of_another_type,
    }
    return [f"{title}: {', '.join(fields)}" for title, fields in named.items() if fields]


def _section(title: str, entries: list[tuple[str, list[str]]]) -> list[str]:
    lines = ["", title]
    for head, details in entries:
        lines.append(fill(head, _WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False))
        lines += [fill(text, _WIDTH, initial_indent="    ", subsequent_indent="      ") for text in details]
    return lines
