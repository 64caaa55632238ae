"""What the command `plan` says about reports: their ids, and which of the configured ones can be read."""

from collections.abc import Mapping
from textwrap import fill
from typing import Any

from airbyte_cdk.sources.types import StreamSlice

from source_docebo.errors import DoceboError
from source_docebo.requester import DoceboRequester, PageRequest
from source_docebo.responses import PageToken


def report_section(requester: DoceboRequester, config: Mapping[str, Any]) -> str:
    """A line for each report that the user sees, and for each configured one that it does not. Costs one request."""
    streams = {report["id"].lower(): f"report_{report['name']}" for report in config.get("reports", ())}
    url = f"{config['base_url']}/analytics/v1/reports?count=500"
    try:
        whole = StreamSlice(partition={}, cursor_slice={})
        page = PageRequest(requester, url, PageToken(), whole, max_tries=1).send()
        seen = {str(report.get("idReport")).lower(): report for report in page.records}
        lines = [f"{key}: {report.get('name')} ({report.get('type')})" for key, report in seen.items()]
        lines += [f"{streams[key]}: can be read" for key in streams if key in seen]
        hidden = "Compare it with this list, and make the report visible to the user behind the OAuth app."
        lines += [f"{streams[key]}: the user sees no report {key}. {hidden}" for key in streams if key not in seen]
    except DoceboError as error:
        lines = [f"They cannot be listed ({getattr(error, 'status_code', None) or 'no list came'})."]
    filled = [fill(line, 120, initial_indent="  ", subsequent_indent="    ") for line in lines or ["none"]]
    return "\n".join(["Reports that this user sees", *filled])
