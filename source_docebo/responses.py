"""Reads Docebo's responses: pages of a list, Retry-After, error messages."""

import re
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import orjson
import requests


@dataclass
class Page:
    """
    One page of a list, with what it says about the pages that follow; None where it says nothing.

    It takes the place of `requests.Response` between requester, extractor and paginator, so a body is parsed once.
    """

    records: list[dict[str, Any]]
    has_more: bool | None
    page_count: int | None
    page_size: int | None
    total_count: int | None

    @classmethod
    def parse(cls, body: bytes) -> "Page":
        """Reads `{"data": {"items": [..], ..}}` or `{"data": [..]}`. Raises ValueError for anything else."""
        try:
            data = orjson.loads(body)["data"]
            envelope, records = (data, data["items"]) if isinstance(data, dict) else ({}, data)
        except (KeyError, TypeError):
            raise ValueError("no data.items") from None
        if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
            raise ValueError("not a list of objects")
        return cls(
            records=records,
            has_more=_flag(envelope.get("has_more_data")),
            page_count=_count(envelope.get("total_page_count")),
            page_size=_count(envelope.get("current_page_size")),
            total_count=_count(envelope.get("total_count")),
        )

    def is_last(self, number: int, requested_size: int) -> bool:
        """Whether the list ends with this page. Rules and reasons: docs/BEHAVIOR.md, 14."""
        if self.has_more is False or self.page_count is not None:
            return self.has_more is False or number >= (self.page_count or 0)
        if self.has_more:
            return False
        size = min(requested_size, self.page_size or requested_size)
        return number * size >= self.total_count if self.total_count is not None else len(self.records) < size


def json_object(response: requests.Response) -> dict[str, Any]:
    """The JSON object in the body; empty if there is none."""
    try:
        body = orjson.loads(response.content)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def retry_after_seconds(response: requests.Response) -> float | None:
    """Retry-After in seconds, whether given as seconds or as a date; None without a usable one."""
    text = response.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return max(0.0, (moment - datetime.now(timezone.utc)).total_seconds())


def error_message(response: requests.Response) -> str:
    """Docebo's own error message (`message` is a list), with e-mail addresses and tokens masked."""
    message = json_object(response).get("message")
    text = " ".join(map(str, message)) if isinstance(message, list) else message
    if not isinstance(text, str) or not text:
        return ""
    return f" Docebo says: {re.sub(r'[^ ]*@[^ ]*|[0-9a-fA-F]{16,}', '***', text)[:200]}"


def connection_error(error: requests.RequestException) -> str:
    """Why there was no response."""
    if isinstance(error, requests.Timeout):
        return "it took too long"
    if isinstance(error, requests.exceptions.SSLError):
        return "the certificate of the host is not valid"
    if "NameResolution" in str(error) or "getaddrinfo" in str(error):
        return "the host name does not exist"
    if "refused" in str(error):
        return "the connection was refused"
    return "the connection broke off"


def redirect_problem(target: str | None) -> str:
    """The message for a redirect to another host."""
    address = host(target) or "another address"
    return f"base_url redirects to {address}. Set base_url to the address of the platform itself."


def host(url: str | None) -> str:
    """Host and port."""
    return urlsplit(url or "").netloc


def request_label(url: str) -> str:
    """`GET <path>, page <n>`, without the other query parameters: they can be long."""
    parts = urlsplit(url)
    page = re.search(r"(?:^|&)page=(\d+)", parts.query)
    return f"GET {parts.path}, page {page[1]}" if page else f"GET {parts.path}"


def _flag(value: Any) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "1": True, "false": False, "0": False}.get(value.strip().lower())
    return bool(value) if isinstance(value, (bool, int)) else None


def _count(value: Any) -> int | None:
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
