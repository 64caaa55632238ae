"""
Serves a tenant until the process ends:
`python -m integration_tests.sandbox '{"tenant": {"courses": 40}, "latency": 0.1}'`.

Prints one line of JSON with the configuration when it is ready. SandboxProcess knows the paths below /_sandbox/.
"""

import json
import sys
import threading

from integration_tests.sandbox import Report, Sandbox, Tenant

if __name__ == "__main__":
    arguments = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}
    tenant = Tenant(**arguments.pop("tenant", {}))
    reports = [Report(**report) for report in arguments.pop("reports", ())]
    with Sandbox(tenant, reports=reports, **arguments) as sandbox:
        print(json.dumps(sandbox.config("client_credentials")), flush=True)
        threading.Event().wait()
