"""The connection: how long a response may take, which redirects are followed, and what the messages of faults say."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest
import requests
from urllib3.exceptions import MaxRetryError, NameResolutionError

from source_docebo.errors import DoceboError
from source_docebo.transport import (
    MAX_REDIRECTS,
    MAX_RESPONSE_SECONDS,
    READ_TIMEOUT_SECONDS,
    Session,
    connection_problem,
    permanent_problem,
    redirect_target,
)

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Serves one connection on a loopback address with what a function writes: the address."""
    listening = socket.create_server(("127.0.0.1", 0))
    stopped = threading.Event()

    def start(write: Callable[[socket.socket, threading.Event], None]) -> str:
        def run() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                try:
                    write(connection, stopped)
                except OSError:
                    stopped.set()

        threading.Thread(target=run, daemon=True).start()
        return f"http://127.0.0.1:{listening.getsockname()[1]}/"

    yield start
    stopped.set()
    listening.close()


def trickle(connection: socket.socket, stopped: threading.Event, start: bytes = HEAD) -> None:
    connection.sendall(start)
    while not stopped.wait(0.05):
        connection.sendall(b"x")


class TestTime:
    @pytest.mark.parametrize("scheme", ["https", "http"])
    def test_of_every_scheme_is_bounded_and_its_connections_are_as_many_as_workers(self, scheme: str) -> None:
        adapter = Session(7).get_adapter(f"{scheme}://acme.com")
        assert type(adapter).__name__ == "_TimedAdapter"
        assert adapter._pool_maxsize == 7

    def test_the_constants(self) -> None:
        assert (READ_TIMEOUT_SECONDS, MAX_RESPONSE_SECONDS) == (60, 300)

    @pytest.mark.parametrize("start", [HEAD, HEAD[:-2], HEAD[:-4], HEAD[:3]], ids=["body", "name", "header", "status"])
    def test_a_response_that_trickles_is_given_up(
        self, serve: Callable[..., str], monkeypatch: pytest.MonkeyPatch, start: bytes
    ) -> None:
        monkeypatch.setattr("source_docebo.transport.MAX_RESPONSE_SECONDS", 0.4)
        started = time.monotonic()
        with pytest.raises(requests.RequestException) as raised:
            Session(1).get(serve(partial(trickle, start=start)), timeout=5)
        assert 0.3 < time.monotonic() - started < 3
        assert connection_problem(raised.value) == "it took too long"

    def test_a_body_that_stops_is_given_up_at_the_same_time(
        self, serve: Callable[..., str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("source_docebo.transport.MAX_RESPONSE_SECONDS", 0.4)
        started = time.monotonic()
        with pytest.raises(requests.RequestException) as raised:
            Session(1).get(serve(lambda connection, stopped: (connection.sendall(HEAD), stopped.wait(5))), timeout=5)
        assert time.monotonic() - started < 3
        assert connection_problem(raised.value) == "it took too long"

    def test_silence_before_the_first_byte_ends_at_the_read_timeout(self, serve: Callable[..., str]) -> None:
        with pytest.raises(requests.Timeout):
            Session(1).get(serve(lambda _, stopped: stopped.wait(5)), timeout=(5, 0.2))

    def test_a_body_in_time_is_whole(self, serve: Callable[..., str]) -> None:
        def write(connection: socket.socket, _: threading.Event) -> None:
            connection.sendall(HEAD + b"x" * 400)
            time.sleep(0.1)
            connection.sendall(b"y" * 600)

        assert Session(1).get(serve(write), timeout=5).content == b"x" * 400 + b"y" * 600


def redirect(url: str, location: str) -> requests.Response:
    made = requests.Response()
    made.status_code, made.url = 302, url
    made.headers["Location"] = location
    return made


class TestRedirects:
    @pytest.mark.parametrize(
        ("url", "location", "target"),
        [
            ("https://acme.com/a", "/b", "https://acme.com/b"),
            ("https://acme.com/a", "https://acme.com/a/", "https://acme.com/a/"),
            ("https://acme.com/a", "https://acme.com:443/b", "https://acme.com:443/b"),
            ("https://acme.com:8443/a", "https://acme.com:8443/b", "https://acme.com:8443/b"),
            ("http://acme.com/a", "https://acme.com/a", "https://acme.com/a"),
            ("http://acme.com/a", "http://acme.com:80/b", "http://acme.com:80/b"),
            ("https://acme.com/a", "/caf\xc3\xa9", "https://acme.com/café"),
        ],
    )
    def test_on_the_same_host_are_followed(self, url: str, location: str, target: str) -> None:
        assert redirect_target(redirect(url, location), []) == target

    @pytest.mark.parametrize(
        ("location", "words"),
        [
            ("https://elsewhere.com/a", "redirects to elsewhere.com. Set base_url"),
            ("https://acme.com:8443/a", "redirects to acme.com:8443. "),
            ("http://acme.com/a", "redirects to acme.com. "),
            ("mailto:ada", "redirects to another address. "),
            ("https://acme.com:port/", "an address that cannot be read. Check base_url."),
            ("https://[", "an address that cannot be read. "),
            ("/\xe9", "an address that cannot be read. "),
        ],
    )
    def test_that_are_not_followed(self, location: str, words: str) -> None:
        with pytest.raises(DoceboError) as raised:
            redirect_target(redirect("https://acme.com/a", location), [])
        assert raised.value.failure_type.value == "config_error"
        assert words in str(raised.value)

    def test_five_at_most(self) -> None:
        before = [f"https://acme.com/{number}" for number in range(MAX_REDIRECTS)]
        assert redirect_target(redirect("https://acme.com/x", "/y"), before[:-1]) == "https://acme.com/y"
        with pytest.raises(DoceboError, match="more than 5 times"):
            redirect_target(redirect("https://acme.com/x", "/y"), before)

    @pytest.mark.parametrize("location", ["/a", "/earlier"])
    def test_a_circle(self, location: str) -> None:
        with pytest.raises(DoceboError, match=r"acme\.com redirects in a circle") as raised:
            redirect_target(redirect("https://acme.com/a", location), ["https://acme.com/earlier"])
        assert raised.value.failure_type.value == "config_error"

    def test_the_message_is_whole(self) -> None:
        with pytest.raises(DoceboError) as raised:
            redirect_target(redirect("https://acme.com/a", "https://["), [])
        assert str(raised.value) == "base_url redirects to an address that cannot be read. Check base_url."

    def test_requests_itself_follows_none(self) -> None:
        assert Session(1).get_redirect_target(redirect("https://acme.com/a", "/b")) is None


CERTIFICATE = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired (_ssl.c:1006)"


class TestProblems:
    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (requests.exceptions.SSLError(CERTIFICATE), "is not valid (certificate has expired). Renew it, or set "),
            (requests.exceptions.SSLError("CERTIFICATE_VERIFY_FAILED"), "is not valid (unknown reason)."),
            (
                requests.exceptions.InvalidSchema("Missing dependencies for SOCKS support."),
                "The proxy is a SOCKS proxy",
            ),
            (
                requests.exceptions.ProxyError("Cannot connect to proxy"),
                "The proxy cannot be reached. Check HTTPS_PROXY",
            ),
            (requests.exceptions.InvalidProxyURL("x"), "The proxy cannot be reached."),
        ],
    )
    def test_that_no_retry_helps(self, error: OSError, words: str) -> None:
        assert words in str(permanent_problem(error))

    def test_the_messages_are_whole(self) -> None:
        assert permanent_problem(requests.exceptions.SSLError(CERTIFICATE)) == (
            "The certificate of the host is not valid (certificate has expired). Renew it, or set REQUESTS_CA_BUNDLE "
            "to the certificate authority of your network."
        )
        assert permanent_problem(requests.exceptions.InvalidSchema("Missing dependencies for SOCKS support.")) == (
            "The proxy is a SOCKS proxy, which this installation does not support. Set HTTPS_PROXY to an HTTP proxy."
        )

    @pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
    def test_a_missing_file_of_certificates_is_named(self, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(variable, "/certificates/none.pem")
        error = OSError("Could not find a suitable TLS CA certificate bundle, invalid path: /certificates/none.pem")
        assert "The file of certificates /certificates/none.pem does not exist." in str(permanent_problem(error))

    @pytest.mark.parametrize(
        ("error", "problem"),
        [
            (requests.ConnectTimeout(), "it took too long"),
            (requests.ReadTimeout(), "it took too long"),
            (requests.ConnectionError("Read timed out."), "it took too long"),
            (TimeoutError("the response took too long"), "it took too long"),
            (requests.exceptions.SSLError("wrong version number"), "no secure connection could be established"),
            (ssl.SSLError("bad record"), "no secure connection could be established"),
            (
                requests.ConnectionError(MaxRetryError(None, "/", NameResolutionError("a", None, OSError("x")))),
                "the host name does not exist",
            ),
            (OSError("getaddrinfo failed"), "the host name does not exist"),
            (requests.ConnectionError("Connection refused"), "the connection was refused"),
            (requests.ConnectionError("Connection reset by peer"), "the connection broke off"),
            (requests.exceptions.ChunkedEncodingError("TLS ended"), "the connection broke off"),
            (requests.exceptions.ProxyError("Tunnel connection failed: 503 Busy"), "the connection broke off"),
        ],
    )
    def test_that_a_retry_may_help(self, error: OSError, problem: str) -> None:
        assert permanent_problem(error) is None
        assert connection_problem(error) == problem
