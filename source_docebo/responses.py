"""What a response holds: a page and where its list ends, Retry-After, Docebo's error messages."""

import json
import math
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import orjson
import requests
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets

MAX_RETRY_AFTER_SECONDS = 3600.0
_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class PageToken:
    """
    The number of a page to request, and what the pages before it said about their list.

    Rows move while pages are read. If a list has become shorter since the page before, the rows after it have moved up:
    reading goes back as many pages as the difference fills. If a key occurred twice and others are missing at the end,
    the list is read once more.
    """

    number: int = 1
    page_count: int = 0  # as announced last; 0: not at all
    total_count: int = 0  # likewise
    lowest_total: float = math.inf  # that was announced, and as many more as repeated pages have explained
    body_size: int = 0  # bytes of the largest page so far
    highest: int = 0  # the greatest number of a page that was read: reading may have gone back since
    keys: set[int] = field(default_factory=set, compare=False)  # of all records so far
    moved: bool = False  # a key occurred twice
    again: bool = False  # the list is read once more
    batches: tuple[tuple[Any, ...], ...] = ()  # of parents: the one that is read, and those after it

    def __deepcopy__(self, _: Any) -> "PageToken":
        """Itself: the CDK copies the parameters of each request, which would copy all keys."""
        return self

    def problem(self, page: "Page", is_second: bool, page_size: int | None = None) -> str | None:
        """
        Why this is not the page that was requested: it brings no new key, although more was announced. If less than a
        page of that is missing, rows may be counted but not shown: the same response is accepted the second time.
        """
        pages, total = self._announced(page)
        is_new, is_read_again = not page.keys <= self.keys, self.number <= self.highest
        is_beyond = not page.records and 0 < pages < self.number  # it was not announced
        has_grown = total > self.lowest_total  # the rows that were added have moved these down
        if page.records and (is_new or is_read_again or has_grown):
            return None
        if total:
            rows = max(1, len(self.keys) / max(self.highest, 1))  # on a page
            if is_beyond and self.keys:
                rows = max(rows, page_size or 0)  # there may have been only one, which was not full
            missing_pages = (total - len(self.keys)) / rows
        elif pages:
            missing_pages = pages - self.number + 1 if pages > 1 else 0
        else:
            missing_pages = math.inf if page.records else 0
        is_end = is_beyond or (missing_pages <= 0 and not page.records)
        if missing_pages < 1 and (is_second or is_end):
            return None
        if total and self.moved and not self.again:
            return None  # what is missing has moved to pages that were read: they are read once more
        received = f"{len(self.keys)} of {total} records" if total else f"{self.number - 1} of {pages or '?'} pages"
        kind = "holds no record that the pages before it did not" if page.records else "is empty"
        return f"Page {self.number} {kind}, after {received}."

    def next(self, page: "Page", page_size: int | None) -> "PageToken | None":
        """
        The token of the next page; None after the last. The list continues while any of its counts or `has_more_data`
        says that there is more; if it has none of them, after a full page.
        """
        is_first_time, known = self.number > self.highest, len(self.keys)
        self.keys.update(page.keys)
        added = len(self.keys) - known
        pages, total = self._announced(page)
        if not (is_first_time or added):  # the next pages, which were requested before it, show no fall of its total
            total = min(total, self.total_count or total)
        # A page that brings no new key shows that so many rows were put before it.
        repeated = len(page.keys) if is_first_time and not added else 0
        following = replace(
            self,
            number=self.number + 1,
            page_count=pages,
            total_count=total,
            lowest_total=min(self.lowest_total, page.total_count or math.inf) + repeated,
            body_size=max(self.body_size, page.body_size),
            highest=max(self.highest, self.number),
            moved=self.moved or (is_first_time and added < len(page.keys)),
        )
        fall = self.total_count - total
        # From each page only once, unless the total is lower than ever: two servers may count differently.
        if fall > 0 and self.number > 1 and (is_first_time or total < self.lowest_total):
            filled = math.ceil(fall * following.highest / max(len(self.keys), 1))
            return replace(following, number=max(1, self.number - filled))
        is_missing = len(self.keys) < total
        is_behind = self.number * (page_size or math.inf) < total  # keys of deleted rows were counted, too
        is_silent = page.has_more is None and not pages and not total
        # On some platforms, has_more_data is always true. On a page that is not full, both counts decide together.
        is_full = len(page.records) >= (len(self.keys) / self.number if self.number > 1 else page_size or math.inf)
        has_more = page.has_more and (is_full or not (pages and total))
        says_more = has_more or self.number < pages or is_missing or is_behind
        is_end = repeated and total <= self.lowest_total  # `problem` has accepted this page
        goes_on = page.records and not is_end and (says_more or (is_silent and len(page.records) == page_size))
        if is_end or not (added or is_first_time or self.again):
            page.records = []  # they were read before
        if goes_on and (is_missing or not self.again):
            return following
        return replace(following, number=1, again=True) if is_missing and following.moved and not self.again else None

    def missing(self, page: "Page") -> int:
        """How many records of `total_count` have not come, after the last page."""
        return max(0, self._announced(page)[1] - len(self.keys))

    def _announced(self, page: "Page") -> tuple[int, int]:
        """How many pages and records the list has, by this page or else by those before it."""
        return page.page_count or self.page_count, page.total_count or self.total_count

    def next_batch(self, *halves: tuple[Any, ...]) -> "PageToken | None":
        """The first page of the next batch: the first of these halves, or the next one that waits."""
        batches = halves + self.batches[1:]
        return PageToken(batches=batches) if batches else None


@dataclass
class Page:
    """
    One page of a list, with what it says about the list; None or 0 where it says nothing.

    It takes the place of `requests.Response` between requester, extractor and paginator, so a body is parsed once.
    """

    records: list[dict[str, Any]]
    has_more: bool | None = None
    page_count: int = 0
    total_count: int = 0
    keys: frozenset[int] = frozenset()  # hashes of the records' primary keys
    body_size: int = 0  # bytes
    is_whole: bool = True  # the records have all their fields
    following: PageToken | None = None  # the token of the next page

    @classmethod
    def parse(cls, body: bytes, primary_key: Sequence[str] = ()) -> "Page":
        """Reads `{"data": {"items": [..], ..}}` or `{"data": [..]}`. Raises ValueError for anything else."""
        content = decode_json(body)
        if not isinstance(content, dict) or content.get("success") is False or _count(content.get("status")) >= 400:
            raise ValueError("an error that is told with status 200")
        data = content.get("data")
        envelope = data if isinstance(data, dict) and "items" in data else {}
        records = _as_records(envelope["items"] or [] if envelope else data)
        more = envelope.get("has_more_data")
        has_key = any(name in record for record in records[:1] for name in primary_key)
        keys = (
            str([record.get(name) for name in primary_key]) if has_key else orjson.dumps(record) for record in records
        )
        return cls(
            records=records,
            has_more=None if more is None else str(more).lower() in ("true", "1"),
            page_count=_count(envelope.get("total_page_count")),
            total_count=_count(envelope.get("total_count")),
            keys=frozenset(map(hash, keys)),
            body_size=len(body),
        )


def decode_json(body: bytes) -> Any:
    """The content of a body; U+FFFD replaces what is not a character. Raises ValueError if it is not JSON."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        content = json.loads(body.decode("utf-8-sig", "replace"), strict=False)
        return orjson.loads(_SURROGATES.sub("\ufffd", json.dumps(content, ensure_ascii=False)))


def json_object(response: requests.Response) -> dict[str, Any]:
    """The JSON object in the body; empty if there is none."""
    with suppress(ValueError):
        content = decode_json(response.content)
        if isinstance(content, dict):
            return content
    return {}


def is_from_docebo(response: requests.Response) -> bool:
    """Whether an error is in Docebo's own form, rather than that of a proxy or firewall in front of it."""
    keys = {"status", "code", "errorCode"} & json_object(response).keys()
    return bool(keys) or b"Report not found" in response.content


def retry_after_seconds(response: requests.Response) -> float:
    """Retry-After, also as a date by the server's clock, in seconds: an hour at most; 0 without a usable one."""
    text = response.headers.get("Retry-After", "").strip()
    seconds = 0.0
    with suppress(TypeError, ValueError):
        moment = None if text[:1].isdigit() else parsedate_to_datetime(text)
        now = parsedate_to_datetime(response.headers.get("Date") or format_datetime(datetime.now(timezone.utc)))
        seconds = (moment - now).total_seconds() if moment else float(text)
    return min(MAX_RETRY_AFTER_SECONDS, max(0.0, seconds))


def error_message(response: requests.Response) -> str:
    """Docebo's own error message (`message` is a list), without e-mail addresses."""
    body = json_object(response)
    message = body.get("message") or body.get("error")
    text = " ".join(map(str, message)) if isinstance(message, list) else message
    if not isinstance(text, str) or not text:
        return ""
    return f" Docebo says: {re.sub(r'[^ ]*@[^ ]*', '***', filter_secrets(text))[:200]}"


def host(url: str | None) -> str:
    """Host and port, for messages."""
    return urlsplit(url or "").netloc.rpartition("@")[2]


def request_label(url: str) -> str:
    """`GET <path>, page <n>`, without the other query parameters: they can be long."""
    parts = urlsplit(url)
    page = re.search(r"(?:^|&)page=(\d+)", parts.query)
    return f"GET {parts.path}, page {page[1]}" if page else f"GET {parts.path}"


def _as_records(items: Any) -> list[dict[str, Any]]:
    """The records of a list, or of the object with numeric keys that PHP makes of a list with gaps."""
    if isinstance(items, dict) and items and all(key.isdecimal() for key in items):
        items = list(items.values())
    if not isinstance(items, list) or not all(isinstance(record, dict) for record in items):
        raise ValueError("no list of records")
    return items


def _count(value: Any) -> int:
    text = str(value)
    return int(text) if text.isdecimal() else 0
