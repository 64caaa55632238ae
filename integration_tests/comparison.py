"""Compares the records that were read with those of the tenant."""

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from integration_tests.command import STREAMS, Output
from integration_tests.sandbox import Tenant, without_nulls


def assert_same_records(tenant: Tenant, output: Output, streams: Iterable[str] = STREAMS) -> None:
    """Every record of these streams, once, field by field. The serializer omits nulls."""
    records = output.records()
    for stream in streams:
        expected = [without_nulls(record) for record in tenant.emitted(stream)]
        assert_same(stream, expected, records[stream])


def assert_none_lost(tenant: Tenant, output: Output, streams: Iterable[str]) -> None:
    """Each of these streams is complete with all its records, or ended INCOMPLETE."""
    complete = [stream for stream in streams if output.statuses()[stream] == "COMPLETE"]
    assert_same_records(tenant, output, complete)


def assert_each_found(
    stream: str, expected: list[dict[str, Any]], found: list[dict[str, Any]], possible: Iterable[dict[str, Any]] = ()
) -> None:
    """Every expected record, at least once, and else only such as are possible: of rows that were there for a while."""
    needed, counted = _counted([without_nulls(record) for record in expected]), _counted(found)
    missing = needed.keys() - counted.keys()
    unexpected = counted.keys() - needed.keys() - _counted([without_nulls(record) for record in possible]).keys()
    assert not missing | unexpected, (
        f"{stream}: {len(missing)} missing, {len(unexpected)} unexpected\n"
        + "\n".join(f"- {text}" for text in sorted(missing)[:2])
        + "\n"
        + "\n".join(f"+ {text}" for text in sorted(unexpected)[:2])
    )


def assert_same(stream: str, expected: list[dict[str, Any]], found: list[dict[str, Any]]) -> None:
    """The same records in any order; the message shows the first that differ."""
    missing = _counted(expected) - _counted(found)
    unexpected = _counted(found) - _counted(expected)
    assert missing + unexpected == Counter(), (
        f"{stream}: {sum(missing.values())} missing, {sum(unexpected.values())} unexpected\n"
        + "\n".join(f"- {text}" for text in sorted(missing)[:2])
        + "\n"
        + "\n".join(f"+ {text}" for text in sorted(unexpected)[:2])
    )


def _counted(records: list[dict[str, Any]]) -> Counter[str]:
    return Counter(json.dumps(record, sort_keys=True) for record in records)
