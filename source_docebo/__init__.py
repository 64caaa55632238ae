"""Airbyte source connector that copies a Docebo learning platform into a warehouse."""
