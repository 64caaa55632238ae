"""Mends the dates that Docebo sends."""

import re
from datetime import datetime, timedelta, timezone
from typing import Any

EPOCH = "1970-01-01T00:00:00Z"

_NOTHING = {"", "0", "null"}
_DATE = re.compile(
    r"(?P<year>\d{4})(?P<mark>[-/])(?P<month>\d{1,2})(?P=mark)(?P<day>\d{1,2})"
    r"(?:(?:T|\s+)(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,]\d+)?)?"
    r"\s*(?:Z|UTC|(?P<sign>[+-])(?P<zone_hours>\d{2}):?(?P<zone_minutes>\d{2})?)?)?",
    re.ASCII | re.IGNORECASE,
)
_ZERO_LIKE = re.compile(r"[-0/:.,+TZ\s]*|-0001-11-30( 00:00:00)?", re.ASCII | re.IGNORECASE)
_USUAL = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", re.ASCII)


def to_utc_text(value: Any) -> str | None:
    """
    A date of Docebo's as `2024-05-01T08:30:00Z`: text without zone is UTC, an offset is converted, a fraction of a
    second is dropped. None for nothing (null, empty, blank, "0", "null").

    Raises ValueError for anything that is no real calendar date, `0000-00-00` among them.
    """
    if isinstance(value, str):
        # The form of almost every value, tried first because it costs a fifth of the general one.
        if _USUAL.fullmatch(value):
            try:
                datetime.fromisoformat(value)
                return f"{value[:10]}T{value[11:]}Z"
            except ValueError:
                pass
        text = value.strip()
        if text.lower() in _NOTHING:
            return None
        return _general(text)
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
    part = {name: int(match[name] or 0) for name in ("year", "month", "day", "hour", "minute", "second")}
    moment = datetime(**part, tzinfo=timezone.utc)
    if match["sign"]:
        offset = timedelta(hours=int(match["zone_hours"]), minutes=int(match["zone_minutes"] or 0))
        if offset >= timedelta(days=1):
            raise ValueError("no such offset")
        try:
            moment = moment + offset if match["sign"] == "-" else moment - offset
        except OverflowError:
            raise ValueError("beyond the calendar") from None
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ").rjust(len(EPOCH), "0")
