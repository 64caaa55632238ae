"""How far a stream has come: which of its parents were read, which could not be, and when that fails the stream."""

from collections.abc import Iterable
from threading import Lock
from typing import Any

from airbyte_cdk.sources.types import StreamSlice

from source_docebo.client import Client
from source_docebo.errors import DoceboError, RequestError, UnreadableParentsError
from source_docebo.records import UNDECLARED

MAX_UNREADABLE_FIRST = 10  # parents, before any was read
MAX_NAMED = 5  # in a message


class StreamProgress:
    """
    Shared by the components of one stream. A parent that cannot be read is skipped with a warning; once the others were
    read, the stream fails, unless the configuration accepts so many. 404 alone (deleted meanwhile) does not fail it,
    unless it was most of the parents. If the first ten cannot be read and no other was, the stream fails at once.
    """

    @classmethod
    def of(cls, client: Client, stream: str, reader: str = "") -> "StreamProgress":
        """
        That of a stream in this sync, whichever component asks. A list of children that is read as parents, too, has
        one for each `reader`.
        """
        return client.common(("progress", stream, reader), lambda: cls(client, stream))

    def __init__(self, client: Client, stream: str) -> None:
        self._client = client
        self.error: DoceboError | None = None  # why the stream has failed
        self.succeeded = False  # a request for records was served
        self._stream = stream
        self._lock = Lock()
        self._found: set[str] = set()  # keys of parents
        self._read: set[str] = set()
        self._all_found = False
        self.unreadable: dict[str, RequestError] = {}  # parents, by the request
        self._differences: dict[str, tuple[str, str]] = {}  # by the field, what was expected, and the shape of a value
        self._warned: set[str] = set()  # fields of the differences

    def fail(self, error: DoceboError) -> bool:
        """Marks the stream as failed, so that it sends no further requests. Whether this is its first error."""
        with self._lock:
            is_first, self.error = self.error is None, self.error or error
            self.warn()
            return is_first

    def differs(self, field: str, expected: str, shape: str) -> None:
        """A value does not fit the schema. The user is warned when the stream ends, of all its fields at once."""
        self._differences.setdefault(field, (expected, shape))

    def warn(self) -> None:
        """The warnings about values that differ from the schema, each field once."""
        fields: dict[tuple[str, str], list[str]] = {}
        new = {field: each for field, each in [*self._differences.items()] if field not in self._warned}
        self._warned.update(new)
        for field, (expected, shape) in new.items():
            fields.setdefault((expected, "" if expected == UNDECLARED else shape), []).append(field)
        if undeclared := fields.pop((UNDECLARED, ""), []):
            self._client.warn(
                f"Stream {self._stream}: most destinations drop {', '.join(sorted(undeclared))}, since the schema of "
                "the connection lacks them. Refresh the schema."
            )
        if fields:
            values = [f"{', '.join(names)} (no {expected}: {shape})" for (expected, shape), names in fields.items()]
            self._client.warn(
                f"Stream {self._stream}: values that do not fit the schema: {'; '.join(values)}. # stands for any "
                "digit, X for any letter. A date became the epoch, other values stay as they are. If there are many, "
                "Docebo may have changed its format."
            )

    def parent_found(self, key: Any) -> None:
        """One more parent has records to be read."""
        with self._lock:
            self._found.add(str(key))

    def parent_unreadable(self, request: str, error: RequestError) -> None:
        """The request for a parent's records failed for good. Raises DoceboError if those of the first ten did."""
        self._client.warn_once((self._stream, request), f"{error} Its parent is skipped.")
        with self._lock:
            self.unreadable[request] = error
            if len(self.unreadable) >= MAX_UNREADABLE_FIRST and not self.succeeded:
                self._raise_unless_accepted()

    def parents_read(self, keys: Iterable[Any]) -> None:
        """All records of these parents were read, or never will be. Raises DoceboError after the last, as above."""
        with self._lock:
            self._read.update(map(str, keys))
            self._raise_at_end()

    def all_parents_found(self) -> None:
        """There are no more parents. Raises DoceboError as above, if all were read before."""
        with self._lock:
            self._all_found = True
            self._raise_at_end()

    def _raise_at_end(self) -> None:
        if self._all_found and len(self._read) == len(self._found):
            self.warn()
            if self.unreadable:
                self._raise_unless_accepted()

    def _raise_unless_accepted(self) -> None:
        gone = [request for request, error in self.unreadable.items() if error.status_code == 404]
        others = [request for request in self.unreadable if request not in gone]
        are_most_gone = len(gone) * 2 > len(self._found)
        if self.succeeded and not are_most_gone and len(others) <= self._client.max_unreadable_parents:
            return
        unread = others or gone
        error, more = self.unreadable[unread[0]], ", .." if len(unread) > MAX_NAMED else ""
        problem = str(error).removeprefix(f"Stream {self._stream}: ")
        helps = others and self.succeeded
        advice = "To accept that so many are missing, raise max_unreadable_parents." if helps else ""
        raise UnreadableParentsError(
            f"Stream {self._stream}: {len(unread)} of {len(self._found)} parents could not be read: "
            f"{', '.join(unread[:MAX_NAMED])}{more}. {problem} {advice}".rstrip(),
            error.failure_type,
        )


def parent_keys(stream_slice: StreamSlice) -> list[Any]:
    """The keys of the parents that a partition is for: several if they are grouped."""
    values = stream_slice.partition.values()
    return [key for value in values for key in (value if isinstance(value, list) else [value])]
