"""Unit tests: each a real run of the connector over mocked HTTP."""
