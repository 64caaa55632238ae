"""A sandbox tenant: a stand-in for a Docebo platform on loopback, which demo, tests and benchmarks share."""

from integration_tests.sandbox.faults import Fault
from integration_tests.sandbox.server import CREDENTIALS, Request, Sandbox, SandboxProcess
from integration_tests.sandbox.tenant import CHILDREN, MANIFEST_STREAMS, STREAMS, Tenant, pages, without_nulls

__all__ = [
    "CHILDREN",
    "CREDENTIALS",
    "MANIFEST_STREAMS",
    "STREAMS",
    "Fault",
    "Request",
    "Sandbox",
    "SandboxProcess",
    "Tenant",
    "pages",
    "without_nulls",
]
