"""Schemas are true: every record of a whole read is valid by the catalog that `discover` gives for the same tenant."""

import re
from datetime import datetime
from typing import Any

import pytest
from jsonschema import Draft7Validator, FormatChecker, ValidationError

from integration_tests.command import Connector
from integration_tests.sandbox import MANIFEST_STREAMS, Sandbox, Tenant

# The library's own check of date-time does nothing unless another package is installed.
FORMATS = FormatChecker(formats=())


@FORMATS.checks("date-time", raises=ValueError)
def is_date_time(value: Any) -> bool:
    """RFC 3339 in UTC, as every date of the connector's."""
    if not isinstance(value, str):
        return True
    datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ")
    return bool(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", value, re.ASCII))


def test_every_record_is_valid_by_the_catalog_of_the_same_platform(connector: Connector) -> None:
    tenant = Tenant(seed=71, courses=60, users=250, groups=6, learning_plans=10)
    with Sandbox(tenant) as sandbox:
        config = sandbox.config("client_credentials")
        discovered = connector.discover(config)
        output = connector.read(config, MANIFEST_STREAMS)
    (catalog,) = [message["catalog"] for message in discovered.messages if message["type"] == "CATALOG"]
    schemas = {stream["name"]: stream["json_schema"] for stream in catalog["streams"]}
    records = output.records()
    assert set(schemas) == set(MANIFEST_STREAMS)
    for stream, schema in schemas.items():
        Draft7Validator.check_schema(schema)
        validator = Draft7Validator(schema, format_checker=FORMATS)
        assert len(records[stream]) == tenant.count([stream]) > 0
        for record in records[stream]:
            validator.validate(record)


@pytest.mark.parametrize("date", ["2024-05-01 08:30:00", "2024-05-01", "2023-02-30T00:00:00Z", "2024-05-01T08:30:00"])
def test_the_validation_notices_a_wrong_date(date: str) -> None:
    validator = Draft7Validator({"type": ["string", "null"], "format": "date-time"}, format_checker=FORMATS)
    validator.validate(None)
    validator.validate("2024-05-01T08:30:00Z")
    with pytest.raises(ValidationError):
        validator.validate(date)
