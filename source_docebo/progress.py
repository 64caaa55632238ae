"""How far a stream has come: its parents, those that could not be read, and whether it has failed."""

from collections.abc import Callable
from threading import Lock
from typing import Any

from airbyte_cdk.sources.types import StreamSlice

from source_docebo.client import Client
from source_docebo.errors import config_error, logger, transient_error
from source_docebo.responses import Page

FEW_PARENTS = 3  # so many may have been deleted during a sync, or one in twenty
SAME_FAILURES = 3  # are enough to know that all parents fail in the same way
_MAX_LABELS = 5


class StreamProgress:
    """
    Shared by the components of one stream. Its methods raise DoceboError once it is clear that the stream must fail: at
    once where no other parent could help, else after all parents were read.
    """

    @classmethod
    def of(cls, client: Client, stream: str) -> "StreamProgress":
        """That of a stream in this sync, whichever component asks."""
        return client.common(f"progress of {stream}", lambda: cls(stream))

    def __init__(self, stream: str) -> None:
        self.failed = False
        self.succeeded = False  # a request for records was served
        self._stream = stream
        self._first = Lock()
        self._lock = Lock()
        self._found = 0
        self._unread = 1  # parents, and until all of them are found, their list
        self._gone: list[str] = []
        self._unreadable: list[str] = []

    def request(self, send: Callable[[], Page]) -> Page:
        """
        What `send` returns. Until a request of the stream succeeds, they are sent one at a time: where all must fail,
        few of them show it.
        """
        if not self.succeeded:
            with self._first:
                if not self.succeeded:
                    return send()
        return send()

    def fail(self) -> bool:
        """Marks the stream as failed, so that it sends no further requests. False if another parent's records did."""
        with self._lock:
            first, self.failed = not self.failed, True
            return first or not self._found

    def parent_found(self) -> None:
        """One more parent has records to be read."""
        with self._lock:
            self._found += 1
            self._unread += 1

    def all_parents_found(self) -> None:
        """There are no more parents: their list counts as one of those that were read."""
        self.parents_read(1)

    def parents_read(self, count: int) -> None:
        """All records of these parents were read, or never will be."""
        with self._lock:
            self._unread -= count
            if self._unread <= 0:
                self._judge()

    def parent_skipped(self, request: str, message: str, gone: bool) -> None:
        """Docebo does not know the parent (404: it is gone), or does not let it be read (403, 400)."""
        with self._lock:
            if gone:
                self._gone.append(request)
            else:
                self._unreadable.append(request)
                self._message = message
            if not self.succeeded and len(self._gone) > self._few():
                raise self._not_served()
            if not self.succeeded and len(self._unreadable) >= SAME_FAILURES:
                raise config_error(f"Stream {self._stream}: {message} ({request} and others)")
        logger.warning("Stream %s: %s Skipped: %s", self._stream, message, request)

    def _judge(self) -> None:
        if self._unreadable:
            raise config_error(
                f"Stream {self._stream}: {len(self._unreadable)} of {self._found} parents could not be read. "
                f"{self._message} ({_listed(self._unreadable)})"
            )
        if self._gone and not self.succeeded:
            raise self._not_served()
        if len(self._gone) > self._few():
            raise transient_error(
                f"Stream {self._stream}: Docebo returned 404 for {len(self._gone)} of {self._found} parents, more than "
                f"can have been deleted during the sync ({_listed(self._gone)}). Sync again later; if it goes on, ask "
                "Docebo's support."
            )

    def _few(self) -> int:
        return max(FEW_PARENTS, self._found // 20)

    def _not_served(self) -> Exception:
        return config_error(
            f"Stream {self._stream}: Docebo returned 404 for every request ({_listed(self._gone)}): this platform does "
            "not serve it. Activate the app that it belongs to, or deselect the stream."
        )


def parent_keys(stream_slice: StreamSlice) -> list[Any]:
    """The keys of the parents that a partition is for: several if they are grouped."""
    values = stream_slice.partition.values()
    return [key for value in values for key in (value if isinstance(value, list) else [value])]


def _listed(requests: list[str]) -> str:
    more = ", .." if len(requests) > _MAX_LABELS else ""
    return ", ".join(requests[:_MAX_LABELS]) + more
