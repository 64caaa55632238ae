"""Compares the connector's messages with the table of messages in docs/docebo.md."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "docebo.md"
NOT_MESSAGES = ("Copies a Docebo learning platform.",)  # the help of the command


def assert_documented(message: str) -> None:
    """The table lists this message and how it ends, with what to do."""
    text = re.sub(r"^Stream courses is not available: ", "", message)
    text = re.sub(r"^(Stream \w+: |Signing in to Docebo failed[.] )", "", text)
    assert any(pattern.fullmatch(text) for pattern in _patterns()), f"docs/docebo.md does not list: {message}"


def undocumented() -> list[str]:
    """The sentences in the code and the manifest that no message of the table contains."""
    listed = "\n".join(_messages())
    return [sentence for sentence in _sentences() if not re.search(_pattern(sentence), listed)]


@cache
def _patterns() -> list[re.Pattern[str]]:
    """A pattern for each message, with the requests and the end that may follow it."""
    request = r"( \(GET [^)]+\))?"
    ends = "|".join(_pattern(message) for message in _messages("#### What the connector did"))
    rests = rf"{request}( ({ends}))*{request}"
    return [re.compile(_pattern(message) + rests, re.DOTALL) for message in _messages()]


def _messages(heading: str = "### Messages") -> list[str]:
    """The messages below a heading that say what they mean and what to do."""
    tables = PAGE.read_text(encoding="utf-8").partition(f"\n{heading}\n")[2].partition("### Tutorials")[0]
    found = [text for _, text in re.findall(r"^\| (`+)(.+?)\1 \| \S", tables, re.MULTILINE)]
    assert found
    return found


def _pattern(message: str) -> str:
    """A placeholder in angle brackets stands for any text."""
    return ".+".join(re.escape(part) for part in re.split("<[a-z ]+>", message))


def _sentences() -> Iterator[str]:
    """Each text that ends as a sentence does, in the code, with `<expression>` in it; the manifest's error messages."""
    manifest = yaml.safe_load((ROOT / "manifest.yaml").read_text(encoding="utf-8"))
    yield from (part["error_message"] for part in manifest["definitions"].values() if "error_message" in part)
    for path in sorted((ROOT / "source_docebo").glob("*.py")):
        if path.name.startswith("plan"):
            continue  # a report, which explains itself
        tree = ast.parse(path.read_text(encoding="utf-8"))
        parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            text = "" if id(node) in parts | docstrings else _text(node)
            text = re.sub(r"%([ds]|[.]\df)", "<expression>", text)
            text = re.sub(r"^(Stream <expression>: )?(<expression> )?(\(<expression>\) )?", "", text)
            if re.search(r"\w \w.*[.]$", text) and text not in NOT_MESSAGES:
                yield text


def _text(node: Any) -> str:
    """The text of a literal; empty for anything else."""
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) or "<expression>" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
