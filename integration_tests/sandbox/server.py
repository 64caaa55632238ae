"""Serves a sandbox tenant over HTTP on loopback, as Docebo's API is known to behave."""

import asyncio
import json
import re
import secrets
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import requests
from aiohttp import web

from integration_tests.sandbox.faults import HTML, Fault
from integration_tests.sandbox.tenant import CHILDREN, List, Tenant

MOST_ON_A_PAGE = 200
CREDENTIALS = {
    "client_id": "sandbox-client",
    "client_secret": 's€cr&t "q" {{x}} 1e5',
    "username": "api.user@example.com",
    "password": "p'w=d None %41+\\",
}
# Stream and path, of which each group names the parent.
ROUTES: tuple[tuple[str, str], ...] = (
    ("branches", r"manage/v1/orgchart"),
    ("categories", r"learn/v1/categories"),
    ("certifications", r"learn/v1/certification"),
    ("course_enrollments", r"course/v1/courses/enrollments"),
    ("course_fields", r"learn/v1/courses/field"),
    ("course_learning_objects", r"learn/v1/courses/([^/]+)/los"),
    ("courses", r"learn/v1/courses"),
    ("external_training", r"learn/v1/external_training"),
    ("group_members", r"audiences/v1/audience/([^/]+)/users"),
    ("groups", r"audiences/v1/audience"),
    ("learning_plan_course_enrollments", r"learningplan/v1/learningplans/([^/]+)/courses/enrollments"),
    ("learning_plan_enrollments", r"learningplan/v1/learningplans/enrollments"),
    ("learning_plans", r"learningplan/v1/learningplans"),
    ("sessions", r"course/v1/courses/([^/]+)/sessions"),
    ("user_fields", r"manage/v1/user_fields"),
    ("users", r"manage/v1/user"),
)
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


class Call(NamedTuple):
    """One call, as the sandbox saw it. A call that got no answer has the status 0."""

    method: str
    path: str
    query: dict[str, list[str]]
    address: str
    status: int
    at: float
    token: str | None
    stream: str


class OtherHost:
    """What a second server, of another address, was sent."""

    def __init__(self) -> None:
        self.base_url = ""
        self.calls: list[dict[str, str]] = []

    async def handle(self, request: web.Request) -> web.Response:
        """Keeps the headers, and answers with an empty list."""
        self.calls.append(dict(request.headers))
        return web.json_response({"data": {"items": [], "has_more_data": False}})


class Sandbox:
    """A tenant that answers, in a thread of this process, from `with` to its end."""

    def __init__(
        self,
        tenant: Tenant,
        *,
        latency: float = 0.0,
        token_lifetime: float = 3600,
        revoke_every: int | None = None,
        calls_per_window: tuple[int, float] | None = None,
        base_path: str = "",
        port: int = 0,
    ) -> None:
        self.tenant = tenant
        self.base_url = ""
        self.other_host = OtherHost()
        self.calls: list[Call] = []
        self.tokens_issued = 0
        self._latency = latency
        self._token_lifetime = token_lifetime
        self._revoke_every = revoke_every
        self._window = calls_per_window
        self._in_window: deque[float] = deque()
        self._base_path = base_path
        self._port = port
        self._tokens: dict[str, float] = {}
        self._answered = 0
        self._faults: list[Fault] = []
        self._bodies: dict[str, bytes] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> "Sandbox":
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def config(self, grant: str) -> dict[str, Any]:
        """The connector's configuration, for one of the grants."""
        return configuration(self.base_url, grant)

    def add(self, fault: Fault) -> None:
        """Serves a fault from now on."""
        self._faults.append(fault)

    def clear(self) -> None:
        """Serves no faults any more."""
        self._faults.clear()

    def revoke_tokens(self) -> None:
        """Makes every token that was issued unknown."""
        self._tokens.clear()

    def calls_by_stream(self) -> dict[str, int]:
        """How many calls each stream took; the pages of a parent are its own."""
        return dict(Counter(call.stream for call in self.calls))

    async def _start(self) -> None:
        self.base_url = await _listen(self._handle, self._port) + self._base_path
        self.other_host.base_url = await _listen(self.other_host.handle, 0)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.path.startswith("/_sandbox/"):
            return self._tell(request)
        token = request.headers.get("Authorization", "").removeprefix("Bearer ") or None
        path = request.path.removeprefix(self._base_path)
        stream, parent = _route(path)
        status = 0
        at = time.monotonic()
        try:
            if self._latency:
                await asyncio.sleep(self._latency)
            response = await self._answer(request, path, stream, parent, token)
            status = response.status
            return response
        finally:
            query = {name: request.query.getall(name) for name in request.query}
            self.calls.append(Call(request.method, path, query, request.path_qs, status, at, token, stream or path))

    async def _answer(
        self, request: web.Request, path: str, stream: str, parent: str | None, token: str | None
    ) -> web.StreamResponse:
        page = int(request.query.get("page", 1))
        if not stream or not request.path.startswith(self._base_path):
            return web.Response(status=404, body=HTML, content_type="text/html")
        if self._over_the_limit():
            return _refusal(429, "Too Many Requests")
        envelope_fault: Fault | None = None
        for fault in self._faults:
            if fault.applies(path, page, request.path_qs):
                if fault.kind == "envelope":
                    envelope_fault = fault
                else:
                    return await self._fail(request, fault, stream, parent)
        if stream == "token":
            return await self._token(request)
        self._answered += 1
        if self._revoke_every and self._answered % self._revoke_every == 0:
            self.revoke_tokens()
        if self._tokens.get(token or "", 0) < time.monotonic():
            return _refusal(401, "The access token provided is invalid or has expired")
        return self._list(request, stream, parent, envelope_fault)

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

    async def _fail(self, request: web.Request, fault: Fault, stream: str, parent: str | None) -> web.StreamResponse:
        if fault.kind == "status":
            code, said, told = fault.value
            headers = {name: value() for name, value in told.items()}
            if isinstance(said, bytes):
                return web.Response(status=code, body=said, content_type="text/html", headers=headers)
            return _refusal(code, said, headers)
        if fault.kind == "body":
            body, content_type = fault.value
            return web.Response(body=body, content_type=content_type)
        if fault.kind == "redirect":
            return web.Response(status=302, headers={"Location": fault.value})
        if fault.kind == "hang":
            await asyncio.sleep(fault.value)
        if fault.kind == "cut_body":
            body = self._list(request, stream, parent, None).body
            assert isinstance(body, bytes)
            response = web.StreamResponse(headers={"Content-Length": str(len(body))})
            response.content_type = "application/json"
            await response.prepare(request)
            await response.write(body[: len(body) // 2])
            assert request.transport
            request.transport.close()
            return response
        assert request.transport
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
        raise asyncio.CancelledError

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        grant = form.get("grant_type")
        if request.method != "POST" or grant not in ("client_credentials", "password"):
            return _token_refusal(400, "unsupported_grant_type")
        if any(form.get(name) != CREDENTIALS[name] for name in ("client_id", "client_secret")):
            return _token_refusal(401, "invalid_client")
        if grant == "password" and any(form.get(name) != CREDENTIALS[name] for name in ("username", "password")):
            return _token_refusal(400, "invalid_grant")
        if form.get("scope") != "api":
            return _token_refusal(400, "invalid_scope")
        token = secrets.token_hex(20)
        self._tokens[token] = time.monotonic() + self._token_lifetime
        self.tokens_issued += 1
        answer = {"access_token": token, "expires_in": self._token_lifetime, "token_type": "Bearer", "scope": "api"}
        if grant == "password":
            answer["refresh_token"] = secrets.token_hex(20)
        return web.json_response(answer)

    def _list(self, request: web.Request, stream: str, parent: str | None, fault: Fault | None) -> web.Response:
        body = None if fault else self._bodies.get(request.path_qs)
        if body is None:
            found = self._found(stream, parent, request)
            if isinstance(found, web.Response):
                return found
            body = self._page(stream, found, request, fault)
            if fault is None:
                self._bodies[request.path_qs] = body
        return web.Response(body=body, content_type="application/json")

    def _found(self, stream: str, parent: str | None, request: web.Request) -> "List | web.Response":
        tenant = self.tenant
        if stream == "course_enrollments":
            ids = [int(text) for text in request.query.getall("course_id[]", [])]
            if len(ids) > 100:
                return _refusal(400, "Too many courses")
            return tenant.enrollments(ids or tenant.course_ids())
        if stream not in CHILDREN:
            found = tenant.list(stream)
            if stream == "branches" and request.query.get("flattened") != "true":
                return List(min(2, found.size), found.record)  # the root's direct children
            return found
        number = tenant.parent_number(stream, parent or "")
        if number is None:
            return _refusal(404, f"{parent} is not known")
        if stream == "sessions" and not tenant.eligible(stream, number):
            return _refusal(400, f"Course {parent} does not have sessions")
        found = tenant.child(stream, number)
        if stream == "learning_plan_course_enrollments" and request.query.getall("enrollment_level[]", []) != [
            "student"
        ]:
            return _refusal(400, "This sandbox knows students only")
        return found

    def _page(self, stream: str, found: List, request: web.Request, fault: Fault | None) -> bytes:
        page = int(request.query.get("page", 1))
        size = min(MOST_ON_A_PAGE, int(request.query.get("page_size", 20)))
        if stream == "course_learning_objects":
            page, size = 1, max(1, found.size)
        last = max(1, -(-found.size // size))
        shown = min(page, last) if fault else page
        absent = set(EXTRA_FIELDS.get(stream, ())) - set(request.query.getall("extra_fields[]", []))
        numbers = range((shown - 1) * size, min(found.size, shown * size))
        items = [_without(found.record(number).wire, absent) for number in numbers]
        if stream == "course_learning_objects":
            whole: dict[str, Any] = {"data": {"items": items}}
            return orjson.dumps(fault.value(whole, last) if fault else whole)
        data = {
            "items": items,
            "count": len(items),
            "has_more_data": page < last,
            "current_page": page,
            "current_page_size": size,
            "total_page_count": last,
            "total_count": found.size,
            "cursor": None,
            "sort": [],
        }
        envelope: dict[str, Any] = {"data": data, "version": "1.0.0", "_links": []}
        return orjson.dumps(fault.value(envelope, last) if fault else envelope)

    def _tell(self, request: web.Request) -> web.Response:
        if request.path == "/_sandbox/reset":
            self.calls.clear()
        told = {
            "by_stream": self.calls_by_stream(),
            "addresses": [call.address for call in self.calls if call.method == "GET"],
            "count": len(self.calls),
        }
        return web.json_response(told)


class SandboxProcess:
    """A tenant that answers from a process of its own, so that it takes no time from the one that is measured."""

    def __init__(self, tenant: Tenant, latency: float = 0.0) -> None:
        self._arguments = {"tenant": tenant.parameters(), "latency": latency}
        self.base_url = ""

    def __enter__(self) -> "SandboxProcess":
        self._process = subprocess.Popen(
            [sys.executable, "-m", "integration_tests.sandbox", json.dumps(self._arguments)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent.parent.parent,
        )
        assert self._process.stdout
        self.base_url = json.loads(self._process.stdout.readline())["base_url"]
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(10)

    def config(self, grant: str) -> dict[str, Any]:
        """The connector's configuration, for one of the grants."""
        return configuration(self.base_url, grant)

    def told(self) -> dict[str, Any]:
        """Of the calls since the last reset: `count`, `by_stream`, and `addresses` (path and query)."""
        return dict(requests.get(f"{self.base_url}/_sandbox/calls", timeout=30).json())

    def reset(self) -> None:
        """Forgets the calls so far."""
        requests.get(f"{self.base_url}/_sandbox/reset", timeout=30)


def configuration(base_url: str, grant: str) -> dict[str, Any]:
    """The connector's configuration for a sandbox, for one of the grants."""
    names: Iterable[str] = CREDENTIALS if grant == "password" else ("client_id", "client_secret")
    return {"base_url": base_url, "credentials": {"auth_type": grant, **{name: CREDENTIALS[name] for name in names}}}


async def _listen(handle: Callable[[web.Request], Any], port: int) -> str:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, backlog=256)
    await site.start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}"


def _route(path: str) -> tuple[str, str | None]:
    if path == "/oauth2/token":
        return "token", None
    for stream, pattern in ROUTES:
        if match := re.fullmatch(f"/{pattern}", path):
            return stream, match[1] if match.groups() else None
    return "", None


def _without(record: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in names} if names else record


def _refusal(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    body = {"name": "Error", "message": [message], "code": 0, "status": status}
    return web.json_response(body, status=status, headers=headers)


def _token_refusal(status: int, error: str) -> web.Response:
    return web.json_response({"error": error, "error_description": "The request was refused"}, status=status)
