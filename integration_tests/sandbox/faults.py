"""What can go wrong between a Docebo platform and the connector, served by the sandbox on request."""

import asyncio
import re
import socket
import struct
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

from aiohttp import web

from integration_tests.sandbox.tenant import List

HTML = b"<!DOCTYPE html><html><body><h1>Something went wrong</h1></body></html>"
COURSE_BATCHES = "course/v1/courses/enrollments$"
NGINX_404 = b"<html><head><title>404 Not Found</title></head><body><center>nginx</center></body></html>"

# A request, and a function that renders the body which the sandbox would send without the fault. None: no response
# of the fault's own.
Respond = Callable[[web.Request, Callable[[], bytes]], Awaitable[web.StreamResponse | None]]
# A response's JSON, the page that was requested and the number of the last page.
Change = Callable[[dict[str, Any], int, int], dict[str, Any]]


@dataclass
class Fault:
    """
    One fault: what it does to a response, and which requests meet it.

    respond: sends a response of its own. listed: the list that is sent instead of the tenant's. shown: the page that is
    sent instead of the requested one, from that page and the last one. page_size: records to a page, whatever is
    requested. change: changes the JSON of a list. rewrite: changes the bytes of the body.

    path: a regular expression found in the path. target: one found in the decoded path and query. page: only that page.
    skip: how many requests that fit are served before. times: how often, without limit by default. every: only each
    n-th of the requests that fit. per_target: `skip` and `times` count for each path and query. seconds: how long, from
    the first request that meets it.
    """

    respond: Respond | None = None
    listed: Callable[[List], List] | None = None
    shown: Callable[[int, int], int] | None = None
    page_size: int | None = None
    change: Change | None = None
    rewrite: Callable[[bytes], bytes] | None = None
    path: str = ""
    target: str = ""
    page: int | None = None
    skip: int = 0
    times: int | None = None
    every: int = 1
    per_target: bool = False
    seconds: float | None = None
    first_met: float | None = None
    met: Counter[str] = field(default_factory=Counter)
    hit: Counter[str] = field(default_factory=Counter)

    def applies(self, path: str, page: int, target: str) -> bool:
        """Whether this request meets the fault; counts it if so."""
        if not re.search(self.path, path) or not re.search(self.target, target) or self.page not in (None, page):
            return False
        counted = target if self.per_target else ""
        self.met[counted] += 1
        met = self.met[counted] - self.skip
        if met <= 0 or met % self.every or (self.times is not None and self.hit[counted] >= self.times):
            return False
        now = time.monotonic()
        self.first_met = self.first_met or now
        if self.seconds is not None and now > self.first_met + self.seconds:
            return False
        self.hit[counted] += 1
        return True

    # A tenant that changes while it is read

    @classmethod
    def meanwhile(cls, change: Callable[[], object], after: int, **where: Any) -> "Fault":
        """Something happens once, after so many of the requests that fit; the next one is the first to show it."""

        async def respond(_: web.Request, __: Callable[[], bytes]) -> None:
            change()

        return cls(respond, skip=after, times=1, **where)

    @classmethod
    def stale_replica(cls, rows: int, at_end: bool = False, **where: Any) -> "Fault":
        """Every other request is served by a copy of the database that lacks the first rows, or the last."""

        def listed(found: List) -> List:
            return List(found.size - rows, lambda position: found.record(position if at_end else position + rows))

        return cls(listed=listed, **{"every": 2, **where})

    # Responses with an error

    @classmethod
    def status(
        cls,
        code: int,
        html: bool | bytes = False,
        message: str = "It cannot be done",
        headers: Mapping[str, str | Callable[[], str]] | None = None,
        **where: Any,
    ) -> "Fault":
        """An error with Docebo's JSON body, or with a proxy's HTML page."""

        async def respond(request: web.Request, _: Callable[[], bytes]) -> web.Response:
            sent = {name: value if isinstance(value, str) else value() for name, value in (headers or {}).items()}
            if html:
                body = HTML if html is True else html
                return web.Response(status=code, body=body, content_type="text/html", headers=sent)
            return error_response(code, message, sent)

        return cls(respond, **where)

    @classmethod
    def deleted(cls, **where: Any) -> "Fault":
        """404 in Docebo's own words: the id does not exist any more."""
        return cls.status(404, message="The requested resource was not found", **where)

    @classmethod
    def course_of_batch(cls, course: int, code: int, **where: Any) -> "Fault":
        """An error of Docebo's for every batch of courses that holds this one."""
        return cls.status(code, path=COURSE_BATCHES, target=rf"course_id\[\]={course}(&|$)", **where)

    @classmethod
    def large_batches(cls, most: int, code: int = 504, html: bool = True, **where: Any) -> "Fault":
        """An error for every batch of more courses than that, such as a front end's that does not wait for so long."""
        target = rf"(course_id\[\]=.*?){{{most + 1}}}"
        return cls.status(code, html=html, path=COURSE_BATCHES, target=target, **where)

    @classmethod
    def not_found_page(cls, **where: Any) -> "Fault":
        """404 as a front end's HTML page."""
        return cls.status(404, html=NGINX_404, **where)

    @classmethod
    def firewall(cls, **where: Any) -> "Fault":
        """403 as a firewall's HTML page."""
        return cls.status(403, html=b"<html><body>Request blocked. Incident 4711</body></html>", **where)

    @classmethod
    def gateway(cls, code: int, **where: Any) -> "Fault":
        """An error of a gateway in front of Docebo, in JSON of its own."""
        body = b'{"message": "Forbidden"}' if code == 403 else b'{"message": "Endpoint request failed"}'
        return cls.body(body, code=code, **where)

    @classmethod
    def retry_after(
        cls, value: float | str, code: int = 429, as_date: bool = False, clock_skew: float = 0, **where: Any
    ) -> "Fault":
        """An error with Retry-After: seconds, a date so many seconds ahead by a clock that may differ, or any text."""

        def date(offset: float) -> Callable[[], str]:
            return lambda: formatdate(time.time() + offset, usegmt=True)

        headers: dict[str, str | Callable[[], str]] = {"Retry-After": str(value)}
        if as_date:
            headers = {"Retry-After": date(clock_skew + float(value)), "Date": date(clock_skew)}
        return cls.status(code, message="Too Many Requests", headers=headers, **where)

    @classmethod
    def rate_limit(cls, seconds: float, **where: Any) -> "Fault":
        """429 for every request, for so long."""
        return cls.status(429, message="Too Many Requests", seconds=seconds, **where)

    @classmethod
    def echo(cls, code: int, text: str, html: bool = False, **where: Any) -> "Fault":
        """An error whose body repeats a text, such as a secret."""
        return cls.status(code, html=f"<html>{text}</html>".encode() if html else False, message=text, **where)

    @classmethod
    def echo_token(cls, code: int, **where: Any) -> "Fault":
        """An error whose body repeats the request's Authorization header."""

        async def respond(request: web.Request, _: Callable[[], bytes]) -> web.Response:
            return error_response(code, f"Invalid header: {request.headers.get('Authorization', '')}")

        return cls(respond, **where)

    # The connection

    @classmethod
    def reset(cls, **where: Any) -> "Fault":
        """The connection is reset."""

        async def respond(request: web.Request, _: Callable[[], bytes]) -> None:
            assert request.transport
            connection = request.transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            request.transport.abort()
            raise asyncio.CancelledError

        return cls(respond, **where)

    @classmethod
    def cut_body(cls, **where: Any) -> "Fault":
        """The connection ends in the middle of the body."""

        async def respond(request: web.Request, render: Callable[[], bytes]) -> web.StreamResponse:
            body = render()
            response = await _started(request, len(body))
            await response.write(body[: len(body) // 2])
            assert request.transport
            request.transport.close()
            return response

        return cls(respond, **where)

    @classmethod
    def stalled_body(cls, seconds: float = 600, **where: Any) -> "Fault":
        """The first half of the body, then nothing for so long."""

        async def respond(request: web.Request, render: Callable[[], bytes]) -> web.StreamResponse:
            body = render()
            response = await _started(request, len(body))
            await response.write(body[: len(body) // 2])
            await asyncio.sleep(seconds)
            return response

        return cls(respond, **where)

    @classmethod
    def hang(cls, seconds: float, **where: Any) -> "Fault":
        """No response for so long, then a reset."""
        reset = cls.reset().respond
        assert reset

        async def respond(request: web.Request, render: Callable[[], bytes]) -> web.StreamResponse | None:
            await asyncio.sleep(seconds)
            return await reset(request, render)

        return cls(respond, **where)

    # Redirects

    @classmethod
    def redirect(cls, location: str, code: int = 302, **where: Any) -> "Fault":
        """A redirect to another address."""

        async def respond(request: web.Request, _: Callable[[], bytes]) -> web.Response:
            return web.Response(status=code, headers={"Location": location})

        return cls(respond, **where)

    @classmethod
    def redirect_circle(cls, **where: Any) -> "Fault":
        """A redirect from each address to itself."""

        async def respond(request: web.Request, _: Callable[[], bytes]) -> web.Response:
            return web.Response(status=302, headers={"Location": request.path_qs})

        return cls(respond, **where)

    @classmethod
    def redirect_chain(cls, hops: int, **where: Any) -> "Fault":
        """So many redirects within the host, then the response."""

        async def respond(request: web.Request, _: Callable[[], bytes]) -> web.Response | None:
            hop = int(request.query.get("hop", 0))
            if hop >= hops:
                return None
            location = request.rel_url.update_query(hop=str(hop + 1))
            return web.Response(status=302, headers={"Location": str(location)})

        return cls(respond, **where)

    @classmethod
    def trailing_slash(cls, **where: Any) -> "Fault":
        """308 to the same address with a slash behind its path."""

        async def respond(request: web.Request, _: Callable[[], bytes]) -> web.Response | None:
            if request.path.endswith("/"):
                return None
            location = f"{request.rel_url.raw_path}/?{request.rel_url.raw_query_string}"
            return web.Response(status=308, headers={"Location": location})

        return cls(respond, **where)

    @classmethod
    def unreadable_redirect(cls, **where: Any) -> "Fault":
        """A redirect whose Location is no text in any encoding that HTTP knows."""

        async def respond(request: web.Request, _: Callable[[], bytes]) -> None:
            assert isinstance(request.transport, asyncio.Transport)
            request.transport.write(
                b"HTTP/1.1 302 Found\r\nLocation: http://\xff\xfe\xc3/\r\n"
                b"Content-Length: 0\r\nConnection: close\r\n\r\n"
            )
            request.transport.close()
            raise asyncio.CancelledError

        return cls(respond, **where)

    # Bodies that hold no list, or hardly any

    @classmethod
    def body(cls, body: bytes, content_type: str = "application/json", code: int = 200, **where: Any) -> "Fault":
        """Status 200 or another, and any body."""

        async def respond(request: web.Request, _: Callable[[], bytes]) -> web.Response:
            return web.Response(status=code, body=body, content_type=content_type)

        return cls(respond, **where)

    @classmethod
    def html_200(cls, **where: Any) -> "Fault":
        """A proxy's page, with status 200."""
        return cls.body(HTML, "text/html", **where)

    @classmethod
    def empty_body(cls, **where: Any) -> "Fault":
        """Status 200, and no body."""
        return cls.body(b"", **where)

    @classmethod
    def json_without_list(cls, body: bytes = b'{"data": null}', **where: Any) -> "Fault":
        """JSON that holds no list."""
        return cls.body(body, **where)

    @classmethod
    def nothing(cls, **where: Any) -> "Fault":
        """`{"data": []}`, as PHP writes an empty object."""
        return cls.body(b'{"data": []}', **where)

    @classmethod
    def byte_order_mark(cls, **where: Any) -> "Fault":
        """A byte order mark before the JSON."""
        return cls(rewrite=lambda body: b"\xef\xbb\xbf" + body, **where)

    @classmethod
    def replaced_bytes(cls, old: bytes, new: bytes, **where: Any) -> "Fault":
        """The first occurrence of some bytes in the body is replaced, by what is no JSON for example."""
        return cls(rewrite=lambda body: body.replace(old, new, 1), **where)

    # Lists that contradict themselves

    @classmethod
    def cached_first_page(cls, with_current_page: bool = True, **where: Any) -> "Fault":
        """A cache that serves page 1 for every page."""

        def change(envelope: dict[str, Any], page: int, last: int) -> dict[str, Any]:
            return envelope if with_current_page else changed(envelope, current_page=None)

        return cls(shown=lambda page, last: 1, change=change, **where)

    @classmethod
    def says_zero(cls, **where: Any) -> "Fault":
        """A page that says that the list has no records, while an index is rebuilt for example."""
        words = {"count": 0, "has_more_data": False, "total_count": 0, "total_page_count": 0}
        return cls.empty_page(words, **where)

    @classmethod
    def empty_page(cls, words: Mapping[str, Any] | None = None, **where: Any) -> "Fault":
        """A page without records, whose list says what it said before, but for some words."""
        empty = {"items": [], **(words or {})}
        return cls(change=lambda envelope, page, last: changed(envelope, **empty), **where)

    @classmethod
    def says_last(cls, **where: Any) -> "Fault":
        """`has_more_data` is false, though pages follow."""
        return cls(change=lambda envelope, page, last: changed(envelope, has_more_data=False), **where)

    @classmethod
    def page_count_rounded_down(cls, has_more_agrees: bool = True, **where: Any) -> "Fault":
        """`total_page_count` does not count the last, incomplete page; `has_more_data` may agree with it."""

        def change(envelope: dict[str, Any], page: int, last: int) -> dict[str, Any]:
            count = max(1, last - 1)
            has_more = page < (count if has_more_agrees else last)
            return changed(envelope, total_page_count=count, has_more_data=has_more)

        return cls(change=change, **where)

    @classmethod
    def capped_counts(cls, most: int, **where: Any) -> "Fault":
        """The counts end at a number of records, as those of a search index do; `has_more_data` knows better."""

        def change(envelope: dict[str, Any], page: int, last: int) -> dict[str, Any]:
            data = envelope["data"]
            total = min(most, data["total_count"])
            return changed(envelope, total_count=total, total_page_count=-(-total // data["current_page_size"]))

        return cls(change=change, **where)

    @classmethod
    def total_too_high(cls, by: int, **where: Any) -> "Fault":
        """Both counts hold records that no page has, such as those that the user may not see."""

        def change(envelope: dict[str, Any], page: int, last: int) -> dict[str, Any]:
            data = envelope["data"]
            total = data["total_count"] + by
            count = -(-total // data["current_page_size"])
            return changed(envelope, total_count=total, total_page_count=count, has_more_data=page < count)

        return cls(change=change, **where)

    @classmethod
    def counts_on_first_page(cls, **where: Any) -> "Fault":
        """Only the first page holds the counts and `has_more_data`."""

        def change(envelope: dict[str, Any], page: int, last: int) -> dict[str, Any]:
            if page == 1:
                return envelope
            return changed(envelope, has_more_data=None, total_page_count=None, total_count=None, count=None)

        return cls(change=change, **where)

    @classmethod
    def page_size_ignored(cls, size: int = 50, with_page_size: bool = True, **where: Any) -> "Fault":
        """The server sends pages of its own size, and may say so."""

        def change(envelope: dict[str, Any], page: int, last: int) -> dict[str, Any]:
            return envelope if with_page_size else changed(envelope, current_page_size=None)

        return cls(page_size=size, change=change, **where)

    @classmethod
    def pages_from_zero(cls, **where: Any) -> "Fault":
        """The server counts pages from 0."""

        def change(envelope: dict[str, Any], page: int, last: int) -> dict[str, Any]:
            return changed(envelope, current_page=page, has_more_data=page + 1 < last)

        return cls(shown=lambda page, last: page + 1, change=change, **where)

    @classmethod
    def in_pages(cls, size: int, signal: str, **where: Any) -> "Fault":
        """
        A list that usually comes whole comes in pages, and only one signal says so: has_more_data, total_page_count or
        total_count.
        """

        def change(envelope: dict[str, Any], page: int, last: int) -> dict[str, Any]:
            return {"data": {"items": envelope["data"]["items"], signal: envelope["data"][signal]}}

        return cls(page_size=size, change=change, **where)

    @classmethod
    def items_null(cls, **where: Any) -> "Fault":
        """`items` is null where it should be an empty list."""
        return cls(
            change=lambda envelope, page, last: _with_items(envelope, envelope["data"]["items"] or None), **where
        )

    @classmethod
    def items_as_object(cls, **where: Any) -> "Fault":
        """`items` is an object with numeric keys, as PHP writes a list with gaps in its numbering."""

        def change(envelope: dict[str, Any], page: int, last: int) -> dict[str, Any]:
            items = envelope["data"]["items"]
            return _with_items(envelope, {str(number * 2): item for number, item in enumerate(items)})

        return cls(change=change, **where)

    @classmethod
    def changed_items(cls, change_item: Callable[[int, dict[str, Any]], dict[str, Any]], **where: Any) -> "Fault":
        """Each item is changed, by its number on the page."""

        def change(envelope: dict[str, Any], page: int, last: int) -> dict[str, Any]:
            items = envelope["data"]["items"]
            return _with_items(envelope, [change_item(number, item) for number, item in enumerate(items)])

        return cls(change=change, **where)

    @classmethod
    def missing_key(cls, key: str, **where: Any) -> "Fault":
        """The records lack a field."""
        return cls.changed_items(
            lambda number, item: {name: value for name, value in item.items() if name != key}, **where
        )

    @classmethod
    def extra_items(cls, *items: dict[str, Any], **where: Any) -> "Fault":
        """More items on the page, such as malformed definitions."""
        return cls(
            change=lambda envelope, page, last: _with_items(envelope, [*envelope["data"]["items"], *items]), **where
        )

    @classmethod
    def row_twice(cls, **where: Any) -> "Fault":
        """The first row of the page comes again at its end, as rows do that move while pages are read."""

        def change(envelope: dict[str, Any], page: int, last: int) -> dict[str, Any]:
            items = envelope["data"]["items"]
            return _with_items(envelope, [*items, items[0]])

        return cls(change=change, **where)

    # Lists in unusual forms

    @classmethod
    def bare_list(cls, **where: Any) -> "Fault":
        """`data` is the list itself."""
        return cls(change=lambda envelope, page, last: {"data": envelope["data"]["items"]}, **where)

    @classmethod
    def no_has_more(cls, **where: Any) -> "Fault":
        """`has_more_data` is absent."""
        return cls(change=lambda envelope, page, last: changed(envelope, has_more_data=None), **where)

    @classmethod
    def numbers_as_strings(cls, **where: Any) -> "Fault":
        """Page numbers and counts come as text."""

        def change(envelope: dict[str, Any], page: int, last: int) -> dict[str, Any]:
            names = ("current_page", "current_page_size", "total_page_count", "total_count", "count")
            return changed(envelope, **{name: str(envelope["data"][name]) for name in names})

        return cls(change=change, **where)

    @classmethod
    def string_flags(cls, **where: Any) -> "Fault":
        """`has_more_data` comes as text."""

        def change(envelope: dict[str, Any], page: int, last: int) -> dict[str, Any]:
            return changed(envelope, has_more_data=str(envelope["data"]["has_more_data"]).lower())

        return cls(change=change, **where)

    # Lists without end

    @classmethod
    def has_more_forever(cls, without_total: bool = False, repeats: bool = True, **where: Any) -> "Fault":
        """`has_more_data` is always true. After the last page it is repeated for ever, or empty pages follow."""

        def change(envelope: dict[str, Any], page: int, last: int) -> dict[str, Any]:
            more = changed(envelope, has_more_data=True)
            return changed(more, total_page_count=None, total_count=None) if without_total else more

        return cls(shown=min if repeats else None, change=change, **where)

    @classmethod
    def endless_but_for_one_field(cls, name: str, **where: Any) -> "Fault":
        """The same page for ever, of which one field differs each time; nothing counts the pages."""

        def change(envelope: dict[str, Any], page: int, last: int) -> dict[str, Any]:
            items = [{**item, name: f"Page {page}"} for item in envelope["data"]["items"]]
            words = {"has_more_data": True, "current_page": page, "total_page_count": None, "total_count": None}
            return _with_items(changed(envelope, **words), items)

        return cls(shown=lambda page, last: 1, change=change, **where)

    @classmethod
    def announces_pages(cls, count: int = 2**63 - 1, **where: Any) -> "Fault":
        """A number of pages that no list has; those after the last are empty."""
        words = {"total_page_count": count, "has_more_data": True, "total_count": None}
        return cls(change=lambda envelope, page, last: changed(envelope, **words), **where)

    # Tokens

    @classmethod
    def token(cls, **fields: Any) -> "Fault":
        """The token response has other fields, such as expires_in; the token itself stays valid."""
        return cls(change=lambda token, page, last: {**token, **fields}, path="oauth2/token$")


def changed(envelope: dict[str, Any], **words: Any) -> dict[str, Any]:
    """The envelope with other words in `data`; None removes one."""
    data = {**envelope["data"], **words}
    return {**envelope, "data": {name: value for name, value in data.items() if value is not None}}


def error_response(status: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """An error as Docebo writes it."""
    body = {"name": "Error", "message": [message], "code": 0, "status": status}
    return web.json_response(body, status=status, headers=headers)


def _with_items(envelope: dict[str, Any], items: Any) -> dict[str, Any]:
    return {**envelope, "data": {**envelope["data"], "items": items}}


async def _started(request: web.Request, length: int) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": str(length)})
    response.content_type = "application/json"
    await response.prepare(request)
    return response
