"""Airbyte source connector that copies a Docebo learning platform into a warehouse."""

from source_docebo.source import SourceDocebo

__all__ = ["SourceDocebo"]
