"""A sandbox tenant: a stand-in for a Docebo platform on loopback, which demo, tests and benchmarks share."""

from integration_tests.sandbox.faults import Fault
from integration_tests.sandbox.server import Call, Sandbox, SandboxProcess
from integration_tests.sandbox.tenant import CHILDREN, STREAMS, Tenant, without_nulls

__all__ = ["CHILDREN", "STREAMS", "Call", "Fault", "Sandbox", "SandboxProcess", "Tenant", "without_nulls"]
