"""Mends the dates that Docebo sends."""

import re
from datetime import datetime, timedelta
from typing import Any

EPOCH = "1970-01-01T00:00:00Z"

_NOTHING = {"", "0", "null"}
_USUAL = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", re.ASCII)
_DATE = re.compile(
    r"(\d{4})([-/])(\d{1,2})\2(\d{1,2})"
    r"(?:(?:T|\s+)(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,]\d+)?)?\s*(?:Z|UTC|([+-])(\d{2}):?(\d{2})?)?)?",
    re.ASCII | re.IGNORECASE,
)
_ZERO_LIKE = re.compile(r"[-0/:.,+TZ\s]*|-0001-11-30( 00:00:00)?", re.ASCII | re.IGNORECASE)


def to_utc_text(value: Any) -> str | None:
    """
    A date of Docebo's as `2024-05-01T08:30:00Z`: text without zone is UTC, an offset is converted, a fraction of a
    second is dropped. None for nothing (null, empty, blank, "0", "null").

    Raises ValueError for anything that is no real calendar date, `0000-00-00` among them.
    """
    if isinstance(value, str):
        if _USUAL.fullmatch(value):  # almost every value: the way below costs five times as much
            datetime.fromisoformat(value)
            return value.replace(" ", "T") + "Z"
        text = value.strip()
        return None if text.lower() in _NOTHING else _general(text)
    if value is None or (value == 0 and not isinstance(value, bool)):
        return None
    raise ValueError("neither text nor null")


def is_zero_like(value: Any) -> bool:
    """Whether a value that is no date is one of the ways to write "never", such as MySQL's `0000-00-00`."""
    return isinstance(value, str) and _ZERO_LIKE.fullmatch(value.strip()) is not None


def _general(text: str) -> str:
    match = _DATE.fullmatch(text)
    if match is None:
        raise ValueError("no date")
    year, _, month, day, hour, minute, second, sign, zone_hours, zone_minutes = match.groups("0")
    moment = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second))
    if sign != "0":
        offset = timedelta(hours=int(zone_hours), minutes=int(zone_minutes))
        if offset >= timedelta(days=1):
            raise ValueError("no such offset")
        try:
            moment = moment + offset if sign == "-" else moment - offset
        except OverflowError:
            raise ValueError("beyond the calendar") from None
    return f"{moment.isoformat()}Z"
