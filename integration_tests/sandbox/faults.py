"""What can go wrong on the way, served on request."""

import re
import time
from collections import Counter
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

HTML = b"<!DOCTYPE html><html><body><h1>Something went wrong</h1></body></html>"


@dataclass
class Fault:
    """
    One fault: what is answered (`kind`, with `value`), and which calls meet it.

    path: a regular expression that the path must contain. page: only that page. times: how often, for ever by default.
    every: only each n-th of the calls that fit. per_request: `times` counts for each address of its own.
    seconds: how long after it was added.
    """

    kind: str
    value: Any = None
    path: str = ""
    page: int | None = None
    times: int | None = None
    every: int = 1
    per_request: bool = False
    seconds: float | None = None
    added: float = field(default_factory=time.monotonic)
    met: Counter[str] = field(default_factory=Counter)
    hit: Counter[str] = field(default_factory=Counter)

    def applies(self, path: str, page: int, address: str) -> bool:
        """Whether this call meets the fault; counts it if so."""
        if not re.search(self.path, path) or self.page not in (None, page):
            return False
        if self.seconds is not None and time.monotonic() > self.added + self.seconds:
            return False
        counted = address if self.per_request else ""
        self.met[counted] += 1
        if self.met[counted] % self.every or (self.times is not None and self.hit[counted] >= self.times):
            return False
        self.hit[counted] += 1
        return True

    @classmethod
    def status(cls, code: int, html: bool = False, message: str = "It cannot be done", **where: Any) -> "Fault":
        """A refusal, with Docebo's body or a proxy's page."""
        return cls("status", (code, HTML if html else message, {}), **where)

    @classmethod
    def deleted(cls, **where: Any) -> "Fault":
        """An id that is not known any more."""
        return cls.status(404, **where)

    @classmethod
    def retry_after(cls, seconds: int, as_date: bool = False, **where: Any) -> "Fault":
        """429 that tells how long to wait."""
        told = (lambda: formatdate(time.time() + seconds, usegmt=True)) if as_date else (lambda: str(seconds))
        return cls("status", (429, "Too Many Requests", {"Retry-After": told}), **where)

    @classmethod
    def rate_limit(cls, seconds: float) -> "Fault":
        """429 for every call, for so long."""
        return cls("status", (429, "Too Many Requests", {}), seconds=seconds)

    @classmethod
    def reset(cls, **where: Any) -> "Fault":
        """The connection is reset."""
        return cls("reset", **where)

    @classmethod
    def cut_body(cls, **where: Any) -> "Fault":
        """The connection breaks off in the middle of the body."""
        return cls("cut_body", **where)

    @classmethod
    def html_200(cls, **where: Any) -> "Fault":
        """A proxy's page, with status 200."""
        return cls("body", (HTML, "text/html"), **where)

    @classmethod
    def empty_body(cls, **where: Any) -> "Fault":
        """Status 200, and nothing."""
        return cls("body", (b"", "application/json"), **where)

    @classmethod
    def json_without_list(cls, body: bytes = b'{"data": null}', **where: Any) -> "Fault":
        """JSON that holds no list."""
        return cls("body", (body, "application/json"), **where)

    @classmethod
    def hang(cls, seconds: float, **where: Any) -> "Fault":
        """No answer for so long."""
        return cls("hang", seconds, **where)

    @classmethod
    def redirect(cls, address: str, **where: Any) -> "Fault":
        """Another address."""
        return cls("redirect", address, **where)

    @classmethod
    def bare_list(cls, **where: Any) -> "Fault":
        """`data` is the list itself."""
        return cls("envelope", lambda envelope, last: {"data": envelope["data"]["items"]}, **where)

    @classmethod
    def no_has_more(cls, **where: Any) -> "Fault":
        """`has_more_data` is not there."""
        return cls("envelope", lambda envelope, last: _changed(envelope, has_more_data=None), **where)

    @classmethod
    def numbers_as_strings(cls, **where: Any) -> "Fault":
        """Page numbers and counts come as text."""

        def change(envelope: dict[str, Any], last: int) -> dict[str, Any]:
            names = ("current_page", "current_page_size", "total_page_count", "total_count", "count")
            return _changed(envelope, **{name: str(envelope["data"][name]) for name in names})

        return cls("envelope", change, **where)

    @classmethod
    def row_twice(cls, **where: Any) -> "Fault":
        """The first row of the page comes again at its end, as rows do that move while pages are read."""

        def change(envelope: dict[str, Any], last: int) -> dict[str, Any]:
            items = envelope["data"]["items"]
            return _changed(envelope, items=[*items, items[0]])

        return cls("envelope", change, **where)

    @classmethod
    def in_pages(cls, **where: Any) -> "Fault":
        """A list that is known to come whole says that there are two pages of it."""
        return cls(
            "envelope", lambda envelope, last: _changed(envelope, has_more_data=True, total_page_count=2), **where
        )

    @classmethod
    def string_flags(cls, **where: Any) -> "Fault":
        """`has_more_data` comes as text."""

        def change(envelope: dict[str, Any], last: int) -> dict[str, Any]:
            return _changed(envelope, has_more_data=str(envelope["data"]["has_more_data"]).lower())

        return cls("envelope", change, **where)

    @classmethod
    def has_more_forever(cls, without_total: bool = False, **where: Any) -> "Fault":
        """`has_more_data` is always true, and the last page is repeated for ever."""

        def change(envelope: dict[str, Any], last: int) -> dict[str, Any]:
            changed = _changed(envelope, has_more_data=True)
            return _changed(changed, total_page_count=None, total_count=None) if without_total else changed

        return cls("envelope", change, **where)


def _changed(envelope: dict[str, Any], **words: Any) -> dict[str, Any]:
    """The envelope with other words; None takes one away."""
    data = {**envelope["data"], **words}
    return {**envelope, "data": {name: value for name, value in data.items() if value is not None}}
