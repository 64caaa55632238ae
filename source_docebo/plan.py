"""The command `plan`: which streams can be read, what a full sync costs, and where records differ from the schemas."""

import argparse
import copy
import logging
import math
import platform
import re
import sys
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from importlib.metadata import version
from itertools import product
from statistics import mean, stdev
from textwrap import fill
from typing import Any, NamedTuple

from airbyte_cdk.sources.declarative.interpolation.interpolated_boolean import InterpolatedBoolean
from airbyte_cdk.sources.declarative.interpolation.macros import duration
from airbyte_cdk.sources.declarative.models.declarative_component_schema import CustomRequester
from airbyte_cdk.sources.declarative.parsers.model_to_component_factory import ModelToComponentFactory
from airbyte_cdk.sources.types import StreamSlice
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets

from source_docebo.client import COMMAND, Client
from source_docebo.errors import DoceboError
from source_docebo.plan_reports import report_section
from source_docebo.records import differences
from source_docebo.responses import Page, PageToken, host
from source_docebo.source import SourceDocebo

MAX_REQUESTS = 30  # retries and the token included
MAX_SECONDS = 100  # of retries
DOCEBO_REQUESTS_PER_HOUR = 1000
ESTIMATE, AT_LEAST = "~", "≥"
# The fields of parents that say how many records a child stream has for them.
_ANNOUNCED = {"learning_plan_courses": "assigned_courses_count", "session_enrollments": "enrolled"}
_SPREAD = (0, 4, 2, 1, 3)  # quarters of a list of parents, in the order in which they are sampled
_LEGEND = f"""
{ESTIMATE} estimated from up to five parents, with a range where these differ; {AT_LEAST} at least.
The pages of a parent stream count there, although its children need them, too.
What an hourly sync costs depends on what has changed lately: here, within an hour and the lookback window.
"""


class Count(NamedTuple):
    """A number, and its sign: "" if it is exact, ESTIMATE or AT_LEAST. An estimate may be a range."""

    value: int
    sign: str = ""
    least: int = 0
    most: int = 0  # 0: no range

    def __str__(self) -> str:
        is_range = self.sign == ESTIMATE and self.most > self.least
        return f"{self.least:,}-{self.most:,}" if is_range else f"{self.sign}{self.value:,}"

    @staticmethod
    def total(counts: Sequence["Count"]) -> "Count":
        """The sum: at least so many if that is so for a part."""
        value, sign = sum(count.value for count in counts), max((count.sign for count in counts), default="")
        least = sum(count.least if count.most else count.value for count in counts)
        most = sum(count.most or count.value for count in counts)
        return Count(value, sign, least, most) if sign else Count(value)

    @staticmethod
    def projected(counts: Sequence["Count"], parents: "Count") -> "Count":
        """The sum for all parents, by those of some: a range of twice the standard error where they differ."""
        total, values = Count.total(counts), [count.value for count in counts]
        if parents == Count(len(counts)):
            return total
        average, error = mean(values), 2 * stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0
        least = max(average - error, min(1, *values)) * (parents.least or parents.value)
        most = (average + error) * (parents.most or parents.value)
        return Count(round(average * parents.value), total.sign or ESTIMATE, math.floor(least), math.ceil(most))


@dataclass
class StreamPlan:
    """What a few requests have shown about a stream; nothing of the values that they have read."""

    name: str
    readable: str = "yes"
    problem: str = ""
    records: Count | None = None
    requests: Count | None = None
    differences: set[str] = field(default_factory=set)  # fields that no schema knows, or of another type
    hourly: Count | None = None  # requests of an incremental sync


def main(source: SourceDocebo, _: argparse.Namespace) -> int:
    """Runs the command. Returns the exit code. Raises DoceboError if signing in fails."""
    sys.stdout.write(f"This sends at most {MAX_REQUESTS} requests to Docebo.\n\n")
    planner = Planner(source.resolved_manifest["streams"], source._config)
    planner.requester.authenticator.get_auth_header()
    logging.disable()  # the log of the other requests would hold the keys of parents
    reports = report_section(planner.requester, planner.config)
    text = report(plans := planner.plan(), int(source._config.get("calls_per_hour") or 0))
    sys.stdout.write(filter_secrets(f"{text}\n{reports}\n"))
    return 0 if any(each.readable == "yes" for each in plans) else 1


class _Stream:
    """A stream of the manifest, as far as a plan needs it, and what was read of it."""

    def __init__(self, definition: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        self.name, retriever, loader = definition["name"], definition["retriever"], definition["schema_loader"]
        self.schema = loader.get("schema_loader", loader)["schema"]
        self.definitions = loader.get("definitions_stream", {}).get("name", "")  # the stream of its additional fields
        self.is_incremental = "incremental_sync" in definition
        self.page_size = retriever["paginator"]["pagination_strategy"].get("page_size")  # None: not in pages
        router = retriever.get("partition_router", {})
        self.group_size = router.get("group_size", 1)
        (link,) = router.get("underlying_partition_router", router).get("parent_stream_configs", [{"stream": {}}])
        self.parent, self.key = link["stream"].get("name", ""), link.get("parent_key")
        self.field = link.get("partition_field")
        selector = link["stream"].get("retriever", {}).get("record_selector", {})
        condition = selector.get("record_filter", {}).get("condition", "true")
        self.has_children = InterpolatedBoolean(condition=condition, parameters={})
        create = ModelToComponentFactory().create_component
        self.requester = create(CustomRequester, retriever["requester"], config, name=self.name)
        self.plan = StreamPlan(self.name)
        self.seen: list[dict[str, Any]] = []  # records, normalized
        self.sampled: dict[str, tuple[Count, Count]] = {}  # by parents, how many records and requests they have


class Planner:
    """Reads the first page of each stream, of a child stream that of a few parents."""

    def __init__(self, streams: Iterable[Mapping[str, Any]], config: Mapping[str, Any]) -> None:
        command = {"id": uuid.uuid4().hex, "seconds": MAX_SECONDS}
        # Not what the user allows for an hour: the limit here is that of all requests of this command.
        self.config = {**config, "calls_per_hour": MAX_REQUESTS, COMMAND: command}
        self._streams = {stream["name"]: _Stream(stream, self.config) for stream in streams}
        self.requester = next(iter(self._streams.values())).requester
        self._read: list[_Stream] = []

    def plan(self) -> list[StreamPlan]:
        """The plan of each stream."""
        for name in self._streams:
            self._read_first(name)
        children = [stream for stream in self._read if stream.sampled and stream.name not in _ANNOUNCED]
        children.sort(key=lambda stream: -(stream.plan.requests or Count(0)).value)
        for number, stream in product(range(1, len(_SPREAD)), children):
            if Client.of(self.config).requests_sent.total() < MAX_REQUESTS:
                with suppress(DoceboError):
                    self._sample(stream, number)
        for stream in self._read:
            self._estimate(stream)
        return [stream.plan for stream in self._read]

    def _read_first(self, name: str) -> None:
        """Reads a page of a stream, after those of its parent and of the definitions of its fields."""
        stream = self._streams.get(name)
        if stream is None or stream in self._read:
            return None
        self._read_first(stream.parent)
        self._read_first(stream.definitions)
        self._read.append(stream)
        plan = stream.plan
        try:
            if stream.parent:
                self._sample(stream, 0)
                return self._estimate(stream)
            page = self._page(stream, {}, self.config.get("start_date", ""))
            plan.records, plan.requests = _extent(page, stream.page_size)
            if stream.is_incremental:
                since = datetime.now(timezone.utc) - duration(self.config.get("lookback_window", "PT1H"))
                page = self._page(stream, {}, f"{since - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}")
                plan.hourly = _extent(page, stream.page_size)[1]
        except DoceboError as error:
            status = re.search(r"\((\d{3})\)|(?:status|returned) (\d{3})", str(error))
            plan.readable = f"no ({status[1] or status[2]})" if status else "no"
            # Without the platform's address, its paths and Docebo's own words, which may name people.
            problem = str(error).partition(" Docebo says: ")[0].removeprefix(f"Stream {name}: ")
            problem = re.sub(r" \(GET [^)]*\)", "", problem)
            plan.problem = problem.replace(host(self.config["base_url"]), "The platform")
            if "calls_per_hour allows" in problem:
                plan.readable, plan.problem = "not tried", "The requests of this command are used up. Try again later."

    def _parents(self, stream: _Stream) -> tuple[list[dict[str, Any]], Count]:
        """The parents that were read and may have children, and how many there are in all."""
        parent = self._streams[stream.parent]
        seen, count = parent.seen, parent.plan.records or Count(0)
        found = [each for each in seen if each.get(stream.key) and stream.has_children.eval(self.config, record=each)]
        if count == Count(len(seen)):
            return found, Count(len(found))
        share = len(found) / max(len(seen), 1)
        value, least, most = (math.ceil(number * share) for number in (count.value, count.least, count.most))
        return found, Count(value, ESTIMATE, least, most)

    def _sample(self, stream: _Stream, number: int) -> None:
        """Counts the children of one more parent, or group of them. Those that are sampled are spread over the list."""
        keys, size = [each[stream.key] for each in self._parents(stream)[0]], stream.group_size
        groups = [keys[start : start + size] for start in range(0, len(keys), size)]
        if not groups:
            is_readable = self._streams[stream.parent].plan.readable == "yes"
            problem = "has no record that has such records." if is_readable else "cannot be read. Solve that first."
            stream.plan.readable, stream.plan.problem = "not tried", f"Its parent stream {stream.parent} {problem}"
            return
        group = groups[_SPREAD[number] * (len(groups) - 1) // 4]
        if str(group) not in stream.sampled:
            page = self._page(stream, {stream.field: group if size > 1 else group[0]})
            if page.following and page.following.batches:  # one of the group cannot be read: then the first alone
                page = self._page(stream, {stream.field: group[:1]})
            stream.sampled[str(group)] = _extent(page, stream.page_size)

    def _estimate(self, stream: _Stream) -> None:
        """Estimates all children by those that were counted, or by what their parents announce."""
        sampled = list(stream.sampled.values())
        if stream.plan.readable != "yes" or not sampled:
            return
        parents, count = self._parents(stream)
        announced = [str(each.get(_ANNOUNCED.get(stream.name, ""))) for each in parents]
        if all(map(str.isdecimal, announced)):
            counts = [Count(int(text), ESTIMATE) for text in announced]
            sampled = [(each, Count(math.ceil(each.value / stream.page_size) or 1, ESTIMATE)) for each in counts]
        if stream.group_size > 1:
            count = Count(math.ceil(count.value / stream.group_size), count.sign)
        records, stream.plan.requests = (Count.projected(each, count) for each in zip(*sampled, strict=True))
        stream.plan.records = records if records.value or not records.sign else None  # empty samples say nothing

    def _page(self, stream: _Stream, partition: Mapping[str, Any], start: str = "") -> Page:
        """The first page. Raises DoceboError if it cannot be read, also where a sync would skip the parent."""
        page = stream.requester.send_request(
            stream_slice=StreamSlice(partition=partition, cursor_slice={"start_time": start}),
            request_params={"page": PageToken(), "page_size": stream.page_size} if stream.page_size else {},
        )
        for error in stream.requester.progress.unreadable.values():
            raise error
        page = page or Page([])
        stream.seen += (records := copy.deepcopy(page.records))
        defined = self._streams[stream.definitions].seen if stream.definitions else ()
        stream.plan.differences |= differences(stream.schema, defined, records, partition)
        return page


def report(plans: Iterable[StreamPlan], calls_per_hour: int) -> str:
    """The table, what costs most first, and what differs from the schemas; no line is wider than 120 characters."""
    plans = sorted(plans, key=lambda each: (-(each.requests or Count(0)).value, each.name))
    rate = calls_per_hour or DOCEBO_REQUESTS_PER_HOUR
    total = Count.total([Count(1), *(each.requests for each in plans if each.requests)])
    rows = [["Stream", "Readable", "Records", "Requests", "Share", f"Minutes at {rate:,}/h"]]
    hourly = [StreamPlan(f"{each.name}, incremental, hourly", requests=each.hourly) for each in plans if each.hourly]
    for each in [*plans, StreamPlan("All, and an access token", "", requests=total), *hourly]:
        cost = each.requests
        cells = ["-"] * 3
        if cost:
            cells = [str(cost), f"{cost.value / total.value:.0%}", f"{cost.sign}{cost.value * 60 / rate:,.1f}"]
        rows.append([each.name, each.readable, str(each.records or "-"), *cells])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = ["  ".join(f"{cell:{'<' if i < 2 else '>'}{widths[i]}}" for i, cell in enumerate(row)) for row in rows]
    installed = [f"{name} {version(name)}" for name in ("airbyte-source-docebo", "airbyte-cdk")]
    lines = [f"{', '.join(installed)}, Python {platform.python_version()}", "", *table, _LEGEND]
    if unread := [each.name for each in plans if not each.requests]:
        lines.insert(-1, fill(f"Without those that were not read: {', '.join(unread)}.", 120))
    for title, texts in {
        "What to do": [f"{each.name}: {each.problem}" for each in plans if each.problem],
        "Fields that differ from the schema, on the pages that were read": [
            f"{each.name}: {', '.join(sorted(each.differences))}" for each in plans if each.differences
        ],
    }.items():
        indented = [fill(text, 120, initial_indent="  ", subsequent_indent="    ") for text in texts]
        lines += [title, *(indented or ["  none"])]
    return "\n".join(lines)


def _extent(page: Page, page_size: int | None) -> tuple[Count, Count]:
    """How many records and requests the whole list has, by its first page."""
    came = len(page.records)
    if page.total_count >= max(came, 1):
        return Count(page.total_count), Count(page.page_count or max(1, math.ceil(page.total_count / max(came, 1))))
    if page.page_count > 1:
        return Count(page.page_count * came, ESTIMATE), Count(page.page_count)
    goes_on = page.has_more or (page.has_more is None and came == page_size)
    return (Count(came, AT_LEAST), Count(2, AT_LEAST)) if goes_on else (Count(came), Count(1))
