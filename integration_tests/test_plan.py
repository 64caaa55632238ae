"""The command `plan`: a report that holds no data, of at most 30 requests, whatever the tenant is like."""

import platform
import re
import time
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from integration_tests.command import Connector, Output, files
from integration_tests.reads import secrets
from integration_tests.sandbox import CREDENTIALS, MANIFEST_STREAMS, Fault, Sandbox, Tenant
from integration_tests.sandbox.tenant import CHILDREN, LISTS, MANIFEST

MAX_REQUESTS = 30
CHILD_STREAMS = {*CHILDREN, "course_enrollments"}


def plan(connector: Connector, sandbox: Sandbox, *options: str, **fields: Any) -> Output:
    """The plan of a sandbox. `fields`: more of the configuration."""
    config = {**sandbox.config("client_credentials"), **fields}
    with files(config=config) as directory:
        output = connector.run("plan", "--config", f"{directory}/config.json", *options)
    assert len(sandbox.requests) <= MAX_REQUESTS
    assert_nothing_of_the_tenant(sandbox, output)
    return output


def assert_nothing_of_the_tenant(sandbox: Sandbox, output: Output) -> None:
    """No value of a record or of the configuration stands in the report."""
    public = MANIFEST.read_text(encoding="utf-8")
    private = secrets(sandbox) | {*CREDENTIALS.values(), sandbox.base_url, sandbox.base_url.rpartition("/")[2]}
    for stream in MANIFEST_STREAMS:
        for record in sandbox.tenant.wire(stream):
            private.update(text for text in scalars(record) if len(text) >= 4 and text not in public)
    assert len(private) > len(CREDENTIALS)
    found = {text for text in private if text in output.text + output.stderr}
    assert not found


def scalars(value: Any) -> Iterator[str]:
    """All text and numbers in a value; numbers with fewer than five digits may stand anywhere."""
    if isinstance(value, (dict, list)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from scalars(part)
    elif isinstance(value, str):
        if not re.fullmatch(r"[\d.]{1,4}", value):
            yield value
    elif isinstance(value, int) and value >= 10000:
        yield str(value)


def rows(output: Output) -> dict[str, list[str]]:
    """The cells of the table by stream."""
    table = output.text.split("Stream  ")[1].split("\n\n")[0]
    cells = [re.split(r" {2,}", line) for line in table.splitlines()]
    return {row[0]: row[1:] for row in cells if row[0] and len(row) > 2}


def section(output: Output, title: str) -> str:
    """One section of the report, as a single line."""
    _, _, rest = output.text.partition(title)
    return " ".join(rest.split("\n\n")[0].split())


def span(cell: str) -> tuple[int, int]:
    """The least and the most of a count; of an estimate without a range a quarter less and more."""
    numbers = [int(number.replace(",", "")) for number in re.findall(r"[\d,]+", cell)]
    spread = 0.25 if cell.startswith("~") else 0
    return int(numbers[0] * (1 - spread)), round(numbers[-1] * (1 + spread))


class TestReport:
    def test_says_first_what_it_spends_and_then_what_a_sync_costs(self, connector: Connector) -> None:
        tenant = Tenant(seed=81, courses=120, users=450, groups=3)
        with Sandbox(tenant) as sandbox:
            output = plan(connector, sandbox, calls_per_hour=300)
        assert output.code == 0, output.stderr
        lines = output.text.splitlines()
        assert lines[0] == "This sends at most 30 requests to Docebo."
        installed = f"airbyte-cdk {version('airbyte-cdk')}, Python {platform.python_version()}"
        assert re.fullmatch(rf"airbyte-source-docebo \d+\.\d+\.\d+, {re.escape(installed)}", lines[2])
        assert max(map(len, lines)) <= 120
        assert lines[4].endswith("Requests  Share  Minutes at 300/h")
        table = rows(output)
        assert set(table) == {*MANIFEST_STREAMS, "All, and an access token", "enrollments, incremental, hourly"}
        for stream in LISTS:
            requests = -(-tenant.count([stream]) // 200)
            assert table[stream][:3] == ["yes", f"{tenant.count([stream]):,}", f"{requests:,}"]
            assert table[stream][4] == f"{requests / 5:.1f}"
        least, most = span(table["All, and an access token"][1])
        assert least <= tenant.minimum_requests() <= most

    def test_the_dearest_stream_comes_first(self, connector: Connector) -> None:
        with Sandbox(Tenant(seed=80, courses=430)) as sandbox:
            table = rows(plan(connector, sandbox))
        costs = [sum(span(cells[2])) for cells in list(table.values())[:-2]]
        assert costs == sorted(costs, reverse=True)
        assert next(iter(table)) == "course_learning_objects"
        assert 30 < int(table["course_learning_objects"][3].rstrip("%")) < 60

    def test_parents_of_which_one_page_was_read(self, connector: Connector) -> None:
        tenant = Tenant(seed=80, courses=430)
        with Sandbox(tenant) as sandbox:
            table = rows(plan(connector, sandbox))
        assert table["course_learning_objects"][2] == "~430"
        eligible = sum(tenant.eligible("sessions", number) for number in range(430))
        least, most = span(table["sessions"][2])
        assert least <= eligible <= most

    def test_a_few_parents_are_counted_exactly(self, connector: Connector) -> None:
        tenant = Tenant(seed=82, courses=0, branches=0, learning_plans=0, groups=3, users=700)
        with Sandbox(tenant) as sandbox:
            table = rows(plan(connector, sandbox))
        assert table["group_members"][:2] == ["yes", f"{tenant.count(['group_members']):,}"]

    def test_a_tenant_without_records(self, connector: Connector) -> None:
        sizes = ("courses", "users", "groups", "learning_plans", "branches", "categories", "certifications")
        lists = ("external_trainings", "user_fields", "course_fields", "catalogs")
        with Sandbox(Tenant(**dict.fromkeys((*sizes, *lists), 0))) as sandbox:
            output = plan(connector, sandbox)
        assert output.code == 0
        table = rows(output)
        for stream in CHILD_STREAMS:
            assert table[stream][0] == "not tried"
        assert table["users"][:3] == ["yes", "0", "1"]
        assert section(output, "the pages that were read").startswith("none ")
        assert "Without those that were not read: branch_members, course_enrollments, " in output.text


class TestDifferences:
    def test_fields_are_named_and_values_are_not(self, connector: Connector) -> None:
        def change(number: int, item: dict[str, Any]) -> dict[str, Any]:
            return {**item, "badge": {"secret name": 1}, "zoë@example.com": "x", "id": [item["id"]]}

        with Sandbox(Tenant(seed=83)) as sandbox:
            sandbox.add(Fault.changed_items(change, path="learn/v1/categories$"))
            sandbox.add(Fault.changed_items(lambda _, item: {**item, "field_99999": "x"}, path="manage/v1/user$"))
            output = plan(connector, sandbox)
        found = section(output, "the pages that were read")
        assert "categories: <unusual name> (in no schema), badge (in no schema), id (no integer)" in found
        assert re.search(r" users: .*field_99999 \(in no schema\)", found)
        assert "secret name" not in output.text
        assert "zoë" not in output.text

    def test_older_names_and_defined_fields_are_no_difference(self, connector: Connector) -> None:
        with Sandbox(Tenant(seed=84, older_names=True)) as sandbox:
            output = plan(connector, sandbox)
        found = section(output, "the pages that were read")
        for name in ("field_", "audience_id", "id_field", "i_left", "uuid", "iLeft", "idst"):
            assert name not in found.replace("external_training", "")


class TestWhatCannotBeRead:
    def test_forbidden_and_missing_streams_say_what_to_do(self, connector: Connector) -> None:
        with Sandbox(Tenant(seed=85)) as sandbox:
            sandbox.add(Fault.echo(403, "Zoe Miller, p.miller@example.com, may not", path="learn/v1/courses$"))
            sandbox.add(Fault.status(404, message="No such app", path="learningplan/v1/learningplans/enrollments$"))
            sandbox.add(Fault.status(404, message="No such app", path="audiences/v1/audience/.*/users$"))
            output = plan(connector, sandbox)
        assert output.code == 0
        table = rows(output)
        assert table["courses"] == ["no (403)", "-", "-", "-", "-"]
        assert table["learning_plan_enrollments"][0] == "no (404)"
        assert table["group_members"][0] == "no (404)"
        assert table["course_learning_objects"][0] == "not tried"
        assert table["users"][0] == "yes"
        unread = section(output, "Without those that were not read:")
        for stream in ("courses", "group_members", "learning_plan_enrollments"):
            assert stream in unread
        advice = section(output, "What to do")
        assert "courses: The API user is not allowed to read this (403). Grant the permission" in advice
        assert "learning_plan_enrollments: This platform does not serve it (404). Activate the app" in advice
        assert "course_learning_objects: Its parent stream courses cannot be read." in advice
        for text in ("Miller", "GET", "/v1/"):
            assert text not in output.text

    def test_a_group_of_parents_that_cannot_be_read(self, connector: Connector) -> None:
        with Sandbox(Tenant(seed=86)) as sandbox:
            sandbox.add(Fault.echo(403, "Zoe Miller may not", path="course/v1/courses/enrollments$"))
            output = plan(connector, sandbox)
            assert sandbox.requests_by_stream()["course_enrollments"] == 2
        assert rows(output)["course_enrollments"][0] == "no (403)"
        assert "Miller" not in output.text

    def test_retries_stay_within_the_requests_that_were_announced(self, connector: Connector) -> None:
        with Sandbox(Tenant(seed=87)) as sandbox:
            sandbox.add(Fault.status(500, path="/v1/", times=1, per_target=True))
            output = plan(connector, sandbox)
            assert len(sandbox.requests) == MAX_REQUESTS
        assert output.code == 0
        assert "The requests of this command are used up." in section(output, "What to do")

    def test_nothing_can_be_read(self, connector: Connector) -> None:
        with Sandbox(Tenant(seed=88)) as sandbox:
            sandbox.add(Fault.status(403, path="/v1/"))
            assert plan(connector, sandbox).code == 1


class TestOneLine:
    """What makes any plan impossible is an error of one line."""

    def test_wrong_credentials(self, connector: Connector) -> None:
        with Sandbox(Tenant(seed=89)) as sandbox:
            config = sandbox.config("client_credentials")
            config["credentials"]["client_secret"] = "not-the-secret"
            with files(config=config) as directory:
                output = connector.run("plan", "--config", f"{directory}/config.json")
        assert_one_line(output, "client_secret")
        assert "not-the-secret" not in output.stderr

    def test_a_dead_tenant(self, connector: Connector) -> None:
        started = time.monotonic()
        config = {"base_url": "http://127.0.0.1:9", "credentials": Sandbox(Tenant()).config("x")["credentials"]}
        config["credentials"]["auth_type"] = "client_credentials"
        with files(config=config) as directory:
            output = connector.run("plan", "--config", f"{directory}/config.json")
        assert output.code == 1
        lines = output.stderr.splitlines()
        assert all("127.0.0.1:9 did not respond: the connection was refused. Check base_url." in line for line in lines)
        assert re.search(r"Retrying in 1\.\d seconds\.$", lines[0])
        assert lines[-1].endswith("Try again later; if it persists, contact Docebo support.")
        assert time.monotonic() - started < 100

    def test_no_configuration(self, connector: Connector) -> None:
        assert_one_line(connector.run("plan", "--config", "missing.json"), "missing.json")

    def test_a_configuration_that_does_not_fit(self, connector: Connector) -> None:
        with files(config={"base_url": "https://acme.example.com"}) as directory:
            assert_one_line(connector.run("plan", "--config", f"{directory}/config.json"), "credentials is missing")


def assert_one_line(output: Output, words: str) -> None:
    """Exit code 1, and one line on standard error with these words."""
    assert output.code == 1
    assert len(output.stderr.strip().splitlines()) == 1
    assert words in output.stderr
