"""The connection: which redirects are followed, and what the messages of faults say, as a real socket causes them."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from source_docebo.transport import (
    CONNECT_TIMEOUT_SECONDS,
    MAX_REDIRECTS,
    READ_TIMEOUT_SECONDS,
    Session,
    connection_problem,
    wrong_setting,
)

TOKEN = {"Authorization": "Bearer the-token"}
CHECK_PROXY = "Check HTTPS_PROXY and HTTP_PROXY in the environment of the connector."


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Serves one connection on a loopback address with these bytes, None for silence: host and port."""
    stopped, listeners = threading.Event(), []

    def start(response: bytes | None) -> str:
        listeners.append(socket.create_server(("127.0.0.1", 0)))
        listening = listeners[-1]

        def run() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                if response is None:
                    stopped.wait(5)
                else:
                    connection.sendall(response)

        threading.Thread(target=run, daemon=True).start()
        return f"127.0.0.1:{listening.getsockname()[1]}"

    yield start
    stopped.set()
    for listening in listeners:
        listening.close()


@pytest.fixture
def closed() -> str:
    """Host and port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> str:
    """A host whose name does not exist."""

    def resolve(*_: Any) -> Any:
        raise socket.gaierror("Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return "nowhere.invalid"


def error(url: str, proxy: str | None = None, **settings: Any) -> Exception:
    """What a request raises."""
    proxies = {} if proxy is None else {"https": proxy, "http": proxy}
    with pytest.raises((OSError, ValueError)) as raised:
        Session(1).get(url, timeout=5, proxies=proxies, **settings)
    return raised.value


def test_the_constants() -> None:
    assert (CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS, MAX_REDIRECTS) == (10, 60, 5)


@pytest.mark.parametrize("scheme", ["https", "http"])
def test_there_are_as_many_connections_as_workers(scheme: str) -> None:
    adapter = Session(7).get_adapter(f"{scheme}://acme.com")
    assert adapter._pool_maxsize == 7  # type: ignore[attr-defined]


class TestWrongSettings:
    """Which no retry can fix."""

    def test_a_proxy_that_cannot_be_reached(self, closed: str) -> None:
        for url in ("https://acme.com", "http://acme.com"):
            assert wrong_setting(error(url, f"http://{closed}")) == f"The proxy cannot be reached. {CHECK_PROXY}"

    def test_a_proxy_that_does_not_exist(self, unknown: str) -> None:
        found = error("https://acme.com", f"http://{unknown}:3128")
        assert wrong_setting(found) == f"The proxy does not exist. {CHECK_PROXY}"

    @pytest.mark.parametrize("status", ["407 Proxy Authentication Required", "403 Forbidden"])
    def test_a_proxy_that_rejects(self, serve: Callable[..., str], status: str) -> None:
        found = error("https://acme.com", "http://" + serve(f"HTTP/1.1 {status}\r\n\r\n".encode()))
        assert wrong_setting(found) == f"The proxy rejects the connection. {CHECK_PROXY}"

    def test_a_proxy_without_a_host(self) -> None:
        assert wrong_setting(error("https://acme.com", "http://")) == f"The proxy has no valid address. {CHECK_PROXY}"

    def test_a_proxy_of_another_kind(self) -> None:
        assert wrong_setting(error("https://acme.com", "socks5://127.0.0.1:1")) == (
            "The proxy is a SOCKS proxy, which this installation does not support. Set HTTPS_PROXY to an HTTP proxy."
        )

    def test_a_file_of_certificates_that_does_not_exist(self) -> None:
        assert wrong_setting(error("https://acme.com", verify="/none.pem")) == (
            "The file of certificates that REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names does not exist."
        )

    def test_a_certificate_that_is_not_valid(self) -> None:
        cause = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate has expired")
        assert wrong_setting(requests.exceptions.SSLError(cause)) == (
            "The certificate of the host is not valid. Renew it, or set REQUESTS_CA_BUNDLE to the certificate "
            "authority of your network."
        )


class TestFaults:
    """Which a retry may fix."""

    def test_silence(self, serve: Callable[..., str]) -> None:
        with pytest.raises(requests.Timeout) as raised:
            Session(1).get(f"http://{serve(None)}/", timeout=(5, 0.1))
        assert (wrong_setting(raised.value), connection_problem(raised.value)) == (None, "it took too long")

    @pytest.mark.parametrize(
        ("scheme", "response", "problem"),
        [
            ("https", b"plain text", "no secure connection could be established"),
            ("http", b"", "the connection broke off"),
            ("http", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "the connection broke off"),
        ],
    )
    def test_a_response_that_is_none(
        self, serve: Callable[..., str], scheme: str, response: bytes, problem: str
    ) -> None:
        found = error(f"{scheme}://{serve(response)}/")
        assert (wrong_setting(found), connection_problem(found)) == (None, problem)

    def test_nobody_listens(self, closed: str) -> None:
        found = error(f"http://{closed}/")
        assert (wrong_setting(found), connection_problem(found)) == (None, "the connection was refused")

    def test_the_host_does_not_exist(self, unknown: str) -> None:
        found = error(f"https://{unknown}/")
        assert (wrong_setting(found), connection_problem(found)) == (None, "the host name does not exist")

    def test_a_proxy_that_is_overloaded(self, serve: Callable[..., str]) -> None:
        found = error("https://acme.com", "http://" + serve(b"HTTP/1.1 503 Busy\r\n\r\n"))
        assert (wrong_setting(found), connection_problem(found)) == (None, "the connection broke off")


class TestRedirects:
    def test_on_the_same_host_are_followed_with_the_token(self, mocker: Any) -> None:
        mocker.get("https://acme.com/a", status_code=302, headers={"Location": "/b"})
        mocker.get("https://acme.com/b", text="here")
        assert Session(1).get("https://acme.com/a", headers=TOKEN).text == "here"
        assert mocker.last_request.headers["Authorization"] == "Bearer the-token"

    @pytest.mark.parametrize(
        ("location", "host"),
        [
            ("https://elsewhere.com/a", "elsewhere.com"),
            ("https://acme.com:8443/a", "acme.com:8443"),
            ("http://acme.com/a", "acme.com"),
        ],
    )
    def test_to_where_the_token_may_not_go_are_not(self, mocker: Any, location: str, host: str) -> None:
        mocker.get("https://acme.com/a", status_code=302, headers={"Location": location})
        found = error("https://acme.com/a", headers=TOKEN)
        assert (wrong_setting(found), connection_problem(found)) == (None, f"it redirects to {host}")
        assert len(mocker.request_history) == 1

    def test_from_http_to_https_are_followed(self, mocker: Any) -> None:
        mocker.get("http://acme.com/a", status_code=302, headers={"Location": "https://acme.com/a"})
        mocker.get("https://acme.com/a", text="here")
        assert Session(1).get("http://acme.com/a", headers=TOKEN).text == "here"
        assert mocker.last_request.headers["Authorization"] == "Bearer the-token"

    def test_five_at_most(self, mocker: Any) -> None:
        for number in range(9):
            mocker.get(f"https://acme.com/{number}", status_code=302, headers={"Location": f"/{number + 1}"})
        mocker.get("https://acme.com/9", text="here")
        assert Session(1).get("https://acme.com/4").text == "here"
        found = error("https://acme.com/3")
        assert (wrong_setting(found), connection_problem(found)) == (None, "it redirects too often")
