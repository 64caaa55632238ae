"""The connection to Docebo: a session that bounds the time of each response, redirects, and what can break."""

import http.client
import io
import os
import re
import socket
import ssl
import time
from functools import cache
from typing import Any
from urllib.parse import urljoin

import requests
from requests.adapters import HTTPAdapter

from source_docebo.errors import config_error
from source_docebo.responses import host

READ_TIMEOUT_SECONDS = 60.0  # a page of 200 enrollments can take Docebo half a minute
MAX_RESPONSE_SECONDS = 300.0  # from the first byte to the last
MAX_REDIRECTS = 5


class Session(requests.Session):
    """A session whose responses arrive in time, and which leaves redirects to the client: they count as requests."""

    def __init__(self, pool_size: int) -> None:
        super().__init__()
        self.mount("https://", _TimedAdapter(pool_maxsize=pool_size))
        self.mount("http://", _TimedAdapter(pool_maxsize=pool_size))  # ignore-https-check: to a loopback address only

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """None, so that requests does not look at the address."""
        return None


class _TimedAdapter(HTTPAdapter):
    """Bounds the time of a whole response. Socket timeouts bound only the silence between two bytes."""

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        pool.ConnectionCls = _timed(type(pool).ConnectionCls)
        return pool


@cache
def _timed(connection: Any) -> Any:
    return type(connection.__name__, (connection,), {"response_class": _TimedResponse})


class _TimedResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        until = time.monotonic() + MAX_RESPONSE_SECONDS

        def read_in_time(buffer: Any) -> int:
            remaining = until - time.monotonic()
            if remaining <= 0:
                raise TimeoutError("the response took too long")
            sock.settimeout(min(sock.gettimeout() or READ_TIMEOUT_SECONDS, remaining))
            return sock.recv_into(buffer)

        raw: Any = self.fp.detach()
        raw.readinto = read_in_time  # the status line, the headers and the body are all read through it
        self.fp = io.BufferedReader(raw, 65536)


def redirect_target(response: requests.Response, before: list[str]) -> str:
    """Where a redirect leads; `before`: earlier ones. Raises DoceboError (config_error) if it must not be followed."""
    try:
        target = urljoin(response.url, response.headers["Location"].encode("latin-1").decode("utf-8"))
        # As requests itself decides whether the Authorization header may be sent there, too.
        elsewhere = requests.Session().should_strip_auth(response.url, target)  # type: ignore[no-untyped-call]
    except ValueError:
        raise config_error("base_url redirects to an address that cannot be read. Check base_url.") from None
    if elsewhere:
        address = host(target) or "another address"
        raise config_error(f"base_url redirects to {address}. Set base_url to the address of the platform itself.")
    if target in (response.url, *before) or len(before) >= MAX_REDIRECTS:
        raise config_error(f"{host(target)} redirects in a circle or more than {MAX_REDIRECTS} times. Check base_url.")
    return target


def permanent_problem(error: OSError) -> str | None:
    """What is wrong and what to do, if no retry can help; None otherwise."""
    text = str(error)
    if isinstance(error, requests.exceptions.SSLError) and "CERTIFICATE_VERIFY_FAILED" in text:
        reason = re.search(r"certificate verify failed: ([^(]*[^( ])", text)
        return (
            f"The certificate of the host is not valid ({reason[1] if reason else 'unknown reason'}). Renew it, or set "
            "REQUESTS_CA_BUNDLE to the certificate authority of your network."
        )
    if "SOCKS" in text:
        return "The proxy is a SOCKS proxy, which this installation does not support. Set HTTPS_PROXY to an HTTP proxy."
    busy = "Tunnel connection failed: 5" in text
    if isinstance(error, (requests.exceptions.ProxyError, requests.exceptions.InvalidProxyURL)) and not busy:
        return "The proxy cannot be reached. Check HTTPS_PROXY and HTTP_PROXY in the environment of the connector."
    if not isinstance(error, requests.RequestException) and "TLS" in text:
        bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
        return f"The file of certificates {bundle} does not exist. Correct REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE."
    return None


def connection_problem(error: OSError) -> str:
    """Why there was no response."""
    text = str(error)
    if isinstance(error, requests.Timeout) or "timed out" in text or "took too long" in text:
        return "it took too long"
    if isinstance(error, (requests.exceptions.SSLError, ssl.SSLError)):
        return "no secure connection could be established"
    if "NameResolution" in text or "getaddrinfo" in text:
        return "the host name does not exist"
    return "the connection was refused" if "refused" in text else "the connection broke off"
