"""The command `plan`: which streams can be read, what a full sync costs, and where records differ from the schemas."""

import argparse
import copy
import io
import logging
import math
import re
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stderr
from typing import Any

from airbyte_cdk.sources.declarative.interpolation.interpolated_boolean import InterpolatedBoolean
from airbyte_cdk.sources.declarative.models.declarative_component_schema import CustomRequester
from airbyte_cdk.sources.declarative.parsers.model_to_component_factory import ModelToComponentFactory
from airbyte_cdk.sources.types import StreamSlice
from airbyte_cdk.utils import AirbyteTracedException
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets

from source_docebo import plan_report
from source_docebo.client import COMMAND, Client
from source_docebo.errors import DoceboError
from source_docebo.plan_report import AT_LEAST, ESTIMATE, Count, StreamPlan
from source_docebo.records import RecordNormalizer, UnusableKeyError, additional_field_properties
from source_docebo.requester import DoceboRequester
from source_docebo.responses import Page, PageToken, host
from source_docebo.source import CHECK_SECONDS, SourceDocebo

MAX_REQUESTS = 30  # retries and the token included
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}", re.ASCII)
_ADDITIONAL_FIELD = re.compile(r"field_\d+", re.ASCII)
_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "dict": "object", "list": "array"}


class NoParentError(Exception):
    """A child stream cannot be tried: there is no parent record to read it from."""


def main(args: list[str]) -> int:
    """Runs the command with its arguments. Returns the exit code; what went wrong is one line on standard error."""
    parser = argparse.ArgumentParser(
        prog="source-docebo plan", description=f"Estimates a full sync, with at most {MAX_REQUESTS} requests to Docebo."
    )
    parser.add_argument("--config", required=True, help="path to the json configuration file")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    usage = io.StringIO()
    try:
        with redirect_stderr(usage):
            parsed = parser.parse_args(args)
        return plan(SourceDocebo.read_config(parsed.config), parsed.json)
    except SystemExit as end:
        sys.stderr.write("".join(usage.getvalue().splitlines(keepends=True)[-1:]))
        return 1 if end.code else 0
    except AirbyteTracedException as error:
        sys.stderr.write(f"{filter_secrets(str(error))}\n")
        return 1


def plan(config: Mapping[str, Any], as_json: bool) -> int:
    """
    Prints the plan of a full sync, as a table or as JSON. Returns the exit code: 1 if no stream can be read. Raises
    DoceboError if the configuration is not valid, or if signing in to Docebo fails.
    """
    source = SourceDocebo(config=config)
    configured = source._config
    announcement = f"This sends at most {MAX_REQUESTS} requests to Docebo.\n\n"
    (sys.stderr if as_json else sys.stdout).write(announcement)
    with _without_logs():
        plans = Planner(source.resolved_manifest["streams"], configured).plan()
    per_hour = int(configured.get("calls_per_hour") or 0)
    report = plan_report.as_json(plans, per_hour) if as_json else plan_report.as_text(plans, per_hour)
    sys.stdout.write(filter_secrets(report) + "\n")
    return 0 if any(each.is_readable for each in plans) else 1


class Planner:
    """Reads the first page of each stream, of a child stream that of its first parents."""

    def __init__(self, streams: Iterable[Mapping[str, Any]], config: Mapping[str, Any]) -> None:
        command = {"id": uuid.uuid4().hex, "deadline_seconds": CHECK_SECONDS}
        # Not what the user allows for an hour: the limit here is that of all requests of this command.
        self._config = {**config, "calls_per_hour": MAX_REQUESTS, COMMAND: command}
        self._client = Client.of(self._config)
        self._streams = {stream["name"]: stream for stream in streams}
        factory = ModelToComponentFactory()
        self._requesters: dict[str, DoceboRequester] = {
            name: factory.create_component(
                CustomRequester, _retried_once(stream["retriever"]["requester"]), self._config, name=name
            )
            for name, stream in self._streams.items()
        }
        self._plans: dict[str, StreamPlan] = {}
        self._seen: dict[str, list[dict[str, Any]]] = {}  # by stream, the records of its page, normalized

    def plan(self) -> list[StreamPlan]:
        """The plan of each stream, by name. Raises DoceboError if signing in fails."""
        next(iter(self._requesters.values())).authenticator.get_auth_header()
        definitions = {_definitions_stream(stream) for stream in self._streams.values()}
        children = {name for name, stream in self._streams.items() if "partition_router" in stream["retriever"]}
        lists = self._streams.keys() - children
        with ThreadPoolExecutor(int(self._config["num_workers"])) as executor:
            # Parents before children, definitions of additional fields before records that hold them.
            for names in (lists & definitions, lists - definitions, children):
                self._client._deadline = time.monotonic() + CHECK_SECONDS  # somebody waits for the plan
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
            found.problem = self._without_private_parts(str(error), name)
            if "calls_per_hour allows" in found.problem:
                found.readable = "not tried"
                found.problem = "The requests of this command are used up. Try again later."
        except NoParentError as error:
            found.readable, found.problem = "not tried", str(error)
        except Exception as error:  # one stream must not cost the others; its message might hold data
            found.readable = "no"
            found.problem = f"The connector has an error ({type(error).__name__}). Please tell its authors."
        return found

    def _plan_child(self, found: StreamPlan) -> None:
        router = self._streams[found.name]["retriever"]["partition_router"]
        group_size = router.get("group_size", 1)
        link = router.get("underlying_partition_router", router)["parent_stream_configs"][0]
        parent = self._plans[link["stream"]["name"]]
        if not parent.is_readable:
            raise NoParentError(f"Its parent stream {parent.name} cannot be read. Solve that first.")
        condition = link["stream"]["retriever"]["record_selector"].get("record_filter", {}).get("condition", "true")
        has_children = InterpolatedBoolean(condition=condition, parameters={})
        seen = self._seen[parent.name]
        parents = [record for record in seen if has_children.eval(self._config, record=record)]
        keys = [record[link["parent_key"]] for record in parents if record.get(link["parent_key"])][:group_size]
        total = parent.records or Count(0)
        if not keys:
            raise NoParentError(f"No record of its parent stream {parent.name} was found that has such records.")
        page = self._page(found.name, _partition(link, keys if group_size > 1 else keys[0]))
        if page.batches:  # the group cannot be read: its first parent shows why
            keys = keys[:1]
            page = self._page(found.name, _partition(link, keys))
        share, is_whole = len(parents) / len(seen), total.value <= len(seen)
        total = Count(round(total.value * share), total.sign if is_whole or share == 1 else ESTIMATE)
        records, requests = _extent(page, self._page_size(found.name))
        groups = math.ceil(total.value / group_size)
        sample_is_all = total == Count(len(keys))
        if sample_is_all:
            found.records = records
        elif page.records:  # an empty sample says nothing
            found.records = Count(round(records.value * total.value / len(keys)), ESTIMATE)
        found.requests = requests if sample_is_all else Count(groups * requests.value, ESTIMATE)
        if not sample_is_all and requests.value == 1 and not total.sign:
            found.requests = Count(groups, AT_LEAST if self._page_size(found.name) else "")
        added = {link["partition_field"]} if "transformations" in self._streams[found.name] else ()
        self._compare(found, page.records, added)

    def _page(self, name: str, stream_slice: StreamSlice) -> Page:
        """The first page. Raises DoceboError if it cannot be read, also where a sync would skip the parent."""
        requester = self._requesters[name]
        progress = requester.progress
        page_size = self._page_size(name)
        params = {"page": PageToken(), "page_size": page_size} if page_size else {}
        page = requester.send_request(stream_slice=stream_slice, request_params=params) or Page([])
        if stream_slice.partition and not page.batches:
            progress.parent_found()
            progress.parents_read(1)
            progress.all_parents_found()
        return page

    def _page_size(self, name: str) -> int | None:
        """Records on a full page; None for a list that is not requested in pages."""
        size: int | None = self._streams[name]["retriever"]["paginator"]["pagination_strategy"].get("page_size")
        return size

    def _compare(self, found: StreamPlan, records: list[dict[str, Any]], added: Iterable[str] = ()) -> None:
        """Compares records with the schema of their stream. `added`: fields that the connector adds to them."""
        schema = self._schema(found.name)
        unknown, absent = _unknown_and_absent(schema, records, "")
        normalized = [{**copy.deepcopy(record), **dict.fromkeys(added, 0)} for record in records]
        types = Counter(_differing_types(schema, normalized))
        self._seen[found.name] = normalized
        found.records_read = len(records)
        found.unknown = {_shown(path): kinds for path, kinds in sorted(unknown.items())}
        found.absent = {path: kind for path, kind in sorted(absent.items()) if path not in added}
        found.of_another_type = [
            (_shown(path), expected, kind, number) for (path, expected, kind), number in sorted(types.items())
        ]

    def _schema(self, name: str) -> Mapping[str, Any]:
        loader = self._streams[name]["schema_loader"]
        definitions = self._plans.get(_definitions_stream(self._streams[name]))
        schema: Mapping[str, Any] = loader.get("schema_loader", loader)["schema"]
        if definitions is None or not definitions.is_readable:
            return schema
        properties = {**schema["properties"], **additional_field_properties(self._seen[definitions.name])}
        # A field may be defined on a later page of definitions.
        partial = (definitions.requests or Count(1)).value > 1
        return {**schema, "properties": properties, "x-partly-defined": partial}

    def _without_private_parts(self, message: str, name: str) -> str:
        """A message without the platform's address, its paths and Docebo's own words, which may name people."""
        text = message.partition(" Docebo says: ")[0].removeprefix(f"Stream {name}: ")
        text = re.sub(r" \(GET [^)]*\)", "", text)
        return text.replace(host(self._config["base_url"]), "The platform")


def _differing_types(schema: Mapping[str, Any], records: Iterable[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Normalizes the records. Returns, for each value that does not fit: path, expected type, type."""
    differing: list[tuple[str, str, str]] = []

    def report(path: str, expected: str, shape: str) -> None:
        # The shape of a value that is not text is the name of its Python type.
        differing.append((path, expected.removeprefix("type "), _TYPES.get(shape, "string")))

    normalizer = RecordNormalizer({**schema, "x-additional-fields": False}, report)
    for record in records:
        try:
            normalizer.normalize(record)
        except UnusableKeyError as error:
            key = error.args[0]
            is_number = isinstance(record.get(key), float)
            differing.append((key, "an integer key", "number") if is_number else (key, "a key", "null"))
    return differing


def _unknown_and_absent(
    schema: Mapping[str, Any], records: Iterable[Mapping[str, Any]], path: str
) -> tuple[dict[str, str], dict[str, str]]:
    """The fields, by path, that no schema knows, with their types; those that did not come, with the declared type."""
    properties: Mapping[str, Mapping[str, Any]] = schema["properties"]
    current = {older: name for name, declared in properties.items() for older in declared.get("x-aliases", ())}
    values: dict[str, list[Any]] = {}
    for record in records:
        for name, value in record.items():
            values.setdefault(current.get(name, name), []).append(value)
    is_defined_later = _ADDITIONAL_FIELD.fullmatch if schema.get("x-partly-defined") else lambda _: None
    unknown = {
        path + name: "/".join(sorted({_TYPES.get(type(value).__name__, "null") for value in each}))
        for name, each in values.items()
        if not (name in properties or schema.get("x-declared-fields-only") or is_defined_later(name))
    }
    absent = {}
    for name, declared in properties.items():
        kinds = declared.get("type", ())
        kind = kinds if isinstance(kinds, str) else next((each for each in kinds if each != "null"), "any type")
        if name not in values and values:
            absent[path + name] = kind
        inner, suffix = (declared.get("items", {}), "[].") if kind == "array" else (declared, ".")
        elements = [part for value in values.get(name, ()) for part in (value if isinstance(value, list) else [value])]
        if "properties" in inner:
            below = [element for element in elements if isinstance(element, dict)]
            unknown_below, absent_below = _unknown_and_absent(inner, below, f"{path}{name}{suffix}")
            unknown.update(unknown_below)
            absent.update(absent_below)
    return unknown, absent


def _shown(path: str) -> str:
    """A field's name; what is no usual name may be somebody's data."""
    return path if _NAME.fullmatch(path.replace("[]", "")) else "<unusual name>"


def _extent(page: Page, page_size: int | None) -> tuple[Count, Count]:
    """How many records and requests the whole list has, by its first page."""
    came = len(page.records)
    if page.total_count is not None and page.total_count >= came:
        return Count(page.total_count), Count(page.page_count or max(1, math.ceil(page.total_count / max(came, 1))))
    if page.page_count and page.page_count > 1:
        return Count(page.page_count * came, ESTIMATE), Count(page.page_count)
    is_full = page.has_more is None and page_size is not None and came >= page_size
    return (Count(came, AT_LEAST), Count(2, AT_LEAST)) if page.has_more or is_full else (Count(came), Count(1))


def _partition(link: Mapping[str, Any], key: Any) -> StreamSlice:
    return StreamSlice(partition={link["partition_field"]: key}, cursor_slice={})


def _definitions_stream(stream: Mapping[str, Any]) -> str:
    """The stream that defines its additional fields, "" if none does."""
    return str(stream["schema_loader"].get("definitions_stream", {}).get("name", ""))


def _retried_once(requester: Mapping[str, Any]) -> dict[str, Any]:
    return {**requester, "error_handler": {**requester["error_handler"], "max_retries": 1}}


@contextmanager
def _without_logs() -> Iterator[None]:
    """The log of the requests would stand between the lines of the plan, and hold the keys of parents."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
