"""A sandbox tenant: a stand-in for a Docebo platform on loopback, which demo, tests and benchmarks share."""

from integration_tests.sandbox.faults import Fault
from integration_tests.sandbox.reports import Report
from integration_tests.sandbox.server import CREDENTIALS, Request, Sandbox, SandboxProcess
from integration_tests.sandbox.tenant import (
    CHILDREN,
    COURSES_PER_REQUEST,
    MANIFEST_STREAMS,
    STREAMS,
    Tenant,
    pages,
    without_nulls,
)

__all__ = [
    "CHILDREN",
    "COURSES_PER_REQUEST",
    "CREDENTIALS",
    "MANIFEST_STREAMS",
    "STREAMS",
    "Fault",
    "Report",
    "Request",
    "Sandbox",
    "SandboxProcess",
    "Tenant",
    "pages",
    "without_nulls",
]
