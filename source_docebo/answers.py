"""What Docebo's answers hold: a page of a list, the time to wait, words for a failure."""

import re
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson
import requests


class NoListError(ValueError):
    """The body holds no list of records: cut, empty, HTML, or JSON of another shape."""


class Page(NamedTuple):
    """One page of a list, with what it says about the pages after it (None where it says nothing)."""

    items: list[dict[str, Any]]
    has_more: bool | None
    page_count: int | None
    page_size: int | None
    total_count: int | None

    @property
    def last(self) -> int:
        """The number of the list's last page, as far as this page tells; 0 if it is the last, or tells nothing."""
        return 0 if self.has_more is False else self.page_count or 0


def page_of(response: requests.Response) -> Page:
    """
    The page in the body of an answer, parsed once and kept on the answer: the requester's check, the extractor and
    the pagination strategy each need it, and the CDK hands them nothing but the answer.

    Raises NoListError if the body holds neither `data.items` nor a bare list in `data`.
    """
    page: Page | None = getattr(response, "docebo_page", None)
    if page is None:
        page = _parse(response.content)
        response.__dict__["docebo_page"] = page
    return page


def unparsed(response: requests.Response) -> requests.Response:
    """The same answer as bytes only: those that are kept must not hold a sync's worth of parsed records."""
    copied = requests.Response()
    copied.status_code, copied.headers, copied.url = response.status_code, response.headers, response.url
    copied._content = response.content
    return copied


def json_object(response: requests.Response) -> dict[str, Any]:
    """The object in the body; an empty one if there is none."""
    try:
        body = orjson.loads(response.content)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def retry_after_seconds(response: requests.Response) -> float | None:
    """What the Retry-After header tells, in seconds or as a date; None if it tells nothing."""
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


def said(response: requests.Response) -> str:
    """Docebo's own words (`message` is a list), without what could be a person's address or a token."""
    words = json_object(response).get("message")
    text = " ".join(str(word) for word in words) if isinstance(words, list) else words
    if not isinstance(text, str) or not text:
        return ""
    return f" Docebo says: {re.sub(r'[^ ]*@[^ ]*|[0-9a-fA-F]{16,}', '***', text)[:200]}"


def cause(error: requests.RequestException) -> str:
    """Why there was no answer."""
    if isinstance(error, requests.Timeout):
        return "it took too long"
    if isinstance(error, requests.exceptions.SSLError):
        return "the certificate of the host is not valid"
    if "NameResolution" in str(error) or "getaddrinfo" in str(error):
        return "the host name does not exist"
    if "refused" in str(error):
        return "the connection was refused"
    return "the connection broke off"


def host(url: str | None) -> str:
    """Host and port."""
    return urlsplit(url or "").netloc


def where(url: str) -> str:
    """Path and page, without the ids of a long query."""
    parts = urlsplit(url)
    page = re.search(r"(?:^|&)page=(\d+)", parts.query)
    return f"GET {parts.path}, page {page[1]}" if page else f"GET {parts.path}"


def _parse(body: bytes) -> Page:
    try:
        data = orjson.loads(body)["data"]
        items = data["items"] if isinstance(data, dict) else data
    except (ValueError, KeyError, TypeError):
        raise NoListError from None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise NoListError
    words = data if isinstance(data, dict) else {}
    return Page(
        items=items,
        has_more=_flag(words.get("has_more_data")),
        page_count=_count(words.get("total_page_count")),
        page_size=_count(words.get("current_page_size")),
        total_count=_count(words.get("total_count")),
    )


def _flag(value: Any) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "1": True, "false": False, "0": False}.get(value.strip().lower())
    return bool(value) if isinstance(value, (bool, int)) else None


def _count(value: Any) -> int | None:
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
