"""The connection to Docebo: time limits, which redirects are followed, and what can break."""

import requests
from requests.adapters import HTTPAdapter

from source_docebo.responses import host

CONNECT_TIMEOUT_SECONDS = 10.0
READ_TIMEOUT_SECONDS = 60.0  # between two bytes: a page of 200 enrollments can take half a minute
MAX_REDIRECTS = 5
_CHECK_PROXY = "Check HTTPS_PROXY and HTTP_PROXY in the environment of the connector."
# What no retry can fix before a first request was served, by a part of the error.
_WRONG_SETTINGS = {
    "CERTIFICATE_VERIFY_FAILED": "The certificate of the host is not valid. Renew it, or set REQUESTS_CA_BUNDLE to the "
    "certificate authority of your network.",
    "CA certificate bundle": "The file of certificates that REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names does not exist.",
    "SOCKS": "The proxy is a SOCKS proxy, which this installation does not support. Set HTTPS_PROXY to an HTTP proxy.",
    "proxy', New": f"The proxy cannot be reached. {_CHECK_PROXY}",
    "proxy', Name": f"The proxy does not exist. {_CHECK_PROXY}",
    "Tunnel connection failed: 4": f"The proxy rejects the connection. {_CHECK_PROXY}",
    "InvalidProxyURL": f"The proxy has no valid address. {_CHECK_PROXY}",
}
_FAULTS = {
    "timed out": "it took too long",
    "SSL": "no secure connection could be established",
    "NameResolution": "the host name does not exist",
    "refused": "the connection was refused",
    "redirects": "it redirects too often",
}


class Session(requests.Session):
    """A session that follows redirects only to where the access token may be sent, too."""

    def __init__(self, pool_size: int) -> None:
        super().__init__()
        self.max_redirects = MAX_REDIRECTS
        for scheme in ("https://", "http://"):  # ignore-https-check: http to a loopback address only
            self.mount(scheme, HTTPAdapter(pool_maxsize=pool_size))

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Keeps the token. Raises RequestException if the redirect leads to another host."""
        target = str(prepared_request.url)
        follows = response.request.method == "GET"  # of a token request, requests only prepares the next one
        if follows and self.should_strip_auth(response.url, target):  # type: ignore[no-untyped-call]
            raise requests.RequestException(f"it redirects to {host(target)}")


def wrong_setting(error: Exception) -> str | None:
    """Which setting is wrong and what to do, if no retry can help; None otherwise."""
    return _meaning(_WRONG_SETTINGS, error)


def connection_problem(error: Exception) -> str:
    """Why there was no response."""
    if type(error) is requests.RequestException:  # of the session above
        return str(error)
    return _meaning(_FAULTS, error) or "the connection broke off"


def _meaning(meanings: dict[str, str], error: Exception) -> str | None:
    text = f"{type(error).__name__}: {error}"
    return next((meaning for sign, meaning in meanings.items() if sign in text), None)
