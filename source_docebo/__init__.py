"""Airbyte source connector that copies a Docebo learning platform into a warehouse."""

from typing import Any


def __getattr__(name: str) -> Any:
    """Imports `SourceDocebo` on first use: the command must handle signals before it imports the CDK."""
    if name == "SourceDocebo":
        from source_docebo.source import SourceDocebo

        return SourceDocebo
    raise AttributeError(f"module {__name__} has no attribute {name}")
