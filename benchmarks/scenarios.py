"""
The tenants that are read, and all that the benchmarks know of the sandbox that serves them: where its interface
changes, this file does.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import requests

from integration_tests.command import catalog
from integration_tests.sandbox import SandboxProcess, Tenant

# The streams of the first version: figures of all versions can be compared.
CORE_STREAMS = (
    "branches",
    "categories",
    "certifications",
    "course_enrollments",
    "course_fields",
    "course_learning_objects",
    "courses",
    "external_training",
    "group_members",
    "groups",
    "learning_plan_course_enrollments",
    "learning_plan_enrollments",
    "learning_plans",
    "sessions",
    "user_fields",
    "users",
)


REPORT_STREAM = "report_enrollments"
COURSE_ENROLLMENTS = Tenant.reference().count(["course_enrollments"])


@dataclass(frozen=True)
class Scenario:
    """A tenant, and how it is read. report_rows: those of its report, which has 20 columns; 0: there is none."""

    name: str
    tenant: Tenant
    latency: float = 0  # seconds a request
    workers: int = 8
    streams: Sequence[str] = CORE_STREAMS
    changed_every: int = 0  # n: incremental, after one record of n was changed; 0: full refresh
    report_rows: int = 0

    @property
    def minimum_requests(self) -> int | None:
        """The fewest requests that a full refresh can take, one token included; None for an incremental sync."""
        if self.report_rows:
            return 4  # token, start, one poll, download
        return None if self.changed_every else self.tenant.minimum_requests(self.streams)

    def reports(self) -> list[dict[str, Any]]:
        """The reports of the sandbox."""
        header = [f"Column {number}" for number in range(1, 21)]
        report = {"title": "Enrollments", "header": header, "rows": self.report_rows, "statuses": [["SUCCEEDED"]]}
        return [report] if self.report_rows else []

    def catalog(self) -> dict[str, Any]:
        """The configured catalog."""
        return catalog(self.streams, self.streams if self.changed_every else ())


def multiple_of_reference(factor: float, latency: float, workers: int) -> Scenario:
    """A tenant of any size; the latency in seconds a request."""
    name = f"{factor:g} times the reference, {latency * 1000:g} ms, {workers} workers"
    return Scenario(name, Tenant.reference(factor), latency, workers)


class RunningTenant:
    """A scenario's tenant, served by a process of its own."""

    def __init__(self, scenario: Scenario, sandbox: SandboxProcess) -> None:
        self._scenario = scenario
        self._sandbox = sandbox

    def config(self) -> dict[str, Any]:
        """The connector's configuration."""
        return {**self._sandbox.config("client_credentials"), "num_workers": self._scenario.workers}

    def forget_requests(self) -> None:
        """Starts counting anew."""
        self._sandbox.reset()

    def requests(self) -> tuple[int, list[str]]:
        """How many requests there were, those for tokens included, and the URLs of the others."""
        summary = self._sandbox.summary()
        return summary["count"], [self._sandbox.base_url + target for target in summary["targets"]]

    def change(self) -> None:
        """Changes, as of now, the share of records that the scenario says."""
        now = datetime.now(timezone.utc).replace(tzinfo=None)
        self._sandbox.change_enrollments(self._scenario.changed_every, now)

    def token(self) -> str:
        """An access token for a bare client."""
        credentials = self._sandbox.config("client_credentials")["credentials"]
        form = {
            "grant_type": "client_credentials",
            "scope": "api",
            "client_id": credentials["client_id"],
            "client_secret": credentials["client_secret"],
        }
        response = requests.post(f"{self._sandbox.base_url}/oauth2/token", data=form, timeout=60)
        return str(response.json()["access_token"])


@contextmanager
def running(scenario: Scenario) -> Iterator[RunningTenant]:
    """Serves the tenant for as long as the context lasts."""
    with SandboxProcess(scenario.tenant, scenario.latency, scenario.reports()) as sandbox:
        yield RunningTenant(scenario, sandbox)


SCENARIOS = (
    Scenario("reference, 100 ms, 8 workers", Tenant.reference(), 0.1),
    Scenario("reference, 100 ms, 16 workers", Tenant.reference(), 0.1, 16),
    Scenario("reference, 100 ms, 40 workers", Tenant.reference(), 0.1, 40),
    Scenario("reference, no latency, 8 workers", Tenant.reference()),
    Scenario("large, no latency, 8 workers", Tenant.large()),
    Scenario("one list of 200,000, no latency, 8 workers", Tenant(users=200_000), streams=("users",)),
    Scenario(
        "4,000 courses with one object or none, 8 workers",
        Tenant(courses=4000, objects_per_course=1),
        streams=("course_learning_objects",),
    ),
    Scenario("course_enrollments in full, 100 ms", Tenant.reference(), 0.1, streams=("course_enrollments",)),
    Scenario(
        "as many rows as a report, 100 ms", Tenant(), 0.1, streams=(REPORT_STREAM,), report_rows=COURSE_ENROLLMENTS
    ),
    Scenario("enrollments of large, full refresh", Tenant.large(), streams=("enrollments",)),
    Scenario(
        "enrollments of large, incremental, 1 % changed", Tenant.large(), streams=("enrollments",), changed_every=100
    ),
)
