"""What an answer of Docebo's holds: one page of a list."""

from typing import Any, NamedTuple

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
