"""The command `plan`: which streams can be read, what a full sync costs, and where records differ from the schemas."""

import argparse
import copy
import logging
import math
import platform
import re
import sys
import uuid
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import version
from textwrap import fill
from typing import Any, NamedTuple

from airbyte_cdk.sources.declarative.interpolation.interpolated_boolean import InterpolatedBoolean
from airbyte_cdk.sources.declarative.models.declarative_component_schema import CustomRequester
from airbyte_cdk.sources.declarative.parsers.model_to_component_factory import ModelToComponentFactory
from airbyte_cdk.sources.types import StreamSlice
from airbyte_cdk.utils import AirbyteTracedException
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets

from source_docebo.client import COMMAND, Client
from source_docebo.errors import DoceboError
from source_docebo.plan_reports import report_section
from source_docebo.records import RecordNormalizer, UnusableKeyError, additional_field_properties
from source_docebo.requester import DoceboRequester
from source_docebo.responses import Page, PageToken, host
from source_docebo.source import DISCOVER_SECONDS, SourceDocebo, read_file

MAX_REQUESTS = 30  # retries and the token included
DOCEBO_REQUESTS_PER_HOUR = 1000
ESTIMATE, AT_LEAST = "~", "≥"
_USUAL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}", re.ASCII)
_LEGEND = f"""
{ESTIMATE} estimated from the first page, of a child stream from its first parents; {AT_LEAST} at least.
The pages of a parent stream count there: a sync requests them once more for all its children.
"""


class Count(NamedTuple):
    """A number, and its sign: "" if it is exact, ESTIMATE or AT_LEAST."""

    value: int
    sign: str = ""

    def __str__(self) -> str:
        return f"{self.sign}{self.value:,}"


@dataclass
class StreamPlan:
    """What one request has shown about a stream; nothing of the values that it has read."""

    name: str
    readable: str = "yes"
    problem: str = ""
    records: Count | None = None
    requests: Count | None = None
    differences: list[str] = field(default_factory=list)  # fields that no schema knows, or of another type


def main(args: list[str]) -> int:
    """Runs the command with its arguments. Returns the exit code; what went wrong is one line on standard error."""
    parser = argparse.ArgumentParser(
        prog="source-docebo plan", description=f"Estimates a full sync, with at most {MAX_REQUESTS} requests to Docebo."
    )
    parser.add_argument("--config", required=True, help="path to the json configuration file")
    parsed = parser.parse_args(args)
    try:
        source = SourceDocebo(config=read_file("config", parsed.config))
        sys.stdout.write(f"This sends at most {MAX_REQUESTS} requests to Docebo.\n\n")
        # The log of the requests would stand between the lines of the plan, and hold the keys of parents.
        logging.disable(logging.CRITICAL)
        planner = Planner(source.resolved_manifest["streams"], source._config)
        plans = planner.plan()
        reports = report_section(next(iter(planner._requesters.values())), planner._config)
    except AirbyteTracedException as error:
        sys.stderr.write(f"{filter_secrets(str(error))}\n")
        return 1
    finally:
        logging.disable(logging.NOTSET)
    text = report(plans, int(source._config.get("calls_per_hour") or 0))
    sys.stdout.write(filter_secrets(f"{text}\n{reports}") + "\n")
    return 0 if any(each.readable == "yes" for each in plans) else 1


class Planner:
    """Reads the first page of each stream, of a child stream that of its first parents."""

    def __init__(self, streams: Iterable[Mapping[str, Any]], config: Mapping[str, Any]) -> None:
        command = {"id": uuid.uuid4().hex, "seconds": DISCOVER_SECONDS}
        # Not what the user allows for an hour: the limit here is that of all requests of this command.
        self._config = {**config, "calls_per_hour": MAX_REQUESTS, COMMAND: command}
        self._client = Client.of(self._config)
        self._streams = {stream["name"]: stream for stream in streams}
        factory = ModelToComponentFactory()
        self._requesters: dict[str, DoceboRequester] = {
            name: factory.create_component(CustomRequester, stream["retriever"]["requester"], self._config, name=name)
            for name, stream in self._streams.items()
        }
        self._plans: dict[str, StreamPlan] = {}
        self._seen: dict[str, list[dict[str, Any]]] = {}  # by stream, the records of its page, normalized

    def plan(self) -> list[StreamPlan]:
        """The plan of each stream, by name. Raises DoceboError if signing in fails."""
        next(iter(self._requesters.values())).authenticator.get_auth_header()
        children = {name for name, stream in self._streams.items() if "partition_router" in stream["retriever"]}
        definitions = {_definitions_stream(stream) for stream in self._streams.values()} - {""}
        lists = self._streams.keys() - children - definitions
        with ThreadPoolExecutor(int(self._config["num_workers"])) as executor:
            # Parents before children, definitions of additional fields before records that hold them.
            for names in (definitions, lists, children):
                self._plans.update(zip(names, executor.map(self._plan_stream, names), strict=True))
        return [self._plans[name] for name in sorted(self._plans)]

    def _plan_stream(self, name: str) -> StreamPlan:
        found = StreamPlan(name)
        try:
            if "partition_router" in self._streams[name]["retriever"]:
                self._plan_child(found)
            else:
                start = self._streams[name].get("incremental_sync", {}).get("start_datetime", "")
                page = self._page(name, StreamSlice(partition={}, cursor_slice={"start_time": start}))
                found.records, found.requests = _extent(page, self._page_size(name))
                self._compare(found, page.records)
        except DoceboError as error:
            status = re.search(r"\((\d{3})\)|(?:status|returned) (\d{3})", str(error))
            found.readable = f"no ({status[1] or status[2]})" if status else "no"
            # Without the platform's address, its paths and Docebo's own words, which may name people.
            problem = str(error).partition(" Docebo says: ")[0].removeprefix(f"Stream {name}: ")
            found.problem = re.sub(r" \(GET [^)]*\)", "", problem).replace(
                host(self._config["base_url"]), "The platform"
            )
            if "calls_per_hour allows" in problem:
                found.readable = "not tried"
                found.problem = "The requests of this command are used up. Try again later."
        return found

    def _plan_child(self, found: StreamPlan) -> None:
        router = self._streams[found.name]["retriever"]["partition_router"]
        group_size = router.get("group_size", 1)
        link = router.get("underlying_partition_router", router)["parent_stream_configs"][0]
        parent = self._plans[link["stream"]["name"]]
        if parent.readable != "yes":
            found.readable = "not tried"
            found.problem = f"Its parent stream {parent.name} cannot be read. Solve that first."
            return
        condition = link["stream"]["retriever"]["record_selector"].get("record_filter", {}).get("condition", "true")
        has_children = InterpolatedBoolean(condition=condition, parameters={})
        seen = self._seen[parent.name]
        parents = [record for record in seen if has_children.eval(self._config, record=record)]
        keys = [record[link["parent_key"]] for record in parents if record.get(link["parent_key"])][:group_size]
        if not keys:
            found.readable = "not tried"
            found.problem = f"No record of its parent stream {parent.name} was found that has such records."
            return
        key = keys if group_size > 1 else keys[0]
        page = self._page(found.name, StreamSlice(partition={link["partition_field"]: key}, cursor_slice={}))
        total = (parent.records or Count(0)).value * len(parents) / len(seen)
        records, requests = _extent(page, self._page_size(found.name))
        sign = "" if round(total) == len(keys) else ESTIMATE
        found.requests = Count(math.ceil(total / group_size) * requests.value, sign or requests.sign)
        if page.records:  # an empty sample says nothing
            found.records = Count(round(records.value * total / len(keys)), sign or records.sign)
        self._compare(found, page.records, link["partition_field"])

    def _page(self, name: str, stream_slice: StreamSlice) -> Page:
        """The first page. Raises DoceboError if it cannot be read, also where a sync would skip the parent."""
        requester = self._requesters[name]
        page_size = self._page_size(name)
        params = {"page": PageToken(), "page_size": page_size} if page_size else {}
        return requester.send_request(stream_slice=stream_slice, request_params=params) or Page([])

    def _page_size(self, name: str) -> int | None:
        """Records on a full page; None for a list that is not requested in pages."""
        size: int | None = self._streams[name]["retriever"]["paginator"]["pagination_strategy"].get("page_size")
        return size

    def _compare(self, found: StreamPlan, records: list[dict[str, Any]], added: str = "") -> None:
        """Compares records with the schema of their stream. `added`: a field that the connector adds to them."""
        loader = self._streams[found.name]["schema_loader"]
        schema = loader.get("schema_loader", loader)["schema"]
        defined = additional_field_properties(self._seen.get(_definitions_stream(self._streams[found.name]), ()))
        schema = {**schema, "properties": {**schema["properties"], **defined}}
        problems = [f"{name} (in no schema)" for name in _undeclared(schema, records)]
        normalizer = RecordNormalizer(schema, lambda path, expected, _: problems.append(f"{path} (no {expected})"))
        self._seen[found.name] = normalized = copy.deepcopy(records)
        for record in normalized:
            try:
                normalizer.normalize(record if not added else {**record, added: 0})
            except UnusableKeyError as error:
                problems.append(f"{error} (a key, missing)")
        found.differences = sorted({each if _USUAL_NAME.match(each) else "<unusual name>" for each in problems})


def report(plans: list[StreamPlan], calls_per_hour: int) -> str:
    """The table, and what differs from the schemas; no line is wider than 120 characters."""
    rate = calls_per_hour or DOCEBO_REQUESTS_PER_HOUR
    counts = [each.requests for each in plans if each.requests]
    total = Count(1 + sum(count.value for count in counts), max((count.sign for count in counts), default=""))
    rows = [["Stream", "Readable", "Records", "Requests", f"Minutes at {rate:,}/h"]]
    for each in plans:
        numbers = [str(each.records or "-"), str(each.requests or "-"), _minutes(each.requests, rate)]
        rows.append([each.name, each.readable, *numbers])
    rows.append(["All, and an access token", "", "", str(total), _minutes(total, rate)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = ["  ".join(f"{cell:{'<' if i < 2 else '>'}{widths[i]}}" for i, cell in enumerate(row)) for row in rows]
    installed = [f"{name} {version(name)}" for name in ("airbyte-source-docebo", "airbyte-cdk")]
    lines = [f"{', '.join(installed)}, Python {platform.python_version()}", "", *table, _LEGEND]
    for title, texts in {
        "What to do": [f"{each.name}: {each.problem}" for each in plans if each.problem],
        "Fields that differ from the schema, on the page that was read": [
            f"{each.name}: {', '.join(each.differences)}" for each in plans if each.differences
        ],
    }.items():
        lines += [
            title,
            *(fill(text, 120, initial_indent="  ", subsequent_indent="    ") for text in texts or ["none"]),
        ]
    return "\n".join(lines)


def _minutes(requests: Count | None, rate: int) -> str:
    return f"{requests.sign}{requests.value * 60 / rate:,.1f}" if requests else "-"


def _undeclared(schema: Mapping[str, Any], records: Iterable[Mapping[str, Any]]) -> set[str]:
    """The fields that are no columns, since the schema does not know them."""
    properties: Mapping[str, Mapping[str, Any]] = schema["properties"]
    known = properties.keys() | {alias for declared in properties.values() for alias in declared.get("x-aliases", ())}
    return set() if schema.get("x-declared-fields-only") else {name for each in records for name in each} - known


def _extent(page: Page, page_size: int | None) -> tuple[Count, Count]:
    """How many records and requests the whole list has, by its first page."""
    came = len(page.records)
    if page.total_count >= max(came, 1):
        return Count(page.total_count), Count(page.page_count or max(1, math.ceil(page.total_count / max(came, 1))))
    if page.page_count > 1:
        return Count(page.page_count * came, ESTIMATE), Count(page.page_count)
    goes_on = page.has_more or (page.has_more is None and came == page_size)
    return (Count(came, AT_LEAST), Count(2, AT_LEAST)) if goes_on else (Count(came), Count(1))


def _definitions_stream(stream: Mapping[str, Any]) -> str:
    """The stream that defines its additional fields, "" if none does."""
    return str(stream["schema_loader"].get("definitions_stream", {}).get("name", ""))
