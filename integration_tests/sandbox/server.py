"""Serves a sandbox tenant over HTTP on loopback, as Docebo's API is known to behave."""

import asyncio
import json
import re
import secrets
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, unquote_plus

import orjson
import requests
from aiohttp import web

from integration_tests.sandbox.faults import HTML, Fault, error_response
from integration_tests.sandbox.reports import Report, Reports
from integration_tests.sandbox.tenant import (
    BRANCHES_BELOW,
    CHILDREN,
    COURSES_PER_REQUEST,
    NEW_LISTS,
    PAGE_SIZE,
    UNPAGED,
    List,
    Tenant,
)

DEFAULT_PAGE_SIZE = 20
MOST_REQUESTS = 100_000  # so that a list without end, read without end, does not take the machine
CREDENTIALS = {
    "client_id": "sandbox-client",
    "client_secret": 's€cr&t "q" {{x}} 1e5',
    "username": "api.user@example.com",
    "password": "p'w=d None %41+\\",
}
# Each stream's path; its group, if any, is the parent's key.
ROUTES: tuple[tuple[str, str], ...] = (
    ("branches", r"manage/v1/orgchart"),
    ("catalogs", r"learn/v1/catalog"),
    ("categories", r"learn/v1/categories"),
    ("certifications", r"learn/v1/certification"),
    ("course_details", r"course/v1/courses"),
    ("course_enrollments", r"course/v1/courses/enrollments"),
    ("course_fields", r"learn/v1/courses/field"),
    ("course_learning_objects", r"learn/v1/courses/([^/]+)/los"),
    ("courses", r"learn/v1/courses"),
    ("enrollments", r"learn/v1/enrollments"),
    ("external_training", r"learn/v1/external_training"),
    ("group_members", r"audiences/v1/audience/([^/]+)/users"),
    ("groups", r"audiences/v1/audience"),
    ("learning_plan_course_enrollments", r"learningplan/v1/learningplans/([^/]+)/courses/enrollments"),
    ("learning_plan_courses", r"learningplan/v1/learningplans/([^/]+)/courses"),
    ("learning_plan_enrollments", r"learningplan/v1/learningplans/enrollments"),
    ("learning_plans", r"learningplan/v1/learningplans"),
    ("session_enrollments", r"course/v1/sessions/([^/]+)/enrollments"),
    ("session_events", r"course/v1/sessions/([^/]+)/events"),
    ("reports", r"analytics/v1/reports(?:/.*)?"),
    ("sessions", r"course/v1/courses/([^/]+)/sessions"),
    ("user_fields", r"manage/v1/user_fields"),
    ("users", r"manage/v1/user"),
    *((name, re.escape(path)) for name, (path, _) in NEW_LISTS.items()),
)
# Where a front end redirects to while Docebo is being updated.
STATUS_PAGE = "/status"
# Where unknown paths get Docebo's own 404; elsewhere they get the front end's.
API = re.compile(r"/(oauth2|[a-z]+/v1)/")
# Fields that are absent unless `extra_fields[]` asks for them.
EXTRA_FIELDS = {
    "course_enrollments": ("enrollment_time_spent",),
    "learning_plan_enrollments": (
        "enrollment_status",
        "enrollment_completion_date",
        "enrollment_completion_percentage",
        "enrollment_time_spent",
    ),
}
CATALOG_ITEMS = {"show_item_list": "1", "items_per_catalog": "99"}


class Request(NamedTuple):
    """
    One request, as the sandbox received it.

    target: path and query. status: of the response, 0 if there was none. at: `time.monotonic()` when it came.
    """

    method: str
    path: str
    query: dict[str, list[str]]
    target: str
    status: int
    at: float
    token: str | None
    stream: str


class OtherHost:
    """A second server, of another address: the headers of the requests that it received."""

    def __init__(self) -> None:
        self.base_url = ""
        self.requests: list[dict[str, str]] = []

    async def handle(self, request: web.Request) -> web.Response:
        """Keeps the headers, and responds with an empty list."""
        self.requests.append(dict(request.headers))
        return web.json_response({"data": {"items": [], "has_more_data": False}})


class Sandbox:
    """
    A tenant that is served by a thread of this process, from `with` to its end.

    latency: seconds before each response. token_lifetime: seconds for which a token is valid, and its `expires_in`.
    jwt_tokens: tokens look like JWTs. revoke_every: all tokens become invalid after so many requests.
    requests_per_window: more than so many requests in so many seconds get 429. base_path: a subfolder.
    reports: those of the platform.
    """

    def __init__(
        self,
        tenant: Tenant,
        *,
        latency: float = 0.0,
        token_lifetime: float = 3600,
        jwt_tokens: bool = False,
        revoke_every: int | None = None,
        requests_per_window: tuple[int, float] | None = None,
        base_path: str = "",
        port: int = 0,
        reports: Iterable[Report] = (),
    ) -> None:
        self.tenant = tenant
        self.reports = Reports(*reports)
        self.base_url = ""
        self.other_host = OtherHost()
        self.requests: list[Request] = []
        self.tokens_issued = 0
        self._latency = latency
        self._token_lifetime = token_lifetime
        self._jwt_tokens = jwt_tokens
        self._revoke_every = revoke_every
        self._window = requests_per_window
        self._in_window: deque[float] = deque()
        self._base_path = base_path
        self._port = port
        self._tokens: dict[str, float] = {}
        self._served = 0
        self._faults: list[Fault] = []
        self._bodies: dict[tuple[int, str], bytes] = {}
        self._periods: dict[tuple[Any, ...], List] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> "Sandbox":
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(30)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._cancel(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def config(self, grant: str) -> dict[str, Any]:
        """The connector's configuration, for one of the grants; with a stream for each report, by its title."""
        return {**configuration(self.base_url, grant), **self.reports.configuration()}

    def add(self, fault: Fault) -> None:
        """Serves a fault from now on."""
        self._faults.append(fault)

    def clear(self) -> None:
        """Serves no faults any more."""
        self._faults.clear()

    def revoke_tokens(self) -> None:
        """Makes every token invalid."""
        self._tokens.clear()

    def close_port(self, seconds: float) -> None:
        """Breaks off all connections, and refuses new ones for so long. Does not wait."""
        asyncio.run_coroutine_threadsafe(self._closed(seconds), self._loop)

    def requests_by_stream(self) -> dict[str, int]:
        """The number of requests of each stream; the pages of a parent count for the parent."""
        return dict(Counter(request.stream for request in self.requests))

    async def _cancel(self) -> None:
        """Ends responses that are still under way, such as those that a fault stalls."""
        pending = asyncio.all_tasks() - {asyncio.current_task()}
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=5) if pending else None

    async def _start(self) -> None:
        self._runner = await _listen(self._handle, self._port)
        self._port = _port(self._runner)
        self.base_url = f"http://127.0.0.1:{self._port}{self._base_path}"
        other = await _listen(self.other_host.handle, 0)
        self.other_host.base_url = f"http://127.0.0.1:{_port(other)}"

    async def _closed(self, seconds: float) -> None:
        assert self._runner.server
        for site in list(self._runner.sites):
            await site.stop()
        for connection in self._runner.server.connections:
            connection.force_close()
        await asyncio.sleep(seconds)
        await web.TCPSite(self._runner, "127.0.0.1", self._port, backlog=256).start()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.path.startswith("/_sandbox/"):
            return self._control(request)
        token = request.headers.get("Authorization", "").removeprefix("Bearer ") or None
        path = request.rel_url.raw_path.removeprefix(self._base_path)
        stream, parent = _route(path)
        if stream == "users" and "branch_id" in request.query:
            stream, parent = "branch_members", request.query["branch_id"]
        status = 0
        at = time.monotonic()
        try:
            if self._latency:
                await asyncio.sleep(self._latency)
            response = await self._respond(request, path, stream, parent, token)
            status = response.status
            return response
        finally:
            query = {name: request.query.getall(name) for name in request.query}
            label = self.reports.stream_of(path) if stream == "reports" else stream
            self.requests.append(
                Request(request.method, path, query, request.path_qs, status, at, token, label or path)
            )

    async def _respond(
        self, request: web.Request, path: str, stream: str, parent: str | None, token: str | None
    ) -> web.StreamResponse:
        page = int(request.query.get("page", 1))
        if path == STATUS_PAGE:
            return web.Response(body=HTML, content_type="text/html")
        if not request.path.startswith(self._base_path) or not API.match(path):
            return web.Response(status=404, body=HTML, content_type="text/html")
        if len(self.requests) > MOST_REQUESTS:
            return error_response(403, "This sandbox has served enough")
        if self._over_the_limit():
            return error_response(429, "Too Many Requests")
        target = unquote_plus(request.rel_url.raw_path_qs.removeprefix(self._base_path))
        shaping: list[Fault] = []
        for fault in self._faults:
            if fault.applies(path, page, target):
                if fault.respond is None:
                    shaping.append(fault)
                elif response := await fault.respond(request, lambda: self._body(request, stream, parent)):
                    return response
        if stream == "token":
            return await self._token(request, shaping)
        self._served += 1
        if self._revoke_every and self._served % self._revoke_every == 0:
            self.revoke_tokens()
        if self._tokens.get(token or "", 0) < time.monotonic():
            return error_response(401, "The access token provided is invalid or has expired")
        if stream == "reports":
            return await self.reports.respond(request, path)
        found = self._found(stream, parent, request)
        if isinstance(found, web.Response):
            return found
        return web.Response(body=self._page(stream, found, request, shaping), content_type="application/json")

    def _over_the_limit(self) -> bool:
        if self._window is None:
            return False
        most, seconds = self._window
        now = time.monotonic()
        while self._in_window and self._in_window[0] <= now - seconds:
            self._in_window.popleft()
        if len(self._in_window) >= most:
            return True
        self._in_window.append(now)
        return False

    def _body(self, request: web.Request, stream: str, parent: str | None) -> bytes:
        """The body that would be sent without a fault."""
        if stream == "reports":
            return self.reports.file(request.path)
        found = self._found(stream, parent, request)
        assert isinstance(found, List)
        return self._page(stream, found, request, [])

    async def _token(self, request: web.Request, faults: list[Fault]) -> web.Response:
        form = await request.post()
        grant = form.get("grant_type")
        if request.method != "POST" or grant not in ("client_credentials", "password"):
            return _token_error(400, "unsupported_grant_type")
        if any(form.get(name) != CREDENTIALS[name] for name in ("client_id", "client_secret")):
            return _token_error(401, "invalid_client")
        if grant == "password" and any(form.get(name) != CREDENTIALS[name] for name in ("username", "password")):
            return _token_error(400, "invalid_grant")
        if form.get("scope") != "api":
            return _token_error(400, "invalid_scope")
        token = secrets.token_hex(20)
        if self._jwt_tokens:
            token = f"eyJhbGciOiJSUzI1NiJ9.{secrets.token_urlsafe(90)}.{secrets.token_urlsafe(40)}"
        self._tokens[token] = time.monotonic() + self._token_lifetime
        self.tokens_issued += 1
        fields: dict[str, Any] = {"access_token": token, "expires_in": self._token_lifetime}
        fields |= {"token_type": "Bearer", "scope": "api"}
        if grant == "password":
            fields["refresh_token"] = secrets.token_hex(20)
        for fault in faults:
            fields = fault.change(fields, 1, 1) if fault.change else fields
        return web.json_response(fields)

    def _found(self, stream: str, parent: str | None, request: web.Request) -> "List | web.Response":
        tenant = self.tenant
        if not stream:
            return error_response(404, "The requested resource was not found")
        if stream == "course_enrollments":
            ids = [int(text) for text in request.query.getall("course_id[]", [])]
            if len(ids) > COURSES_PER_REQUEST:
                return error_response(400, "Too many courses")
            return tenant.course_enrollments(ids or tenant.course_ids())
        if stream == "enrollments":
            period = request.query.get("updated_from"), request.query.get("updated_to")
            if any(text and not re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", text) for text in period):
                return error_response(400, "updated_from and updated_to must be of the form Y-m-d H:i:s")
            key = (tenant.version, *period)
            if key not in self._periods:
                self._periods = {key: tenant.enrollments_updated(*period)}
            return self._periods[key]
        if stream not in CHILDREN:
            found = tenant.list_of(stream)
            if stream == "catalogs" and any(request.query.get(name) != text for name, text in CATALOG_ITEMS.items()):
                return error_response(400, "This sandbox sends catalogs with their items only")
            if stream == "branches" and request.query.get("flattened") != "true":
                return List(min(BRANCHES_BELOW, found.size - 1), lambda number: found.record(number + 1))
            return found
        if stream == "branch_members" and request.query.get("selection_status") != "1":
            return error_response(400, "This sandbox knows the users directly in a branch only")
        number = tenant.parent_number(stream, parent or "")
        if number is None:
            return error_response(404, f"{parent} does not exist")
        if stream == "sessions" and not tenant.eligible(stream, number):
            return error_response(400, f"Course {parent} does not have sessions")
        found = tenant.child(stream, number)
        if stream == "learning_plan_course_enrollments" and request.query.getall("enrollment_level[]", []) != [
            "student"
        ]:
            return error_response(400, "This sandbox knows students only")
        return found

    def _page(self, stream: str, found: List, request: web.Request, faults: list[Fault]) -> bytes:
        key = (self.tenant.version, request.path_qs)
        if faults or key not in self._bodies:
            body = self._rendered(stream, found, request, faults)
            if faults:
                return body
            self._bodies[key] = body
        return self._bodies[key]

    def _rendered(self, stream: str, found: List, request: web.Request, faults: list[Fault]) -> bytes:
        page = int(request.query.get("page", 1))
        size = min(PAGE_SIZE, int(request.query.get("page_size", DEFAULT_PAGE_SIZE)))
        comes_whole = stream in UNPAGED and not any(fault.page_size for fault in faults)
        if comes_whole:
            page, size = 1, max(1, found.size)
        size = next((fault.page_size for fault in faults if fault.page_size), size)
        found = next((fault.listed(found) for fault in faults if fault.listed), found)
        last = max(1, -(-found.size // size))
        shown = next((fault.shown(page, last) for fault in faults if fault.shown), page)
        absent = set(EXTRA_FIELDS.get(stream, ())) - set(request.query.getall("extra_fields[]", []))
        numbers = range((shown - 1) * size, min(found.size, shown * size))
        items = [_without(found.record(number).wire, absent) for number in numbers]
        data = {
            "items": items,
            "count": len(items),
            "has_more_data": shown < last,
            "current_page": shown,
            "current_page_size": size,
            "total_page_count": last,
            "total_count": found.size,
            "cursor": None,
            "sort": [],
        }
        envelope: dict[str, Any] = {"data": data, "version": "1.0.0", "_links": []}
        if comes_whole:
            envelope = {"data": {"items": items}}
        for fault in faults:
            envelope = fault.change(envelope, page, last) if fault.change else envelope
        body = _json(envelope)
        for fault in faults:
            body = fault.rewrite(body) if fault.rewrite else body
        return body

    def _control(self, request: web.Request) -> web.Response:
        """What SandboxProcess asks of its process: the requests so far, to forget them, to change enrollments."""
        command = request.path.removeprefix("/_sandbox/")
        if command == "reset":
            self.requests.clear()
        if command == "change_enrollments":
            every = int(request.query["every"])
            size = self.tenant.list_of("enrollments").size
            self.tenant.change_enrollments(range(0, size, every), datetime.fromisoformat(request.query["moment"]))
        return web.json_response(
            {
                "count": len(self.requests),
                "by_stream": self.requests_by_stream(),
                "targets": [sent.target for sent in self.requests if sent.method == "GET"],
            }
        )


class SandboxProcess:
    """
    A tenant that is served by a process of its own, so that it takes no time from the process that is measured. The
    reports are given as the arguments of each.
    """

    def __init__(self, tenant: Tenant, latency: float = 0.0, reports: Iterable[Mapping[str, Any]] = ()) -> None:
        self._arguments = {"tenant": tenant.parameters(), "latency": latency, "reports": list(reports)}
        self.base_url = ""

    def __enter__(self) -> "SandboxProcess":
        self._process = subprocess.Popen(
            [sys.executable, "-m", "integration_tests.sandbox", json.dumps(self._arguments)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent.parent.parent,
        )
        assert self._process.stdout
        configured = json.loads(self._process.stdout.readline())
        self.base_url, self._reports = configured["base_url"], configured.get("reports")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(10)

    def config(self, grant: str) -> dict[str, Any]:
        """The connector's configuration, for one of the grants."""
        found = configuration(self.base_url, grant)
        return {**found, "reports": self._reports} if self._reports else found

    def summary(self) -> dict[str, Any]:
        """The requests since the last reset: `count`, `by_stream`, and the `targets` (path and query) of all GETs."""
        return self._send("requests")

    def reset(self) -> None:
        """Forgets the requests so far."""
        self._send("reset")

    def change_enrollments(self, every: int, moment: datetime) -> None:
        """Changes each n-th row of the list `enrollments` at that moment (UTC)."""
        self._send("change_enrollments", {"every": str(every), "moment": moment.isoformat()})

    def _send(self, command: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        response = requests.get(f"{self.base_url}/_sandbox/{command}", params=query, timeout=60)
        response.raise_for_status()
        return dict(response.json())


def configuration(base_url: str, grant: str) -> dict[str, Any]:
    """The connector's configuration for a sandbox, for one of the grants."""
    names: Iterable[str] = CREDENTIALS if grant == "password" else ("client_id", "client_secret")
    return {"base_url": base_url, "credentials": {"auth_type": grant, **{name: CREDENTIALS[name] for name in names}}}


async def _listen(handle: Callable[[web.Request], Any], port: int) -> web.AppRunner:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, backlog=256)
    await site.start()
    return runner


def _port(runner: web.AppRunner) -> int:
    return int(runner.addresses[0][1])


def _route(path: str) -> tuple[str, str | None]:
    """The stream of a path as it was sent, still encoded, and the parent's key."""
    if path == "/oauth2/token":
        return "token", None
    for stream, pattern in ROUTES:
        if match := re.fullmatch(f"/{pattern}/?", path):
            return stream, unquote(match[1]) if match.groups() else None
    return "", None


def _json(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:  # integers beyond 64 bits, NaN and half a surrogate pair
        return json.dumps(value).encode()


def _without(record: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in names} if names else record


def _token_error(status: int, error: str) -> web.Response:
    return web.json_response({"error": error, "error_description": "The request is not valid"}, status=status)
