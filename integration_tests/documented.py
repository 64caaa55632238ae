"""Compares the connector's messages with the table of messages in docs/docebo.md."""

import re
from functools import cache
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "docebo.md"


def assert_documented(message: str) -> None:
    """The page for users lists this message, with what to do."""
    message = message.removeprefix("Stream courses is not available: ")
    assert any(pattern.fullmatch(message) for pattern in _patterns()), f"docs/docebo.md does not list: {message}"


@cache
def _patterns() -> list[re.Pattern[str]]:
    """A pattern for each message; a placeholder in angle brackets matches any text."""
    messages = PAGE.read_text(encoding="utf-8").partition("### Messages")[2].partition("### Tutorials")[0]
    rows = re.findall(r"^\| `([^`]+)` \| \S", messages, re.MULTILINE)
    assert len(rows) > 20
    return [re.compile(".+".join(re.escape(part) for part in re.split(r"<[a-z ]+>", row)), re.DOTALL) for row in rows]
