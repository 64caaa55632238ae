"""Tools for those who work on the connector: nothing here is part of what is installed."""
