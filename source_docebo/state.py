"""The state of a stream that is read since its last sync: from which change the next one reads."""

from collections.abc import Mapping
from dataclasses import InitVar, dataclass
from datetime import datetime, timezone
from typing import Any

from airbyte_cdk.sources.declarative.migrations.state_migration import StateMigration
from airbyte_cdk.sources.types import Config

from source_docebo.client import Client
from source_docebo.errors import config_error
from source_docebo.records import to_utc

_STARTED_AT = "sync_started_at"


@dataclass
class BoundedState(StateMigration):
    """
    Bounds the newest change, which the CDK's cursor saves, by the moment at which that sync started: a record that
    changes after its page was read must not be skipped because a later page holds a newer change. The CDK saves the
    additional field of the state together with its own.
    """

    config: Config
    parameters: InitVar[Mapping[str, Any]]
    cursor_field: str
    name: str = ""

    def should_migrate(self, stream_state: Mapping[str, Any]) -> bool:
        """True: the moment is needed in every sync, the first one too."""
        return True

    def migrate(self, stream_state: Mapping[str, Any]) -> Mapping[str, Any]:
        """
        The state to read from, without a date if everything must be read. Raises DoceboError (config_error) if the
        state holds text that is not a date.
        """
        now = f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
        try:
            newest, started_at = (to_utc(stream_state.get(name)) for name in (self.cursor_field, _STARTED_AT))
        except ValueError:
            raise config_error(
                f"Stream {self.name}: the state of the last sync holds a value that is not a date. Clear the data of "
                "the stream, or start without the state, to read everything again."
            ) from None
        since = newest and min(newest, started_at or newest)
        if since and since <= now:
            return {self.cursor_field: since, _STARTED_AT: now}
        if stream_state:
            problem = "a date in the future" if since else "no date"
            Client.of(self.config).warn_once(
                (self.name, "state"),
                f"Stream {self.name}: the state of the last sync holds {problem}, so everything is read "
                "again. If that happens at every sync, check the clock of this computer.",
            )
        return {_STARTED_AT: now}
