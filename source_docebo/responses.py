"""What a response holds: a page of a list and where the list ends, Retry-After, Docebo's error messages."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import orjson
import requests
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets

# What the rules of paging call a few records: so many may be deleted while their list is read.
FEW_RECORDS = 20
MAX_SURPLUS_PAGES = 20  # more than the list announced
MAX_RETRY_AFTER_SECONDS = 3600.0
_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass
class Page:
    """
    One page of a list, with what it says about the list; None where it says nothing.

    It takes the place of `requests.Response` between requester, extractor and paginator, so a body is parsed once.
    """

    records: list[dict[str, Any]]
    number: int | None = None
    has_more: bool | None = None
    page_count: int | None = None
    page_size: int | None = None
    total_count: int | None = None
    fingerprint: int = 0  # of the records, by their primary key
    body_size: int = 0  # bytes
    lenient: bool = False  # the body was not quite JSON
    in_order: bool = False  # it was held against the pages before it
    batches: tuple[tuple[Any, ...], ...] = ()  # parents whose records are to be requested instead of this page
    body: Any = None  # where the whole page is, if the records have only some fields

    @classmethod
    def parse(cls, body: bytes, primary_key: Sequence[str] = ()) -> "Page":
        """Reads `{"data": {"items": [..], ..}}` or `{"data": [..]}`. Raises ValueError for anything else."""
        content, lenient = decode_json(body)
        data = content.get("data") if isinstance(content, dict) else None
        envelope = data if isinstance(data, dict) and "items" in data else {}
        records = _as_records(envelope["items"] or [] if envelope else data)
        if any(type(record.get(name)) is float for record in records for name in primary_key):
            # Only the standard library keeps integers beyond 64 bits apart.
            exact = _parse_leniently(body)["data"]
            records = _as_records(exact["items"] if envelope else exact)
        return cls(
            records=records,
            number=_count(envelope.get("current_page")),
            has_more=_flag(envelope.get("has_more_data")),
            page_count=_count(envelope.get("total_page_count")) or None,
            page_size=_count(envelope.get("current_page_size")) or None,
            total_count=_count(envelope.get("total_count")),
            fingerprint=_fingerprint(records, primary_key),
            body_size=len(body),
            lenient=lenient,
        )


@dataclass(frozen=True)
class PageToken:
    """
    The number of a page to request, and what the pages before it said about their list, against which each further
    page is held. The rules, and their reasons: docs/BEHAVIOR.md, 14.
    """

    number: int = 1
    page_count: int = 0  # the largest that the list has announced; 0: none
    total_count: int = 0  # likewise
    received: int = 0  # records so far
    largest: int = 0  # records on the largest page so far
    body_size: int = 0  # bytes of the largest page so far
    has_more: bool | None = None  # what the page before said
    counts_from_zero: bool = False
    fingerprints: set[int] = field(default_factory=set, compare=False)  # of all pages so far
    batches: tuple[tuple[Any, ...], ...] = ()  # parents whose records are read, and next ones; empty: the partition's

    def problem(self, page: Page, last_try: bool = False) -> str | None:
        """Why this is not the page that was requested; None if it is. The last try accepts that a few are missing."""
        if page.number is not None and page.number + self._offset(page) != self.number:
            return f"Docebo sent page {page.number} instead of page {self.number}."
        received, total = self.received + len(page.records), max(self.total_count, page.total_count or 0)
        if page.records:
            if page.fingerprint in self.fingerprints:
                return f"Page {self.number} holds the same records as an earlier page."
            if total and received - total > MAX_SURPLUS_PAGES * max(self.largest, 1):
                return f"The list does not end: {received} records were received of {total}."
            return None
        if self._may_be_empty(page, total, last_try):
            return None
        announced = f"{received} of {total} records were received" if total else f"{received} records were received"
        pages = max(self.page_count, page.page_count or 0)
        return f"Page {self.number}{f' of {pages}' if pages else ''} is empty although more was announced: {announced}."

    def next(self, page: Page, full_page: int | None) -> "PageToken | None":
        """The token of the next page; None after the last. `full_page`: records on a page that was asked to be full."""
        received = self.received + len(page.records)
        largest = max(self.largest, len(page.records))
        pages, total = page.page_count or self.page_count, page.total_count or self.total_count
        at_last, before_last = 0 < pages <= self.number, self.number < pages
        is_full = full_page is not None and len(page.records) >= min(full_page, page.page_size or full_page)
        self.fingerprints.add(page.fingerprint)
        if not page.records:
            more = False
        elif max(self.total_count, total) - received >= largest:
            more = True  # a page or more is missing
        elif received < total:
            more = page.total_count is not None or not (page.has_more is False and at_last)
        elif total:
            more = (page.has_more is True and not at_last) or (before_last and page.has_more is None)
        elif before_last:
            more = not (page.has_more is False and len(page.records) < largest)
        elif pages:
            more = page.has_more is True and is_full
        elif page.has_more is not None:
            more = page.has_more
        else:
            more = is_full
        if not more:
            return None
        return replace(
            self,
            number=self.number + 1,
            page_count=max(self.page_count, pages),
            total_count=max(self.total_count, total),
            received=received,
            largest=largest,
            body_size=max(self.body_size, page.body_size),
            has_more=page.has_more,
            counts_from_zero=bool(self._offset(page)),
        )

    def next_batch(self, page: Page) -> "PageToken | None":
        """The first page of the next batch of parents; None after the last."""
        batches = page.batches + self.batches[1:]
        return PageToken(batches=batches) if batches else None

    def _offset(self, page: Page) -> int:
        return int(self.counts_from_zero or (self.number == 1 and page.number == 0))

    def _may_be_empty(self, page: Page, total: int, last_try: bool) -> bool:
        missing, first, pages = total - self.received, self.number == 1, page.page_count or 0
        if page.has_more:
            return not first and (missing <= 0 if total else last_try and 0 < self.page_count < self.number)
        if total:
            page_size = self.largest if self.number > 2 else max(self.largest, page.page_size or 0)
            if page.total_count is None:
                return missing <= 0 or (last_try and missing <= FEW_RECORDS and not first)
            # A page count that holds less than the total is rounded down.
            ended = 0 < page.total_count <= self.received or (pages < self.number and total <= pages * self.largest)
            return missing <= 0 or (ended and missing < page_size)
        if self.page_count or pages:
            announced = max(self.page_count, pages)
            return announced < self.number or announced == 1 or (announced == self.number and 0 < pages < self.number)
        return self.has_more is not True or last_try


def decode_json(body: bytes) -> tuple[Any, bool]:
    """
    The content of a body, and whether it had to be read leniently: U+FFFD takes the place of what is no character, null
    of what is no number. Raises ValueError if it is not JSON, or cut short.
    """
    try:
        return orjson.loads(body), False
    except orjson.JSONDecodeError:
        try:
            content = _parse_leniently(body)
            return json.loads(_SURROGATES.sub("\ufffd", json.dumps(content, ensure_ascii=False))), True
        except RecursionError:
            raise ValueError("nested too deeply") from None


def json_object(response: requests.Response) -> dict[str, Any]:
    """The JSON object in the body; empty if there is none."""
    try:
        content, _ = decode_json(response.content)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def is_from_docebo(response: requests.Response) -> bool:
    """Whether an error is Docebo's own JSON, rather than the page of a proxy or firewall in front of it."""
    return bool({"message", "name", "error"} & json_object(response).keys())


def retry_after_seconds(response: requests.Response) -> float:
    """Retry-After in seconds, an hour at most, by the server's own clock if it is a date; 0 without a usable one."""
    text = response.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII):
        return min(MAX_RETRY_AFTER_SECONDS, float(text))
    moment, now = _moment(text), _moment(response.headers.get("Date", "")) or datetime.now(timezone.utc)
    return min(MAX_RETRY_AFTER_SECONDS, max(0.0, (moment - now).total_seconds())) if moment else 0.0


def error_message(response: requests.Response) -> str:
    """Docebo's own error message (`message` is a list), without e-mail addresses."""
    message = json_object(response).get("message")
    text = " ".join(map(str, message)) if isinstance(message, list) else message
    if not isinstance(text, str) or not text:
        return ""
    return f" Docebo says: {re.sub(r'[^ ]*@[^ ]*', '***', filter_secrets(text))[:200]}"


def content_type(response: requests.Response) -> str:
    """The media type of the body, for messages."""
    return str(response.headers.get("Content-Type", "no content type")).split(";")[0]


def host(url: str | None) -> str:
    """Host and port, for messages."""
    return urlsplit(url or "").netloc.rpartition("@")[2]


def request_label(url: str) -> str:
    """`GET <path>, page <n>`, without the other query parameters: they can be long."""
    parts = urlsplit(url)
    page = re.search(r"(?:^|&)page=(\d+)", parts.query)
    return f"GET {parts.path}, page {page[1]}" if page else f"GET {parts.path}"


def _parse_leniently(body: bytes) -> Any:
    def finite(number: str) -> float | None:
        return float(number) if math.isfinite(float(number)) else None

    text = body.decode("utf-8-sig", "replace")
    return json.loads(text, strict=False, parse_constant=lambda _: None, parse_float=finite)


def _as_records(items: Any) -> list[dict[str, Any]]:
    """The records of a list, or of the object with numeric keys that PHP makes of a list with gaps."""
    if isinstance(items, dict) and all(key.isdecimal() for key in items) and items:
        items = list(items.values())
    if not isinstance(items, list) or not all(isinstance(record, dict) for record in items):
        raise ValueError("no list of records")
    return items


def _fingerprint(records: list[dict[str, Any]], primary_key: Sequence[str]) -> int:
    keys = tuple(tuple(map(str, map(record.get, primary_key))) for record in records)
    known = any(record.get(name) is not None for record in records[:1] for name in primary_key)
    return hash(keys if known else orjson.dumps(records, default=str))


def _moment(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def _flag(value: Any) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "1": True, "false": False, "0": False}.get(value.strip().lower())
    return bool(value) if isinstance(value, (bool, int)) else None


def _count(value: Any) -> int | None:
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
