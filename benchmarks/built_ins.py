"""
Why there is Python beside the manifest: the same manifest with the CDK's built-in component in place of each custom
one, beside this connector, on the same sandbox: `python -m benchmarks.built_ins`.

Prints one table in Markdown: what a read of all streams takes, and which records of a stream come when something goes
wrong. The built-in components are tried with both of their paginations. They leave values as they come, with the wrong
types and dates; the CDK's own normalization would cost them more time.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import yaml
from airbyte_cdk.sources.declarative.parsers.manifest_reference_resolver import ManifestReferenceResolver

from benchmarks.__main__ import measured
from benchmarks.checkouts import ROOT, installed
from integration_tests.command import STREAMS, Connector, catalog, files
from integration_tests.sandbox import Fault, Sandbox, SandboxProcess, Tenant

PAGINATIONS: dict[str, dict[str, Any]] = {
    "PageIncrement": {"type": "PageIncrement", "page_size": 200, "start_from_page": 1},
    "CursorPagination": {
        "type": "CursorPagination",
        "page_size": 200,
        "cursor_value": "{{ response['data']['current_page'] | int + 1 }}",
        "stop_condition": "{{ not response['data']['has_more_data'] }}",
    },
}
KEYS = {
    "course_enrollments": ("course_id", "user_id"),
    "group_members": ("group_uuid", "user_id"),
    "users": ("user_id",),
}
USERS = 900
WORKERS = 8


@dataclass(frozen=True)
class Variant:
    """One way to read the sandbox: its command, and the options that follow `read`."""

    name: str
    command: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trouble:
    """A fault, and the stream that meets it; `deleted`: the id of a course that nobody can read any more."""

    name: str
    fault: Callable[[], Fault]  # a new one for each read: a fault counts the requests that met it
    stream: str = "users"
    deleted: int | None = None


def main() -> None:
    """Measures, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1, help="how often each reads the reference tenant (1)")
    parser.add_argument("--size", type=float, default=1, help="of that tenant, as a multiple of the reference (1)")
    parser.add_argument("--latency", type=float, default=0.1, help="of a request to it, in seconds (0.1)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        variants = []
        for name, pagination in PAGINATIONS.items():
            path = Path(directory, f"{name}.yaml")
            path.write_text(json.dumps(built_in_manifest(pagination)), encoding="utf-8")  # JSON is YAML
            command = str(Path(sys.executable).with_name("source-declarative-manifest"))
            variants.append(Variant(f"Built-in, `{name}`", command, ("--manifest-path", str(path))))
        variants.append(Variant("This connector", installed("this", ROOT, Path(directory, "this")).command))
        print(f"| | {' | '.join(variant.name for variant in variants)} |\n|---|{'---|' * len(variants)}")
        for row in cost(variants, Tenant.reference(arguments.size), arguments.latency, arguments.rounds):
            print(f"| {' | '.join(row)} |", flush=True)
        for trouble in troubles():
            found = [outcome(variant, trouble) for variant in variants]
            print(f"| {trouble.name} | {' | '.join(found)} |", flush=True)


def built_in_manifest(pagination: dict[str, Any]) -> dict[str, Any]:
    """The connector's manifest, with built-in components only."""
    manifest = yaml.safe_load((ROOT / "manifest.yaml").read_text(encoding="utf-8"))
    resolved = dict(ManifestReferenceResolver().preprocess_manifest(manifest))
    del resolved["definitions"], resolved["schemas"], resolved["dynamic_streams"]
    return dict(without_custom_components(resolved, pagination))


def without_custom_components(node: Any, pagination: dict[str, Any]) -> Any:
    """A part of a manifest, with the built-in component that comes nearest in place of each custom one."""
    if isinstance(node, list):
        return [without_custom_components(part, pagination) for part in node]
    if not isinstance(node, dict):
        return node
    node = {name: without_custom_components(part, pagination) for name, part in node.items()}
    custom = str(node.get("class_name", "")).rpartition(".")[2]
    if custom in REPLACEMENTS:
        return REPLACEMENTS[custom](node)
    if "deleted during the sync" in node.get("error_message", ""):
        return {**node, "action": "IGNORE"}  # without code, a parent that is gone fails its stream, or is ignored
    if node.get("type") == "DefaultPaginator":
        is_numbered = "page_size" in node["pagination_strategy"]
        return {**node, "pagination_strategy": pagination} if is_numbered else {"type": "NoPagination"}
    if node.get("type") == "DeclarativeStream":
        node.pop("state_migrations", None)
        if "transformations" in node:
            parent_key = node["retriever"]["partition_router"]["parent_stream_configs"][0]["partition_field"]
            added = {"path": [parent_key], "value": f"{{{{ stream_partition['{parent_key}'] }}}}"}
            node["transformations"] = [{"type": "AddFields", "fields": [{"type": "AddedFieldDefinition", **added}]}]
    return node


def _http_requester(node: dict[str, Any]) -> dict[str, Any]:
    # A parameter is text here, of which a list is evaluated.
    parameters = node.get("request_parameters", {}).items()
    texts = {name: value if isinstance(value, str) else f"{{{{ {value} }}}}" for name, value in parameters}
    kept = {name: node[name] for name in ("authenticator", "error_handler")}
    return {"type": "HttpRequester", **kept, "request_parameters": texts}


REPLACEMENTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "SharedTokenAuthenticator": lambda node: node["grant"],
    "DoceboRequester": _http_requester,
    "PageExtractor": lambda node: {"type": "DpathExtractor", "field_path": ["data", "items"]},
    "SchemaNormalizer": lambda node: "None",
    "UniqueParentRouter": lambda node: {
        "type": "SubstreamPartitionRouter",
        "parent_stream_configs": node["parent_stream_configs"],
    },
    "AdditionalFieldsSchemaLoader": lambda node: node["schema_loader"],
}


def cost(variants: Sequence[Variant], tenant: Tenant, latency: float, rounds: int) -> list[list[str]]:
    """Rows with the records, seconds (medians), tokens and requests of a whole read. The variants read by turns."""
    costs: dict[str, list[tuple[float, int, int, int]]] = {variant.name: [] for variant in variants}
    with SandboxProcess(tenant, latency) as sandbox:
        config = {**sandbox.config("client_credentials"), "num_workers": WORKERS}
        with files(config=config, catalog=catalog(STREAMS)) as directory:
            paths = ("--config", f"{directory}/config.json", "--catalog", f"{directory}/catalog.json")
            measured([variants[-1].command, "read", *paths])  # during the first read, the sandbox prepares its pages
            for variant in [*variants] * rounds:
                sandbox.reset()
                found = measured([variant.command, "read", *paths, *variant.options])
                summary = sandbox.summary()
                numbers = found.records, summary["by_stream"]["token"], summary["count"]
                costs[variant.name].append((found.seconds, *numbers))
    figures = [[median(figure) for figure in zip(*found, strict=True)] for found in costs.values()]
    seconds, *others = zip(*figures, strict=True)
    read = f"A whole read, {latency * 1000:g} ms a request, {WORKERS} workers"
    rows = [[f"{read}: seconds", *(f"{each:.1f}" for each in seconds)]]
    for name, found in zip(("records", "access tokens", "requests"), others, strict=True):
        rows.append([name, *(f"{each:,.0f}" for each in found)])
    return rows


def troubles() -> list[Trouble]:
    """What goes wrong."""
    users = "manage/v1/user$"
    page_3: dict[str, Any] = {"path": users, "page": 3, "times": 1}
    course = Tenant().course_ids()[5]
    course_is_gone = partial(Fault.course_of_batch, course, 404)
    return [
        Trouble("Page 3 is empty, once", lambda: Fault.empty_page(**page_3)),
        Trouble("Page 3 is HTML with status 200, once", lambda: Fault.html_200(**page_3)),
        Trouble("Page 3 has no body, once", lambda: Fault.empty_body(**page_3)),
        Trouble('Page 3 is `{"data": null}`, once', lambda: Fault.json_without_list(**page_3)),
        Trouble("Page 3 is page 1 from a cache, once", lambda: Fault.cached_first_page(**page_3)),
        Trouble("Pages hold 50 records, not the requested 200", lambda: Fault.page_size_ignored(path=users)),
        Trouble("Lists are objects, as PHP writes them", lambda: Fault.items_as_object(path=users)),
        Trouble("Every group returns 404", lambda: Fault.deleted(path="audience/[^/]+/users$"), "group_members"),
        Trouble("A batch with a deleted course returns 404", course_is_gone, "course_enrollments", course),
    ]


def outcome(variant: Variant, trouble: Trouble) -> str:
    """How many of the records that can be read have come, each counted once, and the status of the stream."""
    stream, tenant = trouble.stream, Tenant(users=USERS)
    readable = sum(
        trouble.deleted is None or record["course_id"] != trouble.deleted for record in tenant.emitted(stream)
    )
    with Sandbox(tenant) as sandbox:
        sandbox.add(trouble.fault())
        output = Connector(variant.command).read(sandbox.config("client_credentials"), [stream], *variant.options)
    keys = {tuple(str(record.get(name)) for name in KEYS[stream]) for record in output.records()[stream]}
    return f"{len(keys):,} of {readable:,}, {output.statuses()[stream].lower()}"


if __name__ == "__main__":
    main()
