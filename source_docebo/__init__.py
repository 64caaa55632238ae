"""Airbyte source connector that copies a Docebo learning platform into a warehouse."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from source_docebo.source import SourceDocebo

__all__ = ["SourceDocebo"]


def __getattr__(name: str) -> Any:
    """Imports the source on first use: the command handles signals before it imports the CDK."""
    if name != "SourceDocebo":
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from source_docebo.source import SourceDocebo

    return SourceDocebo
